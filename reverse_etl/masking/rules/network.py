"""`ip_prefix`: the network that an address is in."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
from pydantic import Field

from reverse_etl.masking.faults import Fault, Reason
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.masking.rules.columns import TEXT, compute_frame
from reverse_etl.masking.spelling import WHITE_SPACE
from reverse_etl.types import Kind, type_kind

if TYPE_CHECKING:  # 0.2 s to import, which a policy without addresses does not need
    from reverse_etl.masking.frames import pl

_V4_BITS, _V6_BITS = 32, 128
_GROUPS, _GROUP_BITS = 8, 16

# A leading zero makes an octet octal in some systems: such an address is malformed, here as in
# Python's ipaddress.
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}"
_GROUP = "[0-9a-f]{1,4}"
_SOME = f"(?:{_GROUP}(?::{_GROUP})*)?"
#: What "::" may stand for, by how many groups are left out: one at least.
_ZEROS = [None, *("0" + ":0" * more for more in range(_GROUPS))]
_MAPPED = 0xFFFF
_NAT64 = (0x64, 0xFF9B)
#: Where an IPv4 address begins in IPv6 addresses that are made of one, by the groups that they begin with:
#: of the site in 6to4, of the server in Teredo (the client's own is in the last 32 bits).
_HOLDING_V4 = {(0x2002,): 16, (0x2001, 0): 32}

# Columns of the frame that an address is taken apart in.
_OCTETS = ("a", "b", "c", "d")
_NAMES = tuple(f"g{index}" for index in range(_GROUPS))


class IpPrefix(Rule):
    """An IP address as its network in CIDR notation: "192.0.2.0/24", "2001:db8:7::/48".

    IPv6 is written as RFC 5952 says. What stands for an IPv4 address counts as that: IPv4-mapped and
    IPv4-compatible addresses (RFC 4291, 2.5.5; not :: and ::1) and NAT64's 64:ff9b::/96 (RFC 6052, 2.1).
    Of one that is made of an IPv4 address no more than `v4` bits of that stay: 6to4's 2002::/16 has it
    from bit 16 on (RFC 3056, 2), Teredo's 2001::/32 from bit 32 on, and another at the end (RFC 4380, 4).
    What is no address cannot be masked.
    """

    rule: Literal["ip_prefix"]
    v4: int = Field(
        default=24, ge=0, le=_V4_BITS, description="Bits that remain of an IPv4 address."
    )
    v6: int = Field(
        default=48, ge=0, le=_V6_BITS, description="Bits that remain of an IPv6 address."
    )

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from STRING."""
        if type_kind(column) is not Kind.STRING:
            raise self.refuse(column, "STRING")
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The column of networks, which is computed outside of the query."""
        del quoted, context
        return parameters.bind_column(column.name, self._find_networks)

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """What has no network."""
        del column, parameters, context
        malformed = f"{names.raw} IS NOT NULL AND {names.masked} IS NULL"
        return (Fault(reason=Reason.MALFORMED_IP, condition=malformed),)

    def _find_networks(self, addresses: pa.ChunkedArray) -> pa.ChunkedArray:
        return compute_frame(addresses, self._transform, doing="reading IP addresses")

    def _transform(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

        address = pl.col(TEXT).str.strip_chars(WHITE_SPACE).str.to_lowercase()
        frame = frame.select(address).with_columns(_read_octets("", f"^{_V4}$"))
        plain = _write_v4(_OCTETS, bits=self.v4)
        if not frame[TEXT].str.contains(":", literal=True).any():
            return frame.select(plain.alias(TEXT))
        frame = _read_groups(frame.with_columns(plain.alias("plain")))
        high, low = pl.col("g6"), pl.col("g7")
        inner = [high // 256, high % 256, low // 256, low % 256]
        frame = frame.with_columns(it.alias(name) for it, name in zip(inner, _OCTETS, strict=True))
        inner_v4 = _write_v4(_OCTETS, bits=self.v4)
        frame = frame.with_columns(pl.when(_stands_for_v4()).then(inner_v4).alias("inner"))
        frame = _write_v6(frame, bits=self.v6, inner_bits=self.v4)
        return frame.select(pl.coalesce("plain", "inner", TEXT).alias(TEXT))


def _read_octets(before: str, pattern: str) -> list["pl.Expr"]:
    """Columns of the four octets; `pattern` has a group for each of them, behind that of `before`."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    found = pl.col(TEXT).str.extract_groups(pattern)
    first = 2 if before else 1
    octets = [
        found.struct.field(str(index)).str.to_integer(dtype=pl.Int64, strict=False).alias(name)
        for index, name in enumerate(_OCTETS, start=first)
    ]
    return [*octets, found.struct.field("1").alias(before)] if before else octets


def _read_groups(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Columns of the eight groups of an IPv6 address as numbers; NULL where the text is none."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    # An address may end like one of IPv4: that is two groups in another notation.
    frame = frame.with_columns(_read_octets("front", f"^([0-9a-f:]*:){_V4}$"))
    first, second, third, fourth = (pl.col(name) for name in _OCTETS)
    ends = _write_hex(first * 256 + second) + ":" + _write_hex(third * 256 + fourth)
    frame = frame.with_columns(pl.coalesce(pl.col("front") + ends, TEXT).alias(TEXT))
    halves = pl.col(TEXT).str.extract_groups(f"^({_SOME})::({_SOME})$")
    head, rest = (halves.struct.field(str(it)) for it in (1, 2))
    # One colon more than the group needs, so that colons count groups.
    frame = frame.with_columns(
        pl.when(head == "").then(head).otherwise(head + ":").alias("head"),
        pl.when(rest == "").then(rest).otherwise(":" + rest).alias("rest"),
    )
    colons = (pl.col("head") + pl.col("rest")).str.count_matches(":", literal=True)
    zeros = _choose(_ZEROS, _GROUPS - colons.cast(pl.Int64))
    frame = frame.with_columns(zeros.alias("zeros"))
    whole = pl.coalesce(pl.col("head") + pl.col("zeros") + pl.col("rest"), TEXT)
    groups = whole.str.extract_groups("^" + ":".join([f"({_GROUP})"] * _GROUPS) + "$")
    return frame.with_columns(groups.alias("groups")).with_columns(
        pl.col("groups")
        .struct.field(str(index))
        .str.to_integer(base=16, dtype=pl.Int64, strict=False)
        .alias(name)
        for index, name in enumerate(_NAMES, start=1)
    )


def _write_v4(names: Sequence[str], *, bits: int) -> "pl.Expr":
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    octets = [_hide(name, bits=bits, index=index, width=8) for index, name in enumerate(names)]
    return pl.concat_str(octets, separator=".") + f"/{bits}"


def _begins_with(groups: Sequence[int]) -> "pl.Expr":
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    names = _NAMES[: len(groups)]
    return pl.all_horizontal(
        pl.col(name) == group for name, group in zip(names, groups, strict=True)
    )


def _stands_for_v4() -> "pl.Expr":
    """Whether the last two groups are an IPv4 address, and the others only say so."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    is_mapped = _begins_with((0, 0, 0, 0, 0, _MAPPED))
    is_nat64 = _begins_with((*_NAT64, 0, 0, 0, 0))
    # "::" and "::1" are no such addresses: nothing and this machine.
    is_compatible = _begins_with((0, 0, 0, 0, 0, 0)) & ((pl.col("g6") > 0) | (pl.col("g7") > 1))
    return is_mapped | is_nat64 | is_compatible


def _write_v6(frame: "pl.DataFrame", *, bits: int, inner_bits: int) -> "pl.DataFrame":
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    fewer = {
        begins: start + inner_bits
        for begins, start in _HOLDING_V4.items()
        if start + inner_bits < bits
    }
    hidden = [
        _hide(name, bits=bits, index=index, width=_GROUP_BITS) for index, name in enumerate(_NAMES)
    ]
    width = pl.lit(f"/{bits}")
    for begins, most in fewer.items():
        is_such = _begins_with(begins)
        hidden = [
            pl.when(is_such)
            .then(_hide(name, bits=most, index=index, width=_GROUP_BITS))
            .otherwise(before)
            for index, (name, before) in enumerate(zip(_NAMES, hidden, strict=True))
        ]
        width = pl.when(is_such).then(pl.lit(f"/{most}")).otherwise(width)
    frame = frame.with_columns(width.alias("width"))
    groups = [_write_hex(number) for number in hidden]
    frame = frame.with_columns((":" + pl.concat_str(groups, separator=":") + ":").alias("whole"))
    # The longest run of two zeros or more becomes "::", the first of them if there are more:
    # RFC 5952, section 4.2.
    whole = pl.col("whole")
    runs = [":0" * count + ":" for count in range(_GROUPS, 1, -1)]
    shortened = [
        pl.when(whole.str.contains(run, literal=True)).then(
            whole.str.replace(run, "::", literal=True)
        )
        for run in runs
    ]
    frame = frame.with_columns(pl.coalesce(*shortened, whole).alias(TEXT))
    # The colons at both ends go, unless they are half of the "::".
    text = pl.col(TEXT)
    begun = pl.when(text.str.starts_with("::")).then(text).otherwise(text.str.strip_prefix(":"))
    frame = frame.with_columns(begun.alias(TEXT))
    ended = pl.when(text.str.ends_with("::")).then(text).otherwise(text.str.strip_suffix(":"))
    return frame.with_columns((ended + pl.col("width")).alias(TEXT))


def _hide(name: str, *, bits: int, index: int, width: int) -> "pl.Expr":
    """The part of an address at `index`, `width` bits wide, without what is beyond the first `bits`."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    hidden = min(max((index + 1) * width - bits, 0), width)
    return pl.col(name) - pl.col(name) % (1 << hidden)


def _write_hex(numbers: "pl.Expr") -> "pl.Expr":
    return _choose(_list_hex(), numbers)


def _choose(texts: Sequence[str | None], index: "pl.Expr") -> "pl.Expr":
    """The text at `index`; NULL where there is none, or no index."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    inside = pl.when(index.is_between(0, len(texts) - 1)).then(index)
    return pl.lit(pl.Series(texts)).gather(inside)


@cache
def _list_hex() -> tuple[str, ...]:
    return tuple(f"{number:x}" for number in range(1 << _GROUP_BITS))

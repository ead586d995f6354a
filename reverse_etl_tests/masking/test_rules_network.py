"""What remains of an IP address: known answers, and Python's ipaddress over many inputs."""

import ipaddress

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reverse_etl.masking.rules import IpPrefix
from reverse_etl_tests.masking.conftest import MaskValues

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
sparse = st.lists(st.sampled_from([0, 0, 1, 0xFFFF]), min_size=8, max_size=8)
addresses = (
    st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
    | st.ip_addresses(v=6).map(lambda address: address.exploded.upper())
    | st.ip_addresses(v=4).map("::ffff:{}".format)
    | st.ip_addresses(v=4).map("64:ff9b::{}".format)
    | st.ip_addresses(v=4).map("::{}".format)
    | st.ip_addresses(network="2002::/16").map(str)
    | st.ip_addresses(network="2001::/32").map(str)
    | sparse.map(lambda groups: ":".join(f"{group:x}" for group in groups))
    | sparse.map(lambda groups: str(ipaddress.IPv6Address(":".join(f"{it:x}" for it in groups))))
)
address_like = st.text(st.sampled_from("0123456789abF:.:/% "), max_size=20)


SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
TEREDO = ipaddress.IPv6Network("2001::/32")
STANDS_FOR_V4 = [ipaddress.IPv6Network(it) for it in ("::ffff:0:0/96", "64:ff9b::/96", "::/96")]


def network_of(text: str, *, v4: int, v6: int) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        if address in SIX_TO_FOUR:
            v6 = min(v6, 16 + v4)
        elif address in TEREDO:
            v6 = min(v6, 32 + v4)
        elif any(address in network for network in STANDS_FOR_V4) and int(address) > 1:
            address = ipaddress.IPv4Address(int(address) % (1 << 32))
    bits = v4 if address.version == 4 else v6
    return str(ipaddress.ip_network((address, bits), strict=False))


@many
@given(
    values=st.lists(st.none() | addresses | address_like, max_size=20),
    v4=st.integers(0, 32),
    v6=st.integers(0, 128),
)
def test_network_equals_that_of_the_standard_library(
    mask_values: MaskValues, values: list[str | None], v4: int, v6: int
) -> None:
    """Every notation of an address, at every width; what is none is NULL."""
    rule = IpPrefix(name="x", rule="ip_prefix", v4=v4, v6=v6)

    masked = mask_values(rule, values, pa.string())

    assert masked == [None if it is None else network_of(it, v4=v4, v6=v6) for it in values]


def test_network_of_known_addresses(mask_values: MaskValues) -> None:
    """A mapped address is the IPv4 address it carries; a zone, a port or a width makes it malformed."""
    known = {
        "192.0.2.77": "192.0.2.0/24",
        " 192.0.2.77\n": "192.0.2.0/24",
        "2001:DB8:7:1::1": "2001:db8:7::/48",
        "2001:0db8:0007:0001:0000:0000:0000:0001": "2001:db8:7::/48",
        "::ffff:192.0.2.77": "192.0.2.0/24",
        "::ffff:c000:24d": "192.0.2.0/24",
        "::": "::/48",
        "::1": "::/48",
        "::192.0.2.77": "192.0.2.0/24",
        "64:ff9b::192.0.2.77": "192.0.2.0/24",
        "64:ff9b::c000:24d": "192.0.2.0/24",
        "64:ff9b:1::c000:24d": "64:ff9b:1::/48",
        "2002:c000:24d::1": "2002:c000:200::/40",
        "2001:0:c000:24d:1::1": "2001:0:c000::/48",
        "2001:db8:c000:24d::1": "2001:db8:c000::/48",
        "192.0.2.077": None,
        "192.0.2.256": None,
        "192.0.2.0/24": None,
        "192.0.2.1:80": None,
        "fe80::1%eth0": None,
        "1:2:3:4:5:6:7::8": None,
        "1::2::3": None,
        "localhost": None,
        "": None,
    }

    masked = mask_values(IpPrefix(name="x", rule="ip_prefix"), [*known, None], pa.string())

    assert masked == [*known.values(), None]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1/128"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1/128"),
        ("2003:0:0:1:0:0:0:1", "2003:0:0:1::1/128"),
        ("0:0:0:0:0:0:0:0", "::/128"),
        ("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::/128"),
        ("0:0:3:4:5:6:7:8", "::3:4:5:6:7:8/128"),
    ],
)
def test_ipv6_is_written_in_canonical_form(
    mask_values: MaskValues, address: str, expected: str
) -> None:
    """The examples of RFC 5952: the longest run is shortened, the first of equals, never one group."""
    rule = IpPrefix(name="x", rule="ip_prefix", v6=128)

    assert mask_values(rule, [address], pa.string()) == [expected]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2002:c000:24d:1::1", "2002:c000:200::/40"),
        ("2001:0:c000:24d:8000:63bf:3fff:fdb2", "2001:0:c000:200::/56"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8::c000:24d", "2001:db8::c000:24d/128"),
    ],
)
def test_no_more_stays_of_an_inner_address_than_of_a_plain_one(
    mask_values: MaskValues, address: str, expected: str
) -> None:
    """However many bits of IPv6 stay, what 6to4 and Teredo make of an IPv4 address loses its host."""
    rule = IpPrefix(name="x", rule="ip_prefix", v4=24, v6=128)

    assert mask_values(rule, [address], pa.string()) == [expected]


@pytest.mark.parametrize("options", [{"v4": 33}, {"v6": 129}, {"v4": -1}])
def test_width_beyond_the_address_is_refused(options: dict[str, int]) -> None:
    """There are 32 bits in one kind of address and 128 in the other."""
    with pytest.raises(ValidationError):
        IpPrefix.model_validate({"name": "x", "rule": "ip_prefix"} | options)

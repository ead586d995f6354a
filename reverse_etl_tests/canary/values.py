"""The canaries: one unmistakable value a column, and every shape in which it could be met elsewhere."""

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Any

ROWS = 24
SYNC = "nest"

# So much of a text gives it away, at its beginning as at its end.
_TELLING = 12
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Canary:
    """A value of one column. `type` is BigQuery's, `sql` what DuckDB makes the value of."""

    type: str
    sql_type: str
    value: Any
    #: Bytes of which none may be met where the value has no business.
    shapes: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", frozenset(_shape(self.value)))


def _shape(value: Any) -> Iterable[bytes]:
    match value:
        case str():
            yield from _shape_text(value)
        case bytes():
            yield from _shape_binary(value)
        case int():
            yield from _shape_number(value)
        case Decimal():
            yield str(value).rstrip("0").encode()
            yield from _shape_number(int(value.scaleb(9)))
        case dt.datetime():
            yield from (f"{value:%Y-%m-%d{sign}%H:%M}".encode() for sign in "T ")
            yield f"{value.year}, {value.month}, {value.day}, {value.hour}".encode()
            yield from _shape_number((value - _EPOCH) // dt.timedelta(microseconds=1))
        case dt.date():
            yield from (f"{value:%Y-%m-%d}".encode(), f"{value:%Y%m%d}".encode())
            yield f"date({value.year}, {value.month}, {value.day})".encode()
        case dict() | list():
            members = value.values() if isinstance(value, dict) else value
            yield from chain.from_iterable(map(_shape, members))


def _shape_text(value: str) -> Iterable[bytes]:
    yield from _shape_bytes(value.encode()[:_TELLING])
    yield from _shape_bytes(value.encode()[-_TELLING:])
    for piece in (value[:_TELLING], value[-_TELLING:]):
        yield from (piece.encode("utf-16-le"), piece.encode("utf-16-be"))


def _shape_binary(value: bytes) -> Iterable[bytes]:
    for piece in (value[:_TELLING], value[-_TELLING:]):
        yield from _shape_bytes(piece)
        yield repr(piece)[2:-1].encode()
        yield repr(piece)[2:-1].upper().replace("\\X", "\\x").encode()


def _shape_bytes(value: bytes) -> Iterable[bytes]:
    yield value
    yield from (value.hex().encode(), value.hex().upper().encode())
    # A value may begin at any of three places of the four letters; the edges then are not its own.
    for ahead in range(3):
        text = base64.b64encode(b"\0" * ahead + value).rstrip(b"=")
        whole = text[4 if ahead else 0 : -1]
        yield from (whole, whole.replace(b"+", b"-").replace(b"/", b"_"))


def _shape_number(value: int) -> Iterable[bytes]:
    size = 8 if abs(value) < 1 << 63 else 16
    yield from (str(value).encode(), f"{value:,}".encode(), f"{value:x}".encode())
    yield from (value.to_bytes(size, order, signed=True) for order in ("little", "big"))


def hatch(seed: int) -> dict[str, Canary]:
    """One canary of each type; those of another seed share no telling piece with them."""
    word = f"q{seed}zk"
    instant = dt.datetime(1900 + seed, 4, 17, 5, seed % 60, 21, 987_654, tzinfo=dt.UTC)
    address = {"city": f"{word}-Nested-Orvieto-{word}", "zip": f"{word}#0815-Zip-7{seed}{word}"}
    return {
        "text": Canary("STRING", "VARCHAR", f"{word}.Wilma Ωlsen' {{}} %s @example.{word}"),
        "number": Canary("INT64", "BIGINT", 7_304_918_265_113_000 + seed),
        "numeric": Canary("NUMERIC", "DECIMAL(38, 9)", Decimal(f"91827364{seed}.123456789")),
        "bytes": Canary(
            "BYTES", "BLOB", bytes(word, "ascii") + bytes(range(0xE0, 0xF4)) + bytes(word, "ascii")
        ),
        "date": Canary("DATE", "DATE", dt.date(1900 + seed, 3, 11)),
        "moment": Canary("TIMESTAMP", "TIMESTAMPTZ", instant),
        "json": Canary("JSON", "JSON", json.dumps({f"{word}-Inside-Json": f"{word}.Json.{word}"})),
        "nested": Canary(
            "ARRAY<STRUCT<city STRING, zip STRING>>",
            "STRUCT(city VARCHAR, zip VARCHAR)[]",
            [address],
        ),
    }


KEPT: Mapping[str, Canary] = {f"kept_{name}": it for name, it in hatch(31).items()}
MASKED: Mapping[str, Canary] = {f"masked_{name}": it for name, it in hatch(53).items()}
DROPPED: Mapping[str, Canary] = {f"dropped_{name}": it for name, it in hatch(77).items()}
#: What appears upstream without being declared.
STRAY: Mapping[str, Canary] = {f"stray_{name}": it for name, it in hatch(91).items()}
#: The key is kept, and different in each row; this is what all of them begin with.
KEY = Canary("STRING", "VARCHAR", "q11zk-user-of-nest-")

#: Must not leave the source.
SECRET: Mapping[str, Canary] = {**MASKED, **DROPPED}
#: Must not be met outside of source, store and Redis.
EVERY: Mapping[str, Canary] = {**SECRET, **KEPT, "user_id": KEY}


def quote_all() -> str:
    """What a careless library would say: every value, as text and as Python writes it."""
    shown = (
        text
        for canary in EVERY.values()
        for text in (str(canary.value), repr(canary.value), ascii(canary.value))
    )
    return " ".join(["could not convert", *shown])


def find_escaped(
    found: Mapping[str, bytes], canaries: Mapping[str, Canary] = EVERY
) -> list[tuple[str, str]]:
    """Which canary is met where: names of both, never a value."""
    return [
        (place, name)
        for place, body in found.items()
        for name, canary in canaries.items()
        if any(shape in body for shape in canary.shapes)
    ]

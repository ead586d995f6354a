"""Where the Arrow batch lies in a serialised ReadRowsResponse, found without copying it.

Google's own classes copy each batch twice, once to parse the message and once to hand it out: a
fifth of all that reading costs. https://protobuf.dev/programming-guides/encoding/ is all there is.
"""

from collections.abc import Iterator
from typing import NamedTuple

# google/cloud/bigquery/storage/v1/storage.proto and arrow.proto: numbers of fields never change.
_ARROW_RECORD_BATCH = 4
_ROW_COUNT = 6
_SERIALIZED_RECORD_BATCH = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10


class Field(NamedTuple):
    """A field of a message: its number, and the value of a number or the place of bytes."""

    number: int
    value: int
    place: slice | None


class Batch(NamedTuple):
    """What a response says of its rows: how many, and where their Arrow message is, if there is one."""

    rows: int
    place: slice | None


def find_batch(message: bytes) -> Batch:
    """The rows of a response; ValueError when `message` is none."""
    rows, place = 0, None
    for field in _read_fields(message, slice(0, len(message))):
        if field.number == _ROW_COUNT:
            rows = field.value
        elif field.number == _ARROW_RECORD_BATCH and field.place is not None:
            place = _find_arrow_message(message, field.place)
    return Batch(rows, place)


def _find_arrow_message(message: bytes, within: slice) -> slice | None:
    place = None
    for field in _read_fields(message, within):
        if field.number == _SERIALIZED_RECORD_BATCH:
            place = field.place
    return place


def _read_fields(message: bytes, within: slice) -> Iterator[Field]:
    position, end = within.start, within.stop
    while position < end:
        key, position = _read_varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _read_varint(message, position)
            yield Field(number, value, None)
            continue
        if kind == _BYTES:
            size, position = _read_varint(message, position)
        elif kind in _FIXED_BYTES:
            size = _FIXED_BYTES[kind]
        else:
            raise ValueError(kind)
        if position + size > end:
            raise ValueError(size)
        yield Field(number, 0, slice(position, position + size))
        position += size
    if position != end:
        raise ValueError(position)


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(message[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 - the eighth bit says that more follows
            return value, position + place + 1
    raise ValueError(position)

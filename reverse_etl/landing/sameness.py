"""Whether two columns hold the same values to the bit: NaN equals itself, and 0.0 is not -0.0. Pure."""

import pyarrow as pa
import pyarrow.compute as pc

_INTEGERS = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


def are_same_tables(one: pa.Table, other: pa.Table) -> bool:
    """Whether the tables have the same columns, in the same order and of the same types and values."""
    return (
        one.schema.names == other.schema.names
        and one.num_rows == other.num_rows
        and all(
            _are_same(left.combine_chunks(), right.combine_chunks())
            for left, right in zip(one.columns, other.columns, strict=True)
        )
    )


def _are_same(one: pa.Array, other: pa.Array) -> bool:
    kind = one.type
    if kind != other.type or len(one) != len(other):
        return False
    if pa.types.is_floating(kind):
        # Arrow's own comparison is that of numbers.
        return one.view(_INTEGERS[kind.bit_width]).equals(other.view(_INTEGERS[kind.bit_width]))
    if not _holds_floats(kind):
        return one.equals(other)
    if not pc.is_valid(one).equals(pc.is_valid(other)):
        return False
    if isinstance(one, pa.StructArray) and isinstance(other, pa.StructArray):
        pairs = zip(one.flatten(), other.flatten(), strict=True)
        return all(_are_same(left, right) for left, right in pairs)
    lengths = pc.list_value_length(one), pc.list_value_length(other)
    return lengths[0].equals(lengths[1]) and _are_same(pc.list_flatten(one), pc.list_flatten(other))


def _holds_floats(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_holds_floats(kind.field(index).type) for index in range(kind.num_fields))
    return pa.types.is_floating(kind)

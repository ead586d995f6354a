"""A source's batch brought into canonical types.

Arrow's own cast does it for all types but two, for which Arrow has less room than BigQuery and
which travel as text: INTERVAL, and BIGNUMERIC, whose 77 digits are one more than Arrow's decimals
promise to hold (what BigQuery sends has them all the same).
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from reverse_etl.errors import ConfigError
from reverse_etl.sources.intervals import write_intervals
from reverse_etl.sources.texts import join_texts
from reverse_etl.types import Kind, canonical_field, type_kind

_DIGITS, _PLACES = 76, 38  # of a BIGNUMERIC, as BigQuery sends it


def carry_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A batch in its canonical `schema`, which has the same columns in the same order.

    `ConfigError` for an INTERVAL or BIGNUMERIC that came as neither Arrow's type nor such text:
    any other text would pass for one.
    """
    columns = [
        _carry(column.combine_chunks(), source, target, target.name)
        if _travels_as_text(target)
        else column
        for column, source, target in zip(table.columns, table.schema, schema, strict=True)
    ]
    return pa.table(columns, names=table.column_names).cast(schema)


def write_decimals(array: pa.Array) -> pa.Array:
    """The digits of decimals, 38 places at most: no exponent, no zeros at the end of a fraction."""
    decimals = array.cast(pa.decimal256(_DIGITS, _PLACES))
    # The same bytes as whole numbers: the text of those has no point and never an exponent.
    whole_type = pa.decimal256(_DIGITS, 0)
    whole = pa.Array.from_buffers(
        whole_type, len(decimals), decimals.buffers(), decimals.null_count, decimals.offset
    )
    text = whole.cast(pa.string())
    digits = pc.utf8_lpad(pc.utf8_ltrim(text, "-"), _PLACES + 1, "0")
    sign = pc.utf8_slice_codeunits(text, 0, 1)
    sign = pc.utf8_rtrim(sign, "0123456789")
    before = pc.utf8_slice_codeunits(digits, 0, -_PLACES)
    after = pc.utf8_rtrim(pc.utf8_slice_codeunits(digits, -_PLACES), "0")
    return pc.utf8_rtrim(join_texts(sign, before, ".", after), ".")


def _is_interval(kind: pa.DataType) -> bool:
    return bool(kind == pa.month_day_nano_interval())


#: What Arrow's type for a kind is, and what writes its values.
_WRITERS: dict[Kind, tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]]] = {
    Kind.INTERVAL: (_is_interval, write_intervals),
    Kind.BIGNUMERIC: (pat.is_decimal, write_decimals),
}


def _travels_as_text(field: pa.Field) -> bool:
    inner = (field.type.field(index) for index in range(field.type.num_fields))
    return type_kind(field) in _WRITERS or any(_travels_as_text(it) for it in inner)


def _carry(array: pa.Array, source: pa.Field, target: pa.Field, path: str) -> pa.Array:
    """The array with text in the place of all that `target` wants as text, at any depth."""
    kind = type_kind(target)
    if kind in _WRITERS:
        return _write(array, source, kind, path)
    if not _travels_as_text(target):
        return array
    if isinstance(array, pa.StructArray):
        members = [
            _carry(member, inner, wanted, f"{path}.{wanted.name}")
            for member, inner, wanted in zip(array.flatten(), source.type, target.type, strict=True)
        ]
        names = [member.name for member in source.type]
        return pa.StructArray.from_arrays(members, names, mask=array.is_null())
    items = _carry(
        pc.list_flatten(array), source.type.value_field, target.type.value_field, f"{path}[]"
    )
    # Offsets of our own: those of a slice may begin anywhere, and a NULL may hide items.
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    return pa.ListArray.from_arrays(offsets, items, mask=array.is_null())


def _write(array: pa.Array, source: pa.Field, kind: Kind, path: str) -> pa.Array:
    is_native, write = _WRITERS[kind]
    if is_native(array.type):
        return write(array)
    if type_kind(canonical_field(source)) is kind:
        return array
    raise ConfigError(
        f"Column '{path}' is declared {kind} and came as {source.type}. Cast it to STRING in the query."
    )

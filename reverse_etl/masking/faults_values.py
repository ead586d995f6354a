"""Values that no rule is given: texts of too many bytes, and texts that are no UTF-8.

They are looked for in a raw batch before anything else is done with it, whole arrays at once, and
taken out. A batch without any, as nearly all are, costs a look at its bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from reverse_etl.masking.faults import Reason
from reverse_etl.masking.faults_query import FOUND_BEFORE, write_member
from reverse_etl.masking.nested import ByPath
from reverse_etl.masking.nested_paths import ELEMENT, list_leaves
from reverse_etl.masking.rules.base import Rule

_ASCII_END = 128

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCheck:
    """What is looked at: a whole column, or by its `steps` a place inside of one."""

    column: str
    place: str
    max_bytes: int
    steps: tuple[str | None, ...] | None = None

    def find(self, values: pa.ChunkedArray) -> Iterator[tuple[Reason, Flags]]:
        """The reasons that there are, each with its rows; a row has one reason."""
        leaves = [leaf for chunk in values.chunks for leaf in _list_leaves(chunk, self.steps)]
        is_long = np.zeros(len(values), np.bool_)
        if self._may_be_long(values, leaves):
            is_long = self._fold(values, _weigh) > self.max_bytes
            yield Reason.TOO_LONG, is_long
        if not all(map(_is_utf8, leaves)):
            yield Reason.INVALID_TEXT, (self._fold(values, _count_invalid) > 0) & ~is_long

    def _may_be_long(self, values: pa.ChunkedArray, leaves: Sequence[pa.Array]) -> bool:
        if sum(map(_count_bytes, leaves)) <= self.max_bytes:
            return False
        if pat.is_nested(values.type):
            return True
        texts: Any = values
        longest = pc.max(pc.binary_length(texts)).as_py()
        return longest is not None and longest > self.max_bytes

    def _fold(self, values: pa.ChunkedArray, measure: Callable[[pa.Array], Numbers]) -> Numbers:
        return np.concatenate([_fold(chunk, self.steps, measure) for chunk in values.chunks])


def list_checks(rule: Rule, column: pa.Field) -> Iterator[ValueCheck]:
    """What of a column that leaves has to be looked at."""
    if isinstance(rule, ByPath):
        for path, leaf in list_leaves(column):
            own = rule.rules_by_name[str(path)]
            if own.reads_values and _has_bytes(leaf.type):
                yield ValueCheck(
                    column=column.name, place=str(path), max_bytes=own.max_bytes, steps=path.steps
                )
    elif rule.reads_values and _has_bytes(column.type):
        yield ValueCheck(column=column.name, place=column.name, max_bytes=rule.max_bytes)


def take_out(batch: pa.Table, checks: Sequence[ValueCheck]) -> pa.Table:
    """The batch with NULL in the place of such values, and then with FOUND_BEFORE; else as it is."""
    found = [
        (check, reason, rows)
        for check in checks
        for reason, rows in check.find(batch.column(check.column))
        if rows.any()
    ]
    if not found:
        return batch
    for check, _, rows in found:
        place = batch.column_names.index(check.column)
        values = batch.column(place)
        cleaned = pc.if_else(pa.array(rows), pa.scalar(None, values.type), values)
        batch = batch.set_column(place, batch.schema.field(place), cleaned)
    members = [
        pc.if_else(pa.array(rows), write_member(check.place, reason), pa.scalar(None, pa.string()))
        for check, reason, rows in found
    ]
    return batch.append_column(FOUND_BEFORE, join_members(members))


def join_members(members: Sequence[pa.Array]) -> pa.Array:
    """By row, all members of its reasons that are not NULL; NULL where there is none."""
    # Arrow's join leaves out rows that are NULL in all of its arrays: one of them never is.
    texts: Any = pa.repeat("", len(members[0]))
    join: Any = pc.binary_join_element_wise
    joined = join(texts, *members, ",", null_handling="skip")
    nothing = pa.scalar(None, pa.string())
    by_row: pa.Array = pc.if_else(
        pc.equal(joined, pa.scalar("")), nothing, pc.utf8_ltrim(joined, ",")
    )
    return by_row


def _has_bytes(kind: pa.DataType) -> bool:
    if pat.is_string(kind) or pat.is_binary(kind):
        return True
    return any(_has_bytes(kind.field(index).type) for index in range(kind.num_fields))


def _list_leaves(array: pa.Array, steps: tuple[str | None, ...] | None) -> Iterator[pa.Array]:
    """The texts and bytes inside an array; with `steps` those at that place."""
    if pat.is_list(array.type):
        yield from _list_leaves(pc.list_flatten(array), None if steps is None else steps[1:])
    elif pat.is_struct(array.type):
        for member, values in _list_members(array, steps):
            yield from _list_leaves(values, member)
    elif _has_bytes(array.type):
        yield array


def _list_members(
    array: pa.Array, steps: tuple[str | None, ...] | None
) -> Iterator[tuple[tuple[str | None, ...] | None, pa.Array]]:
    # `flatten` makes NULL what a NULL struct hides.
    flattened = cast("pa.StructArray", array).flatten()
    for member, values in zip(array.type, flattened, strict=True):
        if steps is None:
            yield None, values
        elif steps[0] is not ELEMENT and steps[0] == member.name:
            yield steps[1:], values


def _fold(
    array: pa.Array,
    steps: tuple[str | None, ...] | None,
    measure: Callable[[pa.Array], Numbers],
) -> Numbers:
    """By row, the sum of what `measure` says of each text that is in it."""
    if pat.is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        inner = _fold(pc.list_flatten(array), None if steps is None else steps[1:], measure)
        sums = np.concatenate(([0], np.cumsum(inner)))
        ends = np.cumsum(lengths)
        return np.asarray(sums[ends] - sums[ends - lengths], np.int64)
    if pat.is_struct(array.type):
        folded = [_fold(values, inner, measure) for inner, values in _list_members(array, steps)]
        return np.asarray(sum(folded, np.zeros(len(array), np.int64)))
    return measure(array) if _has_bytes(array.type) else np.zeros(len(array), np.int64)


def _weigh(values: pa.Array) -> Numbers:
    texts: Any = values
    lengths = pc.fill_null(pc.binary_length(texts), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)


def _count_bytes(values: pa.Array) -> int:
    first, last = _find_span(values)
    return last - first


def _is_utf8(values: pa.Array) -> bool:
    first, last = _find_span(values)
    if pat.is_binary(values.type) or first == last:
        return True
    # Plain ASCII, which most columns are, needs no look at where a text ends.
    text = memoryview(cast("pa.Buffer", values.buffers()[2]))[first:last]
    if np.frombuffer(text, np.uint8).max() < _ASCII_END:
        return True
    return _is_valid(values)


def _is_valid(values: pa.Array) -> bool:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:  # its text is not looked at: it may quote one
        return False
    return True


def _count_invalid(values: pa.Array) -> Numbers:
    """1 for each text that is no UTF-8: found by halves, as Arrow tells only that there is one."""
    found = np.zeros(len(values), np.int64)
    if pat.is_binary(values.type):
        return found
    ranges = [(0, len(values))]
    while ranges:
        start, end = ranges.pop()
        if _is_valid(values.slice(start, end - start)):
            continue
        if end - start == 1:
            found[start] = 1
            continue
        middle = (start + end) // 2
        ranges += [(start, middle), (middle, end)]
    return found


def _find_span(values: pa.Array) -> tuple[int, int]:
    """Where in the buffer the texts begin and end."""
    offsets = values.buffers()[1]
    if offsets is None or not len(values) or values.buffers()[2] is None:
        return 0, 0
    ends = np.frombuffer(memoryview(offsets), np.int32)
    return int(ends[values.offset]), int(ends[values.offset + len(values)])

"""Rules by path over a batch: a nested column taken apart, its leaves masked flat, and put together.

Whole arrays at each step: what a batch takes here is its own size again, and no row is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.engine import Engine
from reverse_etl.errors import TerminalError
from reverse_etl.masking.faults_query import FOUND_BEFORE, REASONS, FaultQuery
from reverse_etl.masking.nested import ByPath
from reverse_etl.masking.nested_paths import ELEMENT, Path, list_leaves
from reverse_etl.masking.rules.base import Computed, MaskContext, Names, Parameters, Rule
from reverse_etl.sql import quote_identifier
from reverse_etl.types import Kind, canonical_field, type_kind

_LEAVES = "raw_leaves"
# The engine may give rows in any order, and an element has its place.
_PLACE = ".place"

Numbers = npt.NDArray[np.int64]
#: Puts an array together again, from its masked leaves in the order of the type.
_Rebuild = Callable[[Iterator[pa.Array]], pa.Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SideMask:
    """The compiled rules of leaves whose values stand side by side; more than one if none has faults.

    `query` is None where all values stay as they are.
    """

    paths: tuple[Path, ...]
    raw: pa.Schema
    landed: pa.Schema
    query: str | None
    parameters: dict[str, Any] = field(repr=False)
    computed: tuple[Computed, ...]

    def mask(
        self, engine: Engine, leaves: Sequence[pa.Array]
    ) -> tuple[Sequence[pa.Array], pa.Array | None]:
        """As many values in the same order; and what could not be masked, if that was looked for."""
        if self.query is None:
            return leaves, None
        rows = len(leaves[0])
        flat = pa.Table.from_arrays(list(leaves), schema=self.raw)
        flat = flat.append_column(_PLACE, pa.array(np.arange(rows)))
        for item in self.computed:
            flat = flat.append_column(item.name, item.compute(flat.column(item.source)))
        engine.register(_LEAVES, flat)
        try:
            found = engine.sql(self.query, params=self.parameters).to_arrow_table()
        finally:
            engine.unregister(_LEAVES)
        self._check(found, rows=rows)
        places = found.column(_PLACE).to_numpy()
        if not np.array_equal(places, np.arange(rows)):
            found = found.take(np.argsort(places))
        masked = [_join(found.column(it.name).cast(it.type)) for it in self.landed]
        return masked, _join(found.column(REASONS)) if REASONS in found.column_names else None

    def _check(self, found: pa.Table, *, rows: int) -> None:
        wrong = [
            landed.name
            for landed in self.landed
            if canonical_field(found.schema.field(landed.name)).type != landed.type
        ]
        if wrong or len(found) != rows:
            raise TerminalError(
                f"The rules of {', '.join(map(repr, wrong or self.landed.names))} gave another type, or "
                "another number of values, than they say. Nothing was masked. This is a fault of the "
                "rules, not of the rows: report it."
            )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array lies in a column, and how many of its values each value of those around it has."""

    path: Path
    lengths: tuple[Numbers, ...] = ()

    def step(self, step: str | None, *lengths: Numbers) -> "_Place":
        """One further in; into the elements of arrays with how many there are of each."""
        return _Place(self.path.step(step), (*self.lengths, *lengths))

    def find_rows(self, rows: int) -> Numbers:
        """The row that each value is of."""
        numbers: Numbers = np.arange(rows)
        for lengths in self.lengths:
            numbers = np.repeat(numbers, lengths)
        return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedMask:
    """The compiled rules of one nested column."""

    name: str
    raw: pa.Field
    landed: pa.Field
    sides: tuple[_SideMask, ...]

    def __repr__(self) -> str:
        return f"NestedMask(leaves={sum(len(side.paths) for side in self.sides)})"

    def replace(self, engine: Engine, batch: pa.Table) -> pa.Table:
        """The batch with the masked column, by its own name, in the place of the raw one.

        What could not be masked is in FOUND_BEFORE, behind what is there already.
        """
        column = _join(batch.column(self.raw.name))
        taken: list[tuple[_Place, pa.Array]] = []
        root = _Place(Path(self.raw.name))
        rebuild = self._take_apart(self.raw, self.landed, column, taken, root)
        raw = {place.path: array for place, array in taken}
        places = {place.path: place for place, _ in taken}
        masked: dict[Path, pa.Array] = {}
        found = []
        for side in self.sides:
            values, reasons = side.mask(engine, [raw[path] for path in side.paths])
            masked |= zip(side.paths, values, strict=True)
            if reasons is not None and reasons.null_count < len(reasons):
                numbers = places[side.paths[0]].find_rows(len(column))
                found.append(_list_by_row(reasons, numbers, rows=len(column)))
        rebuilt = rebuild(iter(masked[path] for path in places))
        batch = batch.drop_columns([self.raw.name]).append_column(self.name, rebuilt)
        return _add_found(batch, found)

    def _take_apart(
        self,
        source: pa.Field,
        landed: pa.Field,
        array: pa.Array,
        taken: list[tuple[_Place, pa.Array]],
        place: _Place,
    ) -> _Rebuild:
        """Put the leaves that leave into `taken`, and say how the array is put together."""
        kind = type_kind(source)
        if kind not in {Kind.ARRAY, Kind.STRUCT}:
            taken.append((place, array))
            return next
        missing = pc.is_null(array) if array.null_count else None
        if kind is Kind.ARRAY:
            # Offsets of our own: those of a slice may begin anywhere, and a NULL may hide items.
            lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
            offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
            rebuild_items = self._take_apart(
                source.type.value_field,
                landed.type.value_field,
                pc.list_flatten(array),
                taken,
                place.step(ELEMENT, lengths),
            )
            return lambda masked: pa.ListArray.from_arrays(
                offsets, rebuild_items(masked), type=landed.type, mask=missing
            )
        members = {member.name: member for member in landed.type.fields}
        # What a NULL struct hides is NULL from here on.
        flattened = cast("pa.StructArray", array).flatten()
        rebuilds = [
            self._take_apart(member, members[member.name], values, taken, place.step(member.name))
            for member, values in zip(source.type.fields, flattened, strict=True)
            if member.name in members
        ]
        return lambda masked: pa.StructArray.from_arrays(
            [rebuild(masked) for rebuild in rebuilds], fields=landed.type.fields, mask=missing
        )


def compile_nested(rule: ByPath, source: pa.Field, *, context: MaskContext) -> NestedMask:
    """The rules of one nested column, ready for batches."""
    rules = rule.rules_by_name
    sides: dict[object, dict[Path, pa.Field]] = {}
    for path, leaf in list_leaves(source):
        own = rules[str(path)]
        if own.leaves:
            sides.setdefault(_choose_side(path, own, leaf, context=context), {})[path] = leaf
    return NestedMask(
        name=rule.masked_name,
        raw=source,
        landed=rule.output_field(source),
        sides=tuple(_compile_side(side, rules, context=context) for side in sides.values()),
    )


def _choose_side(path: Path, rule: Rule, leaf: pa.Field, *, context: MaskContext) -> object:
    """What leaves that go through one query have in common; of one with faults it is told by row."""
    query = FaultQuery()
    masked = _add_leaf(query, Parameters(), rule, leaf, context=context)
    if query.finds_faults:
        return path
    return path.repeats, masked == quote_identifier(leaf.name)


def _add_leaf(
    query: FaultQuery, parameters: Parameters, rule: Rule, leaf: pa.Field, *, context: MaskContext
) -> str:
    """Add the rule over a column named by the path, as if that were one of the query; give its SQL."""
    quoted = quote_identifier(leaf.name)
    names = Names(raw=quoted, masked=query.name_value())
    masked = rule.expression(quoted, leaf, parameters, context)
    faults = rule.list_faults(names, leaf, parameters, context)
    query.add(leaf.name, masked, faults=faults, action=rule.action)
    return masked


def _compile_side(
    leaves: Mapping[Path, pa.Field], rules: Mapping[str, Rule], *, context: MaskContext
) -> _SideMask:
    parameters, query = Parameters(), FaultQuery()
    are_kept = [
        _add_leaf(query, parameters, rules[leaf.name], leaf, context=context)
        == quote_identifier(leaf.name)
        for leaf in leaves.values()
    ]
    query.add(_PLACE, quote_identifier(_PLACE))
    return _SideMask(
        paths=tuple(leaves),
        raw=pa.schema(leaves.values()),
        landed=pa.schema([rules[leaf.name].output_field(leaf) for leaf in leaves.values()]),
        query=None if all(are_kept) and not query.finds_faults else query.write(_LEAVES),
        parameters=parameters.values,
        computed=tuple(parameters.computed),
    )


def _list_by_row(reasons: pa.Array, numbers: Numbers, *, rows: int) -> pa.Array:
    """For each row the first of the reasons of its values, without the braces around it."""
    is_faulty = pc.is_valid(reasons)
    members = pc.utf8_slice_codeunits(reasons.filter(is_faulty), 1, -1)
    faulty, first = np.unique(numbers[is_faulty.to_numpy(zero_copy_only=False)], return_index=True)
    places = np.full(rows, -1, np.int64)
    places[faulty] = first
    indices: Any = pa.array(places, mask=places < 0)
    return members.take(indices)


def _add_found(batch: pa.Table, found: list[pa.Array]) -> pa.Table:
    if not found:
        return batch
    if FOUND_BEFORE in batch.column_names:
        found = [_join(batch.column(FOUND_BEFORE)), *found]
        batch = batch.drop_columns([FOUND_BEFORE])
    # Arrow's join leaves out rows that are NULL in all of its arrays: one of them never is.
    texts: Any = pa.repeat("", len(batch))
    join: Any = pc.binary_join_element_wise
    joined = pc.utf8_ltrim(join(texts, *found, ",", null_handling="skip"), ",")
    nothing = pa.scalar(None, pa.string())
    return batch.append_column(
        FOUND_BEFORE, pc.if_else(pc.equal(joined, pa.scalar("")), nothing, joined)
    )


def _join(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece."""
    chunks: list[Any] = column.chunks
    if len(chunks) == 1:
        return cast("pa.Array", chunks[0])
    return cast("pa.Array", pa.concat_arrays([*chunks, pa.array([], column.type)]))

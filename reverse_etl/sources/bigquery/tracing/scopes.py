"""Names: what stands in a FROM, and which of it a name means.

Where BigQuery's rules leave a doubt, a name means all that it could.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.references import TableReference
from reverse_etl.sources.bigquery.tracing.flows import (
    CLEAN,
    Flow,
    Taint,
    choose,
    make_struct,
    opaque,
    take_field,
    unknown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a query; without a name it cannot be referred to."""

    name: str | None
    flow: Flow

    def is_called(self, name: str) -> bool:
        """Whether it goes by that name; case does not count."""
        return self.name is not None and self.name.casefold() == name.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Columns in order. With `rest` there may be others, anywhere between them, that are made of it."""

    columns: tuple[Column, ...] = ()
    rest: Flow | None = None

    def find(self, name: str) -> Flow | None:
        """The column of that name; None: there is none."""
        found = [column.flow for column in self.columns if column.is_called(name)]
        return choose(found) if found else self.rest

    @property
    def taint(self) -> Taint:
        """That of all columns together."""
        return self.row.taint

    @property
    def row(self) -> Flow:
        """A row as a STRUCT."""
        row = make_struct((column.name, column.flow) for column in self.columns)
        return row if self.rest is None else opaque(row.taint, self.rest.taint)


def hide_relation(reason: str) -> Relation:
    """A relation of which nothing is known."""
    return Relation(rest=unknown(reason))


def hide_because(error: ConfigError) -> Relation:
    """A relation of which nothing is known, for what an error says."""
    return hide_relation(error.message[:1].lower() + error.message[1:].rstrip("."))


def spread(flow: Flow) -> Relation:
    """The fields of a STRUCT as columns, as `value.*` gives them."""
    if not flow.fields:
        return Relation(rest=opaque(flow.taint))
    return Relation(columns=tuple(Column(name=name, flow=f) for name, f in flow.fields.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An item of FROM. `value` is what its alias alone stands for, where that is not a row of its columns."""

    alias: str | None
    relation: Relation
    reference: TableReference | None = None
    value: Flow | None = None

    def find(self, path: Sequence[str]) -> Flow | None:
        """What `alias.path` means."""
        if not path:
            return self.relation.row if self.value is None else self.value
        if self.value is not None:
            return _descend(self.value, path)
        found = self.relation.find(path[0])
        return None if found is None else _descend(found, path[1:])

    def strip_name(self, path: Sequence[str]) -> Sequence[str] | None:
        """`path` without the source's name in front; None when it does not begin so."""
        if self.alias is not None and path[0].casefold() == self.alias.casefold():
            return path[1:]
        if self.reference is None:
            return None
        full = [self.reference.project, self.reference.dataset, self.reference.table]
        for name in (full, full[1:]):
            if list(path[: len(name)]) == name:
                return path[len(name) :]
        return None


@dataclass(slots=True, kw_only=True)
class Scope:
    """The names of one SELECT's FROM, inside of those `outer` to it.

    `beside` is the FROM that a join in parentheses is part of. `rows` is what decides how many rows
    there are, as the length of an array does; `conditions` chose rows in the subqueries of FROM.
    """

    outer: "Scope | None" = None
    beside: "Scope | None" = None
    sources: list[Source] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    rests: list[Flow] = field(default_factory=list)
    rows: Taint = CLEAN
    conditions: Taint = CLEAN

    def add(self, source: Source, *, using: Iterable[str] = ()) -> None:
        """Append an item of FROM; the columns of USING become one, and stand in front."""
        shared, names = [], list(using)
        for name in names:
            both = [*self._find_column(name), *_found(source.relation.find(name))]
            flow = choose(both) if both else unknown(f"USING ({name}) names no column")
            shared.append(Column(name=name, flow=flow))
        self.columns = [
            *shared,
            *_without(self.columns, names),
            *_without(source.relation.columns, names),
        ]
        if source.relation.rest is not None:
            self.rests.append(source.relation.rest)
        self.sources.append(source)

    def hide(self, reason: str) -> None:
        """Forget what is known of it so far: anything may come from there."""
        self.sources, self.columns, self.rests = [], [], [unknown(reason)]

    @property
    def relation(self) -> Relation:
        """What `*` stands for."""
        rest = opaque(*(rest.taint for rest in self.rests)) if self.rests else None
        return Relation(columns=tuple(self.columns), rest=rest)

    def find_source(self, name: str) -> Source | None:
        """The item of FROM of that alias, here or outside."""
        for source in self.sources:
            if source.alias is not None and source.alias.casefold() == name.casefold():
                return source
        return self._around.find_source(name) if self._around else None

    @property
    def _around(self) -> "Scope | None":
        return self.beside or self.outer

    def knows(self, name: str) -> bool:
        """Whether a name that begins so is found here or outside, rather than being a table's."""
        if self.find_source(name) or any(column.is_called(name) for column in self.columns):
            return True
        return self._around is not None and self._around.knows(name)

    def find(self, path: Sequence[str]) -> Flow | None:
        """What a name with dots means; None: nothing that is known here or outside."""
        found = [*self._find_in_sources(path), *self._find_among_columns(path)]
        if found:
            return _all_of(found)
        outside = self._around.find(path) if self._around else None
        found = [*self.rests, *_found(outside)]
        return _all_of(found) if found else None

    def _find_in_sources(self, path: Sequence[str]) -> Iterable[Flow]:
        for source in self.sources:
            inner = source.strip_name(path)
            if inner is not None:
                yield from _found(source.find(inner))

    def _find_among_columns(self, path: Sequence[str]) -> Iterable[Flow]:
        for column in self.columns:
            if column.is_called(path[0]):
                yield _descend(column.flow, path[1:])

    def _find_column(self, name: str) -> list[Flow]:
        named = [column.flow for column in self.columns if column.is_called(name)]
        return named or list(self.rests)


def _descend(flow: Flow, path: Sequence[str]) -> Flow:
    for name in path:
        flow = take_field(flow, name)
    return flow


def _found(flow: Flow | None) -> list[Flow]:
    return [] if flow is None else [flow]


def _all_of(flows: list[Flow]) -> Flow:
    """Any of them: which, is not told."""
    first, *others = flows
    if all(other == first for other in others):
        return first
    return opaque(*(flow.taint for flow in flows))


def _without(columns: Iterable[Column], names: list[str]) -> list[Column]:
    return [column for column in columns if not any(column.is_called(name) for name in names)]

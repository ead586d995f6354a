"""What a value is made of: the columns that flow into it, field by field as far as that is known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reverse_etl.sources.bigquery.references import TableReference
from reverse_etl.sources.bigquery.tracing.columns import ColumnFacts

#: Stands at the end of a path for "how many elements the array has". No column can be named so.
ELEMENTS = "[]"

ColumnPath = tuple[TableReference, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """Columns that a value tells something of, and reasons why there may be more of them."""

    columns: frozenset[ColumnPath] = frozenset()
    reasons: frozenset[str] = frozenset()

    def __or__(self, other: "Taint") -> "Taint":
        if not other:
            return self
        return Taint(columns=self.columns | other.columns, reasons=self.reasons | other.reasons)

    def __bool__(self) -> bool:
        return bool(self.columns or self.reasons)


CLEAN = Taint()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A value's origins. `taint` is that of the whole, with all that is nested in it.

    `fields` are those of a STRUCT, or of each element of an ARRAY (`repeated`), by lower-case name in
    order; empty for a scalar, None where they are not known. `rows` is what decides how many elements
    there are.
    """

    taint: Taint = CLEAN
    rows: Taint = CLEAN
    fields: Mapping[str, "Flow"] | None = None
    repeated: bool = False


#: A constant.
NOTHING = Flow(fields={})


def opaque(*taints: Taint) -> Flow:
    """A value computed from others, of unknown shape."""
    taint = join_taints(taints)
    return Flow(taint=taint, rows=taint)


def unknown(reason: str) -> Flow:
    """A value whose origins cannot be told."""
    return opaque(Taint(reasons=frozenset({reason})))


def join_taints(taints: Iterable[Taint]) -> Taint:
    """All of them together."""
    joined = CLEAN
    for taint in taints:
        joined |= taint
    return joined


def read_column(table: TableReference, column: ColumnFacts, above: tuple[str, ...] = ()) -> Flow:
    """A table's column as it stands."""
    path = (*above, column.name)
    count = (*path, ELEMENTS) if column.repeated else path
    return Flow(
        taint=Taint(columns=frozenset({(table, path)})),
        rows=Taint(columns=frozenset({(table, count)})),
        fields=_index((field.name, read_column(table, field, path)) for field in column.fields),
        repeated=column.repeated,
    )


def add_taint(flow: Flow, taint: Taint) -> Flow:
    """A value that something else decided about too, as a condition does; its fields likewise."""
    if not taint:
        return flow
    fields = flow.fields
    if fields is not None:
        fields = {name: add_taint(field, taint) for name, field in fields.items()}
    return replace(flow, taint=flow.taint | taint, rows=flow.rows | taint, fields=fields)


def make_struct(members: Iterable[tuple[str | None, Flow]]) -> Flow:
    """A STRUCT of named values. Where a name is missing or stands twice, its fields are not told apart."""
    members = list(members)
    return Flow(taint=join_taints(flow.taint for _, flow in members), fields=_index(members))


def _index(members: Iterable[tuple[str | None, Flow]]) -> Mapping[str, Flow] | None:
    members = list(members)
    fields = {name.casefold(): flow for name, flow in members if name is not None}
    return fields if len(fields) == len(members) else None


def choose(flows: Iterable[Flow]) -> Flow:
    """One of several values, of one type: by CASE, COALESCE, UNION or position in an array."""
    # Constants add nothing; but one of unknown shape may give its names to the fields of the others.
    flows = [flow for flow in flows if flow.taint or flow.fields != {}]
    if len(flows) <= 1:
        return flows[0] if flows else NOTHING
    return Flow(
        taint=join_taints(flow.taint for flow in flows),
        rows=join_taints(flow.rows for flow in flows),
        fields=_choose_fields([flow.fields for flow in flows]),
        repeated=all(flow.repeated for flow in flows),
    )


def _choose_fields(all_fields: list[Mapping[str, Flow] | None]) -> Mapping[str, Flow] | None:
    """Field by field; None unless every value has the same ones in the same order.

    BigQuery matches the fields of two STRUCTs by place, whatever their names are.
    """
    first, *others = all_fields
    if first is None or any(other is None or list(other) != list(first) for other in others):
        return None
    return {name: choose(fields[name] for fields in all_fields if fields) for name in first}


def take_field(flow: Flow, name: str) -> Flow:
    """One field; the whole of the value where it is not known to have such a field."""
    found = (flow.fields or {}).get(name.casefold())
    return opaque(flow.taint) if found is None else found


def take_element(flow: Flow) -> Flow:
    """One element of an ARRAY."""
    return replace(flow, repeated=False) if flow.repeated else opaque(flow.taint)


def collect(flow: Flow, *, rows: Taint) -> Flow:
    """An ARRAY of such values; `rows` decides how many."""
    return replace(flow, repeated=True, rows=rows)

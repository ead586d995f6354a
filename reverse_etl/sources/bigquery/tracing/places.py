"""What the steps of following a query hand to each other: a query that was followed, and where one stands."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from reverse_etl.sources.bigquery.tracing.flows import (
    CLEAN,
    NOTHING,
    Flow,
    Taint,
    join_taints,
    opaque,
    unknown,
)
from reverse_etl.sources.bigquery.tracing.scopes import Relation, Scope

#: What BigQuery gives beside a table's columns. No policy tag is on them.
_PSEUDO_COLUMNS = frozenset(
    {
        *("_partitiontime", "_partitiondate", "_table_suffix", "_file_name"),
        *("_change_type", "_change_timestamp"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A query that was followed.

    `row` is what its alias stands for where that is not a row of `relation`. `conditions` chose rows
    inside of it (WHERE, ON and their like); `rows` decides how many there are.
    """

    relation: Relation
    row: Flow | None = None
    conditions: Taint = CLEAN
    rows: Taint = CLEAN

    @property
    def value(self) -> Flow:
        """What the query is inside an expression: its only column, or a row."""
        if self.row is not None:
            return self.row
        columns = self.relation.columns
        alone = len(columns) == 1 and self.relation.rest is None
        return columns[0].flow if alone else self.relation.row


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an expression stands: the names it sees, and how a query inside of it is followed."""

    scope: Scope
    trace_query: Callable[[exp.Expr, Scope], Traced]
    follow_node: "Callable[[Place, exp.Expr], Flow]"
    windows: Mapping[str, exp.Expr] = field(default_factory=dict)
    aliases: Mapping[str, Flow] = field(default_factory=dict)
    arguments: frozenset[str] = frozenset()

    def follow(self, node: exp.Expr | None) -> Flow:
        """What flows into the value of `node`."""
        return NOTHING if node is None else self.follow_node(self, node)

    def taint_of(self, nodes: Iterable[exp.Expr | None]) -> Taint:
        """All that flows into several expressions."""
        return join_taints(self.follow(node).taint for node in nodes)

    def look_up(self, path: list[str]) -> Flow:
        """What a name with dots means here."""
        first = path[0].casefold()
        if first in self.arguments:
            return NOTHING  # an element of an array that stands beside the lambda, and counts there
        flows = [self.scope.find(path), self.aliases.get(first)]
        found = [flow for flow in flows if flow is not None]
        if len(found) > 1:
            return opaque(*(flow.taint for flow in found))
        if found:
            return found[0]
        if path[-1].casefold() in _PSEUDO_COLUMNS:
            return NOTHING
        return unknown(f"the name '{'.'.join(path)}' is not found")

"""What surrounds a piece of a query while it is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from reverse_etl.sources.dialect.values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a name without a table in front may mean at one place of a SELECT (names in lower case).

    `aliases` are names of the SELECT list, where BigQuery lets them win. `hidden` are such names where
    BigQuery does not see them and DuckDB would. `only`, if given, are the only names that may stand bare.
    """

    aliases: Mapping[str, Value] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings. `tables` fills up as they are met; `nested` holds inside an expression's subquery.

    `windows` says of each named window whether it is ordered. `write_value` and `write_query` are the two
    ways down; they stand here so that the modules of this package need not import each other in circles.
    """

    write_value: Callable[["Context", exp.Expr], Value]
    write_query: Callable[["Context", exp.Expr], str]
    tables: dict[str, None] = field(default_factory=dict)
    ctes: frozenset[str] = frozenset()
    windows: Mapping[str, bool] = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)
    nested: bool = False

    def value(self, node: exp.Expr) -> Value:
        """The expression, written."""
        return self.write_value(self, node)

    def text(self, node: exp.Expr) -> str:
        """The expression's text."""
        return self.write_value(self, node).sql

    def subquery(self, node: exp.Expr) -> str:
        """A query that stands inside an expression, in parentheses."""
        return f"({self.write_query(replace(self, nested=True), node)})"

    def within(self, scope: Scope) -> "Context":
        """The same surroundings at another place of the SELECT."""
        return replace(self, scope=scope)

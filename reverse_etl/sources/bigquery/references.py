"""Which tables a query reads, by its text alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.tracing.functions import find_routines, name_table_function
from reverse_etl.sources.bigquery.tracing.query_tree import TOO_DEEP, parse_query

_PROJECT = re.compile(r"[\w.:-]+")
_DATASET = re.compile(r"[\w-]*")
_TABLE = re.compile(r"[\w -]+(?:[$@][\w+-]+)?|[\w -]*\*")
_METADATA = "INFORMATION_SCHEMA"
_LONGEST_PATH = 3  # project.dataset.table


@dataclass(frozen=True, slots=True, order=True)
class TableReference:
    """A table by its full name. What a query writes after it, such as an alias, is not part of it."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return ".".join(part for part in (self.project, self.dataset, self.table) if part)

    @property
    def unusual(self) -> str | None:
        """What it is instead of the name of one table; None: it is one."""
        if self.table.upper().startswith(f"{_METADATA}."):
            return f"{_METADATA} view"
        if self.table.endswith("*"):
            return "wildcard table"
        return "table decorator" if "$" in self.table or "@" in self.table else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlace:
    """A table where a query names it."""

    reference: TableReference
    node: exp.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What a query reads: the places where it names tables, in order, and what hides others.

    `functions` are table functions and routines that somebody created: they may read tables that the
    query does not name.
    """

    places: tuple[TablePlace, ...]
    functions: tuple[str, ...]

    @property
    def tables(self) -> tuple[TableReference, ...]:
        """Each table once, in the order of the text."""
        return tuple(dict.fromkeys(place.reference for place in self.places))


def find_tables(
    query: str, *, project: str, default_dataset: str | None = None
) -> tuple[TableReference, ...]:
    """The tables that a query names, each once; `ConfigError` when the query is not understood.

    Names of WITH and arrays in FROM (`FROM t, t.items`) are no tables. Wildcard tables and
    INFORMATION_SCHEMA views are among them; `TableReference.unusual` tells.
    """
    tree = parse_query(query)
    return find_references(tree, project=project, default_dataset=default_dataset).tables


def find_references(
    tree: exp.Query, *, project: str, default_dataset: str | None = None
) -> References:
    """Everything that a parsed query reads; `ConfigError` when a name is not understood."""
    finder = _Finder(project=project, default_dataset=default_dataset)
    try:
        finder.visit(tree, ctes=frozenset(), aliases=frozenset())
    except RecursionError:
        raise ConfigError(TOO_DEEP) from None
    functions = dict.fromkeys([*finder.functions, *find_routines(tree)])
    return References(places=tuple(finder.places), functions=tuple(functions))


def name_table(node: exp.Table, *, project: str, default_dataset: str | None) -> TableReference:
    """The full name of a table in FROM; `ConfigError` when it lacks its dataset or is of another form."""
    parts = [part.name for part in node.parts]
    if len(parts) > _LONGEST_PATH:
        raise ConfigError(
            f"The table name '{'.'.join(parts)}' has more parts than project.dataset.table."
        )
    if len(parts) == 1 and not parts[0].upper().startswith(f"{_METADATA}."):
        if default_dataset is None:
            raise ConfigError(f"The table '{parts[0]}' has no dataset. Write dataset.{parts[0]}.")
        parts = [*default_dataset.rsplit(".", 1), *parts]
    table, dataset, owner = (*reversed(parts), "", "")[:_LONGEST_PATH]
    reference = TableReference(owner or project, dataset, table)
    plain = table.removeprefix(f"{_METADATA}.")
    forms = ((_PROJECT, reference.project), (_DATASET, dataset), (_TABLE, plain))
    if not all(form.fullmatch(name) for form, name in forms):
        raise ConfigError(
            f"'{reference}' is not understood as a table's name. Write it in backquotes."
        )
    return reference


def is_cte(node: exp.Table, names: frozenset[str] | set[str]) -> bool:
    """Whether a name in FROM is one that WITH gave; `names` in lower case."""
    return len(node.parts) == 1 and node.name.casefold() in names


def first_name(node: exp.Table) -> str:
    """The first part of a name in FROM: where it is an alias, the name is that of an array."""
    return node.parts[0].name.casefold()


@dataclass(slots=True, kw_only=True)
class _Finder:
    project: str
    default_dataset: str | None
    places: list[TablePlace] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)

    def visit(self, node: exp.Expr, *, ctes: frozenset[str], aliases: frozenset[str]) -> None:
        """A node and what is below it. `aliases` are those that a name in FROM may begin with."""
        if isinstance(node, exp.Table):
            self._visit_item(node, ctes=ctes, aliases=aliases)
            return
        if not isinstance(node, exp.Query):
            # Without recursion: conditions can be long chains.
            for found in node.walk(prune=_reads):
                if _reads(found):
                    self.visit(found, ctes=ctes, aliases=aliases)
            return
        clause = node.args.get("with_")
        if isinstance(clause, exp.With):
            ctes = self._visit_with(clause, ctes=ctes, aliases=aliases)
        if isinstance(node, exp.Select):
            aliases = self._visit_from(node, ctes=ctes, aliases=aliases)
        for child in _children(node, without={"with_"} | _from_args(node)):
            self.visit(child, ctes=ctes, aliases=aliases)

    def _visit_with(
        self, clause: exp.With, *, ctes: frozenset[str], aliases: frozenset[str]
    ) -> frozenset[str]:
        """Each table of WITH sees those before it; with RECURSIVE, all of them."""
        if clause.args.get("recursive"):
            ctes |= {table.alias.casefold() for table in clause.expressions}
        for table in clause.expressions:
            self.visit(table.this, ctes=ctes, aliases=aliases)
            ctes |= {table.alias.casefold()}
        return ctes

    def _visit_from(
        self, select: exp.Select, *, ctes: frozenset[str], aliases: frozenset[str]
    ) -> frozenset[str]:
        start = select.args.get("from_")
        inside = aliases
        for item in [*([start.this] if start else []), *(select.args.get("joins") or [])]:
            inside |= self._visit_item(item, ctes=ctes, aliases=inside, outer=aliases)
        return inside

    def _visit_item(
        self,
        node: exp.Expr,
        *,
        ctes: frozenset[str],
        aliases: frozenset[str],
        outer: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        """An item of FROM; the aliases that it gives. A subquery there sees the `outer` ones alone."""
        if isinstance(node, exp.Join):
            given = self._visit_item(node.this, ctes=ctes, aliases=aliases, outer=outer)
            for child in _children(node, without={"this"}):
                self.visit(child, ctes=ctes, aliases=aliases | given)
            return given
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            return self._visit_item(node.this, ctes=ctes, aliases=aliases, outer=outer)
        if isinstance(node, exp.Subquery):
            self.visit(node.this, ctes=ctes, aliases=outer)
            for child in _children(node, without={"this"}):
                self.visit(child, ctes=ctes, aliases=aliases)
            return _names_of(node)
        if not isinstance(node, exp.Table):
            for child in _children(node, without=set()):
                self.visit(child, ctes=ctes, aliases=aliases)
            return _names_of(node)
        return self._visit_table(node, ctes=ctes, aliases=aliases, outer=outer)

    def _visit_table(
        self,
        node: exp.Table,
        *,
        ctes: frozenset[str],
        aliases: frozenset[str],
        outer: frozenset[str],
    ) -> frozenset[str]:
        function = name_table_function(node)
        is_array = len(node.parts) > 1 and first_name(node) in aliases
        if function is not None:
            self.functions.append(function)
        elif not (is_cte(node, ctes) or is_array):
            reference = name_table(node, project=self.project, default_dataset=self.default_dataset)
            self.places.append(TablePlace(reference=reference, node=node))
        given = _names_of(node)
        for child in _children(node, without={"joins"} | ({"this"} if function is None else set())):
            self.visit(child, ctes=ctes, aliases=aliases)
        for join in node.args.get("joins") or []:
            given |= self._visit_item(join, ctes=ctes, aliases=aliases | given, outer=outer)
        return given


def _reads(node: exp.Expr) -> bool:
    return isinstance(node, exp.Query | exp.Table)


def _from_args(node: exp.Expr) -> set[str]:
    return {"from_", "joins"} if isinstance(node, exp.Select) else set()


def _children(node: exp.Expr, *, without: set[str]) -> Iterator[exp.Expr]:
    for name, value in node.args.items():
        if name not in without:
            yield from (
                child
                for child in (value if isinstance(value, list) else [value])
                if isinstance(child, exp.Expr)
            )


def _names_of(node: exp.Expr) -> frozenset[str]:
    """The names by which the rest of FROM knows an item."""
    alias = node.args.get("alias")
    columns = alias.args.get("columns") or [] if isinstance(alias, exp.TableAlias) else []
    names = [node.alias_or_name, *(column.name for column in columns)]
    pivots = node.args.get("pivots") or []
    names += [pivot.alias for pivot in pivots]
    return frozenset(name.casefold() for name in names if name)

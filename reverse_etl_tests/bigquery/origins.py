"""Which columns of a query merely pass on a table's column: those keep BigQuery's own type of it."""

from collections.abc import Mapping
from typing import TypeAlias

import pyarrow as pa
from sqlglot import exp

#: A relation's columns in order; None for one that is computed.
Columns: TypeAlias = dict[str, pa.Field | None]
_PLAIN = {"expressions", "from_"}
# What a table or subquery may have without being more than its rows.
_NAMED = {"this", "db", "catalog", "alias"}
# A column, and the table before it.
_PARTS = 2


def find_origins(tree: exp.Expr, tables: Mapping[str, pa.Schema]) -> dict[str, pa.Field]:
    """Each column of the result that is a column of a table, and that column.

    `tables` holds the schema of every table of the query by its path as written, in lower case.
    """
    return {
        name: field for name, field in _read_columns(tree, tables, {}).items() if field is not None
    }


def find_projection(tree: exp.Expr, table: pa.Schema) -> dict[str, str] | None:
    """The result's columns, each with the column of the one table they are taken from.

    None when the query does more than choose columns: then it has to be run.
    """
    if not isinstance(tree, exp.Select) or any(
        value for name, value in tree.args.items() if name not in _PLAIN
    ):
        return None
    inner = _read_source(tree, table)
    if inner is None:
        return None
    chosen: list[tuple[str, str]] = []
    for node in tree.expressions:
        found = _choose(node, inner)
        if found is None:
            return None
        chosen += found
    names = {name.lower() for name, _ in chosen}
    return dict(chosen) if len(names) == len(chosen) else None


def _choose(node: exp.Expr, inner: Mapping[str, str]) -> list[tuple[str, str]] | None:
    """The columns that one item of a SELECT list takes as they are; None if it does more."""
    if isinstance(node, exp.Star) and not any(node.args.values()):
        return list(inner.items())
    column = node.unalias()
    if not isinstance(column, exp.Column) or len(column.parts) > _PARTS:
        return None
    names = {name.lower(): origin for name, origin in inner.items()}
    origin = names.get(column.name.lower())
    return None if origin is None else [(node.alias_or_name, origin)]


def _read_source(tree: exp.Select, table: pa.Schema) -> dict[str, str] | None:
    start = tree.args.get("from_")
    source = start.this if start is not None else None
    if source is None or any(value for name, value in source.args.items() if name not in _NAMED):
        return None
    if isinstance(source, exp.Table):
        return {name: name for name in table.names}
    return find_projection(source.this, table) if isinstance(source, exp.Subquery) else None


def _read_columns(
    node: exp.Expr, tables: Mapping[str, pa.Schema], ctes: Mapping[str, Columns]
) -> Columns:
    if isinstance(node, exp.SetOperation):
        return _read_columns(node.left, tables, ctes)
    if isinstance(node, exp.Subquery):
        return _read_columns(node.this, tables, ctes)
    if not isinstance(node, exp.Select):
        return {}
    known = dict(ctes)
    for cte in node.ctes:
        known[cte.alias.lower()] = _read_columns(cte.this, tables, known)
    sources = _read_sources(node, tables, known)
    columns: Columns = {}
    for projection in node.expressions:
        columns |= _read_projection(projection, sources)
    return columns


def _read_sources(
    select: exp.Select, tables: Mapping[str, pa.Schema], ctes: Mapping[str, Columns]
) -> dict[str, Columns]:
    start = select.args.get("from_")
    nodes = [start.this] if start is not None else []
    nodes += [join.this for join in select.args.get("joins") or []]
    sources: dict[str, Columns] = {}
    for node in nodes:
        alias = node.alias_or_name.rpartition(".")[2].lower()
        if isinstance(node, exp.Table):
            path = ".".join(part.name for part in node.parts).lower()
            schema = tables.get(path)
            fields: Columns = {field.name: field for field in schema} if schema else {}
            sources[alias] = ctes.get(path, fields)
        else:
            sources[alias] = _read_columns(node, tables, ctes)
    return sources


def _read_projection(node: exp.Expr, sources: Mapping[str, Columns]) -> Columns:
    if isinstance(node, exp.Star):
        return {name: field for columns in sources.values() for name, field in columns.items()}
    column = node.unalias()
    if not isinstance(column, exp.Column):
        return {node.alias_or_name: None}
    where = [sources.get(column.table.lower(), {})] if column.table else list(sources.values())
    if isinstance(column.this, exp.Star):
        return {name: field for columns in where for name, field in columns.items()}
    for columns in where:
        for name, field in columns.items():
            if name.lower() == column.name.lower():
                return {node.alias_or_name: field}
    return {node.alias_or_name: None}

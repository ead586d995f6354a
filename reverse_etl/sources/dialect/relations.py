"""FROM: tables, subqueries, UNNEST and joins."""

import re
from dataclasses import dataclass, field

from sqlglot import exp

from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.refusals import check_arguments, name_construct, refuse
from reverse_etl.sql import quote_identifier

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# DuckDB's own schemas, and the views it keeps in every one: not the warehouse's tables.
_ENGINE_DATASETS = frozenset({"information_schema", "pg_catalog", "system", "temp", "memory"})
_ENGINE_TABLES = ("duckdb_", "sqlite_", "pragma_", "pg_")
# To DuckDB, a table that does not exist and ends like a file is that file: data.csv is read from disk.
_FILE_ENDING = re.compile(
    "(?i:arrows?|avro|bz2|csvs?|d?db|duckdb|feather|fgb|geojson|gpkg|gpx|gz|ipc|json|jsonl|kml|lance|ndjson"
    "|orc|osm|parquet|pbf|psv|shp|sqlite3?|tsv|txt|vortex|xlsx?|xml|zip|zst)"
)
_JOINS = {
    ("", ""): "JOIN",
    ("", "INNER"): "JOIN",
    ("", "CROSS"): "CROSS JOIN",
    ("LEFT", ""): "LEFT JOIN",
    ("LEFT", "OUTER"): "LEFT JOIN",
    ("RIGHT", ""): "RIGHT JOIN",
    ("RIGHT", "OUTER"): "RIGHT JOIN",
    ("FULL", ""): "FULL JOIN",
    ("FULL", "OUTER"): "FULL JOIN",
}


@dataclass(slots=True, kw_only=True)
class _From:
    """A FROM while it is written. `around` is the place of the whole SELECT, `inside` that of its clauses.

    `tables` and `unnests` are what was met so far.
    """

    around: Context
    inside: Context
    tables: set[str] = field(default_factory=set)
    unnests: int = 0


def find_elements(select: exp.Select) -> frozenset[str] | None:
    """The names of the elements and offsets of a FROM's UNNESTs, in lower case; None: it has no UNNEST."""
    start = select.args.get("from_")
    joins = select.args.get("joins") or []
    sources = [item.this for item in (start, *joins) if item is not None]
    unnests = [source for source in sources if isinstance(source, exp.Unnest)]
    if not unnests:
        return None
    return frozenset(name.lower() for unnest in unnests for name in _read_element_names(unnest))


def write_from(*, around: Context, inside: Context, select: exp.Select) -> str:
    """The FROM clause with its joins, from left to right as BigQuery groups them; nothing without FROM."""
    start = select.args.get("from_")
    if start is None:
        return ""
    state = _From(around=around, inside=inside)
    lines = [f"\nFROM {_write_relation(state, start.this)}"]
    lines += [f"\n{_write_join(state, join)}" for join in select.args.get("joins") or []]
    return "".join(lines)


def _write_join(state: _From, node: exp.Join) -> str:
    check_arguments(node, allowed=frozenset({"this", "on", "using", "side", "kind"}))
    word = _JOINS.get((node.side, node.kind))
    if word is None:
        raise refuse(f"{node.side} {node.kind} JOIN".strip(), node=node)
    lateral = isinstance(node.this, exp.Unnest)
    if lateral and word in ("RIGHT JOIN", "FULL JOIN"):
        raise refuse(f"{word} UNNEST", node=node, instead="LEFT JOIN UNNEST")
    right = _write_relation(state, node.this)
    joined = f"{word} {'LATERAL ' if lateral else ''}{right}"
    condition, using = node.args.get("on"), node.args.get("using")
    if using:
        return f"{joined} USING ({', '.join(quote_identifier(name.name) for name in using)})"
    if condition is not None:
        return f"{joined} ON {state.inside.text(condition)}"
    if word != "CROSS JOIN":
        raise refuse(f"{word} without ON or USING", node=node, instead="ON, USING or CROSS JOIN")
    return joined


def _write_relation(state: _From, node: exp.Expr) -> str:
    if isinstance(node, exp.Table):
        return _write_table(state, node)
    if isinstance(node, exp.Unnest):
        return _write_unnest(state, node)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
        return _write_derived(state, node)
    if isinstance(node, exp.Subquery):
        raise refuse("a join in parentheses", node=node, instead="joins without parentheses")
    raise refuse(name_construct(node), node=node)


def _write_derived(state: _From, node: exp.Subquery) -> str:
    check_arguments(node, allowed=frozenset({"this", "alias"}))
    if state.around.nested:
        # DuckDB would look at the neighbours in FROM for its names, BigQuery at the query around.
        raise refuse("FROM (subquery) inside an expression", node=node)
    alias = _read_alias(node)
    state.tables.add(alias.lower())
    named = f" AS {quote_identifier(alias)}" if alias else ""
    return f"({state.around.write_query(state.around, node.this)}){named}"


def _write_table(state: _From, node: exp.Table) -> str:
    check_arguments(node, allowed=frozenset({"this", "db", "catalog", "alias"}))
    parts = _read_path(node)
    if len(parts) > 1 and parts[0].lower() in state.tables:
        raise refuse("table.array in FROM", node=node)
    alias = _read_alias(node) or parts[-1]
    state.tables.add(alias.lower())
    if len(parts) > 1 or parts[0].lower() not in state.around.ctes:
        state.around.tables[".".join(parts)] = None
    path = ".".join(quote_identifier(part) for part in parts)
    return f"{path} AS {quote_identifier(alias)}"


def _read_path(node: exp.Table) -> list[str]:
    """Dataset and table, or the table alone; the project is left out. Refused unless they are plain names.

    Plain names only: to DuckDB, a table called 'file.csv' is a file.
    """
    parts: list[str] = []
    for name in ("catalog", "db", "this"):
        part = node.args.get(name)
        if part is not None and not isinstance(part, exp.Identifier):
            raise refuse("table function", node=node)
        parts += part.name.split(".") if part is not None else []
    if "INFORMATION_SCHEMA" in (part.upper() for part in parts):
        raise refuse("INFORMATION_SCHEMA", node=node)
    kept = parts[-2:]
    if any("*" in part for part in kept):
        raise refuse("wildcard table", node=node)
    if any("$" in part for part in kept):
        raise refuse("table$partition", node=node)
    if len(parts) > 3 or not all(_TABLE_NAME.fullmatch(part) for part in kept):  # noqa: PLR2004 - project.dataset.table
        raise refuse(
            "A table name of this form", node=node, instead="dataset.table, in plain letters"
        )
    if _FILE_ENDING.fullmatch(kept[-1]):
        raise refuse("A table named like a file", node=node, instead="another name")
    if kept[0].lower() in _ENGINE_DATASETS or kept[-1].lower().startswith(_ENGINE_TABLES):
        raise refuse("A table of the engine itself", node=node, instead="a table of your own")
    return kept


def _write_unnest(state: _From, node: exp.Unnest) -> str:
    """UNNEST(x) AS name WITH OFFSET AS place: an element a row, places from 0; a NULL array has no rows."""
    check_arguments(node, allowed=frozenset({"expressions", "alias", "offset"}))
    names = _read_element_names(node)
    array = state.around.text(node.expressions[0])
    items = f"unnest({array})"
    if len(names) > 1:
        items += f", generate_subscripts({array}, 1) - 1"
    state.unnests += 1
    columns = ", ".join(quote_identifier(name) for name in names)
    return f"(SELECT {items}) AS __unnest{state.unnests}({columns})"


def _read_element_names(node: exp.Unnest) -> list[str]:
    """The element's name, and the offset's if there is one."""
    alias = node.args.get("alias")
    names = [column.name for column in alias.args.get("columns") or []] if alias else []
    if len(names) != 1 or len(node.expressions) != 1:
        raise refuse("UNNEST without alias", node=node)
    offset = node.args.get("offset")
    return [*names, offset.name] if isinstance(offset, exp.Identifier) else names


def _read_alias(node: exp.Table | exp.Subquery) -> str:
    alias = node.args.get("alias")
    if alias is not None:
        check_arguments(alias, allowed=frozenset({"this"}))
    return node.alias

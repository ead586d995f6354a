"""One SELECT, clause by clause."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlglot import exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.calls import Role, direct, write_ordered
from reverse_etl.sources.dialect.context import Context, Scope
from reverse_etl.sources.dialect.endings import END, write_end
from reverse_etl.sources.dialect.functions import WHITELIST
from reverse_etl.sources.dialect.literals import integer_of
from reverse_etl.sources.dialect.refusals import check_arguments, find_line, refuse
from reverse_etl.sources.dialect.relations import find_elements, write_from
from reverse_etl.sources.dialect.values import Kind, Value, cast
from reverse_etl.sources.dialect.windows import with_windows, write_windows
from reverse_etl.sql import quote_identifier

_CLAUSES = frozenset(
    {
        "with_",
        "hint",  # a comment that begins with a plus
        "expressions",
        "distinct",
        "from_",
        "joins",
        "where",
        "group",
        "having",
        "qualify",
        "windows",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a SELECT list: a star (`value` is None), or an expression with its name, if it has one.

    `plain` when it is a column under its own name, with no table in front.
    """

    node: exp.Expr
    sql: str
    name: str = ""
    value: Value | None = None
    plain: bool = False


def write_select(context: Context, node: exp.Select, *, outermost: bool = False) -> str:
    """The SELECT in DuckDB's words. Of the `outermost` one every column needs a name of its own."""
    _check_clauses(node)
    inside = with_windows(_enter(context, node), node.args.get("windows") or [])
    from_sql = write_from(around=context, inside=inside, select=node)
    items = [_write_item(inside, expression) for expression in node.expressions]
    _check_stars(node, items)
    if outermost:
        _check_names(items)
    late = inside.within(replace(inside.scope, aliases=_list_aliases(items)))
    distinct = "DISTINCT " if node.args.get("distinct") else ""
    return "".join(
        (
            f"SELECT {distinct}{', '.join(item.sql for item in items)}",
            from_sql,
            _write_condition("WHERE", inside, node.args.get("where")),
            _write_group(inside, node.args.get("group"), items),
            _write_condition("HAVING", late, node.args.get("having")),
            write_windows(inside, node.args.get("windows") or []),
            _write_condition("QUALIFY", late, node.args.get("qualify")),
            write_end(node, write_item=_order_writer(late, items)),
        )
    )


def _check_clauses(node: exp.Select) -> None:
    kind = node.args.get("kind")
    if kind:
        raise refuse(f"SELECT AS {kind}", node=node)
    check_arguments(node, allowed=_CLAUSES | END)
    distinct = node.args.get("distinct")
    if distinct is not None:
        check_arguments(distinct, allowed=frozenset())


def _enter(context: Context, node: exp.Select) -> Context:
    """The place of the SELECT's own clauses.

    DuckDB reads names of the SELECT list everywhere, after those of FROM but before those of the query
    around, and it does not look into the elements of an UNNEST. So such names are hidden where FROM may
    not have them, and inside an expression a bare name beside UNNEST must be an element's.
    """
    elements = find_elements(node)
    outer = context.scope
    hidden = outer.hidden | outer.aliases.keys() if context.nested else frozenset()
    if context.nested or elements is not None:
        hidden |= {
            expression.alias.lower() for expression in node.expressions if _is_renamed(expression)
        }
    only = elements if context.nested else None
    return context.within(Scope(hidden=frozenset(hidden), only=only))


def _is_renamed(expression: exp.Expr) -> bool:
    """Whether an item has a name that is not the column's own."""
    return isinstance(expression, exp.Alias) and not _is_plain(expression.this, expression.alias)


def _is_plain(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Column) and not node.table and node.name.lower() == name.lower()


def _write_item(context: Context, node: exp.Expr) -> Item:
    star = node.this if isinstance(node, exp.Column) else node
    if isinstance(star, exp.Star):
        path = [part.name for part in node.parts[:-1]] if isinstance(node, exp.Column) else []
        prefix = "".join(f"{quote_identifier(part)}." for part in path)
        return Item(node=node, sql=f"{prefix}*{_write_star(context, star)}")
    inner = node.this if isinstance(node, exp.Alias) else node
    name = node.alias if isinstance(node, exp.Alias) else _implicit_name(node)
    value = context.value(inner)
    if value.kind is Kind.NULL and not _is_operand(node):
        value = Value(sql=cast(value.sql, Kind.INT64), kind=Kind.INT64)
    named = f" AS {quote_identifier(name)}" if name else ""
    return Item(
        node=node, sql=f"{value.sql}{named}", name=name, value=value, plain=_is_plain(inner, name)
    )


def _is_operand(node: exp.Expr) -> bool:
    """Whether the item's SELECT is part of a UNION: only there a NULL takes another type than INT64."""
    select = node.parent
    above = select.parent if select is not None else None
    while isinstance(above, exp.Subquery):
        above = above.parent
    return isinstance(above, exp.SetOperation)


def _implicit_name(node: exp.Expr) -> str:
    """The name that an expression has without AS: the last of its path."""
    if isinstance(node, exp.Column):
        return node.name
    return node.expression.name if isinstance(node, exp.Dot) else ""


def _write_star(context: Context, node: exp.Star) -> str:
    check_arguments(node, allowed=frozenset({"except_", "replace"}))
    excluded = ", ".join(quote_identifier(column.name) for column in node.args.get("except_") or [])
    replaced = ", ".join(
        f"{context.text(item.this)} AS {quote_identifier(item.alias)}"
        for item in node.args.get("replace") or []
    )
    text = f" EXCLUDE ({excluded})" if excluded else ""
    return f"{text} REPLACE ({replaced})" if replaced else text


def _check_stars(node: exp.Select, items: list[Item]) -> None:
    star = next((item.node for item in items if isinstance(item.node, exp.Star)), None)
    if star is None:
        return
    if any(join.args.get("using") for join in node.args.get("joins") or []):
        raise refuse("SELECT * with USING", node=node)
    if find_elements(node) is not None:
        raise refuse("SELECT * with UNNEST", node=node)


def _check_names(items: list[Item]) -> None:
    seen: set[str] = set()
    for place, item in enumerate(items, start=1):
        if item.value is None:
            continue
        line = find_line(item.node)
        where = f"Column {place} of the query" + (f" (line {line})" if line is not None else "")
        if not item.name:
            raise ConfigError(f"{where} has no name. Give it one: AS name.")
        if item.name.lower() in seen:
            raise ConfigError(f"{where} is a second '{item.name}'. Give it another name: AS name.")
        seen.add(item.name.lower())


def _list_aliases(items: list[Item]) -> dict[str, Value]:
    return {
        item.name.lower(): item.value
        for item in items
        if item.value is not None and item.name and not item.plain
    }


def _write_condition(word: str, context: Context, node: exp.Expr | None) -> str:
    return f"\n{word} {context.text(node.this)}" if node is not None else ""


def _write_group(context: Context, node: exp.Group | None, items: list[Item]) -> str:
    if node is None:
        return ""
    check_arguments(node, allowed=frozenset({"expressions", "all"}))
    if any(item.value is None for item in items):
        raise refuse("SELECT * with GROUP BY", node=node, instead="named columns")
    if node.args.get("all"):
        keys = [str(place) for place, item in enumerate(items, start=1) if _is_key(item)]
    else:
        keys = [_write_key(context, key, items) for key in node.expressions]
    return f"\nGROUP BY {', '.join(keys)}" if keys else ""


def _write_key(context: Context, node: exp.Expr, items: list[Item]) -> str:
    """A bare name is the SELECT list's first, in BigQuery; DuckDB asks FROM first. A number settles it."""
    if isinstance(node, exp.Literal):
        return _write_place(node)
    return _find_place(node, items) or context.text(node)


def _write_place(node: exp.Expr) -> str:
    place = integer_of(node)
    if place is None:
        raise refuse("GROUP BY or ORDER BY a constant", node=node, instead="a column or its number")
    return str(place)


def _find_place(node: exp.Expr, items: list[Item]) -> str | None:
    """The number of the item that a bare name names."""
    if not isinstance(node, exp.Column) or node.table:
        return None
    for place, item in enumerate(items, start=1):
        if item.value is not None and item.name.lower() == node.name.lower():
            return str(place)
    return None


def _is_key(item: Item) -> bool:
    """Whether GROUP BY ALL groups by the item: it reads columns, and neither aggregates nor windows."""
    if item.node.find(exp.Subquery, exp.Exists) is not None:
        raise refuse(
            "GROUP BY ALL with a subquery", node=item.node, instead="GROUP BY with the columns"
        )
    aggregated = any(
        called.name.upper() in WHITELIST and WHITELIST[called.name.upper()].role is Role.AGGREGATE
        for called in item.node.find_all(exp.Anonymous)
    )
    windowed = item.node.find(exp.Window) is not None
    return not aggregated and not windowed and item.node.find(exp.Column) is not None


def _order_writer(context: Context, items: list[Item]) -> Callable[[exp.Ordered], str]:
    """The writer of ORDER BY's items, where the SELECT list's names win."""
    has_star = any(item.value is None for item in items)

    def write(node: exp.Ordered) -> str:
        if isinstance(node.this, exp.Literal):
            return direct(node, _write_place(node.this))
        place = _find_place(node.this, items)
        if place is not None:
            # A star has no known width: then the name itself, which DuckDB too takes from the list.
            text = quote_identifier(node.this.name) if has_star else place
            return direct(node, text)
        return write_ordered(context, node)

    return write

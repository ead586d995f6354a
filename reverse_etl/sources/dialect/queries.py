"""Queries made of queries: WITH, UNION and its like, parentheses."""

from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.dialect.calls import direct
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.endings import END, write_end
from reverse_etl.sources.dialect.literals import integer_of
from reverse_etl.sources.dialect.refusals import check_arguments, name_construct, refuse
from reverse_etl.sources.dialect.selects import write_select
from reverse_etl.sql import quote_identifier

_SET_OPERATIONS: dict[type[exp.Expr], str] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}


def write_query(context: Context, node: exp.Expr, *, outermost: bool = False) -> str:
    """One query in DuckDB's words. The `outermost` one makes the columns of the sync."""
    context, prefix = _write_with(context, node)
    if isinstance(node, exp.Select):
        return prefix + write_select(context, node, outermost=outermost)
    if isinstance(node, exp.SetOperation):
        return prefix + _write_set_operation(context, node, outermost=outermost)
    if isinstance(node, exp.Subquery):
        check_arguments(node, allowed=END | {"this", "with_"})
        inner = write_query(context, node.this, outermost=outermost)
        return f"{prefix}({inner}){write_end(node, write_item=_write_output)}"
    raise refuse(name_construct(node), node=node)


def _write_with(context: Context, node: exp.Expr) -> tuple[Context, str]:
    """The WITH clause, and the surroundings that know its names. Each table sees those before it."""
    clause = node.args.get("with_")
    if clause is None:
        return context, ""
    check_arguments(clause, allowed=frozenset({"expressions"}))
    if context.nested:
        raise refuse("WITH inside an expression", node=clause)
    written = []
    for table in clause.expressions:
        check_arguments(table, allowed=frozenset({"this", "alias"}))
        check_arguments(table.args["alias"], allowed=frozenset({"this"}))
        body = write_query(context, table.this)
        written.append(f"{quote_identifier(table.alias)} AS (\n{body}\n)")
        context = replace(context, ctes=context.ctes | {table.alias.lower()})
    return context, f"WITH {', '.join(written)}\n"


def _write_set_operation(context: Context, node: exp.SetOperation, *, outermost: bool) -> str:
    check_arguments(node, allowed=END | {"with_", "this", "expression", "distinct"})
    word = _SET_OPERATIONS[type(node)]
    distinct = bool(node.args.get("distinct"))
    if not distinct:
        if word != "UNION":
            raise refuse(f"{word} ALL", node=node, instead=f"{word} DISTINCT")
        word = "UNION ALL"
    if not isinstance(node.parent, exp.SetOperation):
        _check_constants(node)
    # The first query names the columns.
    left = write_query(context, node.this, outermost=outermost)
    right = write_query(context, node.expression)
    end = write_end(node, write_item=_write_output)
    return f"({left})\n{word}\n({right}){end}"


def _check_constants(node: exp.SetOperation) -> None:
    """Refuse a constant such as 0.5 in one query where another has no constant.

    BigQuery would make it NUMERIC if that is what the other has.
    """
    lists = [operand.expressions for operand in _list_operands(node)]
    for items in lists:
        for place, item in enumerate(items):
            others = [_constant(other[place]) for other in lists if place < len(other)]
            if isinstance(_constant(item), float) and None in others:
                raise refuse(
                    "A FLOAT64 constant in one query of a UNION",
                    node=item,
                    instead="CAST, or NUMERIC '...'",
                )


def _list_operands(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.SetOperation):
        return [*_list_operands(node.this), *_list_operands(node.expression)]
    return _list_operands(node.this) if isinstance(node, exp.Subquery) else [node]


def _constant(node: exp.Expr) -> float | int | None:
    """The number that a column is in every row; None: it is no constant number."""
    node = node.this if isinstance(node, exp.Alias) else node
    if isinstance(node, exp.Null):
        return 0
    if integer_of(node) is not None:
        return integer_of(node)
    node = node.this if isinstance(node, exp.Neg) else node
    return float(node.name) if isinstance(node, exp.Literal) and not node.is_string else None


def _write_output(node: exp.Ordered) -> str:
    """An ORDER BY's item over columns that have no other origin: a name or a number."""
    place = integer_of(node.this)
    named = isinstance(node.this, exp.Column) and not node.this.table
    if place is None and not named:
        raise refuse(
            "ORDER BY of a whole UNION by an expression",
            node=node,
            instead="a column's name or number",
        )
    text = str(place) if place is not None else quote_identifier(node.this.name)
    return direct(node, text)

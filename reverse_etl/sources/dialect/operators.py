"""Operators, CASE and subscripts. Every text is closed by parentheses: precedence is the tree's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlglot import exp

from reverse_etl.sources.dialect.arithmetic import common_kind, settle
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.guards import Guard, expect_kinds, stop
from reverse_etl.sources.dialect.literals import integer_of, text_of
from reverse_etl.sources.dialect.refusals import INSTEAD, check_arguments, refuse
from reverse_etl.sources.dialect.values import Kind, Value, bind, call
from reverse_etl.sql import quote_identifier

_COMPARISONS: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_JOINED = (Kind.STRING, Kind.BYTES, Kind.UNKNOWN, Kind.NULL)


def write_choice(
    context: Context,
    branches: Sequence[tuple[exp.Expr, exp.Expr]],
    otherwise: exp.Expr | None,
    *,
    subject: exp.Expr | None = None,
) -> Value:
    """A CASE of conditions (or of values that `subject` may equal) and results of one common type."""
    tests = [context.value(test) for test, _ in branches]
    head = "CASE"
    if subject is not None:
        compared, *tests = settle([context.value(subject), *tests])
        head = f"CASE {compared.sql}"
    results = [context.value(result) for _, result in branches]
    results += [context.value(otherwise)] if otherwise is not None else []
    settled = settle(results)
    whens = [
        f"WHEN {test.sql} THEN {result.sql}"
        for test, result in zip(tests, settled[: len(tests)], strict=True)
    ]
    last = f" ELSE {settled[-1].sql}" if otherwise is not None else ""
    return Value(sql=f"{head} {' '.join(whens)}{last} END", kind=common_kind(settled))


def _case(context: Context, node: exp.Case) -> Value:
    branches = [(branch.this, branch.args["true"]) for branch in node.args["ifs"]]
    return write_choice(context, branches, node.args.get("default"), subject=node.this)


def _compare(context: Context, node: exp.Binary) -> Value:
    left, right = settle([context.value(node.left), context.value(node.right)])
    return Value(sql=f"({left.sql} {_COMPARISONS[type(node)]} {right.sql})", kind=Kind.BOOL)


def _connect(context: Context, node: exp.Connector) -> Value:
    """AND, OR: a long chain is one level, not a hundred."""
    parts = [context.text(part) for part in node.flatten(unnest=False)]
    word = " AND " if isinstance(node, exp.And) else " OR "
    return Value(sql=f"({word.join(parts)})", kind=Kind.BOOL)


def _not(context: Context, node: exp.Not) -> Value:
    return Value(sql=f"(NOT {context.text(node.this)})", kind=Kind.BOOL)


def _is(context: Context, node: exp.Is) -> Value:
    negated = " NOT" if node.args.get("negate") else ""
    word = "NULL" if isinstance(node.expression, exp.Null) else context.text(node.expression)
    return Value(sql=f"({context.text(node.this)} IS{negated} {word})", kind=Kind.BOOL)


def _between(context: Context, node: exp.Between) -> Value:
    check_arguments(node, allowed=frozenset({"this", "low", "high"}))
    value, low, high = settle([context.value(node.args[name]) for name in ("this", "low", "high")])
    return Value(sql=f"({value.sql} BETWEEN {low.sql} AND {high.sql})", kind=Kind.BOOL)


def _in(context: Context, node: exp.In) -> Value:
    check_arguments(node, allowed=frozenset({"this", "expressions", "query", "unnest"}))
    query, unnest = node.args.get("query"), node.args.get("unnest")
    if query is not None:
        inner = context.subquery(query)
    elif unnest is not None:
        # list_contains() would give FALSE where a NULL among the elements makes it NULL.
        inner = f"(SELECT unnest({context.text(unnest.expressions[0])}))"
    else:
        value, *members = settle([context.value(item) for item in (node.this, *node.expressions)])
        listed = ", ".join(member.sql for member in members)
        return Value(sql=f"({value.sql} IN ({listed}))", kind=Kind.BOOL)
    return Value(sql=f"({context.text(node.this)} IN {inner})", kind=Kind.BOOL)


def _like(context: Context, node: exp.Like) -> Value:
    """BigQuery's patterns are escaped by a backslash; DuckDB's by nothing, unless told."""
    if isinstance(node.expression, (exp.Any, exp.All)):
        raise refuse("LIKE ANY, LIKE ALL", node=node)
    pattern = text_of(node.expression)
    escape = "" if pattern is not None and "\\" not in pattern else " ESCAPE '\\'"
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    left, right = context.text(node.this), context.text(node.expression)
    return Value(sql=f"({left} {word} {right}{escape})", kind=Kind.BOOL)


def _join_texts(context: Context, node: exp.DPipe) -> Value:
    return join_texts([context.value(part) for part in node.flatten(unnest=False)], node=node)


def join_texts(parts: Sequence[Value], *, node: exp.Expr) -> Value:
    """CONCAT and ||: NULL as soon as one part is NULL, where DuckDB's concat() leaves it out."""
    wrong = [part.kind for part in parts if part.kind not in _JOINED]
    if wrong:
        raise refuse(f"CONCAT of {wrong[0].name}", node=node, instead="CAST, or ARRAY_CONCAT")
    checked = [expect_kinds(part, Kind.STRING, Kind.BYTES, name="CONCAT") for part in parts]
    return Value(sql=f"({' || '.join(part.sql for part in checked)})", kind=common_kind(checked))


def _subscript(context: Context, node: exp.Bracket) -> Value:
    """array[OFFSET(n)] and its three sisters; DuckDB counts from 1, from the end when negative."""
    first = node.args.get("offset")
    if first is None or len(node.expressions) != 1:
        raise refuse("array[n]", node=node)
    array, index = context.value(node.this), node.expressions[0]
    shift, constant = 1 - int(first), integer_of(index)
    if constant is not None:
        position = Value(sql=str(constant + shift), simple=True)
    else:
        position = Value(sql=f"({context.text(index)} + {shift})")

    def write(items: str, place: str) -> str:
        outside = f"{place} < 1 OR {place} > len({items})"
        otherwise = "NULL" if node.args.get("safe") else stop(Guard.INDEX, "OFFSET")
        element = call("list_extract", items, place)
        return f"CASE WHEN {outside} THEN {otherwise} ELSE {element} END"

    return Value(sql=bind(array, position, body=write))


def _parenthesis(context: Context, node: exp.Paren) -> Value:
    return context.value(node.this)


def _field(context: Context, node: exp.Dot) -> Value:
    """A field of a STRUCT. A dot before a call is a function of another kind."""
    if isinstance(node.expression, exp.Identifier):
        return Value(sql=f"({context.text(node.this)}).{quote_identifier(node.expression.name)}")
    path = [part.name for part in node.this.find_all(exp.Identifier)]
    name = ".".join([*path, node.expression.name or "*"]).upper()
    family = f"{name.partition('.')[0]}.*"
    known = family if family in INSTEAD else "user-defined function"
    raise refuse(name, node=node, instead=INSTEAD[known])


def _array(context: Context, node: exp.Array) -> Value:
    if not node.expressions:
        raise refuse("[] without a type", node=node)
    elements = settle([context.value(element) for element in node.expressions])
    return Value(sql=f"[{', '.join(element.sql for element in elements)}]", kind=Kind.ARRAY)


def _subquery(context: Context, node: exp.Subquery) -> Value:
    return Value(sql=context.subquery(node))


def _exists(context: Context, node: exp.Exists) -> Value:
    return Value(sql=f"EXISTS {context.subquery(node.this)}", kind=Kind.BOOL)


OPERATORS: Mapping[type[exp.Expr], Callable[[Context, Any], Value]] = {
    **dict.fromkeys(_COMPARISONS, _compare),
    exp.And: _connect,
    exp.Or: _connect,
    exp.Not: _not,
    exp.Is: _is,
    exp.Between: _between,
    exp.In: _in,
    exp.Like: _like,
    exp.DPipe: _join_texts,
    exp.Case: _case,
    exp.Bracket: _subscript,
    exp.Paren: _parenthesis,
    exp.Dot: _field,
    exp.Array: _array,
    exp.Subquery: _subquery,
    exp.Exists: _exists,
}

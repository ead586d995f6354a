"""The end of a query: ORDER BY, LIMIT, OFFSET."""

from collections.abc import Callable

from sqlglot import exp

from reverse_etl.sources.dialect.literals import integer_of
from reverse_etl.sources.dialect.refusals import check_arguments, refuse

#: The arguments of a query that make its end.
END = frozenset({"order", "limit", "offset"})


def write_end(node: exp.Query, *, write_item: Callable[[exp.Ordered], str]) -> str:
    """ORDER BY with each item as `write_item` has it, then LIMIT and OFFSET, which need an ORDER BY."""
    order, limit, offset = (node.args.get(name) for name in ("order", "limit", "offset"))
    text = ""
    if order is not None:
        text = f"\nORDER BY {', '.join(write_item(item) for item in order.expressions)}"
    for word, clause in (("LIMIT", limit), ("OFFSET", offset)):
        if clause is None:
            continue
        if order is None:
            raise refuse("LIMIT without ORDER BY", node=clause)
        text += f"\n{word} {_write_count(clause)}"
    return text


def _write_count(node: exp.Limit | exp.Offset) -> str:
    check_arguments(node, allowed=frozenset({"expression"}))
    count = integer_of(node.expression)
    if count is not None and count >= 0:
        return str(count)
    raise refuse("LIMIT with a computed number", node=node, instead="a constant number")

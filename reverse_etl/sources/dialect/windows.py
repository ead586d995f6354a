"""OVER clauses and named windows."""

from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.dialect.calls import Over, write_ordered
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.literals import integer_of
from reverse_etl.sources.dialect.refusals import check_arguments, refuse
from reverse_etl.sql import quote_identifier

_PARTS = frozenset({"this", "partition_by", "order", "spec", "over"})


def write_over(context: Context, node: exp.Window) -> Over:
    """The OVER clause of a call, or the name of a window."""
    name = node.args.get("alias")
    if name is None:
        return Over(sql=f" OVER ({_write_body(context, node)})", ordered=_is_ordered(node))
    if any(node.args.get(part) for part in ("partition_by", "order", "spec")):
        raise refuse("OVER (name ...)", node=node, instead="the whole window in OVER (...)")
    ordered = context.windows.get(name.name.lower(), False)
    return Over(sql=f" OVER {quote_identifier(name.name)}", ordered=ordered)


def write_windows(context: Context, nodes: list[exp.Window]) -> str:
    """The WINDOW clause, or nothing."""
    if not nodes:
        return ""
    written = [
        f"{quote_identifier(node.this.name)} AS ({_write_body(context, node)})" for node in nodes
    ]
    return f"\nWINDOW {', '.join(written)}"


def with_windows(context: Context, nodes: list[exp.Window]) -> Context:
    """The surroundings that know which named windows are ordered."""
    windows = {node.this.name.lower(): _is_ordered(node) for node in nodes}
    return replace(context, windows=windows)


def _is_ordered(node: exp.Window) -> bool:
    return node.args.get("order") is not None


def _write_body(context: Context, node: exp.Window) -> str:
    check_arguments(node, allowed=_PARTS)
    parts = []
    partition, order, frame = (node.args.get(name) for name in ("partition_by", "order", "spec"))
    if partition:
        parts.append(f"PARTITION BY {', '.join(context.text(item) for item in partition)}")
    if order is not None:
        items = ", ".join(write_ordered(context, item) for item in order.expressions)
        parts.append(f"ORDER BY {items}")
    if frame is not None:
        parts.append(_write_frame(frame))
    return " ".join(parts)


def _write_frame(node: exp.WindowSpec) -> str:
    check_arguments(node, allowed=frozenset({"kind", "start", "start_side", "end", "end_side"}))
    kind = str(node.args["kind"]).upper()
    start = _write_edge(node, "start", kind=kind)
    end = _write_edge(node, "end", kind=kind) if node.args.get("end") else "CURRENT ROW"
    return f"{kind} BETWEEN {start} AND {end}"


def _write_edge(node: exp.WindowSpec, name: str, *, kind: str) -> str:
    edge, side = node.args[name], node.args.get(f"{name}_side")
    if isinstance(edge, exp.Expr):
        number = integer_of(edge)
        if kind != "ROWS" or number is None:
            raise refuse("RANGE with a number", node=node)
        edge = number
    return f"{edge} {side}" if side else str(edge)

"""JSON: one scalar at a constant path."""

import re

from reverse_etl.sources.dialect.calls import Call, Function
from reverse_etl.sources.dialect.guards import Guard, stop
from reverse_etl.sources.dialect.values import Kind, Value, bind, call
from reverse_etl.sql import quote_literal

_GROUP = "JSON"
_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]+\])*")


def _scalar(called: Call) -> Value:
    path = called.constant_text(1, what="path") if called.has(1) else "$"
    if not _PATH.fullmatch(path):
        raise called.refuse(f"{called.name} with such a path", instead="a path like $.name[0].name")
    quoted = quote_literal(path)

    def write(text: str) -> str:
        kind = call("json_type", text, quoted)
        scalar = call("json_extract_string", text, quoted)
        return (
            f"CASE WHEN {kind} IN ('VARCHAR', 'BOOLEAN', 'BIGINT', 'UBIGINT') THEN {scalar} "
            f"WHEN {kind} NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN {stop(Guard.FRACTION, called.name)} END"
        )

    return Value(sql=bind(called.value(0), body=write), kind=Kind.STRING)


FUNCTIONS = tuple(
    Function(
        name=name,
        group=_GROUP,
        arity=(1, 2),
        write=_scalar,
        why="NULL for an object or an array; DuckDB gives their text. The path is a constant of names and "
        "indexes; a number with a fraction stops the query",
    )
    for name in ("JSON_VALUE", "JSON_EXTRACT_SCALAR")
)

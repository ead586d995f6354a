"""A written piece of DuckDB SQL and what is known of its type; the few ways to put pieces together."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """BigQuery's types, by the DuckDB type that stands for each.

    ARRAY, STRUCT, NULL and UNKNOWN are no DuckDB types: nothing is ever cast to them.
    """

    INT64 = "BIGINT"
    FLOAT64 = "DOUBLE"
    NUMERIC = "DECIMAL(38,9)"
    BOOL = "BOOLEAN"
    STRING = "VARCHAR"
    BYTES = "BLOB"
    DATE = "DATE"
    TIME = "TIME"
    DATETIME = "TIMESTAMP"
    TIMESTAMP = "TIMESTAMP WITH TIME ZONE"
    ARRAY = "array"
    STRUCT = "struct"
    NULL = "null"
    UNKNOWN = "unknown"


NUMBERS = frozenset({Kind.INT64, Kind.FLOAT64, Kind.NUMERIC})


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One expression, written. It may stand anywhere an operand may: its text is closed by itself.

    `simple` texts are free to repeat (a column, a constant). `literal` is the text of a STRING or FLOAT64
    literal, which BigQuery still converts to the type it stands beside. `witness` is a shorter text of the
    same type; it is only ever asked for its type, never evaluated.
    """

    sql: str
    kind: Kind = Kind.UNKNOWN
    simple: bool = False
    literal: str | None = None
    witness: str | None = None

    @property
    def type_sql(self) -> str:
        """A text to ask the type of."""
        return self.witness or self.sql

    @property
    def is_float_literal(self) -> bool:
        """Whether BigQuery may still read this as NUMERIC."""
        return self.literal is not None and self.kind is Kind.FLOAT64


def call(name: str, *arguments: str) -> str:
    """A function call."""
    return f"{name}({', '.join(arguments)})"


def cast(sql: str, kind: Kind) -> str:
    """`sql` as a value of `kind`, or a failed query."""
    return f"CAST({sql} AS {kind})"


def cast_like(sql: str, witness: str) -> str:
    """`sql` as a value of `witness`' type. DuckDB drops the witness while it binds: it costs nothing."""
    return call("cast_to_type", sql, witness)


def float_or_numeric(*values: Value) -> str:
    """A witness: NUMERIC if that is the values' common type, FLOAT64 if it is INT64 or FLOAT64.

    DuckDB has one function with just these result types: the median.
    """
    return call("list_median", f"[{', '.join(value.type_sql for value in values)}]")


def bind(*values: Value, body: Callable[..., str]) -> str:
    """`body` of the values' texts, where each value is computed once however often `body` repeats it.

    A lambda is DuckDB's only local name inside an expression.
    """
    heavy = [value for value in values if not value.simple]
    if not heavy:
        return body(*(value.sql for value in values))
    if len(heavy) == 1:
        texts = [value.sql if value.simple else "__bound" for value in values]
        return f"list_transform([{heavy[0].sql}], lambda __bound: {body(*texts)})[1]"
    fields = ", ".join(f"v{index} := {value.sql}" for index, value in enumerate(heavy))
    numbers = {id(value): index for index, value in enumerate(heavy)}
    texts = [value.sql if value.simple else f"__bound.v{numbers[id(value)]}" for value in values]
    return f"list_transform([struct_pack({fields})], lambda __bound: {body(*texts)})[1]"

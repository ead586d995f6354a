"""What a whitelisted function is, and a call of one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from sqlglot import exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.guards import expect_float, expect_kinds
from reverse_etl.sources.dialect.literals import integer_of, read_text, text_of
from reverse_etl.sources.dialect.refusals import refuse
from reverse_etl.sources.dialect.values import Kind, Value, call


class Role(StrEnum):
    """Where a function may stand."""

    SCALAR = "scalar"
    AGGREGATE = "aggregate"
    WINDOW = "window"


class Modifier(StrEnum):
    """What may stand inside a function's parentheses besides its arguments."""

    DISTINCT = "DISTINCT"
    NULLS = "IGNORE NULLS"
    ORDER = "ORDER BY"
    LIMIT = "LIMIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """A written OVER clause, with a space in front; `ordered` when it has an ORDER BY."""

    sql: str
    ordered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, its modifiers taken apart."""

    name: str
    context: Context
    node: exp.Expr
    arguments: tuple[exp.Expr, ...]
    distinct: bool = False
    ignore_nulls: bool = False
    order: tuple[exp.Expr, ...] = ()
    limit: exp.Expr | None = None
    over: Over | None = None
    modifiers: frozenset[Modifier] = field(default_factory=frozenset)

    def value(self, index: int) -> Value:
        """The argument, written."""
        return self.context.value(self.arguments[index])

    def values(self) -> list[Value]:
        """All arguments, written."""
        return [self.context.value(argument) for argument in self.arguments]

    def text(self, index: int) -> str:
        """The argument's text."""
        return self.value(index).sql

    def has(self, index: int) -> bool:
        """Whether the argument was given."""
        return index < len(self.arguments)

    def expect(self, index: int, *kinds: Kind) -> Value:
        """The argument as one of `kinds`: checked now if its type is known, at the first row if not."""
        node = self.arguments[index]
        constant = text_of(node)
        if constant is not None and Kind.STRING not in kinds and kinds[0] is not Kind.BYTES:
            return read_text(constant, kinds[0], node=node)
        value = self.value(index)
        if value.kind not in (*kinds, Kind.UNKNOWN, Kind.NULL):
            wanted = " or ".join(kind.name for kind in kinds)
            raise self.refuse(
                f"{self.name} of {value.kind.name}", instead=f"{wanted} (CAST it first)"
            )
        return expect_kinds(value, *kinds, name=self.name)

    def expect_float(self, index: int) -> str:
        """The argument as FLOAT64; NUMERIC is refused, for BigQuery would stay in NUMERIC."""
        value = self.value(index)
        if value.kind not in (Kind.INT64, Kind.FLOAT64, Kind.UNKNOWN, Kind.NULL):
            raise self.refuse(f"{self.name} of {value.kind.name}", instead="CAST(x AS FLOAT64)")
        return expect_float(value, name=self.name)

    def constant_text(self, index: int, *, what: str) -> str:
        """The argument's constant text; refused when it is computed."""
        text = text_of(self.arguments[index])
        if text is None:
            raise self.refuse(f"{self.name} with a computed {what}", instead=f"a constant {what}")
        return text

    def constant_integer(self, node: exp.Expr | None, *, what: str, low: int, high: int) -> int:
        """A constant number of `[low, high]`; refused otherwise."""
        number = integer_of(node)
        if number is None or not low <= number <= high:
            raise self.refuse(
                f"{self.name} with another {what} than a constant from {low} to {high}",
                instead=f"such a {what}",
            )
        return number

    def refuse(self, what: str, *, instead: str | None = None) -> ConfigError:
        """The error for this call."""
        return refuse(what, node=self.node, instead=instead)

    def aggregate(self, name: str, *arguments: str, keep: str | None = None) -> str:
        """DuckDB's aggregate over the call's rows: DISTINCT, ORDER BY and OVER carried along.

        `keep` is a condition on the rows that count.
        """
        inner = ", ".join(arguments)
        if self.distinct:
            inner = f"DISTINCT {inner}"
        if self.order:
            inner += (
                f" ORDER BY {', '.join(write_ordered(self.context, item) for item in self.order)}"
            )
        kept = f" FILTER (WHERE {keep})" if keep else ""
        return f"{name}({inner}){kept}{self.over.sql if self.over else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """An entry of the whitelist. `why` says what DuckDB does otherwise; empty: it does the same.

    `arity` is the least and the greatest number of arguments.
    """

    name: str
    group: str
    arity: tuple[int, int]
    write: Callable[[Call], Value]
    why: str = ""
    role: Role = Role.SCALAR
    accepts: frozenset[Modifier] = frozenset()


def same(name: str, kind: Kind) -> Callable[[Call], Value]:
    """The writer of a function that DuckDB has under `name`, with arguments as they are."""

    def write(called: Call) -> Value:
        sql = call(name, *(value.sql for value in called.values()))
        return Value(sql=sql, kind=kind)

    return write


def write_ordered(context: Context, node: exp.Expr) -> str:
    """One item of an ORDER BY, its expression written."""
    return direct(node, context.text(node.this))


def direct(node: exp.Expr, text: str) -> str:
    """`text` with the direction of an ORDER BY's item.

    BigQuery puts NULL first when ascending and last when descending, DuckDB always last: it is said.
    """
    direction = "DESC" if node.args.get("desc") else "ASC"
    nulls = "FIRST" if node.args.get("nulls_first") else "LAST"
    return f"{text} {direction} NULLS {nulls}"

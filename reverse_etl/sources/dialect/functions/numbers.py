"""Functions of numbers. INT64 and FLOAT64 give FLOAT64 where BigQuery says so; NUMERIC stays NUMERIC."""

from reverse_etl.sources.dialect.calls import Call, Function
from reverse_etl.sources.dialect.guards import is_kind
from reverse_etl.sources.dialect.values import (
    Kind,
    Value,
    bind,
    call,
    cast,
    cast_like,
    float_or_numeric,
)

_GROUP = "Numbers"
_MOST_DIGITS = 9
#: From here on a FLOAT64 has no digits behind the point.
_NO_FRACTION = 2**52


def _same_kind(called: Call) -> Value:
    value = called.value(0)
    sql = call(called.name.lower(), value.sql)
    return Value(sql=sql, kind=value.kind, witness=value.type_sql)


def _sign(called: Call) -> Value:
    value = called.value(0)
    sql = bind(value, body=lambda text: cast_like(call("sign", text), text))
    return Value(sql=sql, kind=value.kind, witness=value.type_sql)


def _to_whole(called: Call) -> Value:
    """CEIL, FLOOR, TRUNC: DuckDB keeps BIGINT, and takes the scale from a DECIMAL."""
    name = {"CEILING": "ceil", "TRUNC": "trunc"}.get(called.name, called.name.lower())
    value = called.value(0)
    return _as_float_or_numeric(value, call(name, value.sql))


def _round(called: Call) -> Value:
    value = called.value(0)
    if not called.has(1):
        return _as_float_or_numeric(value, call("round", value.sql))
    digits = called.constant_integer(
        called.arguments[1], what="number of digits", low=0, high=_MOST_DIGITS
    )
    rounded = bind(value, body=lambda text: _round_digits(text, digits))
    return _as_float_or_numeric(value, rounded)


def _round_digits(text: str, digits: int) -> str:
    """Round the number that is there, not its product with 10^digits.

    2.675 is a little less than it looks: BigQuery rounds it to 2.67. DuckDB multiplies first, lands on 267.5
    and says 2.68. Where the product is a half by its last bit alone (the digits that follow are below 5),
    the number is moved down by that bit. Only FLOAT64 has the trouble.
    """
    number = f"TRY_CAST({text} AS DOUBLE)"
    factor = 10**digits
    tail = f"substr(format('{{:.{digits + 41}f}}', abs({number})), -41)"
    is_float = is_kind(text, Kind.FLOAT64)
    low_half = f"{is_float} AND (abs({number}) * {factor}) % 1 = 0.5 AND {tail} < '5'"
    moved = cast_like(f"{number} * 0.9999999999999996", text)
    whole = f"{is_float} AND abs({number}) >= {_NO_FRACTION // factor}"
    return (
        f"CASE WHEN {whole} THEN {text} "
        f"ELSE round(CASE WHEN {low_half} THEN {moved} ELSE {text} END, {digits}) END"
    )


def _float_function(called: Call) -> Value:
    name = {"LOG": "ln", "POWER": "pow"}.get(called.name, called.name.lower())
    arguments = [called.expect_float(index) for index in range(len(called.arguments))]
    return Value(sql=call(name, *arguments), kind=Kind.FLOAT64)


def _div(called: Call) -> Value:
    left, right = called.expect(0, Kind.INT64), called.expect(1, Kind.INT64)
    return Value(sql=f"({left.sql} // {right.sql})", kind=Kind.INT64)


def _mod(called: Call) -> Value:
    left, right = called.values()
    if Kind.FLOAT64 in (left.kind, right.kind):
        raise called.refuse("MOD of FLOAT64", instead="MOD of INT64 or NUMERIC")
    kind = left.kind if left.kind is right.kind else Kind.UNKNOWN
    return Value(sql=f"({left.sql} % {right.sql})", kind=kind)


def _safe_divide(called: Call) -> Value:
    divisor = call("nullif", called.expect_float(1), "0")
    quotient = f"({called.expect_float(0)} / {divisor})"
    # What is too great for a FLOAT64 is an error in BigQuery, so NULL here.
    for infinite in ("inf", "-inf"):
        quotient = call("nullif", quotient, f"CAST('{infinite}' AS DOUBLE)")
    return Value(sql=quotient, kind=Kind.FLOAT64)


def _as_float_or_numeric(value: Value, sql: str) -> Value:
    if value.kind is Kind.NUMERIC:
        return Value(sql=cast(sql, Kind.NUMERIC), kind=Kind.NUMERIC)
    if value.kind in (Kind.INT64, Kind.FLOAT64, Kind.NULL):
        return Value(sql=cast(sql, Kind.FLOAT64), kind=Kind.FLOAT64)
    witness = float_or_numeric(value)
    return Value(sql=cast_like(sql, witness), witness=witness)


FUNCTIONS = (
    Function(name="ABS", group=_GROUP, arity=(1, 1), write=_same_kind),
    Function(
        name="SIGN", group=_GROUP, arity=(1, 1), write=_sign, why="DuckDB gives an 8-bit integer"
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(1, 1),
            write=_to_whole,
            why="INT64 becomes FLOAT64, and NUMERIC keeps its scale",
        )
        for name in ("CEIL", "CEILING", "FLOOR", "TRUNC")
    ),
    Function(
        name="ROUND",
        group=_GROUP,
        arity=(1, 2),
        write=_round,
        why="DuckDB rounds the product with a power of ten (2.675 to 2.68); INT64 becomes FLOAT64. "
        "The number of digits is a constant from 0 to 9",
    ),
    Function(
        name="DIV",
        group=_GROUP,
        arity=(2, 2),
        write=_div,
        why="written with DuckDB's operator `//`; INT64 only",
    ),
    Function(
        name="MOD", group=_GROUP, arity=(2, 2), write=_mod, why="written with DuckDB's operator `%`"
    ),
    Function(
        name="SAFE_DIVIDE",
        group=_GROUP,
        arity=(2, 2),
        write=_safe_divide,
        why="NULL when the divisor is 0 or the quotient too great; NUMERIC stops the query",
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=arity,
            write=_float_function,
            why="NUMERIC stops the query: BigQuery computes it in NUMERIC, DuckDB in FLOAT64",
        )
        for name, arity in (
            ("SQRT", (1, 1)),
            ("EXP", (1, 1)),
            ("LN", (1, 1)),
            ("LOG10", (1, 1)),
            ("POW", (2, 2)),
            ("POWER", (2, 2)),
        )
    ),
    Function(
        name="LOG",
        group=_GROUP,
        arity=(1, 1),
        write=_float_function,
        why="LOG(x) is the natural logarithm; DuckDB's has base 10. NUMERIC stops the query",
    ),
)

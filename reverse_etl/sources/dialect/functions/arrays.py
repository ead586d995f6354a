"""Functions of ARRAY, and the constructors of ARRAY and STRUCT."""

from sqlglot import exp

from reverse_etl.sources.dialect.calls import Call, Function, same
from reverse_etl.sources.dialect.guards import Guard, stop
from reverse_etl.sources.dialect.parts import read_step
from reverse_etl.sources.dialect.values import Kind, Value, bind, call
from reverse_etl.sql import quote_identifier, quote_literal

_GROUP = "Arrays and structs"


def _array(called: Call) -> Value:
    """ARRAY(SELECT x ... ORDER BY ...): an empty result is an empty array."""
    query = called.arguments[0]
    if not isinstance(query, exp.Query):
        raise called.refuse("ARRAY of no subquery", instead="[...]")
    if query.args.get("order") is None:
        raise called.refuse("ARRAY(subquery) without ORDER BY")
    return Value(sql=f"ARRAY{called.context.subquery(query)}", kind=Kind.ARRAY)


def _struct(called: Call) -> Value:
    fields = []
    for argument in called.arguments:
        name = _field_name(called, argument)
        inner = argument.this if isinstance(argument, exp.Alias) else argument
        fields.append(f"{quote_identifier(name)} := {called.context.text(inner)}")
    return Value(sql=call("struct_pack", *fields), kind=Kind.STRUCT)


def _field_name(called: Call, argument: exp.Expr) -> str:
    name = argument.alias if isinstance(argument, exp.Alias) else ""
    if isinstance(argument, exp.Column):
        name = argument.name
    if not name:
        raise called.refuse("STRUCT with a field without a name", instead="STRUCT(x AS name)")
    return name


def _concat(called: Call) -> Value:
    def write(*arrays: str) -> str:
        missing = " OR ".join(f"{array} IS NULL" for array in arrays)
        return f"CASE WHEN {missing} THEN NULL ELSE {call('list_concat', *arrays)} END"

    return Value(sql=bind(*called.values(), body=write), kind=Kind.ARRAY)


def _to_text(called: Call) -> Value:
    """A text even of nothing: DuckDB gives NULL where no element is left."""
    separator = quote_literal(called.constant_text(1, what="separator"))

    def write(array: str) -> str:
        joined = call("coalesce", call("array_to_string", array, separator), "''")
        of_texts = f"""typeof({array}) IN ('VARCHAR[]', '"NULL"[]')"""
        return (
            f"CASE WHEN {array} IS NULL THEN NULL WHEN {of_texts} THEN {joined} "
            f"ELSE {stop(Guard.KIND, called.name)} END"
        )

    return Value(sql=bind(called.value(0), body=write), kind=Kind.STRING)


def _generate(called: Call) -> Value:
    numbers = [called.expect(index, Kind.INT64).sql for index in range(len(called.arguments))]
    return Value(sql=call("generate_series", *numbers), kind=Kind.ARRAY)


def _generate_dates(called: Call) -> Value:
    """Days and weeks only: BigQuery counts months from the first date, DuckDB from the one before."""
    first, last = called.expect(0, Kind.DATE).sql, called.expect(1, Kind.DATE).sql
    step = "to_days(1)"
    if called.has(2):
        read = read_step(called, 2, allowed=frozenset({"DAY", "WEEK"}))
        days = 7 if read.part.name == "WEEK" else 1
        step = f"to_days(CAST({read.count} * {days} AS INTEGER))"
    sql = f"CAST({call('generate_series', first, last, step)} AS DATE[])"
    return Value(sql=sql, kind=Kind.ARRAY)


FUNCTIONS = (
    Function(
        name="ARRAY", group=_GROUP, arity=(1, 1), write=_array, why="the subquery needs an ORDER BY"
    ),
    Function(
        name="STRUCT",
        group=_GROUP,
        arity=(1, 255),
        write=_struct,
        why="written as struct_pack; each field has a name",
    ),
    Function(name="ARRAY_LENGTH", group=_GROUP, arity=(1, 1), write=same("len", Kind.INT64)),
    Function(
        name="ARRAY_REVERSE", group=_GROUP, arity=(1, 1), write=same("list_reverse", Kind.ARRAY)
    ),
    Function(
        name="ARRAY_CONCAT",
        group=_GROUP,
        arity=(1, 255),
        write=_concat,
        why="a NULL array makes the whole NULL; DuckDB leaves it out",
    ),
    Function(
        name="ARRAY_TO_STRING",
        group=_GROUP,
        arity=(2, 2),
        write=_to_text,
        why="an array of NULLs gives ''; DuckDB gives NULL. STRING only",
    ),
    Function(
        name="GENERATE_ARRAY",
        group=_GROUP,
        arity=(2, 3),
        write=_generate,
        why="written as generate_series; INT64 only",
    ),
    Function(
        name="GENERATE_DATE_ARRAY",
        group=_GROUP,
        arity=(2, 3),
        write=_generate_dates,
        why="DATEs; DuckDB gives TIMESTAMPs. By DAY or WEEK",
    ),
)

"""Functions that choose one of their arguments."""

from sqlglot import exp

from reverse_etl.sources.dialect.arithmetic import common_kind, settle
from reverse_etl.sources.dialect.calls import Call, Function
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.operators import write_choice
from reverse_etl.sources.dialect.refusals import refuse
from reverse_etl.sources.dialect.values import Value, bind, call

_GROUP = "Conditions"


def _coalesce(called: Call) -> Value:
    values = settle(called.values())
    sql = call("coalesce", *(value.sql for value in values))
    return Value(sql=sql, kind=common_kind(values))


def _nullif(called: Call) -> Value:
    values = settle(called.values())

    def write(left: str, right: str) -> str:
        # The branch that is never taken gives the result the common type, as in BigQuery.
        return f"CASE WHEN {left} = {right} THEN NULL WHEN FALSE THEN {right} ELSE {left} END"

    return Value(sql=bind(*values, body=write), kind=common_kind(values))


def _extreme(called: Call) -> Value:
    values = settle(called.values())

    def write(*texts: str) -> str:
        missing = " OR ".join(f"{text} IS NULL" for text in texts)
        return f"CASE WHEN {missing} THEN NULL ELSE {call(called.name.lower(), *texts)} END"

    return Value(sql=bind(*values, body=write), kind=common_kind(values))


def write_if(context: Context, node: exp.If) -> Value:
    """IF(condition, then, otherwise)."""
    otherwise = node.args.get("false")
    if otherwise is None:
        raise refuse("IF without a third argument", node=node, instead="IF(condition, x, NULL)")
    return write_choice(context, [(node.this, node.args["true"])], otherwise)


FUNCTIONS = (
    Function(name="COALESCE", group=_GROUP, arity=(1, 255), write=_coalesce),
    Function(name="IFNULL", group=_GROUP, arity=(2, 2), write=_coalesce),
    Function(name="NULLIF", group=_GROUP, arity=(2, 2), write=_nullif),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(1, 255),
            write=_extreme,
            why="one NULL makes the result NULL; DuckDB leaves it out",
        )
        for name in ("GREATEST", "LEAST")
    ),
)

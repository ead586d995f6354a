"""Calls of functions. A few keep the shape of a value; the result of others is made of all that is inside."""

from collections.abc import Mapping

from sqlglot import exp

from reverse_etl.sources.bigquery.tracing.flows import (
    CLEAN,
    Flow,
    Taint,
    add_taint,
    choose,
    collect,
    make_struct,
    opaque,
)
from reverse_etl.sources.bigquery.tracing.places import Place

#: Functions whose result has the type of the first argument; the others only decide which.
_PICKING = frozenset(
    {
        *("any_value", "first_value", "last_value", "nth_value", "lag", "lead", "nullif"),
        *("array_reverse", "array_first", "array_last", "array_slice", "array_concat_agg"),
    }
)
_CHOOSING = frozenset({"coalesce", "ifnull", "array_concat"})
#: Functions that take a part of a date, or a mode, at this place: it is no column.
_KEYWORD_PLACES: Mapping[str, int] = {
    **dict.fromkeys(("date_trunc", "datetime_trunc", "timestamp_trunc", "time_trunc"), 1),
    **dict.fromkeys(("date_diff", "datetime_diff", "timestamp_diff", "time_diff"), 2),
    **dict.fromkeys(("last_day", "normalize", "normalize_and_casefold"), 1),
}


def follow_call(place: Place, node: exp.Expr) -> Flow:
    """What flows out of a call by name."""
    name, arguments = node.name.casefold(), node.expressions
    if name == "struct":
        return make_struct((name_of(item), place.follow(item)) for item in arguments)
    if name == "array_agg" and arguments:
        value = place.follow(arguments[0])
        listed = collect(value, rows=_rows_of_list(arguments[0], value))
        return add_taint(listed, place.taint_of(arguments[1:]))
    if name in _PICKING and arguments:
        return add_taint(place.follow(arguments[0]), place.taint_of(arguments[1:]))
    if name in _CHOOSING:
        return choose(place.follow(item) for item in arguments)
    keyword = _KEYWORD_PLACES.get(name)
    return opaque(
        place.taint_of(
            item for index, item in enumerate(arguments) if index != keyword or not is_word(item)
        )
    )


def _rows_of_list(argument: exp.Expr, value: Flow) -> Taint:
    """What decides how long an aggregated array is: its values only where they can fall out."""
    whole = argument.this if isinstance(argument, exp.Order) else argument
    return CLEAN if isinstance(whole, exp.Column | exp.Anonymous) else value.taint


def is_word(node: exp.Expr) -> bool:
    """DAY, NFC or WEEK(MONDAY), as against an expression."""
    if isinstance(node, exp.Column):
        return len(node.parts) == 1 and not node.this.args.get("quoted")
    return isinstance(node, exp.Anonymous | exp.Var)


def name_of(node: exp.Expr) -> str | None:
    """The name a value has by itself: its alias, or the last part of a path."""
    if isinstance(node, exp.Paren):
        return name_of(node.this)
    if isinstance(node, exp.Alias | exp.Column | exp.Identifier):
        return str(node.alias_or_name)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        return str(node.expression.name)
    return None

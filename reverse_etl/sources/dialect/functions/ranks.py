"""Functions that need OVER: numbering, and looking at other rows."""

from collections.abc import Callable

from reverse_etl.sources.dialect.arithmetic import common_kind, settle
from reverse_etl.sources.dialect.calls import Call, Function, Modifier, Role
from reverse_etl.sources.dialect.values import Kind, Value

_GROUP = "Windows"
_WITH_DEFAULT = 3  # value, distance, default


def _number(called: Call) -> Value:
    arguments = [value.sql for value in called.values()]
    return Value(sql=_over(called, *arguments), kind=Kind.INT64)


def _share(called: Call) -> Value:
    return Value(sql=_over(called), kind=Kind.FLOAT64)


def _neighbour(called: Call) -> Value:
    """LAG and LEAD: the value, how far (1), and what stands beyond the edge (NULL)."""
    values = called.values()
    if len(values) == _WITH_DEFAULT:
        values[0], values[2] = settle([values[0], values[2]])
    sql = _over(called, *(value.sql for value in values))
    return Value(sql=sql, kind=common_kind([values[0], *values[2:]]))


def _at_edge(called: Call) -> Value:
    """FIRST_VALUE, LAST_VALUE, NTH_VALUE; NULL counts unless IGNORE NULLS says otherwise."""
    arguments = [value.sql for value in called.values()]
    if called.ignore_nulls:
        arguments[-1] += " IGNORE NULLS"
    return Value(sql=_over(called, *arguments), kind=called.value(0).kind)


def _over(called: Call, *arguments: str) -> str:
    if called.over is None or not called.over.ordered:
        raise called.refuse("OVER without ORDER BY")
    return called.aggregate(called.name.lower(), *arguments)


def _entry(
    name: str, arity: tuple[int, int], write: Callable[[Call], Value], *accepts: Modifier
) -> Function:
    return Function(
        name=name,
        group=_GROUP,
        role=Role.WINDOW,
        arity=arity,
        write=write,
        accepts=frozenset(accepts),
    )


FUNCTIONS = (
    _entry("ROW_NUMBER", (0, 0), _number),
    _entry("RANK", (0, 0), _number),
    _entry("DENSE_RANK", (0, 0), _number),
    _entry("NTILE", (1, 1), _number),
    _entry("PERCENT_RANK", (0, 0), _share),
    _entry("CUME_DIST", (0, 0), _share),
    _entry("LAG", (1, 3), _neighbour),
    _entry("LEAD", (1, 3), _neighbour),
    _entry("FIRST_VALUE", (1, 1), _at_edge, Modifier.NULLS),
    _entry("LAST_VALUE", (1, 1), _at_edge, Modifier.NULLS),
    _entry("NTH_VALUE", (2, 2), _at_edge, Modifier.NULLS),
)

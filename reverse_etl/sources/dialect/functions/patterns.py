"""Regular expressions. Both engines use RE2; they part over what was not matched and over empty matches."""

import re

from reverse_etl.sources.dialect.calls import Call, Function, same
from reverse_etl.sources.dialect.guards import Guard, stop
from reverse_etl.sources.dialect.values import Kind, Value, bind, call
from reverse_etl.sql import quote_literal

_GROUP = "Regular expressions"
_CLASS = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]")


def _read_pattern(called: Call) -> tuple[str, int]:
    """The constant pattern, and the number of its one capturing group (0: none, the whole match).

    A group that need not take part in a match gives NULL in BigQuery and '' in DuckDB: refused.
    """
    pattern = called.constant_text(1, what="pattern")
    bare = _CLASS.sub("", re.sub(r"\\Q.*?(?:\\E|$)|\\.", "", pattern, flags=re.DOTALL))
    groups = len(re.findall(r"\((?!\?)|\(\?P?<", bare))
    if groups > 1:
        raise called.refuse(f"{called.name} with several groups", instead="(?:...) for the others")
    if groups and (re.search(r"\)[?*{]", bare) or _has_outer_choice(bare)):
        raise called.refuse(
            f"{called.name} with a group beside | or before ?, *, {{}}",
            instead="no group, or two calls",
        )
    return pattern, groups


def _has_outer_choice(bare: str) -> bool:
    """Whether a | stands outside of the capturing group."""
    capturing: list[bool] = []
    for index, letter in enumerate(bare):
        if letter == "(":
            capturing.append(not re.match(r"\(\?(?!P?<)", bare[index:]))
        elif letter == ")" and capturing:
            capturing.pop()
        elif letter == "|" and not any(capturing):
            return True
    return False


def _empty_match(called: Call, pattern: str) -> str:
    r"""Stop when the pattern matches the empty text. \b matches no text by itself: it is left out."""
    bare = re.sub(r"(?<!\\)((?:\\\\)*)\\[bB]", r"\1", pattern)
    test = call("regexp_matches", "''", quote_literal(bare))
    return f"CASE WHEN {test} THEN {stop(Guard.EMPTY_MATCH, called.name)}"


def _extract(called: Call) -> Value:
    pattern, group = _read_pattern(called)
    quoted = quote_literal(pattern)

    def write(text: str) -> str:
        found = call("regexp_extract", text, quoted, str(group))
        return f"CASE WHEN regexp_matches({text}, {quoted}) THEN {found} END"

    return Value(sql=bind(called.value(0), body=write), kind=Kind.STRING)


def _extract_all(called: Call) -> Value:
    pattern, group = _read_pattern(called)
    found = call("regexp_extract_all", called.text(0), quote_literal(pattern), str(group))
    return Value(sql=f"{_empty_match(called, pattern)} ELSE {found} END", kind=Kind.ARRAY)


def _replace(called: Call) -> Value:
    pattern = called.constant_text(1, what="pattern")
    replaced = call("regexp_replace", called.text(0), quote_literal(pattern), called.text(2), "'g'")
    return Value(sql=f"{_empty_match(called, pattern)} ELSE {replaced} END", kind=Kind.STRING)


FUNCTIONS = (
    Function(
        name="REGEXP_CONTAINS", group=_GROUP, arity=(2, 2), write=same("regexp_matches", Kind.BOOL)
    ),
    Function(
        name="REGEXP_EXTRACT",
        group=_GROUP,
        arity=(2, 2),
        write=_extract,
        why="no match is NULL; DuckDB gives ''. The pattern is a constant with at most one group, "
        "which takes part in every match",
    ),
    Function(
        name="REGEXP_EXTRACT_ALL",
        group=_GROUP,
        arity=(2, 2),
        write=_extract_all,
        why="the group is named to DuckDB; a pattern that matches the empty text stops the query",
    ),
    Function(
        name="REGEXP_REPLACE",
        group=_GROUP,
        arity=(3, 3),
        write=_replace,
        why="DuckDB replaces the first match unless told otherwise; a pattern that matches the empty "
        "text stops the query",
    ),
)

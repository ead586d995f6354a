"""What may be passed on of BigQuery's own messages: names, types, numbers and places; never a value.

A message may quote a literal of the query, or a value from a row. So nothing is scrubbed out of it:
known sentences are recognised, and said again with the names that stand in them. Of an unknown one
the caller keeps the reason and the place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from reverse_etl.types import Kind

_LONGEST = 2_000
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,127}(?:\.[A-Za-z_][A-Za-z0-9_]{0,127}){0,5}"
# A project, dataset, table or job as messages write it; projects may belong to a domain.
_RESOURCE = r"[A-Za-z0-9][A-Za-z0-9_\-.:*$]{0,300}"
# At the very end, where BigQuery writes it: further in, a value could look the same.
_PLACE = re.compile(r"\bat \[(\d{1,6}):(\d{1,6})\]\W*\Z")
_PERMISSION = re.compile(
    r"\b(?:bigquery|datacatalog|resourcemanager|serviceusage|storage|cloudkms)"
    r"\.[a-zA-Z]{1,40}\.[a-zA-Z]{1,40}\b"
)
_RESOURCE_AFTER = re.compile(
    rf"\b(?P<kind>Project|Dataset|Table|View|Job|Routine|Connection) (?P<name>{_RESOURCE})"
)
_LOCATION = re.compile(r"\bin location ([A-Za-z0-9\-]{1,40})")
_TYPES = frozenset({*Kind, "NULL", "DATE_TIME_PART"})
_KINDS_OF_TOKEN = (
    "string literal",
    "integer literal",
    "floating point literal",
    "bytes literal",
    "identifier",
    "end of script",
    "end of statement",
    "end of input",
    "end of query",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a refusal says: the permission that is missing, and on what; None where it does not say."""

    permission: str | None
    resource: str | None


def find_place(message: str) -> str:
    """` in line 3, column 5` of the query, or nothing."""
    place = _PLACE.search(message[-_LONGEST:])
    return f" in line {place[1]}, column {place[2]}" if place else ""


def find_resource(message: str) -> str | None:
    """The first project, dataset, table or job that is named: `Table p:d.t`."""
    found = _RESOURCE_AFTER.search(message[:_LONGEST])
    return None if found is None else f"{found['kind']} {found['name'].rstrip('.:')}"


def find_access(message: str) -> Access:
    """The permission that a refusal names, or that it means."""
    text = message[:_LONGEST]
    found = _PERMISSION.search(text)
    permission = found[0] if found else None
    if permission is None:
        meant = (
            ("permission to query table", "bigquery.tables.getData"),
            ("policy tag", "datacatalog.categories.fineGrainedGet"),
            ("fine-grained reader", "datacatalog.categories.fineGrainedGet"),
        )
        permission = next((name for words, name in meant if words in text), None)
    return Access(permission=permission, resource=find_resource(text))


def explain_query(message: str) -> str | None:
    """What is wrong with the query's text, with its place; None for what is not known to be safe.

    For errors of a dry run: names in it are names that the query writes where a name belongs.
    """
    text = message[:_LONGEST]
    for pattern, say in _SENTENCES:
        if found := pattern.match(text):
            said = say(found)
            return f"{said}{find_place(message)}."
    stop = explain_stop(message)
    return None if stop is None else f"{stop}{find_place(message)}."


def explain_stop(message: str) -> str | None:
    """What stopped a running query, in words of ours alone: its message may quote the row."""
    for start, said in _STOPS:
        # The function that met the value may stand before: `SAFE_CAST: Bad int64 value: ...`.
        if start in message[: len(start) + 60]:
            return said
    return None


def find_location(message: str) -> str | None:
    """The location in which something was looked for."""
    found = _LOCATION.search(message[:_LONGEST])
    return found[1] if found else None


def find_numbers(message: str) -> list[int]:
    """Whole numbers, in order; for messages that are known to hold counts and nothing else."""
    return [int(text) for text in re.findall(r"\b\d{1,19}\b", message[:_LONGEST])]


def _say_syntax(found: re.Match[str]) -> str:
    rest = found["rest"]
    unexpected = re.match(
        r"(?:Expected .{1,200}? but got|Unexpected) (?P<token>.+)", rest, re.DOTALL
    )
    if unexpected is None:
        return "Syntax error"
    token = unexpected["token"]
    keyword = re.match(r"keyword ([A-Z]{2,20})\b", token)
    if keyword:
        return f"Syntax error: unexpected keyword {keyword[1]}"
    symbol = re.match(r"\"([^\w\s\"]{1,3})\"", token)
    if symbol:
        return f"Syntax error: unexpected '{symbol[1]}'"
    kind = next((kind for kind in _KINDS_OF_TOKEN if token.startswith(kind)), None)
    return "Syntax error" if kind is None else f"Syntax error: unexpected {kind}"


def _say_signature(found: re.Match[str]) -> str:
    name = found["name"].upper() if found["name"] else found["symbol"]
    words = re.findall(r"\w+", found["types"])
    types = f" for {found['types'].strip()}" if set(words) <= _TYPES else ""
    return f"No matching signature of {found['kind']} {name}{types}"


def _say_duplicates(found: re.Match[str]) -> str:
    return f"The query returns more than one column named {found['names']}: give each an alias of its own"


def _say_filter(found: re.Match[str]) -> str:
    return (
        f"Table '{found['table']}' asks for a filter over {found['columns']}: add one to the query, "
        "such as on @partition_date"
    )


def _sentence(pattern: str, text: str) -> tuple[re.Pattern[str], Callable[[re.Match[str]], str]]:
    """A message, and how to say it with the names of the pattern's groups."""
    return re.compile(pattern), lambda found: text.format(**found.groupdict())


_SENTENCES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"Syntax error: (?P<rest>.+)", re.DOTALL), _say_syntax),
    _sentence(
        rf"Unrecognized name: (?P<name>{_NAME}); Did you mean (?P<other>{_NAME})\?",
        "Unrecognized name '{name}' (did you mean '{other}'?)",
    ),
    _sentence(rf"Unrecognized name: (?P<name>{_NAME})(?= at \[|$)", "Unrecognized name '{name}'"),
    _sentence(
        rf"Function not found: (?P<name>{_NAME})(?= at \[|;|$)", "There is no function '{name}'"
    ),
    _sentence(rf"Type not found: (?P<name>{_NAME})(?= at \[|$)", "There is no type '{name}'"),
    _sentence(
        rf"Name (?P<name>{_NAME}) not found inside (?P<table>{_NAME})(?= at \[|$)",
        "There is no '{name}' in '{table}'",
    ),
    _sentence(
        rf"Column name (?P<name>{_NAME}) is ambiguous(?= at \[|$)",
        "Column name '{name}' is ambiguous",
    ),
    _sentence(
        rf"Field name (?P<name>{_NAME}) does not exist in STRUCT<", "There is no field '{name}'"
    ),
    _sentence(
        rf"Query parameter '(?P<name>{_NAME})' not found",
        "There is no parameter @{name} (there are @partition_date, @window_start and @window_end)",
    ),
    _sentence(
        rf".{{0,60}}?expression references (?:column )?(?P<name>{_NAME}) which is neither grouped nor "
        r"aggregated",
        "Column '{name}' is neither grouped nor aggregated",
    ),
    _sentence(
        rf"Aggregate function (?P<name>{_NAME}) not allowed in (?P<clause>[A-Z ]{{2,20}}) clause",
        "Aggregate function {name} is not allowed in {clause}",
    ),
    _sentence(
        rf"Table \"?(?P<name>{_NAME})\"? must be qualified with a dataset",
        "Table '{name}' has no dataset: write dataset.table",
    ),
    (
        re.compile(
            r"No matching signature for (?P<kind>function|operator) "
            rf"(?:(?P<name>{_NAME})|(?P<symbol>[^\w\s]{{1,3}}))"
            r"(?: for argument types:|\s+Argument types:)(?P<types>[A-Z0-9_<>, ]{1,400})"
        ),
        _say_signature,
    ),
    (
        re.compile(
            r"Duplicate column names in the result are not supported[^.]{0,60}\. Found duplicate\(s\): "
            rf"(?P<names>{_NAME}(?:, {_NAME}){{0,20}})(?= at \[|$)"
        ),
        _say_duplicates,
    ),
    (
        re.compile(
            rf"Cannot query over table '(?P<table>{_RESOURCE})' without a filter over column\(s\) "
            rf"(?P<columns>'{_NAME}'(?:, '{_NAME}'){{0,10}})"
        ),
        _say_filter,
    ),
)

# How a message begins, and what is said instead. Left of the colon stands what function or operator
# met the value; right of it, often, the value.
_STOPS: tuple[tuple[str, str], ...] = (
    ("Division by zero", "A division by zero"),
    ("Bad int64 value", "A text is no INT64"),
    ("Bad double value", "A text is no FLOAT64"),
    ("Bad bool value", "A text is no BOOL"),
    ("Bad numeric value", "A text is no NUMERIC"),
    ("Invalid NUMERIC value", "A text is no NUMERIC"),
    ("Invalid BIGNUMERIC value", "A text is no BIGNUMERIC"),
    ("Could not cast literal", "A literal cannot be cast to the type that is asked for"),
    ("Could not cast", "A value cannot be cast to the type that is asked for"),
    ("Invalid date", "A text is no DATE"),
    ("Invalid DATE", "A text is no DATE"),
    ("Invalid timestamp", "A text is no TIMESTAMP"),
    ("Invalid TIMESTAMP", "A text is no TIMESTAMP"),
    ("Invalid datetime", "A text is no DATETIME"),
    ("Invalid DATETIME", "A text is no DATETIME"),
    ("Invalid time string", "A text is no TIME"),
    ("Invalid TIME", "A text is no TIME"),
    ("Failed to parse input string", "A text does not fit the format that it is parsed by"),
    ("Mismatch between format character", "A text does not fit the format that it is parsed by"),
    ("syntax error while parsing value", "A text is no JSON"),
    ("Invalid input: syntax error", "A text is no JSON"),
    ("Array index", "An array has no element at the index"),
    ("Scalar subquery produced more than one element", "A scalar subquery gave more than one row"),
    ("Array cannot have a null element", "An array of the result has a NULL element"),
    ("Cannot parse regular expression", "A regular expression cannot be read"),
    ("int64 overflow", "A number is too large for INT64"),
    ("integer overflow", "A number is too large for INT64"),
    ("numeric overflow", "A number is too large for NUMERIC"),
    ("Floating point error", "A number is too large for FLOAT64"),
    ("Invalid time travel timestamp", "The moment lies outside the table's time-travel window"),
    ("Invalid snapshot time", "The moment lies outside the table's time-travel window"),
)

"""Which columns the leak scan looks at, and the SQL of what has to be searched of each."""

from dataclasses import dataclass

import pyarrow as pa

from reverse_etl.masking.leak_patterns import suspect_expression
from reverse_etl.masking.nested import ByPath
from reverse_etl.masking.nested_paths import Path, list_leaves
from reverse_etl.masking.policy import MaskedColumn, Policy
from reverse_etl.masking.rules import Rule
from reverse_etl.sql import quote_identifier, quote_literal
from reverse_etl.types import Kind, type_kind

# What these rules give is made of an option, a hash or a range; no text comes through. A rule that is
# not named here is scanned.
_LETS_NOTHING_THROUGH = frozenset({"hmac", "redact", "age_group", "year", "bucket"})

_TEXTS = frozenset({Kind.STRING, Kind.GEOGRAPHY, Kind.JSON})
_NUMBERS = frozenset({Kind.INT64, Kind.NUMERIC, Kind.FLOAT64, Kind.BIGNUMERIC})
# A My Number has twelve digits; a card has more, of which the first is one of these.
_FEWEST_DIGITS, _MOST_DIGITS = 12, 19
_BEGINNING = f"^([0-9]{{{_FEWEST_DIGITS}}}$|[2-6])"
_LEAST, _MOST = 10 ** (_FEWEST_DIGITS - 1), 7 * 10 ** (_MOST_DIGITS - 1) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedColumn:
    """A column that lands, or a path in one, and SQL over the landed columns for what is searched of it.

    It is empty where the gate finds nothing suspect, and NULL where the column is NULL. Of what is
    nested all texts and long numbers are lines of one text.
    """

    name: str
    expression: str


def list_scanned_columns(policy: Policy) -> list[ScannedColumn]:
    """Every column, or path, that can carry what is looked for, in output order."""
    scanned = []
    for column in policy.columns:
        for path, rule in _list_places(column):
            if rule.rule in _LETS_NOTHING_THROUGH:
                continue
            expression = _column_expression(column.landed, path)
            if expression is not None:
                scanned.append(ScannedColumn(name=str(path), expression=expression))
    return scanned


def _list_places(column: MaskedColumn) -> list[tuple[Path, Rule]]:
    """The column with its rule; the leaves of one that has rules by path, each with its own."""
    if not isinstance(column.rule, ByPath):
        return [(Path(column.landed.name), column.rule)]
    rules = column.rule.rules_by_name
    return [(path, rules[str(path)]) for path, _ in list_leaves(column.landed)]


def _column_expression(field: pa.Field, path: Path) -> str | None:
    """SQL for what has to be searched at a path of a column, which may be all of it.

    None for a type that carries nothing of it.
    """
    kind = type_kind(field)
    value = quote_identifier(field.name)
    if kind in {Kind.ARRAY, Kind.STRUCT}:
        lines = _lines(field, value, path.steps, depth=0)
        if lines is None:
            return None
        # The list of one is how SQL gives a name to what is used more than once.
        suspect = (
            f"list_transform([{lines}], lambda leak_lines: {suspect_expression('leak_lines')})"
        )
        return f"CASE WHEN {value} IS NOT NULL THEN coalesce({suspect}[1], '') END"
    if kind in _NUMBERS:
        return (
            f"CASE WHEN {_is_suspect(kind, value)} THEN {_digits(kind, value)} "
            f"WHEN {value} IS NOT NULL THEN '' END"
        )
    return suspect_expression(_text(kind, value)) if kind in _TEXTS else None


def _lines(field: pa.Field, value: str, steps: tuple[str | None, ...], *, depth: int) -> str | None:
    """SQL for the texts and long numbers of `value` that lie at `steps`, or below; without any: all."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        # A name for each depth: the item of an inner array must not hide that of the outer one.
        item = f"leak_item{depth}"
        inner = _lines(field.type.value_field, item, steps[1:], depth=depth + 1)
        listed = None if inner is None else f"list_transform({value}, lambda {item}: {inner})"
        return None if listed is None else f"array_to_string({listed}, chr(10))"
    if kind is Kind.STRUCT:
        # By position: a name would be matched whatever its case.
        members = [
            _lines(member, f"struct_extract_at({value}, {place})", steps[1:], depth=depth)
            for place, member in enumerate(field.type.fields, 1)
            if not steps or member.name == steps[0]
        ]
        texts = [text for text in members if text is not None]
        return f"concat_ws(chr(10), {', '.join(texts)})" if texts else None
    if kind in _NUMBERS:
        return f"CASE WHEN {_is_suspect(kind, value)} THEN {_digits(kind, value)} END"
    return _text(kind, value) if kind in _TEXTS else None


def _text(kind: Kind, value: str) -> str:
    r"""The text; of JSON without its \u escapes, as it lands."""
    if kind is not Kind.JSON:
        return value
    return (
        f"CASE WHEN contains({value}, chr(92) || 'u') "
        f"THEN coalesce(try(json({value}))::VARCHAR, {value}) ELSE {value} END"
    )


def _is_suspect(kind: Kind, value: str) -> str:
    """SQL: whether a number is whole, as long as what is looked for, and begins like it."""
    if kind is Kind.BIGNUMERIC:
        is_whole = f"NOT contains({value}, '.')"
        is_long = f"strlen({value}) BETWEEN {_FEWEST_DIGITS} AND {_MOST_DIGITS} AND {is_whole}"
    else:
        is_long = f"{value} BETWEEN {_LEAST} AND {_MOST}"
        if kind is not Kind.INT64:
            is_long = f"{is_long} AND {value} = trunc({value})"
    # Nested, so that a number out of range is never written as a BIGINT.
    begins = f"regexp_matches({_digits(kind, value)}, {quote_literal(_BEGINNING)})"
    return f"CASE WHEN {is_long} THEN {begins} ELSE false END"


def _digits(kind: Kind, value: str) -> str:
    return value if kind is Kind.BIGNUMERIC else f"{value}::BIGINT::VARCHAR"

"""The coarser rules that a quasi-identifier could have, and what its groups would be made by then.

A step is offered only where what it would land can be computed from what landed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from reverse_etl.masking.policy import MaskedColumn
from reverse_etl.masking.risk_groups import name_column
from reverse_etl.masking.rules import AgeGroup, Rule

#: Rules whose coarser form depends on the raw value: it is named, not tried.
HINTS = {
    "week": "rule month or year",
    "bucket": "fewer edges",
    "round": "a larger multiple",
    "geo_round": "a larger grid",
    "ip_prefix": "a shorter prefix",
}

#: Rules that give NULL for NULL and for nothing else: what `redact` would land can be told from theirs.
_TELL_NULLS = {
    *("keep", "hmac", "bucket", "age_group"),
    *("year", "month", "week"),
    *("truncate", "postal_prefix"),
}
_SHORTENED = {"truncate", "postal_prefix"}
_WIDEST_AGE_GROUP = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One column under a coarser rule. `key` is what it would be grouped by then; None: by nothing."""

    column: str
    at: int
    rule: str
    key: str | None


def list_steps(column: MaskedColumn, *, at: int) -> list[Step]:
    """The coarser rules of a quasi-identifier, from the mildest to none of it at all."""
    name = name_column(at)
    rule, own = column.rule.rule, column.landed.name
    found = [Step(column=own, at=at, rule=text, key=key) for text, key in _coarsen(column, name)]
    if rule in _TELL_NULLS:
        found.append(Step(column=own, at=at, rule="redact", key=f"{name} IS NULL"))
    return [*found, Step(column=own, at=at, rule="drop", key=None)]


def _coarsen(column: MaskedColumn, name: str) -> Iterator[tuple[str, str]]:
    """The rule in fewer words of the column, and what it would be grouped by."""
    rule = column.rule
    if rule.rule in _SHORTENED:
        for length in _shorten(getattr(rule, "length", 0)):
            yield _summarise(rule, length=length), f"left({name}, {length})"
    elif isinstance(rule, AgeGroup):
        years = 2 * rule.years
        while years <= _WIDEST_AGE_GROUP:
            age = f"regexp_extract({name}, '^[0-9]+')::INTEGER"
            key = f"CASE WHEN {name} = 'unknown' THEN -1 ELSE {age} // {years} END"
            yield _summarise(rule, years=years), key
            years *= 2
    elif rule.rule == "month":
        yield "year", f"left({name}, 4)"
    elif rule.rule == "keep" and _has_day(column.landed.type):
        place = _in_utc(column.landed.type, name)
        yield "week", f"strftime({place}, '%G-%V')"
        yield "month", f"strftime({place}, '%Y-%m')"
        yield "year", f"year({place})"


def _shorten(length: int) -> list[int]:
    """A few lengths below: one by one at first, then by halves."""
    tried = {length - 1, length - 2, length - 3, length // 2, length // 4, 1}
    return sorted((it for it in tried if 0 < it < length), reverse=True)


def _has_day(kind: pa.DataType) -> bool:
    return pa.types.is_date32(kind) or pa.types.is_timestamp(kind)


def _in_utc(kind: pa.DataType, name: str) -> str:
    is_zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    return f"{name} AT TIME ZONE 'UTC'" if is_zoned else name


def _summarise(rule: Rule, **options: int) -> str:
    return rule.model_copy(update=options).summary()

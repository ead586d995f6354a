"""What would make a version pass: coarser rules for its quasi-identifiers, tried on its groups.

A step is tried only where what it would land can be computed from what landed; no value is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from reverse_etl.masking.policy import MaskedColumn
from reverse_etl.masking.risk_groups import name_column
from reverse_etl.masking.risk_report import GroupSizes
from reverse_etl.masking.rules import AgeGroup, Rule

#: Rules that give NULL for NULL and for nothing else: what `redact` would land can be told from theirs.
_TELL_NULLS = {
    *("keep", "hmac", "bucket", "age_group"),
    *("year", "month", "week"),
    *("truncate", "postal_prefix"),
}
_SHORTENED = {"truncate", "postal_prefix"}
#: Rules whose coarser form depends on the raw value: it is named, not tried.
_HINTS = {
    "week": "rule month or year",
    "bucket": "fewer edges",
    "round": "a larger multiple",
    "geo_round": "a larger grid",
    "ip_prefix": "a shorter prefix",
}
_WIDEST_AGE_GROUP = 100
# A table of many groups is not tried for hours: so many of its rows are looked at, in all trials.
_ROWS_LOOKED_AT = 30_000_000
_FEWEST_TRIALS, _MOST_TRIALS = 8, 300

#: Groups by SQL expressions over the columns of the group table.
CountSizes = Callable[[Sequence[str]], GroupSizes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One column under a coarser rule. `key` is what it would be grouped by then; None: by nothing."""

    column: str
    at: int
    rule: str
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The steps that pass together; none if none were found, or `is_hopeless`: if there are none.

    `groups` is how many would remain, `tried` how many plans were looked at, `hints` what was not.
    """

    steps: tuple[Step, ...]
    groups: int
    tried: int
    hints: tuple[str, ...]
    is_hopeless: bool


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


_Plan = Mapping[int, Step]


class _Search:
    """Tries plans: at some places of the rules the step that is taken there, the others as they are."""

    def __init__(
        self, columns: Sequence[MaskedColumn], *, count_sizes: CountSizes, trials: int
    ) -> None:
        self._count_sizes = count_sizes
        self._places = range(len(columns))
        self._steps = [list_steps(column, at=at) for at, column in enumerate(columns)]
        self._trials = trials
        self.tried = 0

    def is_hopeless(self) -> bool:
        """Whether not even all records in one group pass."""
        return bool(self._try({at: self._steps[at][-1] for at in self._places}).refused_records)

    def find(self) -> tuple[_Plan, GroupSizes] | None:
        """A plan that passes, and its groups; None if there was none before trials ran out."""
        plan: _Plan = {}
        while tried := list(self._try_next(plan)):
            passing = [it for it in tried if not it[1].refused_records]
            if passing:
                # What leaves most groups apart says most; of equals the mildest, which stands first.
                return self._soften(*max(passing, key=lambda it: it[1].groups))
            plan, _ = min(tried, key=lambda it: (it[1].refused_records, -it[1].groups))
        return None

    def _try(self, plan: _Plan) -> GroupSizes:
        self.tried += 1
        keys = [plan[at].key if at in plan else name_column(at) for at in self._places]
        return self._count_sizes([key for key in keys if key is not None])

    def _try_next(self, plan: _Plan) -> Iterator[tuple[_Plan, GroupSizes]]:
        """Every plan with one more step, as long as trials last."""
        for at in self._places:
            taken = self._steps[at].index(plan[at]) + 1 if at in plan else 0
            for step in self._steps[at][taken:]:
                if self.tried >= self._trials:
                    return
                after = {**plan, at: step}
                yield after, self._try(after)

    def _soften(self, plan: _Plan, sizes: GroupSizes) -> tuple[_Plan, GroupSizes]:
        """Take back, place by place, what is not needed to pass."""
        for at, step in list(plan.items()) if len(plan) > 1 else ():
            others = {place: it for place, it in plan.items() if place != at}
            milder = self._steps[at][: self._steps[at].index(step)]
            for softer in (others, *({**others, at: it} for it in milder)):
                if self.tried >= self._trials:
                    return plan, sizes
                found = self._try(softer)
                if not found.refused_records:
                    plan, sizes = softer, found
                    break
        return plan, sizes


def find_advice(
    columns: Sequence[MaskedColumn], *, count_sizes: CountSizes, table_rows: int
) -> Advice:
    """The cheapest generalisation that passes, by trying.

    Of those that change one column it is the one that leaves most groups apart. When none passes
    alone, steps are added where they help most, and taken back where they are not needed. Fewer are
    tried when the group table has many rows.
    """
    trials = max(_FEWEST_TRIALS, min(_MOST_TRIALS, _ROWS_LOOKED_AT // max(1, table_rows)))
    search = _Search(columns, count_sizes=count_sizes, trials=trials)
    is_hopeless = search.is_hopeless()
    found = None if is_hopeless else search.find()
    plan, groups = ({}, 0) if found is None else (found[0], found[1].groups)
    return Advice(
        steps=tuple(plan[at] for at in sorted(plan)),
        groups=groups,
        tried=search.tried,
        hints=tuple(
            f"{_HINTS[column.rule.rule]} for '{column.landed.name}'"
            for column in columns
            if column.rule.rule in _HINTS
        ),
        is_hopeless=is_hopeless,
    )

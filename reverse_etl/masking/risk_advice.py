"""What would make a version pass: coarser rules for its quasi-identifiers, tried on its groups.

The work is bounded by counts, not by time: by cells of the group table that all trials look at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from reverse_etl.masking.policy import MaskedColumn
from reverse_etl.masking.risk_codes import CodedGroups, Outcome, Plan, count_cells
from reverse_etl.masking.risk_groups import GroupTable, name_column
from reverse_etl.masking.risk_report import GroupSizes
from reverse_etl.masking.risk_rules import PrivacyRules
from reverse_etl.masking.risk_steps import HINTS, Step, list_steps

# A table that would have more is made coarser before anything is tried: a cell is a number in memory.
_MOST_CELLS = 24_000_000
# A trial looks at each row once a column, and as much again as so many columns to sort it.
_CELLS_LOOKED_AT = 400_000_000
_SORTING_COLUMNS = 8
_FEWEST_TRIALS, _MOST_TRIALS = 8, 300
# With fewer trials than it takes to try each step so often, steps are not put together one by one.
_ROUNDS_OF_CLIMBING = 3
# The others are kept for what follows when no plan was found in this way.
_SHARE_OF_CLIMBING = 0.75

_Steps = Sequence[Sequence[Step]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The steps that pass together; none if there are none: not even one group of all records passes.

    `groups` is how many would remain, `hints` what was not tried.
    """

    steps: tuple[Step, ...]
    groups: int
    hints: tuple[str, ...]


def find_advice(
    columns: Sequence[MaskedColumn], *, table: GroupTable, refused: GroupSizes
) -> Advice:
    """The cheapest generalisation found to pass; the table may be coarser afterwards.

    Of those that change one column it is the one that leaves most groups apart. When none passes
    alone, steps are added where they help most, and taken back where they are not needed. Where that
    would be too long a way, the columns with most values are dropped first, and then coarsened
    instead as far as that is enough.
    """
    rules = refused.rules
    whole = GroupSizes(rules=rules, same=table.count_sizes([]))
    hints = tuple(
        f"{HINTS[column.rule.rule]} for '{column.landed.name}'"
        for column in columns
        if column.rule.rule in HINTS
    )
    if whole.refused_records:
        return Advice(steps=(), groups=0, hints=hints)
    steps = [list_steps(column, at=at) for at, column in enumerate(columns)]
    taken, left = _shrink(table, steps, rows=table.compact(combinations=refused.groups))
    found = _search(table, left, rules=rules)
    plan, sizes = {**taken, **found}, _count_exactly(table, found, places=len(left), rules=rules)
    if sizes.refused_records:
        # Two combinations had one hash. One group of all records passes for certain.
        plan, sizes = {at: own[-1] for at, own in enumerate(steps)}, whole
    return Advice(steps=tuple(plan[at] for at in sorted(plan)), groups=sizes.groups, hints=hints)


def _shrink(table: GroupTable, steps: _Steps, *, rows: int) -> tuple[Plan, _Steps]:
    """Make the table small enough for memory; the steps that this took, and those that are left.

    The column with most values takes its last step before it is dropped, then it is.
    """
    taken: dict[int, Step] = {}
    left = [list(own) for own in steps]
    names = [name_column(at) for at in range(len(steps))]
    while any(left) and rows * count_cells(left) > _MOST_CELLS:
        distinct = table.count_distinct(names)
        at = max((at for at, own in enumerate(left) if own), key=distinct.__getitem__)
        # The last step is drop; the one before is the coarsest that says anything.
        step = left[at][-2:][0]
        left[at] = [] if step.key is None else left[at][-1:]
        taken[at] = step
        rows = table.coarsen({names[at]: step.key or "true"})
    return taken, left


def _search(table: GroupTable, steps: _Steps, *, rules: PrivacyRules) -> Plan:
    """A plan of these steps that passes, if hashes are to be believed."""
    if not any(steps):
        return {}
    groups = CodedGroups(table, steps=steps, rules=rules, most_cells=_MOST_CELLS)
    looked_at = groups.rows * (len(steps) + _SORTING_COLUMNS)
    trials = max(_FEWEST_TRIALS, min(_MOST_TRIALS, _CELLS_LOOKED_AT // looked_at))
    return _Search(groups, steps=steps, trials=trials).find()


def _count_exactly(
    table: GroupTable, plan: Plan, *, places: int, rules: PrivacyRules
) -> GroupSizes:
    keys = [plan[at].key if at in plan else name_column(at) for at in range(places)]
    same = table.count_sizes([key for key in keys if key is not None])
    return GroupSizes(rules=rules, same=same)


class _Search:
    """Tries plans: at some places the step that is taken there, the others as they are."""

    def __init__(self, groups: CodedGroups, *, steps: _Steps, trials: int) -> None:
        self._groups = groups
        self._steps = steps
        self._trials = trials
        self._tried = 0

    def find(self) -> Plan:
        """A plan that passes: everything may be dropped in the end."""
        steps = sum(len(own) for own in self._steps)
        plan = self._climb() if self._trials >= _ROUNDS_OF_CLIMBING * steps else None
        return self._soften(self._drop_widest() if plan is None else plan)

    def _climb(self) -> Plan | None:
        """A plan that passes, step by step; None if there was none before its trials ran out."""
        plan: Plan = {}
        tried = [(plan, self._try(plan))]
        while tried:
            passing = [it for it in tried if not it[1].refused_records]
            if passing:
                # What leaves most groups apart says most; of equals the mildest, which stands first.
                return max(passing, key=lambda it: it[1].groups)[0]
            plan, _ = min(tried, key=lambda it: (it[1].refused_records, -it[1].groups))
            tried = list(self._try_next(plan))
        return None

    def _try_next(self, plan: Plan) -> Iterator[tuple[Plan, Outcome]]:
        """Every plan with one more step, as long as trials last."""
        for at, own in enumerate(self._steps):
            for step in own[own.index(plan[at]) + 1 if at in plan else 0 :]:
                if self._tried >= self._trials * _SHARE_OF_CLIMBING:
                    return
                after = {**plan, at: step}
                yield after, self._try(after)

    def _drop_widest(self) -> Plan:
        """As few columns dropped as pass, those with most values first, found by halving."""
        places = sorted(
            (at for at, own in enumerate(self._steps) if own),
            key=self._groups.distinct.__getitem__,
            reverse=True,
        )
        last = {at: self._steps[at][-1] for at in places}
        plans = [dict(islice(last.items(), count)) for count in range(1, len(last) + 1)]
        return self._find_mildest(plans)

    def _soften(self, plan: Plan) -> Plan:
        """Take back, place by place, what is not needed to pass, as long as trials last."""
        for at, step in plan.items():
            others = {place: it for place, it in plan.items() if place != at}
            milder = self._steps[at][: self._steps[at].index(step)]
            plan = self._find_mildest([others, *({**others, at: it} for it in milder), plan])
        return plan

    def _find_mildest(self, plans: Sequence[Plan]) -> Plan:
        """One that passes where the one before does not, found by halving; the last is known to pass."""
        low, high = 0, len(plans) - 1
        while low < high and self._tried < self._trials:
            middle = (low + high) // 2
            if self._try(plans[middle]).refused_records:
                low = middle + 1
            else:
                high = middle
        return plans[high]

    def _try(self, plan: Plan) -> Outcome:
        self._tried += 1
        return self._groups.count(plan)

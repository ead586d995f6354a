"""How large the groups of a version are, as counts: what a person sees, and what the gate decides by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reverse_etl.masking.risk_rules import PrivacyRules

#: The smallest size of each bin; the last one is open.
_BINS = (1, 2, 5, 10, 20, 50, 100)
_BAR_BLOCKS = 20
_PARTS_OF_A_BLOCK = " ▏▎▍▌▋▊▉"


class SameGroups(NamedTuple):
    """So many groups alike: as many records each, and values of the sensitive column (0 if none is set).

    Values are counted no further than the rules ask for.
    """

    records: int
    values: int
    groups: int


class SizeBin(NamedTuple):
    """Groups of similar size, and how many records they have together."""

    size: str
    groups: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSizes:
    """The groups of a version, from the smallest to the largest; nothing of what is in them."""

    rules: PrivacyRules
    same: tuple[SameGroups, ...]

    @property
    def groups(self) -> int:
        """How many there are."""
        return sum(it.groups for it in self.same)

    @property
    def records(self) -> int:
        """How many records they have together."""
        return sum(it.groups * it.records for it in self.same)

    @property
    def too_small(self) -> tuple[SameGroups, ...]:
        """Those of fewer than k records."""
        return tuple(it for it in self.same if it.records < self.rules.k)

    @property
    def too_uniform(self) -> tuple[SameGroups, ...]:
        """Those of fewer than l values."""
        least = 0 if self.rules.l is None else self.rules.l.at_least
        return tuple(it for it in self.same if it.values < least)

    @property
    def refused_records(self) -> int:
        """Records in groups that break either promise."""
        broken = {*self.too_small, *self.too_uniform}
        return sum(it.groups * it.records for it in broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskReport:
    """The groups of a version in numbers. `smallest` is None when there are no records at all.

    `below_k` and `below_l` count groups, `records_below_k` and `records_below_l` the records in them;
    those of l are None when the sync asks for none.
    """

    k: int
    records: int
    groups: int
    smallest: int | None
    below_k: int
    records_below_k: int
    below_l: int | None
    records_below_l: int | None
    histogram: tuple[SizeBin, ...]


def build_report(sizes: GroupSizes) -> RiskReport:
    """The numbers of a version's groups."""
    small, uniform = sizes.too_small, sizes.too_uniform
    has_l = sizes.rules.l is not None
    return RiskReport(
        k=sizes.rules.k,
        records=sizes.records,
        groups=sizes.groups,
        smallest=min((it.records for it in sizes.same), default=None),
        below_k=count_groups(small),
        records_below_k=count_records(small),
        below_l=count_groups(uniform) if has_l else None,
        records_below_l=count_records(uniform) if has_l else None,
        histogram=_build_histogram(sizes.same),
    )


def count_groups(same: Sequence[SameGroups]) -> int:
    """All of the groups."""
    return sum(it.groups for it in same)


def count_records(same: Sequence[SameGroups]) -> int:
    """All of their records."""
    return sum(it.groups * it.records for it in same)


def render_histogram(report: RiskReport) -> str:
    """The histogram as a Markdown table that can be read as plain text too; bars are shares of records."""
    rows = [("records in a group", "groups", "records", "share of records")]
    for item in report.histogram:
        share = _render_share(item.records, of=report.records)
        rows.append((item.size, f"{item.groups:,}", f"{item.records:,}", share))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [_align(row, widths) for row in rows]
    rule = [f"{'-' * (width - 1)}:" for width in widths[:-1]] + ["-" * widths[-1]]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


def _build_histogram(same: Sequence[SameGroups]) -> tuple[SizeBin, ...]:
    groups: Counter[int] = Counter()
    records: Counter[int] = Counter()
    for item in same:
        low = max(low for low in _BINS if low <= item.records)
        groups[low] += item.groups
        records[low] += item.groups * item.records
    return tuple(
        SizeBin(size=_label_bin(at), groups=groups[low], records=records[low])
        for at, low in enumerate(_BINS)
    )


def _label_bin(at: int) -> str:
    low = _BINS[at]
    if low == _BINS[-1]:
        return f"{low}+"
    high = _BINS[at + 1] - 1
    return f"{low}" if low == high else f"{low}-{high}"


def _render_share(records: int, *, of: int) -> str:
    """A bar and a percentage. A bin that has any record shows: the rare ones are looked for."""
    if not records:
        return ""
    parts = len(_PARTS_OF_A_BLOCK)
    full, rest = divmod(max(1, round(records / of * _BAR_BLOCKS * parts)), parts)
    bar = ("█" * full + _PARTS_OF_A_BLOCK[rest]).rstrip()
    percent = f"{records / of:.1%}"
    return f"{bar} {'<0.1%' if percent == '0.0%' else percent}"


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [text.rjust(width) for text, width in zip(row[:-1], widths, strict=False)]
    return f"| {' | '.join([*numbers, row[-1].ljust(widths[-1])])} |"

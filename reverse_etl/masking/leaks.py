"""The leak scan: every masked row is looked at for personal data in columns that nobody declared.

It cannot be switched off; what a column may hold is allowed by name. `leak_kinds` has what is looked
for, `leak_patterns` and `leak_search` how. What is kept of a batch is counts.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.engine import Engine
from reverse_etl.errors import DataError, PolicyError
from reverse_etl.masking.advice_text import write_text
from reverse_etl.masking.leak_columns import ScannedColumn, list_scanned_columns
from reverse_etl.masking.leak_kinds import (
    COUNT_BITS,
    FIELD_BITS,
    LIMITS,
    MOST_CANDIDATES,
    LeakKind,
    explains_by_chance,
    find_shift,
)
from reverse_etl.masking.leak_rules import LeakAllowance, LeakRules
from reverse_etl.masking.leak_search import find_kinds
from reverse_etl.masking.nested import list_rules
from reverse_etl.masking.policy import Policy

__all__ = ["LeakAllowance", "LeakFinding", "LeakInspector", "LeakRules", "resolve_leaks"]

# Enough to tell a column of a few values from one of many.
_LOOKED_AT = 1024
_FIELD = (1 << FIELD_BITS) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakFinding:
    """How many of a column's values hold what looks like a kind.

    `candidates` and `hits` count within them: a text may hold more than one, and a candidate that
    fails its check digit is no hit.
    """

    column: str
    kind: LeakKind
    values: int
    found: int
    candidates: int
    hits: int

    def exceeds(self, share: float) -> bool:
        """Whether there are too many to be an exception, and too many to be chance."""
        limits = LIMITS[self.kind]
        return self.found >= max(limits.least, share * self.values) and not explains_by_chance(
            hits=self.hits, candidates=self.candidates, chance=limits.chance
        )

    def describe(self) -> str:
        """Column, kind and counts."""
        return (
            f"column '{self.column}' holds what looks like {LIMITS[self.kind].words} in {self.found} of "
            f"{self.values} values ({100 * self.found / self.values:.3g} %)"
        )


def resolve_leaks(rules: LeakRules, *, policy: Policy) -> tuple[ScannedColumn, ...]:
    """The columns to look at; `PolicyError` when a column is allowed that does not leave."""
    leaving = [column.landed.name for column in policy.columns]
    leaving += [rule.name for rule in list_rules(it.rule for it in policy.columns) if rule.leaves]
    leaving = list(dict.fromkeys(leaving))
    unknown = sorted({each.column for each in rules.allow} - set(leaving))
    if unknown:
        raise PolicyError(
            f"leaks.allow names columns that do not leave: {', '.join(map(repr, unknown))}. Columns "
            f"that do: {', '.join(map(repr, leaving))}. Correct the name, or take the entry out."
        )
    return tuple(list_scanned_columns(policy))


class _Counts:
    """What was seen of one column: its values, and by kind what was found, candidates and hits."""

    def __init__(self) -> None:
        self.values = 0
        self.by_kind = np.zeros((len(LeakKind), 3), np.int64)

    def add(self, values: int, by_kind: npt.NDArray[np.int64]) -> None:
        self.values += values
        self.by_kind += by_kind


class LeakInspector:
    """The leak scan of one version. `see` may be called from several threads at once."""

    def __init__(self, rules: LeakRules, *, policy: Policy) -> None:
        self._rules = rules
        columns = resolve_leaks(rules, policy=policy)
        self._items = {f".leak.{column.name}": column.expression for column in columns}
        self._counts = {column.name: _Counts() for column in columns}
        self._lock = threading.Lock()

    @property
    def items(self) -> Mapping[str, str]:
        """A text a column: empty unless something in it has to be searched, which is seldom."""
        return self._items

    def see(self, cursor: Engine, seen: pa.Table) -> None:
        """Search what is suspect, and add up the batch."""
        del cursor
        for item, counts in zip(self._items, self._counts.values(), strict=True):
            column = seen.column(item)
            found = _count_finds(column)
            with self._lock:
                counts.add(len(column) - column.null_count, found)

    def close(self) -> None:
        """It holds counts only."""

    @property
    def findings(self) -> tuple[LeakFinding, ...]:
        """Everything that was found, allowed or not, in order of columns and kinds."""
        with self._lock:
            return tuple(
                LeakFinding(
                    column=name,
                    kind=kind,
                    values=counts.values,
                    found=int(found),
                    candidates=int(candidates),
                    hits=int(hits),
                )
                for name, counts in self._counts.items()
                for kind, (found, candidates, hits) in zip(LeakKind, counts.by_kind, strict=True)
                if found
            )

    @property
    def report(self) -> Mapping[str, Mapping[str, int]]:
        """By column and kind, how many values hold what looks like it; columns without any are absent."""
        found: dict[str, dict[str, int]] = {}
        for finding in self.findings:
            found.setdefault(finding.column, {})[finding.kind.value] = finding.found
        return found

    def conclude(self) -> None:
        """Return if nothing was found that nobody declared; `DataError` names all columns and kinds."""
        leaks = [
            finding
            for finding in self.findings
            if finding.exceeds(self._rules.find_share(finding.kind))
            and not self._rules.allows(finding.column, finding.kind)
        ]
        if leaks:
            raise DataError(
                "The leak scan stopped the version, nothing of it was written: "
                f"{'; '.join(leak.describe() for leak in leaks)}. Mask each column (rule: drop, redact, "
                "or hmac where equality is needed), or mend the query. If its values may leave, write "
                f"it down in the sync:\n{_write_allowances(leaks)}"
            )


def _count_finds(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """By kind, what is found in the column's texts that are not empty."""
    if not any(_holds_text(chunk) for chunk in column.chunks):
        return np.zeros((len(LeakKind), 3), np.int64)
    suspects = column.filter(pc.greater(pc.binary_length(column), pa.scalar(0))).cast(pa.string())
    if not len(suspects):
        return np.zeros((len(LeakKind), 3), np.int64)
    if not _is_repetitive(suspects):
        return _count_kinds(find_kinds(suspects), np.ones(len(suspects), np.int64))
    counted = suspects.value_counts()
    texts, times = (counted.field(name) for name in ("values", "counts"))
    return _count_kinds(find_kinds(pa.chunked_array([texts])), times.to_numpy())


def _holds_text(texts: pa.Array) -> bool:
    """Whether one of them is not empty, by where the first begins and the last ends: seldom one is."""
    _, buffer, _ = texts.buffers()
    if buffer is None:  # Arrow may leave it out of an empty array
        return False
    offsets = np.frombuffer(memoryview(buffer), dtype=np.int32)
    return bool(offsets[texts.offset] != offsets[texts.offset + len(texts)])


def _is_repetitive(texts: pa.ChunkedArray) -> bool:
    """Whether each text is there twice, by the first ones: then to count them first takes less time."""
    some = texts.slice(0, _LOOKED_AT)
    return 2 * pc.count_distinct(some).as_py() <= len(some)


def _count_kinds(
    found: npt.NDArray[np.int64], times: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """By kind: values with a hit, candidates, hits; each of the finds is there so many times."""
    counts = np.zeros((len(LeakKind), 3), np.int64)
    for row, kind in zip(counts, LeakKind, strict=True):
        fields = (found >> find_shift(kind)) & _FIELD
        hits = fields & MOST_CANDIDATES
        row[:] = times[hits > 0].sum(), (fields >> COUNT_BITS) @ times, hits @ times
    return counts


def _write_allowances(leaks: Iterable[LeakFinding]) -> str:
    kinds: dict[str, list[str]] = {}
    for leak in leaks:
        kinds.setdefault(leak.column, []).append(leak.kind.value)
    lines = [
        f"    - {{column: {write_text(name)}, kinds: [{', '.join(of)}]}}"
        for name, of in kinds.items()
    ]
    return "\n".join(["leaks:", "  allow:", *lines])

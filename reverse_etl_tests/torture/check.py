"""Holds every answer, and every head, against what must be."""

import itertools
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from reverse_etl.errors import NotFoundError
from reverse_etl.model import Head
from reverse_etl_tests.torture.truth import read_mark
from reverse_etl_tests.torture.world import World

# Of each kind: the first ones tell the most.
_MOST_TOLD = 5


class Fault(StrEnum):
    """What may be wrong."""

    MIXED = "mixed"  # one call, or pinned block, answered from two versions
    MISSING = "missing"  # no record of a user who is there
    WRONG = "wrong"  # a record of a user who is not there, of another version, or of no version
    BACKWARDS = "backwards"  # a reader, or Redis' head before S3's, went back a generation
    BLOCKED = "blocked"  # a blocked version was live again without an order
    STUCK = "stuck"  # a run was refused because of what a dead one had left
    ERROR = "errors"  # a reader or writer raised what it must not
    LEFTOVER = "leftovers"


class Findings:
    """Everything that was wrong; nothing should be. And what was counted. Any thread may add."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: Counter[Fault] = Counter()
        self.told: list[str] = []
        self._lock = threading.Lock()

    def count(self, what: str, number: int = 1) -> None:
        """Something was done."""
        with self._lock:
            self.counts[what] += number

    def add(self, fault: Fault, text: str) -> None:
        """Something is wrong."""
        with self._lock:
            self.faults[fault] += 1
            if self.faults[fault] <= _MOST_TOLD:
                self.told.append(f"{fault}: {text}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What never changes of a head's generation."""

    version: str
    blocked: tuple[str, ...]


class Heads:
    """Every head that anybody saw, by generation."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen: dict[int, Seen] = {}
        self._ordered: Counter[str] = Counter()
        self._lock = threading.Lock()

    def observe(self, head: Head) -> None:
        """Somebody read by this head. One generation names one version, whoever asks."""
        seen = Seen(head.version, head.blocked)
        with self._lock:
            known = self._seen.setdefault(head.generation, seen)
        if known != seen:
            self._findings.add(
                Fault.WRONG, f"generation {head.generation} is {known}, and elsewhere {seen}"
            )

    def order(self, version: str) -> None:
        """A rollback to this very version begins: it may be live again, blocked or not."""
        with self._lock:
            self._ordered[version] += 1

    def between(self, first: Head, last: Head) -> tuple[list[str], int]:
        """The versions of the generations from one to another, and how many of these nobody saw."""
        generations = range(first.generation, last.generation + 1)
        with self._lock:
            seen = [self._seen[it].version for it in generations if it in self._seen]
        return seen, len(generations) - len(seen)

    def conclude(self) -> None:
        """Look at all of them in order: none was blocked by the one before, unless it was ordered."""
        returns: Counter[str] = Counter()
        ordered = sorted(self._seen)
        for earlier, later in itertools.pairwise(ordered):
            version = self._seen[later].version
            if version in self._seen[earlier].blocked:
                returns[version] += 1
        self._findings.count("generations", len(ordered))
        self._findings.count("blocked versions gone to by name", returns.total())
        for version, count in returns.items():
            if count > self._ordered[version]:
                self._findings.add(
                    Fault.BLOCKED,
                    f"'{version}' was blocked and then live {count} times, and ordered "
                    f"{self._ordered[version]} times",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one call, or one pinned block, gave. `first` and `last` are the heads before and after."""

    reader: str
    first: Head
    last: Head
    found: Mapping[str, bytes | None]


class Check:
    """Holds answers against the truth."""

    def __init__(self, world: World, findings: Findings) -> None:
        self._world = world
        self._findings = findings
        self.heads = Heads(findings)

    def take(self, answer: Answer) -> None:
        """One answer: of one version, one that may be read at that time, byte for byte."""
        self.heads.observe(answer.first)
        self.heads.observe(answer.last)
        self._findings.count("answers", len(answer.found))
        if answer.last.generation < answer.first.generation:
            self._findings.add(
                Fault.BACKWARDS,
                f"{answer.reader} went from {answer.first.generation} to {answer.last.generation}",
            )
        if answer.first.generation != answer.last.generation:
            self._findings.count("calls during a flip")
        possible, unseen = self.heads.between(answer.first, answer.last)
        if any(self._fits(self._find_mark(version), answer) for version in possible):
            return
        if unseen and any(self._fits(mark, answer) for mark in self._world.list_marks()):
            # Two flips within one call: of some version all the same, and a committed one.
            self._findings.count("answers of generations that were soon gone", len(answer.found))
            return
        self._explain(answer, possible)

    def _fits(self, mark: int, answer: Answer) -> bool:
        records = self._world.truth.records(mark)
        return all(records.get(key) == record for key, record in answer.found.items())

    def _find_mark(self, version: str) -> int:
        try:
            return self._world.find_mark(version)
        except NotFoundError:
            self._findings.add(Fault.WRONG, f"'{version}' is read, and has no manifest")
            return 0

    def _explain(self, answer: Answer, possible: list[str]) -> None:
        """Say which of the promises is broken."""
        marks = {read_mark(record) for record in answer.found.values() if record is not None}
        by_version = {version: self._find_mark(version) for version in possible}
        text = (
            f"{answer.reader} asked for {len(answer.found)} keys between generations "
            f"{answer.first.generation} and {answer.last.generation} ({by_version}) and got "
            f"marks {sorted(marks)}"
        )
        if len(marks) > 1:
            self._findings.add(Fault.MIXED, text)
            return
        (mark,) = marks or {next(iter(by_version.values()))}
        records = self._world.truth.records(mark)
        missing = [key for key, it in answer.found.items() if it is None and key in records]
        different = [
            key for key, it in answer.found.items() if it is not None and it != records.get(key)
        ]
        fault = Fault.MISSING if missing and not different else Fault.WRONG
        self._findings.add(
            fault, f"{text}; of mark {mark}: {len(missing)} missing, {len(different)} different"
        )

"""The groups of a version as numbers, so that a plan of coarser rules is tried without any value.

A combination of values is a sum of 64-bit hashes: two of them meet by accident once in ten million
tables of a million groups. So a plan is found here, and what is said of it is counted by the engine.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.masking.risk_groups import RECORDS, SENSITIVE, GroupTable, name_column
from reverse_etl.masking.risk_rules import PrivacyRules
from reverse_etl.masking.risk_steps import Step

#: At some places of the rules the step that is taken there, the others as they are.
Plan = Mapping[int, Step]

# The finaliser of SplitMix64, and its increment for each place: equal values at two places differ.
_INCREMENT = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
_MASK = (1 << 64) - 1

_Hashes = npt.NDArray[np.uint64]
_Integers = npt.NDArray[np.int64]


class Outcome(NamedTuple):
    """How many groups a plan leaves, and how many records are in those that break a promise."""

    groups: int
    refused_records: int


def count_cells(steps: Sequence[Sequence[Step]]) -> int:
    """Numbers that are held of each row: its columns and what is counted, and a column's steps at most."""
    return len(steps) + 2 + max(map(len, steps))


class CodedGroups:
    """The table of groups as numbers, to be grouped by any plan of `steps`, which stand by place.

    About `most_cells` numbers are held, if the table's rows have no more (`count_cells`).
    """

    def __init__(
        self,
        table: GroupTable,
        *,
        steps: Sequence[Sequence[Step]],
        rules: PrivacyRules,
        most_cells: int,
    ) -> None:
        self._table = table
        self._steps = steps
        self._rules = rules
        self._most_cells = most_cells
        hashed = table.hash_columns([name_column(at) for at in range(len(steps))])
        self._records: _Integers = hashed.column(RECORDS).to_numpy()
        self._sensitive: _Integers | None = None
        if rules.l is not None:
            values = _encode(hashed.column(SENSITIVE)).indices.fill_null(-1)
            self._sensitive = values.to_numpy().astype(np.int64)
        encoded = [_encode(hashed.column(at)) for at in range(len(steps))]
        self._values: list[pa.Array] = [column.dictionary for column in encoded]
        self._codes: list[npt.NDArray[np.int32]] = [it.indices.to_numpy() for it in encoded]
        self._hashes: dict[tuple[int, str | None], _Hashes] = {}

    @property
    def rows(self) -> int:
        """How many combinations there are; with a sensitive column, of its values too."""
        return len(self._records)

    @property
    def distinct(self) -> list[int]:
        """How many values each quasi-identifier has, by place."""
        return [len(values) for values in self._values]

    def count(self, plan: Plan) -> Outcome:
        """The groups under the plan."""
        keys = np.zeros(len(self._records), np.uint64)
        for at, codes in enumerate(self._codes):
            step = plan.get(at)
            if step is None or step.key is not None:
                keys += self._find_hashes(at, step)[codes]
        order = np.argsort(keys)
        starts = _find_starts(keys[order])
        records = np.add.reduceat(self._records[order], starts)
        refused = records < self._rules.k
        if self._rules.l is not None and self._sensitive is not None:
            values = _count_values(self._sensitive[order], starts)
            refused |= values < self._rules.l.at_least
        return Outcome(groups=len(starts), refused_records=int(records[refused].sum()))

    def _find_hashes(self, at: int, step: Step | None) -> _Hashes:
        """Of each value at this place, what tells it from others once the step is taken."""
        wanted = (at, None if step is None else step.rule)
        if wanted not in self._hashes:
            found = self._hash_value(at) if step is None else self._hash_steps(at)
            held = sum(map(len, self._hashes.values())) + sum(map(len, found.values()))
            if held > self._most_cells:
                self._hashes.clear()
            self._hashes |= found
        return self._hashes[wanted]

    def _hash_value(self, at: int) -> dict[tuple[int, str | None], _Hashes]:
        return {(at, None): _salt(self._values[at], at)}

    def _hash_steps(self, at: int) -> dict[tuple[int, str | None], _Hashes]:
        """All steps of a place at once: to find its values takes longer than to hash them."""
        keys = {step.rule: step.key for step in self._steps[at] if step.key is not None}
        hashed = self._table.hash_values(name_column(at), list(keys.values()))
        places = pc.index_in(self._values[at], value_set=hashed.column(0))
        return {
            (at, rule): _salt(found.take(places), at)
            for rule, found in zip(keys, hashed.columns[1:], strict=True)
        }


def _find_starts(ordered: npt.NDArray[np.generic]) -> _Integers:
    """Where each run of equal items begins."""
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def _count_values(values: _Integers, starts: _Integers) -> _Integers:
    """How many distinct values each run has, those below zero not counted."""
    lengths = np.diff(starts, append=len(values))
    groups = np.repeat(np.arange(len(starts)), lengths)
    counted = values >= 0
    wide = int(values.max(initial=0)) + 1
    pairs = np.sort(groups[counted] * wide + values[counted])
    if not len(pairs):
        return np.zeros(len(starts), np.int64)
    return np.bincount(pairs[_find_starts(pairs)] // wide, minlength=len(starts))


def _encode(hashed: pa.ChunkedArray) -> pa.DictionaryArray:
    return hashed.combine_chunks().dictionary_encode()


def _salt(hashed: pa.Array | pa.ChunkedArray, at: int) -> _Hashes:
    """Hashes of one place that have nothing to do with those of another: sums of them tell apart."""
    mixed: _Hashes = hashed.to_numpy() + np.uint64((at + 1) * _INCREMENT & _MASK)
    for shift, factor in _MIX:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(_LAST_SHIFT))

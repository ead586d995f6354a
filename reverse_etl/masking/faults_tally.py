"""What could not be masked, counted over a whole version: which rows are set aside, and whether it stands."""

import json
import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.errors import DataError
from reverse_etl.masking.faults import QuarantineRules
from reverse_etl.masking.rules.base import Rule
from reverse_etl.model import FaultCount

_ROUNDING = 1e-6


class FaultTally:
    """The faults of one version of `rows` rows. `sort` may be called from several threads at once.

    `rules` has the rule of every place that reasons may name.
    """

    def __init__(self, rules: Mapping[str, Rule], *, limits: QuarantineRules, rows: int) -> None:
        self._rules = rules
        self._limits = limits
        self._rows = rows
        self._rows_aside = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    @property
    def most_aside(self) -> int:
        """How many rows may be set aside."""
        # A share of 0.29 in 100 rows is 29 of them, which doubles make a little less.
        share = math.floor(self._limits.max_share * self._rows + _ROUNDING)
        return min(self._limits.max_rows, share)

    @property
    def rows_aside(self) -> int:
        """How many were, the version standing or not."""
        return self._rows_aside

    def sort(self, reasons: pa.ChunkedArray) -> npt.NDArray[np.bool_] | None:
        """Count a batch's reasons by row; which rows are set aside, or None where none is."""
        if reasons.null_count == len(reasons):
            return None
        # Any: their types in Arrow's stubs are too narrow.
        encode, fill_null = cast("Any", pc.dictionary_encode), cast("Any", pc.fill_null)
        coded = encode(reasons.combine_chunks())
        # Few texts stand for all the rows: each is a combination of columns and reasons.
        texts = [json.loads(text) for text in coded.dictionary.to_pylist()]
        codes = fill_null(coded.indices, len(texts)).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(texts) + 1).tolist()
        goes_aside = np.array([*map(self._goes_aside, texts), False])
        is_aside: npt.NDArray[np.bool_] = goes_aside[codes]
        with self._lock:
            for text, count in zip(texts, counts, strict=False):
                for fault in text.items():
                    self._counts[fault] += count
            self._rows_aside += int(np.count_nonzero(is_aside))
        return is_aside if goes_aside.any() else None

    @property
    def counts(self) -> tuple[FaultCount, ...]:
        """Rows by place and reason, in the order of the columns."""
        with self._lock:
            found = dict(self._counts)
        places = list(self._rules)
        return tuple(
            FaultCount(
                column=place,
                rule=self._rules[place].rule,
                reason=reason,
                action=self._rules[place].action,
                rows=found[place, reason],
            )
            for place, reason in sorted(found, key=lambda it: (places.index(it[0]), it[1]))
        )

    def conclude(self) -> None:
        """Return if the version may be written; `DataError` says of all columns why it may not."""
        problems = []
        if refused := [each for each in self.counts if each.action == "fail"]:
            problems.append(
                f"Values in {len({each.column for each in refused})} columns cannot be masked: "
                f"{describe_faults(refused)}. Mend the query, or say under each column what becomes of "
                "such rows: on_error: null (the value alone), or on_error: quarantine (the whole row)."
            )
        if self._rows_aside > self.most_aside:
            aside = [each for each in self.counts if each.action == "quarantine"]
            problems.append(
                f"{self._rows_aside} of {self._rows} rows would be in quarantine: "
                f"{describe_faults(aside)}. quarantine.max_rows {self._limits.max_rows} and "
                f"quarantine.max_share {self._limits.max_share:g} allow {self.most_aside}. Mend the query, "
                "or raise them for this run."
            )
        if problems:
            raise DataError(
                f"The version is refused, nothing of it was written. {' '.join(problems)}"
            )

    def _goes_aside(self, reasons: Mapping[str, str]) -> bool:
        return any(self._rules[place].action == "quarantine" for place in reasons)


def describe_faults(counts: Iterable[FaultCount]) -> str:
    """Column, rule, reason and count of each."""
    return "; ".join(
        f"column '{each.column}' ({each.rule}): {each.reason} in {each.rows} rows"
        for each in counts
    )

"""The gates that look at masked rows before any is written: what could not be masked, leaks, privacy."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.engine import Engine
from reverse_etl.masking.faults_query import REASONS
from reverse_etl.masking.faults_tally import FaultTally
from reverse_etl.masking.inspector import Inspector
from reverse_etl.masking.leaks import LeakInspector, resolve_leaks
from reverse_etl.masking.nested import list_rules
from reverse_etl.masking.policy import Policy
from reverse_etl.masking.risk import RiskInspector, RiskReport, resolve_privacy
from reverse_etl.model import FaultCount, GroupCounts
from reverse_etl.runtime import Runtime
from reverse_etl.spec import GuardsConfig, SyncSpec
from reverse_etl.sql import quote_identifier
from reverse_etl.stages.guards import check_rows

# Of the memory that masking has, beside it: the groups that are counted. More of them spill.
_SHARE_OF_MEMORY = 3
_TOLD = {"privacy", "leaks", "quarantine"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGates:
    """The gates of one attempt at a version. `sort` and `see` may be called from several threads."""

    faults: FaultTally
    leaks: LeakInspector
    risk: RiskInspector | None
    guards: GuardsConfig
    rows_before: int | None

    def list_items(self, *, has_reasons: bool) -> dict[str, str]:
        """What they want to see of a batch: SQL over the masked columns, by name."""
        items = {name: sql for gate in self._inspectors for name, sql in gate.items.items()}
        return items | ({REASONS: quote_identifier(REASONS)} if has_reasons else {})

    def sort(self, watched: pa.Table) -> npt.NDArray[np.bool_] | None:
        """Which rows are set aside."""
        return self.faults.sort(watched.column(REASONS))

    def see(
        self, cursor: Engine, watched: pa.Table, *, is_aside: npt.NDArray[np.bool_] | None
    ) -> None:
        """Look at a batch. Leaks are looked for in rows that are set aside, too: they are written."""
        self.leaks.see(cursor, watched.select(list(self.leaks.items)))
        if self.risk is not None:
            landed = watched if is_aside is None else watched.filter(pa.array(~is_aside))
            self.risk.see(cursor, landed.select(list(self.risk.items)))

    def check_faults(self) -> None:
        """`DataError` for what cannot be masked: before all else that could be said of the rows."""
        self.faults.conclude()

    def conclude(self, *, rows: int) -> None:
        """`DataError` when the version, of so many records, may not be written."""
        if self.faults.rows_aside:
            check_rows(
                rows,
                rows_before=self.rows_before,
                guards=self.guards,
                quarantined=self.faults.rows_aside,
            )
        for inspector in self._inspectors:
            inspector.conclude()

    def close(self) -> None:
        """Let go of what they hold."""
        for inspector in self._inspectors:
            inspector.close()

    @property
    def _inspectors(self) -> list[Inspector]:
        return [self.leaks] if self.risk is None else [self.leaks, self.risk]


@dataclass(slots=True)
class Gates:
    """A version's gates. `open` makes them anew, for rows that are read anew.

    `rows_before` is what the guards measure by.
    """

    spec: SyncSpec
    policy: Policy
    runtime: Runtime
    rows_before: int | None = None
    _opened: OpenGates | None = field(default=None, init=False)

    def open(self, scratch: Path, *, rows: int) -> OpenGates:
        """The gates of one attempt at `rows` rows; what they hold beyond memory lies below `scratch`."""
        config = self.spec.config
        rules = list_rules(column.rule for column in self.policy.columns)
        risk = None
        if config.privacy is not None:
            risk = RiskInspector(
                config.privacy,
                policy=self.policy,
                memory_limit_bytes=self.runtime.memory_limit_bytes // _SHARE_OF_MEMORY,
                spill_directory=scratch,
            )
        self._opened = OpenGates(
            faults=FaultTally(
                {rule.name: rule for rule in rules}, limits=config.quarantine, rows=rows
            ),
            leaks=LeakInspector(config.leaks, policy=self.policy),
            risk=risk,
            guards=config.guards,
            rows_before=self.rows_before,
        )
        return self._opened

    @property
    def leaks(self) -> Mapping[str, Mapping[str, int]]:
        """What the scan found and let pass: counts by column and kind."""
        return {} if self._opened is None else self._opened.leaks.report

    @property
    def privacy(self) -> RiskReport | None:
        """The sizes of the groups that were counted; None where nobody asked for it."""
        risk = None if self._opened is None else self._opened.risk
        return None if risk is None else risk.report

    @property
    def groups(self) -> GroupCounts | None:
        """The same in numbers that leave this room."""
        report = self.privacy
        if report is None:
            return None
        return GroupCounts(
            k=report.k,
            groups=report.groups,
            smallest=report.smallest,
            below_k=report.below_k,
            below_l=report.below_l,
            sizes=tuple((it.size, it.groups, it.records) for it in report.histogram),
        )

    @property
    def faults(self) -> tuple[FaultCount, ...]:
        """What could not be masked: rows by column and reason."""
        return () if self._opened is None else self._opened.faults.counts


def compute_gates_fingerprint(spec: SyncSpec) -> str:
    """SHA-256 over what the gates are told, empty for the defaults.

    A version that passed other gates has to pass these as well.
    """
    told = spec.config.model_dump(mode="json", include=_TOLD, exclude_defaults=True)
    if not told:
        return ""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def check_gates(spec: SyncSpec, policy: Policy) -> None:
    """`PolicyError` when a gate names a column that does not leave, or cannot be held against it."""
    resolve_leaks(spec.config.leaks, policy=policy)
    if spec.config.privacy is not None:
        resolve_privacy(spec.config.privacy, policy=policy)

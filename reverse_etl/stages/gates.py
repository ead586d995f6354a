"""The gates that look at masked rows before any is written: the leak scan, and privacy where it is asked."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reverse_etl.masking.inspector import Inspector
from reverse_etl.masking.leaks import LeakInspector, resolve_leaks
from reverse_etl.masking.policy import Policy
from reverse_etl.masking.risk import RiskInspector, RiskReport, resolve_privacy
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec

# Of the memory that masking has, beside it: the groups that are counted. More of them spill.
_SHARE_OF_MEMORY = 3


@dataclass(slots=True)
class Gates:
    """A version's gates. `open` makes them anew, for rows that are read anew."""

    spec: SyncSpec
    policy: Policy
    runtime: Runtime
    _leaks: LeakInspector | None = field(default=None, init=False)
    _risk: RiskInspector | None = field(default=None, init=False)

    def open(self, scratch: Path) -> list[Inspector]:
        """The inspectors of one attempt; what they hold beyond memory lies below `scratch`."""
        self._leaks = LeakInspector(self.spec.config.leaks, policy=self.policy)
        inspectors: list[Inspector] = [self._leaks]
        if self.spec.config.privacy is not None:
            self._risk = RiskInspector(
                self.spec.config.privacy,
                policy=self.policy,
                memory_limit_bytes=self.runtime.memory_limit_bytes // _SHARE_OF_MEMORY,
                spill_directory=scratch,
            )
            inspectors.append(self._risk)
        return inspectors

    @property
    def leaks(self) -> Mapping[str, Mapping[str, int]]:
        """What the scan found and let pass: counts by column and kind."""
        return {} if self._leaks is None else self._leaks.report

    @property
    def privacy(self) -> RiskReport | None:
        """The sizes of the groups that were counted; None where nobody asked for it."""
        return None if self._risk is None else self._risk.report


def compute_gates_fingerprint(spec: SyncSpec) -> str:
    """SHA-256 over what the gates are told, empty for the defaults.

    A version that passed other gates has to pass these as well.
    """
    told = spec.config.model_dump(mode="json", include={"privacy", "leaks"}, exclude_defaults=True)
    if not told:
        return ""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def check_gates(spec: SyncSpec, policy: Policy) -> None:
    """`PolicyError` when a gate names a column that does not leave, or cannot be held against it."""
    resolve_leaks(spec.config.leaks, policy=policy)
    if spec.config.privacy is not None:
        resolve_privacy(spec.config.privacy, policy=policy)

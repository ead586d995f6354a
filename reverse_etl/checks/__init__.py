"""Asset checks: the verdicts that each step records, by names that need no engineer to read.

They only record. What must stop a version from going live has stopped it before, by raising; then
there is no verdict, and the failed step says why. Every verdict is computed anew from what lies in
the stores and what the receipts say, so that each of them can fail.
"""

from collections.abc import Mapping
from enum import StrEnum

import dagster as dg

from reverse_etl.model import Step
from reverse_etl.spec import SyncSpec


class Check(StrEnum):
    """The name of a check, as Dagster shows it."""

    COLUMNS_MATCH_POLICY = "columns_match_policy"
    SNAPSHOT_IS_THE_LATEST = "snapshot_is_the_latest"
    ROWS_RECONCILED = "rows_reconciled"
    VOLUME_WITHIN_BOUNDS = "volume_within_bounds"
    SCHEMA_UNCHANGED = "schema_unchanged"
    NO_LEAK_FOUND = "no_leak_found"
    K_ANONYMITY = "k_anonymity"
    KEYS_UNIQUE = "keys_unique"
    CACHE_EQUALS_STORE = "cache_equals_store"
    LIVE_VERSION_IS_THIS_DAY = "live_version_is_this_day"


_DESCRIPTIONS: Mapping[Step, Mapping[Check, str]] = {
    Step.EXTRACT: {
        Check.COLUMNS_MATCH_POLICY: (
            "The pinned columns are exactly those that the rules let leave, in the types and under "
            "the policy that the sync declares now."
        ),
        Check.SNAPSHOT_IS_THE_LATEST: (
            "What the next step will read for this day is this very snapshot. A warning when a "
            "later run has pinned another one meanwhile."
        ),
    },
    Step.MASKED: {
        Check.ROWS_RECONCILED: (
            "Every row of the source arrived: rows pinned = rows in the store + rows set aside in "
            "quarantine. The store is listed again: each file is there, in its size."
        ),
        Check.VOLUME_WITHIN_BOUNDS: (
            "The table is about as large as it should be: not below guards.min_rows, and not smaller "
            "than the day before by more than guards.max_shrink."
        ),
        Check.SCHEMA_UNCHANGED: (
            "Columns and types are those of the day before. A warning when the sync's rules say so "
            "(a column more, less, or masked otherwise); an error when a type changed by itself."
        ),
        Check.NO_LEAK_FOUND: (
            "Nothing in the masked rows looks like personal data: no e-mail address, phone or card "
            "number, or the like. A warning when some was found and let pass, with counts by column."
        ),
        Check.K_ANONYMITY: (
            "Nobody stands out: each combination of the columns that may point at a person is shared "
            "by at least k records (and l values of the sensitive column, if that is asked for)."
        ),
        Check.KEYS_UNIQUE: (
            "One record a user: of records read back from a few files, each has a key, and no two the "
            "same."
        ),
    },
    Step.CACHE: {
        Check.ROWS_RECONCILED: (
            "Every row of the source reached Redis: rows pinned = rows in the store + rows set aside, "
            "and rows in the store = rows loaded = rows read back from Redis and found equal."
        ),
        Check.CACHE_EQUALS_STORE: (
            "Redis and the store say the same: records read back from a few files are, byte for byte, "
            "what Redis has under their keys."
        ),
        Check.LIVE_VERSION_IS_THIS_DAY: (
            "Readers see this day: the pointers in the store and in Redis both name its version. A "
            "warning when a later day is live (superseded)."
        ),
    },
}


def build_check_specs(step: Step, asset: dg.AssetKey, *, spec: SyncSpec) -> list[dg.AssetCheckSpec]:
    """The checks that the asset of `step` records: of groups only where the sync asks for privacy."""
    return [
        dg.AssetCheckSpec(name=check.value, asset=asset, description=description)
        for check, description in _DESCRIPTIONS[step].items()
        if check is not Check.K_ANONYMITY or spec.config.privacy is not None
    ]

"""Asset checks: the verdicts that each step records, by names that need no engineer to read.

They only record. What must stop a version from going live has stopped it before, by raising; then
there is no verdict, and the failed step says why. Every verdict is computed anew from what lies in
the stores and what the receipts say, so that each of them can fail.
"""

from collections.abc import Mapping
from enum import StrEnum

import dagster as dg

from reverse_etl.model import Step


class Check(StrEnum):
    """The name of a check, as Dagster shows it."""

    COLUMNS_MATCH_POLICY = "columns_match_policy"
    SNAPSHOT_IS_THE_LATEST = "snapshot_is_the_latest"
    ROWS_WITHIN_BOUNDS = "rows_within_bounds"
    NOTHING_LOST_ON_LANDING = "nothing_lost_on_landing"
    KEYS_UNIQUE = "keys_unique"
    CACHE_EQUALS_LANDING = "cache_equals_landing"
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
        Check.ROWS_WITHIN_BOUNDS: (
            "The landed rows are within guards.min_rows and guards.max_shrink, the latter against "
            "the nearest earlier day."
        ),
        Check.NOTHING_LOST_ON_LANDING: (
            "The store lists every object of the version in its size, and their rows add up to what "
            "was pinned."
        ),
        Check.KEYS_UNIQUE: "Records read back from a few objects: each has a key, no two the same.",
    },
    Step.CACHE: {
        Check.CACHE_EQUALS_LANDING: (
            "Records read back from a few landed objects: Redis holds the same bytes under each key."
        ),
        Check.LIVE_VERSION_IS_THIS_DAY: (
            "The heads in the store and in Redis both point at this day's version. A warning when a "
            "later one is live (superseded)."
        ),
    },
}


def build_check_specs(step: Step, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks that the asset of `step` records."""
    return [
        dg.AssetCheckSpec(name=check.value, asset=asset, description=description)
        for check, description in _DESCRIPTIONS[step].items()
    ]

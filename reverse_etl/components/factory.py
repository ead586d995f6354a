"""One sync as Dagster definitions. Pure: reads neither files nor the environment."""

from collections.abc import Collection

import dagster as dg

from reverse_etl.components.assets import (
    RETRY_POLICY,
    SYNC_TAG,
    asset_key,
    build_cache,
    build_extract,
    build_masked,
)
from reverse_etl.components.tables import build_table_spec, find_tables, pick_source_kind
from reverse_etl.model import Step
from reverse_etl.settings import Profile
from reverse_etl.spec import SyncSpec


def build_definitions(
    spec: SyncSpec,
    *,
    profile: Profile = Profile.LOCAL,
    retries: dg.RetryPolicy = RETRY_POLICY,
    declared: Collection[dg.AssetKey] = (),
) -> dg.Definitions:
    """Assets, checks, job and schedule of one sync, and the source's tables as external assets.

    Tables in `declared` are left out. Steps ask for a resource `runtime`, which the caller adds
    (`reverse_etl.resources.build_resources`). `ConfigError` when the embedded source could not run
    the query.
    """
    source_kind = pick_source_kind(spec, profile)
    tables = find_tables(spec, source_kind=source_kind)
    new_tables = [table for table in tables if table not in declared]
    assets = dg.Definitions(
        assets=[
            *(build_table_spec(table, source_kind=source_kind) for table in new_tables),
            build_extract(spec, tables=tables, source_kind=source_kind, retries=retries),
            build_masked(spec, profile=profile, retries=retries),
            build_cache(spec, retries=retries),
        ]
    )
    return dg.Definitions.merge(assets, _build_automation(spec))


def _build_automation(spec: SyncSpec) -> dg.Definitions:
    """The job over the three assets; its daily schedule, off until somebody switches it on."""
    job = dg.define_asset_job(
        f"{spec.name}_daily",
        selection=dg.AssetSelection.assets(*(asset_key(spec, step) for step in Step)),
        description=f"One day of '{spec.name}', from the source to readers.",
        tags={SYNC_TAG: spec.name},
    )
    if spec.config.schedule is None:
        return dg.Definitions(jobs=[job])
    at, timezone = spec.config.schedule.at, spec.config.partitions.timezone
    hour, minute = at.split(":")
    schedule = dg.build_schedule_from_partitioned_job(
        job,
        name=f"{spec.name}_daily_schedule",
        description=f"The day before, at {at} {timezone}.",
        hour_of_day=int(hour),
        minute_of_hour=int(minute),
        default_status=dg.DefaultScheduleStatus.STOPPED,
        tags={SYNC_TAG: spec.name},
    )
    return dg.Definitions(jobs=[job], schedules=[schedule])

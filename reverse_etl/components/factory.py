"""One sync as Dagster definitions. Pure: reads neither files nor the environment."""

import datetime as dt
import zoneinfo
from collections.abc import Collection, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import PRIORITY_TAG

from reverse_etl.components.assets import (
    RETRY_POLICY,
    SYNC_TAG,
    asset_key,
    build_cache,
    build_extract,
    build_masked,
    build_partitions,
    build_reader,
)
from reverse_etl.components.tables import build_table_spec, find_tables, pick_source_kind
from reverse_etl.model import Step
from reverse_etl.settings import Profile
from reverse_etl.spec import SyncSpec


def build_definitions(
    spec: SyncSpec,
    *,
    profile: Profile = Profile.LOCAL,
    environment: str | None = None,
    retries: dg.RetryPolicy = RETRY_POLICY,
    declared: Collection[dg.AssetKey] = (),
) -> dg.Definitions:
    """Assets, checks, jobs and schedule of one sync, and the source's tables as external assets.

    The schedule is on from the start where it names this `environment`, and off elsewhere.
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
            build_reader(spec),
        ]
    )
    return dg.Definitions.merge(assets, _build_automation(spec, environment=environment))


def name_scheduled_job(spec: SyncSpec) -> str:
    """The job that the sync's schedule starts; without a schedule, the one over all three steps."""
    schedule = spec.config.schedule
    return f"{spec.name}_{'daily' if schedule is None else schedule.job}"


def is_scheduled_in(spec: SyncSpec, environment: str | None) -> bool:
    """Whether the sync's schedule names this deployment."""
    schedule = spec.config.schedule
    return schedule is not None and environment in schedule.environments


def _build_automation(spec: SyncSpec, *, environment: str | None) -> dg.Definitions:
    """The job over the three assets, and the daily schedule, with the job over two of them if it starts that.

    Only then: each job costs every load of the definitions ten milliseconds.
    """
    daily = _build_job(
        spec,
        "daily",
        steps=tuple(Step),
        says=f"One day of '{spec.name}', from the source to readers.",
    )
    schedule = spec.config.schedule
    if schedule is None:
        return dg.Definitions(jobs=[daily])
    if schedule.job == "daily":
        return dg.Definitions(
            jobs=[daily], schedules=[_build_schedule(spec, daily, environment=environment)]
        )
    land = _build_job(
        spec,
        "land",
        steps=(Step.EXTRACT, Step.MASKED),
        says=f"One day of '{spec.name}', from the source to the object store; Redis is loaded by another "
        "deployment.",
    )
    return dg.Definitions(
        jobs=[daily, land], schedules=[_build_schedule(spec, land, environment=environment)]
    )


def _build_schedule(
    spec: SyncSpec, job: UnresolvedAssetJobDefinition, *, environment: str | None
) -> dg.ScheduleDefinition:
    """The job once a day, for the day before.

    Not by `dg.build_schedule_from_partitioned_job`: that has every job of the code location resolved
    against all assets whenever one of its runs begins, which takes seconds for hundreds of syncs.
    """
    schedule = spec.config.schedule
    assert schedule is not None  # noqa: S101 - the caller looked
    hour, minute = schedule.at.split(":")
    is_on = is_scheduled_in(spec, environment)
    timezone = zoneinfo.ZoneInfo(spec.config.partitions.timezone)

    def ask(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(timezone).date() - dt.timedelta(days=1)
        if day < spec.config.partitions.start:
            return dg.SkipReason(f"The sync begins with {spec.config.partitions.start}.")
        key = day.isoformat()
        # A tick that is evaluated again asks for the same run.
        return dg.RunRequest(run_key=key, partition_key=key, tags={SYNC_TAG: spec.name})

    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * *",
        execution_timezone=spec.config.partitions.timezone,
        execution_fn=ask,
        description=f"The day before, at {schedule.at} {spec.config.partitions.timezone}. On from the start "
        f"in: {', '.join(schedule.environments) or 'no deployment'}.",
        default_status=dg.DefaultScheduleStatus.RUNNING
        if is_on
        else dg.DefaultScheduleStatus.STOPPED,
    )


def _build_job(
    spec: SyncSpec, name: str, *, steps: Sequence[Step], says: str
) -> UnresolvedAssetJobDefinition:
    """`<sync>_<name>`; each of its runs has a priority by its day."""
    return dg.define_asset_job(
        f"{spec.name}_{name}",
        selection=dg.AssetSelection.assets(*(asset_key(spec, step) for step in steps)),
        description=says,
        tags={SYNC_TAG: spec.name},
        config=dg.PartitionedConfig(
            partitions_def=build_partitions(spec),
            run_config_for_partition_key_fn=_configure_nothing,
            tags_for_partition_key_fn=rank_day,
        ),
    )


def rank_day(day: str) -> Mapping[str, str]:
    """The tag by which the run of a later day leaves the queue, and gets a place in a pool, before others.

    So the run of the day goes before every backfill, of whatever sync, and a backfill from the newest day
    on. Runs without it, as those of a backfill of assets, have priority 0, and so come after.
    """
    return {PRIORITY_TAG: str(dt.date.fromisoformat(day).toordinal())}


def _configure_nothing(day: str) -> Mapping[str, object]:
    del day
    return {}

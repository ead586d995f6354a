"""Sensors, thin: what they look at and decide is in the rooms below."""

from collections.abc import Sequence

import dagster as dg

from reverse_etl.sensors.alerts import build_alert_sensors
from reverse_etl.sensors.bigquery_watch import WATCH_KEY, bigquery_watch
from reverse_etl.sensors.freshness import build_freshness
from reverse_etl.sensors.heal_heads import build_heal_sensor
from reverse_etl.sensors.missed_days import build_missed_sensors
from reverse_etl.sensors.new_manifests import build_manifest_sensor
from reverse_etl.settings import Profile
from reverse_etl.spec import SyncSpec


def build_sensors(
    profile: Profile, *, specs: Sequence[SyncSpec] = (), environment: str | None = None
) -> dg.Definitions:
    """The sensors over these syncs, and those of the profile; some are on in this `environment` alone."""
    return dg.Definitions.merge(
        _watch_bigquery(profile), _watch_syncs(profile, specs=specs, environment=environment)
    )


def _watch_syncs(
    profile: Profile, *, specs: Sequence[SyncSpec], environment: str | None
) -> dg.Definitions:
    """What looks at heads, days and deadlines; nothing where no sync is declared."""
    if not specs:
        return dg.Definitions()
    sensors = [
        build_heal_sensor(specs, profile=profile, environment=environment),
        build_manifest_sensor(specs),
        *build_missed_sensors(specs, environment=environment),
    ]
    return dg.Definitions.merge(
        dg.Definitions(sensors=sensors),
        build_freshness(specs, environment=environment),
        build_alert_sensors(specs),
    )


def _watch_bigquery(profile: Profile) -> dg.Definitions:
    """BigQuery is watched where it is the source, and nowhere else."""
    if profile is not Profile.CLOUD:
        return dg.Definitions()
    reports = dg.AssetSpec(
        key=WATCH_KEY,
        group_name="guards",
        kinds={"bigquery"},
        description="An observation for every query that the sensor `bigquery_watch` cancelled.",
    )
    return dg.Definitions(assets=[reports], sensors=[bigquery_watch])

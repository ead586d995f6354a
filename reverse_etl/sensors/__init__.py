"""Sensors, thin: what they look at and decide is in the rooms below."""

import dagster as dg

from reverse_etl.sensors.bigquery_watch import WATCH_KEY, bigquery_watch
from reverse_etl.settings import Profile


def build_sensors(profile: Profile) -> dg.Definitions:
    """The sensors of a profile: BigQuery is watched where it is the source, and nothing elsewhere."""
    if profile is not Profile.CLOUD:
        return dg.Definitions()
    reports = dg.AssetSpec(
        key=WATCH_KEY,
        group_name="guards",
        kinds={"bigquery"},
        description="An observation for every query that the sensor `bigquery_watch` cancelled.",
    )
    return dg.Definitions(assets=[reports], sensors=[bigquery_watch])

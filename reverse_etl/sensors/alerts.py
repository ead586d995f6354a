"""The two sensors of alerts: one finds what people should know, the other brings it to them.

They share nothing but the outbox in the object store (`reverse_etl.alerts`), so a channel that hangs keeps
nothing from being noticed. Each is off, with a sentence that says so, until a channel is set.
"""

from collections.abc import Sequence

import dagster as dg

from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

_SECONDS = 30


def build_alert_sensors(specs: Sequence[SyncSpec]) -> dg.Definitions:
    """`alerts_watch` and `alerts_deliver`, over the runs of this code location and these syncs.

    Both run from the start: whoever sets a channel has switched alerts on.
    """

    @dg.sensor(
        name="alerts_watch",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds what people should know: runs that failed for good, guards that stopped one, "
        "days that are late or missing, and what recovered. It puts them into the outbox.",
    )
    def alerts_watch(
        context: dg.SensorEvaluationContext, runtime: RuntimeResource
    ) -> dg.SensorResult:
        """One look around."""
        from reverse_etl.sensors.alert_ticks import watch  # noqa: PLC0415 - loading stays light

        return watch(context, runtime, specs)

    @dg.sensor(
        name="alerts_deliver",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Brings what waits in the outbox to Slack, the webhook and e-mail, each alert once. A "
        "tick fails when a channel refuses an alert; `reverse-etl alerts list` shows which.",
    )
    def alerts_deliver(
        context: dg.SensorEvaluationContext, runtime: RuntimeResource
    ) -> dg.SensorResult:
        """One round."""
        from reverse_etl.sensors.alert_ticks import deliver  # noqa: PLC0415 - loading stays light

        return deliver(context, runtime)

    return dg.Definitions(sensors=[alerts_watch, alerts_deliver])

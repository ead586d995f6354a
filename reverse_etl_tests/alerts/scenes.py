"""Alerts, a deployment, and a clock, for tests."""

import datetime as dt
from typing import Any

from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl.alerts.options import HttpTarget
from reverse_etl.alerts.wording import Place

NOW = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)
PLACE = Place(environment="test", dagster_url="https://dagster.example.com")


class SlowClock:
    """A clock that moves a millisecond a look, and further when told to."""

    def __init__(self, moment: dt.datetime = NOW) -> None:
        self.moment = moment

    def __call__(self) -> dt.datetime:
        self.moment += dt.timedelta(milliseconds=1)
        return self.moment

    def advance(self, **units: float) -> None:
        self.moment += dt.timedelta(**units)


def build_alert(number: int = 1, **changes: Any) -> Alert:
    """An alert of a run of its own."""
    fields = {
        "key": f"run/{number}",
        "kind": AlertKind.RUN_FAILED,
        "sync": "shop_users",
        "at": NOW,
        "title": f"shop_users 2026-11-19: step masked failed ({number})",
        "cause": "Redis was away.",
        "what_to_do": "Look at the run.",
        "environment": "test",
        "partition": "2026-11-19",
        "step": "masked",
        "run_id": f"run-{number}",
        "links": {"Run": f"https://dagster.example.com/runs/run-{number}"},
        **changes,
    }
    return Alert(**fields)


def build_target(port: int, path: str = "/hook", *, has_tls: bool = False) -> HttpTarget:
    """A server of the test's."""
    return HttpTarget(host="127.0.0.1", port=port, path=path, has_tls=has_tls)

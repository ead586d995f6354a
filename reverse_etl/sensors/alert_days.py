"""Days that should be live and are not, and days that nothing was landed for."""

import datetime as dt
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from reverse_etl.alerts.ledger import Problem
from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl.alerts.wording import Place, describe_late, describe_missed, describe_recovered
from reverse_etl.sensors.alert_cursor import WatchCursor
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.alerts.desk import Desk
    from reverse_etl.landing.store import ObjectStore

LATE, MISSED = "late", "missed"
_LOOK_AGAIN_SECONDS = 3600.0


class DaysWatch:
    """One look at the syncs that are run by schedule here: `declared` ones, and those switched `on` by hand.

    Elsewhere nothing is due. A sync that was switched on by hand owes no day before its first version.
    """

    def __init__(
        self,
        desk: "Desk",
        store: "ObjectStore",
        *,
        place: Place,
        declared: Collection[str],
        switched_on: Collection[str],
    ) -> None:
        self._desk = desk
        self._store = store
        self._place = place
        self._declared = declared
        self._expected = {*declared, *switched_on}

    def look(
        self, specs: Sequence[SyncSpec], cursor: WatchCursor, *, now: dt.datetime
    ) -> list[str]:
        """Tell what has become bad, or good again; the names of what is late."""
        # They import what reads manifests: a code location does without until it watches.
        from reverse_etl.stages.freshness import find_freshness  # noqa: PLC0415

        late: list[str] = []
        for spec in specs:
            if spec.name not in self._expected:
                continue
            expected = find_freshness(spec, None, now=now).expected
            if expected is None:
                continue
            if cursor.fresh.get(spec.name) != expected and not self._look_at_head(
                spec, cursor, now=now
            ):
                late.append(spec.name)
            self._look_for_missed(spec, expected, cursor, now=now)
        return late

    def _look_at_head(self, spec: SyncSpec, cursor: WatchCursor, *, now: dt.datetime) -> bool:
        """Whether readers are where they should be."""
        from reverse_etl.landing.documents import find_head  # noqa: PLC0415
        from reverse_etl.stages.freshness import find_freshness  # noqa: PLC0415

        head = find_head(self._store, spec.name)
        freshness = find_freshness(spec, head, now=now)
        expected = freshness.expected
        if expected is None or (head is None and spec.name not in self._declared):
            return True
        if not freshness.is_late:
            self._resolve(spec, LATE, f"Readers are on {freshness.live}.", now=now)
            cursor.fresh[spec.name] = expected
            return True
        alert = describe_late(
            spec.name, expected=expected, live=freshness.live, now=now, place=self._place
        )
        self._desk.tell(
            alert, problem=(LATE, _build_problem(alert, AlertKind.LATE, about=expected))
        )
        return False

    def _look_for_missed(
        self, spec: SyncSpec, expected: str, cursor: WatchCursor, *, now: dt.datetime
    ) -> None:
        """Days before the expected one: that one is late, not missed."""
        from reverse_etl.stages.freshness import find_missed_days  # noqa: PLC0415

        schedule = spec.config.schedule
        since = now.timestamp() - cursor.looked.get(spec.name, 0.0)
        if schedule is None or 0 <= since < _LOOK_AGAIN_SECONDS:
            return
        found = find_missed_days(spec, self._store, now=now, most_days=schedule.catch_up_days)
        days = [day for day in found if day < expected]
        if days:
            known = self._desk.find_problem(spec.name, MISSED)
            if known is None or (known.about or "") < days[0]:
                by_itself = schedule.catch_up == "run"
                alert = describe_missed(
                    spec.name, days, by_itself=by_itself, now=now, place=self._place
                )
                problem = _build_problem(alert, AlertKind.MISSED_DAYS, about=days[0])
                self._desk.tell(alert, problem=(MISSED, problem))
        else:
            self._resolve(spec, MISSED, "No day is missing any more.", now=now)
        cursor.looked[spec.name] = now.timestamp()

    def _resolve(self, spec: SyncSpec, key: str, cause: str, *, now: dt.datetime) -> None:
        describe = partial(
            describe_recovered, sync=spec.name, cause=cause, at=now, place=self._place
        )
        self._desk.resolve(spec.name, lambda name, _: name == key, describe)


def _build_problem(alert: Alert, kind: AlertKind, *, about: str) -> Problem:
    return Problem(
        alert_id=alert.alert_id,
        kind=kind,
        since=alert.at,
        partition=alert.partition,
        step=alert.step,
        about=about,
    )

"""Raising alerts: once each, floods as one, recoveries once, and nothing lost to a crash."""

import datetime as dt
import threading
from functools import partial

import pytest

from reverse_etl.alerts.desk import Desk
from reverse_etl.alerts.ledger import Problem
from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl.alerts.outbox import Outbox
from reverse_etl.alerts.wording import describe_recovered
from reverse_etl.errors import ConflictError, IntegrityError, TransientError
from reverse_etl.landing.store import MemoryStore, ObjectStore
from reverse_etl_tests.alerts.scenes import NOW, PLACE, SlowClock, build_alert


class StumblingStore(MemoryStore):
    """Fails at the call that it is told to, before or after that was done."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.fail_at: int | None = None
        self.fails_after = False

    def put_if_absent(self, name: str, body: bytes) -> str:
        self._stumble(after=False)
        done = super().put_if_absent(name, body)
        self._stumble(after=True)
        return done

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        self._stumble(after=False)
        done = super().put_if_match(name, body, etag=etag)
        self._stumble(after=True)
        return done

    def _stumble(self, *, after: bool) -> None:
        if not after:
            self.calls += 1
        if self.calls == self.fail_at and after is self.fails_after:
            self.fail_at = None
            raise TransientError("The store was away for a moment.")


def open_desk(store: ObjectStore, clock: SlowClock) -> Desk:
    return Desk(store, channels=("slack",), place=PLACE, now=clock)


def tell(desk: Desk, number: int, **changes: object) -> None:
    """A failure of a day of its own, and its problem."""
    alert = build_alert(number, partition=f"2026-11-{number:02d}", **changes)
    problem = Problem(
        alert_id=alert.alert_id,
        kind=alert.kind,
        since=NOW,
        partition=alert.partition,
        step=alert.step,
    )
    desk.tell(alert, problem=(f"run/{alert.partition}", problem))


def resolve(desk: Desk, number: int) -> int:
    describe = partial(
        describe_recovered, sync="shop_users", cause="A later run succeeded.", at=NOW, place=PLACE
    )
    return desk.resolve("shop_users", lambda key, _: key == f"run/2026-11-{number:02d}", describe)


def read_alerts(store: ObjectStore) -> list[Alert]:
    """What lies in the outbox, in the order it was put there."""
    outbox = Outbox(store)
    names = [item.name.rpartition("/")[2].removesuffix(".json") for item in outbox.list_objects()]
    entries = [found[0] for name in names if (found := outbox.find(name)) is not None]
    entries.sort(key=lambda entry: (entry.created_at, entry.alert.at))
    return [entry.alert for entry in entries]


def test_alert_is_raised_once(store: MemoryStore, clock: SlowClock) -> None:
    """However often its event is seen, and by whom."""
    for _ in range(3):
        open_desk(store, clock).tell(build_alert())
        clock.advance(hours=2)

    assert read_alerts(store) == [build_alert()]


def test_names_are_no_syncs_and_no_hidden_files(store: MemoryStore, clock: SlowClock) -> None:
    """Everything lies below `_alerts/`, in names that every store takes."""
    desk = open_desk(store, clock)
    desk.tell(build_alert())
    desk.tell(build_alert(2, sync=None))

    assert {item.name.split("/")[0] for item in store.list_objects("")} == {"_alerts"}


def test_flood_is_told_as_one_more(store: MemoryStore, clock: SlowClock) -> None:
    """The first at once, the other 29 of the hour together, with their count and days."""
    desk = open_desk(store, clock)
    for number in range(1, 31):
        tell(desk, number)
        tell(desk, number)
    assert [alert.title for alert in read_alerts(store)] == [build_alert(1).title]

    clock.advance(minutes=59)
    desk.flush()
    assert len(read_alerts(store)) == 1
    clock.advance(minutes=1)
    desk.flush()
    desk.flush()

    _, summary = read_alerts(store)
    assert summary.title == "shop_users: 29 more runs failed"
    assert summary.folded == 29
    assert "2026-11-30, 2026-11-29" in summary.cause
    assert "and 19 more" in summary.cause


def test_kinds_and_syncs_are_folded_apart(store: MemoryStore, clock: SlowClock) -> None:
    """A flood of one hides nothing of another."""
    desk = open_desk(store, clock)
    tell(desk, 1)
    tell(desk, 2, kind=AlertKind.GUARD_TRIPPED)
    tell(desk, 3, sync="other_users")

    assert len(read_alerts(store)) == 3


def test_next_event_tells_what_was_collected(store: MemoryStore, clock: SlowClock) -> None:
    """An hour later the next failure is told at once, and those in between with it."""
    desk = open_desk(store, clock)
    tell(desk, 1)
    tell(desk, 2)
    clock.advance(hours=1)
    tell(desk, 3)

    titles = [alert.title for alert in read_alerts(store)]
    assert len(titles) == 3
    assert "shop_users: 1 more runs failed" in titles


def test_recovery_is_told_once(store: MemoryStore, clock: SlowClock) -> None:
    """And only for what was bad."""
    desk = open_desk(store, clock)
    tell(desk, 1)

    assert (resolve(desk, 2), resolve(desk, 1), resolve(desk, 1)) == (0, 1, 0)

    _, recovered = read_alerts(store)
    assert recovered.kind is AlertKind.RECOVERED
    assert recovered.title == "shop_users 2026-11-01 recovered"
    assert "since 2026-11-20 06:00 UTC" in recovered.cause


def test_next_failure_of_the_day_recovers_again(store: MemoryStore, clock: SlowClock) -> None:
    """Bad, good, bad, good: four alerts."""
    desk = open_desk(store, clock)
    for number in (1, 2):
        alert = build_alert(number)
        since = NOW + dt.timedelta(hours=number)
        problem = Problem(alert_id=alert.alert_id, kind=alert.kind, since=since)
        desk.tell(alert, problem=("run/2026-11-01", problem))
        resolve(desk, 1)
        clock.advance(hours=2)

    assert len(read_alerts(store)) == 4


def test_seen_again_a_mended_failure_is_no_problem(store: MemoryStore, clock: SlowClock) -> None:
    """A lost cursor shows old events again: neither they nor their end are told twice."""
    desk = open_desk(store, clock)
    tell(desk, 1)
    resolve(desk, 1)

    tell(desk, 1)

    assert resolve(desk, 1) == 0
    assert len(read_alerts(store)) == 2


def test_mended_before_it_was_told_needs_no_end(store: MemoryStore, clock: SlowClock) -> None:
    """What was only counted and is over already is said in the count."""
    desk = open_desk(store, clock)
    for number in (1, 2, 3):
        tell(desk, number)
    resolve(desk, 2)
    clock.advance(hours=1)
    desk.flush()

    kinds = [alert.kind for alert in read_alerts(store)]
    assert AlertKind.RECOVERED not in kinds
    assert "1 of them recovered since." in read_alerts(store)[-1].cause


def test_recovery_of_what_nobody_heard_of_is_not_told(store: MemoryStore, clock: SlowClock) -> None:
    """The alert was given up everywhere: its end would be a riddle."""
    desk = Desk(store, channels=(), place=PLACE, now=clock)
    tell(desk, 1)

    assert resolve(desk, 1) == 1
    assert len(read_alerts(store)) == 1


@pytest.mark.parametrize("fails_after", [False, True])
@pytest.mark.parametrize("fail_at", range(1, 6))
def test_store_that_stumbles_loses_nothing(fail_at: int, *, fails_after: bool) -> None:
    """Wherever it stops, the same event seen again leads to the same alerts, each once."""
    store, clock = StumblingStore(), SlowClock()
    desk = open_desk(store, clock)
    store.fail_at, store.fails_after = fail_at, fails_after

    def work() -> None:
        tell(desk, 1)
        resolve(desk, 1)
        desk.flush()

    try:
        work()
    except TransientError:
        work()

    assert store.fail_at is None
    assert [alert.kind for alert in read_alerts(store)] == [
        AlertKind.RUN_FAILED,
        AlertKind.RECOVERED,
    ]


def test_two_watchers_at_once_raise_each_once(store: MemoryStore, clock: SlowClock) -> None:
    """Two daemons by mistake: one first alert, one summary with all the others, none lost."""
    start = threading.Barrier(3)
    failures: list[Exception] = []

    def watch() -> None:
        desk = open_desk(store, clock)
        start.wait()
        try:
            for number in range(1, 13):
                tell(desk, number)
        except (ConflictError, TransientError) as error:
            failures.append(error)

    threads = [threading.Thread(target=watch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.advance(hours=1)
    open_desk(store, clock).flush()

    assert failures == []
    first, summary = read_alerts(store)
    assert first.folded == 0
    assert summary.folded == 11


def test_edited_ledger_is_named(store: MemoryStore, clock: SlowClock) -> None:
    """It stops the watch, loudly: to begin anew would tell everything twice."""
    store.put("_alerts/ledgers/sync.shop_users.json", b"{}")

    with pytest.raises(IntegrityError, match=r"sync\.shop_users\.json"):
        open_desk(store, clock).tell(build_alert())

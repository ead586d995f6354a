"""Alerts under Dagster: what its runs and our days lead to, what is said of them, and what never is."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl.alerts.outbox import Outbox, read_alert_id
from reverse_etl.components.assets import SYNC_TAG
from reverse_etl.components.failures import translate_errors
from reverse_etl.errors import (
    ConfigError,
    DataError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing.manifest import encode_current, encode_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Current, Head
from reverse_etl.resources import RuntimeResource
from reverse_etl.runtime import Runtime
from reverse_etl.sensors.alert_cursor import WatchCursor
from reverse_etl.sensors.alert_runs import covers, find_sync, is_here
from reverse_etl.sensors.alerts import build_alert_sensors
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec
from reverse_etl_tests import builders
from reverse_etl_tests.alerts.receivers import HttpReceiver, Plan
from reverse_etl_tests.components.harness import give

pytestmark = pytest.mark.contract

DAY = "2024-01-05"
CANARY = "canary@example.com"
SCHEDULE = {"at": "03:00", "environments": ["dev"], "deadline": "3h"}


class Clock:
    """This machine's, moved."""

    def __init__(self) -> None:
        self.ahead = dt.timedelta()

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead


class AwayStore(MemoryStore):
    """May be away."""

    is_away = False

    def put_if_absent(self, name: str, body: bytes) -> str:
        if self.is_away:
            raise TransientError("The store is away.")
        return super().put_if_absent(name, body)


class Scene:
    """One instance, one store, one receiver, and both sensors with their cursors."""

    def __init__(self, instance: dg.DagsterInstance, receiver: HttpReceiver) -> None:
        self.instance = instance
        self.receiver = receiver
        self.store = AwayStore()
        self.clock = Clock()
        self.cursors: dict[str, str | None] = {}
        self.specs: list[SyncSpec] = [builders.build_spec(partitions={"start": "2024-01-01"})]
        self.said: list[str] = []

    def open(self) -> RuntimeResource:
        runtime = Runtime(settings=Settings.load(), now=self.clock)
        runtime.__dict__["store"] = self.store
        return give(runtime)

    def tick(self, name: str, **context: Any) -> str:
        """One tick as the daemon has it: the cursor is kept when it passes."""
        sensors = {sensor.name: sensor for sensor in build_alert_sensors(self.specs).sensors or ()}
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            resources={"runtime": self.open()},
            **context,
        ) as built:
            result = sensors[name](built)
        assert isinstance(result, dg.SensorResult)
        assert result.skip_reason is not None
        self.cursors[name] = result.cursor or self.cursors.get(name)
        self.said.append(str(result.skip_reason.skip_message))
        return self.said[-1]

    def watch(self, **context: Any) -> str:
        return self.tick("alerts_watch", **context)

    def deliver(self) -> str:
        return self.tick("alerts_deliver")

    def alerts(self) -> list[Alert]:
        """What lies in the outbox, in order."""
        outbox = Outbox(self.store)
        found = [outbox.find(read_alert_id(item.name)) for item in outbox.list_objects()]
        entries = [item[0] for item in found if item is not None]
        entries.sort(key=lambda entry: (entry.created_at, entry.alert.at))
        return [entry.alert for entry in entries]

    def kinds(self) -> list[AlertKind]:
        return [alert.kind for alert in self.alerts()]


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A real instance, on disk; one file for all events, where SQLite's usual form has one a run."""
    folder = str(tmp_path_factory.mktemp("instance"))
    storage = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": folder},
    }
    with dg.instance_for_test(temp_dir=folder, overrides={"event_log_storage": storage}) as opened:
        yield opened


@pytest.fixture
def instance(shared_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """It, with nothing in it."""
    shared_instance.wipe()
    return shared_instance


@pytest.fixture
def scene(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Alerts go to a webhook of the test's."""
    with HttpReceiver() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hook/{CANARY}"
        monkeypatch.setenv("REVERSE_ETL_ALERT_WEBHOOK_URL", url)
        monkeypatch.setenv("REVERSE_ETL_DAGSTER_URL", "https://dagster.example.com")
        yield Scene(instance, receiver)


def run_step(
    instance: dg.DagsterInstance,
    error: Exception | None = None,
    *,
    day: str = DAY,
    tags: dict[str, str] | None = None,
) -> str:
    """A run of `shop_users/masked` that ends so; its id."""

    @dg.asset(
        key=["shop_users", "masked"],
        partitions_def=dg.DailyPartitionsDefinition("2024-01-01"),
    )
    def masked() -> None:
        """One step."""
        with translate_errors(sync="shop_users", partition=day, step="masked"):
            if error is not None:
                raise error

    job = dg.define_asset_job("shop_users_daily", selection=[masked], tags=tags)
    done = (
        dg.Definitions(assets=[masked], jobs=[job])
        .resolve_job_def("shop_users_daily")
        .execute_in_process(instance=instance, partition_key=day, raise_on_error=False)
    )
    return done.run_id


def end_run(
    instance: dg.DagsterInstance, *, failed: bool = True, day: str | None = None, **tags: str
) -> str:
    """A run that ended without a step, of `shop_users` where a day is given; its id."""
    job_name = "nightly" if day is None else "shop_users_daily"
    if day is not None:
        tags = {**tags, "dagster/partition": day, SYNC_TAG: "shop_users"}
    run = create_run_for_test(
        instance, job_name=job_name, tags=tags, status=DagsterRunStatus.STARTED
    )
    if failed:
        instance.report_run_failed(run)
    else:
        kind = dg.DagsterEventType.RUN_SUCCESS.value
        event = dg.DagsterEvent(event_type_value=kind, job_name=job_name)
        instance.report_dagster_event(event, run.run_id)
    return run.run_id


def test_both_run_from_the_start(scene: Scene) -> None:
    """Whoever sets a channel has switched alerts on."""
    sensors = build_alert_sensors(scene.specs).sensors or ()

    assert {sensor.name: sensor.default_status for sensor in sensors} == {  # type: ignore[union-attr]
        "alerts_watch": dg.DefaultSensorStatus.RUNNING,
        "alerts_deliver": dg.DefaultSensorStatus.RUNNING,
    }


def test_off_until_a_channel_is_set(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says how; what failed before somebody switched it on is not told."""
    scene.watch()
    with monkeypatch.context() as without:
        without.delenv("REVERSE_ETL_ALERT_WEBHOOK_URL")
        end_run(scene.instance, day=DAY)
        assert "REVERSE_ETL_ALERT_SLACK_URL" in scene.tick("alerts_watch")
        assert "REVERSE_ETL_ALERT_SLACK_URL" in scene.tick("alerts_deliver")
        assert list(scene.store.list_objects("")) == []

    scene.clock.ahead = dt.timedelta(minutes=11)
    scene.watch()

    assert scene.alerts() == []


def test_wrong_setting_fails_the_tick_without_its_value(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named."""
    monkeypatch.setenv("REVERSE_ETL_ALERT_WEBHOOK_URL", f"http://example.com/{CANARY}")

    for name in ("alerts_watch", "alerts_deliver"):
        with pytest.raises(ConfigError, match="ALERT_WEBHOOK_URL must begin") as caught:
            scene.tick(name)
        assert CANARY not in str(caught.value)


def test_guard_is_told_with_cause_and_advice(scene: Scene) -> None:
    """From a run's failure to the receiver."""
    run_id = run_step(scene.instance, DataError("The table has 3 rows; 100 were expected."))

    said = scene.watch()
    scene.deliver()

    assert said == "1 runs failed for good, 0 may be retried, 0 succeeded."
    (request,) = scene.receiver.taken
    told = json.loads(request.body)
    assert told.pop("at")
    assert told.pop("id")
    assert told == {
        "version": 1,
        "kind": "guard_tripped",
        "environment": "dev",
        "sync": "shop_users",
        "partition": DAY,
        "step": "masked",
        "run_id": run_id,
        "title": f"shop_users {DAY}: a guard stopped step masked",
        "cause": "The table has 3 rows; 100 were expected.",
        "what_to_do": "Look at the source tables of this day; what is live stays live meanwhile.",
        "links": {"Run": f"https://dagster.example.com/runs/{run_id}"},
        "folded": 0,
    }


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TerminalError("2 objects differ."), "2 objects differ."),
        (TransientError("Redis was away."), "Redis was away."),
        (ValueError(CANARY), "ValueError, which nobody raised on purpose"),
        (dg.Failure(CANARY), "dagster.Failure. Its text is withheld"),
        (
            dg.Failure(CANARY, metadata={"kind": "Canary", "sync": "shop_users"}),
            "Failure. Its text",
        ),
    ],
)
def test_only_sentences_of_ours_are_told(scene: Scene, error: Exception, cause: str) -> None:
    """Of anything else the class; its text may quote a row."""
    run_step(scene.instance, error)

    scene.watch()
    scene.deliver()

    (alert,) = scene.alerts()
    assert cause in alert.cause
    assert (alert.kind, alert.step, alert.partition) == (AlertKind.RUN_FAILED, "masked", DAY)
    stored = b"".join(scene.store.get(item.name) for item in scene.store.list_objects(""))
    sent = b"".join(request.body for request in scene.receiver.taken)
    assert CANARY.encode() not in stored + sent + repr([*scene.said, scene.cursors]).encode()


@pytest.mark.parametrize(
    ("url", "links"),
    [
        ("https://console.cloud.google.com/bigquery?j=1", {"Run", "BigQuery job"}),
        (f"https://example.com/{CANARY}", {"Run"}),
    ],
)
def test_warehouse_job_of_the_step_before_is_linked(
    scene: Scene, url: str, links: set[str]
) -> None:
    """Where the step noted one; no other address is."""

    @dg.asset(key=["shop_users", "extract"])
    def extract() -> dg.MaterializeResult:
        """It notes its job."""
        return dg.MaterializeResult(metadata={"job": dg.MetadataValue.url(url)})

    @dg.asset(key=["shop_users", "masked"], deps=[extract])
    def masked() -> None:
        """It fails."""
        with translate_errors(sync="shop_users", partition=DAY, step="masked"):
            raise DataError("Too few rows.")

    dg.materialize([extract, masked], instance=scene.instance, raise_on_error=False)

    scene.watch()

    assert set(scene.alerts()[0].links) == links


def test_foreign_op_is_told_by_class(scene: Scene) -> None:
    """A job of somebody's own in this code location: its name, step and error's class."""

    @dg.op
    def load() -> None:
        """It fails."""
        raise KeyError(CANARY)

    @dg.job
    def nightly() -> None:
        """One op."""
        load()

    nightly.execute_in_process(instance=scene.instance, raise_on_error=False)

    scene.watch()

    (alert,) = scene.alerts()
    assert alert.title == "Job nightly: step load failed"
    assert alert.cause == "KeyError. Its text is withheld: it may quote a row."
    assert alert.sync is None


def test_run_that_ended_without_a_step_is_told(scene: Scene) -> None:
    """Its worker was gone, or it never started."""
    end_run(scene.instance)

    scene.watch()

    (alert,) = scene.alerts()
    assert alert.title == "Job nightly: the run failed"


def test_tick_after_tick_tells_nothing_twice(scene: Scene) -> None:
    """Nor does one that lost its cursor, or got somebody's edit."""
    scene.watch()
    end_run(scene.instance, day=DAY)
    for cursor in ("keep", "keep", None, "no JSON", "[1]", '{"after": "x"}', '{"recent": 3}'):
        if cursor != "keep":
            scene.cursors["alerts_watch"] = cursor
        scene.watch()
        scene.deliver()

    assert len(scene.alerts()) == len(scene.receiver.taken) == 1


def test_cursor_moves_behind_what_is_no_longer_young(scene: Scene) -> None:
    """Events of the last minutes are looked at again: one with a smaller number may come to light."""
    end_run(scene.instance)
    scene.watch()
    young = WatchCursor.read(scene.cursors["alerts_watch"])
    scene.clock.ahead = dt.timedelta(minutes=3)
    scene.watch()
    old = WatchCursor.read(scene.cursors["alerts_watch"])

    assert len(young.recent) == 1
    assert (old.recent, old.after) == ([], young.recent[0])
    assert scene.watch().startswith("0 runs failed")


def test_event_that_comes_to_light_late_is_told(scene: Scene) -> None:
    """Two processes store events at once; the later number may be seen first."""
    first, second = end_run(scene.instance), end_run(scene.instance)
    scene.watch()
    cursor = WatchCursor.read(scene.cursors["alerts_watch"])
    scene.store = AwayStore()  # as if the first had not been there yet
    cursor.recent.pop(0)
    scene.cursors["alerts_watch"] = cursor.write()

    scene.watch()

    assert [alert.run_id for alert in scene.alerts()] == [first]
    assert second != first


def test_store_that_was_away_costs_no_alert(scene: Scene) -> None:
    """The tick fails, the cursor stays, the next tick tells."""
    scene.watch()
    end_run(scene.instance, day=DAY)
    scene.store.is_away = True
    with pytest.raises(TransientError):
        scene.watch()
    scene.store.is_away = False

    scene.watch()

    assert scene.kinds() == [AlertKind.RUN_FAILED]


def test_daemon_that_was_down_tells_what_failed_as_one(scene: Scene) -> None:
    """Hours later: the first of them, and the others together, with their count."""
    scene.watch()
    for day in range(1, 6):
        end_run(scene.instance, day=f"2024-01-{day:02d}")
    scene.clock.ahead = dt.timedelta(hours=7)
    scene.watch()
    assert len(scene.alerts()) == 1

    scene.clock.ahead += dt.timedelta(hours=1)
    scene.watch()

    first, others = scene.alerts()
    assert first.partition == "2024-01-01"
    assert (others.folded, others.title) == (4, "shop_users: 4 more runs failed")


def test_run_that_is_retried_is_not_told(scene: Scene) -> None:
    """Its retry speaks for it."""
    end_run(
        scene.instance, **{"dagster/will_retry": "true", "dagster/auto_retry_run_id": "another"}
    )

    assert scene.watch() == "0 runs failed for good, 1 may be retried, 0 succeeded."
    assert scene.watch() == "0 runs failed for good, 0 may be retried, 0 succeeded."
    assert scene.alerts() == []


def test_run_whose_retry_never_came_is_told(scene: Scene) -> None:
    """The daemon that retries gave up, or is not there: an hour is enough."""
    given_up = end_run(scene.instance, **{"dagster/will_retry": "true"})
    never = end_run(scene.instance, **{"dagster/will_retry": "true"})
    scene.watch()
    scene.watch()
    assert scene.alerts() == []

    scene.instance.add_run_tags(given_up, {"dagster/will_retry": "false"})
    scene.watch()
    assert [alert.run_id for alert in scene.alerts()] == [given_up]
    scene.clock.ahead = dt.timedelta(hours=1, minutes=1)
    scene.watch()

    assert [alert.run_id for alert in scene.alerts()] == [given_up, never]


def test_run_retries_decide_before_we_tell(tmp_path: Path, scene: Scene) -> None:
    """With run retries on, Dagster's tag counts: a failed step is told, a lost worker's run is retried."""
    overrides = {
        "run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
    }
    folder = tmp_path / "retrying"
    folder.mkdir()
    with dg.instance_for_test(temp_dir=str(folder), overrides=overrides) as instance:
        scene.instance = instance
        end_run(instance)
        failed = run_step(instance, DataError("Too few rows."))

        scene.watch()

        assert [alert.run_id for alert in scene.alerts()] == [failed]
        assert len(WatchCursor.read(scene.cursors["alerts_watch"]).retrying) == 1


def test_recovery_is_told_once(scene: Scene) -> None:
    """By the next success of the same day; not by another day's."""
    end_run(scene.instance, day=DAY)
    scene.watch()
    end_run(scene.instance, failed=False, day="2024-01-04")
    scene.watch()
    assert scene.kinds() == [AlertKind.RUN_FAILED]

    for _ in range(2):
        end_run(scene.instance, failed=False, day=DAY)
        scene.watch()

    assert scene.kinds() == [AlertKind.RUN_FAILED, AlertKind.RECOVERED]
    assert scene.alerts()[1].title == f"shop_users {DAY} recovered"


def test_another_step_of_the_day_is_no_recovery(scene: Scene) -> None:
    """Of the step that failed, or of all of the day."""
    failed = run_step(scene.instance, DataError("Too few rows."))
    run = scene.instance.get_run_by_id(failed)
    assert run is not None
    covered = {
        step: covers(
            replace_selection(run, None if step is None else dg.AssetKey(["shop_users", step])),
            "shop_users",
            "masked",
        )
        for step in ("extract", "masked", None)
    }

    assert covered == {"extract": False, "masked": True, None: True}


def replace_selection(run: dg.DagsterRun, key: dg.AssetKey | None) -> dg.DagsterRun:
    """The same run over one asset, or over all of its job."""
    return run._replace(asset_selection=None if key is None else {key})


def test_runs_of_other_code_locations_are_theirs() -> None:
    """One daemon serves many; a run that a command line started here is ours."""

    def place(location: str, repository: str = "__repository__") -> SimpleNamespace:
        origin = SimpleNamespace(location_name=location)
        return SimpleNamespace(code_location_origin=origin, repository_name=repository)

    context: Any = place("ours")
    runs: list[Any] = [
        SimpleNamespace(remote_job_origin=SimpleNamespace(repository_origin=where))
        for where in (place("ours"), place("theirs"), place("ours", "another"))
    ]
    by_hand: Any = SimpleNamespace(remote_job_origin=None)

    assert [is_here(run, context) for run in [*runs, by_hand]] == [True, False, False, True]


@pytest.mark.parametrize(
    ("known", "sync"),
    [
        ({"tags": {SYNC_TAG: "shop_users"}}, "shop_users"),
        ({"tags": {SYNC_TAG: "gone"}}, None),
        ({"asset_selection": {dg.AssetKey(["shop_users", "cache"])}}, "shop_users"),
        ({"asset_selection": {dg.AssetKey(["else", "cache"])}}, None),
        ({"run_config": {"ops": {"rollback": {"config": {"sync": "shop_users"}}}}}, "shop_users"),
        ({"run_config": {"ops": {"x": {"config": {"sync": CANARY}}, "y": 3, "z": {}}}}, None),
        ({"run_config": {"ops": {"x": {"config": 3}}}}, None),
        ({"job_name": "shop_users_daily"}, "shop_users"),
        ({"job_name": "shop_users_land"}, "shop_users"),
        ({}, None),
    ],
)
def test_run_is_known_by_tag_assets_config_or_job(known: dict[str, Any], sync: str | None) -> None:
    """A rollback started for one sync is that sync's, so that its success ends its failure."""
    usual = {"tags": {}, "asset_selection": None, "run_config": {}, "job_name": "nightly"}
    run: Any = SimpleNamespace(**{**usual, **known})

    assert find_sync(run, {"shop_users": builders.build_spec()}) == sync


def test_success_without_failure_is_silent(scene: Scene) -> None:
    """Nobody is told that all is well as ever; nothing is written either."""
    end_run(scene.instance, failed=False, day=DAY)

    assert scene.watch() == "0 runs failed for good, 0 may be retried, 1 succeeded."
    assert list(scene.store.list_objects("")) == []


def test_job_without_days_recovers_by_its_name(scene: Scene) -> None:
    """A rollback that failed, and then did not."""
    end_run(scene.instance)
    scene.watch()
    end_run(scene.instance, failed=False)
    scene.watch()

    assert scene.kinds() == [AlertKind.RUN_FAILED, AlertKind.RECOVERED]


def test_bad_news_of_an_alert_is_better_than_none(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose events cannot be read is told by what is known."""
    end_run(scene.instance, day=DAY)
    with monkeypatch.context() as broken:
        broken.setattr(
            dg.DagsterInstance, "all_logs", lambda *_, **__: (_ for _ in ()).throw(KeyError(CANARY))
        )
        scene.watch()

    (alert,) = scene.alerts()
    assert alert.title == f"shop_users {DAY}: the run failed"
    assert alert.cause.startswith("KeyError, met while its events were read")


def put_head(scene: Scene, day: str) -> None:
    """Readers are on `day`."""
    version = f"{day}.{'0' * 16}"
    pinned = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    head = Head(
        generation=1,
        version=version,
        partition=day,
        snapshot_pinned_at=pinned,
        published_at=pinned,
        rows=1,
        buckets=1,
        buckets_per_object=1,
        format="json",
        compression="gzip",
        key="user_id",
    )
    scene.store.put("shop_users/head.json", encode_head(head))
    put_current(scene, day)


def put_current(scene: Scene, day: str) -> None:
    """Something was committed for `day`."""
    pinned = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    current = Current(version=f"{day}.{'0' * 16}", snapshot_id="s", snapshot_pinned_at=pinned)
    scene.store.put(f"shop_users/dt={day}/current.json", encode_current(current))


def schedule(scene: Scene, *, hour: int, **changes: Any) -> list[str]:
    """The sync has a schedule, it is so late today, UTC; today and the days before, newest first."""
    scene.specs = [
        builders.build_spec(partitions={"start": "2024-01-01"}, schedule={**SCHEDULE, **changes})
    ]
    now = dt.datetime.now(dt.UTC)
    at = now.replace(hour=hour, minute=30, second=0) + dt.timedelta(days=1)
    scene.clock.ahead = at - now
    return [(at.date() - dt.timedelta(days=back)).isoformat() for back in range(9)]


def test_late_is_told_once_and_so_is_its_end(scene: Scene) -> None:
    """After the deadline, not before; and when readers are where they should be."""
    _, yesterday, before, *_ = schedule(scene, hour=5)
    put_head(scene, before)
    assert "Late" not in scene.watch()

    scene.clock.ahead += dt.timedelta(hours=1)
    for _ in range(2):
        assert scene.watch().endswith("Late: shop_users.")
    (alert,) = scene.alerts()
    assert alert.title == f"shop_users is late: {yesterday} is not live"
    assert f"Readers are on {before}." in alert.cause

    put_head(scene, yesterday)
    for _ in range(2):
        assert "Late" not in scene.watch()
    assert scene.kinds() == [AlertKind.LATE, AlertKind.RECOVERED]
    assert scene.alerts()[1].title == f"shop_users {yesterday} is not late any more"


def test_nothing_is_due_where_no_schedule_runs(scene: Scene) -> None:
    """Another environment's schedule, or none: no day is late."""
    schedule(scene, hour=12, environments=["prod"])

    scene.watch()

    assert scene.alerts() == []


def test_schedule_switched_on_by_hand_counts(scene: Scene) -> None:
    """From the first version on."""
    _, yesterday, before, *_ = schedule(scene, hour=12, environments=[])
    job = dg.define_asset_job("shop_users_daily")
    daily = dg.ScheduleDefinition(
        name="shop_users_daily_schedule", cron_schedule="0 3 * * *", job=job
    )
    asset = dg.AssetsDefinition.from_op(
        dg.OpDefinition(compute_fn=lambda *_: None, name="x", outs={"result": dg.Out(dg.Nothing)})
    )
    repository = dg.Definitions(assets=[asset], schedules=[daily]).get_repository_def()
    switch_on(scene.instance, repository)
    assert "Late" not in scene.watch()

    put_head(scene, before)

    assert scene.watch().endswith("Late: shop_users.")
    assert scene.alerts()[0].partition == yesterday


def switch_on(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> None:
    """Note the schedule as running, as the UI does."""
    from dagster._core.definitions.run_request import InstigatorType  # noqa: PLC0415
    from dagster._core.remote_origin import (  # noqa: PLC0415
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import (  # noqa: PLC0415
        InstigatorState,
        InstigatorStatus,
        ScheduleInstigatorData,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin  # noqa: PLC0415

    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="none"))
    origin = RemoteInstigatorOrigin(
        repository_origin=RemoteRepositoryOrigin(
            code_location_origin=location, repository_name=repository.name
        ),
        instigator_name="shop_users_daily_schedule",
    )
    instance.add_instigator_state(
        InstigatorState(
            origin,
            InstigatorType.SCHEDULE,
            InstigatorStatus.RUNNING,
            ScheduleInstigatorData("0 3 * * *", 0.0),
        )
    )


def test_missed_days_are_told_once_and_so_is_their_end(scene: Scene) -> None:
    """Days before the newest that nothing was landed for, as long as there are any."""
    _, *days = schedule(scene, hour=12)
    put_head(scene, days[0])
    put_current(scene, days[3])
    for _ in range(2):
        scene.watch()
    (alert,) = scene.alerts()
    assert alert.title == f"shop_users: 2 days are missing, the last {days[1]}"

    put_current(scene, days[1])
    scene.clock.ahead += dt.timedelta(hours=1, seconds=1)
    scene.watch()
    assert len(scene.alerts()) == 1, "what was named already is not told again"
    put_current(scene, days[2])
    scene.clock.ahead += dt.timedelta(hours=1, seconds=1)
    scene.watch()

    assert scene.kinds() == [AlertKind.MISSED_DAYS, AlertKind.RECOVERED]


def test_channel_that_refuses_fails_the_tick(scene: Scene) -> None:
    """Loudly, with what to do, and without the address; the next tick goes on."""
    end_run(scene.instance, day=DAY)
    scene.watch()
    scene.receiver.plan = Plan(steps=[404])

    with pytest.raises(TerminalError) as caught:
        scene.deliver()

    assert "the webhook refuses alerts: it answered 404" in str(caught.value)
    assert "reverse-etl alerts retry" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert scene.deliver() == "0 delivered, 1 alerts are waiting."
    scene.clock.ahead += dt.timedelta(hours=1, seconds=1)
    assert scene.deliver() == "1 delivered, 0 alerts are waiting."


def test_channel_that_is_away_is_said(scene: Scene) -> None:
    """The tick passes: it will be tried again."""
    end_run(scene.instance, day=DAY)
    scene.watch()
    scene.receiver.plan = Plan(steps=[503])

    assert scene.deliver() == (
        "0 delivered, 1 alerts are waiting. the webhook is away: it answered 503."
    )


@pytest.mark.parametrize("cursor", [None, "x", "[]", '{"known": 3}', '{"known": {"a": 1}}'])
def test_delivery_needs_no_cursor(scene: Scene, cursor: str | None) -> None:
    """It only saves reading."""
    end_run(scene.instance, day=DAY)
    scene.watch()
    scene.deliver()
    scene.cursors["alerts_deliver"] = cursor

    scene.deliver()

    assert len(scene.receiver.taken) == 1


def test_bug_of_ours_keeps_its_text(scene: Scene) -> None:
    """Dagster stores what a sensor raises: class and place, no more."""

    class BrokenStore(AwayStore):
        def list_objects(self, prefix: str) -> Any:
            raise KeyError(CANARY + prefix)

    scene.store = BrokenStore()

    for name in ("alerts_watch", "alerts_deliver"):
        with pytest.raises(TerminalError, match="KeyError at") as caught:
            scene.tick(name)
        assert CANARY not in str(caught.value)
        assert isinstance(caught.value, ReverseEtlError)


def test_cursor_survives_its_text() -> None:
    """All of it."""
    cursor = WatchCursor(after=3, recent=[4], retrying={"r": 1.0}, fresh={"s": "d"}, flushed=2.0)

    assert WatchCursor.read(cursor.write()) == cursor
    assert WatchCursor.read("off") == WatchCursor()


def test_specs_are_what_is_watched(scene: Scene) -> None:
    """A sync that is not declared here is not looked at."""
    schedule(scene, hour=12)
    assert scene.watch().endswith("Late: shop_users.")
    scene.specs = []

    assert "Late" not in scene.watch()

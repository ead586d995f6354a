"""`plan_run`: what a run would do, cost and be stopped by, over parts in memory; nothing is written."""

import dataclasses
import datetime as dt
from pathlib import Path

import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.cache.layout import record_prefix
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import TransientError
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.layout import head_name, manifest_name, version_prefix
from reverse_etl.landing.manifest import encode_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Manifest, Step
from reverse_etl.runtime import Runtime
from reverse_etl.sources.base import Forecast, ForecastRequest
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.run_plan import KEY_OVERHEAD_BYTES, RunPlan
from reverse_etl_tests.builders import (
    COLUMNS,
    DAY,
    NOW,
    QUERY,
    Clock,
    build_runtime,
    build_spec,
    build_users,
)

pytestmark = pytest.mark.contract

BEFORE = "2026-11-17"
AFTER = "2026-11-19"


class GuardedSource(MemorySource):
    """Protects the column `points`."""

    def foresee(self, request: ForecastRequest) -> Forecast:
        forecast = super().foresee(request)
        assert forecast.description is not None
        guarded = {"points": "policy tag on shop.users.points (7)"}
        described = dataclasses.replace(forecast.description, guarded=guarded)
        return dataclasses.replace(forecast, description=described)


class ClosedStore(MemoryStore):
    """Does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        self.asked += 1
        raise TransientError(f"The store did not answer for '{name}'.")


def plan(spec: SyncSpec, runtime: Runtime, *, day: str = DAY) -> RunPlan:
    return pipeline.plan_run(spec, spec.find_day(day), runtime)


def land(spec: SyncSpec, runtime: Runtime, *, day: str = BEFORE) -> Manifest:
    """Extract, mask and land a day."""
    partition = spec.partition(day, now=runtime.now())
    pipeline.extract(spec, partition, runtime, run_id=f"run-{day}")
    return pipeline.mask_and_land(spec, partition, runtime, run_id=f"run-{day}").manifest


def list_stops(planned: RunPlan) -> list[tuple[str, str]]:
    return [(stop.step.value, stop.kind) for stop in planned.stops]


def list_objects(runtime: Runtime) -> dict[str, bytes]:
    return {item.name: runtime.store.get(item.name) for item in runtime.store.list_objects("")}


@pytest.fixture(params=["json", "parquet"])
def spec(request: pytest.FixtureRequest) -> SyncSpec:
    """The sync in each landing format."""
    return build_spec(landing={"format": request.param, "bucket_rows": 64})


def test_first_run_is_planned_without_counts(
    tmp_path: Path, spec: SyncSpec, redis_url: str
) -> None:
    """Rows are not known before the first run: they are not guessed, and not zero."""
    planned = plan(spec, build_runtime(tmp_path, redis_url=redis_url))

    assert planned.can_run
    assert planned.basis is None
    assert planned.basis_missing == "no version of this day or an earlier one was committed"
    assert (planned.objects.records, planned.objects.objects, planned.objects.buckets) == (
        None,
    ) * 3
    assert (planned.redis.records, planned.redis.bytes) == (None, None)


def test_plan_says_what_the_run_then_does(tmp_path: Path, spec: SyncSpec, redis_url: str) -> None:
    """As many rows as the day before: the objects are those that the run writes, under those names."""
    runtime = build_runtime(tmp_path, redis_url=redis_url)
    before = land(spec, runtime)

    planned = plan(spec, runtime)
    done = land(spec, runtime, day=DAY)

    assert planned.basis is not None
    assert (planned.basis.version, planned.basis.same_columns) == (before.version, True)
    assert planned.objects.records == done.rows
    assert planned.objects.objects == len(done.objects)
    assert planned.objects.buckets == done.buckets
    assert planned.objects.bytes == before.bytes
    last = version_prefix(spec.name, done.version) + done.objects[-1].name
    start, end = planned.objects.pattern.split("<attempt>")
    name, ending = end.split("<number>")
    assert last.startswith(start)
    assert name.removeprefix("/") in last
    assert last.endswith(ending)


def test_memory_in_redis_is_keys_values_and_a_surcharge(
    tmp_path: Path, spec: SyncSpec, redis_url: str
) -> None:
    """Means of one object times the records, for as many versions as lie there at once."""
    runtime = build_runtime(tmp_path, redis_url=redis_url)
    partition = spec.partition(BEFORE, now=runtime.now())
    receipt = pipeline.run_sync(spec, partition, runtime, run_id="r")
    prefix = record_prefix(spec.name, receipt.masked.manifest.version).encode()
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter(match=prefix + b"*"))
        values = client.mget(keys)

    memory = plan(spec, runtime).redis

    assert memory.key_bytes == pytest.approx(sum(map(len, keys)) / len(keys))
    assert memory.value_bytes == pytest.approx(sum(map(len, values)) / len(values), rel=0.02)
    assert memory.version_bytes == pytest.approx(
        sum(map(len, keys)) + sum(map(len, values)) + 500 * KEY_OVERHEAD_BYTES, rel=0.02
    )
    assert memory.versions == 2
    assert memory.bytes == 2 * (memory.version_bytes or 0)


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_room_in_redis_is_told_and_its_policy_looked_at(tmp_path: Path, policy: str) -> None:
    """What is free of maxmemory stands there, and a server that drops records is a stop."""
    with RedisServer(maxmemory_bytes=64 << 20) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", policy)
        planned = plan(build_spec(), build_runtime(tmp_path, redis_url=server.url))

    assert planned.redis.free_bytes is not None
    assert 50 << 20 < planned.redis.free_bytes < 64 << 20
    stops = [stop.message for stop in planned.stops]
    assert any("drops any key" in message for message in stops) is (policy != "noeviction")


def test_surcharge_is_what_a_server_takes(redis_url: str) -> None:
    """The assumption is on the safe side of the server in use, and not far from it."""
    count, size = 20_000, 300
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("FLUSHALL", "SYNC")
        before = client.info("memory")["used_memory"]
        client.mset({f"shop_users:{DAY}:{number:040}": "x" * size for number in range(count)})
        taken = (client.info("memory")["used_memory"] - before) / count

    surcharge = taken - size - len(f"shop_users:{DAY}:") - 40

    assert KEY_OVERHEAD_BYTES / 4 < surcharge <= KEY_OVERHEAD_BYTES


def test_landed_day_is_planned_by_its_own_version(
    tmp_path: Path, spec: SyncSpec, redis_url: str
) -> None:
    """It is nearer than a day before. That masked alone would change nothing is no stop: a run pins anew."""
    runtime = build_runtime(tmp_path, redis_url=redis_url)
    land(spec, runtime)
    own = land(spec, runtime, day=DAY)

    planned = plan(spec, runtime)

    assert planned.can_run
    assert planned.basis is not None
    assert planned.basis.version == planned.unchanged_version == own.version


def test_changed_rules_are_told(tmp_path: Path, redis_url: str) -> None:
    """Numbers of a version under other rules are shown as such, and nothing is unchanged."""
    runtime = build_runtime(tmp_path, redis_url=redis_url)
    land(build_spec(), runtime, day=DAY)
    changed = build_spec(columns=[*COLUMNS[:2], {"name": "name", "rule": "drop"}, COLUMNS[3]])

    planned = plan(changed, runtime)

    assert planned.basis is not None
    assert not planned.basis.same_columns
    assert planned.unchanged_version is None


def test_bytes_of_another_format_are_not_taken_over(tmp_path: Path, redis_url: str) -> None:
    """Records are as many in JSON as in Parquet; their bytes are not."""
    runtime = build_runtime(tmp_path, redis_url=redis_url)
    land(build_spec(), runtime)

    planned = plan(build_spec(landing={"format": "parquet"}), runtime)

    assert planned.objects.records == 500
    assert planned.objects.bytes is None


def test_blocked_version_is_no_basis(tmp_path: Path, redis_url: str) -> None:
    """What was rolled back from says nothing of a good day."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    partition = spec.partition(BEFORE, now=runtime.now())
    blocked = pipeline.run_sync(spec, partition, runtime, run_id="r").masked.manifest.version
    head = find_head(runtime.store, spec.name)
    assert head is not None
    head = dataclasses.replace(head, blocked=(blocked,))
    runtime.store.put(head_name(spec.name), encode_head(head))

    assert plan(spec, runtime, day=BEFORE).basis is None
    assert plan(spec, runtime).basis is None


def test_version_whose_objects_are_gone_still_counts_rows(tmp_path: Path, redis_url: str) -> None:
    """Its manifest says how many there were; what a record takes is not known any more."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    manifest = land(spec, runtime)
    prefix = version_prefix(spec.name, manifest.version)
    runtime.store.delete([prefix + item.name for item in manifest.objects])

    planned = plan(spec, runtime)

    assert planned.can_run
    assert planned.redis.records == 500
    assert planned.redis.bytes is None


def test_columns_are_shown_as_they_come_and_land(tmp_path: Path, redis_url: str) -> None:
    """Each with both types and its rule; dropped ones are named, and so is why one is protected."""
    columns = [
        {"name": "user_id", "rule": "hmac"},
        {"name": "email", "rule": "drop"},
        {"name": "name", "rule": "truncate", "length": 1},
        {"name": "points", "rule": "keep", "reason": "shown to everybody"},
    ]
    source = GuardedSource({QUERY: build_users(5)})
    runtime = build_runtime(tmp_path, source=source, redis_url=redis_url)

    planned = plan(build_spec(columns=columns), runtime)

    assert planned.can_run
    shown = {column.name: column for column in planned.columns}
    assert [column.leaves for column in planned.columns] == [True, False, True, True]
    assert (shown["email"].source_type, shown["email"].landed_type) == ("STRING", None)
    assert shown["name"].rule == "truncate(length: 1)"
    assert (shown["points"].source_type, shown["points"].landed_type) == ("INT64", "INT64")
    assert shown["points"].guarded == "policy tag on shop.users.points (7)"
    assert shown["points"].rule == 'keep(reason: "shown to everybody")'


def test_all_stops_are_told_at_once(tmp_path: Path) -> None:
    """Who mends one thing knows of the next: policy, key, day and Redis, each as a run would say it."""
    columns = [
        {"name": "user_id", "rule": "hmac"},
        {"name": "name", "rule": "age_group"},
        {"name": "points", "rule": "keep", "type": "STRING"},
        {"name": "absent", "rule": "keep"},
    ]
    source = GuardedSource({QUERY: build_users(5)})
    runtime = build_runtime(tmp_path, source=source, masking_key=None)

    planned = plan(build_spec(columns=columns), runtime, day="2026-11-20")

    assert list_stops(planned) == [
        ("extract", "ConfigError"),
        ("extract", "PolicyError"),
        ("extract", "PolicyError"),
        ("extract", "PolicyError"),
        ("extract", "PolicyError"),
        ("extract", "ConfigError"),
        ("cache", "ConfigError"),
    ]
    for stop, words in zip(
        planned.stops,
        (
            "is not over",
            "no rule names: 'email'",
            "'points' (policy tag on shop.users.points (7))",
            "Rule 'age_group' of column 'name'",
            "declared as STRING; the query returns INT64",
            "No masking key is configured",
            "REVERSE_ETL_REDIS_URL is not set",
        ),
        strict=True,
    ):
        assert words in stop.message
    unruled = next(column for column in planned.columns if column.name == "email")
    assert (unruled.rule, unruled.source_type) == (None, "STRING")


@pytest.mark.parametrize(
    ("day", "words"), [("2026-10-31", "before the sync's start"), (AFTER, "is not over")]
)
def test_day_that_cannot_be_run_is_planned_all_the_same(
    tmp_path: Path, redis_url: str, day: str, words: str
) -> None:
    """The query can be asked about; the stop says why the day cannot be carried."""
    planned = plan(build_spec(), build_runtime(tmp_path, redis_url=redis_url), day=day)

    (stop,) = planned.stops
    assert words in stop.message
    assert all(column.source_type for column in planned.columns)


def test_moment_yet_to_come_stops_and_is_shown(tmp_path: Path, redis_url: str) -> None:
    """When the tables are to be read stands there, also before that moment."""
    spec = build_spec(snapshot={"as_of": {"after_partition_end": "9h"}})

    planned = plan(spec, build_runtime(tmp_path, redis_url=redis_url))

    (stop,) = planned.stops
    assert "yet to come" in stop.message
    assert planned.snapshot.as_of == dt.datetime(2026, 11, 19, 9, tzinfo=dt.UTC)


def test_query_that_does_not_fit_leaves_the_rules_to_show(tmp_path: Path, redis_url: str) -> None:
    """Types are not known; nothing is said of the policy, for there is nothing to hold it against."""
    source = MemorySource({})

    planned = plan(build_spec(), build_runtime(tmp_path, source=source, redis_url=redis_url))

    assert list_stops(planned) == [("extract", "ConfigError")]
    assert [column.name for column in planned.columns] == [it["name"] for it in COLUMNS]
    assert {column.source_type for column in planned.columns} == {None}


def test_source_that_cannot_be_set_up_is_one_stop_among_others(
    tmp_path: Path, redis_url: str
) -> None:
    """A staging dataset that nobody named; whether anything is charged is not known then."""
    spec = build_spec(source={"query": "query.sql", "kind": "bigquery"})

    planned = plan(spec, build_runtime(tmp_path, redis_url=redis_url))

    (stop,) = planned.stops
    assert "REVERSE_ETL_BIGQUERY_DATASET" in stop.message
    assert (planned.query.is_charged, planned.read.is_charged) == (None, None)
    assert planned.snapshot.staged_in is None


def test_bad_masking_key_is_told_once(tmp_path: Path, redis_url: str) -> None:
    """A key that is no key is not also missing."""
    runtime = build_runtime(tmp_path, redis_url=redis_url, masking_key="k1:AAAA")

    (stop,) = plan(build_spec(), runtime).stops

    assert "32 or more" in stop.message


def test_later_live_version_supersedes(tmp_path: Path, redis_url: str) -> None:
    """An older day would be landed and not loaded."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    pipeline.run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id="r")

    planned = plan(spec, runtime, day=BEFORE)

    assert list_stops(planned) == [("cache", "superseded")]
    assert not planned.can_run
    assert plan(spec, runtime).can_run


def test_head_in_redis_alone_supersedes_too(tmp_path: Path, redis_url: str) -> None:
    """Readers must not go back, whichever of the two heads was lost."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    pipeline.run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id="r")
    runtime.store.delete([head_name(spec.name)])

    assert list_stops(plan(spec, runtime, day=BEFORE)) == [("cache", "superseded")]


def test_store_that_is_away_is_asked_once(tmp_path: Path, redis_url: str) -> None:
    """What is not known because of it says so; nobody waits for it a second time."""
    store = ClosedStore()

    planned = plan(build_spec(), build_runtime(tmp_path, store=store, redis_url=redis_url))

    assert list_stops(planned) == [("extract", "TransientError")]
    assert planned.basis_missing == "the store could not be read"
    assert store.asked == 1


def test_earlier_version_that_was_altered_stops(tmp_path: Path, redis_url: str) -> None:
    """Its rows are what the new ones are held against: masked would stop at it."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    manifest = land(spec, runtime)
    runtime.store.put(manifest_name(spec.name, manifest.version), b"{}")

    planned = plan(spec, runtime)

    assert list_stops(planned) == [("masked", "IntegrityError")]
    assert planned.basis_missing == "the store could not be read"


def test_redis_that_is_away_is_one_stop(tmp_path: Path) -> None:
    """Before anything is pinned or paid."""
    planned = plan(build_spec(), build_runtime(tmp_path, redis_url="redis://127.0.0.1:1/0"))

    assert list_stops(planned) == [("cache", "TransientError")]
    assert "127.0.0.1:1" in planned.stops[0].message


def test_plan_writes_nothing(tmp_path: Path, redis_url: str) -> None:
    """Neither in the store, nor in Redis, nor in the source, nor on this machine's disk."""
    spec, clock = build_spec(), Clock()
    source = MemorySource({QUERY: build_users(500)})
    runtime = build_runtime(tmp_path, source=source, clock=clock, redis_url=redis_url)
    pipeline.run_sync(spec, spec.partition(BEFORE, now=NOW), runtime, run_id="r")
    with redis.Redis.from_url(redis_url) as client:
        objects, keys, pinned = list_objects(runtime), sorted(client.keys()), repr(source)
        files = sorted(tmp_path.rglob("*"))

        plan(spec, runtime)

        assert list_objects(runtime) == objects
        assert sorted(client.keys()) == keys
    assert repr(source) == pinned
    assert sorted(tmp_path.rglob("*")) == files


def test_plan_holds_no_value_of_a_row(tmp_path: Path, redis_url: str) -> None:
    """One object is looked into; nothing but lengths comes out."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    land(spec, runtime)

    told = repr(plan(spec, runtime))

    assert "Canary" not in told
    assert "u-00" not in told


def test_steps_come_in_the_order_of_a_run(tmp_path: Path) -> None:
    """What stops it first stands first."""
    runtime = build_runtime(tmp_path, source=MemorySource({}), store=ClosedStore())

    steps = [stop.step for stop in plan(build_spec(), runtime).stops]

    assert steps == [Step.EXTRACT, Step.EXTRACT, Step.CACHE]

"""The jobs `verify`, `rebuild`, `sweep` and `warm`: what they do, show and refuse."""

import dataclasses
import datetime as dt
from typing import Any

import dagster as dg
import pytest
import redis

from reverse_etl.cache.heads import read_redis_head
from reverse_etl.cache.lease import hold_lease
from reverse_etl.cache.versions import list_versions
from reverse_etl.jobs import rebuild, sweep, verify, warm
from reverse_etl.landing.documents import find_current, find_head
from reverse_etl.landing.layout import build_version, version_prefix
from reverse_etl.landing.store import MemoryStore
from reverse_etl.landing.sweep import announce_attempt
from reverse_etl.model import Head, Step
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.components.harness import (
    DAY,
    DAY_BEFORE,
    build_spec,
    read_failure,
    read_log,
    run_job,
)
from reverse_etl_tests.jobs.conftest import SPEC, MakeRuntime
from reverse_etl_tests.jobs.reading import read_observation, read_observations, run, unwrap

OTHER = build_spec(name="other_users")


def read_head(runtime: Runtime) -> Head:
    head = find_head(runtime.store, SPEC.name)
    assert head is not None
    return head


class TestVerify:
    """The live version, held against what was committed."""

    def execute(
        self,
        runtime: Runtime,
        instance: dg.DagsterInstance,
        *specs: SyncSpec,
        **config: Any,
    ) -> dg.ExecuteInProcessResult:
        job = verify.build_verify_job(specs or (SPEC,))
        return run(job, config, op=verify.OP, runtime=runtime, instance=instance)

    def test_whole_version_is_observed_as_such(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """With what was compared, on the asset that readers depend on."""
        result = self.execute(runtime, instance)

        observation = read_observation(result)
        shown = unwrap(observation)
        assert result.success
        assert observation.asset_key == dg.AssetKey([SPEC.name, Step.CACHE])
        assert observation.partition == DAY
        assert shown["differences"] == 0
        assert shown["records_compared"] == 500
        assert shown["heads"] == "equal"

    def test_difference_fails_the_run_and_is_counted(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """A record that somebody removed: how many, and what to do; never which."""
        (key, *_) = [name for name in keys_of(runtime, DAY) if b"u-00007" in name]
        with redis.Redis.from_url(runtime.redis_url) as client:
            client.delete(key)

        result = self.execute(runtime, instance, sync=SPEC.name)

        failed = read_failure(result)
        assert unwrap(read_observation(result))["records_missing"] == 1
        assert "1 difference in version" in failed.text
        assert "job `rebuild`" in failed.text
        assert "u-00007" not in read_log(result, instance)

    def test_all_go_on_after_one_that_fails(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """The others are verified, a sync that never ran is passed over, and the run fails by name."""
        store = runtime.store
        assert run_job(OTHER, runtime, instance=instance).success
        head = read_head(runtime)
        (first, *_) = store.list_objects(version_prefix(SPEC.name, head.version) + "0")
        store.delete([first.name])

        result = self.execute(runtime, instance, SPEC, OTHER, build_spec(name="new_users"))

        failed = read_failure(result)
        assert failed.text.startswith("1 of 3 syncs failed: shop_users: ")
        assert "1 objects missing" in failed.text
        assert sorted(it.asset_key.path[0] for it in read_observations(result)) == [
            "other_users",
            "shop_users",
        ]

    def test_named_version_is_of_one_sync(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """A version of all syncs there is none."""
        version = read_head(runtime).kept[0]

        refused = self.execute(runtime, instance, version=version)
        named = self.execute(runtime, instance, sync=SPEC.name, version=version)

        assert "a version is of one sync" in read_failure(refused).text
        assert unwrap(read_observation(named))["is_live"] is False


class TestRebuild:
    """Redis, loaded again from the store."""

    def execute(
        self, runtime: Runtime, instance: dg.DagsterInstance, **config: Any
    ) -> dg.ExecuteInProcessResult:
        job = rebuild.build_rebuild_job([SPEC])
        asked = {"sync": SPEC.name, **config}
        return run(job, asked, op=rebuild.OP, runtime=runtime, instance=instance)

    def test_emptied_redis_is_loaded_again(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """The same version and generation as before, and it says what that took."""
        before = read_head(runtime)
        with redis.Redis.from_url(runtime.redis_url) as client:
            client.flushall()

        result = self.execute(runtime, instance)

        shown = unwrap(read_observation(result))
        head = read_redis_head(runtime.redis, SPEC.name)
        assert result.success
        assert head is not None
        assert (head.version, head.generation) == (before.version, before.generation)
        assert shown["outcome"] == "rebuilt"
        assert shown["rows_loaded"] == 500

    def test_what_is_there_is_left_alone_unless_forced(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """A second click loads nothing."""
        untouched = unwrap(read_observation(self.execute(runtime, instance)))
        forced = unwrap(read_observation(self.execute(runtime, instance, force=True)))

        assert (untouched["outcome"], untouched["bytes_loaded"]) == ("already_there", 0)
        assert forced["outcome"] == "rebuilt"

    def test_nothing_published_is_said(
        self, make_runtime: MakeRuntime, instance: dg.DagsterInstance
    ) -> None:
        """There is nothing to rebuild from."""
        failed = read_failure(self.execute(make_runtime(), instance))

        assert "The store has no head" in failed.text


class TestSweep:
    """What is left over, without a run."""

    def execute(
        self, runtime: Runtime, instance: dg.DagsterInstance, *specs: SyncSpec, **config: Any
    ) -> dg.ExecuteInProcessResult:
        job = sweep.build_sweep_job(specs or (SPEC,))
        return run(job, config, op=sweep.OP, runtime=runtime, instance=instance)

    def leave_attempt(self, runtime: Runtime, *, hours: float) -> str:
        """An attempt that died so long ago, with an object."""
        version = build_version(DAY, runtime.now() - dt.timedelta(hours=hours))
        announce_attempt(runtime.store, SPEC.name, version)
        name = f"{version_prefix(SPEC.name, version)}00000.jsonl.gz"
        runtime.store.put(name, b"masked")
        return name

    def test_dead_attempts_go_and_young_ones_stay(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """By the age that is asked for."""
        old = self.leave_attempt(runtime, hours=5)
        young = self.leave_attempt(runtime, hours=3)

        result = self.execute(runtime, instance, older_than_hours=4)

        names = {item.name for item in runtime.store.list_objects("")}
        assert result.success
        assert unwrap(read_observation(result))["attempts_removed"] == 1
        assert old not in names
        assert young in names

    def test_readers_keep_what_they_see(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """Both days stay, in both stores: nothing was left to remove."""
        before = {item.name for item in runtime.store.list_objects("")}

        result = self.execute(runtime, instance, sync=SPEC.name)

        observation = read_observation(result)
        assert observation.description == "Nothing was left to remove."
        assert {item.name for item in runtime.store.list_objects("")} == before
        assert len(list_versions(runtime.redis, SPEC.name)) == 2
        assert unwrap(read_observation(result))["redis"] == "swept"

    def test_version_half_loaded_is_taken_out_of_redis(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """What a run that died in `cache` left: its entry, and its records."""
        kept = read_head(runtime).kept[0]
        with redis.Redis.from_url(runtime.redis_url) as client:
            entries = client.hgetall(f"{SPEC.name}:versions")
            state = entries[kept.encode()].replace(b"verified", b"loading")
            client.hset(f"{SPEC.name}:versions", kept, state)

        result = self.execute(runtime, instance)

        assert unwrap(read_observation(result))["retired_from_redis"] == kept
        assert list(list_versions(runtime.redis, SPEC.name)) == [read_head(runtime).version]
        assert keys_of(runtime, DAY_BEFORE) == []

    def test_days_beyond_the_retention_go(
        self, make_runtime: MakeRuntime, instance: dg.DagsterInstance
    ) -> None:
        """Without waiting for the next run; what lies in Redis stays."""
        spec = build_spec(landing={"bucket_rows": 64, "retention": {"days": 1, "versions": 1}})
        runtime = make_runtime()
        for day in ("2024-01-02", "2024-01-03", "2024-01-04"):
            assert run_job(spec, runtime, instance=instance, day=day).success
        now = runtime.now() + dt.timedelta(days=3)
        later = dataclasses.replace(runtime, now=lambda: now)
        later.__dict__ |= {"store": runtime.store, "source": runtime.source}

        result = self.execute(later, instance, spec)

        gone = find_current(runtime.store, spec.name, "2024-01-02")
        assert unwrap(read_observation(result))["old_versions_removed"] == 1
        assert gone is not None
        assert not list(runtime.store.list_objects(version_prefix(spec.name, gone.version) + "0"))

    def test_without_redis_the_store_is_swept(
        self, make_runtime: MakeRuntime, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """Where another deployment loads Redis there is no address for it."""
        alone = make_runtime(store=runtime.store, redis_url=None)
        self.leave_attempt(alone, hours=100)

        result = self.execute(alone, instance)

        shown = unwrap(read_observation(result))
        assert result.success
        assert shown["attempts_removed"] == 1
        assert shown["redis"] == "REVERSE_ETL_REDIS_URL is not set"

    def test_lost_head_keeps_redis_as_it_is(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """Nobody knows then what readers follow."""
        runtime.store.delete([f"{SPEC.name}/head.json"])

        result = self.execute(runtime, instance)

        assert "head is lost" in unwrap(read_observation(result))["redis"]
        assert len(list_versions(runtime.redis, SPEC.name)) == 2

    def test_a_load_under_way_is_left_alone(
        self, make_runtime: MakeRuntime, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """It holds the sync's lease, and takes out by itself what dead runs left."""
        hurried = make_runtime(store=runtime.store, lease_seconds=0.2)
        with hold_lease(hurried.redis, SPEC.name, ttl_seconds=30, wait_seconds=0):
            result = self.execute(hurried, instance)

        assert result.success
        assert "Another run has been loading" in unwrap(read_observation(result))["redis"]

    def test_all_syncs_are_swept(self, runtime: Runtime, instance: dg.DagsterInstance) -> None:
        """Also one that never ran."""
        result = self.execute(runtime, instance, SPEC, OTHER, sync="all")

        assert result.success
        assert len(read_observations(result)) == 2


class TestWarm:
    """A landed version, made live by its name."""

    def execute(
        self, runtime: Runtime, instance: dg.DagsterInstance, version: str
    ) -> dg.ExecuteInProcessResult:
        job = warm.build_warm_job([SPEC])
        config = warm.build_warm_config(SPEC.name, version)["ops"][warm.OP]["config"]
        return run(job, config, op=warm.OP, runtime=runtime, instance=instance)

    def land(self, runtime: Runtime, instance: dg.DagsterInstance, day: str) -> str:
        assert run_job(
            SPEC, runtime, instance=instance, day=day, steps=[Step.EXTRACT, Step.MASKED]
        ).success
        current = find_current(runtime.store, SPEC.name, day)
        assert current is not None
        return current.version

    def test_landed_version_goes_live_where_no_source_is(
        self, make_runtime: MakeRuntime, instance: dg.DagsterInstance
    ) -> None:
        """One deployment lands, without Redis; the other one loads, without source and masking key."""
        store = MemoryStore()
        google = make_runtime(store=store, redis_url=None)
        aws = make_runtime(store=store, masking_key=None)
        del aws.__dict__["source"]
        version = self.land(google, instance, DAY)

        result = self.execute(aws, instance, version)

        shown = unwrap(read_observation(result))
        head = read_redis_head(aws.redis, SPEC.name)
        assert result.success
        assert head is not None
        assert head.version == shown["live_version"] == version
        assert (shown["outcome"], shown["rows_loaded"]) == ("live", 500)

    def test_earlier_version_is_not_loaded(
        self, runtime: Runtime, instance: dg.DagsterInstance
    ) -> None:
        """Readers never go back by themselves."""
        before = read_head(runtime)
        version = self.land(runtime, instance, "2024-01-03")

        result = self.execute(runtime, instance, version)

        assert result.success
        assert unwrap(read_observation(result))["outcome"] == "superseded"
        assert read_head(runtime) == before

    @pytest.mark.parametrize(
        ("version", "said"),
        [
            ("2024-01-05", "'2024-01-05' is not a version"),
            ("2024-01-05.01kxqt5w8b7g4m2t", "There is no committed manifest"),
        ],
    )
    def test_what_is_not_there_is_said(
        self, runtime: Runtime, instance: dg.DagsterInstance, version: str, said: str
    ) -> None:
        """A slip of the pen, and a version that was removed."""
        failed = read_failure(self.execute(runtime, instance, version))

        assert said in failed.text


def keys_of(runtime: Runtime, day: str) -> list[bytes]:
    """The names of the day's records in Redis."""
    with redis.Redis.from_url(runtime.redis_url) as client:
        return list(client.scan_iter(match=f"*{day}.*:*", count=1000))

"""A run that is cancelled in the middle of a step: it ends, and leaves nothing half-made."""

import itertools
import os
import signal
import threading
import uuid
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
import redis

from reverse_etl.cache.layout import lease_key, versions_key
from reverse_etl.components.factory import build_definitions
from reverse_etl.landing.documents import find_current, find_head, find_snapshot
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Snapshot, Split, Step
from reverse_etl.runtime import Runtime
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl.sources.duckdb import DuckDBSource
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.builders import NOW, QUERY, build_users
from reverse_etl_tests.components.conftest import MakeRuntime
from reverse_etl_tests.components.harness import (
    DAY,
    DAY_BEFORE,
    build_spec,
    complete,
    give,
    read_metadata,
    run_job,
)

pytestmark = pytest.mark.contract
#: At once, and often: a cancelled step that were retried would be seen.
RETRIES = dg.RetryPolicy(max_retries=3, delay=0)


class Terminator:
    """Does to a run what a run launcher's `terminate` does: the run is canceling, its process is told."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.run_id = str(uuid.uuid4())
        self.calls = 0

    def __call__(self) -> None:
        """Terminate, the first time."""
        self.calls += 1
        if self.calls > 1:
            return
        run = self.instance.get_run_by_id(self.run_id)
        assert run is not None
        self.instance.report_run_canceling(run)
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def terminate(instance: dg.DagsterInstance) -> Terminator:
    return Terminator(instance)


def run_cancelled(
    spec: SyncSpec,
    runtime: Runtime,
    terminate: Terminator,
    *,
    steps: Sequence[Step] = tuple(Step),
) -> list[str]:
    """Run the sync's job until it is terminated; the kinds of its events, once the run is CANCELED."""
    instance = terminate.instance
    job = complete(build_definitions(spec, retries=RETRIES), runtime=give(runtime))
    result = job.resolve_job_def(f"{spec.name}_daily").execute_in_process(
        partition_key=DAY,
        asset_selection=[dg.AssetKey([spec.name, step.value]) for step in steps],
        instance=instance,
        raise_on_error=False,
        run_id=terminate.run_id,
    )
    run = instance.get_run_by_id(terminate.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED
    return [event.event_type_value for event in result.all_events]


def list_versions(client: redis.Redis, spec: SyncSpec) -> list[str]:
    """The versions that Redis names, oldest first."""
    return sorted(name.decode() for name in client.hkeys(versions_key(spec.name)))  # type: ignore[union-attr]


def test_query_under_way_is_cancelled_in_bigquery(
    make_runtime: MakeRuntime,
    terminate: Terminator,
    bigquery_server: BigQueryServer,
    bigquery_options: BigQueryOptions,
) -> None:
    """Nobody pays for what nobody waits for; nor is the query begun again by a retry."""
    bigquery_server.now = NOW
    bigquery_server.create_table("shop.users", build_users(20))
    held = bigquery_server.faults.job(hold=True)
    bigquery_server.faults.rest(operation="jobs.get", action="pass", skip=2, before=terminate)
    runtime = make_runtime(source=BigQuerySource(bigquery_options))
    spec = build_spec()

    try:
        events = run_cancelled(spec, runtime, terminate)
    finally:
        runtime.close()

    (job,) = bigquery_server.jobs.values()
    assert job.done.wait(10)
    assert job.cancelled
    assert job.error is not None
    assert job.error.reason == "stopped"
    assert held.hits == 1
    assert "STEP_UP_FOR_RETRY" not in events
    assert find_snapshot(runtime.store, spec.name, DAY) is None


def test_query_under_way_ends_in_the_embedded_source(
    make_runtime: MakeRuntime, terminate: Terminator, tmp_path: Path
) -> None:
    """DuckDB turns the interruption into an error of its own; the run is cancelled all the same."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.users AS SELECT concat('u-', i) AS user_id, 'e' AS email, 'n' AS name, "
            "i AS points FROM range(3000) AS t(i)"
        )

    class Watched(DuckDBSource):
        def pin(self, request: object) -> Snapshot:
            terminating = threading.Timer(0.2, terminate)
            terminating.start()
            try:
                return super().pin(request)  # type: ignore[arg-type]
            finally:
                terminating.join()

    spec = build_spec()
    # For hours, if it were left alone.
    endless = "SELECT a.* FROM shop.users AS a, shop.users AS b, shop.users AS c, shop.users AS d"
    spec = SyncSpec(config=spec.config, query=endless)
    runtime = make_runtime(
        source=Watched(path, memory_limit_bytes=256 << 20, threads=1), memory_limit_mb=256
    )

    events = run_cancelled(spec, runtime, terminate)

    assert "STEP_UP_FOR_RETRY" not in events
    assert find_snapshot(runtime.store, spec.name, DAY) is None
    assert list((tmp_path / "warehouse.duckdb.snapshots").glob("*.building*")) == []


class CancellingSource(MemorySource):
    """Terminates the run when its rows are read."""

    def __init__(self, terminate: Callable[[], None]) -> None:
        super().__init__({QUERY: build_users(500)})
        self.terminate = terminate

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        self.terminate()
        yield from super().read(snapshot, split)


def test_masked_leaves_neither_manifest_nor_scratch(
    make_runtime: MakeRuntime, terminate: Terminator, tmp_path: Path
) -> None:
    """No version exists, no masked row lies on a disk; the next run needs nothing cleaned up."""
    spec = build_spec()
    runtime = make_runtime(source=CancellingSource(terminate))

    events = run_cancelled(spec, runtime, terminate)

    assert events.count("ASSET_MATERIALIZATION") == 1
    assert find_current(runtime.store, spec.name, DAY) is None
    assert not [it for it in runtime.store.list_objects("") if it.name.endswith("manifest.json")]
    assert list((tmp_path / "scratch").iterdir()) == []
    assert run_job(spec, runtime, instance=terminate.instance).success


class CancellingStore(MemoryStore):
    """Calls a hook whenever an object with records is written, or read."""

    def __init__(self) -> None:
        super().__init__()
        self.on_put: Callable[[], None] = lambda: None
        self.on_get: Callable[[], None] = lambda: None

    def put(self, name: str, body: bytes, *, metadata: object = None) -> str:
        if name.endswith(".gz"):
            self.on_put()
        return super().put(name, body, metadata=metadata)  # type: ignore[arg-type]

    def get(self, name: str) -> bytes:
        if name.endswith(".gz"):
            self.on_get()
        return super().get(name)


def test_landing_leaves_no_manifest(
    make_runtime: MakeRuntime, terminate: Terminator, tmp_path: Path
) -> None:
    """Objects that were written are no version; the sweep has them by the attempt's name."""
    store = CancellingStore()
    store.on_put = terminate
    spec, runtime = build_spec(), make_runtime(store=store, sweep_age_seconds=0)

    run_cancelled(spec, runtime, terminate)

    assert find_current(store, spec.name, DAY) is None
    assert not [it for it in store.list_objects("") if it.name.endswith("manifest.json")]
    assert list((tmp_path / "scratch").iterdir()) == []
    left = {it.name for it in store.list_objects("") if it.name.endswith(".gz")}
    assert run_job(spec, runtime, instance=terminate.instance).success
    assert not left & {it.name for it in store.list_objects("")}


def test_cache_leaves_heads_and_names_what_it_loaded(
    make_runtime: MakeRuntime, terminate: Terminator, tmp_path: Path, raw: redis.Redis
) -> None:
    """Readers stay with the day before; the lease is free; what lies in Redis is named, to be swept."""
    store = CancellingStore()
    spec, runtime = build_spec(), make_runtime(store=store)
    before = run_job(spec, runtime, instance=terminate.instance, day=DAY_BEFORE)
    live = read_metadata(before, spec, Step.CACHE)["version"]
    head = find_head(store, spec.name)
    run_job(spec, runtime, instance=terminate.instance, steps=[Step.EXTRACT, Step.MASKED])
    # The first is read to learn how large records are, before any is loaded.
    gets = itertools.count(1)
    store.on_get = lambda: terminate() if next(gets) > 1 else None

    events = run_cancelled(spec, runtime, terminate, steps=[Step.CACHE])

    store.on_get = lambda: None
    loading = find_current(store, spec.name, DAY)
    assert loading is not None
    assert "STEP_UP_FOR_RETRY" not in events
    now = find_head(store, spec.name)
    assert head is not None
    assert now is not None
    assert (now.generation, now.version) == (head.generation, live)
    assert now.retiring == (loading.version,)
    assert raw.get(lease_key(spec.name)) is None
    assert list_versions(raw, spec) == sorted([live, loading.version])
    assert list((tmp_path / "scratch").iterdir()) == []
    again = run_job(spec, runtime, instance=terminate.instance, steps=[Step.CACHE])
    assert read_metadata(again, spec, Step.CACHE)["live_version"] == loading.version
    assert list_versions(raw, spec) == sorted([live, loading.version])

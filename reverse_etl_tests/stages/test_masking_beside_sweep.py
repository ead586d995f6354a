"""`masked` on a store where calls are spent waiting: its reads go at once, its sweep beside the masking."""

import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reverse_etl import pipeline
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl.landing.documents import find_current
from reverse_etl.landing.layout import build_version, manifest_name
from reverse_etl.landing.manifest import is_tombstone
from reverse_etl.landing.sweep import announce_attempt
from reverse_etl.model import Landed, MaskedReceipt, Snapshot, Split
from reverse_etl.runtime import Runtime
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.builders import (
    DAY,
    NOW,
    QUERY,
    Clock,
    build_runtime,
    build_spec,
    build_users,
)
from reverse_etl_tests.landing.crowded import CrowdedStore

SPEC = build_spec(landing={"bucket_rows": 64})
PARTITION = SPEC.partition(DAY, now=NOW)


class HeldStore(CrowdedStore):
    """Its sweep is held until something happens in the run, then goes on or fails."""

    def __init__(self, until: str, *, error: ReverseEtlError | None = None) -> None:
        super().__init__()
        self._until = until
        self._error = error
        self.reached = threading.Event()
        self.happened = threading.Event()

    def note(self, call: str, name: str) -> None:
        super().note(call, name)
        if call == self._until and "/dt=" in name:
            self.happened.set()
        if call == "sweep_unfinished":
            self.reached.set()
            assert self.happened.wait(timeout=30)
            self.calls.append((threading.current_thread().name, "sweep went on", ""))
            if self._error is not None:
                raise self._error

    def stop(self) -> None:
        super().stop()
        self.happened.set()

    def list_calls(self) -> list[str]:
        return [call for _, call, _ in self.calls]


class FailingSource(MemorySource):
    """Raises when its rows are read, as soon as the sweep is under way."""

    def __init__(self, error: BaseException, sweep: threading.Event) -> None:
        super().__init__({QUERY: build_users(50)})
        self._error = error
        self._sweep = sweep

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        yield from super().read(snapshot, split)
        assert self._sweep.wait(timeout=30)
        raise self._error


def land(runtime: Runtime, *, run_id: str = "run-1") -> MaskedReceipt:
    partition = SPEC.partition(DAY, now=runtime.now())
    pipeline.extract(SPEC, partition, runtime, run_id=run_id)
    return pipeline.mask_and_land(SPEC, partition, runtime, run_id=run_id)


def are_threads_left() -> bool:
    return any(thread.name.startswith("errand") for thread in threading.enumerate())


def test_nothing_is_committed_before_the_sweep_has_ended(tmp_path: Path) -> None:
    """It may last as long as the masking, and no longer."""
    store = HeldStore("put")
    runtime = build_runtime(tmp_path, store=store)

    receipt = land(runtime)

    calls = store.list_calls()
    manifest = store.calls.index(
        ("MainThread", "put_if_absent", manifest_name(SPEC.name, receipt.manifest.version))
    )
    assert receipt.outcome is Landed.COMMITTED
    assert calls.index("put") < calls.index("sweep went on") < manifest
    assert not are_threads_left()


def test_sweep_that_fails_stops_the_commit(tmp_path: Path) -> None:
    """Its error is the run's, located as any; nothing is committed, though everything was landed."""
    store = HeldStore("put", error=ConfigError("The sweep may not list uploads."))
    runtime = build_runtime(tmp_path, store=store)

    with pytest.raises(ConfigError, match="may not list uploads") as raised:
        land(runtime)

    assert (raised.value.sync, raised.value.partition) == (SPEC.name, DAY)
    assert raised.value.step is not None
    assert not any(name.endswith("manifest.json") for _, _, name in store.calls)
    assert find_current(store, SPEC.name, DAY) is None
    assert not are_threads_left()


@pytest.mark.parametrize("kind", [TransientError, KeyboardInterrupt], ids=["failed", "cancelled"])
def test_run_that_fails_takes_its_sweep_along(tmp_path: Path, kind: type[BaseException]) -> None:
    """The sweep makes no further call, its thread has ended, and the run's own error is raised."""
    store = HeldStore("nothing ever")
    source = FailingSource(kind("The run was over."), store.reached)
    runtime = build_runtime(tmp_path, store=store, source=source)

    with pytest.raises(kind, match="The run was over"):
        land(runtime)

    assert store.stops >= 1
    assert store.list_calls()[-1] == "sweep went on"
    assert not are_threads_left()


def test_dead_commit_is_finished_before_anything_else(tmp_path: Path) -> None:
    """A version whose run died before current.json is found to be the day's, not landed again."""
    store = CrowdedStore()
    runtime = build_runtime(tmp_path, store=store, clock=Clock(), sweep_age_seconds=0.0)
    done = land(runtime)
    store.delete([f"{SPEC.name}/dt={DAY}/current.json"])
    announce_attempt(store, SPEC.name, done.manifest.version)

    found = pipeline.mask_and_land(SPEC, PARTITION, runtime, run_id="run-2")

    assert (done.outcome, found.outcome) == (Landed.COMMITTED, Landed.UNCHANGED)
    assert found.manifest == done.manifest


def test_dead_attempt_is_buried_and_counted(tmp_path: Path) -> None:
    """The receipt says what was swept; a run's own attempt is never too old for it."""
    store, clock = CrowdedStore(), Clock()
    runtime = build_runtime(tmp_path, store=store, clock=clock, sweep_age_seconds=0.0)
    dead = build_version(DAY, clock())
    announce_attempt(store, SPEC.name, dead)
    store.put(f"{SPEC.name}/dt={DAY}/{dead}/00000.jsonl.gz", b"half")

    receipt = land(runtime)

    assert (receipt.outcome, receipt.swept) == (Landed.COMMITTED, 1)
    assert is_tombstone(store.get(manifest_name(SPEC.name, dead)))


def test_same_snapshot_again_changes_nothing(tmp_path: Path) -> None:
    """What was committed is found, whole, and its earlier day is told as ever."""
    store = CrowdedStore()
    runtime = build_runtime(tmp_path, store=store)
    first = land(runtime)

    again = pipeline.mask_and_land(SPEC, PARTITION, runtime, run_id="run-2")

    assert again.outcome is Landed.UNCHANGED
    assert (again.manifest, again.swept) == (first.manifest, 0)


class AwayStore(CrowdedStore):
    """Fails one kind of call, and counts on nobody to make it early."""

    def __init__(self, fails: Callable[[str, str], bool]) -> None:
        super().__init__()
        self._fails = fails

    def note(self, call: str, name: str) -> None:
        super().note(call, name)
        if self._fails(call, name):
            raise TransientError(f"{call} of {name} failed.")


@pytest.mark.parametrize("call", ["list_objects", "list_folders", "get"])
def test_first_error_is_the_one_of_the_first_step(tmp_path: Path, call: str) -> None:
    """Whatever else fails at the same time: without a snapshot that is said, and nothing is swept."""
    store = AwayStore(lambda made, name: made == call and "snapshot" not in name)
    runtime = build_runtime(tmp_path, store=store)

    with pytest.raises(ConfigError, match="Nothing is pinned"):
        pipeline.mask_and_land(SPEC, PARTITION, runtime, run_id="run-1")

    assert "sweep_unfinished" not in [made for _, made, _ in store.calls]
    assert not are_threads_left()


@pytest.mark.parametrize("place", ["attempts/", "current.json", "head.json"])
def test_error_of_what_is_read_early_is_raised(tmp_path: Path, place: str) -> None:
    """Each read that was begun early stops the run when it failed, before a row is read."""
    is_away: list[Any] = []
    store = AwayStore(lambda made, name: bool(is_away) and place in name and made != "put")
    runtime = build_runtime(tmp_path, store=store)
    pipeline.extract(SPEC, PARTITION, runtime, run_id="run-1")
    is_away.append(True)

    with pytest.raises(TransientError, match=f"{place}.* failed") as raised:
        pipeline.mask_and_land(SPEC, PARTITION, runtime, run_id="run-1")

    assert raised.value.sync == SPEC.name
    assert not any(made == "put" and "/dt=" in name for _, made, name in store.calls)

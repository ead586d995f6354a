"""Backfills through Dagster's own daemon: heads only go forward, and what was stopped is resumed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from reverse_etl import pipeline
from reverse_etl.landing.documents import find_current, find_head
from reverse_etl.landing.manifest import decode_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.runtime import Runtime
from reverse_etl_tests.builders import build_runtime
from reverse_etl_tests.jobs import location
from reverse_etl_tests.jobs.daemons import EXECUTING, Daemons, open_daemons

pytestmark = pytest.mark.e2e

SPEC = location.SPECS[0]
DAYS = ("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")


class NotingStore(MemoryStore):
    """Remembers every head that was ever written."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[tuple[int, str]] = []

    def put_if_absent(self, name: str, body: bytes) -> str:
        return self._note(name, body, super().put_if_absent(name, body))

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        return self._note(name, body, super().put_if_match(name, body, etag=etag))

    def _note(self, name: str, body: bytes, etag: str) -> str:
        if name.endswith("/head.json"):
            head = decode_head(body)
            self.heads.append((head.generation, head.partition))
        return etag


@pytest.fixture
def store() -> NotingStore:
    return NotingStore()


@pytest.fixture
def runtime(tmp_path: Path, redis_url: str, store: NotingStore) -> Iterator[Runtime]:
    """What the runs of the code location work with."""
    made = build_runtime(tmp_path, store=store, redis_url=redis_url)
    location.GIVEN.append(made)
    yield made
    location.GIVEN.remove(made)
    made.close()


@pytest.fixture
def daemons(tmp_path: Path, runtime: Runtime) -> Iterator[Daemons]:
    """One run at a time, each carried out where it leaves the queue."""
    assert runtime
    concurrency = {"runs": {"max_concurrent_runs": 1}}
    with open_daemons(tmp_path / "instance", launcher=EXECUTING, concurrency=concurrency) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()


def publish(runtime: Runtime, day: str) -> None:
    pipeline.run_sync(SPEC, SPEC.partition(day, now=runtime.now()), runtime, run_id=f"by-{day}")


def drain(daemons: Daemons) -> list[str]:
    """Let all that is queued run; the days in the order in which they ran, all of them well."""
    days = []
    while started := daemons.dequeue():
        for run in started:
            ended = daemons.instance.get_run_by_id(run.run_id)
            assert ended is not None
            assert ended.status is dg.DagsterRunStatus.SUCCESS
            tags = run.tags
            day = tags.get("dagster/partition") or tags["dagster/asset_partition_range_start"]
            days.append(day)
    return days


def read_outcomes(daemons: Daemons) -> dict[str, str]:
    """How the last `cache` of each day ended."""
    key = dg.AssetKey([SPEC.name, "cache"])
    records = daemons.instance.fetch_materializations(key, limit=100, ascending=True).records
    return {
        str(record.partition_key): str(record.asset_materialization.metadata["outcome"].value)
        for record in records
        if record.asset_materialization is not None
    }


def list_versions(store: NotingStore) -> dict[str, str]:
    """The committed version of each day that has one."""
    found = {day: find_current(store, SPEC.name, day) for day in DAYS}
    return {day: current.version for day, current in found.items() if current is not None}


Launch = Callable[[Daemons, tuple[str, ...]], str]


def launch_from_job(daemons: Daemons, days: tuple[str, ...]) -> str:
    return daemons.launch_from_job(f"{SPEC.name}_daily", days)


def launch_from_assets(daemons: Daemons, days: tuple[str, ...]) -> str:
    return daemons.launch_from_assets(SPEC.name, days)


@pytest.mark.parametrize(
    ("launch", "order"),
    [
        (launch_from_job, ["2024-01-05", "2024-01-03", "2024-01-02"]),
        (launch_from_assets, ["2024-01-02", "2024-01-03", "2024-01-05"]),
    ],
    ids=["job", "assets"],
)
def test_backfill_never_moves_readers_back(
    daemons: Daemons, runtime: Runtime, store: NotingStore, launch: Launch, order: list[str]
) -> None:
    """Days before and after the live one, in either order: each lands, and the newest alone goes live."""
    publish(runtime, "2024-01-04")

    launch(daemons, ("2024-01-03", "2024-01-05", "2024-01-02"))
    daemons.backfill()
    days = drain(daemons)

    assert days == order
    assert store.heads == sorted(store.heads)
    assert store.heads[-1][1] == "2024-01-05"
    assert sorted(list_versions(store)) == sorted(DAYS)
    assert read_outcomes(daemons) == {
        "2024-01-02": "superseded",
        "2024-01-03": "superseded",
        "2024-01-05": "live",
    }


@pytest.mark.parametrize("launch", [launch_from_job, launch_from_assets], ids=["job", "assets"])
def test_backfill_that_was_stopped_is_resumed_with_what_is_missing(
    daemons: Daemons, store: NotingStore, launch: Launch
) -> None:
    """Cancelled after one day, nothing more runs; launched again, the days that are done stay as they are."""
    backfill = launch(daemons, DAYS[:3])
    daemons.backfill()
    (first,) = daemons.dequeue()
    daemons.cancel(backfill)
    for _ in range(2):  # the runs, and then the backfill
        daemons.backfill()
    assert drain(daemons) == []
    done = list_versions(store)
    assert len(done) == 1

    if launch is launch_from_assets:
        daemons.retry(backfill)  # the button of the backfill's page
    else:
        launch(daemons, tuple(sorted(set(DAYS[:3]) - set(done))))  # what the job's page offers
    daemons.backfill()
    days = drain(daemons)

    assert first
    assert sorted([*days, *done]) == list(DAYS[:3])
    assert list_versions(store).items() >= done.items()
    head = find_head(store, SPEC.name)
    assert head is not None
    assert head.partition == "2024-01-04"

"""A backfill of an old day beside the sweep of old days: what is landed or published now stays."""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reverse_etl import pipeline
from reverse_etl.cache.announce import announce_version
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import write_store_head
from reverse_etl.cache.publish import build_head
from reverse_etl.errors import NotFoundError, TerminalError
from reverse_etl.landing.documents import find_head, find_snapshot, read_manifest, record_snapshot
from reverse_etl.landing.layout import snapshot_name
from reverse_etl.landing.manifest import encode_snapshot
from reverse_etl.landing.retention import Retention, sweep_old_days
from reverse_etl.landing.store import ObjectStore
from reverse_etl.landing.sweep import sweep_attempts
from reverse_etl.model import Snapshot
from reverse_etl_tests.builders import DAY, NOW
from reverse_etl_tests.landing.golden_values import SNAPSHOT
from reverse_etl_tests.landing.races.scenes import (
    LATER,
    SPEC,
    SYNC,
    LandedVersion,
    Places,
    Watch,
    choose_by_chance,
    find_commit,
    find_current_version,
    is_whole,
    land_slowly,
    list_bodies,
    open_runtime,
    settle,
)
from reverse_etl_tests.landing.races.turns import Choose, StoreInTurns, Turns, explore

OLD_DAY = "2026-11-02"
LONG_AGO = NOW - dt.timedelta(days=12)
RETENTION = Retention(days=5, versions=1)
SWITCHES = {"memory": 1, "directory": 1}
SEEDS = {"memory": 40, "directory": 6, "s3": 3}


def pin(moment: dt.datetime) -> Snapshot:
    """What a run of the old day pinned then, for a day."""
    return replace(
        SNAPSHOT,
        sync=SYNC,
        partition=OLD_DAY,
        snapshot_id=f"pinned-{moment.isoformat()}",
        pinned_at=moment,
        expires_at=moment + dt.timedelta(days=1),
    )


def sweep_days(store: Any) -> int:
    """What another day's run sweeps."""
    return sweep_old_days(store, SYNC, retention=RETENTION, spare=DAY, now=LATER)


def sweep_runs(store: Any) -> int:
    """What another run sweeps of attempts; the backfill is too young for it."""
    return sweep_attempts(store, SYNC, older_than=dt.timedelta(hours=6), now=LATER)


def flip_head(store: ObjectStore, version: str) -> bool:
    """Make a version live, as the cache step does it in the store; whether it still could be."""
    with suppress(NotFoundError):
        manifest = read_manifest(store, SYNC, version)
        head = build_head(manifest, previous=None, kept=(), now=LATER)
        write_store_head(store, SYNC, head, etag=None)
        return True
    return False


def settle_days(store: ObjectStore, landed: LandedVersion) -> str:
    """A recent day, and one beyond the retention; the version of the latter."""
    old = landed.again(begun=LONG_AGO, day=OLD_DAY)
    settle(store, landed.again(begun=NOW), is_current=True)
    settle(store, old, is_current=True)
    store.put(snapshot_name(SYNC, OLD_DAY), encode_snapshot(pin(LONG_AGO)))
    return old.manifest.version


def backfill(
    places: Places,
    landed: LandedVersion,
    folder: Path,
    choose: Choose,
    *,
    others: tuple[Callable[[Any], object], ...],
    breaches: set[str],
) -> Turns:
    """One order of: the old day is pinned, landed and published anew, while others sweep.

    What of the day's documents is not as the run left it is noted in `breaches`.
    """
    store = places.open()
    old = settle_days(store, landed)
    coming = landed.again(begun=NOW, day=OLD_DAY)
    turns = Turns(choose, Watch(places.view(store), coming.manifest.version))
    own: Any = StoreInTurns(store, turns, "run")
    runtime = open_runtime(folder, own)

    def run() -> bool:
        record_snapshot(own, pin(NOW), is_readable=lambda _: True)
        land_slowly(runtime, coming)
        return flip_head(own, coming.manifest.version)

    actors: dict[str, Callable[[], object]] = {"run": run}
    for number, other in enumerate(others):
        name = f"sweep-{number}"
        actors[name] = lambda name=name, other=other: other(StoreInTurns(store, turns, name))  # type: ignore[misc]

    outcomes = turns.run(actors)

    assert all(outcome.error is None for outcome in outcomes.values()), outcomes
    assert outcomes["run"].value is True
    assert is_whole(store, coming.manifest.version)
    if find_current_version(store, OLD_DAY) != coming.manifest.version:
        breaches.add("current")
    if find_snapshot(store, SYNC, OLD_DAY) != pin(NOW):
        breaches.add("snapshot")
    # What another order left for later goes the next time.
    sweep_days(store)
    assert find_commit(store, old) is None
    assert list_bodies(store, old) == set()
    assert is_whole(store, coming.manifest.version)
    return turns


@pytest.mark.chaos
@pytest.mark.parametrize("places", ["memory", "directory"], indirect=True)
def test_backfill_survives_every_order(
    places: Places, landed: LandedVersion, tmp_path: Path
) -> None:
    """What is landed anew is whole and published; what was there for long goes."""
    played = explore(
        lambda choose: backfill(
            places, landed, tmp_path, choose, others=(sweep_days,), breaches=set()
        ),
        switches=SWITCHES[places.kind],
    )

    assert played >= 10


@pytest.mark.chaos
def test_backfill_survives_all_sweeps(
    places: Places, landed: LandedVersion, tmp_path: Path
) -> None:
    """The same by chance, beside two runs that sweep days and one that sweeps attempts."""
    others = (sweep_days, sweep_days, sweep_runs)
    for seed in range(SEEDS[places.kind]):
        choose = choose_by_chance(seed)
        backfill(places, landed, tmp_path, choose, others=others, breaches=set())


@pytest.mark.chaos
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            name,
        )
        for name in ("current", "snapshot")
    ],
)
def test_backfill_stays_the_days(landed: LandedVersion, tmp_path: Path, document: str) -> None:
    """What the backfill wrote down for its day is not removed for what stood there before."""
    places = Places("memory", tmp_path)
    breaches: set[str] = set()

    explore(
        lambda choose: backfill(
            places, landed, tmp_path, choose, others=(sweep_days,), breaches=breaches
        ),
        switches=1,
    )

    assert document not in breaches


def sweep_beside(
    places: Places,
    landed: LandedVersion,
    choose: Choose,
    *,
    other: Callable[[Any, str], object],
    judge: Callable[[ObjectStore, str, object], None],
) -> Turns:
    """One order of the sweep of the old day beside something else that is done with its version."""
    store = places.open()
    old = settle_days(store, landed)
    turns = Turns(choose)
    outcomes = turns.run(
        {
            "other": lambda: other(StoreInTurns(store, turns, "other"), old),
            "sweep": lambda: sweep_days(StoreInTurns(store, turns, "sweep")),
        }
    )

    assert all(outcome.error is None for outcome in outcomes.values())
    judge(store, old, outcomes["other"].value)
    return turns


@pytest.mark.chaos
def test_published_version_is_not_swept(
    landed: LandedVersion, tmp_path: Path, redis_url: str
) -> None:
    """A version of long ago that goes live while old days are swept is whole for its readers.

    It is named before it is loaded, and looked for after that; the sweep does both the other way round.
    """
    places = Places("memory", tmp_path)

    def load_and_flip(store: ObjectStore, version: str) -> bool:
        with suppress(NotFoundError, TerminalError):
            manifest = read_manifest(store, SYNC, version)
            announce_version(store, target, manifest, now=LATER)
            return flip_head(store, version)
        return False

    def judge(store: ObjectStore, old: str, is_live: object) -> None:
        if is_live:
            head = find_head(store, SYNC)
            assert head is not None
            assert head.version == old
            assert is_whole(store, old)

    with RedisTarget(redis_url) as target:
        explore(
            lambda choose: sweep_beside(places, landed, choose, other=load_and_flip, judge=judge),
            switches=1,
        )


@pytest.mark.chaos
def test_sweep_of_attempts_brings_no_day_back(landed: LandedVersion, tmp_path: Path) -> None:
    """While a day goes, another run's sweep takes what goes for an unfinished commit, and lets it go."""
    places = Places("memory", tmp_path)

    def judge(store: ObjectStore, old: str, _: object) -> None:
        sweep_runs(store)
        sweep_days(store)
        assert find_commit(store, old) is None
        assert list_bodies(store, old) == set()

    explore(
        lambda choose: sweep_beside(
            places, landed, choose, other=lambda store, _: sweep_runs(store), judge=judge
        ),
        switches=1,
    )


@pytest.mark.chaos
@pytest.mark.parametrize("places", ["directory", "s3"], indirect=True)
def test_pipeline_backfills_beside_the_sweep(
    places: Places, landed: LandedVersion, tmp_path: Path, redis_url: str
) -> None:
    """All three steps of the old day, by chance: what readers see of it is whole."""
    store = places.open()
    settle_days(store, landed)
    turns = Turns(choose_by_chance(1))
    own = StoreInTurns(store, turns, "run", at_once=True)
    runtime = open_runtime(tmp_path, own, redis_url=redis_url)
    partition = SPEC.partition(OLD_DAY, now=NOW)

    outcomes = turns.run(
        {
            "run": lambda: pipeline.run_sync(SPEC, partition, runtime, run_id="run-1"),
            "sweep": lambda: sweep_days(StoreInTurns(store, turns, "sweep")),
        }
    )

    assert outcomes["run"].error is None
    head = find_head(store, SYNC)
    assert head is not None
    assert head.version == find_current_version(store, OLD_DAY)
    assert is_whole(store, head.version)

"""A day landed anew beside the sweep of what was replaced: nothing that stands, or is to stand, goes."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.landing.store import ObjectStore
from reverse_etl.landing.sweep import sweep_attempts, sweep_replaced
from reverse_etl_tests.builders import DAY, NOW
from reverse_etl_tests.landing.races.scenes import (
    LATER,
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

SWITCHES = {"memory": 1, "directory": 1, "s3": 1}
SEEDS = {"memory": 20, "directory": 6, "s3": 3}


def sweep_day(store: ObjectStore, *, keep_days: int) -> int:
    """The sweep of the day's replaced versions."""
    return sweep_replaced(store, SYNC, DAY, keep_days=keep_days, now=LATER)


def play(
    places: Places,
    landed: LandedVersion,
    folder: Path,
    choose: Choose,
    *,
    keep_days: int,
    others: tuple[Callable[[Any], object], ...] = (),
) -> Turns:
    """One order of: the day lands anew; its version of long ago, once replaced, is swept."""
    store = places.open()
    replaced = landed.again(begun=NOW - dt.timedelta(days=40))
    standing = landed.again(begun=NOW - dt.timedelta(days=30))
    coming = landed.again(begun=NOW)
    settle(store, replaced, is_current=False)
    settle(store, standing, is_current=True)
    watched = [Watch(places.view(store), coming.manifest.version)]
    if keep_days:
        watched.append(Watch(places.view(store), standing.manifest.version))
    turns = Turns(choose, lambda done: [watch(done) for watch in watched] and None)
    runtime = open_runtime(folder, StoreInTurns(store, turns, "run"))
    actors: dict[str, Callable[[], object]] = {
        "run": lambda: land_slowly(runtime, coming),
        "sweep": lambda: sweep_day(StoreInTurns(store, turns, "sweep"), keep_days=keep_days),  # type: ignore[arg-type]
    }
    for number, other in enumerate(others):
        name = f"other-{number}"
        actors[name] = lambda name=name, other=other: other(StoreInTurns(store, turns, name))  # type: ignore[misc]

    outcomes = turns.run(actors)

    assert all(outcome.error is None for outcome in outcomes.values())
    assert find_current_version(store, DAY) == coming.manifest.version
    assert is_whole(store, coming.manifest.version)
    # The days count from the last commit of the day: what was replaced before goes with it.
    next_week = LATER + dt.timedelta(days=8)
    sweep_attempts(store, SYNC, older_than=dt.timedelta(hours=6), now=next_week)
    sweep_replaced(store, SYNC, DAY, keep_days=keep_days, now=next_week)
    assert find_commit(store, replaced.manifest.version) is None
    assert list_bodies(store, replaced.manifest.version) == set()
    assert is_whole(store, coming.manifest.version)
    return turns


@pytest.mark.chaos
def test_what_stands_survives_every_order(
    places: Places, landed: LandedVersion, tmp_path: Path
) -> None:
    """The version that stood a moment ago and the one that comes stay whole; the one before them goes."""
    played = explore(
        lambda choose: play(places, landed, tmp_path, choose, keep_days=7),
        switches=SWITCHES[places.kind],
    )

    assert played >= 10


@pytest.mark.chaos
@pytest.mark.xfail(
    strict=True,
    reason="Between its manifest and current.json a commit looks replaced, if keep_days is 0.",
)
def test_keeping_no_day_spares_what_comes(landed: LandedVersion, tmp_path: Path) -> None:
    """Even if replaced versions go at once: one just committed is not taken for replaced."""
    places = Places("memory", tmp_path)

    explore(lambda choose: play(places, landed, tmp_path, choose, keep_days=0), switches=1)


@pytest.mark.chaos
def test_sweeps_of_three_runs_do_not_meet(
    places: Places, landed: LandedVersion, tmp_path: Path
) -> None:
    """By chance, with a second sweep of replaced versions and one of attempts beside."""
    others = (
        lambda store: sweep_day(store, keep_days=7),
        lambda store: sweep_attempts(store, SYNC, older_than=dt.timedelta(hours=6), now=LATER),
    )
    for seed in range(SEEDS[places.kind]):
        choose = choose_by_chance(seed)
        play(places, landed, tmp_path, choose, keep_days=7, others=others)

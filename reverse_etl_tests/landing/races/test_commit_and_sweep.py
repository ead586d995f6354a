"""A slow commit beside the sweep of attempts: exactly one of them wins, in every order of their calls."""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reverse_etl import pipeline
from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.landing.errands import Errand, Errands
from reverse_etl.landing.layout import MANIFEST, current_name
from reverse_etl.landing.store import ObjectStore
from reverse_etl.stages import masking
from reverse_etl_tests.landing.races.scenes import (
    LATER,
    PARTITION,
    SPEC,
    LandedVersion,
    Places,
    Watch,
    check_one_won,
    choose_by_chance,
    choose_first,
    find_commit,
    is_whole,
    land_slowly,
    list_bodies,
    open_runtime,
    sweep,
)
from reverse_etl_tests.landing.races.turns import Choose, Outcome, StoreInTurns, Turns, explore

# Each order on S3 costs as much as ten in a directory.
SWITCHES = {"memory": 2, "directory": 1, "s3": 1}
SEEDS = {"memory": 40, "directory": 12, "s3": 8}


def is_commit(call: str) -> bool:
    """Whether the call writes what lies in the manifest's place."""
    return call.startswith("put_if_absent") and call.endswith(MANIFEST)


def play(
    places: Places, landed: LandedVersion, folder: Path, choose: Choose, *, sweeps: int = 1
) -> tuple[Turns, str]:
    """One order of a run's landing and so many sweeps beside it; its calls, and who won."""
    store = places.open()
    turns = Turns(choose, Watch(places.view(store), landed.manifest.version))
    runtime = open_runtime(folder, StoreInTurns(store, turns, "run"))
    actors: dict[str, Callable[[], object]] = {"run": lambda: land_slowly(runtime, landed)}
    for number in range(sweeps):
        own = StoreInTurns(store, turns, f"sweep-{number}")
        actors[f"sweep-{number}"] = lambda own=own: sweep(own)  # type: ignore[misc]
    return turns, judge(store, landed, turns.run(actors))


def judge(store: ObjectStore, landed: LandedVersion, outcomes: dict[str, Outcome]) -> str:
    """Who won, after all that must hold was found to hold."""
    run = outcomes.pop("run")
    assert all(outcome.error is None for outcome in outcomes.values())
    assert run.error is None or isinstance(run.error, (TransientError, IntegrityError))
    winner = check_one_won(store, landed, run.error)
    if winner == "committed":
        assert [outcome.value for outcome in outcomes.values()] == [0] * len(outcomes)
    return winner


@pytest.mark.chaos
def test_one_wins_in_every_order(places: Places, landed: LandedVersion, tmp_path: Path) -> None:
    """All orders up to a number of switches: commit or tombstone, and no object lost before either."""
    winners: Counter[str] = Counter()

    def act(choose: Choose) -> Turns:
        turns, winner = play(places, landed, tmp_path, choose)
        winners[winner] += 1
        return turns

    played = explore(act, switches=SWITCHES[places.kind])

    assert set(winners) == {"committed", "buried"}
    assert winners.total() == played >= 10


@pytest.mark.chaos
def test_one_wins_among_two_sweeps(places: Places, landed: LandedVersion, tmp_path: Path) -> None:
    """The same by chance, with the sweeps of two runs beside the commit of a third."""
    winners: Counter[str] = Counter()
    for seed in range(SEEDS[places.kind]):
        choose = choose_by_chance(seed)
        _, winner = play(places, landed, tmp_path, choose, sweeps=2)
        winners[winner] += 1

    assert set(winners) == {"committed", "buried"}


class EarlyErrands(Errands):
    """Makes each call when it is begun: the earliest that a thread could come to make it."""

    def begin(self, call: Callable[[], Any]) -> Errand[Any]:
        errand = super().begin(call)
        errand()
        return errand


@pytest.mark.chaos
def test_one_wins_when_current_was_looked_at_early(
    places: Places, landed: LandedVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All orders again, with what stands read before the manifest is written: nobody's write is lost."""
    monkeypatch.setattr(masking, "Errands", EarlyErrands)
    winners: Counter[str] = Counter()

    def act(choose: Choose) -> Turns:
        turns, winner = play(places, landed, tmp_path, choose)
        calls = [pending[actor] for actor, pending in turns.trace if actor == "run"]
        current = current_name(SPEC.name, PARTITION.key)
        before = [calls[place - 1] for place, call in enumerate(calls) if is_commit(call)]
        assert set(before) <= {f"get_with_etag {current}"}
        winners[winner] += 1
        return turns

    explore(act, switches=SWITCHES[places.kind])

    assert set(winners) == {"committed", "buried"}


def run_pipeline(
    store: ObjectStore, folder: Path, choose: Choose, *, at_once: bool = False
) -> tuple[dict[str, Outcome], list[str]]:
    """The pipeline's own `masked` beside a sweep; how they ended, and the attempts that were begun."""
    turns = Turns(choose)
    runtime = open_runtime(folder, store)
    pipeline.extract(SPEC, PARTITION, runtime, run_id="run-1")
    runtime.__dict__["store"] = StoreInTurns(store, turns, "run", at_once=at_once)
    own = StoreInTurns(store, turns, "sweep")

    def keep_sweeping() -> int:
        # Once may be before the attempt begins.
        return sum(sweep(own) for _ in range(3))

    outcomes = turns.run(
        {
            "run": lambda: pipeline.mask_and_land(SPEC, PARTITION, runtime, run_id="run-1"),
            "sweep": keep_sweeping,
        }
    )
    return outcomes, store.list_folders(f"{SPEC.name}/dt={PARTITION.key}/")


ORDERS = {
    "commit-waits-for-tombstone": (
        ("run", is_commit),
        ("sweep", lambda call: call.startswith("list_objects shop_users/dt=")),
    ),
    "commit-waits-for-whole-sweep": (("run", is_commit), ("sweep", lambda _: False)),
    "tombstone-waits-for-commit": (
        ("run", lambda call: "/attempts/" not in call and not call.startswith("put ")),
        ("run", is_commit),
        ("sweep", is_commit),
        ("run", lambda call: "current.json" in call and call.startswith("get_with_etag")),
    ),
    "tombstone-waits-for-whole-run": (
        ("run", is_commit),
        ("sweep", is_commit),
        ("run", lambda _: False),
    ),
    "commit-then-sweep-then-current": (
        ("run", lambda call: call.startswith("put_if_absent") and "current" in call),
        ("sweep", lambda _: False),
    ),
}
WINNERS = {
    name: "run" if "tombstone-waits" in name or "then" in name else "sweep" for name in ORDERS
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("places", ["directory", "s3"], indirect=True)
def test_pipeline_wins_or_is_told(places: Places, tmp_path: Path, order: str) -> None:
    """The whole step, its commit held at the tombstone's either side: committed whole, or swept and told."""
    store = places.open()
    outcomes, versions = run_pipeline(store, tmp_path, choose_first(*ORDERS[order]))

    (version,) = versions
    assert outcomes["sweep"].error is None
    if WINNERS[order] == "run":
        assert outcomes["run"].error is None
        assert outcomes["run"].value.manifest.version == version
        assert is_whole(store, version)
        assert outcomes["sweep"].value == 0
    else:
        assert isinstance(outcomes["run"].error, TransientError)
        assert "was swept before it could commit" in str(outcomes["run"].error)
        assert find_commit(store, version) is None
        assert list_bodies(store, version) == set()
        assert outcomes["sweep"].value == 1


@pytest.mark.chaos
@pytest.mark.parametrize("places", ["directory", "s3"], indirect=True)
def test_pipeline_by_chance_leaves_no_half_version(places: Places, tmp_path: Path) -> None:
    """Its own threads and all: a version is committed whole, or nothing of it stays after a sweep."""
    for seed in range(4):
        store = places.open()
        choose = choose_by_chance(seed)
        outcomes, versions = run_pipeline(store, tmp_path, choose, at_once=True)

        (version,) = versions
        if outcomes["run"].error is None:
            assert is_whole(store, version), f"seed {seed}"
        else:
            sweep(store)
            assert list_bodies(store, version) == set(), f"seed {seed}"
            assert find_commit(store, version) is None, f"seed {seed}"


def test_late_tombstone_stays_as_long_as_any(landed: LandedVersion, tmp_path: Path) -> None:
    """A run that stood still for eight days finds the tombstone, not an empty place to commit to."""
    store = Places("memory", tmp_path).open()
    turns = Turns(
        choose_first(("run", is_commit), ("sweep", lambda _: False)),
    )
    runtime = open_runtime(tmp_path, StoreInTurns(store, turns, "run"))
    own = StoreInTurns(store, turns, "sweep")

    outcomes = turns.run(
        {
            "run": lambda: land_slowly(runtime, landed),
            "sweep": lambda: sweep(own, now=LATER + dt.timedelta(days=8)),
        }
    )

    assert outcomes["sweep"].value == 1
    assert isinstance(outcomes["run"].error, TransientError)

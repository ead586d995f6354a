"""The job `rollback` through Dagster itself: what it asks for, does, shows and refuses."""

import dataclasses
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
import redis

from reverse_etl.components.rollback import JOB, build_rollback_job
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Step
from reverse_etl.runtime import Runtime
from reverse_etl_tests.components.conftest import MakeRuntime
from reverse_etl_tests.components.harness import (
    DAY,
    DAY_BEFORE,
    build_spec,
    give,
    read_failure,
    read_log,
    run_job,
)

SPEC = build_spec()

RollBack = Callable[..., dg.ExecuteInProcessResult]


@dataclasses.dataclass(frozen=True)
class Seed:
    """What two published days left in both stores: made once, put back for each test."""

    objects: dict[str, bytes]
    cached: dict[bytes, Any]


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    """The seed, once there is one."""
    return []


@pytest.fixture
def runtime(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance, redis_url: str, seeds: list[Seed]
) -> Runtime:
    """Two days are published."""
    store = MemoryStore()
    made = make_runtime(store=store)
    with redis.Redis.from_url(redis_url) as client:
        if not seeds:
            for day in (DAY_BEFORE, DAY):
                assert run_job(SPEC, made, instance=instance, day=day).success
            cached: dict[bytes, Any] = {key: client.dump(key) for key in client.scan_iter()}
            seeds.append(Seed(objects=dict(store._objects), cached=cached))
            return made
        store._objects |= seeds[0].objects
        for key, value in seeds[0].cached.items():
            client.restore(key, 0, value)
    return made


@pytest.fixture
def roll_back(runtime: Runtime, instance: dg.DagsterInstance) -> RollBack:
    """Runs the job as the UI would, with this configuration."""

    def execute(**config: Any) -> dg.ExecuteInProcessResult:
        definitions = dg.Definitions(
            jobs=[build_rollback_job([SPEC])], resources={"runtime": give(runtime)}
        )
        return definitions.resolve_job_def(JOB).execute_in_process(
            run_config={"ops": {"roll_back": {"config": {"sync": SPEC.name, **config}}}},
            instance=instance,
            raise_on_error=False,
        )

    return execute


def read_observation(result: dg.ExecuteInProcessResult) -> dg.AssetObservation:
    (event,) = [event for event in result.all_events if event.is_asset_observation]
    return event.asset_observation_data.asset_observation


def test_job_rolls_back_and_shows_which_version_is_live(
    roll_back: RollBack, runtime: Runtime
) -> None:
    """The day before is live, and `<sync>/cache` says so in the asset's own history."""
    left = find_head(runtime.store, SPEC.name)
    assert left is not None

    result = roll_back()

    head = find_head(runtime.store, SPEC.name)
    observation = read_observation(result)
    shown = {name: value.value for name, value in observation.metadata.items()}
    assert result.success
    assert head is not None
    assert head.partition == observation.partition == DAY_BEFORE
    assert observation.asset_key == dg.AssetKey([SPEC.name, Step.CACHE])
    assert shown["live_version"] == head.version
    assert shown["left_version"] == left.version
    assert shown["left_is_blocked"] is True
    assert shown["removed_users_visible_again"] is True
    assert shown["generation"] == head.generation


def test_job_takes_a_version_and_leaves_the_other_unblocked(
    roll_back: RollBack, runtime: Runtime
) -> None:
    """What is asked for in the configuration is what is done."""
    before = find_head(runtime.store, SPEC.name)
    assert before is not None

    result = roll_back(to=before.kept[0], block=False)

    head = find_head(runtime.store, SPEC.name)
    assert result.success
    assert head is not None
    assert (head.version, head.blocked) == (before.kept[0], ())


def test_job_goes_further_back_only_when_told(roll_back: RollBack) -> None:
    """A run once more, a moment later, may be the same one: it fails, and names what to set."""
    roll_back()

    refused, further = read_failure(roll_back()), read_failure(roll_back(again=True))

    assert "`again`" in refused.text
    assert "no version before the live one" in further.text


def test_blocked_day_fails_its_cache_and_says_how_to_go_on(
    roll_back: RollBack, runtime: Runtime, instance: dg.DagsterInstance
) -> None:
    """A retry or backfill of the day that was left ends with advice, and is not tried again."""
    roll_back()

    result = run_job(SPEC, runtime, instance=instance, steps=[Step.CACHE])

    failed = read_failure(result)
    assert failed.step == "cache"
    assert "is blocked" in failed.text
    assert "materialise extract" in failed.text


def test_job_refuses_what_is_not_there(
    roll_back: RollBack, runtime: Runtime, instance: dg.DagsterInstance
) -> None:
    """An unknown version fails the run with one message, located by sync and step."""
    before = find_head(runtime.store, SPEC.name)

    result = roll_back(to="2023-01-01.01kxqt5w8b7g4m2t")

    failed = read_failure(result)
    assert failed.text.startswith(f"[sync '{SPEC.name}', step 'rollback'] There is no version")
    assert "partition" not in failed.metadata
    assert "canary" not in read_log(result, instance).lower()
    assert find_head(runtime.store, SPEC.name) == before


def test_job_knows_its_syncs(roll_back: RollBack) -> None:
    """The launchpad offers the syncs there are, and takes no other."""
    with pytest.raises(dg.DagsterInvalidConfigError, match="not in enum type Sync"):
        roll_back(sync="nobody")

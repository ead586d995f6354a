"""The job `rollback` through Dagster itself: what it asks for, does, shows and refuses."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from reverse_etl.jobs.rollback import JOB, OP, build_rollback_job
from reverse_etl.landing.documents import find_head
from reverse_etl.model import Step
from reverse_etl.runtime import Runtime
from reverse_etl_tests.components.harness import (
    DAY_BEFORE,
    give,
    read_failure,
    read_log,
    run_job,
)
from reverse_etl_tests.jobs.conftest import SPEC
from reverse_etl_tests.jobs.reading import read_observation

RollBack = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def roll_back(runtime: Runtime, instance: dg.DagsterInstance) -> RollBack:
    """Runs the job as the UI would, with this configuration."""

    def execute(**config: Any) -> dg.ExecuteInProcessResult:
        definitions = dg.Definitions(
            jobs=[build_rollback_job([SPEC])], resources={"runtime": give(runtime)}
        )
        return definitions.resolve_job_def(JOB).execute_in_process(
            run_config={"ops": {OP: {"config": {"sync": SPEC.name, **config}}}},
            instance=instance,
            raise_on_error=False,
        )

    return execute


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
    with pytest.raises(
        dg.DagsterInvalidConfigError, match="config:sync not in enum type shop_users got nobody"
    ):
        roll_back(sync="nobody")


def test_rolling_back_goes_before_everything_that_waits() -> None:
    """In the queue it has the largest priority, and nothing starts it a second time."""
    tags = build_rollback_job([SPEC]).run_tags

    assert int(tags["dagster/priority"]) > dt.date.max.toordinal()
    assert tags["dagster/max_retries"] == "0"

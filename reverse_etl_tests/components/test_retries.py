"""Layers of retries: the step's own, the run-retry daemon's, and what keeps both from trying in vain."""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry

from reverse_etl.components.assets import RETRY_POLICY
from reverse_etl.components.factory import build_definitions
from reverse_etl.errors import (
    ConfigError,
    ConflictError,
    DataError,
    NotFoundError,
    PolicyError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing.documents import find_snapshot
from reverse_etl.model import Snapshot, Step
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import load_specs
from reverse_etl_tests.builders import QUERY, build_users
from reverse_etl_tests.chaos.conftest import Place, place
from reverse_etl_tests.components.conftest import MakeRuntime
from reverse_etl_tests.components.harness import build_spec, complete, give, run_job

__all__ = ["place"]

pytestmark = pytest.mark.contract
TWICE = dg.RetryPolicy(max_retries=1, delay=0)
DAY = "2026-11-15"


class FailingSource(MemorySource):
    """Raises `error` whenever rows are to be pinned."""

    def __init__(self, error: Exception) -> None:
        super().__init__({QUERY: build_users(10)})
        self.error = error
        self.calls = 0

    def pin(self, request: PinRequest) -> Snapshot:
        del request
        self.calls += 1
        raise self.error


@pytest.fixture(params=[False, True], ids=["shipped", "also-steps"])
def retrying(request: pytest.FixtureRequest) -> Iterator[dg.DagsterInstance]:
    """An instance with run retries as docker/dagster.yaml has them, and with those that it turns off."""
    retries = {
        "enabled": True,
        "max_retries": 2,
        "retry_on_asset_or_op_failure": request.param,
    }
    with dg.DagsterInstance.ephemeral(settings={"run_retries": retries}) as opened:
        yield opened


def test_waits_of_the_shipped_policy_grow_and_are_spread() -> None:
    """About 10, 30 and 70 seconds, and not the same for all that failed together."""
    waits = [[RETRY_POLICY.calculate_delay(attempt) for _ in range(200)] for attempt in (1, 2, 3)]

    assert RETRY_POLICY.max_retries == 3
    for wait, usual in zip(waits, (10, 30, 70), strict=True):
        assert len(set(wait)) > 100
        assert usual - 10 <= min(wait) < usual < max(wait) <= usual + 10


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (TransientError("Busy."), 2),
        (ConfigError("No."), 1),
        (PolicyError("No."), 1),
        (DataError("No."), 1),
        (TerminalError("No."), 1),
        (NotFoundError("No."), 1),
        (ConflictError("No."), 1),
        (ReverseEtlError("No."), 1),
        (ValueError("canary"), 1),
    ],
    ids=lambda it: type(it).__name__ if isinstance(it, Exception) else "",
)
def test_step_is_retried_for_what_may_pass_alone(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance, error: Exception, calls: int
) -> None:
    """The same run would end the same way for all that does not pass by waiting."""
    source = FailingSource(error)

    result = run_job(
        build_spec(),
        make_runtime(source=source),
        instance=instance,
        retries=TWICE,
        steps=[Step.EXTRACT],
    )

    assert not result.success
    assert source.calls == calls


@pytest.mark.parametrize("error", [PolicyError("No."), ValueError("canary")])
def test_daemon_does_not_retry_what_cannot_pass(
    make_runtime: MakeRuntime, retrying: dg.DagsterInstance, error: Exception
) -> None:
    """Not even where operators let it retry runs of which a step failed."""
    runtime = make_runtime(source=FailingSource(error))

    result = run_job(build_spec(), runtime, instance=retrying, steps=[Step.EXTRACT])

    run = retrying.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert not should_retry(run, retrying)


def test_daemon_retries_what_may_pass_where_it_is_let(
    make_runtime: MakeRuntime, retrying: dg.DagsterInstance
) -> None:
    """A warehouse that was away for longer than the step's own retries is up to the operators."""
    runtime = make_runtime(source=FailingSource(TransientError("Away.")))

    result = run_job(build_spec(), runtime, instance=retrying, steps=[Step.EXTRACT])

    run = retrying.get_run_by_id(result.run_id)
    assert run is not None
    assert should_retry(run, retrying) is retrying.run_retries_retry_on_asset_or_op_failure


def test_daemon_retries_a_run_that_died(retrying: dg.DagsterInstance) -> None:
    """What run monitoring finds dead is retried whole, whatever is set for steps."""
    job = complete(build_definitions(build_spec())).resolve_job_def("shop_users_daily")
    run = retrying.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)

    retrying.report_run_failed(run, "Run worker vanished.")

    failed = retrying.get_run_by_id(run.run_id)
    assert failed is not None
    assert should_retry(failed, retrying)


def run_retry(runtime: Runtime, folder: Path, instance: dg.DagsterInstance, dead: str) -> bool:
    """The run that the daemon makes of a dead one, in this process; whether it went well."""
    (spec,) = load_specs(folder / "defs").values()
    executor = dg.Definitions(executor=dg.in_process_executor)
    defs = complete(build_definitions(spec), executor, runtime=give(runtime))
    job = defs.resolve_job_def(f"{spec.name}_daily")
    run = instance.create_run_for_job(
        job,
        tags={"dagster/partition": DAY, "dagster/retry_number": "1"},
        root_run_id=dead,
        parent_run_id=dead,
    )
    return execute_run(InMemoryJob(job), run, instance).success


def test_retried_run_finds_the_snapshot_of_the_one_that_was_killed(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker is killed while it masks: the retry has its root's id, and does not query again."""
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    dead, home = str(uuid.uuid4()), place.folder / "dagster"
    home.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "reverse_etl_tests.components.worker", place.folder, DAY, dead],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "masking\n"
        worker.send_signal(signal.SIGKILL)
    pinned = find_snapshot(place.store, "crowd", DAY)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        run = instance.get_run_by_id(dead)
        assert run is not None
        instance.report_run_failed(run, "Run worker vanished.")
        runtime = Runtime(settings=Settings.load())
        assert run_retry(runtime, place.folder, instance, dead)

    assert worker.returncode == -signal.SIGKILL
    assert pinned is not None
    assert pinned.run_id == dead
    assert find_snapshot(place.store, "crowd", DAY) == pinned

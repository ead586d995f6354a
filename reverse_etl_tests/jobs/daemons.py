"""The daemons of Dagster themselves, one look each, over the code location of `location`, in this process."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.dagster_run import RunsFilter
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_run_id
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster_graphql.test.utils import execute_dagster_graphql

from reverse_etl_tests.jobs import location

ROOT = Path(__file__).parents[2]
NAME = "here"

LAUNCH = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
CANCEL = """
mutation ($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }
"""
RETRY = """
mutation ($params: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""

#: Runs of a step at once, in this process; or none at all, to look at the queue.
EXECUTING = {
    "module": "dagster._core.launcher.sync_in_memory_run_launcher",
    "class": "SyncInMemoryRunLauncher",
}
NOTING = {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
_EVENTS = {
    "event_log_storage": {
        "module": "dagster._core.storage.event_log",
        "class": "InMemoryEventLogStorage",
    },
}


@dataclass(frozen=True)
class Daemons:
    """What people press in the UI, and what the daemons do about it."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext

    def launch_from_job(self, job: str, days: Sequence[str]) -> str:
        """The button of a job's page: a backfill of these days."""
        return self._launch(
            selector={
                "partitionSetName": f"{job}_partition_set",
                "repositorySelector": {
                    "repositoryLocationName": NAME,
                    "repositoryName": "__repository__",
                },
            },
            partitionNames=list(days),
        )

    def launch_from_assets(self, sync: str, days: Sequence[str]) -> str:
        """The button of the asset graph: the same days of a sync's three assets."""
        assets = [{"path": [sync, step]} for step in ("extract", "masked", "cache")]
        return self._launch(assetSelection=assets, partitionNames=list(days))

    def _launch(self, **params: Any) -> str:
        answer = self._ask(LAUNCH, {"params": {**params, "fromFailure": False, "tags": []}})
        launched = answer["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def cancel(self, backfill_id: str) -> None:
        """The button of a backfill that is under way."""
        answer = self._ask(CANCEL, {"id": backfill_id})
        assert answer["cancelPartitionBackfill"]["__typename"] == "CancelBackfillSuccess"

    def retry(self, backfill_id: str) -> str:
        """The button of a backfill that has ended: what is missing."""
        params = {"parentRunId": backfill_id, "strategy": "FROM_FAILURE"}
        retried = self._ask(RETRY, {"params": params})["reexecutePartitionBackfill"]
        assert retried["__typename"] == "LaunchBackfillSuccess", retried
        return str(retried["backfillId"])

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        context = self.workspace.create_request_context()
        answer: dict[str, Any] = execute_dagster_graphql(context, query, variables).data
        return answer

    def backfill(self) -> None:
        """One look of the backfill daemon."""
        logger = logging.getLogger("dagster.daemon.BackfillDaemon")
        for error in execute_backfill_iteration(self.workspace, logger):
            assert error is None, error

    def dequeue(self) -> list[dg.DagsterRun]:
        """One look of the queue's daemon; the runs that it handed over, in order of their start."""
        before = {run.run_id for run in self.list_runs(dg.DagsterRunStatus.QUEUED)}
        with QueuedRunCoordinatorDaemon(interval_seconds=1) as daemon:
            list(daemon.run_iteration(self.workspace))
        queued = {run.run_id for run in self.list_runs(dg.DagsterRunStatus.QUEUED)}
        return [run for run in self.list_runs() if run.run_id in before - queued]

    def end(self, *runs: dg.DagsterRun) -> None:
        """Runs that were only noted end well."""
        for run in runs:
            event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
            self.instance.report_dagster_event(event, run.run_id)

    def submit_scheduled(self, sync: str, day: str) -> dg.DagsterRun:
        """What the scheduler submits for the sync's tick of that day."""
        schedule = location.defs.resolve_schedule_def(f"{sync}_daily_schedule")
        midnight = dg.DailyPartitionsDefinition("2024-01-01").time_window_for_partition_key(day).end
        tick = midnight.replace(hour=5, minute=30)
        with dg.build_schedule_context(
            scheduled_execution_time=tick, repository_def=location.defs.get_repository_def()
        ) as context:
            (request,) = schedule.evaluate_tick(context).run_requests or []
        assert request.partition_key == day
        workspace = self.workspace.create_request_context()
        repository = workspace.get_code_location(NAME).get_repository("__repository__")
        job = repository.get_full_job(f"{sync}_daily")
        run = self.instance.create_run(
            job_name=job.name,
            run_id=make_new_run_id(),
            run_config=None,
            status=dg.DagsterRunStatus.NOT_STARTED,
            tags={**job.tags, **request.tags},
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=None,
            execution_plan_snapshot=None,
            job_snapshot=job.job_snapshot,
            parent_job_snapshot=None,
            asset_selection=None,
            asset_check_selection=None,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
            asset_graph=repository.asset_graph,
        )
        return self.instance.submit_run(run.run_id, workspace)

    def list_runs(self, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """Runs in the order in which they were made."""
        chosen = RunsFilter(statuses=list(statuses)) if statuses else RunsFilter()
        return list(reversed(self.instance.get_runs(chosen)))


@contextlib.contextmanager
def open_daemons(folder: Path, *, launcher: dict[str, str], **overrides: Any) -> Iterator[Daemons]:
    """An instance in `folder`, and its daemons."""
    target = InProcessWorkspaceLoadTarget(
        InProcessCodeLocationOrigin(
            LoadableTargetOrigin(module_name=location.__name__, attribute="defs"),
            location_name=NAME,
        )
    )
    # Events in memory: files of them, one for each run, take most of the time otherwise.
    parts = {"run_launcher": launcher, **_EVENTS, **overrides}
    with (
        dg.instance_for_test(temp_dir=str(folder), overrides=parts) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        yield Daemons(instance, workspace)


def read_queue(path: Path) -> dict[str, Any]:
    """How a shipped instance file bounds runs and pools."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    concurrency: dict[str, Any] = document["concurrency"]
    return concurrency

"""Asks a Dagster webserver for things, as its own pages do: GraphQL over plain HTTP."""

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

LOCATION, REPOSITORY = "reverse_etl", "__repository__"
FINAL = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
FINAL_BACKFILL = frozenset({"COMPLETED_SUCCESS", "COMPLETED_FAILED", "CANCELED", "FAILED"})

_REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
_TIMEOUT_SECONDS = 60.0
# Storage that was away leaves a dead connection in each of the webserver's three pools.
_MORE_ATTEMPTS = 4
_PAUSE_SECONDS = 0.3
_RUN_FIELDS = "runId status jobName parentRunId rootRunId creationTime tags { key value }"


class AskError(Exception):
    """The webserver did not answer, or refused: what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as the webserver tells of it now."""

    run_id: str
    status: str
    job: str
    parent: str | None
    tags: Mapping[str, str]

    @property
    def partition(self) -> str | None:
        """The day it is of."""
        return self.tags.get("dagster/partition")

    @property
    def is_over(self) -> bool:
        """Whether its status is final."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a run's log."""

    kind: str
    step: str | None
    message: str


class Dagster:
    """The webserver on a loopback port. Every method may raise `AskError`."""

    def __init__(self, *, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.url = f"http://{host}:{port}"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The `data` of the answer; what changes nothing is asked again when it fails."""
        for _ in range(0 if query.startswith("mutation") else _MORE_ATTEMPTS):
            with contextlib.suppress(AskError):
                return self._ask_once(query, variables)
            time.sleep(_PAUSE_SECONDS)
        return self._ask_once(query, variables)

    def _ask_once(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": dict(variables)})
        headers = {"Content-Type": "application/json"}
        connection = HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request("POST", "/graphql", body, headers)
                response = connection.getresponse()
                text = response.read().decode()
            except (OSError, HTTPException) as error:
                raise AskError(f"no answer from {self.url}: {error!r}") from None
        if response.status != HTTPStatus.OK:
            raise AskError(f"HTTP {response.status}: {text[:2000]}")
        answer = json.loads(text)
        if answer.get("errors"):
            raise AskError(json.dumps(answer["errors"])[:2000])
        found: dict[str, Any] = answer["data"]
        return found

    def is_loaded(self) -> bool:
        """Whether the webserver answers and has the code location's definitions."""
        query = (
            "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus "
            "locationOrLoadError { __typename } } } } }"
        )
        try:
            entries = self.ask(query)["workspaceOrError"].get("locationEntries", [])
        except AskError:
            return False
        loaded = [(it.get("locationOrLoadError") or {}).get("__typename") for it in entries]
        return loaded == ["RepositoryLocation"]

    def find_job_names(self) -> set[str]:
        """Every job of the code location."""
        repository = self._ask_repository("pipelines { name }")
        return {it["name"] for it in repository["pipelines"]}

    def find_sensor_names(self) -> set[str]:
        """Every sensor of the code location."""
        repository = self._ask_repository("sensors { name }")
        return {it["name"] for it in repository["sensors"]}

    def find_schedule_crons(self) -> dict[str, str]:
        """Every schedule of the code location, and when it runs."""
        repository = self._ask_repository("schedules { name cronSchedule }")
        return {it["name"]: it["cronSchedule"] for it in repository["schedules"]}

    def launch(
        self,
        job: str,
        *,
        partition: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Launch a run; its id."""
        labels = dict(tags or {})
        if partition is not None:
            labels["dagster/partition"] = partition
        answer = self._change(
            "mutation($it: ExecutionParams!) { it: launchRun(executionParams: $it) "
            "{ __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } "
            "... on RunConfigValidationInvalid { errors { message } } } }",
            expected="LaunchRunSuccess",
            it={
                "selector": {**_REPOSITORY, "pipelineName": job},
                "mode": "default",
                "runConfigData": dict(config or {}),
                "executionMetadata": {"tags": _list_tags(labels)},
            },
        )
        run_id: str = answer["run"]["runId"]
        return run_id

    def terminate(self, run_id: str) -> None:
        """Cancel a run safely, as the page's button does."""
        self._change(
            "mutation($it: String!) { it: terminateRun(runId: $it) "
            "{ __typename ... on Error { message } } }",
            expected="TerminateRunSuccess",
            it=run_id,
        )

    def find_run(self, run_id: str) -> Run:
        """One run."""
        query = (
            f"query($it: ID!) {{ it: runOrError(runId: $it) {{ ... on Run {{ {_RUN_FIELDS} }} }} }}"
        )
        return _read_run(self.ask(query, it=run_id)["it"])

    def find_runs(self, *, job: str | None = None, **tags: str) -> list[Run]:
        """Runs, the newest first. A tag `dagster/backfill` is given as `backfill`."""
        wanted = {f"dagster/{name}": value for name, value in tags.items()}
        query = (
            "query($it: RunsFilter!) { it: runsOrError(filter: $it, limit: 100) "
            f"{{ ... on Runs {{ results {{ {_RUN_FIELDS} }} }} }} }}"
        )
        wish: dict[str, Any] = {"tags": _list_tags(wanted)}
        if job is not None:
            wish["pipelineName"] = job
        return [_read_run(it) for it in self.ask(query, it=wish)["it"]["results"]]

    def find_events(self, run_id: str) -> list[Event]:
        """The log of a run so far."""
        answer = self.ask(
            "query($it: ID!) { it: logsForRun(runId: $it, limit: 1000) { ... on EventConnection "
            "{ events { __typename ... on MessageEvent { message stepKey } } } } }",
            it=run_id,
        )
        return [
            Event(kind=it["__typename"], step=it.get("stepKey"), message=it.get("message", ""))
            for it in answer["it"]["events"]
        ]

    def launch_backfill(self, assets: Sequence[str], partitions: Sequence[str]) -> str:
        """Launch a backfill of assets such as `user_stats/cache`; its id."""
        answer = self._change(
            "mutation($it: LaunchBackfillParams!) { it: launchPartitionBackfill(backfillParams: $it) "
            "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on Error { message } } }",
            expected="LaunchBackfillSuccess",
            it={
                "assetSelection": [{"path": asset.split("/")} for asset in assets],
                "partitionNames": list(partitions),
            },
        )
        backfill: str = answer["backfillId"]
        return backfill

    def cancel_backfill(self, backfill: str) -> None:
        """Stop a backfill, and its runs."""
        self._change(
            "mutation($it: String!) { it: cancelPartitionBackfill(backfillId: $it) "
            "{ __typename ... on Error { message } } }",
            expected="CancelBackfillSuccess",
            it=backfill,
        )

    def resume_backfill(self, backfill: str) -> str:
        """What the page calls "Re-execute from failure": a new backfill of the days that are missing."""
        answer = self._change(
            "mutation($it: ReexecutionParams!) { it: reexecutePartitionBackfill(reexecutionParams: $it) "
            "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on Error { message } } }",
            expected="LaunchBackfillSuccess",
            it={"parentRunId": backfill, "strategy": "FROM_FAILURE"},
        )
        resumed: str = answer["backfillId"]
        return resumed

    def find_backfill_status(self, backfill: str) -> str:
        """Its status, such as `REQUESTED` or `COMPLETED_SUCCESS`."""
        query = (
            "query($it: String!) { it: partitionBackfillOrError(backfillId: $it) "
            "{ ... on PartitionBackfill { status } ... on Error { message } } }"
        )
        status: str = self.ask(query, it=backfill)["it"]["status"]
        return status

    def start_schedule(self, name: str) -> None:
        """Switch a schedule on."""
        self._change(
            "mutation($it: ScheduleSelector!) { it: startSchedule(scheduleSelector: $it) "
            "{ __typename ... on Error { message } } }",
            expected="ScheduleStateResult",
            it={**_REPOSITORY, "scheduleName": name},
        )

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on."""
        self._change(
            "mutation($it: SensorSelector!) { it: startSensor(sensorSelector: $it) "
            "{ __typename ... on Error { message } } }",
            expected="Sensor",
            it={**_REPOSITORY, "sensorName": name},
        )

    def find_ticks(self, *, schedule: str | None = None, sensor: str | None = None) -> list[str]:
        """The statuses of what a schedule or sensor did so far, the newest first."""
        kind = "sensor" if schedule is None else "schedule"
        query = (
            f"query($it: {kind.title()}Selector!) {{ it: {kind}OrError({kind}Selector: $it) "
            f"{{ ... on {kind.title()} {{ {kind}State {{ ticks(limit: 20) {{ status }} }} }} }} }}"
        )
        found = self.ask(query, it={**_REPOSITORY, f"{kind}Name": schedule or sensor})["it"]
        return [tick["status"] for tick in found[f"{kind}State"]["ticks"]]

    def find_daemon_health(self) -> dict[str, bool]:
        """Each daemon that the instance needs, and whether it has been heard of lately."""
        query = (
            "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
        )
        statuses = self.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return {it["daemonType"]: bool(it["healthy"]) for it in statuses if it["required"]}

    def _ask_repository(self, fields: str) -> dict[str, Any]:
        query = (
            "query($it: RepositorySelector!) { it: repositoryOrError(repositorySelector: $it) "
            f"{{ ... on Repository {{ {fields} }} ... on Error {{ message }} }} }}"
        )
        found: dict[str, Any] = self.ask(query, it=_REPOSITORY)["it"]
        return found

    def _change(self, query: str, *, expected: str, it: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask(query, it=it)["it"]
        if answer["__typename"] != expected:
            raise AskError(json.dumps(answer)[:2000])
        return answer


def _list_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _read_run(found: Mapping[str, Any]) -> Run:
    return Run(
        run_id=found["runId"],
        status=found["status"],
        job=found["jobName"],
        parent=found["parentRunId"],
        tags={tag["key"]: tag["value"] for tag in found["tags"]},
    )

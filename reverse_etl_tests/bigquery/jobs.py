"""Jobs: inserted, waiting, running, done; what they cost, and what they say of themselves."""

import datetime as dt
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reverse_etl_tests.bigquery.clock import to_millis
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.fault_kinds import JobFault
from reverse_etl_tests.bigquery.queries import Plan
from reverse_etl_tests.bigquery.schema import describe_fields

_MIB = 1 << 20
#: Less is not billed for a query: https://cloud.google.com/bigquery/pricing#on_demand_pricing
LEAST_BILLED_BYTES = 10 * _MIB
_SLOT_BYTES_A_MILLISECOND = 100_000


@dataclass(slots=True, kw_only=True)
class Job:
    """A query or load job. `statistics` is REST's, whole once `state` is DONE.

    `content` is what was uploaded with a load job.
    """

    job_id: str
    project: str
    location: str
    configuration: dict[str, Any]
    user_email: str
    created_at: dt.datetime
    state: str = "PENDING"
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    error: ApiError | None = None
    plan: Plan | None = None
    destination: dict[str, str] | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    content: str | None = field(default=None, repr=False)
    fault: JobFault | None = None
    cancelled: bool = False
    interrupted: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels it was inserted with."""
        labels: Mapping[str, str] = self.configuration.get("labels", {})
        return labels

    @property
    def query(self) -> dict[str, Any]:
        """`configuration.query`."""
        query: dict[str, Any] = self.configuration["query"]
        return query

    @property
    def is_load(self) -> bool:
        """Whether it loads what was uploaded, and asks nothing."""
        return "load" in self.configuration

    @property
    def bytes_billed(self) -> int:
        """What the job cost."""
        return int(self.statistics.get("query", {}).get("totalBytesBilled", 0))

    @property
    def full_name(self) -> str:
        """`project:location.job`, as errors write it."""
        return f"{self.project}:{self.location}.{self.job_id}"

    @property
    def reference(self) -> dict[str, str]:
        """The job's name as REST writes it."""
        reference = {"projectId": self.project, "location": self.location}
        return reference if self.dry_run else reference | {"jobId": self.job_id}

    def as_resource(self) -> dict[str, Any]:
        """The job as REST gives it."""
        configuration = {"jobType": "LOAD" if self.is_load else "QUERY", **self.configuration}
        if self.destination is not None and not self.is_load:
            configuration["query"] = {**self.query, "destinationTable": self.destination}
        status: dict[str, Any] = {"state": self.state}
        if self.error is not None:
            status |= {"errorResult": self.error.as_result(), "errors": [self.error.as_result()]}
        return {
            "kind": "bigquery#job",
            "etag": f"{self.job_id}-{self.state}",
            "id": f"{self.project}:{self.location}.{self.job_id}",
            "jobReference": self.reference,
            "configuration": configuration,
            "status": status,
            "statistics": self._read_statistics(),
            "user_email": self.user_email,
        }

    def wait_as_told(self, timeout_seconds: float | None) -> None:
        """Spend the time that the fault asks for; `ApiError` when it took too long or was cancelled."""
        fault = self.fault
        if fault is not None and (fault.hold or fault.slow_seconds):
            self._wait(fault, timeout_seconds)
        if self.cancelled:
            raise ApiError("stopped", "Job execution was cancelled: User requested cancellation")
        if self.interrupted.is_set():
            raise ApiError("stopped", "The server of the tests was closed")

    def _wait(self, fault: JobFault, timeout_seconds: float | None) -> None:
        begun = time.monotonic()
        limit = float("inf") if fault.hold else fault.slow_seconds
        while not (self.interrupted.is_set() or fault.released.is_set()):
            spent = time.monotonic() - begun
            if timeout_seconds is not None and spent >= timeout_seconds:
                raise ApiError(
                    "stopped",
                    f"Job execution was cancelled: Job timed out after {timeout_seconds:g}s",
                )
            if spent >= limit:
                return
            # Two events end this; neither can wait for the other.
            self.interrupted.wait(0.01)

    def _read_statistics(self) -> dict[str, Any]:
        times = {"creationTime": self.created_at, "startTime": self.started_at}
        times["endTime"] = self.ended_at
        known: dict[str, Any] = {
            name: str(to_millis(moment)) for name, moment in times.items() if moment is not None
        }
        if self.state == "RUNNING" and self.fault is not None and self.fault.slot_ms is not None:
            slots = {"totalSlotMs": str(self.fault.slot_ms)}
            known |= {**slots, "query": slots}
        return {**known, **self.statistics}


def build_statistics(
    plan: Plan, *, cached: bool, dry_run: bool, slot_ms: int | None
) -> dict[str, Any]:
    """What a finished (or dry) run says of itself and its price."""
    processed = 0 if cached else plan.bytes_processed
    billed = 0 if cached or dry_run else count_billed_bytes(plan.bytes_processed)
    slots = slot_ms if slot_ms is not None else 1 + processed // _SLOT_BYTES_A_MILLISECOND
    query: dict[str, Any] = {
        "statementType": "SELECT",
        "totalBytesProcessed": str(processed),
        "totalBytesBilled": str(billed),
        "cacheHit": cached,
        "referencedTables": [table.reference for table in plan.tables],
        "schema": {"fields": describe_fields(plan.schema)},
    }
    statistics = {"totalBytesProcessed": str(processed), "query": query}
    if dry_run:
        query["totalBytesProcessedAccuracy"] = "PRECISE"
        return statistics
    query["totalSlotMs"] = str(0 if cached else slots)
    return {**statistics, "totalSlotMs": query["totalSlotMs"]}


def count_billed_bytes(processed: int) -> int:
    """Rounded up to whole MiB, and never below the least."""
    return max(LEAST_BILLED_BYTES, -(-processed // _MIB) * _MIB)

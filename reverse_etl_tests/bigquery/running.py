"""The jobs of a server: each runs in a thread of its own, and leaves a table behind."""

import re
import threading
import uuid
from typing import Any

import pyarrow as pa

from reverse_etl_tests.bigquery.catalog import Catalog
from reverse_etl_tests.bigquery.engine import Engine
from reverse_etl_tests.bigquery.errors import ApiError, already_exists, not_found
from reverse_etl_tests.bigquery.faults import FaultPlan
from reverse_etl_tests.bigquery.jobs import Job, build_statistics, count_billed_bytes
from reverse_etl_tests.bigquery.loads import load_rows
from reverse_etl_tests.bigquery.parameters import parse_parameters
from reverse_etl_tests.bigquery.queries import Plan, QueryRunner, Question
from reverse_etl_tests.bigquery.results import Results
from reverse_etl_tests.bigquery.sqltext import parse

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
_LABEL = re.compile(r"[a-z0-9_\-\u00c0-\uffff]{0,63}")
_MOST_LABELS = 64


class Jobs:
    """Inserts, runs, cancels and remembers query jobs."""

    def __init__(self, catalog: Catalog, engine: Engine, faults: FaultPlan, *, user: str) -> None:
        self.by_id: dict[str, Job] = {}
        self.closing = False
        self._catalog = catalog
        self._engine = engine
        self._faults = faults
        self.user = user
        self._runner = QueryRunner(catalog, engine, check=faults.permissions.check_query)
        self._results = Results(catalog, engine, self._runner, faults.permissions)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def insert(self, resource: dict[str, Any], *, content: str | None = None) -> Job:
        """Begin a job, or answer a dry run; `ApiError` when it cannot even begin.

        `content` was uploaded with a load job.
        """
        self._faults.permissions.check("bigquery.jobs.create", self._catalog.project)
        job = self._build(resource)
        job.content = content
        if job.dry_run:
            job.plan = self._runner.plan(self._ask(job))
            job.statistics = build_statistics(job.plan, cached=False, dry_run=True, slot_ms=None)
            job.state = "DONE"
            return job
        with self._lock:
            if self.closing:
                raise ApiError("backendError", "The server of the tests is closing")
            if job.job_id in self.by_id:
                raise already_exists("Job", self.by_id[job.job_id].full_name)
            self.by_id[job.job_id] = job
            job.fault = self._faults.find_job(job.job_id)
            thread = threading.Thread(target=self._run, args=(job,), name=f"job {job.job_id}")
            self._threads.append(thread)
        if not (job.fault and job.fault.pending):
            job.state = "RUNNING"
            job.started_at = self._catalog.clock.now()
        thread.start()
        return job

    def get(self, job_id: str, *, location: str | None = None) -> Job:
        """A job; `ApiError` when there is none, or it is elsewhere."""
        self._faults.permissions.check("bigquery.jobs.get", self._catalog.project)
        job = self.by_id.get(job_id)
        # Unnamed, a job is looked for in the two multi-regions only.
        places = {location.lower()} if location else {"us", "eu"}
        if job is None or job.location.lower() not in places:
            where = f"{location}." if location else ""
            raise not_found("Job", f"{self._catalog.project}:{where}{job_id}")
        return job

    def cancel(self, job_id: str, *, location: str | None = None) -> Job:
        """Ask a job to end; one that is done stays as it is."""
        job = self.get(job_id, location=location)
        if not job.done.is_set():
            job.cancelled = True
            job.interrupted.set()
        return job

    def describe(self, sql: str, dataset: str) -> pa.Schema:
        """The columns of a query over tables that lie where `dataset` does: of a view, when it is made."""
        location = self._catalog.get_dataset(dataset).location
        return self._runner.plan(Question(sql=sql, location=location)).schema

    def close(self) -> None:
        """End every job and wait for its thread."""
        with self._lock:
            self.closing = True
        for job in list(self.by_id.values()):
            job.interrupted.set()
        for thread in self._threads:
            thread.join()

    def _build(self, resource: dict[str, Any]) -> Job:
        configuration = resource.get("configuration") or {}
        what = configuration.get("query") or configuration.get("load")
        if what is None:
            raise ApiError("invalid", "Required parameter is missing: query")
        reference = resource.get("jobReference") or {}
        job_id = reference.get("jobId") or f"job_{uuid.uuid4().hex}"
        if not _JOB_ID.fullmatch(job_id):
            raise ApiError("invalid", f'Invalid job ID "{job_id}".')
        _check_labels(configuration.get("labels") or {})
        return Job(
            job_id=job_id,
            project=self._catalog.project,
            location=reference.get("location") or self._guess_location(what),
            configuration=configuration,
            user_email=self.user,
            created_at=self._catalog.clock.now(),
            dry_run=bool(configuration.get("dryRun")),
        )

    def _guess_location(self, query: dict[str, Any]) -> str:
        """That of the first dataset which the job names, as BigQuery does it."""
        names = [query.get("destinationTable", {}).get("datasetId")]
        try:
            asked = parse(query.get("query", "SELECT 1"))
            names += [it.path[-2] for it in asked.references if len(it.path) > 1]
            return next(self._catalog.get_dataset(name).location for name in names if name)
        except (ApiError, StopIteration):
            return self._catalog.location

    def _ask(self, job: Job) -> Question:
        default = job.query.get("defaultDataset") or {}
        return Question(
            sql=job.query["query"],
            location=job.location,
            parameters=parse_parameters(job.query.get("queryParameters") or []),
            default_dataset=default.get("datasetId"),
        )

    def _run(self, job: Job) -> None:
        try:
            self._execute(job)
        except ApiError as error:
            job.error = error
        except Exception as error:  # noqa: BLE001 - a bug of this server must not leave a job RUNNING
            job.error = ApiError("jobInternalError", f"The server of the tests broke: {error!r}")
        finally:
            job.ended_at = self._catalog.clock.now()
            job.started_at = job.started_at or job.ended_at
            job.state = "DONE"
            job.done.set()

    def _execute(self, job: Job) -> None:
        timeout_ms = job.configuration.get("jobTimeoutMs")
        job.wait_as_told(None if timeout_ms is None else int(timeout_ms) / 1000)
        fault = job.fault
        if fault is not None:
            fault.strike()
        if job.state == "PENDING":
            job.state, job.started_at = "RUNNING", self._catalog.clock.now()
        if fault is not None and fault.error is not None and job.is_load:
            raise fault.error
        if job.is_load:
            load_rows(job, self._catalog, self._engine, self._faults.permissions)
            return
        plan = job.plan = self._runner.plan(self._ask(job))
        if fault is not None and fault.error is not None:
            raise fault.error
        table = self._results.find(job, plan)
        hit = table is not None or (fault is not None and fault.cache_hit)
        if table is None:
            _check_price(job, plan)
            table = self._results.write(job, plan)
        job.destination = table.reference
        job.statistics = build_statistics(
            plan, cached=hit, dry_run=False, slot_ms=fault.slot_ms if fault else None
        )
        if fault is not None and fault.drop_table:
            self._catalog.drop_table(table.dataset, table.name)


def _check_labels(labels: dict[str, str]) -> None:
    """Hold labels to BigQuery's rules (https://cloud.google.com/bigquery/docs/labels-intro)."""
    if len(labels) > _MOST_LABELS:
        raise ApiError("invalid", f"Too many labels: {len(labels)}")
    for name, value in labels.items():
        if not name or not name[0].isalpha() or not _LABEL.fullmatch(name):
            raise ApiError("invalid", f"Label key '{name}' has invalid characters.")
        if not _LABEL.fullmatch(value):
            raise ApiError("invalid", f"Label value '{value}' has invalid characters.")


def _check_price(job: Job, plan: Plan) -> None:
    limit = job.query.get("maximumBytesBilled")
    billed = count_billed_bytes(plan.bytes_processed)
    if limit is not None and billed > int(limit):
        raise ApiError(
            "bytesBilledLimitExceeded",
            f"Query exceeded limit for bytes billed: {int(limit)}. {billed} or higher required.",
        )

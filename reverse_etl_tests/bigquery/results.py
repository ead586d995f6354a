"""Where the rows of a query go: a destination that was named, or an anonymous table that serves as cache."""

import datetime as dt
import hashlib
import json
import uuid

from reverse_etl_tests.bigquery.catalog import Catalog, Dataset, Table
from reverse_etl_tests.bigquery.engine import Engine
from reverse_etl_tests.bigquery.errors import ApiError, already_exists, not_found_in
from reverse_etl_tests.bigquery.jobs import Job
from reverse_etl_tests.bigquery.permissions import Permissions
from reverse_etl_tests.bigquery.queries import Plan, QueryRunner

_ANONYMOUS_DATASET = "_anonymous"
_ANONYMOUS_LIFETIME = dt.timedelta(hours=24)


class Results:
    """Writes the results of queries, and finds those that need not be computed again."""

    def __init__(
        self, catalog: Catalog, engine: Engine, runner: QueryRunner, permissions: Permissions
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._runner = runner
        self._permissions = permissions
        self._cache: dict[str, Table] = {}

    def find(self, job: Job, plan: Plan) -> Table | None:
        """The result of the same query over the same rows; a destination of one's own rules it out."""
        if job.query.get("destinationTable") or job.query.get("useQueryCache") is False:
            return None
        table = self._cache.get(_compute_key(job, plan))
        return self._catalog.find_table(table.dataset, table.name) if table else None

    def write(self, job: Job, plan: Plan) -> Table:
        """Run the query into its destination, which has no policy tags; `ApiError` when that is not free."""
        destination = job.query.get("destinationTable")
        if destination is None:
            table = self._write_anonymous(job, plan)
            self._cache[_compute_key(job, plan)] = table
            return table
        self._catalog.check_project(destination.get("projectId"))
        dataset, name = destination["datasetId"], destination["tableId"]
        self._find_free(job, dataset, name)
        rows = self._engine.keep_arrow(self._runner.run(plan))
        with self._catalog.lock:
            existing = self._find_free(job, dataset, name)
            if existing is None:
                return self._catalog.put_table(dataset, name, rows)
            self._catalog.replace_rows(existing, rows)
            existing.policy_tags = {}
            return existing

    def _find_free(self, job: Job, dataset: str, name: str) -> Table | None:
        """The table that stands where the result is to go, if it may be overwritten."""
        holder = self._find_dataset(job, dataset)
        self._permissions.check("bigquery.tables.create", holder.full_name)
        table = self._catalog.find_table(dataset, name)
        if table is None:
            return None
        disposition = job.query.get("writeDisposition") or "WRITE_EMPTY"
        if disposition == "WRITE_EMPTY" and table.rows.count:
            raise already_exists("Table", table.full_name)
        if disposition == "WRITE_APPEND":
            raise ApiError("notImplemented", "The server of the tests has no WRITE_APPEND")
        return table

    def _find_dataset(self, job: Job, name: str) -> Dataset:
        if not self._catalog.has_dataset(name, location=job.location):
            raise not_found_in("Dataset", f"{job.project}:{name}", job.location)
        return self._catalog.get_dataset(name)

    def _write_anonymous(self, job: Job, plan: Plan) -> Table:
        rows = self._engine.keep_arrow(self._runner.run(plan))
        dataset = f"{_ANONYMOUS_DATASET}_{job.location.lower().replace('-', '_')}"
        with self._catalog.lock:
            if not self._catalog.has_dataset(dataset):
                self._catalog.create_dataset(dataset, location=job.location, hidden=True)
        return self._catalog.put_table(
            dataset,
            f"anon{uuid.uuid4().hex}",
            rows,
            expires_at=self._catalog.clock.now() + _ANONYMOUS_LIFETIME,
        )


def _compute_key(job: Job, plan: Plan) -> str:
    asked = {
        "query": job.query["query"],
        "parameters": job.query.get("queryParameters"),
        "default": job.query.get("defaultDataset"),
        "tables": [(table.full_name, table.rows.number) for table in plan.tables],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

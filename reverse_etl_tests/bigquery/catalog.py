"""Datasets and tables: their metadata, every state their rows were in, and when they expire."""

import datetime as dt
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from reverse_etl_tests.bigquery.clock import Clock
from reverse_etl_tests.bigquery.engine import Rows
from reverse_etl_tests.bigquery.errors import ApiError, already_exists, not_found

#: How far back tables can be read.
TIME_TRAVEL = dt.timedelta(days=7)


@dataclass(slots=True, kw_only=True)
class Table:
    """A table, view or external table. `states` are its rows from each moment on, oldest first."""

    project: str
    dataset: str
    name: str
    kind: str
    created_at: dt.datetime
    modified_at: dt.datetime
    states: list[tuple[dt.datetime, Rows]]
    schema: pa.Schema
    location: str
    policy_tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    expires_at: dt.datetime | None = None
    view_query: str | None = None
    description: str | None = None
    time_partitioning: Mapping[str, Any] | None = None

    @property
    def full_name(self) -> str:
        """`project:dataset.table`, as errors write it."""
        return f"{self.project}:{self.dataset}.{self.name}"

    @property
    def rows(self) -> Rows:
        """The present rows."""
        return self.states[-1][1]

    @property
    def reference(self) -> dict[str, str]:
        """The table's name as REST writes it."""
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.name}

    def find_rows(self, moment: dt.datetime) -> Rows | None:
        """The rows as they stood at `moment`; None before there were any."""
        found = [rows for since, rows in self.states if since <= moment]
        return found[-1] if found else None


@dataclass(slots=True, kw_only=True)
class Dataset:
    """A dataset and its tables, those that expired included."""

    project: str
    name: str
    location: str
    created_at: dt.datetime
    access: list[dict[str, Any]]
    labels: Mapping[str, str] = field(default_factory=dict)
    default_expiration: dt.timedelta | None = None
    hidden: bool = False
    time_travel_hours: int = TIME_TRAVEL // dt.timedelta(hours=1)
    tables: dict[str, Table] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """`project:dataset`, as errors write it."""
        return f"{self.project}:{self.name}"


class Catalog:
    """What exists in one project. Safe to use from several threads; `lock` makes several steps one."""

    def __init__(self, *, project: str, location: str, clock: Clock) -> None:
        self.project = project
        self.location = location
        self.clock = clock
        self.lock = threading.RLock()
        self._datasets: dict[str, Dataset] = {}

    def create_dataset(
        self,
        name: str,
        *,
        location: str | None = None,
        access: list[dict[str, Any]] | None = None,
        default_expiration: dt.timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        hidden: bool = False,
    ) -> Dataset:
        """A new dataset, which its project's owners alone can reach unless `access` says more."""
        with self.lock:
            if name in self._datasets:
                raise already_exists("Dataset", self._datasets[name].full_name)
            self._datasets[name] = Dataset(
                project=self.project,
                name=name,
                location=location or self.location,
                created_at=self.clock.now(),
                access=access or [{"role": "OWNER", "specialGroup": "projectOwners"}],
                labels=labels or {},
                default_expiration=default_expiration,
                hidden=hidden,
            )
            return self._datasets[name]

    def get_dataset(self, name: str, *, project: str | None = None) -> Dataset:
        """A dataset; `ApiError` when there is none of the name."""
        self.check_project(project)
        with self.lock:
            if name not in self._datasets:
                raise not_found("Dataset", f"{self.project}:{name}")
            return self._datasets[name]

    def has_dataset(self, name: str, *, location: str | None = None) -> bool:
        """Whether there is a dataset of the name, in a location if one is given."""
        with self.lock:
            found = self._datasets.get(name)
        if found is None or location is None:
            return found is not None
        return found.location.lower() == location.lower()

    def list_datasets(self) -> list[Dataset]:
        """All datasets but hidden ones, by name."""
        with self.lock:
            return [item for _, item in sorted(self._datasets.items()) if not item.hidden]

    def delete_dataset(self, name: str) -> None:
        """Remove a dataset with its tables."""
        self.get_dataset(name)
        with self.lock:
            del self._datasets[name]

    def get_table(self, dataset: str, name: str, *, project: str | None = None) -> Table:
        """A table that has not expired; `ApiError` when there is none."""
        holder = self.get_dataset(dataset, project=project)
        with self.lock:
            table = holder.tables.get(name)
            if table is None or self._is_expired(table):
                raise not_found("Table", f"{self.project}:{dataset}.{name}")
            return table

    def find_table(self, dataset: str, name: str) -> Table | None:
        """A table that has not expired, or None."""
        try:
            return self.get_table(dataset, name)
        except ApiError:
            return None

    def list_tables(self, dataset: str) -> list[Table]:
        """A dataset's tables by name, without expired ones."""
        tables = self.get_dataset(dataset).tables
        with self.lock:
            return [item for _, item in sorted(tables.items()) if not self._is_expired(item)]

    def put_table(
        self,
        dataset: str,
        name: str,
        rows: Rows,
        *,
        kind: str = "TABLE",
        policy_tags: Mapping[str, Sequence[str]] | None = None,
        expires_at: dt.datetime | None = None,
        view_query: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Table:
        """Create a table; what had its name is gone, history and metadata included."""
        holder = self.get_dataset(dataset)
        now = self.clock.now()
        if expires_at is None and holder.default_expiration is not None:
            expires_at = now + holder.default_expiration
        table = Table(
            project=self.project,
            dataset=dataset,
            name=name,
            kind=kind,
            created_at=now,
            modified_at=now,
            states=[(now, rows)],
            schema=rows.schema,
            location=holder.location,
            policy_tags=policy_tags or {},
            labels=labels or {},
            expires_at=expires_at,
            view_query=view_query,
        )
        with self.lock:
            holder.tables[name] = table
        return table

    def replace_rows(self, table: Table, rows: Rows) -> None:
        """A new state of a table; the earlier ones stay for time travel."""
        with self.lock:
            now = self.clock.now()
            table.states.append((now, rows))
            table.schema = rows.schema
            table.modified_at = now

    def drop_table(self, dataset: str, name: str) -> None:
        """Remove a table; `ApiError` when there is none."""
        self.get_table(dataset, name)
        with self.lock:
            del self._datasets[dataset].tables[name]

    def check_project(self, project: str | None) -> None:
        """Raise `ApiError` for any project but this one."""
        if project is not None and project != self.project:
            raise not_found("Project", project)

    def _is_expired(self, table: Table) -> bool:
        return table.expires_at is not None and table.expires_at <= self.clock.now()

    def __iter__(self) -> Iterator[Table]:
        with self.lock:
            return iter([t for item in self._datasets.values() for t in item.tables.values()])

"""Looks at one deployment's BigQuery before a run needs it: nothing is read, and nothing is paid.

Each method looks at one thing; what is wrong there is raised as our error. Requests for metadata, dry
runs and read sessions are free: only a query that runs is billed, and rows that are read.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import grpc
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types

from reverse_etl.errors import ReverseEtlError, TransientError
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import map_faults
from reverse_etl.sources.bigquery.labels import MANAGED_BY, PRODUCT
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.staging import Staging

# Whoever examines waits for the answer; a run has more patience.
_RETRY_SECONDS = 10.0
_TIMEOUT_SECONDS = 15.0
_PROBE_STAYS = dt.timedelta(hours=1)
_PROBE_COLUMNS = (bigquery.SchemaField("probe", "INTEGER"),)


class Examination:
    """One deployment, examined; use it in `with`. Nothing is connected before it is asked."""

    def __init__(
        self,
        options: BigQueryOptions,
        *,
        now: Callable[[], dt.datetime],
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._options = options
        self._now = now
        self._timeout_seconds = timeout_seconds
        self._connection = Connection(options, retry_seconds=min(_RETRY_SECONDS, timeout_seconds))
        self._staging = Staging(self._connection, options)

    def __repr__(self) -> str:
        return f"Examination({self._options.dataset!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._connection.close()

    def find_project(self) -> str:
        """The project that pays; `ConfigError` without credentials, or without a project."""
        with map_faults("looking for credentials"):
            return str(self._connection.client.project)

    def find_staging(self) -> bigquery.Dataset:
        """The staging dataset, which is there and lies where queries run."""
        dataset = self._connection.get_staging_dataset()
        self._staging.check_location(dataset)
        return dataset

    def run_nothing(self) -> str | None:
        """Dry-run a query of no table: whether jobs may be run. Returns as whom, if BigQuery says so."""
        with map_faults("asking for a dry run"):
            job = self._connection.client.query(
                "SELECT 1 AS one",
                job_config=bigquery.QueryJobConfig(dry_run=True, labels={MANAGED_BY: PRODUCT}),
                project=self._connection.project,
                location=self._connection.location,
                job_retry=None,
                **self._connection.limits,
            )
        return job.user_email or self._connection.account

    def check_readers(self, dataset: bigquery.Dataset, *, account: str | None) -> None:
        """Whether `account`, the pipeline's, is alone in reading the staging dataset."""
        self._staging.check_readers(dataset, account=account)

    def reach_storage(self) -> str:
        """Connect to the Storage Read API, TLS and all; returns its address."""
        transport = self._connection.read_client.transport
        address = self._options.storage_endpoint or transport.host
        ready = grpc.channel_ready_future(transport.grpc_channel)  # type: ignore[attr-defined]
        try:
            ready.result(timeout=self._timeout_seconds)
        except grpc.FutureTimeoutError:
            raise TransientError(
                f"The Storage Read API at {address} could not be reached within "
                f"{self._timeout_seconds:g} s. Let port 443 out to it, or correct "
                "REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT."
            ) from None
        finally:
            ready.cancel()
        return str(address)

    def open_session(self, *, probe: str) -> None:
        """Make an empty table of the name `probe`, open a read session on it, and remove it.

        That is all that `masked` needs but the rows. A probe that stays behind expires in an hour.
        """
        reference = self._connection.dataset.table(probe)
        now = self._now()
        self._staging.create(
            reference,
            columns=_PROBE_COLUMNS,
            labels={MANAGED_BY: PRODUCT},
            expires_at=now + _PROBE_STAYS,
            now=now,
        )
        try:
            self._create_session(reference)
        except ReverseEtlError:
            with suppress(ReverseEtlError):  # what went wrong above says more
                self._staging.remove(reference)
            raise
        self._staging.remove(reference)

    def _create_session(self, reference: bigquery.TableReference) -> None:
        request = types.CreateReadSessionRequest(
            parent=f"projects/{self._connection.project}",
            read_session=types.ReadSession(
                table=reference.path.removeprefix("/"), data_format=types.DataFormat.ARROW
            ),
            max_stream_count=1,
        )
        with map_faults("opening a read session"):
            self._connection.read_client.create_read_session(
                request=request, retry=None, timeout=self._timeout_seconds
            )

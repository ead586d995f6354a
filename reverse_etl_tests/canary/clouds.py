"""The nest in the clouds: BigQuery, Google's identity, STS and S3 on loopback, and how each fails.

What a server says in an error quotes all canaries, as BigQuery does with the value it stopped at.
"""

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.canary.scene import Nest, Outcome
from reverse_etl_tests.canary.search import read_redis
from reverse_etl_tests.canary.values import SECRET, find_escaped, quote_all
from reverse_etl_tests.cli.aws_cloud import Cloud, open_cloud


@dataclass(frozen=True, kw_only=True)
class CloudNest:
    """A nest whose table lies in BigQuery and whose versions land in S3."""

    nest: Nest
    bigquery: BigQueryServer
    cloud: Cloud

    def find_escaped(self, outcome: Outcome) -> list[tuple[str, str]]:
        """Every canary in a place where it has no business, by the names of both."""
        escaped = self.nest.find_escaped(outcome)
        with self.nest.connect() as client:
            stored = read_redis(client)
        for key, item in self.cloud.s3.objects.items():
            # Its name and what is written beside its bytes belong to it as much as they do.
            beside = repr((key, item)).encode()
            stored[f"s3 {key}"] = beside + _open_up(key, item.body)
        return escaped + find_escaped(stored, SECRET)


def _open_up(key: str, body: bytes) -> bytes:
    """An object unpacked, where it still can be."""
    if not key.endswith(".gz"):
        return body
    with contextlib.suppress(OSError, EOFError, zlib.error):
        return body + gzip.decompress(body)
    return body


#: Plans a fault; returns how often it was met so far.
Plan = Callable[[CloudNest], Callable[[], int]]


def fail_rest(**options: Any) -> Plan:
    """BigQuery answers REST requests with an error that quotes all canaries."""

    def plan(nest: CloudNest) -> Callable[[], int]:
        fault = nest.bigquery.faults.rest(message=quote_all(), times=None, **options)
        return lambda: fault.hits

    return plan


def fail_job(reason: str) -> Plan:
    """The query job ends with an error that quotes all canaries."""

    def plan(nest: CloudNest) -> Callable[[], int]:
        fault = nest.bigquery.faults.job(reason=reason, message=quote_all(), times=None)
        return lambda: fault.hits

    return plan


def fail_session(code: str) -> Plan:
    """No read session is made, and the status quotes all canaries."""

    def plan(nest: CloudNest) -> Callable[[], int]:
        fault = nest.bigquery.faults.session(code=code, message=quote_all(), times=None)
        return lambda: fault.hits

    return plan


def fail_stream(**options: Any) -> Plan:
    """Reading rows breaks off with a status that quotes all canaries, or with spoiled rows."""

    def plan(nest: CloudNest) -> Callable[[], int]:
        fault = nest.bigquery.faults.stream(message=quote_all(), times=None, **options)
        return lambda: fault.hits

    return plan


def fail_s3(code: str, **match: Any) -> Plan:
    """S3 answers with an error that quotes all canaries."""

    def plan(nest: CloudNest) -> Callable[[], int]:
        fault = nest.cloud.s3.faults.answer(code, message=quote_all(), times=None, **match)
        return lambda: fault.hits

    return plan


def spoil_s3(kind: str, **match: Any) -> Plan:
    """What was put is not what lies there afterwards."""

    def plan(nest: CloudNest) -> Callable[[], int]:
        fault = getattr(nest.cloud.s3.faults, kind)(times=None, **match)
        return lambda: fault.hits

    return plan


_DATA = r"\.jsonl\.gz$"

#: How each server fails. Refusals that are final: what is tried again would only take longer.
FAULTS: dict[str, Plan] = {
    "dry run": fail_rest(operation="jobs.insert", status=400, reason="invalidQuery"),
    "dry run, no right": fail_rest(operation="jobs.insert", status=403, reason="accessDenied"),
    "job": fail_job("invalidQuery"),
    "job, resources": fail_job("resourcesExceeded"),
    "job, stopped": fail_job("stopped"),
    "session, no right": fail_session("PERMISSION_DENIED"),
    "session, bad": fail_session("INVALID_ARGUMENT"),
    "stream, no right": fail_stream(code="PERMISSION_DENIED"),
    "stream, after rows": fail_stream(code="DATA_LOSS", after_rows=5),
    "stream, garbled rows": fail_stream(action="corrupt_batch"),
    "stream, cut rows": fail_stream(action="truncated_batch"),
    "stream, garbled message": fail_stream(action="corrupt_message"),
    "put, no right": fail_s3("AccessDenied", operation="PutObject", key=_DATA),
    "put, no bucket": fail_s3("NoSuchBucket", operation="PutObject", key=_DATA),
    "put, unknown code": fail_s3(quote_all()[:40], status=400, operation="PutObject", key=_DATA),
    "put, altered": spoil_s3("flip_byte", operation="PutObject", key=_DATA),
    "put, lost": spoil_s3("lose_object", operation="PutObject", key=_DATA),
    "read back, no right": fail_s3("AccessDenied", operation="GetObject", key=_DATA),
    "listing, no right": fail_s3("AccessDenied", operation="ListObjectsV2"),
    "commit, no right": fail_s3("AccessDenied", operation="PutObject", key="manifest"),
    "head, no right": fail_s3("AccessDenied", operation="PutObject", key=r"head\.json$"),
}


@contextlib.contextmanager
def open_clouds(nest: Nest, patch: pytest.MonkeyPatch) -> Iterator[CloudNest]:
    """Start the servers, with the nest's table in BigQuery, and let the nest run there."""
    with BigQueryServer() as bigquery, open_cloud() as cloud:
        bigquery.create_dataset("staging")
        bigquery.copy_duckdb(nest.folder / "warehouse.duckdb")
        variables = {
            "REVERSE_ETL_PROFILE": "cloud",
            "REVERSE_ETL_BIGQUERY_PROJECT": bigquery.project,
            "REVERSE_ETL_BIGQUERY_DATASET": "staging",
            "REVERSE_ETL_BIGQUERY_ENDPOINT": bigquery.endpoint,
            "REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT": bigquery.storage_endpoint,
            "REVERSE_ETL_BIGQUERY_ANONYMOUS": "1",
            **cloud.environment,
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        yield CloudNest(nest=nest, bigquery=bigquery, cloud=cloud)

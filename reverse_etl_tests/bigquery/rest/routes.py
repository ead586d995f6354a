"""Which function answers which request."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.rest import datasets, jobs, rows, tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that found its function. An answer is a JSON object, JSON bytes, or None for 204."""

    name: str
    path: Mapping[str, str]
    answer: Callable[[Backend, Mapping[str, str], Mapping[str, str], Any], Any]


Route: TypeAlias = tuple[str, str, str, Callable[..., Any]]

_PROJECT = "/bigquery/v2/projects/(?P<project>[^/]+)"
_DATASET = f"{_PROJECT}/datasets/(?P<dataset>[^/]+)"
_TABLE = f"{_DATASET}/tables/(?P<table>[^/:]+)"
_JOB = f"{_PROJECT}/jobs/(?P<job>[^/]+)"
_ROUTES: tuple[Route, ...] = (
    ("GET", f"{_PROJECT}/serviceAccount", "projects.getServiceAccount", jobs.get_service_account),
    ("POST", f"{_PROJECT}/jobs", "jobs.insert", jobs.insert),
    ("POST", f"/upload{_PROJECT}/jobs", "jobs.upload", jobs.upload),
    ("GET", f"{_PROJECT}/jobs", "jobs.list", jobs.list_all),
    ("GET", _JOB, "jobs.get", jobs.get),
    ("POST", f"{_JOB}/cancel", "jobs.cancel", jobs.cancel),
    ("POST", f"{_PROJECT}/queries", "jobs.query", jobs.query),
    ("GET", f"{_PROJECT}/queries/(?P<job>[^/]+)", "jobs.getQueryResults", jobs.get_query_results),
    ("GET", f"{_PROJECT}/datasets", "datasets.list", datasets.list_all),
    ("POST", f"{_PROJECT}/datasets", "datasets.insert", datasets.insert),
    ("GET", _DATASET, "datasets.get", datasets.get),
    ("PATCH", _DATASET, "datasets.patch", datasets.patch),
    ("DELETE", _DATASET, "datasets.delete", datasets.delete),
    ("GET", f"{_DATASET}/tables", "tables.list", tables.list_all),
    ("POST", f"{_DATASET}/tables", "tables.insert", tables.insert),
    ("GET", _TABLE, "tables.get", tables.get),
    ("PATCH", _TABLE, "tables.patch", tables.patch),
    ("DELETE", _TABLE, "tables.delete", tables.delete),
    ("POST", f"{_TABLE}:testIamPermissions", "tables.testIamPermissions", tables.test_permissions),
    ("GET", f"{_TABLE}/data", "tabledata.list", rows.list_rows),
)


def find_call(method: str, path: str) -> Call:
    """The function for a request; `ApiError` 404 when there is none."""
    for verb, pattern, name, answer in _ROUTES:
        if verb == method and (found := re.fullmatch(pattern, path)):
            return Call(name=name, path=found.groupdict(), answer=answer)
    raise ApiError("notFound", f"The server of the tests has no {method} {path}")

"""datasets.get, insert, patch, delete, list."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.catalog import Dataset
from reverse_etl_tests.bigquery.clock import to_millis
from reverse_etl_tests.bigquery.errors import ApiError

_Strings = Mapping[str, str]


def get(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """One dataset with its access entries."""
    del query, body
    dataset = _find(backend, path, "bigquery.datasets.get")
    return _describe(dataset)


def insert(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """A new dataset."""
    del query
    backend.catalog.check_project(path["project"])
    backend.faults.permissions.check("bigquery.datasets.create", path["project"])
    dataset = backend.catalog.create_dataset(
        body["datasetReference"]["datasetId"],
        location=body.get("location"),
        access=body.get("access"),
        default_expiration=_parse_expiration(body),
        labels=body.get("labels"),
    )
    return _describe(dataset)


def patch(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """Another access list, default expiration or labels."""
    del query
    dataset = _find(backend, path, "bigquery.datasets.update")
    if "access" in body:
        dataset.access = body["access"]
    if "defaultTableExpirationMs" in body:
        dataset.default_expiration = _parse_expiration(body)
    if "labels" in body:
        dataset.labels = body["labels"] or {}
    return _describe(dataset)


def delete(backend: Backend, path: _Strings, query: _Strings, body: Any) -> None:
    """Remove a dataset; one that holds tables only with `deleteContents`."""
    del body
    dataset = _find(backend, path, "bigquery.datasets.delete")
    if dataset.tables and query.get("deleteContents") != "true":
        raise ApiError("resourceInUse", f"Dataset {dataset.full_name} is still in use", status=400)
    backend.catalog.delete_dataset(dataset.name)


def list_all(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """Every dataset."""
    del query, body
    backend.catalog.check_project(path["project"])
    found = [_describe(dataset) for dataset in backend.catalog.list_datasets()]
    kept = ("kind", "id", "datasetReference", "labels", "location")
    return {
        "kind": "bigquery#datasetList",
        "datasets": [{name: it[name] for name in kept} for it in found],
    }


def _find(backend: Backend, path: _Strings, permission: str) -> Dataset:
    backend.faults.permissions.check(permission, f"{path['project']}:{path['dataset']}")
    return backend.catalog.get_dataset(path["dataset"], project=path["project"])


def _parse_expiration(body: Mapping[str, Any]) -> dt.timedelta | None:
    millis = body.get("defaultTableExpirationMs")
    return None if millis is None else dt.timedelta(milliseconds=int(millis))


def _describe(dataset: Dataset) -> dict[str, Any]:
    created = str(to_millis(dataset.created_at))
    described: dict[str, Any] = {
        "kind": "bigquery#dataset",
        "etag": created,
        "id": dataset.full_name,
        "datasetReference": {"projectId": dataset.project, "datasetId": dataset.name},
        "location": dataset.location,
        "access": dataset.access,
        "labels": dict(dataset.labels),
        "maxTimeTravelHours": str(dataset.time_travel_hours),
        "creationTime": created,
        "lastModifiedTime": created,
    }
    if dataset.default_expiration is not None:
        millis = dataset.default_expiration // dt.timedelta(milliseconds=1)
        described["defaultTableExpirationMs"] = str(millis)
    return described

"""tables.get, insert, patch, delete, list, testIamPermissions."""

from collections.abc import Mapping
from typing import Any

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.catalog import Table
from reverse_etl_tests.bigquery.clock import from_millis, to_millis
from reverse_etl_tests.bigquery.errors import ApiError, already_exists
from reverse_etl_tests.bigquery.rest.paging import cut_page
from reverse_etl_tests.bigquery.schema import collect_policy_tags, describe_fields, parse_fields

_Strings = Mapping[str, str]


def get(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """One table: schema with policy tags, type, size, expiration."""
    del query, body
    return describe_table(find_table(backend, path, "bigquery.tables.get"))


def insert(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """A new, empty table, or a view."""
    del query
    dataset = backend.catalog.get_dataset(path["dataset"], project=path["project"])
    backend.faults.permissions.check("bigquery.tables.create", dataset.full_name)
    name = body["tableReference"]["tableId"]
    fields = body.get("schema", {}).get("fields", [])
    view = body.get("view")
    with backend.catalog.lock:  # of two that make the same table, one is told so
        existing = backend.catalog.find_table(dataset.name, name)
        if existing is not None:
            raise already_exists("Table", existing.full_name)
        table = backend.catalog.put_table(
            dataset.name,
            name,
            backend.engine.keep_arrow(parse_fields(fields).empty_table()),
            kind="VIEW" if view else "TABLE",
            policy_tags=collect_policy_tags(fields),
            view_query=view["query"] if view else None,
        )
    table.time_partitioning = body.get("timePartitioning")
    _change(table, body)
    return describe_table(table)


def patch(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """Another expiration, description, labels, or policy tags."""
    del query
    table = find_table(backend, path, "bigquery.tables.update")
    _change(table, body)
    if "schema" in body:
        table.policy_tags = collect_policy_tags(body["schema"]["fields"])
    table.modified_at = backend.clock.now()
    return describe_table(table)


def delete(backend: Backend, path: _Strings, query: _Strings, body: Any) -> None:
    """Remove a table."""
    del query, body
    table = find_table(backend, path, "bigquery.tables.delete")
    backend.catalog.drop_table(table.dataset, table.name)


def list_all(backend: Backend, path: _Strings, query: _Strings, body: Any) -> dict[str, Any]:
    """The tables of a dataset, page by page."""
    del body
    dataset = backend.catalog.get_dataset(path["dataset"], project=path["project"])
    backend.faults.permissions.check("bigquery.tables.list", dataset.full_name)
    tables = backend.catalog.list_tables(dataset.name)
    page, following = cut_page(tables, query, default=50)
    answer = {
        "kind": "bigquery#tableList",
        "totalItems": len(tables),
        "tables": [_describe_item(table) for table in page],
    }
    return answer | following


def test_permissions(backend: Backend, path: _Strings, query: _Strings, body: Any) -> Any:
    """Which of some permissions the caller has on a table."""
    del query
    table = backend.catalog.get_table(path["dataset"], path["table"], project=path["project"])
    asked = body.get("permissions", [])
    return {
        "permissions": [
            it for it in asked if backend.faults.permissions.permits(it, table.full_name)
        ]
    }


def find_table(backend: Backend, path: _Strings, permission: str) -> Table:
    """The table of a request; `ApiError` when there is none or the caller may not."""
    backend.faults.permissions.check(
        permission, f"{path['project']}:{path['dataset']}.{path['table']}"
    )
    return backend.catalog.get_table(path["dataset"], path["table"], project=path["project"])


def describe_table(table: Table) -> dict[str, Any]:
    """The table as REST gives it."""
    described: dict[str, Any] = _describe_item(table) | {
        "etag": f"{to_millis(table.modified_at)}-{len(table.states)}",
        "lastModifiedTime": str(to_millis(table.modified_at)),
        "location": table.location,
        "schema": {"fields": describe_fields(table.schema, policy_tags=table.policy_tags)},
    }
    if table.kind == "TABLE":
        rows = table.rows
        described["numRows"] = str(rows.count)
        described["numBytes"] = str(sum(rows.column_bytes(name) for name in rows.schema.names))
    if table.time_partitioning is not None:
        described["timePartitioning"] = dict(table.time_partitioning)
    if table.description is not None:
        described["description"] = table.description
    if table.view_query is not None:
        described["view"] = {"query": table.view_query, "useLegacySql": False}
    return described


def _describe_item(table: Table) -> dict[str, Any]:
    described: dict[str, Any] = {
        "kind": "bigquery#table",
        "id": table.full_name,
        "tableReference": table.reference,
        "type": table.kind,
        "creationTime": str(to_millis(table.created_at)),
        "labels": dict(table.labels),
    }
    if table.expires_at is not None:
        described["expirationTime"] = str(to_millis(table.expires_at))
    return described


def _change(table: Table, body: Mapping[str, Any]) -> None:
    if "expirationTime" in body:
        millis = body["expirationTime"]
        moment = None if millis is None else from_millis(millis)
        if moment is not None and moment <= table.created_at:
            raise ApiError("invalid", "Expiration time should be in the future")
        table.expires_at = moment
    if "labels" in body:
        kept = {**table.labels, **(body["labels"] or {})}
        table.labels = {name: value for name, value in kept.items() if value is not None}
    if "description" in body:
        table.description = body["description"]

"""Load jobs: newline-delimited JSON that was uploaded with the job, appended to a table that is there."""

import json
from typing import Any

import pyarrow as pa

from reverse_etl_tests.bigquery.catalog import Catalog
from reverse_etl_tests.bigquery.engine import Engine
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.jobs import Job
from reverse_etl_tests.bigquery.permissions import Permissions

_ONLY = {
    "sourceFormat": "NEWLINE_DELIMITED_JSON",
    "writeDisposition": "WRITE_APPEND",
    "createDisposition": "CREATE_NEVER",
}


def load_rows(job: Job, catalog: Catalog, engine: Engine, permissions: Permissions) -> None:
    """Append every row or none; `ApiError` for what this server does not do, and for what does not fit."""
    load: dict[str, Any] = job.configuration["load"]
    if any(load.get(name) != value for name, value in _ONLY.items()):
        raise ApiError("notImplemented", "The server of the tests appends JSON to tables, no more")
    name = load["destinationTable"]
    with catalog.lock:
        table = catalog.get_table(name["datasetId"], name["tableId"], project=name["projectId"])
        permissions.check("bigquery.tables.updateData", table.full_name)
        rows = [json.loads(line) for line in (job.content or "").splitlines()]
        unknown = {field for row in rows for field in row} - set(table.schema.names)
        if unknown:
            raise ApiError("invalid", f"No such field: {min(unknown)}.")
        old = table.rows.arrow()
        new = _parse(rows, old.schema)
        catalog.replace_rows(table, engine.keep_arrow(pa.concat_tables([old, new])))
    job.destination = name
    job.statistics = {"load": {"outputRows": str(len(rows)), "badRecords": "0"}}


def _parse(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        # Moments are written out: Arrow reads them from text alone.
        texts = any(isinstance(value, str) for value in values)
        column = pa.array(values, pa.string() if texts else None)
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)

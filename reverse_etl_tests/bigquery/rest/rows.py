"""tabledata.list, and the pages of rows that it shares with getQueryResults."""

import json
from collections.abc import Mapping
from typing import Any

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.engine import Rows
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.rest.cells import encode_rows
from reverse_etl_tests.bigquery.rest.tables import find_table

_Strings = Mapping[str, str]
# About ten megabytes of JSON, which is the most that Google answers.
_PAGE_ROWS = 50_000


def list_rows(backend: Backend, path: _Strings, query: _Strings, body: Any) -> bytes:
    """A page of a table, of the selected columns."""
    del body
    table = find_table(backend, path, "bigquery.tables.getData")
    if table.kind != "TABLE":
        raise ApiError("invalid", f"Cannot list a table of type {table.kind}.")
    return encode_page(table.rows, query, around={"kind": "bigquery#tableDataList"})


def encode_page(rows: Rows, query: _Strings, *, around: Mapping[str, Any]) -> bytes:
    """A page of rows as JSON, with `around` before it and the token of the next page if there is one."""
    table = rows.arrow()
    if names := query.get("selectedFields"):
        table = table.select(names.split(","))
    start = int(query.get("pageToken") or query.get("startIndex") or 0)
    asked = query.get("maxResults")
    count = min(_PAGE_ROWS if asked in {None, ""} else int(asked or 0), _PAGE_ROWS)
    page = table.slice(start, count)
    answer = {**around, "totalRows": str(table.num_rows)}
    if asked == "0":
        # Asked for none, BigQuery names no rows at all; the client then looks for the first page itself.
        return json.dumps(answer).encode()
    if 0 < start + page.num_rows < table.num_rows:
        answer["pageToken"] = str(start + page.num_rows)
    head = json.dumps(answer).removesuffix("}")
    return f'{head}, "rows": {encode_rows(page)}}}'.encode()

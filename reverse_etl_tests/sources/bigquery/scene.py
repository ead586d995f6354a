"""The small shop that tests of the REST half ask about: a table, requests, and errors to look into."""

import datetime as dt
from typing import Any

import pyarrow as pa

from reverse_etl.errors import ReverseEtlError
from reverse_etl.sources.base import PinRequest, Source
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW, PARTITION

#: What no error may ever show.
CANARY = "canary-7f3a@example.com"
QUERY = "SELECT id, name FROM shop.users"


def build_users(count: int = 100) -> pa.Table:
    """Ids, and names that no error may show."""
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "name": [f"{CANARY} {number}" for number in range(count)],
        }
    )


def open_shop(server: BigQueryServer, *, now: dt.datetime | None = NOW) -> None:
    """The table `shop.users`; the server's clock stands at `now`."""
    server.now = now
    server.create_table("shop.users", build_users())


def build_request(source: Source, *, query: str = QUERY, **changes: Any) -> PinRequest:
    """A request for every column of the query, made at NOW, good for an hour."""
    values: dict[str, Any] = {
        "snapshot_id": "0123456789abcdef",
        "sync": "people",
        "partition": PARTITION,
        "query": query,
        "policy_fingerprint": "f",
        "run_id": "run-1",
        "pinned_at": NOW,
        "expires_at": NOW + dt.timedelta(hours=1),
        **changes,
    }
    if "schema" not in values:
        values["schema"] = source.describe(query=query, partition=values["partition"]).schema
    return PinRequest(**values)


def explain_all(error: ReverseEtlError) -> str:
    """Everything that a log could show of an error: its text, and that of what stands behind it."""
    texts: list[str] = []
    current: BaseException | None = error
    while current is not None:
        texts += [str(current), repr(current), *getattr(current, "__notes__", ())]
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return "\n".join(texts)

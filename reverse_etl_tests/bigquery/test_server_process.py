"""A server in a process of its own, and servers that leave nothing behind."""

import threading

import pyarrow as pa
import pytest

from reverse_etl_tests.bigquery.clients import connect, connect_reader, create_session, read_stream
from reverse_etl_tests.bigquery.process import BigQueryProcess
from reverse_etl_tests.bigquery.server import BigQueryServer


def test_process_serves_tables_made_from_sql() -> None:
    """Both clients reach it; its CPU time and memory are its own; its log can be read."""
    sql = "SELECT i AS id, 'user ' || i AS name FROM range(50000) r(i)"

    with BigQueryProcess(tables={"bench.users": sql}) as server:
        server.call("streams.set", rows_per_message=20_000)
        server.call("faults.stream", after_rows=10_000)
        with connect(server) as client, connect_reader(server) as reader:
            table = client.get_table("bench.users")
            session = create_session(reader, "bench.users", compressed=True)
            rows = sum(message.row_count for message in read_stream(reader, session.streams[0]))
            private = client.get_dataset("staging")
        log = server.read_log()
        used = (server.cpu_seconds, server.resident_bytes)

    assert table.num_rows == rows == 50_000
    assert private.location == server.location
    assert [it["offset"] for it in log if it["name"] == "ReadRows"] == [0, 10_000]
    assert used > (0, 1 << 20)


def test_process_says_why_it_cannot() -> None:
    """What fails over there is raised here, and the process ends."""
    with pytest.raises(RuntimeError, match="ParserException"):
        BigQueryProcess(tables={"bench.users": "SELEC 1"})


def test_closed_server_leaves_no_thread() -> None:
    """Held jobs, stalled streams and kept connections end with the server."""
    before = set(threading.enumerate())
    server = BigQueryServer()
    server.create_table("shop.users", pa.table({"id": [1, 2]}))
    server.streams.set(rows_per_message=1)
    server.faults.job(hold=True)
    server.faults.stream(action="stall", after_rows=1)

    with connect(server) as client, connect_reader(server) as reader:
        client.query("SELECT id FROM shop.users", job_id="held", job_retry=None)
        session = create_session(reader, "shop.users")
        call = reader.read_rows(session.streams[0].name, retry=None)
        server.close()
        del call

    left = {it.name for it in set(threading.enumerate()) - before if it.is_alive()}
    assert not {name for name in left if "BigQuery" in name or "job" in name}

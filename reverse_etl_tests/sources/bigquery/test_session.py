"""Planning: what is asked of BigQuery, and what is refused before a row is read."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from reverse_etl.errors import (
    ConfigError,
    IntegrityError,
    NotFoundError,
    StaleSplitsError,
    TransientError,
)
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.session import check_session_schema
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.sources.bigquery.readers import (
    HASTY,
    TABLE,
    build_rows,
    open_reader,
    pin_table,
    read_ids,
    table_path,
)

pytestmark = pytest.mark.contract


def plan(
    server: BigQueryServer,
    options: BigQueryOptions,
    *,
    before: Callable[[], object] = lambda: None,
) -> int:
    """Pin a few rows, let `before` happen, plan; the number of splits."""
    snapshot = pin_table(server, build_rows(100))
    before()
    with open_reader(options) as reader:
        return len(reader.plan(snapshot, table_path(server)))


def test_gone_table_is_not_found(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A snapshot whose staging table expired says so, and what to do."""
    with pytest.raises(NotFoundError, match=r"is gone from the source.* Materialise extract again"):
        plan(bigquery_server, bigquery_options, before=lambda: bigquery_server.drop_table(TABLE))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (pa.table({"id": [1]}), "column 'email' is missing"),
        (
            pa.table({"id": ["1"], "email": ["canary"]}),
            "column 'id' is STRING where INT64 was pinned",
        ),
        (
            pa.table({"id": [[1]], "email": ["canary"]}),
            "column 'id' is ARRAY<INT64> where INT64 was pinned",
        ),
    ],
    ids=["missing", "retyped", "repeated"],
)
def test_changed_columns_are_refused_by_name(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions, changed: pa.Table, text: str
) -> None:
    """Somebody altered the staging table between the job and the session: nothing is read."""
    with pytest.raises(IntegrityError, match=f"not what extract pinned: {text}") as caught:
        plan(
            bigquery_server,
            bigquery_options,
            before=lambda: bigquery_server.change_schema(TABLE, changed),
        )

    assert "canary" not in str(caught.value)
    assert bigquery_server.log.named("ReadRows") == []


def test_new_column_is_not_read(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A column that was added is not asked for, and so does no harm."""
    more = build_rows(100).append_column("secret", pa.array(["canary"] * 100))

    plan(
        bigquery_server, bigquery_options, before=lambda: bigquery_server.change_schema(TABLE, more)
    )

    (opened,) = bigquery_server.log.named("CreateReadSession")
    assert opened.fields == ("id", "email")


def test_columns_in_another_order_are_put_right(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """BigQuery gives columns as the table has them; the snapshot's order is what is read."""
    snapshot = pin_table(bigquery_server, build_rows(100))
    bigquery_server.change_schema(TABLE, build_rows(100).select(["email", "id"]))

    with open_reader(bigquery_options) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
        tables = [table for split in splits for table in reader.read(snapshot, split)]

    assert pa.concat_tables(tables).schema == snapshot.schema
    assert pa.concat_tables(tables).to_pydict() == build_rows(100).to_pydict()


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED"])
def test_opening_is_tried_again(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions, code: str
) -> None:
    """A session that could not be made in passing is asked for again."""
    fault = bigquery_server.faults.session(code=code, times=2, retry_delay_seconds=0.01)

    assert plan(bigquery_server, bigquery_options) == 4

    assert fault.hits == 2


def test_opening_is_given_up(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """After some failures in a row."""
    fault = bigquery_server.faults.session(code="UNAVAILABLE", times=None)

    with pytest.raises(TransientError, match="failed 4 times in a row, at last with UNAVAILABLE"):
        plan(bigquery_server, bigquery_options)

    assert fault.hits == HASTY.failures


@pytest.mark.parametrize("permission", ["bigquery.readsessions.create", "bigquery.tables.getData"])
def test_missing_permission_is_named(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions, permission: str
) -> None:
    """With the roles that grant it; it is not tried again."""
    bigquery_server.faults.deny(permission)

    with pytest.raises(ConfigError, match=rf"missing: {permission}.*bigquery\.readSessionUser"):
        plan(bigquery_server, bigquery_options)

    assert len(bigquery_server.log.named("CreateReadSession")) == 1


def test_expired_session_asks_for_a_new_plan(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Its streams cannot be read any more; a new plan over the same rows can."""
    snapshot = pin_table(bigquery_server, build_rows(100))
    bigquery_server.faults.session(lifetime_seconds=0.0)

    with open_reader(bigquery_options) as reader:
        expired = reader.plan(snapshot, table_path(bigquery_server))
        with pytest.raises(StaleSplitsError):
            read_ids(reader, snapshot, expired)
        fresh = reader.plan(snapshot, table_path(bigquery_server))

        assert sorted(read_ids(reader, snapshot, fresh)) == list(range(100))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (pa.schema([("id", pa.int64())]), "column 'email' is missing"),
        (
            pa.schema([("id", pa.uint64()), ("email", pa.string())]),
            "column 'id' has a type that cannot be carried",
        ),
        (
            pa.schema([("id", pa.int64()), ("email", pa.string()), ("more", pa.string())]),
            "column 'more' was not asked for",
        ),
    ],
    ids=["missing", "foreign", "more"],
)
def test_session_is_held_to_the_snapshot(
    bigquery_server: BigQueryServer, found: pa.Schema, text: str
) -> None:
    """Whatever a session says, only the pinned columns in their types are read."""
    snapshot = pin_table(bigquery_server, build_rows(1))

    with pytest.raises(IntegrityError, match=text):
        check_session_schema(found, snapshot)

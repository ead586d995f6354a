"""The sample syncs over the sample warehouse: their queries run, and their rules fit to the column."""

import datetime as dt
import functools
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import reverse_etl
from reverse_etl.embedded.warehouse import SampleWarehouse
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.model import Partition
from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.duckdb import DuckDBSource
from reverse_etl.spec import SyncSpec, load_specs
from reverse_etl.types import bigquery_type_name

SPECS = load_specs(Path(reverse_etl.__file__).parent / "defs")
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
LATEST = "2026-11-19"
SAMPLES = ("user_profile", "user_stats")

ReadRows = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def source(sample: SampleWarehouse) -> DuckDBSource:
    return DuckDBSource(sample.path, memory_limit_bytes=512 * 2**20, threads=2)


def take_partition(spec: SyncSpec, key: str) -> Partition:
    return spec.partition(key, now=NOW)


def pin_rows(source: DuckDBSource, name: str, key: str) -> pa.Table:
    """Run the query: every column of it, dropped ones too, ordered by user."""
    spec = SPECS[name]
    partition = take_partition(spec, key)
    snapshot = source.pin(
        PinRequest(
            snapshot_id=f"{name}-{uuid.uuid4().hex}",
            sync=name,
            partition=partition,
            query=spec.query,
            schema=source.describe(query=spec.query, partition=partition).schema,
            policy_fingerprint="",
            run_id="test",
            pinned_at=NOW,
            expires_at=NOW + dt.timedelta(hours=1),
        )
    )
    splits = source.plan_splits(snapshot)
    batches = [batch for split in splits for batch in source.read(snapshot, split)]
    return pa.concat_tables(batches).sort_by("user_id")


@pytest.fixture(scope="module")
def read_rows(source: DuckDBSource) -> ReadRows:
    """The rows of a day: each query runs once for all tests that only look at them."""

    @functools.cache
    def read(name: str, key: str = LATEST) -> pa.Table:
        return pin_rows(source, name, key)

    return read


@pytest.mark.parametrize("name", SAMPLES)
def test_rules_fit_the_query(source: DuckDBSource, name: str) -> None:
    """Each column of the query has a rule that takes its type, in the query's order, and none is left."""
    spec = SPECS[name]

    schema = source.describe(query=spec.query, partition=take_partition(spec, LATEST)).schema
    policy = resolve_policy(spec.config.columns, key=spec.config.key, schema=schema)

    assert [rule.name for rule in spec.config.columns] == schema.names
    assert len(policy.columns) + len(policy.dropped) == len(schema.names)


@pytest.mark.parametrize("name", SAMPLES)
def test_rows_have_unique_keys(read_rows: ReadRows, name: str) -> None:
    """No user is missing a key or is there twice, and there are enough for the sync's own guard."""
    spec = SPECS[name]

    keys = read_rows(name)[spec.config.key]

    assert keys.null_count == 0
    assert pc.count_distinct(keys).as_py() == len(keys)
    assert spec.config.guards.min_rows < len(keys) < 2_000


@pytest.mark.parametrize("name", SAMPLES)
def test_two_runs_of_a_day_give_equal_rows(
    source: DuckDBSource, read_rows: ReadRows, name: str
) -> None:
    """Ties are broken and arrays ordered, so that running a day again changes nothing."""
    first = read_rows(name)
    second = pin_rows(source, name, LATEST)

    # As text: NaN is not equal to itself.
    assert str(first.to_pylist()) == str(second.to_pylist())


@pytest.mark.parametrize("name", SAMPLES)
def test_users_who_left_are_gone_the_next_week(read_rows: ReadRows, name: str) -> None:
    """Between two days users vanish and appear, within what the guards let pass."""
    max_shrink = SPECS[name].config.guards.max_shrink

    before = read_rows(name, "2026-11-12")
    after = read_rows(name)

    gone = set(before["user_id"].to_pylist()) - set(after["user_id"].to_pylist())
    new = set(after["user_id"].to_pylist()) - set(before["user_id"].to_pylist())
    assert gone
    assert new
    assert len(after) > (1 - max_shrink) * len(before)


def test_stats_have_the_declared_types(source: DuckDBSource) -> None:
    """Counts are INT64 and money is NUMERIC, in the embedded source as in BigQuery."""
    spec = SPECS["user_stats"]

    schema = source.describe(query=spec.query, partition=take_partition(spec, LATEST)).schema

    assert {field.name: bigquery_type_name(field) for field in schema} == {
        "user_id": "STRING",
        "account_number": "INT64",
        "email": "STRING",
        "birthday": "DATE",
        "country": "STRING",
        "signup_at": "TIMESTAMP",
        "balance": "NUMERIC",
        "segment": "STRING",
        "is_active": "BOOL",
        "events_30d": "INT64",
        "events_1d": "INT64",
        "active_days_30d": "INT64",
        "purchases_30d": "INT64",
        "revenue_30d": "NUMERIC",
        "average_basket": "FLOAT64",
        "last_event_at": "TIMESTAMP",
        "days_since_last_event": "INT64",
        "favourite_kind": "STRING",
        "last_device": "STRUCT<os STRING, app_version STRING>",
        "top_skus": "ARRAY<STRING>",
        "top_items": "ARRAY<STRUCT<sku STRING, quantity INT64>>",
    }


def test_stats_agree_with_each_other(read_rows: ReadRows) -> None:
    """The aggregates of one user never contradict each other, whatever the user did."""
    rows = read_rows("user_stats").to_pylist()

    for row in rows:
        assert row["is_active"] == (row["events_30d"] > 0) == (row["last_event_at"] is not None)
        assert row["events_1d"] <= row["events_30d"]
        assert row["purchases_30d"] <= row["events_30d"]
        assert row["active_days_30d"] <= min(30, row["events_30d"])
        assert (row["average_basket"] is not None) == (row["purchases_30d"] > 0)
        top = row["top_items"] or []
        assert [item["sku"] for item in top] == (row["top_skus"] or [])
        assert top == sorted(top, key=lambda item: (-item["quantity"], item["sku"]))
        assert bool(top) == (row["purchases_30d"] > 0)
    assert {row["segment"] for row in rows} == {"new", "buyer", "browser", "asleep"}


def test_stats_look_no_further_than_the_day(read_rows: ReadRows) -> None:
    """An earlier day's rows know nothing of events after it ended, midnight in Tokyo."""
    end = take_partition(SPECS["user_stats"], "2026-11-12").window_end

    rows = read_rows("user_stats", "2026-11-12")

    assert end == dt.datetime(2026, 11, 12, 15, tzinfo=dt.UTC)
    assert pc.max(rows["last_event_at"]).as_py() < end
    assert pc.max(rows["signup_at"]).as_py() < end
    assert pc.min(rows["days_since_last_event"]).as_py() == 0


def test_profiles_keep_the_oddest_values(read_rows: ReadRows) -> None:
    """What is odd in the warehouse arrives as it was, so that the chain behind has to carry it."""
    rows = read_rows("user_profile").to_pylist()

    assert any("\0" in (row["bio"] or "") for row in rows)
    assert any(str(row["score"]) == "nan" for row in rows)
    assert any(row["avatar"] == b"" for row in rows)
    assert any(row["quiet_hours"] == dt.time(23, 59, 59, 999999) for row in rows)
    assert any(row["settings"] == "null" for row in rows)
    assert any(row["addresses"] and row["addresses"][-1]["label"] is None for row in rows)
    assert {frozenset(address) for row in rows for address in row["addresses"] or []} == {
        frozenset({"label", "city"})
    }

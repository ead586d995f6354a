"""The arithmetic of a plan: bytes, costs and memory, and what is left unknown. Pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.sources.base import Forecast
from reverse_etl.sources.bigquery.options import Prices
from reverse_etl.stages.run_plan import Basis, plan_query, plan_read, plan_redis

BEFORE = "2026-11-17"
TIB = 1 << 40
GIB = 1 << 30


def build_basis(**changes: Any) -> Basis:
    values: dict[str, Any] = {
        "version": f"{BEFORE}.01kxqt5w8b7g4m2t",
        "partition": BEFORE,
        "rows": 10,
        "bytes": 100,
        "format": "json",
        "compression": "gzip",
        "same_columns": True,
        "key_bytes": 8.0,
        "value_bytes": 50.0,
        "snapshot_bytes": TIB,
        **changes,
    }
    return Basis(**values)


def build_forecast(**changes: Any) -> Forecast:
    values: dict[str, Any] = {
        "description": None,
        "bytes_to_process": TIB - 1,
        "bytes_to_bill": TIB,
        "bytes_limit": 2 * TIB,
        "prices": Prices(query_per_tib=6.25, read_per_tib=1.1, egress_per_gib=0.12),
        **changes,
    }
    return Forecast(**values)


def test_query_is_priced_by_what_it_bills() -> None:
    """And measured against the cap by what it processes."""
    query = plan_query(build_forecast(), budget_usd=None)

    assert query.cost_usd == 6.25
    assert query.below_cap_bytes == TIB + 1


def test_query_over_the_cap_is_below_it_by_a_negative_number() -> None:
    """How far over is as useful as how far below."""
    query = plan_query(build_forecast(bytes_limit=TIB - 11), budget_usd=None)

    assert query.below_cap_bytes == -10


def test_source_that_charges_nothing_has_no_costs() -> None:
    """Neither for the query nor for reading: None, not zero dollars."""
    free = Forecast(description=None)

    assert plan_query(free, budget_usd=None).is_charged is False
    assert plan_read(free, build_basis()).read_cost_usd is None


def test_reading_is_priced_by_the_earlier_snapshot() -> None:
    """Storage Read by the TiB, traffic by the GiB; without a snapshot neither is known."""
    read = plan_read(build_forecast(), build_basis())
    unknown = plan_read(build_forecast(), build_basis(snapshot_bytes=None))

    assert (read.read_bytes, read.read_cost_usd) == (TIB, 1.1)
    assert read.egress_bytes == TIB
    assert read.egress_cost_usd == pytest.approx(TIB / GIB * 0.12)
    assert (unknown.is_charged, unknown.read_bytes, unknown.egress_cost_usd) == (True, None, None)


@given(
    rows=st.integers(0, 10**9),
    key_bytes=st.floats(1, 1e4),
    value_bytes=st.floats(1, 1e7),
    versions=st.integers(2, 10),
)
def test_redis_grows_with_records_and_versions(
    rows: int, key_bytes: float, value_bytes: float, versions: int
) -> None:
    """All at once is versions times one, and one is never less than its keys and values."""
    basis = build_basis(rows=rows, key_bytes=key_bytes, value_bytes=value_bytes)

    memory = plan_redis(basis, prefix_bytes=40, versions=versions)

    assert memory.version_bytes is not None
    assert memory.version_bytes >= int(rows * (40 + key_bytes + value_bytes))
    assert memory.bytes == versions * memory.version_bytes

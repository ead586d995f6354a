"""One small sample warehouse for all tests that only read it."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from reverse_etl.embedded.warehouse import SampleWarehouse, build_sample_warehouse

END_DATE = dt.date(2026, 11, 20)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleWarehouse:
    """2,000 users: the least that holds every oddity."""
    path: Path = tmp_path_factory.mktemp("sample") / "warehouse.duckdb"
    return build_sample_warehouse(path, users=2_000, events=20_000, end_date=END_DATE)


@pytest.fixture(scope="session")
def warehouse(sample: SampleWarehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """That sample, read-only; days are cut in UTC."""
    with duckdb.connect(str(sample.path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection

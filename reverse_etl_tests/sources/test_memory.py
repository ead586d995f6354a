"""The source in memory passes the contract."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.contracts.source import QUERY, ROWS, SourceContract


class TestMemorySource(SourceContract):
    """Tables by query text."""

    @pytest.fixture
    def source(self) -> MemorySource:
        ids = pa.array(range(ROWS), pa.int32())
        names = pa.array(["n"] * ROWS)
        return MemorySource(
            {QUERY: pa.table({"id": ids, "name": names, "secret": names})},
            split_rows=100_000,
            batch_rows=30_000,
        )

    @pytest.fixture
    def change(self, source: MemorySource) -> Callable[[], None]:
        def remove() -> None:
            source.tables[QUERY] = source.tables[QUERY].slice(0, 0)

        return remove

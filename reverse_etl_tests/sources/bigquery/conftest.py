"""What every test of the source works with."""

from collections.abc import Iterator

import pytest

from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.scene import open_shop


@pytest.fixture
def source(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> Iterator[BigQuerySource]:
    """A source over the shop."""
    open_shop(bigquery_server)
    source = BigQuerySource(bigquery_options, now=lambda: NOW)
    yield source
    source.close()

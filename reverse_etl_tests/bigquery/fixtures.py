"""Fixtures: a fresh server with a staging dataset, and the product's options that point to it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from reverse_etl.sources.bigquery.options import BigQueryOptions

if TYPE_CHECKING:
    from reverse_etl_tests.bigquery.server import BigQueryServer

STAGING = "staging"


@pytest.fixture
def bigquery_server() -> Iterator["BigQueryServer"]:
    """A server of this test's own; dataset `staging` is there and only its project's owners reach it."""
    # Google's clients and gRPC: a second of imports that every other test does without.
    from reverse_etl_tests.bigquery.server import BigQueryServer  # noqa: PLC0415

    with BigQueryServer() as server:
        server.create_dataset(STAGING)
        yield server


@pytest.fixture
def bigquery_options(bigquery_server: "BigQueryServer") -> BigQueryOptions:
    """The product's options for that server, with a patience fit for tests."""
    return BigQueryOptions(
        dataset=STAGING,
        project=bigquery_server.project,
        endpoint=bigquery_server.endpoint,
        storage_endpoint=bigquery_server.storage_endpoint,
        anonymous=True,
        stall_seconds=0.5,
    )

"""Fixtures: a fresh server, plain or over TLS."""

from collections.abc import Iterator

import pytest

from reverse_etl_tests.s3.server import S3Server


@pytest.fixture
def s3_server() -> Iterator[S3Server]:
    """A server of this test's own, over plain HTTP; signatures are checked."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_tls_server() -> Iterator[S3Server]:
    """The same over TLS."""
    with S3Server(tls=True) as server:
        yield server

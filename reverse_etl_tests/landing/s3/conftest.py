"""What the tests of the store on S3 share."""

from collections.abc import Iterator

import pytest

from reverse_etl.landing.s3.store import S3Store
from reverse_etl_tests.identity.fixtures import clean_aws
from reverse_etl_tests.landing.s3.scenes import FakeTime, open_store
from reverse_etl_tests.s3.fixtures import s3_server, s3_tls_server
from reverse_etl_tests.s3.server import S3Server

__all__ = ["clean_aws", "s3_server", "s3_tls_server"]


@pytest.fixture(autouse=True)
def _alone(
    clean_aws: None,  # noqa: ARG001 - wanted for what it does
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of the developer's AWS reaches a test, and no proxy stands before loopback."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(s3_server: S3Server) -> S3Server:
    """A server of this test's own, over plain HTTP."""
    return s3_server


@pytest.fixture
def time() -> FakeTime:
    """What the store's retries wait in."""
    return FakeTime()


@pytest.fixture
def store(server: S3Server, time: FakeTime) -> Iterator[S3Store]:
    """A store on it."""
    with open_store(server, retries=time.policy()) as opened:
        yield opened

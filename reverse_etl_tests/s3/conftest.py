"""What the tests of the server share: its fixtures, clients, and both wire formats."""

from collections.abc import Iterator
from typing import Any

import pytest

from reverse_etl_tests.identity.clock import Clock
from reverse_etl_tests.identity.sessions import SessionBook
from reverse_etl_tests.s3.clients import ROLE, make_boto3, make_obstore
from reverse_etl_tests.s3.fixtures import s3_server, s3_tls_server
from reverse_etl_tests.s3.permissions import Permission
from reverse_etl_tests.s3.server import S3Server

__all__ = ["s3_server", "s3_tls_server"]


@pytest.fixture(params=[False, True], ids=["http", "tls"], scope="module")
def both(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """A server over HTTP and one over TLS: boto3 sends bodies differently. Shared: names are a test's own."""
    with S3Server(tls=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def both_boto3(both: S3Server) -> Iterator[Any]:
    """boto3 for either."""
    client = make_boto3(both)
    yield client
    client.close()


@pytest.fixture(scope="module")
def both_obstore(both: S3Server) -> Any:
    """The same for obstore."""
    return make_obstore(both)


@pytest.fixture
def server(s3_server: S3Server) -> S3Server:
    """A plain server of this test's own."""
    return s3_server


@pytest.fixture
def client(server: S3Server) -> Iterator[Any]:
    """boto3 for it, one attempt a request."""
    client = make_boto3(server)
    yield client
    client.close()


@pytest.fixture
def clock() -> Clock:
    """A clock that this test may put forward."""
    return Clock()


@pytest.fixture
def book(clock: Clock) -> SessionBook:
    """Sessions of this test."""
    return SessionBook(clock=clock)


@pytest.fixture
def guarded(book: SessionBook, clock: Clock) -> Iterator[S3Server]:
    """A server that knows those sessions; their role may read and write below `own/`."""
    with S3Server(sessions=book, clock=clock) as server:
        server.permissions.by_role[ROLE] = [
            Permission(actions=("s3:PutObject", "s3:Get*"), prefix="own/"),
            Permission(actions=("s3:ListBucket",), prefix="own/"),
        ]
        yield server

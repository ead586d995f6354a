"""Servers, certificates and a store for tests of alerts."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from reverse_etl.landing.store import MemoryStore
from reverse_etl_tests.alerts.receivers import HttpReceiver, SmtpReceiver
from reverse_etl_tests.alerts.scenes import SlowClock


@pytest.fixture
def store() -> MemoryStore:
    """An empty one."""
    return MemoryStore()


@pytest.fixture
def clock() -> SlowClock:
    """It goes on when it is told to."""
    return SlowClock()


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    """Takes everything, until its plan says otherwise."""
    with HttpReceiver() as server:
        yield server


@pytest.fixture
def mail_server() -> Iterator[SmtpReceiver]:
    """Takes everything, until its answers say otherwise."""
    with SmtpReceiver() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs for servers of the tests."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A certificate for this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process trusts the tests' authority."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

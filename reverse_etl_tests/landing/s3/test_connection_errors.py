"""When S3 is not reached, or something else is: certificates, hosts, ports, and strangers."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.landing.s3.store import S3Store
from reverse_etl_tests.landing.s3.calls import CALLS, any_call, fail
from reverse_etl_tests.landing.s3.scenes import PREFIX, FakeTime, drip, open_store
from reverse_etl_tests.s3.server import BUCKET, S3Server


@any_call
def test_certificate_that_nobody_vouches_for(
    s3_tls_server: S3Server, call: Callable[[S3Store], object], tmp_path: Path
) -> None:
    """An authority that is not trusted is no transient fault: the file to set is named."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))

    with open_store(s3_tls_server, ca_file=other) as store:
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "REVERSE_ETL_S3_CA_FILE" in str(error)
    assert s3_tls_server.log == ()


def test_certificate_without_a_ca_file(s3_tls_server: S3Server) -> None:
    """The same when no file is set at all."""
    with open_store(s3_tls_server, ca_file=None) as store:
        error = fail(CALLS["put"], store)

    assert "not signed by an authority that this machine trusts" in str(error)


@any_call
def test_certificate_of_another_host(
    server: S3Server, call: Callable[[S3Store], object], tmp_path: Path
) -> None:
    """A trusted certificate for another name is said to be that."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("another.example.com").configure_cert(tls)

    with (
        drip([], tls=tls) as endpoint,
        open_store(server, endpoint_url=endpoint, ca_file=tmp_path / "ca.pem") as store,
    ):
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "is for another host" in str(error)


def test_plain_server_behind_https(server: S3Server) -> None:
    """An https:// address where nobody speaks TLS is a person's to mend."""
    with (
        drip([b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"]) as endpoint,
        open_store(server, endpoint_url=endpoint.replace("http:", "https:")) as store,
    ):
        error = fail(CALLS["put"], store)

    assert isinstance(error, ConfigError)
    assert "no TLS is spoken there" in str(error)


@pytest.mark.parametrize("content", [None, "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_ca_file_that_is_none(server: S3Server, tmp_path: Path, content: str | None) -> None:
    """A file that is missing, or holds no certificate, is found when the store is made."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with (
        pytest.raises(ConfigError, match="REVERSE_ETL_S3_CA_FILE"),
        open_store(server, ca_file=path),
    ):
        pass


@any_call
def test_host_that_nobody_has(
    server: S3Server, call: Callable[[S3Store], object], time: FakeTime
) -> None:
    """A name without an address is looked up a few times, then the settings are to be checked."""
    with open_store(
        server, endpoint_url="http://no-such-host.invalid:9000", retries=time.policy()
    ) as store:
        error = fail(call, store)

    assert isinstance(error, ConfigError)
    assert "there is no host 'no-such-host.invalid:9000'" in str(error)
    # Four look-ups, and what a resolver left without an answer between them: fewer than a host that is
    # away is given.
    assert 3 <= len(time.sleeps) < time.policy().attempts - 1


@any_call
def test_nobody_listens(call: Callable[[S3Store], object], time: FakeTime) -> None:
    """A refused connection may be a restart: it is tried for long, then bucket and address are named."""
    with S3Server() as gone:
        pass

    with open_store(gone, retries=time.policy()) as store:
        error = fail(call, store)

    assert isinstance(error, TransientError)
    assert f"s3://{BUCKET}/{PREFIX}" in str(error)
    assert f"127.0.0.1:{gone.port}" in str(error)
    assert "REVERSE_ETL_S3_ENDPOINT_URL" in str(error)
    assert len(time.sleeps) >= 5


@any_call
def test_something_else_answers(server: S3Server, call: Callable[[S3Store], object]) -> None:
    """A web server's page is neither an object nor an empty listing."""
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

    with drip([page]) as endpoint, open_store(server, endpoint_url=endpoint) as store:
        error = fail(call, store)

    # boto takes what it cannot read for a server's own fault.
    expected = TransientError if call is CALLS["sweep"] else ConfigError
    assert isinstance(error, expected)
    assert expected is TransientError or "does not speak S3" in str(error)

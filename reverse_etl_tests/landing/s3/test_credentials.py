"""Who signs: credentials that are renewed, refused, late, or not to be had."""

import datetime as dt
import time as real_time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.landing.s3.clients import MULTIPART_BYTES
from reverse_etl.landing.s3.retry import RetryPolicy
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.model import AwsCredentials
from reverse_etl_tests.identity.sessions import PolicyRule, SessionBook
from reverse_etl_tests.landing.s3.calls import CALLS
from reverse_etl_tests.landing.s3.scenes import (
    in_an_hour,
    open_store,
    owner_of,
    session_credentials,
)
from reverse_etl_tests.s3.server import S3Server


class Issuer:
    """Credentials as a run has them: a new session whenever `renew` was called."""

    def __init__(self, book: SessionBook) -> None:
        self._book = book
        self.renew()

    def renew(self) -> None:
        session = self._book.issue(
            role_arn="arn:aws:iam::123456789012:role/r",
            session_name="s",
            rules=(PolicyRule(actions=("s3:*",), resources=("*",)),),
        )
        self.keys = session_credentials(session)

    def __call__(self) -> AwsCredentials:
        return self.keys


@pytest.fixture
def book() -> SessionBook:
    return SessionBook()


@pytest.fixture
def guarded(book: SessionBook) -> Iterator[S3Server]:
    """A server that knows the sessions of `book`."""
    with S3Server(sessions=book) as server:
        yield server


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_stale_credentials_are_fetched_once_more(
    guarded: S3Server, book: SessionBook, how: str
) -> None:
    """A session that S3 does not take any more is replaced by the present one, for the same request."""
    issuer = Issuer(book)
    policy = RetryPolicy(first_seconds=0.001)

    with open_store(guarded, credentials=issuer, retries=policy) as store:
        store.put("a", b"1")
        old = issuer.keys
        if how == "revoked":
            book.revoke(old.access_key_id)
        else:
            session = book.find(old.access_key_id)
            assert session is not None
            book.add(replace(session, expires_at=dt.datetime.now(dt.UTC)))
        issuer.renew()
        assert store.get("a") == b"1"

    assert guarded.log[-1].access_key_id == issuer.keys.access_key_id != old.access_key_id


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_credentials_that_stay_stale_stop_the_run(
    server: S3Server, store: S3Store, code: str
) -> None:
    """Fresh credentials that are refused as well are a person's to mend."""
    server.faults.answer(code, times=None)

    with pytest.raises(ConfigError, match=f"400 {code}, also with credentials fetched afresh"):
        store.get("a")
    assert server.operations["GetObject"] == 2


def test_credentials_are_asked_for_again_and_again(server: S3Server) -> None:
    """What is renewed elsewhere is noticed at once: the client keeps nothing of its own."""
    keys = replace(owner_of(server)(), expires_at=in_an_hour())
    asked = 0

    def count() -> AwsCredentials:
        nonlocal asked
        asked += 1
        return keys

    with open_store(server, credentials=count) as store:
        store.put("a", b"1")
        assert asked == 1
        real_time.sleep(0.12)
        store.put("a", b"2")
        assert asked == 2


def test_expiry_of_any_zone_is_taken(server: S3Server) -> None:
    """The client wants one zone object and no other; callers need not know."""
    zone = dt.timezone(dt.timedelta(hours=5))
    keys = replace(owner_of(server)(), expires_at=dt.datetime.now(zone) + dt.timedelta(hours=1))

    with open_store(server, credentials=lambda: keys) as store:
        assert store.put("a", b"1")


def test_credentials_that_do_not_come_are_no_fault_of_s3(server: S3Server) -> None:
    """What the login raises comes out as it is, from any call, and is not tried again here."""
    error = ConfigError("log in first")

    def refuse() -> AwsCredentials:
        raise error

    with open_store(server, credentials=refuse) as store:
        with pytest.raises(ConfigError, match="log in first"):
            store.put("large", bytes(MULTIPART_BYTES + 1))
        for call in CALLS.values():
            with pytest.raises(ConfigError) as raised:
                call(store)
            assert raised.value is error
    assert server.log == ()


def test_each_thread_is_told_why_there_are_no_credentials(server: S3Server) -> None:
    """Many threads that ask at once all get what the login raised, none a refusal of S3's."""

    def refuse() -> AwsCredentials:
        raise TransientError("the login is away")

    with open_store(server, credentials=refuse) as store, ThreadPoolExecutor(16) as pool:
        tasks = [pool.submit(store.get, f"{number}") for number in range(200)]
        raised = {str(task.exception()) for task in tasks}

    assert raised == {"the login is away"}

"""POSTs to servers that fail, hang, close and repeat: what is known afterwards, and in what time."""

import ssl
from dataclasses import replace
from email.utils import formatdate

import pytest

from reverse_etl.alerts.outcome import DELIVERED, Ending
from reverse_etl.alerts.posting import parse_retry_after, post
from reverse_etl_tests.alerts.receivers import (
    CLOSE_AFTER_READING,
    CLOSE_AT_ONCE,
    DEAF,
    DRIP,
    HANG,
    HttpReceiver,
    Plan,
)
from reverse_etl_tests.alerts.scenes import build_target

pytestmark = pytest.mark.contract


def test_success_is_delivered(receiver: HttpReceiver) -> None:
    """Body, path and headers as they were given."""
    assert post(build_target(receiver.port, "/a?b=c"), b"{}", {"X-Own": "1"}) == DELIVERED

    (request,) = receiver.taken
    assert (request.path, request.body, request.headers["x-own"]) == ("/a?b=c", b"{}", "1")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422, 301, 302, 307, 304])
def test_refusals_are_refusals(receiver: HttpReceiver, status: int) -> None:
    """A revoked hook, a wrong address; a redirect too, which is not followed."""
    receiver.plan = Plan(otherwise=status, headers={"Location": "http://127.0.0.1:1/"})

    outcome = post(build_target(receiver.port), b"{}", {})

    assert outcome.ending is Ending.REFUSED
    assert outcome.problem is not None
    assert f"it answered {status}" in outcome.problem
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_busy_servers_are_away(receiver: HttpReceiver, status: int) -> None:
    """Tried again, when they say or a little later; that they said something is no doubt."""
    receiver.plan = Plan(otherwise=status, headers={"Retry-After": "120"})

    outcome = post(build_target(receiver.port), b"{}", {})

    assert outcome.ending is Ending.AWAY
    assert outcome.retry_after_seconds == 120
    assert not outcome.in_doubt
    assert not outcome.is_unreachable


@pytest.mark.parametrize("behaviour", [CLOSE_AT_ONCE, CLOSE_AFTER_READING, HANG, DRIP])
def test_silence_after_sending_is_in_doubt(receiver: HttpReceiver, behaviour: str) -> None:
    """It may have arrived; nobody knows. A byte now and then buys no time."""
    receiver.plan = Plan(otherwise=behaviour)

    outcome = post(build_target(receiver.port), b"{}", {}, seconds=0.4)

    assert outcome.ending is Ending.AWAY
    assert outcome.in_doubt
    assert outcome.is_unreachable


def test_nobody_there_is_no_doubt() -> None:
    """Nothing was sent."""
    with HttpReceiver() as gone:
        port = gone.port

    outcome = post(build_target(port), b"{}", {})

    assert (outcome.ending, outcome.in_doubt) == (Ending.AWAY, False)
    assert outcome.problem == "no connection (ConnectionRefusedError)"


def test_unknown_host_is_away() -> None:
    """Its name may be known again later; the name is not told."""
    target = replace(build_target(443), host="canary.invalid")

    outcome = post(target, b"{}", {})

    assert outcome.ending is Ending.AWAY
    assert "canary" not in repr(outcome)


@pytest.mark.usefixtures("trusted")
def test_tls_is_spoken_and_verified(server_tls: ssl.SSLContext) -> None:
    """A certificate of an authority that this machine trusts."""
    with HttpReceiver(tls=server_tls) as receiver:
        assert post(build_target(receiver.port, has_tls=True), b"{}", {}) == DELIVERED


def test_unknown_authority_is_refused(server_tls: ssl.SSLContext) -> None:
    """Nothing is sent to whoever answers there."""
    with HttpReceiver(tls=server_tls) as receiver:
        outcome = post(build_target(receiver.port, has_tls=True), b"{}", {})

    assert outcome.ending is Ending.REFUSED
    assert receiver.received == []


def test_handshake_that_hangs_ends(receiver: HttpReceiver) -> None:
    """A server that never speaks TLS."""
    receiver.plan = Plan(otherwise=DEAF)

    outcome = post(build_target(receiver.port, has_tls=True), b"{}", {}, seconds=0.4)

    assert (outcome.ending, outcome.in_doubt) == (Ending.AWAY, False)


def test_proxies_of_the_environment_are_not_used(
    receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that somebody set for another program does not get our alerts."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert post(build_target(receiver.port), b"{}", {}) == DELIVERED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("30", 30),
        (" 5 ", 5),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("²", None),
        (formatdate(1060, usegmt=True), 60),
        (formatdate(100, usegmt=True), 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    """Anything else is as good as none."""
    assert parse_retry_after(text, now=1000) == seconds

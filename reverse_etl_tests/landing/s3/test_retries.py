"""What passes by itself: resets, 5xx, timeouts, slow-downs, stale credentials, a body that was spoilt."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from reverse_etl.errors import TerminalError, TransientError
from reverse_etl.landing.s3.clients import Timeouts
from reverse_etl.landing.s3.retry import RetryPolicy
from reverse_etl.landing.s3.store import S3Store
from reverse_etl_tests.landing.s3.scenes import (
    FakeTime,
    drip,
    open_store,
)
from reverse_etl_tests.s3.server import S3Server

# Each with what it finds in a store that holds `a`, and is true when it went well.
CALLS: dict[str, Callable[[S3Store], bool]] = {
    "put": lambda store: bool(store.put("b", b"2")),
    "put_if_absent": lambda store: bool(store.put_if_absent("b", b"2")),
    "put_if_match": lambda store: bool(
        store.put_if_match("a", b"2", etag=store.get_with_etag("a")[1])
    ),
    "get": lambda store: store.get("a") == b"1",
    "list": lambda store: [item.name for item in store.list_objects("")] == ["a"],
    "folders": lambda store: store.list_folders("") == [],
    "delete": lambda store: store.delete(["a"]) is None,
    "sweep": lambda store: store.sweep_unfinished("", older_than_seconds=0, now=0) == 0,
}
any_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@any_call
@pytest.mark.parametrize(
    "code",
    ["InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted"],
)
def test_fault_of_the_server_passes(
    server: S3Server, store: S3Store, time: FakeTime, call: Callable[[S3Store], bool], code: str
) -> None:
    """Whatever is asked, two faults and an answer make a success."""
    store.put("a", b"1")
    server.faults.answer(code, times=2)

    assert call(store)
    assert len(time.sleeps) == 2


@any_call
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_fault_of_what_stands_between_passes(
    server: S3Server, store: S3Store, call: Callable[[S3Store], bool], status: int
) -> None:
    """A balancer's page has no code of S3's; its status is enough."""
    store.put("a", b"1")
    fault = server.faults.answer("<h1>sorry</h1>", status=status, times=2)

    assert call(store)
    assert fault.hits == 2


@any_call
def test_reset_connection_passes(
    server: S3Server, store: S3Store, call: Callable[[S3Store], bool]
) -> None:
    """A connection that is reset before anything was done costs an attempt, and no more."""
    store.put("a", b"1")
    fault = server.faults.reset(times=3)

    assert call(store)
    assert fault.hits == 3


def test_connections_that_died_while_idle_pass(server: S3Server, store: S3Store) -> None:
    """S3 closes what idles; the next request notices at the latest by failing, and is made again."""
    store.put("a", b"1")
    server.reset_connections()

    assert store.get("a") == b"1"


def test_answer_that_is_cut_short_passes(server: S3Server, store: S3Store) -> None:
    """Half an object is no object: it is asked for again, and comes whole."""
    body = bytes(range(256)) * 400
    store.put("a", body)
    fault = server.faults.cut(1000, operation="GetObject", times=2)

    assert store.get("a") == body
    assert fault.hits == 2


@any_call
@pytest.mark.parametrize("moment", ["before", "after"])
def test_stall_ends_by_the_timeout(
    server: S3Server, time: FakeTime, call: Callable[[S3Store], bool], moment: str
) -> None:
    """A server that goes silent, before it did what was asked or after, is not waited for."""
    timeouts = Timeouts(request_seconds=0.2, large_request_seconds=0.2)

    with open_store(server, retries=time.policy(), timeouts=timeouts) as store:
        store.put("a", b"1")
        fault = server.faults.stall(after=moment == "after")
        assert call(store)

    assert fault.hits == 1
    assert len(time.sleeps) == 1


def test_object_may_take_longer_than_a_request(server: S3Server) -> None:
    """What counts is silence: a body that keeps coming is read to its end, however long that takes."""
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nETag: "x"\r\n\r\n'
    timeouts = Timeouts(request_seconds=0.3, large_request_seconds=30)

    with (
        drip([head, *[b"1"] * 6], pause_seconds=0.1) as endpoint,
        open_store(server, endpoint_url=endpoint, timeouts=timeouts) as store,
    ):
        assert store.get("a") == b"111111"


def test_object_that_stops_coming_is_asked_for_again(server: S3Server, time: FakeTime) -> None:
    """Silence in the middle of a body ends the attempt like any other silence."""
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nETag: "x"\r\n\r\n'
    timeouts = Timeouts(request_seconds=0.1, large_request_seconds=30)

    with (
        drip([head, b"1", b"11111"], pause_seconds=0.3) as endpoint,
        open_store(
            server, endpoint_url=endpoint, timeouts=timeouts, retries=time.policy(attempts=2)
        ) as store,
        pytest.raises(TransientError, match="no answer came in time"),
    ):
        store.get("a")
    assert len(time.sleeps) == 1


def test_large_body_may_take_longer_than_a_small_one(server: S3Server, time: FakeTime) -> None:
    """What a slow line needs minutes for is not given up after seconds, and still in one request."""
    timeouts = Timeouts(request_seconds=0.1, large_request_seconds=30)
    server.faults.delay(0.3, operation="PutObject", times=2)

    with open_store(server, timeouts=timeouts, retries=time.policy()) as store:
        store.put("large", bytes(9 << 20))
        assert time.sleeps == []
        store.put("small", b"1")

    assert len(time.sleeps) == 1


def test_outage_is_given_up_in_the_end(server: S3Server, store: S3Store, time: FakeTime) -> None:
    """After a minute and a dozen attempts the error names place, object, finding and remedy."""
    with server.faults.outage(), pytest.raises(TransientError) as raised:
        store.put("a", b"1")

    text = str(raised.value)
    assert "writing 'a' in s3://landing/exports/prod" in text
    assert "S3 answered 503 ServiceUnavailable" in text
    assert "attempts in" in text
    assert "run again" in text
    assert 30 < sum(time.sleeps) <= 60
    assert len(time.sleeps) < 12


def test_attempts_are_bounded_where_waits_are_short(server: S3Server) -> None:
    """However lucky the jitter, a dead server is asked twelve times and no more."""
    policy = FakeTime().policy(draw=lambda low, _high: low)

    with (
        open_store(server, retries=policy) as store,
        server.faults.outage(),
        pytest.raises(TransientError, match="12 attempts"),
    ):
        store.get("a")

    assert server.operations["GetObject"] == 12


def test_jitter_is_drawn_from_nought_to_twice_the_last() -> None:
    """Waits grow by doubling up to the longest, and any wait from nought on is as likely."""
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    policy = RetryPolicy(draw=draw)

    for failure in range(1, 10):
        policy.delay_seconds(failure)

    assert [low for low, _ in drawn] == [0.0] * 9
    assert [high for _, high in drawn] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_storm_of_slow_downs_is_weathered(server: S3Server) -> None:
    """Far more slow-downs than attempts: all objects land, with fewer requests for a while, then more."""
    policy = RetryPolicy(attempts=2, first_seconds=0.001, longest_seconds=0.002)
    storm = server.faults.answer("SlowDown", times=120, operation="PutObject")

    with open_store(server, retries=policy) as store, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.put(f"{number:03d}", b"1"), range(300)))
        limiter = store.limiter

    assert storm.hits == 120
    assert len(server.objects) == 300
    # 16 halves to 1 in four steps; each further slow-down counts. Then 120 answers bring 16 back.
    assert limiter.shrunk >= 4
    assert limiter.grown >= 15
    assert limiter.limit == 16
    assert limiter.in_flight == 0


def test_few_requests_are_made_after_slow_downs(server: S3Server) -> None:
    """Right after a storm a few requests are made at once, though as many threads ask as before."""
    policy = RetryPolicy(first_seconds=0.001, longest_seconds=0.002)
    server.faults.answer("SlowDown", times=60)

    with open_store(server, retries=policy) as store, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.put(f"{number}", b"1"), range(15)))
        assert store.limiter.limit <= 6
        assert store.concurrency == 16


def test_slow_downs_without_end_are_given_up(
    server: S3Server, store: S3Store, time: FakeTime
) -> None:
    """Five minutes of slow-downs are no passing matter: the setting to lower is named."""
    with (
        server.faults.outage("SlowDown"),
        pytest.raises(TransientError, match="REVERSE_ETL_S3_CONCURRENCY"),
    ):
        store.put("a", b"1")

    assert 280 < sum(time.sleeps) <= 300
    assert store.limiter.limit == 1


def test_slow_downs_do_not_use_up_the_attempts(server: S3Server, time: FakeTime) -> None:
    """An outage after minutes of slow-downs is tried for as long as any other."""
    server.faults.answer("SlowDown", times=20)
    server.faults.answer("InternalError", times=5)

    with open_store(server, retries=time.policy(attempts=6)) as store:
        assert store.put("a", b"1")


def test_race_of_conditional_writes_passes(server: S3Server, store: S3Store) -> None:
    """409 is no verdict: the condition is asked about again."""
    server.faults.answer("ConditionalRequestConflict", times=3)

    store.put_if_absent("a", b"1")

    assert store.get("a") == b"1"


def test_race_without_end_is_given_up(server: S3Server, store: S3Store) -> None:
    """Others that never leave an object alone are named as such."""
    server.faults.answer("ConditionalRequestConflict", times=None)

    with pytest.raises(TransientError, match="others kept writing"):
        store.put_if_absent("a", b"1")


def test_spoilt_body_is_sent_again_once(server: S3Server, store: S3Store) -> None:
    """A checksum that S3 refuses may be a flipped bit: one more attempt."""
    server.faults.answer("BadDigest")

    store.put("a", b"1")

    assert store.get("a") == b"1"


def test_body_spoilt_twice_stops_the_run(server: S3Server, store: S3Store) -> None:
    """Twice is no accident."""
    server.faults.answer("BadDigest", times=None)

    with pytest.raises(TerminalError, match="do not have the checksum"):
        store.put("a", b"1")
    assert server.operations["PutObject"] == 2

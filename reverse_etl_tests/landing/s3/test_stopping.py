"""A run that has failed, or was cancelled, does not wait for calls that would only be tried again."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from reverse_etl.errors import TransientError
from reverse_etl.landing.s3.retry import RetryPolicy
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.landing.sender import NewObject, Sender
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter, keep_silent
from reverse_etl_tests.landing.s3.scenes import open_store
from reverse_etl_tests.s3.server import S3Server

_SOON = 20.0
#: As it is in earnest, but that a wait between two attempts would outlast the test.
PATIENT = RetryPolicy(
    attempts=1000,
    total_seconds=3600.0,
    slow_seconds=3600.0,
    first_seconds=600.0,
    longest_seconds=600.0,
    draw=lambda _, longest: longest,
)


def test_call_that_waits_to_be_tried_again_ends(server: S3Server) -> None:
    """Stopped while it waits, it is an error; the next call of the same store is as ever."""
    fault = server.faults.answer("SlowDown", operation="PutObject", key="a$", times=None)

    with open_store(server, retries=PATIENT) as store, ThreadPoolExecutor(1) as pool:
        call = pool.submit(store.put, "a", b"1")
        assert fault.reached.wait(_SOON)
        stop_until_done(store, [call])

        with pytest.raises(TransientError):
            call.result()
        store.put("b", b"1")

    assert fault.hits == 1


def test_calls_in_line_end(server: S3Server) -> None:
    """Those that S3 has made to wait for their turn are not made any more."""
    fault = server.faults.answer("SlowDown", operation="PutObject", times=None)

    with (
        open_store(server, retries=PATIENT, concurrency=10) as store,
        ThreadPoolExecutor(30) as pool,
    ):
        calls = [pool.submit(store.put, f"a/{number}", b"1") for number in range(30)]
        assert fault.reached.wait(_SOON)
        stop_until_done(store, calls)

        errors = {type(call.exception()) for call in calls}

    assert errors == {TransientError}


def test_first_failure_ends_the_others(server: S3Server) -> None:
    """Objects that wait in a storm do not hold up a step of which another object was refused."""
    slow = server.faults.answer("SlowDown", operation="PutObject", key="slow", times=None)
    server.faults.answer(
        "AccessDenied",
        operation="PutObject",
        key="refused",
        before=lambda: slow.reached.wait(_SOON),
    )
    meter = Meter(stage="land", report=keep_silent, rows_total=None)

    def send_all(store: S3Store) -> None:
        with Sender(store, threads=1, read_back=False, metadata={}, meter=meter) as sender:
            for name in ("slow", "refused"):
                sender.send(partial(make_object, name), room=1)

    with open_store(server, retries=PATIENT) as store, ThreadPoolExecutor(1) as pool:
        step = pool.submit(send_all, store)
        step.exception(timeout=_SOON)


def stop_until_done(store: S3Store, calls: list[Future[str]]) -> None:
    """Stop again and again: a call may just have been about to begin."""
    ended = threading.Event()
    while not all(call.done() for call in calls):
        store.stop()
        ended.wait(0.01)


def make_object(name: str) -> NewObject:
    landed = LandedObject(name=name, first_bucket=0, buckets=1, rows=1, bytes=1, sha256="")
    return NewObject(name=name, body=b"1", landed=landed)

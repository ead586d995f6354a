"""Conditional writes: exactly one wins, also when the answer to the winner is lost."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from reverse_etl.errors import ConflictError, TransientError
from reverse_etl.landing.s3.clients import MULTIPART_BYTES
from reverse_etl.landing.s3.store import S3Store
from reverse_etl_tests.contracts.store import count_up, run_together, try_create
from reverse_etl_tests.landing.s3.scenes import PREFIX, FakeTime, open_store
from reverse_etl_tests.s3.fault_kinds import Fault
from reverse_etl_tests.s3.server import S3Server

# Each loses the answer to a write that was carried out.
LOSSES: dict[str, Callable[[S3Server], Fault]] = {
    "reset": lambda server: server.faults.reset(after=True, operation="PutObject"),
    "500": lambda server: server.faults.answer("InternalError", after=True, operation="PutObject"),
    "504": lambda server: server.faults.answer("x", status=504, after=True, operation="PutObject"),
}
any_loss = pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)


@any_loss
def test_lost_answer_to_a_put(
    server: S3Server, store: S3Store, lose: Callable[[S3Server], Fault]
) -> None:
    """A put may be made twice: the second writes the same."""
    lose(server)

    etag = store.put("a", b"1")

    assert store.get_with_etag("a") == (b"1", etag)
    assert server.operations["PutObject"] == 2


@any_loss
def test_lost_answer_to_a_creation(
    server: S3Server, store: S3Store, lose: Callable[[S3Server], Fault]
) -> None:
    """The object that is in the way is our own: the creation succeeded, and its etag is returned."""
    lose(server)

    etag = store.put_if_absent("a", b"1")

    assert store.get_with_etag("a") == (b"1", etag)


@any_loss
def test_lost_answer_to_a_replacement(
    server: S3Server, store: S3Store, lose: Callable[[S3Server], Fault]
) -> None:
    """The etag that does not match any more is the one that our own write replaced."""
    first = store.put("a", b"1")
    lose(server)

    etag = store.put_if_match("a", b"2", etag=first)

    assert store.get_with_etag("a") == (b"2", etag)
    assert etag != first


@any_loss
def test_answer_is_lost_and_the_question_as_well(
    server: S3Server, store: S3Store, lose: Callable[[S3Server], Fault]
) -> None:
    """However many faults follow on the lost answer, what was done is found out in the end."""
    lose(server)
    server.faults.reset(times=2)
    server.faults.answer("SlowDown")
    server.faults.reset(operation="GetObject")

    etag = store.put_if_absent("a", b"1")

    assert store.get_with_etag("a") == (b"1", etag)


@pytest.mark.parametrize("body", [b"1", b"another's"])
def test_another_was_first_while_the_request_was_lost(
    server: S3Server, store: S3Store, body: bytes
) -> None:
    """The request never arrived, and somebody else's did: equal bytes do not make it ours."""
    with open_store(server) as other:
        server.faults.reset(operation="PutObject", before=lambda: other.put_if_absent("a", body))

        with pytest.raises(ConflictError, match="'a' exists already"):
            store.put_if_absent("a", b"1")

    assert store.get("a") == body


@any_loss
def test_another_replaced_what_we_wrote(
    server: S3Server, store: S3Store, lose: Callable[[S3Server], Fault]
) -> None:
    """The answer is lost and another goes on from our write: what lies there is not ours to claim."""
    first = store.put("a", b"1")
    lose(server)

    with open_store(server) as other:
        fault = server.faults.notice(
            operation="PutObject", before=lambda: other.put("a", b"3"), skip=0
        )
        with pytest.raises(ConflictError, match="changed or removed"):
            store.put_if_match("a", b"2", etag=first)

    assert fault.hits == 1
    assert store.get("a") == b"3"


def test_another_removed_what_we_wrote(server: S3Server, store: S3Store) -> None:
    """The answer is lost and the object is gone: the replacement is a conflict, not a success."""
    first = store.put("a", b"1")
    server.faults.reset(after=True, operation="PutObject")
    server.faults.notice(operation="PutObject", before=lambda: server.delete_object(f"{PREFIX}/a"))

    with pytest.raises(ConflictError):
        store.put_if_match("a", b"2", etag=first)


def test_refusal_that_left_no_doubt_is_not_looked_into(server: S3Server, store: S3Store) -> None:
    """A slow-down or a race before the refusal was surely not our own write: nothing is read."""
    store.put("a", b"1")
    server.faults.answer("SlowDown")
    server.faults.answer("ConditionalRequestConflict")

    with pytest.raises(ConflictError):
        store.put_if_absent("a", b"1")

    assert server.operations["GetObject"] == 0


def test_server_that_keeps_no_metadata(server: S3Server, store: S3Store) -> None:
    """Where nothing tells whose write it was, equal bytes do."""
    server.faults.reset(
        operation="PutObject", before=lambda: server.put_object(f"{PREFIX}/a", b"1")
    )

    assert store.put_if_absent("a", b"1") == store.get_with_etag("a")[1]


def test_one_of_sixteen_creators_wins(server: S3Server, store: S3Store) -> None:
    """Sixteen threads create one name, thirty times, some with lost answers: each time one wins."""
    server.faults.reset(after=True, operation="PutObject", skip=5, times=40)

    for turn in range(30):
        won = run_together(
            [
                lambda number=number, turn=turn: try_create(store, f"r{turn}", b"%d" % number)
                for number in range(16)
            ]
        )
        assert won.count(True) == 1
        assert store.get(f"r{turn}") == b"%d" % won.index(True)


def test_no_increment_is_lost_in_bad_weather(server: S3Server, store: S3Store) -> None:
    """Compare-and-set counts every success once, through lost requests, lost answers and races."""
    store.put("counter", b"0")
    server.faults.reset(after=True, operation="PutObject", skip=3, times=5)
    server.faults.reset(operation="PutObject", skip=20, times=5)
    server.faults.answer("ConditionalRequestConflict", operation="PutObject", skip=30, times=5)
    server.faults.answer("SlowDown", skip=60, times=10)

    # A lost answer whose write another has replaced since is told as a conflict, and counted twice: so
    # one thread alone has its answers lost first.
    count_up(store, "counter", 10)
    run_together([lambda: count_up(store, "counter", 5)] * 6)

    assert store.get("counter") == b"40"


def test_conditional_write_is_one_request_however_large(server: S3Server, store: S3Store) -> None:
    """In parts, the condition would be looked at when all bytes are sent, if at all."""
    body = bytes(MULTIPART_BYTES + 1)

    store.put_if_absent("a", body)

    assert server.operations["PutObject"] == 1
    assert server.operations["CreateMultipartUpload"] == 0


def test_doubt_that_cannot_be_settled_is_transient(
    server: S3Server, store: S3Store, time: FakeTime
) -> None:
    """When nothing answers any more, nobody claims to know: the caller may run again."""
    server.faults.reset(after=True, operation="PutObject")
    server.faults.reset(times=None)

    with pytest.raises(TransientError):
        store.put_if_absent("a", b"1")

    assert time.sleeps


def test_close_while_another_thread_waits(server: S3Server) -> None:
    """A request under way when the store is closed ends as it would have."""
    stalled = server.faults.stall(operation="GetObject")
    found: list[bytes] = []

    with open_store(server) as store:
        store.put("a", b"1")
        thread = threading.Thread(target=lambda: found.append(store.get("a")))
        thread.start()
        stalled.reached.wait(timeout=30)
    stalled.release()
    thread.join()

    assert found == [b"1"]


def test_many_threads_share_a_store(server: S3Server, store: S3Store) -> None:
    """All calls are safe from many threads."""

    def work(number: int) -> bool:
        name = f"n/{number % 7}"
        store.put(name, b"%d" % number)
        with contextlib.suppress(ConflictError):
            store.put_if_absent(f"m/{number % 5}", b"1")
        return bool(store.get(name)) and bool(list(store.list_objects("n/")))

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(work, range(120)))
    assert len(server.objects) == 12

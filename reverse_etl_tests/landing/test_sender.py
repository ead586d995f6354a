"""Bodies on their way: many at once, within a budget, and none is begun after one has failed."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.landing import sender
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.plan import plan_landing
from reverse_etl.landing.sender import NewObject, Sender
from reverse_etl.landing.store import MemoryStore, compute_etag
from reverse_etl.landing.writer import write_objects
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter, keep_silent

BODY = b"x" * 100


class BusyStore(MemoryStore):
    """A store whose calls wait for each other: as many as `together`, or until `release` is set."""

    def __init__(self, *, concurrency: int, together: int) -> None:
        super().__init__()
        self._concurrency = concurrency
        self._met = threading.Barrier(together)
        self._lock = threading.Lock()
        self.under_way = self.most = self.begun = 0
        self.refused: set[str] = set()

    @property
    def concurrency(self) -> int:
        return self._concurrency

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        with self._lock:
            self.begun += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            self._met.wait(timeout=10)
            if name in self.refused:
                raise TransientError("The store is away.")
            return super().put(name, body, metadata=metadata)
        finally:
            with self._lock:
                self.under_way -= 1


def build_maker(name: str) -> Callable[[], NewObject]:
    landed = LandedObject(name=name, first_bucket=0, buckets=1, rows=1, bytes=len(BODY), sha256="")
    return lambda: NewObject(name=name, body=BODY, landed=landed)


def open_sender(store: MemoryStore, *, threads: int = 1, read_back: bool = False) -> Sender:
    meter = Meter(stage="land", report=keep_silent, rows_total=None)
    return Sender(store, threads=threads, read_back=read_back, metadata={}, meter=meter)


def send_all(opened: Sender, count: int) -> None:
    for number in range(count):
        opened.send(build_maker(f"{number:04d}"), room=len(BODY))


def test_as_many_are_under_way_as_the_store_can_use() -> None:
    """Four calls wait for each other: they end only because four are made at once, and never five."""
    store = BusyStore(concurrency=4, together=4)

    with open_sender(store) as opened:
        send_all(opened, 20)

    written = opened.written
    assert [item.landed.name for item in written] == [f"{number:04d}" for number in range(20)]
    assert store.most == 4
    assert {item.etag for item in written} == {item.etag for item in store.list_objects("")}


def test_as_many_are_made_as_there_are_threads() -> None:
    """A store that is never waited for takes one at a time; processors are kept busy all the same."""
    met = threading.Barrier(3)

    def make(name: str) -> NewObject:
        met.wait(timeout=10)
        return build_maker(name)()

    with open_sender(MemoryStore(), threads=3) as opened:
        for name in "abc":
            opened.send(lambda name=name: make(name), room=1)  # type: ignore[misc]

    assert [item.landed.name for item in opened.written] == ["a", "b", "c"]


def test_bytes_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies leave the store idle sooner than they fill the memory."""
    monkeypatch.setattr(sender, "_IN_FLIGHT_BYTES", 2 * len(BODY))
    store = BusyStore(concurrency=10, together=2)

    with open_sender(store) as opened:
        send_all(opened, 10)

    assert store.most == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_objects_over_the_budget_go_one_a_thread(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Those that are larger than everything together may be are sent all the same, and no more at once."""
    monkeypatch.setattr(sender, "_IN_FLIGHT_BYTES", len(BODY) // 2)
    store = BusyStore(concurrency=10, together=threads)

    with open_sender(store, threads=threads) as opened:
        send_all(opened, 6)

    assert store.most == threads
    assert len(list(store.list_objects(""))) == 6


def test_nothing_is_begun_after_a_failure() -> None:
    """Who sends next hears what went wrong; what waited in line is not written."""
    store = BusyStore(concurrency=2, together=2)
    store.refused = {"0001"}

    with pytest.raises(TransientError, match="is away"), open_sender(store) as opened:
        send_all(opened, 100)

    assert store.begun <= 4


def test_sender_that_waits_hears_of_a_failure() -> None:
    """A thread that waits for room is woken by the error, not left waiting."""
    store = BusyStore(concurrency=2, together=3)
    store.refused = {"0000", "0001"}

    def hand_over(opened: Sender, pool: ThreadPoolExecutor) -> None:
        send_all(opened, 2)
        waiting = pool.submit(opened.send, build_maker("0002"), room=len(BODY))
        store._met.wait(timeout=10)
        with pytest.raises(TransientError, match="is away"):
            waiting.result(timeout=10)

    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(TransientError, match="is away"),
        open_sender(store) as opened,
    ):
        hand_over(opened, pool)

    assert store.begun == 2


def test_object_that_cannot_be_made_stops_the_others() -> None:
    """What an encoder raises is what the run ends with, and nothing of it reaches the store."""
    store = MemoryStore()

    def fail() -> NewObject:
        raise IntegrityError("An encoder was wrong.")

    def send(opened: Sender) -> None:
        opened.send(fail, room=1)

    with pytest.raises(IntegrityError, match="encoder"), open_sender(store) as opened:
        send(opened)

    assert list(store.list_objects("")) == []


class StormyStore(MemoryStore):
    """Keeps calls waiting until it is stopped, as a store does whose server says slow down."""

    concurrency = 2  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._begun = threading.Semaphore(0)
        self._stopped = threading.Event()
        self.waited_in_vain = False

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        del name, body, metadata
        self._begun.release()
        if not self._stopped.wait(timeout=5):
            self.waited_in_vain = True
        raise TransientError("The store was stopped, or the storm outlasted all patience.")

    def wait_until_full(self) -> None:
        for _ in range(self.concurrency):
            assert self._begun.acquire(timeout=20)

    def stop(self) -> None:
        self._stopped.set()


def test_interrupted_writer_ends_though_no_call_does() -> None:
    """Ctrl-C comes to the thread that hands over, while it waits for room that a storm never makes."""
    store = StormyStore()
    schema = pa.schema([("user_id", pa.string())])
    plan = plan_landing(
        sync="people",
        version="2026-11-18.01m7z11r32ec2y8w",
        key="user_id",
        schema=schema,
        file_format="json",
        compression="gzip",
        bucket_rows=1,
        rows=100,
    )

    def hand_over() -> Iterator[Bucket]:
        yield from map(Bucket, range(100))

    def interrupt() -> None:
        store.wait_until_full()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        write_objects(
            store,
            plan,
            hand_over(),
            row_bytes=1e6,
            threads=2,
            meter=Meter(stage="land", report=keep_silent, rows_total=None),
            read_back=False,
            metadata={},
        )

    assert not store.waited_in_vain


class StubbornStore(MemoryStore):
    """A call of it ends when it is stopped while it is under way, and not before."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = threading.Event()
        self.ended = threading.Event()
        self._is_under_way = threading.Event()

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        del name, body, metadata
        self._is_under_way.set()
        assert self.ended.wait(30)
        raise TransientError("The store was stopped.")

    def stop(self) -> None:
        self.stopped.set()
        if self._is_under_way.is_set():
            self.ended.set()


def test_call_that_begins_after_the_stop_is_stopped_too() -> None:
    """Who was making an object when the run failed sends it then: that call is not waited for either."""
    store = StubbornStore()
    making = threading.Event()

    def make() -> NewObject:
        making.set()
        assert store.stopped.wait(30)
        return build_maker("a")()

    def fail_meanwhile() -> None:
        with open_sender(store) as opened:
            opened.send(make, room=1)
            assert making.wait(30)
            raise KeyError

    with pytest.raises(KeyError):
        fail_meanwhile()

    assert store.ended.is_set()


class ForgetfulStore(MemoryStore):
    """Takes an object and has none, or another."""

    def __init__(self, kept: bytes | None) -> None:
        super().__init__()
        self._kept = kept

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        if self._kept is not None:
            super().put(name, self._kept, metadata=metadata)
        return compute_etag(body)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (None, "is not there"),
        (b"", "read back with other bytes: 0"),
        (b"y" * 100, "with other bytes than were written"),
    ],
)
def test_object_is_read_back(kept: bytes | None, message: str) -> None:
    """Missing, cut or altered: it is told as soon as it was written, without a byte of it."""
    with (
        pytest.raises(IntegrityError, match=message.replace("bytes: 0", "bytes than")) as raised,
        open_sender(ForgetfulStore(kept), read_back=True) as opened,
    ):
        opened.send(build_maker("a"), room=len(BODY))

    assert "xx" not in str(raised.value)

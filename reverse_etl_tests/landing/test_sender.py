"""Bodies on their way: many at once, within a budget, and none is begun after one has failed."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pytest

from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.landing import sender
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.plan import plan_landing
from reverse_etl.landing.sender import Sender, WrittenObject
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


def build_landed(name: str) -> LandedObject:
    return LandedObject(name=name, first_bucket=0, buckets=1, rows=1, bytes=len(BODY), sha256="")


def open_sender(store: MemoryStore, *, read_back: bool = False) -> Sender:
    meter = Meter(stage="land", report=keep_silent, rows_total=None)
    return Sender(store, read_back=read_back, metadata={}, meter=meter)


def send_all(opened: Sender, count: int) -> list[Future[WrittenObject]]:
    return [opened.send(f"{it:04d}", BODY, build_landed(f"{it:04d}")) for it in range(count)]


def test_as_many_are_under_way_as_the_store_can_use() -> None:
    """Four calls wait for each other: they end only because four are made at once, and never five."""
    store = BusyStore(concurrency=4, together=4)

    with open_sender(store) as opened:
        written = [future.result() for future in send_all(opened, 20)]

    assert [item.landed.name for item in written] == [f"{number:04d}" for number in range(20)]
    assert store.most == 4
    assert {item.etag for item in written} == {item.etag for item in store.list_objects("")}


def test_bytes_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies leave the store idle sooner than they fill the memory."""
    monkeypatch.setattr(sender, "_IN_FLIGHT_BYTES", 2 * len(BODY))
    store = BusyStore(concurrency=10, together=2)

    with open_sender(store) as opened:
        send_all(opened, 10)

    assert store.most == 2


def test_body_over_the_budget_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is larger than everything together may be is sent all the same."""
    monkeypatch.setattr(sender, "_IN_FLIGHT_BYTES", len(BODY) // 2)
    store = BusyStore(concurrency=10, together=1)

    with open_sender(store) as opened:
        send_all(opened, 5)

    assert store.most == 1
    assert len(list(store.list_objects(""))) == 5


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

    def wait_for_room() -> None:
        first = send_all(opened, 2)
        waiting = pool.submit(opened.send, "0002", BODY, build_landed("0002"))
        store._met.wait(timeout=10)
        failures.append(first[0].exception(timeout=10))
        waiting.result(timeout=10)

    failures: list[BaseException | None] = []
    with ThreadPoolExecutor(1) as pool, open_sender(store) as opened, pytest.raises(TransientError):
        wait_for_room()

    assert isinstance(failures[0], TransientError)


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
    """Ctrl-C comes to the thread that hands over, while others wait for room that a storm never makes."""
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
        # Two are being put, two wait for room.
        for number in range(4):
            yield Bucket(number)
        store.wait_until_full()
        raise KeyboardInterrupt

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
        open_sender(ForgetfulStore(kept), read_back=True) as opened,
        pytest.raises(IntegrityError, match=message.replace("bytes: 0", "bytes than")) as raised,
    ):
        opened.send("a", BODY, build_landed("a"))

    assert "xx" not in str(raised.value)

"""Objects written in parallel: compressed by a few threads, sent by more, with bounded bytes in flight."""

import hashlib
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from reverse_etl.landing.formats import encode_object
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.sender import Sender, WrittenObject
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter

# Bytes handed to the threads and not yet written, beside those that each thread is at: enough to
# keep them busy with small objects, little to hold with large ones.
_AHEAD_BYTES = 3 << 20
# Small objects are handed over several at a time: handing over costs as much as writing one.
_TASK_BYTES = 640 << 10

Item = TypeVar("Item")


def write_objects(
    store: ObjectStore,
    plan: LandingPlan,
    buckets: Iterator[Bucket],
    *,
    row_bytes: float,
    threads: int,
    meter: Meter,
    read_back: bool,
    metadata: Mapping[str, str],
) -> list[WrittenObject]:
    """Write every object of the version, in order of its buckets; raises what the first failure raised.

    With `read_back` each is read again, byte by byte, as soon as it is written: `IntegrityError`
    when it is missing or another. `threads` encode; as many more send as the store can use.
    """
    object_bytes = max(1, int(row_bytes * plan.rows / plan.objects))
    objects_a_task = max(1, _TASK_BYTES // object_bytes)
    ahead = threading.Semaphore(threads + _AHEAD_BYTES // (object_bytes * objects_a_task))
    with Sender(store, read_back=read_back, metadata=metadata, meter=meter) as sender:

        def write(objects: list[list[Bucket]]) -> list[Future[WrittenObject]]:
            try:
                return [_write_object(sender, plan, group) for group in objects]
            finally:
                ahead.release()

        written: list[WrittenObject] = []
        sent: deque[Future[WrittenObject]] = deque()
        pending: deque[Future[list[Future[WrittenObject]]]] = deque()
        with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="encode") as pool:
            try:
                for objects in _batched(_batched(buckets, plan.buckets_per_object), objects_a_task):
                    ahead.acquire()
                    pending.append(pool.submit(write, objects))
                    while pending and pending[0].done():
                        sent += pending.popleft().result()
                    # Taken as they come: a future is five times what it holds.
                    while sent and sent[0].done():
                        written.append(sent.popleft().result())
                    sender.check()
                while pending:
                    sent += pending.popleft().result()
            except BaseException:
                # First: the threads that encode may be waiting for room that no call makes.
                sender.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return written + [future.result() for future in sent]


def _write_object(
    sender: Sender, plan: LandingPlan, buckets: list[Bucket]
) -> Future[WrittenObject]:
    body = encode_object(plan, buckets)
    first = buckets[0].number
    name = plan.object_name(first // plan.buckets_per_object)
    landed = LandedObject(
        name=name.removeprefix(plan.prefix),
        first_bucket=first,
        buckets=len(buckets),
        rows=sum(bucket.rows for bucket in buckets),
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )
    return sender.send(name, body, landed)


def _batched(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while group := list(islice(items, size)):
        yield group

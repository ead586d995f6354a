"""Objects written in parallel: compressed and put by a few threads, with bounded bytes in flight."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from reverse_etl.landing.formats import encode_object
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.plan import LandingPlan
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
) -> list[LandedObject]:
    """Write every object of the version, in order of its buckets; raises what the first failure raised."""
    landed: list[LandedObject] = []
    object_bytes = max(1, int(row_bytes * plan.rows / plan.objects))
    objects_a_task = max(1, _TASK_BYTES // object_bytes)
    ahead = threading.Semaphore(threads + _AHEAD_BYTES // (object_bytes * objects_a_task))
    pending: list[Future[list[LandedObject]]] = []

    def write(objects: list[list[Bucket]]) -> list[LandedObject]:
        try:
            return [_write_object(store, plan, group, meter) for group in objects]
        finally:
            ahead.release()

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="write") as pool:
        try:
            for objects in _batched(_batched(buckets, plan.buckets_per_object), objects_a_task):
                ahead.acquire()
                pending.append(pool.submit(write, objects))
                if pending[0].done():
                    landed += _take_done(pending)
            wait(pending, return_when=FIRST_EXCEPTION)
            landed += [item for future in pending for item in future.result()]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return landed


def _write_object(
    store: ObjectStore, plan: LandingPlan, buckets: list[Bucket], meter: Meter
) -> LandedObject:
    body = encode_object(plan, buckets)
    first = buckets[0].number
    name = plan.object_name(first // plan.buckets_per_object)
    store.put(name, body)
    rows = sum(bucket.rows for bucket in buckets)
    meter.add(rows=rows, bytes=len(body))
    return LandedObject(
        name=name.removeprefix(plan.prefix),
        first_bucket=first,
        buckets=len(buckets),
        rows=rows,
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )


def _take_done(pending: list[Future[list[LandedObject]]]) -> list[LandedObject]:
    """The results of the finished futures at the front, which leave the list; a failed one raises."""
    done: list[LandedObject] = []
    while pending and pending[0].done():
        done += pending.pop(0).result()
    return done


def _batched(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while group := list(islice(items, size)):
        yield group

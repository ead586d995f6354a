"""Objects written in parallel: compressed and put by a few threads, with bounded bytes in flight."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import islice

from reverse_etl.landing.formats import encode_object
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter

# Records handed to the threads and not yet written, beside the object that each thread is at:
# enough to keep them busy with small objects, little to hold with large ones.
_AHEAD_ROWS = 8_192


def write_objects(
    store: ObjectStore,
    plan: LandingPlan,
    buckets: Iterator[Bucket],
    *,
    threads: int,
    meter: Meter,
) -> list[LandedObject]:
    """Write every object of the version, in order of its buckets; raises what the first failure raised."""
    landed: list[LandedObject] = []
    object_rows = max(1, plan.rows // plan.objects)
    ahead = threading.Semaphore(threads + _AHEAD_ROWS // object_rows)
    pending: list[Future[LandedObject]] = []

    def write(group: list[Bucket]) -> LandedObject:
        try:
            written = _write_object(store, plan, group)
        finally:
            ahead.release()
        meter.add(rows=written.rows, bytes=written.bytes)
        return written

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="write") as pool:
        try:
            for group in _batched(buckets, plan.buckets_per_object):
                ahead.acquire()
                pending.append(pool.submit(write, group))
                if pending[0].done():
                    landed += _take_done(pending)
            wait(pending, return_when=FIRST_EXCEPTION)
            landed += [future.result() for future in pending]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return landed


def _write_object(store: ObjectStore, plan: LandingPlan, buckets: list[Bucket]) -> LandedObject:
    body = encode_object(plan, buckets)
    first = buckets[0].number
    name = plan.object_name(first // plan.buckets_per_object)
    store.put(name, body)
    return LandedObject(
        name=name.removeprefix(plan.prefix),
        first_bucket=first,
        buckets=len(buckets),
        rows=sum(bucket.rows for bucket in buckets),
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )


def _take_done(pending: list[Future[LandedObject]]) -> list[LandedObject]:
    """The results of the finished futures at the front, which leave the list; a failed one raises."""
    done = []
    while pending and pending[0].done():
        done.append(pending.pop(0).result())
    return done


def _batched(buckets: Iterable[Bucket], size: int) -> Iterator[list[Bucket]]:
    iterator = iter(buckets)
    while group := list(islice(iterator, size)):
        yield group

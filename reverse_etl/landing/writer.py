"""The objects of a version: handed over bucket by bucket, encoded and sent in parallel."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TypeVar

from reverse_etl.landing.formats import encode_object
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.layout import object_file_name
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.sender import NewObject, Sender, WrittenObject
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter

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
    when it is missing or another. `threads` and as many more as the store can use encode and send.
    """
    prefix = plan.prefix  # spelled once, not for each of so many objects
    with Sender(
        store, threads=threads, read_back=read_back, metadata=metadata, meter=meter
    ) as sender:
        for group in _batched(buckets, plan.buckets_per_object):
            rows = sum(bucket.rows for bucket in group)
            make = partial(_make_object, plan, prefix, group, rows)
            sender.send(make, room=int(rows * row_bytes))
    return sender.written


def _make_object(plan: LandingPlan, prefix: str, buckets: list[Bucket], rows: int) -> NewObject:
    body = encode_object(plan, buckets)
    first = buckets[0].number
    index = first // plan.buckets_per_object
    name = object_file_name(plan.file_format, plan.compression, index)
    landed = LandedObject(
        name=name,
        first_bucket=first,
        buckets=len(buckets),
        rows=rows,
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )
    return NewObject(name=prefix + name, body=body, landed=landed)


def _batched(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while group := list(islice(items, size)):
        yield group

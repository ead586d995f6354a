"""A committed (or about to be committed) version read back: every object checked, in bounded groups.

The load into Redis, and whoever takes records out of it again, read this way.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa

from reverse_etl.engine import Engine
from reverse_etl.errors import IntegrityError, NotFoundError
from reverse_etl.landing.formats import check_object, decode_lines, decompress, split_lines
from reverse_etl.landing.layout import version_prefix
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import LandedObject, Manifest, RecordGroup

_GROUP_ROWS = 16_384
_GROUP_BYTES = 4 << 20
# What is done with a group is done several times over in memory.
_GROUP_LINE_BYTES = 32 << 20


def read_groups(
    store: ObjectStore, manifest: Manifest, *, engine: Engine, threads: int
) -> Generator[RecordGroup]:
    """Every record of the version once, in order of (bucket, key), object by object.

    `IntegrityError` when an object is missing, altered, or has other rows than the manifest says.
    Groups ahead of the one being used are fetched by threads; at most `threads` of them wait.
    """
    with closing(_fetch_ahead(store, manifest, threads=threads)) as fetched:
        first_row = 0
        for objects, bodies in fetched:
            for lines in _decode(objects, bodies, manifest, engine):
                group = RecordGroup(lines=lines, bytes=lines.nbytes, first_row=first_row)
                # A bucket of few records may be large.
                yield from group.cut(max(1, len(lines) * _GROUP_LINE_BYTES // max(1, group.bytes)))
                first_row += len(lines)


def _fetch_ahead(
    store: ObjectStore, manifest: Manifest, *, threads: int
) -> Generator[tuple[list[LandedObject], list[bytes]]]:
    """Groups of objects in order, each with its bodies, fetched by threads before they are used."""
    waiting: deque[tuple[list[LandedObject], list[Future[list[bytes]]]]] = deque()
    workers = max(threads, store.concurrency)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="read") as pool:
        try:
            for objects in _group_objects(manifest):
                # Where a call is spent waiting every object is a task; else handing over costs more.
                parts = [objects] if store.concurrency == 1 else [[item] for item in objects]
                tasks = [pool.submit(_fetch, store, part, manifest) for part in parts]
                waiting.append((objects, tasks))
                if len(waiting) > threads:
                    yield _collect(*waiting.popleft())
            for group, fetched in waiting:
                yield _collect(group, fetched)
        except BaseException:
            store.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _collect(
    group: list[LandedObject], fetched: list[Future[list[bytes]]]
) -> tuple[list[LandedObject], list[bytes]]:
    return group, [body for part in fetched for body in part.result()]


def _group_objects(manifest: Manifest) -> Iterator[list[LandedObject]]:
    """Consecutive objects whose rows and stored bytes stay below the bounds; at least one each."""
    group: list[LandedObject] = []
    rows = size = 0
    for item in manifest.objects:
        if group and (rows + item.rows > _GROUP_ROWS or size + item.bytes > _GROUP_BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(item)
        rows += item.rows
        size += item.bytes
    if group:
        yield group


def _fetch(store: ObjectStore, group: list[LandedObject], manifest: Manifest) -> list[bytes]:
    """The objects' bytes, checked; JSON already decompressed, because that needs no engine."""
    prefix = version_prefix(manifest.sync, manifest.version)
    bodies = []
    for item in group:
        try:
            body = store.get(prefix + item.name)
        except NotFoundError:
            raise IntegrityError(
                f"Object '{item.name}' of version '{manifest.version}' is missing from the store, "
                "though the manifest names it. Materialise masked again."
            ) from None
        check_object(item, body)
        if manifest.format == "json":
            body = decompress(body, compression=manifest.compression)
        bodies.append(body)
    return bodies


def _decode(
    group: list[LandedObject], bodies: list[bytes], manifest: Manifest, engine: Engine
) -> Iterator[pa.Array]:
    parts: Iterator[pa.Array]
    if manifest.format == "json":
        # One string array over all of them: lines are whole in each object.
        parts = iter([split_lines(b"".join(bodies))])
    else:
        parts = (
            part
            for body in bodies
            for part in decode_lines(
                body, file_format=manifest.format, compression=manifest.compression, engine=engine
            )
        )
    rows = 0
    for lines in parts:
        rows += len(lines)
        yield lines
    expected = sum(item.rows for item in group)
    if rows != expected:
        raise IntegrityError(
            f"Objects '{group[0].name}' to '{group[-1].name}' hold {rows} records; the manifest says "
            f"{expected}."
        )

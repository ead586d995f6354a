"""Proof of landing: what was masked is what lies in the store, found by reading every byte again."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa

from reverse_etl.engine import Engine, fetch_row, guarded
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.digest import LineSum, sum_columns, sum_from_row
from reverse_etl.landing.formats import join_lines
from reverse_etl.landing.layout import MANIFEST, version_prefix
from reverse_etl.landing.reading import read_groups, read_text
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Manifest, RecordGroup
from reverse_etl.progress import Meter


def prove_text(
    store: ObjectStore, manifest: Manifest, *, sent: str, threads: int, meter: Meter
) -> None:
    """`IntegrityError` unless the store holds exactly the manifest's objects, and in them what was sent.

    `sent` is the content digest of what went to the writers. For formats whose objects hold the very
    lines that were masked.
    """
    _check_listing(store, manifest)
    content = hashlib.sha256()
    with closing(read_text(store, manifest, threads=threads)) as texts:
        for text, rows in texts:
            content.update(text)
            meter.add(rows=rows, bytes=len(text))
    if content.hexdigest() != sent:
        raise IntegrityError(
            f"What lies in the store, decompressed, has content digest {content.hexdigest()}; what was "
            f"sent has {sent}. Nothing goes live; run again, and report this if it stays."
        )


def prove_content(
    store: ObjectStore,
    manifest: Manifest,
    *,
    masked: LineSum,
    engine: Engine,
    threads: int,
    meter: Meter,
) -> str:
    """The same, and that decoding them gives what was masked; returns the content digest of that.

    For formats in which the lines that were masked are encoded once more on their way.
    """
    _check_listing(store, manifest)
    found = LineSum()
    content = hashlib.sha256()
    pending: deque[Future[LineSum]] = deque()
    with (
        closing(read_groups(store, manifest, engine=engine, threads=threads)) as groups,
        ThreadPoolExecutor(max_workers=threads, thread_name_prefix="prove") as pool,
    ):
        try:
            for group in groups:
                pending.append(pool.submit(_sum_group, engine, group))
                content.update(join_lines(group.lines))
                meter.add(rows=len(group.lines), bytes=group.bytes)
                if len(pending) > threads:
                    found += pending.popleft().result()
            while pending:
                found += pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    check_sum(found, masked, where="the store")
    return content.hexdigest()


def _sum_group(engine: Engine, group: RecordGroup) -> LineSum:
    with closing(engine.cursor()) as cursor, guarded("proving what landed"):
        cursor.register("landed_lines", pa.table({"line": group.lines}))
        return sum_from_row(fetch_row(cursor, f"SELECT {sum_columns('line')} FROM landed_lines"))


def check_sum(found: LineSum, masked: LineSum, *, where: str) -> None:
    """`IntegrityError` unless what was found is what was masked."""
    if found.rows != masked.rows:
        raise IntegrityError(
            f"{found.rows} records were found in {where}; {masked.rows} were masked. "
            "Nothing goes live; run again, and report this if it stays."
        )
    if found != masked:
        raise IntegrityError(
            f"As many records were found in {where} as were masked, {found.rows}, but not the same ones: "
            f"{found.bytes} bytes where {masked.bytes} were masked, and another sum of their hashes. "
            "Nothing goes live; run again, and report this if it stays."
        )


def _check_listing(store: ObjectStore, manifest: Manifest) -> None:
    rows = sum(item.rows for item in manifest.objects)
    buckets = sum(item.buckets for item in manifest.objects)
    if (rows, buckets) != (manifest.rows, manifest.buckets):
        raise IntegrityError(
            f"The objects that were written hold {rows} records in {buckets} buckets; {manifest.rows} in "
            f"{manifest.buckets} were masked. Nothing goes live; run again, and report this if it stays."
        )
    prefix = version_prefix(manifest.sync, manifest.version)
    listed = {
        item.name.removeprefix(prefix): item.bytes
        for item in store.list_objects(prefix)
        if not item.name.endswith(f"/{MANIFEST}")
    }
    expected = {item.name: item.bytes for item in manifest.objects}
    if listed != expected:
        missing = len(expected.keys() - listed.keys())
        extra = len(listed.keys() - expected.keys())
        altered = sum(listed[name] != expected[name] for name in listed.keys() & expected.keys())
        raise IntegrityError(
            f"The store lists other objects for version '{manifest.version}' than were written: "
            f"{missing} missing, {extra} unknown, {altered} of another size."
        )

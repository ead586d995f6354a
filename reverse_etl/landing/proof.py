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
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Manifest, RecordGroup
from reverse_etl.progress import Meter


def prove_landing(
    store: ObjectStore,
    manifest: Manifest,
    *,
    masked: LineSum,
    engine: Engine,
    threads: int,
    meter: Meter,
) -> str:
    """The content digest of what the store holds.

    `IntegrityError` unless that is exactly the manifest's objects, and in them what was masked.
    """
    _check_listing(store, manifest)
    found = LineSum()
    content = hashlib.sha256()
    pending: deque[Future[LineSum]] = deque()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="prove") as pool:
        try:
            for group in read_groups(store, manifest, engine=engine, threads=threads):
                pending.append(pool.submit(_sum_group, engine, group))
                content.update(join_lines(group.lines) if group.text is None else group.text)
                meter.add(rows=len(group.lines), bytes=group.bytes)
                if len(pending) > threads:
                    found += pending.popleft().result()
            while pending:
                found += pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    _check_sum(found, masked)
    return content.hexdigest()


def _sum_group(engine: Engine, group: RecordGroup) -> LineSum:
    with closing(engine.cursor()) as cursor, guarded("proving what landed"):
        cursor.register("landed_lines", pa.table({"line": group.lines}))
        return sum_from_row(fetch_row(cursor, f"SELECT {sum_columns('line')} FROM landed_lines"))


def _check_sum(found: LineSum, masked: LineSum) -> None:
    if found.rows != masked.rows:
        raise IntegrityError(
            f"{found.rows} records were found in the store; {masked.rows} were masked. "
            "Nothing goes live; run again, and report this if it stays."
        )
    if found != masked:
        raise IntegrityError(
            f"The store holds as many records as were masked, {found.rows}, but not the same ones: "
            f"{found.bytes} bytes where {masked.bytes} were masked, and another sum of their hashes. "
            "Nothing goes live; run again, and report this if it stays."
        )


def _check_listing(store: ObjectStore, manifest: Manifest) -> None:
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

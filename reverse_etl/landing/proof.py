"""Proof of landing: what was masked is what lies in the store, found by reading every byte again."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa

from reverse_etl.engine import Engine, fetch_row, guarded
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.digest import digest_columns, digest_from_row
from reverse_etl.landing.layout import MANIFEST, version_prefix
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import ContentDigest, Manifest, RecordGroup
from reverse_etl.progress import Meter


def prove_landing(
    store: ObjectStore, manifest: Manifest, *, engine: Engine, threads: int, meter: Meter
) -> None:
    """`IntegrityError` unless the store holds exactly the manifest's objects, records and content."""
    _check_listing(store, manifest)
    found = ContentDigest()
    pending: deque[Future[ContentDigest]] = deque()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="prove") as pool:
        try:
            for group in read_groups(store, manifest, engine=engine, threads=threads):
                pending.append(pool.submit(_digest_group, engine, group))
                meter.add(rows=len(group.lines), bytes=group.bytes)
                if len(pending) > threads:
                    found += pending.popleft().result()
            while pending:
                found += pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    check_content(found, manifest, where="the store")


def _digest_group(engine: Engine, group: RecordGroup) -> ContentDigest:
    with closing(engine.cursor()) as cursor, guarded("proving what landed"):
        cursor.register("landed_lines", pa.table({"line": group.lines}))
        return digest_from_row(
            fetch_row(cursor, f"SELECT {digest_columns('line')} FROM landed_lines")
        )


def check_content(found: ContentDigest, manifest: Manifest, *, where: str) -> None:
    """`IntegrityError` unless count and content digest are the manifest's."""
    if found.rows != manifest.rows:
        raise IntegrityError(
            f"{found.rows} records were found in {where}; {manifest.rows} were masked. "
            "Nothing goes live; run again, and report this if it stays."
        )
    if found.hex != manifest.content_digest:
        raise IntegrityError(
            f"The content digest of {where} is {found.hex}; masking gave {manifest.content_digest}. "
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

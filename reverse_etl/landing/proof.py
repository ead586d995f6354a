"""Proof of landing: what was masked is what lies in the store.

The lines that went to the writers are held against those that were masked; each object is decoded
again before it is sent, and its SHA-256 goes along; what came of it is either read back, byte by
byte, or vouched for by a store that checks that SHA-256 itself. When all are written, the listing must
show these objects and no others, each as it was left.
"""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

from reverse_etl.errors import IntegrityError
from reverse_etl.landing.digest import LineSum
from reverse_etl.landing.errands import Errands
from reverse_etl.landing.layout import MANIFEST, version_prefix
from reverse_etl.landing.store import ObjectStore, StoredObject
from reverse_etl.model import LandedObject, Manifest

# What S3 lists in one answer; a listing of more is a chain of answers, one after the other.
_PAGE = 1000


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


def check_listing(
    store: ObjectStore,
    manifest: Manifest,
    *,
    etags: Mapping[str, str | None],
    needs_etags: bool = False,
) -> None:
    """`IntegrityError` unless the store lists exactly the manifest's objects, as they were written.

    `etags` says, by name, what the store answered when an object was written; it is compared where
    a listing tells it, and has to be told with `needs_etags`.
    """
    aside = sum(item.rows for item in manifest.quarantine)
    if aside != manifest.quarantined:
        raise IntegrityError(
            f"The objects of the quarantine hold {aside} rows; {manifest.quarantined} were set aside. "
            "Nothing goes live; run again, and report this if it stays."
        )
    rows = sum(item.rows for item in manifest.objects)
    buckets = sum(item.buckets for item in manifest.objects)
    if (rows, buckets) != (manifest.rows, manifest.buckets):
        raise IntegrityError(
            f"The objects that were written hold {rows} records in {buckets} buckets; {manifest.rows} in "
            f"{manifest.buckets} were masked. Nothing goes live; run again, and report this if it stays."
        )
    listed = _list_version(store, manifest)
    written = {item.name: item.bytes for item in _list_objects(manifest)}
    known = listed.keys() & written.keys()
    missing, extra = len(written.keys() - known), len(listed.keys() - known)
    resized = sum(listed[name][0] != written[name] for name in known)
    untold = () if needs_etags else (None,)
    altered = sum(listed[name][1] not in (*untold, etags.get(name)) for name in known)
    altered += sum(needs_etags and etags.get(name) is None for name in known)
    if missing or extra or resized or altered:
        raise IntegrityError(
            f"The store lists other objects for version '{manifest.version}' than were written: "
            f"{missing} missing, {extra} unknown, {resized} of another size, {altered} written by "
            "somebody else since. Nothing goes live. Look for another writer below this prefix, then run "
            "again."
        )


def is_whole(store: ObjectStore, manifest: Manifest) -> bool:
    """Whether every object of a committed version is still there, of its size."""
    listed = {name: size for name, (size, _) in _list_version(store, manifest).items()}
    return all(listed.get(item.name) == item.bytes for item in _list_objects(manifest))


def _list_objects(manifest: Manifest) -> tuple[LandedObject, ...]:
    """All that a version has beside its manifest."""
    return manifest.objects + manifest.quarantine


def _list_version(store: ObjectStore, manifest: Manifest) -> dict[str, tuple[int, str | None]]:
    """Bytes and etag of what lies below a version, by name, but of its manifest."""
    prefix = version_prefix(manifest.sync, manifest.version)
    return {
        item.name.removeprefix(prefix): (item.bytes, item.etag)
        for item in _list_below(store, manifest, prefix)
        if item.name != prefix + MANIFEST
    }


def _list_below(store: ObjectStore, manifest: Manifest, prefix: str) -> list[StoredObject]:
    """All that lies below a prefix, in order: pages of it at once, where calls are spent waiting.

    The names that are known only say where to cut: the pages join, and nothing lies outside of them.
    """
    if store.concurrency == 1:
        return list(store.list_objects(prefix))
    names = sorted(prefix + item.name for item in _list_objects(manifest))
    # The last name of a page that is as it should be: so its answer is the only one that is needed.
    cuts = [None, *names[_PAGE - 1 : -1 : _PAGE], None]

    def list_page(after: str | None, until: str | None) -> list[StoredObject]:
        return list(store.list_objects(prefix, after=after, until=until))

    with Errands(store) as errands:
        pages = [errands.begin(partial(list_page, *ends)) for ends in pairwise(cuts)]
        return [item for page in pages for item in page()]

"""The listing at the end: exactly the objects that were written, each as it was left."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from reverse_etl.errors import IntegrityError
from reverse_etl.landing.layout import manifest_name, version_prefix
from reverse_etl.landing.proof import check_listing, is_whole
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import LandedObject, Manifest
from reverse_etl_tests.landing.crowded import CrowdedStore
from reverse_etl_tests.landing.golden_values import MANIFEST

PREFIX = version_prefix(MANIFEST.sync, MANIFEST.version)
NAMES = [item.name for item in MANIFEST.objects]


@pytest.fixture
def store() -> MemoryStore:
    """Holds an object of the right size for each that the manifest names."""
    filled = MemoryStore()
    for item in MANIFEST.objects:
        filled.put(PREFIX + item.name, b"x" * item.bytes)
    filled.put(manifest_name(MANIFEST.sync, MANIFEST.version), b"is no object of it")
    return filled


@pytest.fixture
def etags(store: MemoryStore) -> dict[str, str | None]:
    """What the store answered when they were written."""
    return {item.name.removeprefix(PREFIX): item.etag for item in store.list_objects(PREFIX)}


def test_listing_of_what_was_written_passes(
    store: MemoryStore, etags: dict[str, str | None]
) -> None:
    """Nothing is said when all is as it was left."""
    check_listing(store, MANIFEST, etags=etags)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda store: store.delete([PREFIX + NAMES[0]]), "1 missing, 0 unknown"),
        (lambda store: store.put(f"{PREFIX}more", b""), "0 missing, 1 unknown"),
        (lambda store: store.put(f"{PREFIX}x/manifest.json", b""), "0 missing, 1 unknown"),
        (lambda store: store.put(PREFIX + NAMES[0], b""), "1 of another size"),
        (
            lambda store: store.put(PREFIX + NAMES[0], b"y" * MANIFEST.objects[0].bytes),
            "0 of another size, 1 written by somebody else",
        ),
    ],
    ids=["missing", "unknown", "another manifest", "cut", "altered"],
)
def test_listing_of_anything_else_stops_it(
    store: MemoryStore,
    etags: dict[str, str | None],
    harm: Callable[[MemoryStore], object],
    found: str,
) -> None:
    """An object that is gone, new, shorter or written again is counted."""
    harm(store)

    with pytest.raises(IntegrityError, match=found):
        check_listing(store, MANIFEST, etags=etags)


@pytest.mark.parametrize(
    "manifest",
    [replace(MANIFEST, rows=MANIFEST.rows + 1), replace(MANIFEST, buckets=MANIFEST.buckets + 1)],
)
def test_objects_hold_all_that_was_masked(
    store: MemoryStore, etags: dict[str, str | None], manifest: Manifest
) -> None:
    """Rows and buckets of the objects add up to the version's."""
    with pytest.raises(IntegrityError, match="were masked"):
        check_listing(store, manifest, etags=etags)


def test_quarantine_is_listed_too(store: MemoryStore, etags: dict[str, str | None]) -> None:
    """What was set aside is part of the version: named, there, and as many rows as were counted."""
    aside = LandedObject(
        name="quarantine/00000.jsonl.gz",
        first_bucket=0,
        buckets=0,
        rows=2,
        bytes=7,
        sha256="0" * 64,
    )
    manifest = replace(MANIFEST, quarantined=2, quarantine=(aside,))

    with pytest.raises(IntegrityError, match="1 missing, 0 unknown"):
        check_listing(store, manifest, etags=etags)
    etag = store.put(PREFIX + aside.name, b"x" * 7)
    check_listing(store, manifest, etags={**etags, aside.name: etag})
    with pytest.raises(IntegrityError, match="0 missing, 1 unknown"):
        check_listing(store, MANIFEST, etags=etags)
    with pytest.raises(IntegrityError, match="hold 2 rows; 3 were set aside"):
        check_listing(store, replace(manifest, quarantined=3), etags=etags)


#: Cut at the thousandth name and at the two thousandth.
MANY = replace(
    MANIFEST,
    objects=tuple(
        LandedObject(
            name=f"{index:05x}.jsonl.gz", first_bucket=index, buckets=1, rows=1, bytes=3, sha256=""
        )
        for index in range(2500)
    ),
    rows=2500,
    buckets=2500,
    quarantined=0,
    quarantine=(),
)
EDGES = (0, 1, 998, 999, 1000, 1001, 1999, 2000, 2499)


def fill(store: MemoryStore) -> dict[str, str | None]:
    return {item.name: store.put(PREFIX + item.name, b"abc") for item in MANY.objects}


def test_many_objects_are_listed_in_pages_that_join() -> None:
    """Cut at names that are known, the listing is still of all that lies there, each page asked for once."""
    store = CrowdedStore()
    etags = fill(store)
    store.put(manifest_name(MANY.sync, MANY.version), b"is no object of it")

    check_listing(store, MANY, etags=etags, needs_etags=True)

    first, second = (PREFIX + MANY.objects[place].name for place in (999, 1999))
    assert sorted(store.listed, key=str) == sorted(
        [(PREFIX, None, first), (PREFIX, first, second), (PREFIX, second, None)], key=str
    )
    assert is_whole(store, MANY)


def test_page_that_is_just_full_is_not_followed_by_another() -> None:
    """A last page of a thousand names is the last one."""
    store = CrowdedStore()
    etags = fill(store)
    manifest = replace(MANY, objects=MANY.objects[:2000], rows=2000, buckets=2000)
    store.delete(PREFIX + item.name for item in MANY.objects[2000:])

    check_listing(store, manifest, etags=etags)

    assert len(store.listed) == 2


def test_harm_is_found_wherever_it_lies() -> None:
    """Missing, cut, written again or unknown: at the edges of pages, before the first and after the last."""
    store = CrowdedStore()
    etags = fill(store)

    for name in (PREFIX + MANY.objects[place].name for place in EDGES):
        store.delete([name])
        with pytest.raises(IntegrityError, match="1 missing, 0 unknown, 0 of another"):
            check_listing(store, MANY, etags=etags)
        assert not is_whole(store, MANY)
        store.put(name, b"abcd")
        with pytest.raises(IntegrityError, match="0 missing, 0 unknown, 1 of another size"):
            check_listing(store, MANY, etags=etags)
        assert not is_whole(store, MANY)
        store.put(name, b"xyz")
        with pytest.raises(IntegrityError, match="0 of another size, 1 written by somebody"):
            check_listing(store, MANY, etags=etags)
        store.put(name, b"abc")
        store.put(f"{name}.more", b"")
        with pytest.raises(IntegrityError, match="0 missing, 1 unknown, 0 of another"):
            check_listing(store, MANY, etags=etags)
        store.delete([f"{name}.more"])
    for stranger in ("!", "00000.jsonl", "quarantine/00000.jsonl.gz", "zzz/z", "\uffee"):
        store.put(PREFIX + stranger, b"")
        with pytest.raises(IntegrityError, match="0 missing, 1 unknown, 0 of another"):
            check_listing(store, MANY, etags=etags)
        store.delete([PREFIX + stranger])
    check_listing(store, MANY, etags=etags)

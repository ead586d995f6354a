"""Versions read back: whole, in order, checked, and in groups of bounded size that know their place."""

import dataclasses
import gzip
import hashlib
from collections.abc import Iterator

import pytest

from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import IntegrityError
from reverse_etl.landing import reading
from reverse_etl.landing.layout import version_prefix
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import LandedObject, Manifest, RecordGroup
from reverse_etl_tests.cache.builders import SYNC, VERSION, build_lines, build_manifest

LINES = build_lines(100)
OBJECT_ROWS = 8


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine of one thread."""
    with open_engine(memory_limit_bytes=64 << 20) as opened:
        yield opened


def land(store: MemoryStore, lines: list[str]) -> Manifest:
    """A version of JSON objects of a few records each, the last one empty."""
    objects = []
    for start in range(0, len(lines) + OBJECT_ROWS, OBJECT_ROWS):
        some = lines[start : start + OBJECT_ROWS]
        body = gzip.compress("".join(f"{line}\n" for line in some).encode())
        name = f"{len(objects):05x}.jsonl.gz"
        store.put(version_prefix(SYNC, VERSION) + name, body)
        objects.append(
            LandedObject(
                name=name,
                first_bucket=len(objects),
                buckets=1,
                rows=len(some),
                bytes=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
            )
        )
    return dataclasses.replace(build_manifest(lines), objects=tuple(objects))


def list_lines(groups: list[RecordGroup]) -> list[str]:
    return [line for group in groups for line in group.lines.to_pylist()]


def check_places(groups: list[RecordGroup]) -> None:
    rows = 0
    for group in groups:
        assert group.first_row == rows
        rows += len(group.lines)


@pytest.mark.parametrize("rows", [1, 20, 10_000])
def test_groups_know_their_place(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """However objects are put together, the records come in order, each group with its first row."""
    monkeypatch.setattr(reading, "_GROUP_ROWS", rows)
    store = MemoryStore()
    manifest = land(store, LINES)

    groups = list(read_groups(store, manifest, engine=engine, threads=2))

    assert list_lines(groups) == LINES
    check_places(groups)


def test_large_records_come_in_smaller_groups(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object of few large records is cut, so that no group is much larger than the bound."""
    monkeypatch.setattr(reading, "_GROUP_LINE_BYTES", 1000)
    store = MemoryStore()
    manifest = land(store, LINES)

    groups = list(read_groups(store, manifest, engine=engine, threads=2))

    assert list_lines(groups) == LINES
    check_places(groups)
    assert max(sum(map(len, group.lines.to_pylist())) for group in groups) <= 1000


def test_version_without_records_is_one_empty_group(engine: Engine) -> None:
    """Who takes the first group of a version finds one."""
    store = MemoryStore()

    (group,) = read_groups(store, land(store, []), engine=engine, threads=2)

    assert len(group.lines) == 0


def test_missing_object_is_told(engine: Engine) -> None:
    """An object that the manifest names and the store has not is an error, not less records."""
    store = MemoryStore()
    manifest = land(store, LINES)
    store.delete([version_prefix(SYNC, VERSION) + manifest.objects[3].name])

    with pytest.raises(IntegrityError, match=manifest.objects[3].name):
        list(read_groups(store, manifest, engine=engine, threads=2))

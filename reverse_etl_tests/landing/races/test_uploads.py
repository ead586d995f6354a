"""Uploads in parts beside the sweep of unfinished ones: an object is whole, or it is not there."""

import time
from collections.abc import Iterator

import pytest

from reverse_etl.errors import TransientError
from reverse_etl.landing.s3 import clients
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.landing.sweep import announce_attempt
from reverse_etl_tests.landing.races.scenes import (
    SYNC,
    LandedVersion,
    is_buried,
    list_bodies,
    sweep,
)
from reverse_etl_tests.landing.s3.scenes import open_store
from reverse_etl_tests.s3.server import S3Server

PART = 5 << 20
BODY = bytes(range(256)) * (11 << 12)
MOMENTS = [
    ("CreateMultipartUpload", 0),
    ("UploadPart", 0),
    ("UploadPart", 1),
    ("UploadPart", 2),
    ("CompleteMultipartUpload", 0),
]
any_moment = pytest.mark.parametrize(
    ("operation", "skip"), MOMENTS, ids=[f"{name}-{skip}" for name, skip in MOMENTS]
)


@pytest.fixture
def server() -> Iterator[S3Server]:
    """A server of this test's own."""
    with S3Server() as started:
        yield started


@pytest.fixture
def store(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """A store for which eleven megabytes are large already."""
    monkeypatch.setattr(clients, "MULTIPART_BYTES", PART)
    monkeypatch.setattr(clients, "_PART_BYTES", PART)
    with open_store(server) as opened:
        yield opened


@any_moment
@pytest.mark.parametrize("age_seconds", [0, 3600])
def test_upload_is_whole_or_absent(
    server: S3Server, store: S3Store, operation: str, skip: int, age_seconds: float
) -> None:
    """Aborted in the act it is sent again, or refused; one that is young goes on as if nothing was."""
    swept: list[int] = []

    def sweep_now() -> None:
        with open_store(server) as other:
            now = time.time() + 1
            swept.append(other.sweep_unfinished("", older_than_seconds=age_seconds, now=now))

    server.faults.notice(operation=operation, skip=skip, before=sweep_now)
    try:
        etag = store.put("large", BODY)
    except TransientError:
        assert list(store.list_objects("")) == []
    else:
        assert store.get_with_etag("large") == (BODY, etag)
    aborted = age_seconds == 0 and operation != "CreateMultipartUpload"
    assert swept == [1 if aborted else 0]
    assert server.operations["CreateMultipartUpload"] == 1 + aborted
    assert store.sweep_unfinished("", older_than_seconds=0, now=time.time() + 1) == 0


@any_moment
def test_buried_attempt_keeps_no_late_upload(
    server: S3Server, store: S3Store, landed: LandedVersion, operation: str, skip: int
) -> None:
    """What a buried run still uploads, and finishes uploading, goes with the next sweep."""
    version = landed.manifest.version
    name = f"{landed.prefix}late"
    announce_attempt(store, SYNC, version)

    def bury() -> None:
        with open_store(server) as other:
            sweep(other)

    server.faults.notice(operation=operation, skip=skip, before=bury)
    store.put(name, BODY)

    assert list_bodies(store, version) == {name}
    sweep(store)
    assert is_buried(store, version)
    assert list_bodies(store, version) == set()

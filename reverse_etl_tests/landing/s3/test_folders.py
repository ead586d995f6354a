"""Many objects at once: listings in pages, removals in batches, sweeps of what was left half sent."""

import datetime as dt
import itertools
import time as real_time
from collections.abc import Callable

import pytest

from reverse_etl.errors import ConfigError, TerminalError, TransientError
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.landing.store import StoredObject
from reverse_etl_tests.landing.s3.scenes import PREFIX
from reverse_etl_tests.s3.buckets import StoredObject as StoredBody
from reverse_etl_tests.s3.buckets import Upload
from reverse_etl_tests.s3.clients import make_boto3
from reverse_etl_tests.s3.server import S3Server


def begin_upload(server: S3Server, key: str) -> None:
    client = make_boto3(server)
    client.create_multipart_upload(Bucket=server.bucket, Key=key)
    client.close()


def keys_of_uploads(server: S3Server) -> list[str]:
    return sorted(upload.key for upload in server.get_bucket(server.bucket).uploads.values())


def test_old_uploads_below_the_folder_are_swept(server: S3Server, store: S3Store) -> None:
    """What a writer that died left half sent goes, once it is old enough, and nothing beside it."""
    now = real_time.time()
    for key in (f"{PREFIX}/s/a", f"{PREFIX}/s/b c/é", f"{PREFIX}/t/a", "s/a", f"{PREFIX}-too/s/a"):
        begin_upload(server, key)
    store.put("s/a", b"1")

    assert store.sweep_unfinished("s/", older_than_seconds=60, now=now) == 0
    assert store.sweep_unfinished("s/", older_than_seconds=60, now=now + 120) == 2
    assert keys_of_uploads(server) == [f"{PREFIX}-too/s/a", f"{PREFIX}/t/a", "s/a"]
    assert store.sweep_unfinished("", older_than_seconds=60, now=now + 120) == 1
    assert keys_of_uploads(server) == [f"{PREFIX}-too/s/a", "s/a"]
    assert store.get("s/a") == b"1"


def test_upload_that_ends_meanwhile_is_no_error(server: S3Server, store: S3Store) -> None:
    """Whoever completes or aborts an upload between listing and removal is not in the way."""
    begin_upload(server, f"{PREFIX}/a")
    uploads = server.get_bucket(server.bucket).uploads
    server.faults.notice(operation="AbortMultipartUpload", before=uploads.clear)

    assert store.sweep_unfinished("", older_than_seconds=0, now=real_time.time() + 9) == 0


def test_old_uploads_are_found_behind_many_young_ones(server: S3Server, store: S3Store) -> None:
    """A listing of uploads comes in pages too, each asked for again when it fails."""
    now = real_time.time()
    uploads = server.get_bucket(server.bucket).uploads
    for number in range(2100):
        is_old = number % 1000 == 99
        at = dt.datetime.fromtimestamp(now - 500 * is_old, dt.UTC)
        uploads[f"u{number}"] = Upload(
            upload_id=f"u{number}",
            key=f"{PREFIX}/s/{number:05d}",
            initiated_at=at,
            object=StoredBody(body=b"", etag="", modified_at=at),
            checksum_algorithm="",
        )
    server.faults.answer("SlowDown", operation="ListMultipartUploads", skip=1)
    server.faults.reset(operation="AbortMultipartUpload")

    assert store.sweep_unfinished("s/", older_than_seconds=60, now=now) == 3
    assert len(uploads) == 2097
    assert server.operations["ListMultipartUploads"] >= 4


def test_upload_that_may_not_be_aborted(server: S3Server, store: S3Store) -> None:
    """A sweep that is not allowed says which action is missing."""
    begin_upload(server, f"{PREFIX}/a")
    server.faults.answer("AccessDenied", status=403, operation="AbortMultipartUpload")

    with pytest.raises(ConfigError, match="s3:AbortMultipartUpload on arn:aws:s3:::landing/"):
        store.sweep_unfinished("", older_than_seconds=0, now=real_time.time() + 9)


def test_sweep_takes_folders_only(store: S3Store) -> None:
    """Half a name is not guessed at."""
    with pytest.raises(TerminalError, match="slash"):
        store.sweep_unfinished("s", older_than_seconds=0, now=0)


def fill(server: S3Server, count: int) -> list[str]:
    names = [f"s/{number:05d}" for number in range(count)]
    for name in names:
        server.put_object(f"{PREFIX}/{name}", name.encode())
    return names


def test_listing_comes_in_pages(server: S3Server, store: S3Store) -> None:
    """Thousands of objects are listed a page at a time, as they are taken, in order."""
    names = fill(server, 2500)

    listing = store.list_objects("s/")
    first = next(listing)
    asked = server.operations["ListObjectsV2"]
    rest = [item.name for item in listing]

    assert first == StoredObject(
        name="s/00000", bytes=7, etag=server.objects[f"{PREFIX}/s/00000"].etag
    )
    assert asked == 1
    assert [first.name, *rest] == names
    assert server.operations["ListObjectsV2"] == 3


def test_listing_goes_on_where_it_broke(server: S3Server, store: S3Store) -> None:
    """A page that fails is asked for again; no object is listed twice, and none is left out."""
    names = fill(server, 2500)
    server.faults.reset(operation="ListObjectsV2", skip=1)
    server.faults.cut(5000, operation="ListObjectsV2", skip=1)
    server.faults.answer("SlowDown", operation="ListObjectsV2", skip=2)

    assert [item.name for item in store.list_objects("s/")] == names


def test_listing_by_half_a_name_skips_what_comes_before(server: S3Server, store: S3Store) -> None:
    """A long folder is not read from its beginning for the few names at its end."""
    names = fill(server, 2500)

    found = [item.name for item in store.list_objects("s/0249")]

    assert found == names[2490:]
    assert server.operations["ListObjectsV2"] == 1


def test_listing_by_half_a_name_stops_after_it(server: S3Server, store: S3Store) -> None:
    """Nor is it read to its end for the few at its beginning."""
    fill(server, 2500)

    assert len(list(store.list_objects("s/0000"))) == 10
    assert server.operations["ListObjectsV2"] == 1


def test_listing_up_to_a_name_stops_with_its_page(server: S3Server, store: S3Store) -> None:
    """A page that ends with the last name is not followed by another; what is cut in pages costs no more."""
    names = fill(server, 2500)
    cuts = [None, names[999], names[1999], None]

    pages = [
        [item.name for item in store.list_objects("s/", after=after, until=until)]
        for after, until in itertools.pairwise(cuts)
    ]

    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert [name for page in pages for name in page] == names
    assert server.operations["ListObjectsV2"] == 3


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (lambda server: server.delete_object(f"{PREFIX}/s/01500"), 3),
        (lambda server: server.delete_object(f"{PREFIX}/s/01999"), 3),
        (lambda server: server.put_object(f"{PREFIX}/s/01500x", b""), 4),
        (lambda server: server.put_object(f"{PREFIX}/s/01999x", b""), 3),
    ],
    ids=["gone within", "gone at the end", "more within", "more behind the end"],
)
def test_listing_between_names_reads_no_further_than_it_must(
    server: S3Server, store: S3Store, change: Callable[[S3Server], object], asked: int
) -> None:
    """Only a page with more in it than was known is followed by another."""
    names = fill(server, 2500)
    change(server)
    cuts = [None, names[999], names[1999], None]

    found = [
        item.name
        for after, until in itertools.pairwise(cuts)
        for item in store.list_objects("s/", after=after, until=until)
    ]

    assert found == sorted(key.removeprefix(f"{PREFIX}/") for key in server.objects)
    assert server.operations["ListObjectsV2"] == asked


def test_listing_between_names_goes_on_where_it_broke(server: S3Server, store: S3Store) -> None:
    """It begins again behind what it had, and still ends where it was to end."""
    names = fill(server, 2500)
    server.faults.reset(operation="ListObjectsV2")
    server.faults.cut(5000, operation="ListObjectsV2", skip=2)

    found = [item.name for item in store.list_objects("s/0", after=names[10], until=names[2400])]

    assert found == names[11:2401]


def fill_with_spaces(server: S3Server, count: int) -> list[str]:
    """Names that only differ behind a space, which no query holds: pages begin before it."""
    names = [f"s/a {number:05d}" for number in range(count)]
    for name in names:
        server.put_object(f"{PREFIX}/{name}", b"")
    return names


def test_listing_of_names_with_spaces_goes_on_where_it_broke(
    server: S3Server, store: S3Store
) -> None:
    """What was listed before the fault is not listed again, though it is read again."""
    names = fill_with_spaces(server, 2100)
    server.faults.reset(operation="ListObjectsV2", skip=2)

    assert [item.name for item in store.list_objects("s/")] == names
    found = [item.name for item in store.list_objects("s/", after=names[1500], until=names[1510])]
    assert found == names[1501:1511]


def test_listing_that_gets_no_further_ends(server: S3Server, store: S3Store) -> None:
    """Pages that were read before are no progress: a page that always fails is given up."""
    fill_with_spaces(server, 1100)
    for page in range(12):
        server.faults.answer("InternalError", operation="ListObjectsV2", skip=page + 1)

    with pytest.raises(TransientError, match="12 attempts"):
        list(store.list_objects("s/"))


def test_names_that_are_not_ours_are_passed_over(server: S3Server, store: S3Store) -> None:
    """What others lay beside our objects under names that no store gives is not listed."""
    for key in ("s/.hidden", ".locks/x", "s/a"):
        server.put_object(f"{PREFIX}/{key}", b"1")

    assert [item.name for item in store.list_objects("")] == ["s/a"]
    assert store.list_folders("") == ["s"]


def test_key_that_cannot_be_listed_stops_the_run(server: S3Server, store: S3Store) -> None:
    """A key that the client cannot even read hides those behind it: it is not passed over in silence."""
    server.put_object(f"{PREFIX}/s//a", b"1")

    for call in (lambda: list(store.list_objects("")), lambda: store.list_folders("s/")):
        with pytest.raises(TerminalError, match="move them away"):
            call()


def test_marker_of_the_folder_itself_is_not_listed(server: S3Server, store: S3Store) -> None:
    """What the console lays into a folder to show it is nothing that lies in it."""
    for key in (f"{PREFIX}/", f"{PREFIX}/s/", f"{PREFIX}/s/a"):
        server.put_object(key, b"")

    assert [item.name for item in store.list_objects("s/")] == ["s/a"]
    assert store.list_folders("") == ["s"]


def test_names_are_removed_a_thousand_at_a_time(server: S3Server, store: S3Store) -> None:
    """A listing handed to delete costs one request in a thousand, and one more for what is left."""
    fill(server, 2500)

    store.delete(item.name for item in store.list_objects("s/"))

    assert not server.objects
    assert server.operations["DeleteObjects"] == 3


def test_removal_that_is_interrupted_is_finished(server: S3Server, store: S3Store) -> None:
    """A batch of which one key failed, or whose answer was lost, is removed again."""
    names = fill(server, 20)
    server.faults.fail_key("InternalError", key="00007")
    server.faults.reset(after=True, operation="DeleteObjects", skip=1)

    store.delete(names)

    assert not server.objects


def test_bad_name_among_many_removes_nothing(store: S3Store) -> None:
    """Names are looked at before the request is made."""
    store.put("a", b"1")

    with pytest.raises(TerminalError, match="is not an object name"):
        store.delete(["a", "../b"])
    assert store.get("a") == b"1"

"""What lies in S3 after a call, and what was asked for it: headers, parts, pages, batches, sweeps."""

import base64
import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reverse_etl.errors import ConfigError, NotFoundError, TerminalError, TransientError
from reverse_etl.landing.s3.clients import MULTIPART_BYTES
from reverse_etl.landing.s3.store import S3Store
from reverse_etl_tests.landing.s3.scenes import PREFIX, FakeTime, open_store
from reverse_etl_tests.s3.log import LoggedRequest
from reverse_etl_tests.s3.server import S3Server

KMS_KEY = "arn:aws:kms:eu-central-1:111122223333:key/k"


def last_put(server: S3Server) -> LoggedRequest:
    return [request for request in server.log if request.operation == "PutObject"][-1]


def test_keys_lie_below_the_prefix(server: S3Server, store: S3Store) -> None:
    """The store's root is the prefix: nothing is written, listed or removed outside."""
    server.put_object("other/x", b"1")
    server.put_object(f"{PREFIX}-too/x", b"1")
    server.put_object(PREFIX, b"1")

    store.put("x", b"2")
    listed = [item.name for item in store.list_objects("")]
    folders = store.list_folders("")
    store.delete(["x"])

    assert listed == ["x"]
    assert folders == []
    assert sorted(server.objects) == [PREFIX, f"{PREFIX}-too/x", "other/x"]


def test_every_put_says_its_sha256(server: S3Server, store: S3Store) -> None:
    """S3 holds what arrives against the checksum in the header, conditional or not."""
    body = b"\0some bytes"
    expected = base64.b64encode(hashlib.sha256(body).digest()).decode()

    etag = store.put("a", body)
    store.put_if_absent("b", body)
    store.put_if_match("a", body, etag=etag)

    puts = [request for request in server.log if request.operation == "PutObject"]
    assert [request.headers["x-amz-checksum-sha256"] for request in puts] == [expected] * 3
    assert [request.headers.get("if-none-match") for request in puts] == [None, "*", None]
    assert [request.headers.get("if-match") for request in puts] == [None, None, etag]


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({}, {}),
        ({"encryption": "AES256"}, {"": "AES256"}),
        ({"encryption": "aws:kms"}, {"": "aws:kms", "-bucket-key-enabled": "true"}),
        (
            {"encryption": "aws:kms", "kms_key_id": KMS_KEY},
            {"": "aws:kms", "-bucket-key-enabled": "true", "-aws-kms-key-id": KMS_KEY},
        ),
    ],
    ids=["bucket's own", "AES256", "account's key", "own key"],
)
def test_encryption_is_asked_for(
    server: S3Server, options: Mapping[str, str], headers: Mapping[str, str]
) -> None:
    """Every object is written with the encryption of the settings."""
    name = "x-amz-server-side-encryption"
    expected = {f"{name}{suffix}": value for suffix, value in headers.items()}

    with open_store(server, **options) as store:
        store.put("a", b"1")
        store.put_if_absent("b", b"1")
        assert store.get("a") == b"1"

    puts = [request for request in server.log if request.operation == "PutObject"]
    assert len(puts) == 2
    for request in puts:
        asked = {key: value for key, value in request.headers.items() if key.startswith(name)}
        assert asked == expected
    # S3 refuses to read with such headers.
    read = next(it for it in server.log if it.operation == "GetObject")
    assert not [key for key in read.headers if key.startswith(name)]


def test_large_object_is_encrypted_alike(server: S3Server) -> None:
    """In parts, the encryption is asked for when they are begun."""
    with open_store(server, encryption="aws:kms", kms_key_id=KMS_KEY) as store:
        store.put("a", bytes(MULTIPART_BYTES + 1))

    assert server.objects[f"{PREFIX}/a"].kms_key == KMS_KEY


def test_metadata_is_kept(server: S3Server, store: S3Store) -> None:
    """What is said of an object for people lies there with it."""
    store.put("a", b"1", metadata={"run-id": "7f3a", "rows": "12"})

    assert server.objects[f"{PREFIX}/a"].metadata == {"run-id": "7f3a", "rows": "12"}
    assert last_put(server).headers["x-amz-meta-run-id"] == "7f3a"


@pytest.mark.parametrize(
    "metadata", [{"": "x"}, {"a b": "x"}, {"Run": "x"}, {"a\n": "x"}, {"a": "é"}, {"a": "x\ny"}]
)
def test_metadata_that_is_no_header_is_refused(
    server: S3Server, store: S3Store, metadata: Mapping[str, str]
) -> None:
    """What could not be sent is refused before anything is."""
    with pytest.raises(TerminalError, match="Metadata"):
        store.put("a", b"1", metadata=metadata)
    assert server.log == ()


@pytest.mark.parametrize("body", [bytearray(b"12345"), memoryview(b"0123456")[1:6]])
def test_any_buffer_is_a_body(store: S3Store, body: bytes) -> None:
    """What holds bytes is sent as they are, without a copy beforehand."""
    store.put("a", body)
    store.put_if_absent("b", body)

    assert store.get("a") == store.get("b") == b"12345"


def test_text_is_no_body(server: S3Server, store: S3Store, tmp_path: Path) -> None:
    """The client would take it for the path of a file, and send that."""
    file = tmp_path / "private"
    file.write_bytes(b"canary")

    for body in (str(file), file):
        with pytest.raises(TypeError):
            store.put("a", body)  # type: ignore[arg-type]
    assert server.log == ()


def test_signed_by_the_session(server: S3Server, store: S3Store) -> None:
    """Every request is signed, listings and sweeps too; no call falls back to being nobody."""
    store.put("a", b"1")
    store.get("a")
    list(store.list_objects(""))
    store.list_folders("")
    store.sweep_unfinished("", older_than_seconds=0, now=0)
    store.delete(["a"])

    assert {request.access_key_id for request in server.log} == {server.access_key_id}


def test_large_object_goes_up_in_parts(server: S3Server, store: S3Store) -> None:
    """Beyond the limit an object is sent in parts, with checksums and metadata, and lies there whole."""
    body = os.urandom(1_000_003) * 68

    etag = store.put("a", body, metadata={"run-id": "7"})

    assert store.get_with_etag("a") == (body, etag)
    assert [item.etag for item in store.list_objects("")] == [etag]
    assert server.objects[f"{PREFIX}/a"].metadata == {"run-id": "7"}
    assert server.operations["UploadPart"] == 5
    assert server.operations["PutObject"] == 0
    parts = [request for request in server.log if request.operation == "UploadPart"]
    assert all("x-amz-checksum-sha256" in request.headers for request in parts)
    assert not server.get_bucket(server.bucket).uploads


def test_object_at_the_limit_is_one_request(server: S3Server, store: S3Store) -> None:
    """Up to the limit one request does it."""
    store.put("a", bytes(MULTIPART_BYTES))

    assert server.operations["PutObject"] == 1
    assert server.operations["CreateMultipartUpload"] == 0


def test_part_that_fails_is_sent_again_alone(server: S3Server, store: S3Store) -> None:
    """One part's fault does not cost the others."""
    server.faults.answer("InternalError", operation="UploadPart", skip=2)

    store.put("a", bytes(MULTIPART_BYTES + 1))

    assert server.operations["UploadPart"] == 6
    assert server.operations["CreateMultipartUpload"] == 1


@pytest.mark.parametrize("after", ["before", "after"])
def test_completion_that_is_lost(server: S3Server, store: S3Store, after: str) -> None:
    """Whether the upload was completed or not when the answer was lost: the object is there."""
    server.faults.reset(operation="CompleteMultipartUpload", after=after == "after")

    etag = store.put("a", bytes(MULTIPART_BYTES + 1))

    assert store.get_with_etag("a")[1] == etag


def test_upload_that_fails_leaves_nothing(server: S3Server, time: FakeTime) -> None:
    """A large object that cannot be written is given up, and so are its parts."""
    server.faults.answer("InvalidRequest", operation="UploadPart", times=None)

    with (
        open_store(server, retries=time.policy()) as store,
        pytest.raises(TerminalError, match="400 InvalidRequest"),
    ):
        store.put("a", bytes(MULTIPART_BYTES + 1))

    assert not server.objects


@pytest.mark.parametrize("name", ["a\x01b", "a\nb", "a" * 250 + "/" + "b" * 250])
def test_name_that_s3_cannot_hold_is_refused(server: S3Server, name: str) -> None:
    """Control characters, and keys that the prefix makes too long, are refused before any request."""
    prefix = "/".join(["p" * 200] * 3)

    with open_store(server, prefix=prefix) as store:
        for call in (
            store.get,
            lambda name: store.put(name, b""),
            lambda name: store.delete([name]),
        ):
            with pytest.raises(TerminalError):
                call(name)
    assert server.log == ()


def test_location_and_repr_show_no_key(server: S3Server, store: S3Store) -> None:
    """Where it is may be shown; what signs may not."""
    assert store.location == f"s3://landing/{PREFIX}"
    assert repr(store) == f"S3Store('s3://landing/{PREFIX}')"
    shown = repr([store, vars(store), vars(store._clients)])
    assert server.secret_access_key not in shown
    assert server.access_key_id not in shown


def test_store_keeps_checksums_and_concurrency(store: S3Store) -> None:
    """S3 vouches for what it was given, and waiting for it is done side by side."""
    assert store.keeps_checksums
    assert store.concurrency == 16
    assert store.flush() is None
    store.close()
    store.close()


def test_not_found_names_the_object(store: S3Store) -> None:
    """Which object, and where it was looked for."""
    with pytest.raises(NotFoundError, match=f"'a/b' in s3://landing/{PREFIX}"):
        store.get("a/b")


def test_requests_at_once_are_bounded(server: S3Server) -> None:
    """However many threads ask, no more requests are under way than the setting says."""
    server.delay_seconds = 0.002

    with open_store(server, concurrency=5) as store, ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: store.put(f"{number}", b"1"), range(200)))

    assert server.counts.most_in_flight == 5
    assert server.counts.connections < 20


def test_unknown_is_not_transient(server: S3Server, store: S3Store) -> None:
    """Only what may pass by itself is called transient."""
    server.faults.answer("InvalidArgument", status=400)

    with pytest.raises(TerminalError) as raised:
        store.put("a", b"1")
    assert not isinstance(raised.value, TransientError | ConfigError)

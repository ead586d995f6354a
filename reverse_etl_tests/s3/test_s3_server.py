"""Objects go in and come back, for boto3 and obstore, over HTTP and TLS; conditions hold."""

import datetime as dt
import hashlib
from contextlib import closing
from typing import Any

import obstore
import pytest
from botocore.exceptions import ClientError
from obstore.exceptions import AlreadyExistsError, PreconditionError

from reverse_etl_tests.contracts.store import TAKEN_NAMES
from reverse_etl_tests.s3.clients import get, make_boto3, make_obstore, put, refuse
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.ranges import parse_range
from reverse_etl_tests.s3.server import S3Server

BODIES = [b"", b"\0\r\n\xff", b"x" * 3_000_000]


@pytest.mark.parametrize("body", BODIES, ids=["empty", "odd", "large"])
def test_boto3_reads_what_it_wrote(both: S3Server, both_boto3: Any, body: bytes) -> None:
    """Any bytes come back whole, in both of boto3's wire formats, with their MD5 as the etag."""
    written = put(both_boto3, "boto/x", body)

    assert get(both_boto3, "boto/x")["Body"].read() == body
    assert written["ETag"] == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    assert both.objects["boto/x"].body == body


@pytest.mark.parametrize("body", BODIES, ids=["empty", "odd", "large"])
def test_obstore_reads_what_it_wrote(both_obstore: Any, body: bytes) -> None:
    """The same for obstore."""
    written = both_obstore.put("obstore/x", body)
    read = both_obstore.get("obstore/x")

    assert bytes(read.bytes()) == body
    assert read.meta["e_tag"] == written["e_tag"]


def test_tls_is_the_encoding_of_production(s3_tls_server: S3Server) -> None:
    """Over TLS boto3 sends its body in chunks with a checksum behind; the server takes both apart."""
    with closing(make_boto3(s3_tls_server)) as client:
        put(client, "x", b"hello")

    (request,) = s3_tls_server.log
    assert request.headers["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert request.headers["transfer-encoding"] == "chunked"
    assert request.headers["expect"] == "100-continue"
    assert s3_tls_server.objects["x"].checksums.keys() == {"crc32"}


@pytest.mark.parametrize("name", [*TAKEN_NAMES, "a=b&c;d:e@f,g$h'i(j)*k~l", "{x}|^`#?%2F"])
def test_name_is_kept_as_it_is(server: S3Server, client: Any, name: str) -> None:
    """A name is stored as it was meant, and signs, lists, reads and goes by both clients."""
    store = make_obstore(server)

    put(client, name)
    assert list(server.objects) == [name]
    assert [item["Key"] for item in client.list_objects_v2(Bucket="landing")["Contents"]] == [name]
    assert client.head_object(Bucket="landing", Key=name)["ContentLength"] == 1
    assert get(client, name)["Body"].read() == b"1"
    client.delete_objects(Bucket="landing", Delete={"Objects": [{"Key": name}]})
    assert not server.objects
    store.put(name, b"2")
    assert list(server.objects) == [name]
    assert bytes(store.get(name).bytes()) == b"2"
    store.delete([name])
    assert not server.objects


def test_metadata_and_headers_are_kept(client: Any) -> None:
    """What was said of an object is answered with it: metadata, type, coding, encryption."""
    put(
        client,
        "x",
        Metadata={"run-id": "7"},
        ContentType="application/json",
        ContentEncoding="gzip",
        CacheControl="no-cache",
    )

    for answer in (client.head_object(Bucket="landing", Key="x"), get(client, "x")):
        assert answer["Metadata"] == {"run-id": "7"}
        assert answer["ContentType"] == "application/json"
        assert answer["ContentEncoding"] == "gzip"
        assert answer["CacheControl"] == "no-cache"
        assert answer["ServerSideEncryption"] == "AES256"


def test_coding_of_the_wire_is_not_kept(both: S3Server, both_boto3: Any) -> None:
    """`aws-chunked` is how a body came, not what it is."""
    put(both_boto3, "coding", ContentEncoding="gzip")

    assert both.objects["coding"].headers["content-encoding"] == "gzip"


def test_kms_makes_the_etag_opaque(server: S3Server, client: Any) -> None:
    """Under a KMS key the etag is no MD5; key and bucket key are recorded and answered."""
    key = "arn:aws:kms:eu-central-1:1:key/k"
    written = put(
        client,
        "x",
        b"1",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=key,
        BucketKeyEnabled=True,
    )
    read = get(client, "x")

    assert written["ETag"] == read["ETag"]
    assert hashlib.md5(b"1", usedforsecurity=False).hexdigest() not in read["ETag"]
    assert (read["ServerSideEncryption"], read["SSEKMSKeyId"]) == ("aws:kms", key)
    assert read["BucketKeyEnabled"] is True
    assert server.objects["x"].kms_key == key


def test_absent_things_are_named(client: Any) -> None:
    """A key, a bucket, an upload that is not there each have their own error."""
    assert refuse(lambda: get(client, "no")) == (404, "NoSuchKey")
    assert refuse(lambda: client.head_object(Bucket="landing", Key="no")) == (404, "404")
    assert refuse(lambda: client.get_object(Bucket="no", Key="x")) == (404, "NoSuchBucket")
    assert refuse(lambda: client.head_bucket(Bucket="no")) == (404, "404")
    assert refuse(
        lambda: client.abort_multipart_upload(Bucket="landing", Key="x", UploadId="no")
    ) == (404, "NoSuchUpload")


def test_bucket_tells_where_it_is(client: Any) -> None:
    """HeadBucket and GetBucketLocation say the region."""
    assert client.head_bucket(Bucket="landing")["BucketRegion"] == "eu-central-1"
    assert client.get_bucket_location(Bucket="landing")["LocationConstraint"] == "eu-central-1"


def test_what_is_not_here_is_said_so(client: Any) -> None:
    """An operation that this server does not do is never half done."""
    assert refuse(
        lambda: client.copy_object(Bucket="landing", Key="y", CopySource="landing/x")
    ) == (501, "NotImplemented")
    assert refuse(lambda: client.get_object_tagging(Bucket="landing", Key="x")) == (
        501,
        "NotImplemented",
    )
    assert refuse(client.list_buckets) == (501, "NotImplemented")


def test_key_longer_than_s3_takes_is_refused(client: Any) -> None:
    """1024 bytes are taken, one more is not."""
    put(client, "é" * 512)

    assert refuse(lambda: put(client, "é" * 512 + "a")) == (400, "KeyTooLongError")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("0-0", b"0"), ("3-5", b"345"), ("8-99", b"89"), ("7-", b"789"), ("-3", b"789")],
)
def test_range_is_answered(client: Any, asked: str, expected: bytes) -> None:
    """A range comes with its place in the whole, and without the checksum of the whole."""
    put(client, "x", b"0123456789")

    read = get(client, "x", Range=f"bytes={asked}", ChecksumMode="ENABLED")

    assert read["Body"].read() == expected
    assert read["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert read["ContentRange"].endswith("/10")
    assert "ChecksumCRC32" not in read


def test_range_outside_is_refused(client: Any) -> None:
    """416, as S3 has it, for what begins behind the end; also for any range of nothing."""
    put(client, "x", b"0123")
    put(client, "empty", b"")

    assert refuse(lambda: get(client, "x", Range="bytes=4-")) == (416, "InvalidRange")
    assert refuse(lambda: get(client, "empty", Range="bytes=0-")) == (416, "InvalidRange")


@pytest.mark.parametrize("header", [None, "bytes=-", "bytes=5-3", "lines=1-2", "bytes=0-1,3-4"])
def test_what_is_no_single_range_means_all(header: str | None) -> None:
    """Several ranges, or nonsense, are answered whole."""
    assert parse_range(header, 10) is None


def test_range_of_nothing_is_an_error() -> None:
    """The last no bytes cannot be answered."""
    with pytest.raises(S3Error, match="InvalidRange"):
        parse_range("bytes=-0", 10)


def test_create_if_absent_is_once(both: S3Server, both_boto3: Any, both_obstore: Any) -> None:
    """If-None-Match: * creates; the second is told 412, changes nothing, and either client knows it."""
    put(both_boto3, "once", b"1", IfNoneMatch="*")

    assert refuse(lambda: put(both_boto3, "once", b"2", IfNoneMatch="*")) == (
        412,
        "PreconditionFailed",
    )
    with pytest.raises(AlreadyExistsError):
        both_obstore.put("once", b"3", mode="create")
    assert both.objects["once"].body == b"1"


def test_etag_for_creation_is_not_implemented(client: Any) -> None:
    """S3 knows If-None-Match on a write with a star only."""
    assert refuse(lambda: put(client, "x", IfNoneMatch='"abc"')) == (501, "NotImplemented")


def test_replace_needs_the_etag(both: S3Server, both_boto3: Any, both_obstore: Any) -> None:
    """If-Match replaces what has that etag (quoted or bare); another is 412, nothing at all is 404."""
    first = put(both_boto3, "cas", b"1")["ETag"]
    second = both_obstore.put("cas", b"2", mode={"e_tag": first})["e_tag"]
    put(both_boto3, "cas", b"3", IfMatch=second.strip('"'))

    assert refuse(lambda: put(both_boto3, "cas", b"4", IfMatch=first)) == (
        412,
        "PreconditionFailed",
    )
    with pytest.raises(PreconditionError):
        both_obstore.put("cas", b"5", mode={"e_tag": first})
    assert refuse(lambda: put(both_boto3, "gone", b"6", IfMatch=first)) == (404, "NoSuchKey")
    assert both.objects["cas"].body == b"3"


def test_conditional_read(client: Any) -> None:
    """A read can be bound to an etag or a time, or spared when nothing has changed."""
    etag = put(client, "x")["ETag"]
    hour = dt.timedelta(hours=1)
    now = dt.datetime.now(dt.UTC)

    assert get(client, "x", IfMatch=etag, IfModifiedSince=now - hour)["Body"].read() == b"1"
    assert get(client, "x", IfUnmodifiedSince=now + hour)["Body"].read() == b"1"
    assert refuse(lambda: get(client, "x", IfMatch='"other"'))[0] == 412
    assert refuse(lambda: get(client, "x", IfUnmodifiedSince=now - hour))[0] == 412
    assert refuse(lambda: get(client, "x", IfNoneMatch=etag))[0] == 304
    assert refuse(lambda: get(client, "x", IfModifiedSince=now + hour))[0] == 304


def test_conditional_delete(server: S3Server, client: Any) -> None:
    """An object that has changed meanwhile is not deleted."""
    etag = put(client, "x")["ETag"]
    put(client, "x", b"2")

    assert refuse(lambda: client.delete_object(Bucket="landing", Key="x", IfMatch=etag)) == (
        412,
        "PreconditionFailed",
    )
    assert list(server.objects) == ["x"]


def test_versions_are_kept_where_asked_for() -> None:
    """In a versioned bucket the older bytes stay, a delete hides, and a version can be had and removed."""
    with S3Server(versioned=True) as server, closing(make_boto3(server)) as client:
        first = put(client, "x", b"1")["VersionId"]
        second = put(client, "x", b"2")["VersionId"]
        marker = client.delete_object(Bucket="landing", Key="x")

        assert marker["DeleteMarker"] is True
        assert refuse(lambda: get(client, "x")) == (404, "NoSuchKey")
        assert get(client, "x", VersionId=first)["Body"].read() == b"1"
        assert refuse(lambda: get(client, "x", VersionId=marker["VersionId"]))[0] == 405
        assert list(server.get_bucket("landing").noncurrent["x"])[-1].is_marker
        client.delete_object(Bucket="landing", Key="x", VersionId=marker["VersionId"])
        assert get(client, "x")["VersionId"] == second
        client.delete_object(Bucket="landing", Key="x", VersionId=second)
        assert get(client, "x")["Body"].read() == b"1"
        assert refuse(lambda: get(client, "x", VersionId=second)) == (404, "NoSuchVersion")


def test_bulk_delete_makes_markers() -> None:
    """Many deletes at once hide objects, or remove the versions that they name."""
    with S3Server(versioned=True) as server, closing(make_boto3(server)) as client:
        version = put(client, "x", b"1")["VersionId"]
        put(client, "y", b"1")

        objects = [{"Key": "x", "VersionId": version}, {"Key": "y"}]
        answer = client.delete_objects(Bucket="landing", Delete={"Objects": objects})

        gone, hidden = answer["Deleted"]
        assert gone["VersionId"] == version
        assert hidden["DeleteMarker"] is True
        assert not server.objects
        assert not server.get_bucket("landing").noncurrent.get("x")


def test_log_shows_what_was_asked_and_no_secret(server: S3Server, client: Any) -> None:
    """Every request is listed with its outcome; what signs it is not."""
    put(client, "x", Metadata={"a": "b"})
    refuse(lambda: get(client, "no"))

    written, missed = server.log
    assert (written.operation, written.key, written.status, written.bytes_in) == (
        "PutObject",
        "x",
        200,
        1,
    )
    assert written.headers["x-amz-meta-a"] == "b"
    assert (missed.operation, missed.status, missed.code) == ("GetObject", 404, "NoSuchKey")
    assert written.access_key_id == server.access_key_id
    assert "authorization" not in written.headers
    assert server.operations == {"PutObject": 1, "GetObject": 1}


def test_test_reaches_past_the_wire(server: S3Server, client: Any) -> None:
    """A test may put and remove objects itself; clients see it."""
    server.put_object("x", b"1")
    assert get(client, "x")["Body"].read() == b"1"

    server.delete_object("x")
    assert refuse(lambda: get(client, "x")) == (404, "NoSuchKey")
    assert "landing" in repr(server)


def test_errors_of_clients_are_theirs(client: Any) -> None:
    """boto3 raises its own error class with S3's message."""
    with pytest.raises(ClientError, match="specified key does not exist"):
        get(client, "no")


def test_obstore_finds_what_is_not_there(server: S3Server) -> None:
    """Absence is told by obstore with Python's own error."""
    with pytest.raises(FileNotFoundError):
        obstore.get(make_obstore(server), "no")

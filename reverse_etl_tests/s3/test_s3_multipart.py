"""Uploads in parts: by hand, by boto3's transfer manager, by obstore."""

import base64
import hashlib
from contextlib import closing
from io import BytesIO
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from reverse_etl_tests.s3.clients import get, make_boto3, make_obstore, put, refuse
from reverse_etl_tests.s3.server import S3Server

PART = 5 * 1024 * 1024
BODY = bytes(range(256)) * (PART // 256) + b"the rest"


class Uploading:
    """One upload by hand."""

    def __init__(self, client: Any, key: str = "x", **options: Any) -> None:
        self._client = client
        self._named = {"Bucket": "landing", "Key": key}
        created = client.create_multipart_upload(**self._named, **options)
        self._named["UploadId"] = self.upload_id = created["UploadId"]
        self.parts: list[dict[str, Any]] = []

    def put(self, number: int, body: bytes, **options: Any) -> None:
        sent = self._client.upload_part(**self._named, PartNumber=number, Body=body, **options)
        checksums = {
            name: sent[name] for name in sent if name in {"ChecksumSHA256", "ChecksumCRC32"}
        }
        self.parts.append({"PartNumber": number, "ETag": sent["ETag"], **checksums})

    def complete(self, **options: Any) -> Any:
        return self._client.complete_multipart_upload(
            **self._named, MultipartUpload={"Parts": self.parts}, **options
        )

    def abort(self) -> None:
        self._client.abort_multipart_upload(**self._named)

    def list_parts(self, **options: Any) -> Any:
        return self._client.list_parts(**self._named, **options)


def test_parts_become_one_object(both: S3Server, both_boto3: Any) -> None:
    """The object appears at the end, whole, with an etag over its parts and what was said at the start."""
    upload = Uploading(both_boto3, "parts", Metadata={"a": "b"})
    upload.put(2, BODY[PART:])
    upload.put(1, BODY[:PART])
    assert "parts" not in both.objects
    upload.parts.reverse()

    done = upload.complete()

    digests = b"".join(
        hashlib.md5(part, usedforsecurity=False).digest() for part in (BODY[:PART], BODY[PART:])
    )
    expected = hashlib.md5(digests, usedforsecurity=False).hexdigest()
    assert done["ETag"] == f'"{expected}-2"'
    assert both.objects["parts"].body == BODY
    assert both.objects["parts"].metadata == {"a": "b"}


def test_transfer_manager_is_served(both: S3Server, both_boto3: Any) -> None:
    """Boto3's managed upload and download, several parts at once, with its own checksums."""
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    found = BytesIO()

    both_boto3.upload_fileobj(BytesIO(BODY), "landing", "managed", Config=config)
    both_boto3.download_fileobj("landing", "managed", found, Config=config)

    assert found.getvalue() == BODY
    assert both.objects["managed"].etag.endswith('-2"')


@pytest.mark.parametrize("algorithm", [None, "SHA256", "CRC64NVME"])
def test_obstore_uploads_in_parts(both: S3Server, algorithm: str | None) -> None:
    """Obstore's multipart upload, with either checksum or none."""
    options = {} if algorithm is None else {"checksum_algorithm": algorithm}
    store = make_obstore(both, **options)

    store.put("oparts", BytesIO(BODY), use_multipart=True, chunk_size=PART)

    assert both.objects["oparts"].body == BODY


def test_checksum_of_parts_is_composite(client: Any) -> None:
    """SHA-256 of an upload is over those of its parts, and says so."""
    upload = Uploading(client, ChecksumAlgorithm="SHA256")
    upload.put(1, BODY[:PART], ChecksumAlgorithm="SHA256")
    upload.put(2, BODY[PART:], ChecksumAlgorithm="SHA256")
    done = upload.complete()

    head = client.head_object(Bucket="landing", Key="x", ChecksumMode="ENABLED")
    each = b"".join(hashlib.sha256(part).digest() for part in (BODY[:PART], BODY[PART:]))
    expected = base64.b64encode(hashlib.sha256(each).digest()).decode()
    assert done["ChecksumSHA256"] == head["ChecksumSHA256"] == f"{expected}-2"
    assert head["ChecksumType"] == "COMPOSITE"


def test_whole_checksum_is_held_against_the_object(server: S3Server, client: Any) -> None:
    """A checksum of the whole, given at the end, is compared; a wrong one completes nothing."""
    upload = Uploading(client, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    upload.put(1, b"1", ChecksumAlgorithm="CRC32")

    assert refuse(
        lambda: upload.complete(ChecksumCRC32="AAAAAA==", ChecksumType="FULL_OBJECT")
    ) == (400, "BadDigest")
    assert not server.objects


def test_completion_is_conditional(server: S3Server, client: Any) -> None:
    """If-None-Match and If-Match hold at the end of an upload, and leave it to be tried again."""
    upload = Uploading(client)
    upload.put(1, b"1")
    etag = put(client, "x", b"other")["ETag"]

    assert refuse(lambda: upload.complete(IfNoneMatch="*")) == (412, "PreconditionFailed")
    assert refuse(lambda: upload.complete(IfMatch='"no"')) == (412, "PreconditionFailed")
    assert server.objects["x"].body == b"other"
    upload.complete(IfMatch=etag)
    assert get(client, "x")["Body"].read() == b"1"


def test_upload_ends_once(client: Any) -> None:
    """What was completed or aborted is no upload any more."""
    done, dropped = Uploading(client), Uploading(client)
    done.put(1, b"1")
    done.complete()
    dropped.abort()

    for call in (done.complete, done.abort, dropped.abort, dropped.list_parts):
        assert refuse(call) == (404, "NoSuchUpload")


def test_parts_have_to_be_those_that_were_sent(client: Any) -> None:
    """A part that was not sent, or not like this, a wrong order, a small part before the last: refused."""
    upload = Uploading(client)
    upload.put(1, b"1")
    upload.put(2, b"2")
    first, second = upload.parts

    def complete(*parts: dict[str, Any]) -> tuple[int, str]:
        upload.parts = list(parts)
        return refuse(upload.complete)

    assert complete(first, {**second, "ETag": '"no"'}) == (400, "InvalidPart")
    assert complete(first, {**second, "PartNumber": 3}) == (400, "InvalidPart")
    assert complete(second, first) == (400, "InvalidPartOrder")
    assert complete(first, second) == (400, "EntityTooSmall")
    assert complete() == (400, "MalformedXML")
    assert refuse(lambda: upload.put(10_001, b"")) == (400, "InvalidArgument")


def test_part_with_another_checksum_is_refused(client: Any) -> None:
    """All parts have the checksum that the upload was begun with; an unknown one begins nothing."""
    upload = Uploading(client, ChecksumAlgorithm="SHA256")

    assert refuse(lambda: upload.put(1, b"1", ChecksumAlgorithm="CRC32")) == (400, "InvalidRequest")
    assert refuse(lambda: Uploading(client, ChecksumAlgorithm="MD4")) == (400, "InvalidRequest")


def test_uploads_and_parts_are_listed(client: Any) -> None:
    """Unfinished uploads are found by prefix, page by page, with the time they began; so are parts."""
    uploads = [Uploading(client, key) for key in ("s/a", "s/b b", "s/b b", "t")]
    for number in (2, 1, 3):
        uploads[0].put(number, b"x" * number)

    pager = client.get_paginator("list_multipart_uploads")
    pages = pager.paginate(Bucket="landing", Prefix="s/", PaginationConfig={"PageSize": 2})
    found = [item for page in pages for item in page["Uploads"]]
    parts = client.get_paginator("list_parts").paginate(
        Bucket="landing",
        Key="s/a",
        UploadId=uploads[0].upload_id,
        PaginationConfig={"PageSize": 2},
    )

    assert [(item["Key"], item["UploadId"]) for item in found] == [
        (key, upload.upload_id)
        for key, upload in zip(("s/a", "s/b b", "s/b b"), uploads, strict=False)
    ]
    assert all(item["Initiated"].tzinfo is not None for item in found)
    assert [(item["PartNumber"], item["Size"]) for page in parts for item in page["Parts"]] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]


def test_upload_makes_a_version() -> None:
    """In a versioned bucket a completed upload is a version."""
    with S3Server(versioned=True) as server, closing(make_boto3(server)) as client:
        upload = Uploading(client)
        upload.put(1, b"1")

        assert upload.complete()["VersionId"] == server.objects["x"].version_id

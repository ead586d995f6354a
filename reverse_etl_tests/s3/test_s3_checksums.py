"""What is said of a body is held against it, kept, and answered."""

import base64
import hashlib
import zlib
from typing import Any

import pytest

from reverse_etl_tests.s3.checksums import compute_checksum
from reverse_etl_tests.s3.clients import get, make_obstore, put, refuse
from reverse_etl_tests.s3.crc import compute_crc32c, compute_crc64nvme
from reverse_etl_tests.s3.server import S3Server
from reverse_etl_tests.s3.wire import send_signed


def encode_sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksum_of_boto3_is_stored(both: S3Server, both_boto3: Any, algorithm: str) -> None:
    """What boto3 computes is checked, kept and answered to whoever asks."""
    put(both_boto3, algorithm, b"hello", ChecksumAlgorithm=algorithm)

    head = both_boto3.head_object(Bucket="landing", Key=algorithm, ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == compute_checksum(algorithm.lower(), b"hello")
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert both.objects[algorithm].checksums.keys() == {algorithm.lower()}


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC64NVME"])
def test_checksum_of_obstore_is_stored(both: S3Server, algorithm: str) -> None:
    """The same for what obstore sends."""
    make_obstore(both, checksum_algorithm=algorithm).put("o", b"hello")

    assert both.objects["o"].checksums == {
        algorithm.lower(): compute_checksum(algorithm.lower(), b"hello")
    }


def test_checksum_is_answered_when_asked_for(client: Any) -> None:
    """Without x-amz-checksum-mode there is none in an answer."""
    put(client, "x", ChecksumSHA256=encode_sha256(b"1"))

    read = get(client, "x", ChecksumMode="ENABLED")
    head = client.head_object(Bucket="landing", Key="x")

    assert read["ChecksumSHA256"] == encode_sha256(b"1")
    assert "ChecksumSHA256" not in head


def test_object_without_checksum_gets_one_of_s3s_own(server: S3Server, client: Any) -> None:
    """S3 computes CRC64NVME for what came without any."""
    server.put_object("x", b"123456789")

    head = client.head_object(Bucket="landing", Key="x", ChecksumMode="ENABLED")

    assert base64.b64decode(head["ChecksumCRC64NVME"]).hex() == "ae8b14860a799888"


def test_wrong_checksum_writes_nothing(both: S3Server, both_boto3: Any) -> None:
    """A SHA-256 of other bytes is BadDigest, one that is none InvalidRequest; nothing is stored."""
    wrong = encode_sha256(b"other")

    assert refuse(lambda: put(both_boto3, "bad", ChecksumSHA256=wrong)) == (400, "BadDigest")
    assert refuse(lambda: put(both_boto3, "bad", ChecksumSHA256="eA==")) == (
        400,
        "InvalidRequest",
    )
    assert "bad" not in both.objects


def test_wrong_checksum_behind_the_body_writes_nothing(server: S3Server) -> None:
    """The same for a trailer, as over TLS; one that was announced and is not there is refused too."""
    crc = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big"))
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "content-encoding": "aws-chunked",
    }
    chunk = b"5\r\nhello\r\n0\r\n"

    def send(body: bytes) -> tuple[int, str]:
        return send_signed(server, "PUT", "/landing/x", body=body, headers=headers)

    assert send(chunk + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n") == (400, "BadDigest")
    assert send(chunk + b"\r\n") == (400, "MalformedTrailerError")
    assert send(b"5\r\nhel") == (400, "IncompleteBody")
    assert send(b"4\r\nhell\r\n0\r\n\r\n") == (400, "IncompleteBody")
    assert send(b"z\r\n") == (400, "IncompleteBody")
    assert not server.objects
    assert send(chunk + b"x-amz-checksum-crc32:" + crc + b"\r\n\r\n") == (200, "")
    assert server.objects["x"].body == b"hello"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"content-md5": "nonsense"}, "InvalidDigest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAA", "x-amz-checksum-sha1": "AAAA"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32c": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}, "BadDigest"),
        (
            {"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()},
            "XAmzContentSHA256Mismatch",
        ),
    ],
)
def test_body_that_is_not_as_said_is_refused(
    server: S3Server, headers: dict[str, str], code: str
) -> None:
    """Whatever a header says of the body is held against it before anything is written."""
    assert send_signed(server, "PUT", "/landing/x", body=b"1", headers=headers) == (400, code)
    assert not server.objects


@pytest.mark.parametrize("size", [0, 9, 16_384, 16_385, 300_001])
def test_crc_in_lanes_is_that_of_single_bytes(size: int) -> None:
    """The fast way for large bodies gives what the plain one gives."""
    body = bytes(number * number % 251 for number in range(size))

    for compute, width, polynomial in (
        (compute_crc32c, 32, 0x82F63B78),
        (compute_crc64nvme, 64, 0x9A6C9329AC4BC9B5),
    ):
        crc = (1 << width) - 1
        for byte in body[:20_000]:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
        expected = (crc ^ ((1 << width) - 1)).to_bytes(width // 8, "big")
        assert compute(body[:20_000]) == expected


def test_known_crcs() -> None:
    """The check values of the CRC catalogue."""
    assert compute_crc32c(b"123456789").hex() == "e3069283"
    assert compute_crc64nvme(b"123456789").hex() == "ae8b14860a799888"

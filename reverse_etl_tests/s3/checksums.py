"""Checksums of bodies: computed, and held against what the client said."""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping

from reverse_etl_tests.s3.crc import compute_crc32c, compute_crc64nvme
from reverse_etl_tests.s3.errors import S3Error

PREFIX = "x-amz-checksum-"
SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
_MD5_SIZE = 16


def _compute_crc32(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")


def _compute_sha1(body: bytes) -> bytes:
    return hashlib.sha1(body, usedforsecurity=False).digest()


def compute_sha256(body: bytes) -> bytes:
    """The SHA-256 of a body."""
    return hashlib.sha256(body).digest()


_COMPUTE: dict[str, Callable[[bytes], bytes]] = {
    "crc32": _compute_crc32,
    "crc32c": compute_crc32c,
    "crc64nvme": compute_crc64nvme,
    "sha1": _compute_sha1,
    "sha256": compute_sha256,
}


def compute_checksum(algorithm: str, body: bytes) -> str:
    """A checksum as headers say it, in base64."""
    return _encode(_COMPUTE[algorithm](body))


def compute_md5(body: bytes) -> bytes:
    """The MD5 of a body: what its etag is made of."""
    return hashlib.md5(body, usedforsecurity=False).digest()


def check_body(
    headers: Mapping[str, str],
    trailers: Mapping[str, str],
    body: bytes,
    sha256: bytes | None = None,
) -> dict[str, str]:
    """The checksums that the client gave, by algorithm, once found right; `S3Error` if one is not.

    `sha256` is the body's own, where it has been computed.
    """
    _check_md5(headers.get("content-md5"), body)
    announced = headers.get("x-amz-trailer", "").lower()
    if announced and announced not in trailers:
        raise S3Error(
            "MalformedTrailerError", "The request contained trailing data that was not well-formed"
        )
    given = find_checksums({**headers, **trailers} if trailers else headers)
    if headers.get("x-amz-sdk-checksum-algorithm") and not given:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* "
            "or x-amz-trailer headers were found.",
        )
    if len(given) > 1:
        raise S3Error(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    for name, value in given.items():
        known = sha256 if name == "sha256" else None
        if _encode(known or _COMPUTE[name](body)) != value:
            check_value(name, value)
            raise S3Error(
                "BadDigest",
                f"The {name.upper()} you specified did not match the calculated checksum.",
            )
    return given


def find_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums among headers, by algorithm."""
    return {name: headers[PREFIX + name] for name in SIZES if PREFIX + name in headers}


def check_value(algorithm: str, value: str) -> None:
    """Refuse what cannot be a checksum of this algorithm."""
    if _measure(value) != SIZES[algorithm]:
        raise S3Error("InvalidRequest", f"Value for {PREFIX}{algorithm} header is invalid.")


def _check_md5(given: str | None, body: bytes) -> None:
    if given is None:
        return
    if _measure(given) != _MD5_SIZE:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    if base64.b64decode(given) != compute_md5(body):
        raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _encode(checksum: bytes) -> str:
    return binascii.b2a_base64(checksum, newline=False).decode()


def _measure(value: str) -> int:
    try:
        return len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return -1

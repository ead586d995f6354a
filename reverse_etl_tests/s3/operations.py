"""What is asked of single objects and of buckets."""

import secrets
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from reverse_etl_tests.s3.bodies import parse_aws_chunks
from reverse_etl_tests.s3.buckets import Bucket, StoredObject
from reverse_etl_tests.s3.checksums import PREFIX, check_body, compute_checksum, compute_sha256
from reverse_etl_tests.s3.conditions import check_read, check_write, format_http_date
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.markup import build_document, element, escape_text, parse_document
from reverse_etl_tests.s3.messages import Request, Response
from reverse_etl_tests.s3.permissions import Permissions
from reverse_etl_tests.s3.ranges import parse_range
from reverse_etl_tests.s3.signing import check_chunks

_KEPT = frozenset(
    {"content-type", "content-disposition", "content-language", "cache-control", "expires"}
)
_ENCRYPTION = "x-amz-server-side-encryption"
_KMS_KEY = f"{_ENCRYPTION}-aws-kms-key-id"
_BUCKET_KEY = f"{_ENCRYPTION}-bucket-key-enabled"
_DEFAULT_KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/aws-s3"
_MOST_DELETED = 1000


class Spoils(Protocol):
    """What may go wrong with one key of a bulk delete."""

    def find_key_error(self, key: str) -> S3Error | None:
        """The error of this key, if it has one."""
        ...


class Context:
    """What an operation works on."""

    def __init__(self, *, bucket: Bucket, permissions: Permissions, spoils: Spoils) -> None:
        self.bucket = bucket
        self.permissions = permissions
        self.spoils = spoils


def put_object(context: Context, request: Request) -> Response:
    """PutObject: the body is checked before anything is written."""
    if "x-amz-copy-source" in request.headers:
        raise S3Error("NotImplemented", "Copies are not implemented here.")
    bucket = context.bucket
    body, checksums = read_body(request)
    stored = prepare_object(context, request)
    check_write(request.headers, request.key, bucket.objects.get(request.key))
    stored.body = body
    stored.checksums = checksums
    if not stored.kms_key:
        stored.etag = bucket.make_etag(body, request.sha256)
    bucket.put(request.key, stored)
    headers = {"ETag": stored.etag, **describe_encryption(stored), **_describe_checksums(stored)}
    if stored.version_id:
        headers["x-amz-version-id"] = stored.version_id
    return Response(headers=headers)


def get_object(context: Context, request: Request) -> Response:
    """GetObject and HeadObject: whole, or a range of it."""
    stored = _find(context, request)
    wants_checksum = request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if request.method == "GET" or wants_checksum:
        context.permissions.check_kms(request.caller, "kms:Decrypt", stored.kms_key)
    check_read(request.headers, stored)
    headers = {
        "Last-Modified": format_http_date(stored.modified_at),
        "ETag": stored.etag,
        "Accept-Ranges": "bytes",
        **stored.headers,
        **describe_encryption(stored),
    }
    if stored.version_id:
        headers["x-amz-version-id"] = stored.version_id
    span = parse_range(request.headers.get("range"), len(stored.body))
    if span is not None:
        start, end = span
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(stored.body)}"
        return Response(status=206, headers=headers, body=stored.body[start:end])
    if wants_checksum:
        _complete_checksums(stored)
        headers |= _describe_checksums(stored)
    return Response(headers=headers, body=stored.body)


def delete_object(context: Context, request: Request) -> Response:
    """DeleteObject: that there was none is no error."""
    bucket = context.bucket
    found = bucket.objects.get(request.key)
    if "if-match" in request.headers:
        check_write({"if-match": request.headers["if-match"]}, request.key, found)
    version_id = request.query.get("versionId")
    if version_id is not None:
        bucket.delete_version(request.key, version_id)
        return Response(status=204, headers={"x-amz-version-id": version_id})
    marker = bucket.delete(request.key)
    if marker is None:
        return Response(status=204)
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": marker.version_id}
    return Response(status=204, headers=headers)


def delete_objects(context: Context, request: Request) -> Response:
    """DeleteObjects: each key goes, or has an error of its own in the answer."""
    body, checksums = read_body(request)
    if not checksums and "content-md5" not in request.headers:
        raise S3Error(
            "InvalidRequest",
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        )
    root = parse_document(body)
    doomed = (
        []
        if root is None
        else [
            (node.findtext("Key") or "", node.findtext("VersionId"))
            for node in root.findall("Object")
        ]
    )
    if root is None or not 0 < len(doomed) <= _MOST_DELETED or not all(key for key, _ in doomed):
        raise S3Error(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    is_quiet = root.findtext("Quiet") == "true"
    lines = [_delete_one(context, request, *each) for each in doomed]
    return answer_xml(
        "DeleteResult",
        "".join(line for line in lines if not is_quiet or line.startswith("<Error>")),
    )


def head_bucket(context: Context, request: Request) -> Response:
    """HeadBucket: it is there, and where."""
    del request
    return Response(headers={"x-amz-bucket-region": context.bucket.region})


def get_bucket_location(context: Context, request: Request) -> Response:
    """GetBucketLocation: empty for us-east-1."""
    del request
    region = context.bucket.region
    return answer_xml("LocationConstraint", "" if region == "us-east-1" else escape_text(region))


def read_body(request: Request) -> tuple[bytes, dict[str, str]]:
    """The body proper, and its checksums, once everything said of it is found true."""
    body = open_body(request)
    return body, check_body(request.headers, request.trailers, body, request.sha256)


def open_body(request: Request) -> bytes:
    """The body proper, without its inner chunks, once it is found to be what was signed."""
    said = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    body = request.body
    if said.startswith("STREAMING-"):
        body = _unwrap(request, said)
    elif said != "UNSIGNED-PAYLOAD":
        request.sha256 = compute_sha256(body)
        if request.sha256.hex() != said:
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                details={"ClientComputedContentSHA256": said},
            )
    return body


def prepare_object(context: Context, request: Request) -> StoredObject:
    """The object that these headers describe, without a body; its etag is opaque if KMS encrypts it."""
    headers = request.headers
    kept = {
        name: value
        for name, value in headers.items()
        if name in _KEPT or name.startswith("x-amz-meta-")
    }
    kept.setdefault("content-type", "binary/octet-stream")
    if coding := _find_coding(headers.get("content-encoding", "")):
        kept["content-encoding"] = coding
    stored = StoredObject(body=b"", etag="", modified_at=context.bucket.clock(), headers=kept)
    if headers.get(_ENCRYPTION, "").startswith("aws:kms"):
        stored.kms_key = headers.get(_KMS_KEY, _DEFAULT_KMS_KEY)
        context.permissions.check_kms(request.caller, "kms:GenerateDataKey", stored.kms_key)
        stored.etag = f'"{secrets.token_hex(16)}"'
    for name in (_ENCRYPTION, _BUCKET_KEY):
        if name in headers:
            kept[name] = headers[name]
    return stored


@lru_cache(maxsize=64)
def _find_coding(header: str) -> str:
    """What a body is coded in, less how it came."""
    codings = [coding.strip() for coding in header.split(",")]
    return ",".join(coding for coding in codings if coding not in {"", "aws-chunked"})


def describe_encryption(stored: StoredObject) -> dict[str, str]:
    """The headers that say how an object is encrypted: by S3's own key unless told otherwise."""
    said = {_ENCRYPTION: stored.headers.get(_ENCRYPTION, "AES256")}
    if stored.kms_key:
        said[_KMS_KEY] = stored.kms_key
    if _BUCKET_KEY in stored.headers:
        said[_BUCKET_KEY] = stored.headers[_BUCKET_KEY]
    return said


def answer_xml(root: str, content: str) -> Response:
    """An answer that is a document."""
    return Response(headers={"Content-Type": "application/xml"}, body=build_document(root, content))


def spoil_object(stored: StoredObject, place: int) -> StoredObject:
    """The object with one byte of its body turned over, as if nobody had noticed."""
    body = bytearray(stored.body)
    body[place] ^= 0xFF
    return replace(stored, body=bytes(body))


def _unwrap(request: Request, said: str) -> bytes:
    found = parse_aws_chunks(request.body)
    body = b"".join(chunk for chunk, _ in found.chunks)
    length = request.headers.get("x-amz-decoded-content-length", "")
    if not length.isdecimal():
        raise S3Error("MissingContentLength", "You must provide the Content-Length HTTP header.")
    if int(length) != len(body):
        raise S3Error(
            "IncompleteBody", "The body is not as long as x-amz-decoded-content-length says."
        )
    if said.startswith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD") and request.seal is not None:
        check_chunks(request.seal, found.chunks, found.trailers)
    request.trailers = found.trailers
    return body


def _find(context: Context, request: Request) -> StoredObject:
    version_id = request.query.get("versionId")
    if version_id is None:
        stored = context.bucket.objects.get(request.key)
        if stored is None:
            raise context.permissions.absence(
                request.caller, bucket=context.bucket.name, key=request.key
            )
        return stored
    stored = context.bucket.find_version(request.key, version_id)
    if stored is None:
        raise S3Error("NoSuchVersion", "The specified version does not exist.")
    if stored.is_marker:
        raise S3Error("MethodNotAllowed", headers={"x-amz-delete-marker": "true"})
    return stored


def _complete_checksums(stored: StoredObject) -> None:
    """S3 computes a CRC of its own for what came without: here, when somebody asks first."""
    if not stored.checksums:
        stored.checksums = {"crc64nvme": compute_checksum("crc64nvme", stored.body)}


def _describe_checksums(stored: StoredObject) -> dict[str, str]:
    said = {PREFIX + name: value for name, value in stored.checksums.items()}
    return {**said, "x-amz-checksum-type": stored.checksum_type} if said else {}


def _delete_one(context: Context, request: Request, key: str, version_id: str | None) -> str:
    error = context.spoils.find_key_error(key)
    try:
        if error is not None:
            raise error
        context.permissions.check(
            request.caller, "DeleteObject", bucket=context.bucket.name, key=key
        )
    except S3Error as refusal:
        told = {"Key": key, "Code": refusal.code, "Message": refusal.message}
        return f"<Error>{''.join(element(name, text) for name, text in told.items())}</Error>"
    told = {"Key": key}
    if version_id is not None:
        context.bucket.delete_version(key, version_id)
        told["VersionId"] = version_id
    elif (marker := context.bucket.delete(key)) is not None:
        told |= {"DeleteMarker": "true", "DeleteMarkerVersionId": marker.version_id}
    return f"<Deleted>{''.join(element(name, text) for name, text in told.items())}</Deleted>"

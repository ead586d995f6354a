"""Uploads in parts."""

import base64
import xml.etree.ElementTree as ET

from reverse_etl_tests.s3.buckets import Part, StoredObject, Upload
from reverse_etl_tests.s3.checksums import (
    PREFIX,
    SIZES,
    compute_checksum,
    compute_md5,
    find_checksums,
)
from reverse_etl_tests.s3.conditions import check_write
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.listing import choose_encoding, format_moment, parse_limit
from reverse_etl_tests.s3.markup import element, parse_document
from reverse_etl_tests.s3.messages import Request, Response
from reverse_etl_tests.s3.operations import (
    Context,
    answer_xml,
    describe_encryption,
    open_body,
    prepare_object,
    read_body,
)

_SMALLEST_PART = 5 * 1024 * 1024
_MOST_PARTS = 10_000


def create_upload(context: Context, request: Request) -> Response:
    """CreateMultipartUpload."""
    bucket = context.bucket
    algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm and algorithm not in SIZES:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
    stored = prepare_object(context, request)
    kind = "FULL_OBJECT" if algorithm == "crc64nvme" else "COMPOSITE"
    stored.checksum_type = request.headers.get("x-amz-checksum-type", kind)
    upload = Upload(
        upload_id=bucket.make_upload_id(),
        key=request.key,
        initiated_at=bucket.clock(),
        object=stored,
        checksum_algorithm=algorithm,
    )
    bucket.uploads[upload.upload_id] = upload
    names = {"Bucket": bucket.name, "Key": request.key, "UploadId": upload.upload_id}
    response = answer_xml("InitiateMultipartUploadResult", _tell(names))
    response.headers |= describe_encryption(stored)
    if algorithm:
        response.headers["x-amz-checksum-algorithm"] = algorithm.upper()
        response.headers["x-amz-checksum-type"] = stored.checksum_type
    return response


def upload_part(context: Context, request: Request) -> Response:
    """UploadPart: a part of the same number is replaced."""
    upload = _find(context, request)
    # KMS keys of multipart uploads have to decrypt, too.
    context.permissions.check_kms(request.caller, "kms:Decrypt", upload.object.kms_key)
    number = request.query.get("partNumber", "")
    if not number.isdecimal() or not 1 <= int(number) <= _MOST_PARTS:
        raise S3Error(
            "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"
        )
    body, checksums = read_body(request)
    algorithm = upload.checksum_algorithm
    if algorithm and checksums and algorithm not in checksums:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {algorithm}, "
            f"actual checksum Type: {next(iter(checksums))}",
        )
    etag = f'"{compute_md5(body).hex()}"'
    upload.parts[int(number)] = Part(
        body=body, etag=etag, modified_at=context.bucket.clock(), checksums=checksums
    )
    said = {PREFIX + name: value for name, value in checksums.items()}
    return Response(headers={"ETag": etag, **said, **describe_encryption(upload.object)})


def complete_upload(context: Context, request: Request) -> Response:
    """CompleteMultipartUpload: the object appears whole, if the conditions hold."""
    upload = _find(context, request)
    # The checksums among the headers are those of the object to be, not of this body.
    parts = _choose_parts(upload, parse_document(open_body(request)))
    check_write(request.headers, request.key, context.bucket.objects.get(request.key))
    stored = upload.object
    stored.body = b"".join(part.body for part in parts)
    stored.modified_at = context.bucket.clock()
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    stored.etag = f'"{compute_md5(digests).hex()}-{len(parts)}"'
    stored.checksums = _join_checksums(upload, stored, parts)
    _check_whole(request, stored)
    del context.bucket.uploads[upload.upload_id]
    context.bucket.put(request.key, stored)
    told = {
        "Location": f"/{context.bucket.name}/{request.key}",
        "Bucket": context.bucket.name,
        "Key": request.key,
        "ETag": stored.etag,
        **{f"Checksum{name.upper()}": value for name, value in stored.checksums.items()},
    }
    response = answer_xml("CompleteMultipartUploadResult", _tell(told))
    response.headers |= describe_encryption(stored)
    if stored.version_id:
        response.headers["x-amz-version-id"] = stored.version_id
    return response


def abort_upload(context: Context, request: Request) -> Response:
    """AbortMultipartUpload: its parts are gone."""
    del context.bucket.uploads[_find(context, request).upload_id]
    return Response(status=204)


def list_uploads(context: Context, request: Request) -> Response:
    """ListMultipartUploads: by key, then by age; page after page."""
    query = request.query
    encode, limit = choose_encoding(query), parse_limit(query, "max-uploads")
    prefix = query.get("prefix", "")
    marker = (query.get("key-marker", ""), query.get("upload-id-marker", "\U0010ffff"))
    found = sorted(
        (it for it in list(context.bucket.uploads.values()) if it.key.startswith(prefix)),
        key=lambda it: (it.key, it.upload_id),
    )
    rest = [it for it in found if (it.key, it.upload_id) > marker]
    page = rest[:limit]
    told = {"Bucket": context.bucket.name, "Prefix": encode(prefix), "MaxUploads": str(limit)}
    if "encoding-type" in query:
        told["EncodingType"] = "url"
    told["IsTruncated"] = "true" if len(rest) > limit else "false"
    if len(rest) > limit and page:
        told["NextKeyMarker"] = encode(page[-1].key)
        told["NextUploadIdMarker"] = page[-1].upload_id
    lines = [
        f"<Upload>{element('Key', encode(it.key))}{element('UploadId', it.upload_id)}"
        f"{element('Initiated', format_moment(it.initiated_at))}</Upload>"
        for it in page
    ]
    return answer_xml("ListMultipartUploadsResult", _tell(told) + "".join(lines))


def list_parts(context: Context, request: Request) -> Response:
    """ListParts: in the order of their numbers, page after page."""
    upload = _find(context, request)
    limit = parse_limit(request.query, "max-parts")
    marker = int(request.query.get("part-number-marker") or 0)
    rest = sorted(item for item in upload.parts.items() if item[0] > marker)
    page = rest[:limit]
    told = {
        "Bucket": context.bucket.name,
        "Key": choose_encoding(request.query)(upload.key),
        "UploadId": upload.upload_id,
        "PartNumberMarker": str(marker),
        "MaxParts": str(limit),
        "IsTruncated": "true" if len(rest) > limit else "false",
    }
    if page:
        told["NextPartNumberMarker"] = str(page[-1][0])
    return answer_xml("ListPartsResult", _tell(told) + "".join(_list_part(*it) for it in page))


def _list_part(number: int, part: Part) -> str:
    told = {
        "PartNumber": str(number),
        "LastModified": format_moment(part.modified_at),
        "ETag": part.etag,
        "Size": str(len(part.body)),
        **{f"Checksum{name.upper()}": value for name, value in part.checksums.items()},
    }
    return f"<Part>{_tell(told)}</Part>"


def _find(context: Context, request: Request) -> Upload:
    upload = context.bucket.uploads.get(request.query.get("uploadId", ""))
    if upload is None or upload.key != request.key:
        raise S3Error(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may "
            "have been aborted or completed.",
        )
    return upload


def _choose_parts(upload: Upload, root: ET.Element | None) -> list[Part]:
    nodes = [] if root is None else root.findall("Part")
    if not nodes:
        raise S3Error("MalformedXML", "You must specify at least one part")
    numbers = [int(node.findtext("PartNumber") or 0) for node in nodes]
    if numbers != sorted(set(numbers)):
        raise S3Error("InvalidPartOrder", "The list of parts was not in ascending order.")
    parts = []
    for number, node in zip(numbers, nodes, strict=True):
        part = upload.parts.get(number)
        if part is None or (node.findtext("ETag") or "").strip('"') != part.etag.strip('"'):
            raise S3Error("InvalidPart", "One or more of the specified parts could not be found.")
        parts.append(part)
    if any(len(part.body) < _SMALLEST_PART for part in parts[:-1]):
        raise S3Error(
            "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"
        )
    return parts


def _join_checksums(upload: Upload, stored: StoredObject, parts: list[Part]) -> dict[str, str]:
    algorithm = upload.checksum_algorithm
    if not algorithm:
        return {}
    if stored.checksum_type == "FULL_OBJECT":
        return {algorithm: compute_checksum(algorithm, stored.body)}
    each = b"".join(base64.b64decode(part.checksums.get(algorithm, "")) for part in parts)
    return {algorithm: f"{compute_checksum(algorithm, each)}-{len(parts)}"}


def _check_whole(request: Request, stored: StoredObject) -> None:
    for name, value in find_checksums(request.headers).items():
        if stored.checksums.get(name, value).partition("-")[0] != value.partition("-")[0]:
            raise S3Error(
                "BadDigest",
                f"The {name.upper()} you specified did not match the calculated checksum.",
            )


def _tell(told: dict[str, str]) -> str:
    return "".join(element(name, value) for name, value in told.items())

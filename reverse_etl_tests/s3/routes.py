"""Which operation a request is, and what does it."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from reverse_etl_tests.s3 import listing, multipart, operations
from reverse_etl_tests.s3.messages import Request, Response
from reverse_etl_tests.s3.operations import Context

Operation: TypeAlias = Callable[[Context, Request], Response]

OPERATIONS: Mapping[str, Operation] = {
    "PutObject": operations.put_object,
    "GetObject": operations.get_object,
    "HeadObject": operations.get_object,
    "DeleteObject": operations.delete_object,
    "DeleteObjects": operations.delete_objects,
    "HeadBucket": operations.head_bucket,
    "GetBucketLocation": operations.get_bucket_location,
    "ListObjectsV2": listing.list_objects,
    "CreateMultipartUpload": multipart.create_upload,
    "UploadPart": multipart.upload_part,
    "CompleteMultipartUpload": multipart.complete_upload,
    "AbortMultipartUpload": multipart.abort_upload,
    "ListMultipartUploads": multipart.list_uploads,
    "ListParts": multipart.list_parts,
}
# By method and by the part of the query that makes the difference; the first that is there counts.
_OF_OBJECTS = {
    "PUT": (("partNumber", "UploadPart"),),
    "GET": (("uploadId", "ListParts"),),
    "DELETE": (("uploadId", "AbortMultipartUpload"),),
    "POST": (("uploads", "CreateMultipartUpload"), ("uploadId", "CompleteMultipartUpload")),
}
_PLAIN = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_OF_BUCKETS = {
    "GET": (
        ("location", "GetBucketLocation"),
        ("uploads", "ListMultipartUploads"),
        ("list-type", "ListObjectsV2"),
    ),
    "POST": (("delete", "DeleteObjects"),),
}
# What a plain request may carry in its query; anything else asks for what is not here.
_HARMLESS = frozenset({"x-id", "versionId"})


def name_operation(request: Request) -> str:
    """S3's name for what is asked; `Unknown` for what this server does not do."""
    table = _OF_OBJECTS if request.key else _OF_BUCKETS
    for part, operation in table.get(request.method, ()):
        if part in request.query:
            return operation
    if request.query.keys() - _HARMLESS:
        return "Unknown"
    if not request.key:
        return "HeadBucket" if request.method == "HEAD" and request.bucket else "Unknown"
    return _PLAIN.get(request.method, "Unknown")

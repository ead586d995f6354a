"""Conditional requests: what a header asks of the object that is there."""

import datetime as dt
from collections.abc import Mapping
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

from reverse_etl_tests.s3.buckets import StoredObject
from reverse_etl_tests.s3.errors import S3Error, no_such_key, precondition_failed


def check_write(headers: Mapping[str, str], key: str, found: StoredObject | None) -> None:
    """Whether an object may be written as `If-None-Match` and `If-Match` have it; `S3Error` if not."""
    none_match = headers.get("if-none-match")
    if none_match is not None:
        if none_match != "*":
            raise S3Error(
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
                details={"Header": "If-None-Match"},
            )
        if found is not None:
            raise precondition_failed("If-None-Match")
    match = headers.get("if-match")
    if match is not None:
        if found is None:
            raise no_such_key(key)
        if not is_among(found.etag, match):
            raise precondition_failed("If-Match")


def check_read(headers: Mapping[str, str], found: StoredObject) -> None:
    """Whether an object is to be answered at all; `S3Error` (304 among them) if not."""
    if "if-match" in headers:
        if not is_among(found.etag, headers["if-match"]):
            raise precondition_failed("If-Match")
    elif "if-unmodified-since" in headers and _is_newer(found, headers["if-unmodified-since"]):
        raise precondition_failed("If-Unmodified-Since")
    if "if-none-match" in headers:
        if is_among(found.etag, headers["if-none-match"]):
            raise S3Error("NotModified", headers={"ETag": found.etag})
    elif "if-modified-since" in headers and not _is_newer(found, headers["if-modified-since"]):
        raise S3Error("NotModified", headers={"ETag": found.etag})


def is_among(etag: str, given: str) -> bool:
    """Whether an etag is one of those that a header lists, with or without quotes."""
    listed = {item.strip().removeprefix("W/").strip('"') for item in given.split(",")}
    return "*" in listed or etag.strip('"') in listed


def format_http_date(moment: dt.datetime) -> str:
    """A moment as headers have it, to the second."""
    return _format_second(moment.replace(microsecond=0))


@lru_cache(maxsize=64)
def _format_second(moment: dt.datetime) -> str:
    return format_datetime(moment, usegmt=True)


def _is_newer(found: StoredObject, date: str) -> bool:
    try:
        limit = parsedate_to_datetime(date)
    except ValueError:
        return False
    return found.modified_at.replace(microsecond=0) > limit

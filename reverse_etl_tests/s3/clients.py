"""Real clients that point to a server of ours: boto3's and obstore's, each with one attempt a request."""

from collections.abc import Callable
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from obstore.store import S3Store

from reverse_etl_tests.identity.sessions import Session, SessionBook
from reverse_etl_tests.s3.process import S3Process
from reverse_etl_tests.s3.server import BUCKET, S3Server

ROLE = "arn:aws:iam::123456789012:role/export"


def issue(book: SessionBook, **options: Any) -> Session:
    """A session of `ROLE`."""
    return book.issue(role_arn=ROLE, session_name="run-1", **options)


def make_boto3(
    server: S3Server | S3Process, *, session: Session | None = None, **options: Any
) -> Any:
    """A boto3 client of a server: as its owner, or with a session's keys. Close it."""
    named: dict[str, Any] = {
        "endpoint_url": server.endpoint,
        "region_name": server.region,
        "aws_access_key_id": server.access_key_id,
        "aws_secret_access_key": server.secret_access_key,
        "verify": None if server.ca_file is None else str(server.ca_file),
        "config": Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=20
        ),
    }
    if session is not None:
        named |= {
            "aws_access_key_id": session.access_key_id,
            "aws_secret_access_key": session.secret_access_key,
            "aws_session_token": session.session_token,
        }
    return _library().client("s3", **{**named, **options})


def make_obstore(server: S3Server | S3Process, **options: Any) -> Any:
    """An obstore of a server's first bucket, as its owner."""
    trusted: dict[str, Any] = {"allow_http": True}
    if server.ca_file is not None:
        trusted = {"root_certificate": server.ca_file.read_text()}
    named: dict[str, Any] = {
        "endpoint": server.endpoint,
        "region": server.region,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
        "client_options": trusted,
        "retry_config": {"max_retries": 0},
    }
    return S3Store(server.bucket, **{**named, **options})


def put(client: Any, key: str, body: bytes = b"1", **options: Any) -> Any:
    """Boto3's put_object into the first bucket."""
    return client.put_object(Bucket=BUCKET, Key=key, Body=body, **options)


def get(client: Any, key: str, **options: Any) -> Any:
    """Boto3's get_object from the first bucket."""
    return client.get_object(Bucket=BUCKET, Key=key, **options)


def refuse(call: Callable[[], Any]) -> tuple[int, str]:
    """Status and code of boto3's error; `AssertionError` if the call succeeds."""
    try:
        call()
    except ClientError as error:
        told = error.response
        return told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Code"]
    raise AssertionError("This was not refused.")


@cache
def _library() -> boto3.Session:
    # One for all: its description of S3 takes a third of a second to read.
    return boto3.Session()

"""Who may do what: policies of roles, rules of sessions, KMS keys."""

from contextlib import closing
from typing import Any

import pytest

from reverse_etl_tests.identity.sessions import PolicyRule, SessionBook
from reverse_etl_tests.s3.clients import ROLE, get, issue, make_boto3, put, refuse
from reverse_etl_tests.s3.server import S3Server

KMS_KEY = "arn:aws:kms:eu-central-1:1:key/k"


def test_role_keeps_to_its_prefix(guarded: S3Server, book: SessionBook) -> None:
    """Outside of its prefix, and for what was not granted, a role is denied by name."""
    guarded.put_object("else/x", b"1")
    with closing(make_boto3(guarded, session=issue(book))) as client:
        put(client, "own/x")
        listed = client.list_objects_v2(Bucket="landing", Prefix="own/")

        denied = (403, "AccessDenied")
        assert refuse(lambda: put(client, "else/y")) == denied
        assert refuse(lambda: get(client, "else/x")) == denied
        assert refuse(lambda: client.delete_object(Bucket="landing", Key="own/x")) == denied
        assert refuse(lambda: client.list_objects_v2(Bucket="landing")) == denied
        answer = client.delete_objects(Bucket="landing", Delete={"Objects": [{"Key": "own/x"}]})
    assert [item["Key"] for item in listed["Contents"]] == ["own/x"]
    assert [item["Code"] for item in answer["Errors"]] == ["AccessDenied"]
    assert set(guarded.objects) == {"own/x", "else/x"}


def test_denial_names_who_and_what(guarded: S3Server, book: SessionBook) -> None:
    """The message says which session lacks which action on what."""
    with (
        closing(make_boto3(guarded, session=issue(book))) as client,
        pytest.raises(
            client.exceptions.ClientError,
            match=r"arn:aws:sts::123456789012:assumed-role/export/run-1 is not authorized to perform: "
            r"s3:PutObject on resource: arn:aws:s3:::landing/else/y",
        ),
    ):
        put(client, "else/y")


def test_absence_is_told_to_who_may_list(guarded: S3Server, book: SessionBook) -> None:
    """Without the right to list, an object that is not there is denied like one that may not be read."""
    with closing(make_boto3(guarded, session=issue(book))) as client:
        assert refuse(lambda: get(client, "own/no")) == (403, "AccessDenied")
        guarded.permissions.prefix_reveals_absence = True
        assert refuse(lambda: get(client, "own/no")) == (404, "NoSuchKey")


def test_rules_of_a_session_count(guarded: S3Server, book: SessionBook) -> None:
    """A session's own rules decide, with their conditions; then the role's policy is not asked."""
    bucket = "arn:aws:s3:::landing"
    session = issue(
        book,
        rules=(
            PolicyRule(actions=("s3:PutObject",), resources=(f"{bucket}/s/*",)),
            PolicyRule(
                actions=("s3:ListBucket",), resources=(bucket,), string_like={"s3:prefix": ("s/*",)}
            ),
        ),
    )
    with closing(make_boto3(guarded, session=session)) as client:
        put(client, "s/x")
        client.list_objects_v2(Bucket="landing", Prefix="s/")

        assert refuse(lambda: put(client, "own/x")) == (403, "AccessDenied")
        assert refuse(lambda: client.list_objects_v2(Bucket="landing")) == (403, "AccessDenied")


def test_role_without_policy_may_nothing(guarded: S3Server, book: SessionBook) -> None:
    """Nothing is allowed that nobody allowed."""
    session = book.issue(role_arn=f"{ROLE}-other", session_name="run-1")

    with closing(make_boto3(guarded, session=session)) as client:
        assert refuse(lambda: put(client, "own/x")) == (403, "AccessDenied")


def test_kms_key_out_of_reach_is_denied(server: S3Server, client: Any) -> None:
    """Neither writing nor reading under a denied KMS key works; KMS says which action it was."""
    options: dict[str, Any] = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}
    put(client, "x", **options)
    server.permissions.deny_kms(KMS_KEY)

    with pytest.raises(
        client.exceptions.ClientError, match=r"kms:GenerateDataKey on resource: arn"
    ):
        put(client, "y", **options)
    with pytest.raises(client.exceptions.ClientError, match=r"kms:Decrypt"):
        get(client, "x")
    put(client, "z")
    assert client.head_object(Bucket="landing", Key="x")["SSEKMSKeyId"] == KMS_KEY
    assert set(server.objects) == {"x", "z"}


def test_upload_in_parts_has_to_decrypt(server: S3Server, client: Any) -> None:
    """A KMS key that may encrypt only is enough for one put, and not for an upload in parts."""
    server.permissions.deny_kms(KMS_KEY, "kms:Decrypt")
    options: dict[str, Any] = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}
    put(client, "x", **options)
    created = client.create_multipart_upload(Bucket="landing", Key="y", **options)

    with pytest.raises(client.exceptions.ClientError, match=r"kms:Decrypt"):
        client.upload_part(
            Bucket="landing", Key="y", UploadId=created["UploadId"], PartNumber=1, Body=b"1"
        )

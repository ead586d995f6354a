"""The policies grant what is needed and nothing else: exact values, and no name that widens them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from reverse_etl.auth.policies import (
    build_permissions_policy,
    build_reader_policy,
    build_trust_policy,
    render_policy,
)
from reverse_etl.errors import ConfigError

SUB = "107517467455664443766"
AUDIENCE = "https://aws.example.com/reverse-etl/prod"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:masking-key-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/8f0a3c1e-0000-4000-8000-000000000000"


def list_actions(policy: dict[str, Any]) -> list[str]:
    return [action for statement in policy["Statement"] for action in statement["Action"]]


def test_trust_pins_account_and_audience() -> None:
    """One account, one audience, both by equality: exactly this and nothing beside it."""
    assert build_trust_policy(sub=SUB, audience=AUDIENCE) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AssumeWithGoogleIdentity",
                "Effect": "Allow",
                "Principal": {"Federated": "accounts.google.com"},
                "Action": ["sts:AssumeRoleWithWebIdentity"],
                "Condition": {
                    "StringEquals": {
                        "accounts.google.com:sub": SUB,
                        "accounts.google.com:oaud": AUDIENCE,
                    }
                },
            }
        ],
    }


def test_landing_is_granted_its_prefix_alone() -> None:
    """Objects below the prefix, listing of the prefix, the key: exactly this."""
    assert build_permissions_policy(bucket="acme", prefix="users/prod", kms_key_arn=KEY) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "LandObjects",
                "Effect": "Allow",
                "Action": [
                    "s3:PutObject",
                    "s3:GetObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                ],
                "Resource": ["arn:aws:s3:::acme/users/prod/*"],
            },
            {
                "Sid": "ListObjects",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::acme"],
                "Condition": {"StringLike": {"s3:prefix": "users/prod/*"}},
            },
            {
                "Sid": "ListUnfinishedUploads",
                "Effect": "Allow",
                "Action": ["s3:ListBucketMultipartUploads"],
                "Resource": ["arn:aws:s3:::acme"],
            },
            {
                "Sid": "UseKey",
                "Effect": "Allow",
                "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
                "Resource": [KEY],
            },
        ],
    }


def test_reader_gets_objects_of_its_prefix_alone() -> None:
    """The application writes nothing and looks nowhere else; the key only opens for it: exactly this."""
    assert build_reader_policy(bucket="acme", prefix="users", kms_key_arn=KEY) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadObjects",
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::acme/users/*"],
            },
            {
                "Sid": "LeaveQuarantine",
                "Effect": "Deny",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::acme/users/*/quarantine/*"],
            },
            {
                "Sid": "ListObjects",
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::acme"],
                "Condition": {"StringLike": {"s3:prefix": "users/*"}},
            },
            {
                "Sid": "UseKey",
                "Effect": "Allow",
                "Action": ["kms:Decrypt"],
                "Resource": [KEY],
            },
        ],
    }


@pytest.mark.parametrize("build", [build_permissions_policy, build_reader_policy])
def test_listing_that_is_not_confined_lacks_its_condition_alone(
    build: Callable[..., dict[str, Any]],
) -> None:
    """Names of the whole bucket are shown, on request; nothing else is opened with them."""
    confined = build(bucket="acme", prefix="users", kms_key_arn=KEY)
    opened = build(bucket="acme", prefix="users", kms_key_arn=KEY, confine_listing=False)

    (listed,) = [it for it in confined["Statement"] if it["Sid"] == "ListObjects"]
    del listed["Condition"]
    assert opened == confined


@pytest.mark.parametrize("build", [build_permissions_policy, build_reader_policy])
def test_no_key_is_granted_where_none_is_used(build: Callable[..., dict[str, Any]]) -> None:
    """Without a key of one's own there is no statement about keys."""
    policy = build(bucket="acme", prefix="users", kms_key_arn=None)

    assert [action for action in list_actions(policy) if action.startswith("kms:")] == []


@pytest.mark.parametrize("build", [build_permissions_policy, build_reader_policy])
def test_masking_keys_secret_is_granted_alone(build: Callable[..., dict[str, Any]]) -> None:
    """One action on one secret, where the key is one of AWS; no statement where it is not."""
    plain = build(bucket="acme", prefix="users", kms_key_arn=None)
    policy = build(bucket="acme", prefix="users", kms_key_arn=None, key_secret_arn=SECRET)

    *others, added = policy["Statement"]
    assert others == plain["Statement"]
    assert added == {
        "Sid": "ReadMaskingKey",
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue"],
        "Resource": [SECRET],
    }


@pytest.mark.parametrize("build", [build_permissions_policy, build_reader_policy])
def test_empty_prefix_is_the_whole_bucket(build: Callable[..., dict[str, Any]]) -> None:
    """A bucket that belongs to landing alone needs no condition, and gets no doubled slash."""
    policy = build(bucket="acme", prefix="", kms_key_arn=None)

    landed, *_ = policy["Statement"]
    (listed,) = [it for it in policy["Statement"] if it["Sid"] == "ListObjects"]
    assert landed["Resource"] == ["arn:aws:s3:::acme/*"]
    assert "Condition" not in listed


@pytest.mark.parametrize("build", [build_permissions_policy, build_reader_policy])
def test_arns_begin_with_the_part_of_aws(build: Callable[..., dict[str, Any]]) -> None:
    """In China, and for the government of the USA, ARNs begin otherwise."""
    policy = build(bucket="acme", prefix="users", kms_key_arn=None, partition="aws-us-gov")

    resources = [arn for statement in policy["Statement"] for arn in statement["Resource"]]
    assert all(arn.startswith("arn:aws-us-gov:s3:::acme") for arn in resources)


@pytest.mark.parametrize("widened", ["a*", "a?", "${aws:username}"])
@pytest.mark.parametrize("name", ["bucket", "prefix", "kms_key_arn", "key_secret_arn"])
def test_name_that_would_widen_a_grant_is_refused(name: str, widened: str) -> None:
    """A wildcard or a policy variable in a name is not quietly granted."""
    names = {"bucket": "acme", "prefix": "users", "kms_key_arn": KEY} | {name: widened}

    for build in (build_permissions_policy, build_reader_policy):
        with pytest.raises(ConfigError, match="cannot stand in a policy"):
            build(**names)


@pytest.mark.parametrize("wrong", ["", "*", "${aws:username}"])
def test_trust_in_nobody_in_particular_is_refused(wrong: str) -> None:
    """An empty or expandable account or audience would trust somebody else."""
    with pytest.raises(ConfigError, match="The sub "):
        build_trust_policy(sub=wrong, audience=AUDIENCE)
    with pytest.raises(ConfigError, match="The audience "):
        build_trust_policy(sub=SUB, audience=wrong)


def test_rendered_policy_is_the_same_policy() -> None:
    """What is printed can be handed to AWS as it is."""
    policy = build_trust_policy(sub=SUB, audience=AUDIENCE)

    assert json.loads(render_policy(policy)) == policy

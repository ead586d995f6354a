"""The IAM policies that the pipeline and its readers need, as values; `infra/aws` grants the same.

Pure: nothing is asked, nothing is changed. The doctor prints them, and a test holds the Terraform
files equal to them.
"""

import json
from typing import Any

from reverse_etl.errors import ConfigError

Policy = dict[str, Any]

ISSUER = "accounts.google.com"

_VERSION = "2012-10-17"
_OBJECT_ACTIONS = (
    "s3:PutObject",
    "s3:GetObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
)
# GenerateDataKey writes; Decrypt reads, and completes an upload of many parts.
_KEY_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
# What IAM expands inside a policy: one of them in a name would widen what is granted.
_EXPANDED = frozenset("*?$")


def build_trust_policy(*, sub: str, audience: str) -> Policy:
    """Who may assume the role: one Google service account, with a token made for this role.

    `sub` (the account's uniqueId) says who; `audience` stops a token that the same account had made
    for another service. Anybody with a service account of their own can get a token for any audience,
    so neither is enough alone. `ConfigError` for a name that IAM would expand.
    """
    return _build_policy(
        {
            "Sid": "AssumeWithGoogleIdentity",
            "Effect": "Allow",
            "Principal": {"Federated": ISSUER},
            "Action": ["sts:AssumeRoleWithWebIdentity"],
            "Condition": {
                "StringEquals": {
                    f"{ISSUER}:sub": _check_name("sub", sub),
                    f"{ISSUER}:oaud": _check_name("audience", audience),
                }
            },
        }
    )


def build_permissions_policy(
    *,
    bucket: str,
    prefix: str,
    kms_key_arn: str | None,
    partition: str = "aws",
    confine_listing: bool = True,
    key_secret_arn: str | None = None,
) -> Policy:
    """What landing needs below `bucket/prefix`, and nothing else; an empty prefix is the whole bucket.

    S3 holds the name of a missing object against `s3:prefix` as well (seen, not documented), and so
    answers 404 for it; without the right to list it would answer 403. Where it does not, the names of
    the whole bucket have to be granted: `confine_listing=False`. `partition` is the part of AWS that
    ARNs begin with; `key_secret_arn` the secret that holds the masking key, where it is one of AWS.
    `ConfigError` for a name that IAM would expand.
    """
    arn = _build_bucket_arn(bucket, partition)
    return _build_policy(
        _allow("LandObjects", _OBJECT_ACTIONS, _build_objects_arn(arn, prefix)),
        _allow_listing(arn, prefix if confine_listing else ""),
        # Apart, because S3 knows no s3:prefix here: under that condition it would never be granted.
        _allow("ListUnfinishedUploads", ("s3:ListBucketMultipartUploads",), arn),
        *_allow_key(_KEY_ACTIONS, kms_key_arn),
        *_allow_key_secret(key_secret_arn),
    )


def build_reader_policy(
    *,
    bucket: str,
    prefix: str,
    kms_key_arn: str | None,
    partition: str = "aws",
    confine_listing: bool = True,
    key_secret_arn: str | None = None,
) -> Policy:
    """What the application's reader needs: to get objects, and to be told of one that it is not there.

    It writes nothing, and reads no row that was set aside. It never lists either, but S3 answers 403 for
    a missing object to who may not, and a version that was retired could not be told from a grant that
    is missing. `confine_listing` and `key_secret_arn`, for an application that makes tokens, are as in
    `build_permissions_policy`. `ConfigError` for a name that IAM would expand.
    """
    arn = _build_bucket_arn(bucket, partition)
    return _build_policy(
        _allow("ReadObjects", ("s3:GetObject",), _build_objects_arn(arn, prefix)),
        # Rows that were set aside are for people alone.
        _deny(
            "LeaveQuarantine", ("s3:GetObject",), _build_objects_arn(arn, prefix) + "/quarantine/*"
        ),
        _allow_listing(arn, prefix if confine_listing else ""),
        *_allow_key(("kms:Decrypt",), kms_key_arn),
        *_allow_key_secret(key_secret_arn),
    )


def build_connect_policy(*, cache_arn: str, user_arn: str) -> Policy:
    """What logging in to Redis by IAM needs: to connect to this cache as this user.

    ElastiCache and MemoryDB each have an action of their own. `ConfigError` for a name that IAM would
    expand.
    """
    cache = _check_name("cache", cache_arn)
    action = "memorydb:connect" if ":memorydb:" in cache else "elasticache:Connect"
    statement = _allow("ConnectToRedis", (action,), cache)
    statement["Resource"].append(_check_name("user", user_arn))
    return _build_policy(statement)


def render_policy(policy: Policy) -> str:
    """The policy as JSON for people, and for `aws iam ... --policy-document`."""
    return json.dumps(policy, indent=2)


def _build_policy(*statements: Policy) -> Policy:
    return {"Version": _VERSION, "Statement": list(statements)}


def _allow(sid: str, actions: tuple[str, ...], resource: str) -> Policy:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": [resource]}


def _deny(sid: str, actions: tuple[str, ...], resource: str) -> Policy:
    return {**_allow(sid, actions, resource), "Effect": "Deny"}


def _allow_listing(bucket_arn: str, prefix: str) -> Policy:
    allowed = _allow("ListObjects", ("s3:ListBucket",), bucket_arn)
    if not prefix:
        return allowed
    return allowed | {"Condition": {"StringLike": {"s3:prefix": f"{prefix}/*"}}}


def _allow_key(actions: tuple[str, ...], kms_key_arn: str | None) -> list[Policy]:
    if kms_key_arn is None:
        return []
    return [_allow("UseKey", actions, _check_name("KMS key", kms_key_arn))]


def _allow_key_secret(arn: str | None) -> list[Policy]:
    if arn is None:
        return []
    actions = ("secretsmanager:GetSecretValue",)
    return [_allow("ReadMaskingKey", actions, _check_name("masking key's secret", arn))]


def _build_bucket_arn(bucket: str, partition: str) -> str:
    return f"arn:{_check_name('partition', partition)}:s3:::{_check_name('bucket', bucket)}"


def _build_objects_arn(bucket_arn: str, prefix: str) -> str:
    return f"{bucket_arn}/{_check_name('prefix', prefix)}/*" if prefix else f"{bucket_arn}/*"


def _check_name(what: str, name: str) -> str:
    if not name or not _EXPANDED.isdisjoint(name):
        raise ConfigError(
            f"The {what} {name!a} cannot stand in a policy: it is empty, or holds one of "
            f"{' '.join(sorted(_EXPANDED))}, which IAM would expand. Give the exact name."
        )
    return name

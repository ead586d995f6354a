"""What the Terraform files have to keep to: each check returns what is wrong, nothing when all is well."""

import itertools
import json
import re
from typing import Any

from reverse_etl.auth.policies import (
    build_connect_policy,
    build_permissions_policy,
    build_reader_policy,
    build_trust_policy,
)
from reverse_etl.settings import VARIABLES
from reverse_etl_tests.infra import formatting
from reverse_etl_tests.infra.policy_documents import (
    find_documents,
    list_statements,
    render_document,
)
from reverse_etl_tests.infra.sources import (
    Sources,
    find_blocks,
    find_nested,
    find_typed,
    get_attributes,
    unquote,
)

_SUB = "107517467455664443766"
_AUDIENCE = "https://aws.example.com/reverse-etl/prod"
_KEY = "arn:aws:kms:eu-central-1:123456789012:key/1"
_CACHE = "arn:aws:elasticache:eu-central-1:123456789012:replicationgroup:users"
_USER = "arn:aws:elasticache:eu-central-1:123456789012:user:reverse-etl-writer"
_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:masking-key-AbCdEf"

#: They make a secret that lives on: a key, or a value in Terraform's state.
_STORED = {
    "google_service_account_key",
    "google_storage_hmac_key",
    "google_secret_manager_secret_version",
    "aws_iam_access_key",
    "aws_iam_user",
    "aws_iam_user_login_profile",
    "aws_secretsmanager_secret_version",
}


def find_policy_differences(sources: Sources) -> list[str]:
    """Where a policy written here is not the one that the package builds and the doctor prints."""
    documents = find_documents(sources)
    wrong = []
    for key, confine, secret in itertools.product((None, _KEY), (True, False), (None, _SECRET)):
        values = {
            "var.google_subject": _SUB,
            "var.audience": _AUDIENCE,
            "var.prefix": "users/prod",
            "var.kms_key_arn": key,
            "var.confine_listing": confine,
            "var.key_secret_arn": secret,
            "var.reader_key_secret_arn": secret and f"{secret}-reader",
            "var.redis_cache_arn": _CACHE,
            "var.redis_user_arn": _USER,
            "aws_s3_bucket.landing.arn": "arn:aws:s3:::acme",
        }
        place: dict[str, Any] = {
            "bucket": "acme",
            "prefix": "users/prod",
            "kms_key_arn": key,
            "confine_listing": confine,
            "key_secret_arn": secret,
        }
        expected = {
            "redis": build_connect_policy(cache_arn=_CACHE, user_arn=_USER),
            "trust": build_trust_policy(sub=_SUB, audience=_AUDIENCE),
            "landing": build_permissions_policy(**place),
            "reader": build_reader_policy(
                **place | {"key_secret_arn": secret and f"{secret}-reader"}
            ),
        }
        for name, policy in expected.items():
            found = render_document(documents[name], values)
            if found != policy:
                wrong.append(f"{name}: {json.dumps(found)} instead of {json.dumps(policy)}")
    return wrong


def find_unattached_policies(sources: Sources) -> list[str]:
    """Roles and policies whose text does not come from the document of that purpose."""
    uses = {
        ("aws_iam_role", "landing", "assume_role_policy"): "trust",
        ("aws_iam_role_policy", "landing", "policy"): "landing",
        ("aws_iam_policy", "reader", "policy"): "reader",
        ("aws_iam_policy", "redis", "policy"): "redis",
        ("aws_s3_bucket_policy", "landing", "policy"): "bucket",
        ("aws_iam_role", "warm", "assume_role_policy"): "task_trust",
        ("aws_iam_role", "run", "assume_role_policy"): "task_trust",
        ("aws_iam_role", "dagster", "assume_role_policy"): "task_trust",
        ("aws_iam_role", "task_execution", "assume_role_policy"): "task_trust",
        ("aws_iam_role_policy", "warm", "policy"): "warm",
        ("aws_iam_role_policy", "run", "policy"): "warm",
        ("aws_iam_role_policy", "run_logs", "policy"): "task_logs",
        ("aws_iam_role_policy", "dagster", "policy"): "launch",
        ("aws_iam_role_policy", "dagster_logs", "policy"): "task_logs",
        ("aws_iam_role_policy", "task_execution", "policy"): "task_secrets",
    }
    found = {
        # What is made or not has a number.
        (kind, name, attribute): body[attribute].replace("[0]", "")
        for kind, name, body in find_typed(sources, "resource")
        for attribute in ("policy", "assume_role_policy")
        if attribute in body
    }
    expected = {use: f"${{data.aws_iam_policy_document.{name}.json}}" for use, name in uses.items()}
    return [
        f"{use}: {found.get(use)}"
        for use in found.keys() | expected.keys()
        if found.get(use) != expected.get(use)
    ]


def find_wide_grants(sources: Sources) -> list[str]:
    """Grants to anybody, or of anything: wildcards, negations, basic roles."""
    wrong = []
    for name, body in find_documents(sources).items():
        for statement in list_statements(body):
            if not get_attributes(statement).keys() & {"actions"}:
                wrong.append(f"{name}: a statement without actions")
            if statement.keys() & {"not_actions", "not_resources", "not_principals"}:
                wrong.append(f"{name}: a grant by exception")
            if unquote(statement.get("effect", "Allow")) == "Deny":
                continue
            granted = statement.get("actions", []) + [
                identifier
                for principal in statement.get("principals", [])
                for identifier in principal["identifiers"]
            ]
            wrong += [f"{name}: {unquote(it)}" for it in granted if re.search(r"[*?]", str(it))]
    for kind, name, body in find_typed(sources, "resource"):
        if unquote(body.get("role")) in {"roles/owner", "roles/editor", "roles/viewer"}:
            wrong.append(f"{kind}.{name}: a basic role")
        if unquote(body.get("member")) in {"allUsers", "allAuthenticatedUsers"}:
            wrong.append(f"{kind}.{name}: a grant to everybody")
    return wrong


def find_stored_secrets(sources: Sources) -> list[str]:
    """Resources that make a key, or put a secret into Terraform's state."""
    return [
        f"{kind}.{name}" for kind, name, _ in find_typed(sources, "resource") if kind in _STORED
    ]


def find_lifecycle_excess(sources: Sources) -> list[str]:
    """What S3 would remove by itself beyond unfinished uploads and what was deleted or replaced."""
    allowed: dict[str, Any] = {
        "abort_incomplete_multipart_upload": [
            {"days_after_initiation": "${var.incomplete_upload_days}"}
        ],
        "noncurrent_version_expiration": [{"noncurrent_days": "${var.noncurrent_version_days}"}],
        # Removes no object: only the marker that a deletion left, once nothing is below it.
        "expiration": [{"expired_object_delete_marker": True}],
    }
    rules = [
        get_attributes(rule)
        for kind, _, body in find_typed(sources, "resource")
        if kind == "aws_s3_bucket_lifecycle_configuration"
        for rule in body["rule"]
    ]
    actions = [
        (name, [get_attributes(block) for block in blocks])
        for rule in rules
        for name, blocks in rule.items()
        if name not in ("id", "status", "filter")
    ]
    wrong = [f"{name}: {blocks}" for name, blocks in actions if allowed.get(name) != blocks]
    return wrong + [f"no {name}" for name in allowed.keys() - dict(actions).keys()]


def find_open_bucket(sources: Sources) -> list[str]:
    """What a bucket that is closed to the public, to plain HTTP and to foreign owners has, and lacks here."""
    bodies = {kind: body for kind, _, body in find_typed(sources, "resource")}
    blocked = get_attributes(bodies["aws_s3_bucket_public_access_block"])
    switches = {name: value for name, value in blocked.items() if name != "bucket"}
    wrong = [name for name, value in switches.items() if value is not True]
    wrong += [] if len(switches) == 4 else ["not all of public access is blocked"]
    (ownership,) = bodies["aws_s3_bucket_ownership_controls"]["rule"]
    if unquote(ownership["object_ownership"]) != "BucketOwnerEnforced":
        wrong.append("objects may belong to others")
    denied = render_document(
        find_documents(sources)["bucket"], {"aws_s3_bucket.landing.arn": "arn:aws:s3:::acme"}
    )
    if denied["Statement"] != [
        {
            "Sid": "DenyWithoutTls",
            "Effect": "Deny",
            "Action": ["s3:*"],
            "Resource": ["arn:aws:s3:::acme", "arn:aws:s3:::acme/*"],
            "Principal": {"*": "*"},
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]:
        wrong.append("plain HTTP is not refused")
    if "force_destroy" in bodies["aws_s3_bucket"]:
        wrong.append("the bucket may be destroyed with what is in it")
    return wrong


def find_staging_readers(sources: Sources) -> list[str]:
    """Who may read raw rows beside the pipeline and the project's owners."""
    (staging,) = [
        body
        for kind, _, body in find_typed(sources, "resource")
        if kind == "google_bigquery_dataset"
    ]
    expected = [
        {"role": '"OWNER"', "special_group": '"projectOwners"'},
        {"role": '"WRITER"', "user_by_email": "${google_service_account.pipeline.email}"},
    ]
    found = [get_attributes(access) for access in staging["access"]]
    return [str(access) for access in found if access not in expected]


def find_undescribed(sources: Sources) -> list[str]:
    """Variables without description or type, and outputs without description."""
    needed = {"variable": ("description", "type"), "output": ("description",)}
    return [
        f"{name} has no {attribute}"
        for kind, attributes in needed.items()
        for name, body in find_blocks(sources, kind)
        for attribute in attributes
        if not unquote(body.get(attribute))
    ]


def find_unvalidated(sources: Sources) -> list[str]:
    """Variables that take anything; tags are the only ones that may. A switch is on or off, never null."""
    return [
        name
        for name, body in find_blocks(sources, "variable")
        if "validation" not in body
        and not (unquote(body.get("type")) == "bool" and body.get("nullable") is False)
        and not name.endswith(": tags")
    ]


def find_unused_variables(sources: Sources) -> list[str]:
    """Variables that change nothing."""
    unused = []
    for name, _ in find_blocks(sources, "variable"):
        path, variable = name.split(": ")
        folder = path.split("/")[0]
        rest = [
            text
            for other, text in sources.items()
            if other.startswith(f"{folder}/") and not other.endswith("variables.tf")
        ]
        if not any(re.search(rf"\bvar\.{variable}\b", text) for text in rest):
            unused.append(name)
    return unused


def find_unpinned(sources: Sources) -> list[str]:
    """Providers, and Terraform itself, without a lower and an upper bound."""
    ranges = {}
    for path, block in find_nested(sources, "terraform"):
        ranges[path] = unquote(block.get("required_version"))
        for providers in block.get("required_providers", []):
            for name, provider in get_attributes(providers).items():
                ranges[f"{path}: {name}"] = unquote(
                    provider.get("version", provider.get('"version"'))
                )
    bounded = r">= \d+\.\d+, < \d+\.\d+"
    wrong = [name for name, found in ranges.items() if not re.fullmatch(bounded, str(found))]
    folders = {path.split("/")[0] for path in sources}
    return wrong + [it for it in folders if f"{it}/versions.tf" not in ranges]


def find_unknown_settings(sources: Sources) -> list[str]:
    """Settings that the pipeline would refuse to start with."""
    named = {name for text in sources.values() for name in re.findall(r"REVERSE_ETL_\w+", text)}
    return sorted(named - VARIABLES)


def find_misformatted(sources: Sources) -> list[str]:
    """What `terraform fmt` would change."""
    return [
        f"{path}, {complaint}"
        for path, text in sources.items()
        for complaint in formatting.find_misformatted(text)
    ]

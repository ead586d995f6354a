"""The Terraform files grant what the package says it needs, keep nothing secret, and remove nothing live.

Each check is shown to fail on files that are broken in the way it looks for.
"""

from collections.abc import Callable

import pytest

from reverse_etl_tests.infra import checks
from reverse_etl_tests.infra.sources import FOLDER, Sources, load_sources, parse

Check = Callable[[Sources], list[str]]

POLICIES, BUCKET, ROLE = "aws/policies.tf", "aws/bucket.tf", "aws/role.tf"
REDIS, TASK_POLICIES = "aws/redis.tf", "aws/task_policies.tf"
ACCOUNT, STAGING, JOB = "google/account.tf", "google/staging.tf", "google/job.tf"

CHECKS: list[Check] = [
    checks.find_policy_differences,
    checks.find_unattached_policies,
    checks.find_wide_grants,
    checks.find_stored_secrets,
    checks.find_lifecycle_excess,
    checks.find_open_bucket,
    checks.find_staging_readers,
    checks.find_undescribed,
    checks.find_unvalidated,
    checks.find_unused_variables,
    checks.find_unpinned,
    checks.find_unknown_settings,
    checks.find_misformatted,
]

#: Check, file, what stands there, what is put in its place, what the complaint says.
BROKEN: list[tuple[Check, str, str, str, str]] = [
    (checks.find_policy_differences, POLICIES, "com:oaud", "com:aud", "trust"),
    (checks.find_policy_differences, POLICIES, "[var.google_subject]", '["1"]', "trust"),
    (checks.find_policy_differences, POLICIES, '"StringEquals"', '"StringLike"', "trust"),
    (checks.find_policy_differences, POLICIES, '"s3:DeleteObject",', "", "landing"),
    (
        checks.find_policy_differences,
        POLICIES,
        '"s3:PutObject",',
        '"s3:PutObject", "s3:PutObjectAcl",',
        "landing",
    ),
    (checks.find_policy_differences, POLICIES, "${var.prefix}/*", "*", "landing"),
    (checks.find_policy_differences, POLICIES, '["${condition.value}/*"]', '["*"]', "landing"),
    (checks.find_policy_differences, POLICIES, "? [var.prefix]", "? [var.audience]", "landing"),
    (
        checks.find_policy_differences,
        POLICIES,
        "var.confine_listing ? [var.prefix]",
        "var.prefix ? [var.prefix]",
        "reader",
    ),
    (checks.find_policy_differences, POLICIES, '"kms:GenerateDataKey", ', "", "landing"),
    (checks.find_policy_differences, POLICIES, "[statement.value]", '["*"]', "reader"),
    (checks.find_policy_differences, REDIS, "[var.redis_cache_arn, ", '["*", ', "redis"),
    (checks.find_wide_grants, REDIS, '"elasticache:Connect"', '"elasticache:*"', "redis"),
    (checks.find_wide_grants, TASK_POLICIES, '"ecs:RunTask"', '"ecs:*"', "launch: ecs:*"),
    (
        checks.find_unattached_policies,
        "aws/task_roles.tf",
        "data.aws_iam_policy_document.warm.json",
        "data.aws_iam_policy_document.landing.json",
        "warm",
    ),
    (
        checks.find_unattached_policies,
        ROLE,
        "data.aws_iam_policy_document.trust.json",
        'jsonencode({ Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }] })',
        "jsonencode",
    ),
    (
        checks.find_unattached_policies,
        ROLE,
        "data.aws_iam_policy_document.reader.json",
        "data.aws_iam_policy_document.landing.json",
        "reader",
    ),
    (checks.find_wide_grants, POLICIES, '"s3:GetObject"]', '"s3:Get*"]', "s3:Get*"),
    (checks.find_wide_grants, POLICIES, '["accounts.google.com"]', '["*"]', "trust: *"),
    (checks.find_wide_grants, POLICIES, "kms:Decrypt", "kms:*", "kms:*"),
    (
        checks.find_policy_differences,
        POLICIES,
        "var.reader_key_secret_arn == null ? [] : [var.reader_key_secret_arn]",
        "var.key_secret_arn == null ? [] : [var.key_secret_arn]",
        "reader",
    ),
    (checks.find_wide_grants, POLICIES, ":GetSecretValue", ":*", "secretsmanager:*"),
    (checks.find_wide_grants, POLICIES, 'effect  = "Deny"', 'effect  = "Allow"', "s3:*"),
    (
        checks.find_wide_grants,
        POLICIES,
        'actions   = ["s3:ListBucket"]',
        'not_actions = ["s3:DeleteBucket"]',
        "by exception",
    ),
    (
        checks.find_wide_grants,
        ACCOUNT,
        "roles/bigquery.jobUser",
        "roles/editor",
        "google_project_iam_member.run_jobs: a basic role",
    ),
    (
        checks.find_wide_grants,
        ACCOUNT,
        "google_service_account.pipeline.member",
        '"allAuthenticatedUsers"',
        "everybody",
    ),
    (
        checks.find_lifecycle_excess,
        BUCKET,
        "expired_object_delete_marker = true",
        "days = 30",
        "days",
    ),
    (
        checks.find_lifecycle_excess,
        BUCKET,
        "noncurrent_version_expiration {",
        'transition {\n      storage_class = "GLACIER"\n    }\n\n    noncurrent_version_expiration {',
        "transition",
    ),
    (checks.find_lifecycle_excess, BUCKET, "var.noncurrent_version_days", "1", "noncurrent"),
    (
        checks.find_lifecycle_excess,
        BUCKET,
        "abort_incomplete_multipart_upload {",
        "expiration {",
        "no abort_incomplete_multipart_upload",
    ),
    (
        checks.find_open_bucket,
        BUCKET,
        "ignore_public_acls      = true",
        "ignore_public_acls      = false",
        "ignore_public_acls",
    ),
    (checks.find_open_bucket, BUCKET, "restrict_public_buckets = true", "", "not all"),
    (checks.find_open_bucket, BUCKET, "BucketOwnerEnforced", "ObjectWriter", "to others"),
    (checks.find_open_bucket, POLICIES, "aws:SecureTransport", "aws:ViaAWSService", "plain HTTP"),
    (
        checks.find_open_bucket,
        BUCKET,
        "bucket = var.bucket",
        "bucket        = var.bucket\n  force_destroy = true",
        "destroyed",
    ),
    (
        checks.find_staging_readers,
        STAGING,
        '"projectOwners"',
        '"projectReaders"',
        "projectReaders",
    ),
    (
        checks.find_staging_readers,
        STAGING,
        "google_service_account.pipeline.email",
        '"analyst@example.com"',
        "analyst",
    ),
    (
        checks.find_undescribed,
        "aws/variables.tf",
        '  description = "Tags for everything that is created."\n',
        "",
        "tags has no description",
    ),
    (
        checks.find_undescribed,
        "aws/variables.tf",
        "  type        = map(string)\n",
        "",
        "tags has no type",
    ),
    (
        checks.find_undescribed,
        "google/outputs.tf",
        '"Where snapshots are staged: REVERSE_ETL_BIGQUERY_DATASET."',
        '""',
        "staging_dataset has no description",
    ),
    (
        checks.find_unvalidated,
        "aws/variables.tf",
        'variable "tags" {',
        'variable "owner" {',
        "owner",
    ),
    (
        checks.find_unvalidated,
        "aws/variables.tf",
        "  nullable    = false\n",
        "",
        "confine_listing",
    ),
    (checks.find_unused_variables, JOB, "var.arguments", '["doctor"]', "arguments"),
    (checks.find_unpinned, "aws/versions.tf", '">= 6.0, < 7.0"', '">= 6.0"', "aws"),
    (checks.find_unpinned, "google/versions.tf", 'version = ">= 7.0, < 8.0"', "", "google"),
    (checks.find_unpinned, "google/versions.tf", '">= 1.9, < 2.0"', '"1.9"', "google"),
    (
        checks.find_unknown_settings,
        JOB,
        "REVERSE_ETL_S3_REGION ",
        "REVERSE_ETL_REGION    ",
        "REVERSE_ETL_REGION",
    ),
    (checks.find_misformatted, ROLE, "name   = ", "name = ", "line 9"),
    (checks.find_misformatted, ROLE, "  role   = ", "  role   =  ", "line 10"),
    (checks.find_misformatted, ROLE, "  role   = ", "    role   = ", "line 10: 2 spaces"),
    (checks.find_misformatted, ROLE, "landing.id\n", "landing.id \n", "at the end"),
    (checks.find_misformatted, BUCKET, "filter {}", "\tfilter {}", "a tab"),
    (checks.find_misformatted, BUCKET, "rule {\n", "rule   =   {\n", "'=' expected"),
    (checks.find_misformatted, STAGING, "    role          = ", "    role = ", "'=' expected"),
]

STORED = [
    'resource "google_service_account_key" "pipeline" {\n  service_account_id = "x"\n}\n',
    'resource "aws_iam_access_key" "pipeline" {\n  user = "x"\n}\n',
    'resource "google_secret_manager_secret_version" "key" {\n  secret_data = "x"\n}\n',
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda it: it.__name__)
def test_files_keep_to_the_rule(check: Check) -> None:
    """What is in the folder passes."""
    assert check(load_sources()) == []


@pytest.mark.parametrize(("check", "path", "old", "new", "said"), BROKEN)
def test_broken_files_are_found(check: Check, path: str, old: str, new: str, said: str) -> None:
    """Each check fails on files that are broken in the way it looks for."""
    sources = load_sources()
    assert old in sources[path]

    complaints = check({**sources, path: sources[path].replace(old, new)})

    assert any(said in complaint for complaint in complaints), complaints


@pytest.mark.parametrize("resource", STORED)
def test_stored_keys_are_found(resource: str) -> None:
    """A key that lives on, or a secret in Terraform's state, does not slip in."""
    sources = load_sources()

    assert len(checks.find_stored_secrets({**sources, JOB: sources[JOB] + resource})) == 1


def test_every_check_is_seen_to_fail() -> None:
    """No check is only ever seen to pass."""
    shown = {check for check, *_ in BROKEN} | {checks.find_stored_secrets}

    assert [check.__name__ for check in CHECKS if check not in shown] == []


def test_file_that_does_not_parse_is_noticed() -> None:
    """The parser refuses what Terraform would."""
    with pytest.raises(Exception, match="Unexpected"):
        parse('resource "x" {\n  a = \n}\n')


def test_both_sides_are_there() -> None:
    """Neither folder may be empty, or the checks above would hold for nothing."""
    folders = {path.split("/")[0] for path in load_sources()}

    assert folders == {"aws", "google"}
    for folder in folders:
        names = {path.name for path in (FOLDER / folder).glob("*.tf")}
        assert names >= {"variables.tf", "outputs.tf", "versions.tf"}


def test_readme_names_what_the_two_sides_exchange() -> None:
    """Every value that is carried from one side to the other stands in the README."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")

    carried = {"service_account_unique_id", "google_subject", "role_arn", "store_url", "audience"}
    assert {name for name in carried if f"`{name}`" not in readme} == set()

"""Where Terraform itself is installed, it says the same: the format, and which values are refused."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reverse_etl_tests.infra.formatting import find_misformatted
from reverse_etl_tests.infra.sources import FOLDER, load_sources

pytestmark = pytest.mark.skipif(
    shutil.which("terraform") is None,
    reason="terraform is not installed; test_terraform.py checks the files without it",
)

VALUES: dict[str, dict[str, Any]] = {
    "aws": {
        "region": "eu-central-1",
        "google_subject": "107517467455664443766",
        "audience": "https://aws.example.com/reverse-etl/prod",
        "bucket": "acme-landing",
    },
    "google": {
        "project": "acme-data",
        "region": "europe-west3",
        "location": "EU",
        "source_datasets": ["acme-data.shop", "example.com:legacy.shop"],
        "image": f"europe-west3-docker.pkg.dev/acme-data/reverse-etl/image@sha256:{'0' * 64}",
        "store_url": "s3://acme-landing/reverse_etl",
        "s3_region": "eu-central-1",
        "aws_role_arn": "arn:aws:iam::123456789012:role/reverse-etl-landing",
        "audience": "https://aws.example.com/reverse-etl/prod",
        "masking_key_secret": "reverse-etl-masking-key",
    },
}

#: Folder, variable, a value that is refused, a word of the reason.
REFUSED = [
    ("aws", "region", "Frankfurt", "eu-central-1"),
    ("aws", "google_subject", "reverse-etl@acme-data.iam.gserviceaccount.com", "e-mail"),
    ("aws", "google_subject", "*", "digits"),
    ("aws", "audience", "https://*", "letters"),
    ("aws", "audience", "sts.amazonaws.com", "own"),
    ("aws", "role_name", "a role", "letters"),
    ("aws", "bucket", "acme.landing", "dots"),
    ("aws", "prefix", "users/*", "Wildcards"),
    ("aws", "prefix", "", "Wildcards"),
    ("aws", "prefix", "users/", "slashes"),
    ("aws", "kms_key_arn", "alias/landing", "alias"),
    ("aws", "kms_key_arn", "arn:aws:kms:eu-central-1:123456789012:key/*", "ARN"),
    ("aws", "key_secret_arn", "masking-key", "whole ARN"),
    (
        "aws",
        "reader_key_secret_arn",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:*",
        "wildcards",
    ),
    ("aws", "max_session_seconds", 900, "3600"),
    ("aws", "incomplete_upload_days", 0, "days"),
    ("aws", "noncurrent_version_days", 0, "days"),
    ("aws", "redis_cache_arn", "users", "ARN"),
    ("aws", "redis_user_arn", "reverse-etl-writer", "ARN"),
    ("aws", "task_image", "registry/image:latest", "digest"),
    ("aws", "task_image", f"registry/image@sha256:{'0' * 64}", "IAM"),
    ("aws", "environment", "pro duction", "letters"),
    ("aws", "redis_url", "redis://users.example.com:6379", "TLS"),
    ("aws", "redis_url", "rediss://writer:secret@users.example.com:6379", "without a user"),
    ("aws", "dagster_postgres_host", "postgres://db", "host"),
    ("aws", "dagster_postgres_host", "db.example.com", "all of"),
    ("aws", "dagster_postgres_secret_arn", "hunter2", "Never the password"),
    ("aws", "dagster_cluster_arn", "dagster", "ARN"),
    ("aws", "dagster_logs_bucket", "acme-landing", "other than"),
    ("aws", "log_retention_days", 31, "CloudWatch"),
    ("google", "project", "123456789012", "id"),
    ("google", "region", "EU", "europe-west3"),
    ("google", "location", "Europe", "EU"),
    ("google", "environment", "pro duction", "letters"),
    ("google", "account_id", "etl", "6 to 30"),
    ("google", "staging_dataset", "acme-data.staging", "project"),
    ("google", "staging_table_hours", 0, "hours"),
    ("google", "source_datasets", [], "at least one"),
    ("google", "source_datasets", ["shop"], "project.dataset"),
    ("google", "image", "registry/image:latest", "digest"),
    ("google", "arguments", [], "command"),
    ("google", "store_url", "s3://acme-landing/reverse_etl/", "slash"),
    ("google", "s3_region", "EU", "eu-central-1"),
    ("google", "aws_role_arn", "reverse-etl-landing", "ARN"),
    ("google", "audience", "a b", "letters"),
    ("google", "masking_key_secret", "k1:AAECAwQFBgcICQoLDA0ODw==", "Never the key itself"),
    ("google", "masking_key_version", "latest", "number"),
    ("google", "redis_url_secret", "rediss://user:secret@host", "Never the URL itself"),
    ("google", "subnetwork", "A B", "subnetwork"),
    ("google", "settings", {"AWS_ACCESS_KEY_ID": "x"}, "REVERSE_ETL_"),
    ("google", "settings", {"REVERSE_ETL_MASKING_KEY": "k1:x"}, "masking_key_secret"),
    ("google", "cpu", "3", "cores"),
    ("google", "memory", "4", "4Gi"),
    ("google", "timeout_seconds", 1, "60"),
    ("google", "dagster_postgres_host", "postgres://db", "host"),
    ("google", "dagster_postgres_host", "10.0.0.3", "all of"),
    ("google", "dagster_postgres_secret", "hunter 2", "Never the password"),
    ("google", "dagster_logs_bucket", "Logs", "lower-case"),
    ("google", "dagster_logs_days", 0, "days"),
]

ACCEPTED = [
    ("aws", {}),
    (
        "aws",
        {
            "prefix": "reverse_etl/prod",
            "confine_listing": False,
            "kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/8f0a3c1e-0000-4000-8000-000000000000",
            "key_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/key-AbCdEf",
        },
    ),
    (
        "aws",
        {
            "redis_cache_arn": "arn:aws:elasticache:eu-central-1:123456789012:replicationgroup:users",
            "redis_user_arn": "arn:aws:elasticache:eu-central-1:123456789012:user:reverse-etl-writer",
            "redis_url": "rediss://users.abcdef.euc1.cache.amazonaws.com:6379?cluster=true",
            "task_image": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/reverse-etl@sha256:{'0' * 64}",
            "dagster_postgres_host": "dagster.abcdef.eu-central-1.rds.amazonaws.com",
            "dagster_postgres_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:p-AbCdEf",
            "dagster_cluster_arn": "arn:aws:ecs:eu-central-1:123456789012:cluster/dagster",
            "dagster_logs_bucket": "acme-dagster-logs",
        },
    ),
    ("google", {}),
    (
        "google",
        {
            "dagster_postgres_host": "10.0.0.3",
            "dagster_postgres_secret": "dagster-postgres",
            "dagster_logs_bucket": "acme-dagster-logs",
        },
    ),
    (
        "google",
        {
            "redis_url_secret": "reverse-etl-redis-url",
            "subnetwork": "projects/net/regions/europe-west3/subnetworks/pipelines",
            "settings": {"REVERSE_ETL_S3_ENCRYPTION": "aws:kms"},
        },
    ),
]


def run_terraform(folder: Path, *words: str, text: str | None = None) -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        ["terraform", *words],
        cwd=folder,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + " ".join(done.stderr.split())


def plan(folder: Path, side: str, changed: dict[str, Any]) -> tuple[int, str]:
    """Plan a module that has the variables alone: it needs no provider, and asks nobody."""
    for path in (FOLDER / side).glob("*variables.tf"):
        shutil.copy(path, folder)
    (folder / "values.tfvars.json").write_text(json.dumps(VALUES[side] | changed))
    return run_terraform(
        folder, "plan", "-no-color", "-input=false", "-var-file=values.tfvars.json"
    )


def test_format_is_terraforms(tmp_path: Path) -> None:
    """`terraform fmt` would change nothing."""
    for name, text in load_sources().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert run_terraform(tmp_path, "fmt", "-check", "-recursive") == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        "a   = 1\nbcd = 2\n",
        "a = 1\nbcd = 2\n",
        "a = 1\n\nbcd = 2\n",
        "a = 1\nbcd = {\n  x = 1\n}\n",
        "a   = 1\nbcd = {\n  x = 1\n}\n",
        "bcd = [\n  1,\n]\na = 1\n",
        "x {\n   a = 1\n}\n",
        "x {\n  a = 1\n  # b\n  cd = 2\n}\n",
        'x {\n  a = "(["\n  b = 2\n}\n',
        "x {\n  a =  1\n}\n",
        "a = 1 \n",
    ],
)
def test_our_check_of_the_format_judges_as_terraform_does(tmp_path: Path, text: str) -> None:
    """What passes without Terraform passes with it, and the other way round."""
    code, formatted = run_terraform(tmp_path, "fmt", "-", text=text)

    assert code == 0
    assert (list(find_misformatted(text)) == []) == (formatted == text)


@pytest.mark.parametrize(("side", "changed"), ACCEPTED)
def test_sensible_values_are_accepted(tmp_path: Path, side: str, changed: dict[str, Any]) -> None:
    """What the README says can be planned."""
    code, said = plan(tmp_path, side, changed)

    assert code == 0, said


@pytest.mark.parametrize(("side", "variable", "value", "said"), REFUSED)
def test_wrong_value_is_refused_with_the_reason(
    tmp_path: Path, side: str, variable: str, value: Any, said: str
) -> None:
    """Nothing is created with a value that would open too much, or fail an hour later."""
    code, answer = plan(tmp_path, side, {variable: value})

    assert code == 1
    assert f"var.{variable} is" in answer
    assert said in answer


def test_every_validation_is_seen_to_refuse() -> None:
    """A variable with a rule has a value here that breaks it."""
    shown = {(side, variable) for side, variable, *_ in REFUSED}
    rules = {
        (path.split("/")[0], part.split('"')[1])
        for path, text in load_sources().items()
        for part in text.split("\nvariable ")
        if path.endswith("variables.tf") and "validation {" in part
        for part in [part.removeprefix("variable ")]
    }

    assert rules - shown == set()

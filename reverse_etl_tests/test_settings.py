"""The environment is read once, by one module, completely, and never shown."""

import ast
from pathlib import Path

import pytest

from reverse_etl.cli.settings_table import render_settings_table
from reverse_etl.errors import ConfigError
from reverse_etl.settings import (
    VARIABLES,
    AwsIdentity,
    Profile,
    RedisAuth,
    Secret,
    Settings,
    child_environment,
    load_profile,
)

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "reverse_etl"
DOCUMENT = ROOT / "docs" / "settings.md"


def test_nothing_set_gives_the_defaults() -> None:
    """A fresh machine needs no variable to be local."""
    settings = Settings.load({})

    assert settings == Settings()
    assert settings.profile is Profile.LOCAL
    assert settings.redis_url is None


def test_every_variable_is_read() -> None:
    """Each variable reaches its field, in the field's type."""
    found = Settings.load(
        {
            "REVERSE_ETL_PROFILE": "cloud",
            "REVERSE_ETL_DUCKDB_PATH": "/data/w.duckdb",
            "REVERSE_ETL_STORE_URL": "file:///store",
            "REVERSE_ETL_REDIS_URL": "redis://here",
            "REVERSE_ETL_MASKING_KEY": "k1:abc",
            "REVERSE_ETL_MASKING_KEY_FILE": "/keys/k1",
            "REVERSE_ETL_MASKING_KEY_SECRET": "aws-secret://masking-key",
            "REVERSE_ETL_MASKING_KEY_SECRET_ENDPOINT_URL": "https://secrets.example.com",
            "REVERSE_ETL_REFUSED_KEY_FINGERPRINTS": "prod=0123456789abcdef, fedcba9876543210",
            "REVERSE_ETL_SCRATCH_DIR": "/scratch",
            "REVERSE_ETL_MEMORY_LIMIT_MB": "512",
            "REVERSE_ETL_THREADS": "3",
            "REVERSE_ETL_SNAPSHOT_TTL_HOURS": "1.5",
            "REVERSE_ETL_SWEEP_AGE_SECONDS": "60",
            "REVERSE_ETL_KEEP_DAYS": "2",
            "REVERSE_ETL_LEASE_SECONDS": "4",
            "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
            "REVERSE_ETL_BIGQUERY_PROJECT": "shop-analytics",
            "REVERSE_ETL_BIGQUERY_DATASET": "staging",
            "REVERSE_ETL_BIGQUERY_LOCATION": "EU",
            "REVERSE_ETL_BIGQUERY_STAGING_READERS": "group:a@example.com, user:b@example.com",
            "REVERSE_ETL_BIGQUERY_ENDPOINT": "https://bigquery.example.com",
            "REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT": "storage.example.com:443",
            "REVERSE_ETL_BIGQUERY_ANONYMOUS": "1",
            "REVERSE_ETL_BIGQUERY_MAX_BYTES_BILLED": "1000",
            "REVERSE_ETL_BIGQUERY_JOB_TIMEOUT_SECONDS": "600",
            "REVERSE_ETL_BIGQUERY_PREFERRED_STREAMS": "5",
            "REVERSE_ETL_BIGQUERY_MAX_STREAMS": "6",
            "REVERSE_ETL_BIGQUERY_IN_FLIGHT_MB": "7",
            "REVERSE_ETL_BIGQUERY_STALL_SECONDS": "8",
            "REVERSE_ETL_BIGQUERY_WATCH_MINUTES": "90",
            "REVERSE_ETL_BIGQUERY_WATCH_SLOT_HOURS": "20",
            "REVERSE_ETL_BIGQUERY_PRICE_PER_TIB": "9",
            "REVERSE_ETL_BIGQUERY_READ_PRICE_PER_TIB": "10",
            "REVERSE_ETL_EGRESS_PRICE_PER_GIB": "0.5",
            "REVERSE_ETL_REDIS_AUTH": "elasticache_iam",
            "REVERSE_ETL_REDIS_IAM_USER": "loader",
            "REVERSE_ETL_REDIS_IAM_CACHE": "users",
            "REVERSE_ETL_REDIS_IAM_SERVERLESS": "1",
            "REVERSE_ETL_REDIS_IAM_REGION": "eu-west-1",
            "REVERSE_ETL_REDIS_ALLOW_EVICTION": "allkeys-lru",
            "REVERSE_ETL_CACHE_RECORDS_PER_SECOND": "100000",
            "REVERSE_ETL_API_TOKENS_FILE": "/etc/reverse_etl/tokens",
            "REVERSE_ETL_DAGSTER_URL": "https://dagster.example.com",
            "REVERSE_ETL_ALERT_SLACK_URL": "https://hooks.example.com/1",
            "REVERSE_ETL_ALERT_WEBHOOK_URL": "https://alerts.example.com/2",
            "REVERSE_ETL_ALERT_WEBHOOK_KEY": "signing",
            "REVERSE_ETL_ALERT_SMTP_URL": "smtps://user:word@mail.example.com:465",
            "REVERSE_ETL_ALERT_EMAIL_FROM": "etl@example.com",
            "REVERSE_ETL_ALERT_EMAIL_TO": "a@example.com, b@example.com",
            "REVERSE_ETL_RUN_LOG_TABLE": "my-project.ops.reverse_etl_runs",
            "REVERSE_ETL_S3_ENDPOINT_URL": "https://s3.example.com",
            "REVERSE_ETL_S3_REGION": "eu-central-1",
            "REVERSE_ETL_S3_CA_FILE": "/ca.pem",
            "REVERSE_ETL_S3_ENCRYPTION": "aws:kms",
            "REVERSE_ETL_S3_KMS_KEY_ID": "arn:aws:kms:eu-central-1:123456789012:key/1",
            "REVERSE_ETL_S3_CONCURRENCY": "50",
            "REVERSE_ETL_AWS_IDENTITY": "task_role",
            "REVERSE_ETL_AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/landing",
            "REVERSE_ETL_OIDC_AUDIENCE": "https://aws.example.com/landing/prod",
            "REVERSE_ETL_STS_ENDPOINT_URL": "https://sts.example.com",
            "REVERSE_ETL_AWS_SESSION_SECONDS": "900",
            "REVERSE_ETL_ENVIRONMENT": "prod",
            "REVERSE_ETL_CREDENTIAL_CACHE_DIR": "/run/reverse-etl",
            "AWS_ACCESS_KEY_ID": "access",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
            "GOOGLE_APPLICATION_CREDENTIALS": "/google.json",
        }
    )

    assert found == Settings(
        profile=Profile.CLOUD,
        duckdb_path=Path("/data/w.duckdb"),
        store_url="file:///store",
        redis_url=Secret("redis://here"),
        masking_key=Secret("k1:abc"),
        masking_key_file=Path("/keys/k1"),
        masking_key_secret="aws-secret://masking-key",
        masking_key_secret_endpoint_url="https://secrets.example.com",
        refused_key_fingerprints=("prod=0123456789abcdef", "fedcba9876543210"),
        scratch_dir=Path("/scratch"),
        memory_limit_mb=512,
        threads=3,
        snapshot_ttl_hours=1.5,
        sweep_age_seconds=60.0,
        keep_days=2,
        lease_seconds=4.0,
        retire_grace_seconds=0.0,
        bigquery_project="shop-analytics",
        bigquery_dataset="staging",
        bigquery_location="EU",
        bigquery_staging_readers=("group:a@example.com", "user:b@example.com"),
        bigquery_endpoint="https://bigquery.example.com",
        bigquery_storage_endpoint="storage.example.com:443",
        bigquery_anonymous=True,
        bigquery_max_bytes_billed=1000,
        bigquery_job_timeout_seconds=600.0,
        bigquery_preferred_streams=5,
        bigquery_max_streams=6,
        bigquery_in_flight_mb=7,
        bigquery_stall_seconds=8.0,
        bigquery_watch_minutes=90,
        bigquery_watch_slot_hours=20,
        bigquery_price_per_tib=9.0,
        bigquery_read_price_per_tib=10.0,
        egress_price_per_gib=0.5,
        redis_auth=RedisAuth.ELASTICACHE_IAM,
        redis_iam_user="loader",
        redis_iam_cache="users",
        redis_iam_serverless=True,
        redis_iam_region="eu-west-1",
        redis_allow_eviction="allkeys-lru",
        cache_records_per_second=100_000,
        api_tokens_file=Path("/etc/reverse_etl/tokens"),
        dagster_url="https://dagster.example.com",
        alert_slack_url=Secret("https://hooks.example.com/1"),
        alert_webhook_url=Secret("https://alerts.example.com/2"),
        alert_webhook_key=Secret("signing"),
        alert_smtp_url=Secret("smtps://user:word@mail.example.com:465"),
        alert_email_from="etl@example.com",
        alert_email_to=("a@example.com", "b@example.com"),
        run_log_table="my-project.ops.reverse_etl_runs",
        s3_endpoint_url="https://s3.example.com",
        s3_region="eu-central-1",
        s3_ca_file=Path("/ca.pem"),
        s3_encryption="aws:kms",
        s3_kms_key_id="arn:aws:kms:eu-central-1:123456789012:key/1",
        s3_concurrency=50,
        aws_identity=AwsIdentity.TASK_ROLE,
        aws_role_arn="arn:aws:iam::123456789012:role/landing",
        oidc_audience="https://aws.example.com/landing/prod",
        sts_endpoint_url="https://sts.example.com",
        aws_session_seconds=900,
        environment="prod",
        credential_cache_dir=Path("/run/reverse-etl"),
        aws_access_key_id=Secret("access"),
        aws_secret_access_key=Secret("secret"),
        aws_session_token=Secret("token"),
        google_application_credentials=Path("/google.json"),
    )


def test_example_covers_every_variable() -> None:
    """The test above is complete: a new variable has to be added to it."""
    source = Path(__file__).read_text(encoding="utf-8")

    assert [name for name in VARIABLES if f'"{name}": "' not in source] == []


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_variable_counts_as_unset(text: str) -> None:
    """`VARIABLE= command` is how people unset one for a moment."""
    assert Settings.load({"REVERSE_ETL_REDIS_URL": text}).redis_url is None


def test_all_wrong_variables_are_named_at_once() -> None:
    """Who corrects one does not have to run again to hear of the next; values are not repeated."""
    with pytest.raises(ConfigError) as raised:
        Settings.load(
            {
                "REVERSE_ETL_PROFILE": "canary-1",
                "REVERSE_ETL_THREADS": "0",
                "REVERSE_ETL_LEASE_SECONDS": "inf",
                "REVERSE_ETL_REDIS_ALLOW_EVICTION": "volatile-lru",
                "REVERSE_ETL_REDIS_ULR": "canary-2",
                "REVERSE_ETL_AWS_IDENTITY": "canary-3",
            }
        )

    for name in (
        "PROFILE",
        "THREADS",
        "LEASE_SECONDS",
        "REDIS_ALLOW_EVICTION",
        "REDIS_ULR: there is no such setting",
    ):
        assert f"REVERSE_ETL_{name}" in raised.value.message
    assert "One of: google_oidc, task_role, static_keys." in raised.value.message
    assert "canary" not in raised.value.message


@pytest.mark.parametrize(
    "text",
    ["prod", "prod=0123", "prod:0123456789abcdef", "0123456789ABCDEF", "p d=0123456789abcdef"],
)
def test_fingerprint_that_is_none_is_refused(text: str) -> None:
    """A refusal that was mistyped would refuse nothing."""
    with pytest.raises(ConfigError, match="REVERSE_ETL_REFUSED_KEY_FINGERPRINTS"):
        Settings.load({"REVERSE_ETL_REFUSED_KEY_FINGERPRINTS": text})


def test_secrets_show_nowhere() -> None:
    """Neither repr nor str of a secret, or of settings that hold one, shows it."""
    settings = Settings.load(
        {"REVERSE_ETL_REDIS_URL": "redis://:canary@here", "REVERSE_ETL_MASKING_KEY": "canary"}
    )

    assert "canary" not in repr(settings) + str(settings) + f"{settings.redis_url} {settings!s}"
    assert settings.masking_key is not None
    assert settings.masking_key.reveal() == "canary"


def test_profile_alone_ignores_the_rest() -> None:
    """Loading definitions reads the profile, whatever else is wrong."""
    assert load_profile({"REVERSE_ETL_THREADS": "many"}) is Profile.LOCAL
    with pytest.raises(ConfigError, match="it can be: local, cloud"):
        load_profile({"REVERSE_ETL_PROFILE": "moon"})


def test_child_environment_adds_changes_and_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child gets this process' environment with what is to be different."""
    monkeypatch.setenv("REVERSE_ETL_THREADS", "1")
    monkeypatch.setenv("REVERSE_ETL_KEEP_DAYS", "9")

    merged = child_environment(
        {"REVERSE_ETL_THREADS": "2", "REVERSE_ETL_KEEP_DAYS": None, "REVERSE_ETL_PROFILE": "local"}
    )

    assert Settings.load(merged) == Settings(threads=2)
    assert "PATH" in merged


def test_documentation_holds_every_variable() -> None:
    """docs/settings.md has the table that `python -m reverse_etl.cli.settings_table` prints."""
    table = render_settings_table()

    assert table in DOCUMENT.read_text(encoding="utf-8"), f"replace the table by:\n\n{table}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_only_settings_reads_the_environment(path: Path) -> None:
    """No other module asks the operating system for a variable, in any spelling."""
    if path == PACKAGE / "settings.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))

    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
    }

    assert names & {"environ", "environb", "getenv", "getenvb", "expandvars"} == set()

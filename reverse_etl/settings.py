"""Every environment variable once: name, type, default, meaning. Nothing else reads the environment.

`Settings.load()` is called when a run needs values; loading definitions reads the profile alone.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

from reverse_etl.errors import ConfigError
from reverse_etl.service_settings import RedisAuth, ServiceSettings
from reverse_etl.setting_fields import (
    Secret,
    parse_amount,
    parse_concurrency,
    parse_count,
    parse_encryption,
    parse_environment,
    parse_fingerprints,
    parse_session_seconds,
    variable,
)

__all__ = [
    "OTHER_VARIABLES",
    "VARIABLES",
    "AwsIdentity",
    "Profile",
    "RedisAuth",
    "Secret",
    "Settings",
    "child_environment",
    "find_set",
    "load_environment_name",
    "load_profile",
]


class Profile(StrEnum):
    """Which kinds of source, store and Redis a deployment uses unless told otherwise."""

    LOCAL = "local"
    CLOUD = "cloud"


class AwsIdentity(StrEnum):
    """Who we are for AWS; there is no fallback from one to another."""

    GOOGLE_OIDC = "google_oidc"
    TASK_ROLE = "task_role"
    STATIC_KEYS = "static_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """What a run needs to know beyond its sync. Units are in the names."""

    profile: Profile = variable(
        "REVERSE_ETL_PROFILE",
        "Which source, store and Redis are used: `local` (DuckDB, a directory, an embedded server) or "
        "`cloud` (BigQuery, S3, your Redis).",
        default=Profile.LOCAL,
        parse=Profile,
    )
    duckdb_path: Path = variable(
        "REVERSE_ETL_DUCKDB_PATH",
        "The embedded warehouse: a DuckDB file, opened read-only.",
        default=Path(".local/warehouse.duckdb"),
        parse=Path,
    )
    store_url: str = variable(
        "REVERSE_ETL_STORE_URL",
        "Where versions land: `s3://bucket/prefix`, or `file:///...` (a relative path counts from the "
        "working directory).",
        default="file://.local/store",
    )
    redis_url: Secret | None = variable(
        "REVERSE_ETL_REDIS_URL",
        "`redis://`, `rediss://` or `unix://`, with user and password if there are any; "
        "`?cluster=true` for a cluster. `make demo`, `make dev` and the tests start a server of their own "
        "when it is unset.",
        parse=Secret,
    )
    masking_key: Secret | None = variable(
        "REVERSE_ETL_MASKING_KEY",
        "The key of rule `hmac`: `<key id>:<base64 of 32 bytes or more>`. Previous keys may follow, after "
        "blanks or commas (docs/masking.md).",
        parse=Secret,
    )
    masking_key_file: Path | None = variable(
        "REVERSE_ETL_MASKING_KEY_FILE",
        "A file, mode 0600, that holds what REVERSE_ETL_MASKING_KEY would, and stands in its place.",
        parse=Path,
    )
    masking_key_secret: str | None = variable(
        "REVERSE_ETL_MASKING_KEY_SECRET",
        "The secret that holds the same, fetched when a run needs it: "
        "`gcp-secret://projects/P/secrets/S/versions/V` (Google Secret Manager) or "
        "`aws-secret://<name or ARN>?region=R` (AWS Secrets Manager).",
    )
    masking_key_secret_endpoint_url: str | None = variable(
        "REVERSE_ETL_MASKING_KEY_SECRET_ENDPOINT_URL",
        "Another address of the service that holds the secret, such as a VPC endpoint: a URL.",
    )
    refused_key_fingerprints: tuple[str, ...] = variable(
        "REVERSE_ETL_REFUSED_KEY_FINGERPRINTS",
        "Masking keys of other environments, each `<environment>=<fingerprint>` or a fingerprint alone "
        "as `reverse-etl doctor` prints it. One of these stops every run.",
        default=(),
        parse=parse_fingerprints,
    )
    scratch_dir: Path = variable(
        "REVERSE_ETL_SCRATCH_DIR",
        "Where masked rows may spill while they are ordered; made 0700, swept after dead runs.",
        default=Path(".local/scratch"),
        parse=Path,
    )
    memory_limit_mb: int = variable(
        "REVERSE_ETL_MEMORY_LIMIT_MB",
        "Budget in MiB for masking and ordering one sync; what does not fit spills to disk. The process "
        "takes up to 380 MiB (JSON) or 520 MiB (Parquet) beside it.",
        default=192,
        parse=parse_count,
    )
    threads: int = variable(
        "REVERSE_ETL_THREADS",
        "Worker threads of one step.",
        default=min(8, os.cpu_count() or 1),
        parse=parse_count,
        shown_default="the number of cores, at most 8",
    )
    snapshot_ttl_hours: float = variable(
        "REVERSE_ETL_SNAPSHOT_TTL_HOURS",
        "How long a pinned snapshot stays readable inside the source.",
        default=24.0,
        parse=parse_amount,
    )
    sweep_age_seconds: float = variable(
        "REVERSE_ETL_SWEEP_AGE_SECONDS",
        "An attempt younger than this is left alone by the sweep; longer than any run takes.",
        default=6 * 3600.0,
        parse=parse_amount,
    )
    keep_days: int = variable(
        "REVERSE_ETL_KEEP_DAYS",
        "Committed versions of a day that a later one replaced are removed after this many days.",
        default=7,
        parse=parse_count,
    )
    lease_seconds: float = variable(
        "REVERSE_ETL_LEASE_SECONDS",
        "How long a loader that stopped answering keeps others of its sync waiting.",
        default=30.0,
        parse=parse_amount,
    )
    retire_grace_seconds: float = variable(
        "REVERSE_ETL_RETIRE_GRACE_SECONDS",
        "A version leaves Redis no sooner than this after the head moved; longer than a reader caches "
        "the head.",
        default=5.0,
        parse=parse_amount,
    )

    s3_endpoint_url: str | None = variable(
        "REVERSE_ETL_S3_ENDPOINT_URL",
        "Another S3 than AWS' own: the URL of a compatible server, or of a VPC endpoint.",
    )
    s3_region: str | None = variable(
        "REVERSE_ETL_S3_REGION",
        "The bucket's region, and that of the STS endpoint, such as `eu-central-1`.",
    )
    s3_ca_file: Path | None = variable(
        "REVERSE_ETL_S3_CA_FILE",
        "PEM file of the authority that signed the certificate of REVERSE_ETL_S3_ENDPOINT_URL, if it is "
        "none that the system knows.",
        parse=Path,
    )
    s3_encryption: str | None = variable(
        "REVERSE_ETL_S3_ENCRYPTION",
        "Encryption asked for with every object: `AES256` or `aws:kms`. Unset: the bucket's own.",
        parse=parse_encryption,
    )
    s3_kms_key_id: str | None = variable(
        "REVERSE_ETL_S3_KMS_KEY_ID",
        "The KMS key for `aws:kms`, by ARN; used through a bucket key. Unset: the account's S3 key.",
    )
    s3_concurrency: int = variable(
        "REVERSE_ETL_S3_CONCURRENCY",
        "The most requests to S3 at once, 10 to 100; slow-downs make them fewer for a while.",
        default=100,
        parse=parse_concurrency,
    )
    aws_identity: AwsIdentity = variable(
        "REVERSE_ETL_AWS_IDENTITY",
        "Who we are for AWS: `google_oidc` (Google's identity, exchanged at STS), `task_role` (the role of "
        "an ECS task), or `static_keys` (AWS_ACCESS_KEY_ID and its companions; for servers of your own).",
        default=AwsIdentity.GOOGLE_OIDC,
        parse=AwsIdentity,
    )
    aws_role_arn: str | None = variable(
        "REVERSE_ETL_AWS_ROLE_ARN",
        "The role that `google_oidc` assumes.",
    )
    oidc_audience: str | None = variable(
        "REVERSE_ETL_OIDC_AUDIENCE",
        "The audience of Google's token: one text a role and environment, the same as `oaud` in the "
        "role's trust policy. Not a secret.",
    )
    sts_endpoint_url: str | None = variable(
        "REVERSE_ETL_STS_ENDPOINT_URL",
        "Another STS than that of the region: a URL.",
    )
    aws_session_seconds: int = variable(
        "REVERSE_ETL_AWS_SESSION_SECONDS",
        "How long a session at AWS lasts, 900 to 43200 and no longer than the role allows. It is "
        "renewed ten minutes before its end.",
        default=3600,
        parse=parse_session_seconds,
    )
    environment: str = variable(
        "REVERSE_ETL_ENVIRONMENT",
        "The deployment's name (letters, digits, dash), shown in AWS' logs as part of the session's name.",
        default="dev",
        parse=parse_environment,
    )
    credential_cache_dir: Path | None = variable(
        "REVERSE_ETL_CREDENTIAL_CACHE_DIR",
        "Where the processes of one run on one host share a session: a folder in memory, made 0700. Unset: "
        "processes share none.",
        parse=Path,
    )
    aws_access_key_id: Secret | None = variable(
        "AWS_ACCESS_KEY_ID",
        "A stored key. Refused unless REVERSE_ETL_AWS_IDENTITY is `static_keys`.",
        parse=Secret,
    )
    aws_secret_access_key: Secret | None = variable(
        "AWS_SECRET_ACCESS_KEY",
        "Its secret; refused likewise.",
        parse=Secret,
    )
    aws_session_token: Secret | None = variable(
        "AWS_SESSION_TOKEN",
        "The token of a temporary key; refused likewise.",
        parse=Secret,
    )
    google_application_credentials: Path | None = variable(
        "GOOGLE_APPLICATION_CREDENTIALS",
        "Google's own variable. A file that holds a service account's private key is refused in the "
        "profile `cloud`; one that impersonates a service account is not.",
        parse=Path,
    )

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read all variables; `ConfigError` names every one that cannot be read, never its value."""
        found = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for item in fields(cls):
            text = found.get(item.metadata["variable"], "").strip()
            if not text:
                continue
            try:
                values[item.name] = item.metadata["parse"](text)
            except ValueError:
                wrong.append(_describe(item))
        unknown = sorted(
            name
            for name in found
            if name.startswith("REVERSE_ETL_") and name not in VARIABLES | OTHER_VARIABLES
        )
        wrong += [f"{name}: there is no such setting" for name in unknown]
        if wrong:
            raise ConfigError(
                "These environment variables cannot be used as they are (docs/settings.md lists all):\n  "
                + "\n  ".join(wrong)
            )
        return cls(**values)


def _describe(item: Field[Any]) -> str:
    """A variable that cannot be read: what it is for, and what it may be where that is a choice."""
    parse = item.metadata["parse"]
    is_choice = isinstance(parse, type) and issubclass(parse, Enum)
    choices = f" One of: {', '.join(each.value for each in parse)}." if is_choice else ""
    return f"{item.metadata['variable']}: {item.metadata['meaning']}{choices}"


VARIABLES = frozenset(item.metadata["variable"] for item in fields(Settings))

#: Read by `docker/dagster.yaml` through Dagster itself, not by this module.
OTHER_VARIABLES: frozenset[str] = frozenset()


def load_profile(environment: Mapping[str, str] | None = None) -> Profile:
    """The profile alone: all that loading definitions may read."""
    found = os.environ if environment is None else environment
    text = found.get("REVERSE_ETL_PROFILE", "").strip() or Profile.LOCAL
    try:
        return Profile(text)
    except ValueError:
        raise ConfigError(
            f"REVERSE_ETL_PROFILE is {text!r}; it can be: {', '.join(Profile)}."
        ) from None


def load_environment_name(environment: Mapping[str, str] | None = None) -> str:
    """The deployment's name alone: with the profile all that loading definitions may read."""
    found = os.environ if environment is None else environment
    text = found.get("REVERSE_ETL_ENVIRONMENT", "").strip() or "dev"
    try:
        return parse_environment(text)
    except ValueError:
        raise ConfigError(
            f"REVERSE_ETL_ENVIRONMENT is {text!r}; it can be 1 to 32 letters, digits and dashes."
        ) from None


def find_set(names: Iterable[str]) -> list[str]:
    """Which of these variables, of others, are set: their names, never what they hold."""
    return [name for name in names if name in os.environ]


def child_environment(overrides: Mapping[str, str | None]) -> dict[str, str]:
    """This process' environment for a child, with `overrides`; None takes a variable away."""
    merged: dict[str, str | None] = {**os.environ, **overrides}
    return {name: value for name, value in merged.items() if value is not None}

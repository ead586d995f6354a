"""What has to be known to become somebody at AWS, and to fetch a secret; it imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleOidc:
    """Google's identity of this process, exchanged at STS for a session of `role_arn`.

    `session_name` stands in AWS' logs: no personal data. `credentials_file` is what
    GOOGLE_APPLICATION_CREDENTIALS names, None if it is unset: google-auth reads the variable itself, and
    here it is seen to that the file will do. `refuse_key_file` refuses a service account's stored
    private key.
    """

    role_arn: str
    audience: str
    region: str
    session_name: str
    session_seconds: int = 3600
    endpoint_url: str | None = None
    ca_file: Path | None = None
    cache_dir: Path | None = None
    credentials_file: Path | None = None
    refuse_key_file: bool = True


@dataclass(frozen=True, slots=True)
class TaskRole:
    """The role of the ECS task this runs in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticKeys:
    """Keys that somebody stored, named by the settings on purpose."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "StaticKeys()"


AuthOptions = GoogleOidc | TaskRole | StaticKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleSecret:
    """One version of a secret in Google Secret Manager.

    `name` is `projects/P/secrets/S/versions/V`, or `projects/P/locations/L/secrets/...` for a regional
    one; V is a number, `latest` or an alias. `refuse_key_file` refuses a service account's stored
    private key.
    """

    name: str
    endpoint_url: str
    refuse_key_file: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSecret:
    """A secret in AWS Secrets Manager, by name or ARN; without `version_id` the current version of it."""

    secret_id: str
    region: str
    version_id: str | None = None
    endpoint_url: str | None = None


SecretOptions = GoogleSecret | AwsSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisIam:
    """Whom tokens are made for, with which Redis at AWS is logged in to.

    `service` is `elasticache` or `memorydb`; `cache` the replication group's id, or the cluster's or
    the serverless cache's name; `user` the id of a user that authenticates by IAM, which is its name.
    """

    service: str
    user: str
    cache: str
    region: str
    is_serverless: bool = False

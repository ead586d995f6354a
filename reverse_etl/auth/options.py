"""What has to be known to become somebody at AWS; imported early, so it imports nothing heavy."""

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

"""Settings become what each room needs, or an error that says which of them is missing or too much."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.auth.options import GoogleOidc, StaticKeys, TaskRole
from reverse_etl.errors import ConfigError
from reverse_etl.landing.s3.options import ENCRYPTION_VARIABLES, S3Options
from reverse_etl.room_options import build_auth_options, build_store_options
from reverse_etl.settings import AwsIdentity, Profile, Secret, Settings

ROLE = "arn:aws:iam::123456789012:role/landing"
KEYLESS: dict[str, Any] = {
    "aws_role_arn": ROLE,
    "oidc_audience": "https://aws.example.com/landing",
    "s3_region": "eu-central-1",
}
KEYS: dict[str, Any] = {
    "aws_access_key_id": Secret("canary-id"),
    "aws_secret_access_key": Secret("canary-secret"),
}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///data/store", Path("/data/store")),
        ("file://.local/a%20b", Path(".local/a b")),
    ],
)
def test_file_url_is_a_directory(url: str, expected: Path) -> None:
    """Relative to the working directory, or not."""
    assert build_store_options(Settings(store_url=url)) == expected


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://shop-data", "shop-data", ""),
        ("s3://shop-data/", "shop-data", ""),
        ("s3://shop.data/reverse/etl/", "shop.data", "reverse/etl"),
    ],
)
def test_s3_url_is_a_bucket_and_a_prefix(url: str, bucket: str, prefix: str) -> None:
    """Slashes at the ends mean nothing."""
    settings = Settings(store_url=url, s3_region="eu-central-1")

    assert build_store_options(settings) == S3Options(
        bucket=bucket, prefix=prefix, region="eu-central-1"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(store_url="gs://shop-data"), "neither s3:// nor file://"),
        (Settings(store_url="s3://Shop_Data"), "bucket's name"),
        (Settings(store_url="s3://shop-data?x=1", s3_region="r"), "neither"),
        (Settings(store_url="s3://shop-data"), "REVERSE_ETL_S3_REGION is not set"),
        (
            Settings(store_url="s3://shop-data", s3_region="eu-central-1", s3_kms_key_id="k"),
            "S3_ENCRYPTION is not aws:kms",
        ),
    ],
)
def test_store_that_cannot_be_is_refused(settings: Settings, message: str) -> None:
    """The error names the variable and what it must be."""
    with pytest.raises(ConfigError, match=message.replace("neither s3:// nor file://", "neither")):
        build_store_options(settings)


@pytest.mark.parametrize("name", ENCRYPTION_VARIABLES)
def test_encryption_from_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What the client would take from the environment, and cannot be told not to, stops the store."""
    monkeypatch.setenv(name, "canary")

    with pytest.raises(ConfigError, match=f"{name}.*REVERSE_ETL_S3_ENCRYPTION") as raised:
        build_store_options(Settings(store_url="s3://shop-data", s3_region="eu-central-1"))

    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "identity", "allowed"),
    [
        ("http://s3.eu-central-1.amazonaws.com", AwsIdentity.GOOGLE_OIDC, False),
        ("http://10.0.0.7:9000", AwsIdentity.TASK_ROLE, False),
        ("http://10.0.0.7:9000", AwsIdentity.STATIC_KEYS, True),
        ("http://127.0.0.1:9000", AwsIdentity.GOOGLE_OIDC, True),
        ("https://10.0.0.7:9000", AwsIdentity.GOOGLE_OIDC, True),
    ],
)
def test_session_is_not_shown_in_clear_text(
    url: str, identity: AwsIdentity, *, allowed: bool
) -> None:
    """Records and a session's token go over TLS, or stay on this machine; a server of your own may differ."""
    settings = Settings(
        store_url="s3://shop-data",
        s3_region="eu-central-1",
        s3_endpoint_url=url,
        aws_identity=identity,
    )

    with contextlib.nullcontext() if allowed else pytest.raises(ConfigError, match="Use https"):
        build_store_options(settings)


def test_google_identity_is_the_default() -> None:
    """Nothing but the role, the audience and the region has to be said; the run is in the name."""
    options = build_auth_options(
        Settings(profile=Profile.CLOUD, environment="prod", **KEYLESS), run_id="3f2a-77_canary!x"
    )

    assert isinstance(options, GoogleOidc)
    assert options.role_arn == ROLE
    assert options.session_name == "reverse-etl-prod-3f2a-77canar"
    assert options.refuse_key_file


@pytest.mark.parametrize("missing", sorted(KEYLESS))
def test_what_google_identity_needs_is_named(missing: str) -> None:
    """All that is missing, by its variable."""
    settings = Settings(**{name: value for name, value in KEYLESS.items() if name != missing})

    with pytest.raises(ConfigError, match=missing.upper()):
        build_auth_options(settings, run_id="r")


@pytest.mark.parametrize("identity", [AwsIdentity.GOOGLE_OIDC, AwsIdentity.TASK_ROLE])
@pytest.mark.parametrize("stored", [*KEYS, "aws_session_token"])
def test_key_left_in_the_environment_is_refused(identity: AwsIdentity, stored: str) -> None:
    """There is no silent fallback to a stored key, and the error does not show it."""
    settings = Settings(aws_identity=identity, **KEYLESS, **{stored: Secret("canary")})

    with pytest.raises(ConfigError, match=f"{stored.upper()} is set") as raised:
        build_auth_options(settings, run_id="r")

    assert "canary" not in str(raised.value)


def test_key_that_is_asked_for_by_name_is_taken() -> None:
    """For a server of one's own; no repr shows it."""
    settings = Settings(aws_identity=AwsIdentity.STATIC_KEYS, **KEYS)

    options = build_auth_options(settings, run_id="r")

    assert options == StaticKeys(access_key_id="canary-id", secret_access_key="canary-secret")
    assert "canary" not in repr(options)


@pytest.mark.parametrize("missing", sorted(KEYS))
def test_half_a_key_is_none(missing: str) -> None:
    """One without the other is refused before anybody is asked."""
    keys = {name: value for name, value in KEYS.items() if name != missing}

    with pytest.raises(ConfigError, match="is not set"):
        build_auth_options(Settings(aws_identity=AwsIdentity.STATIC_KEYS, **keys), run_id="r")


def test_task_role_needs_nothing() -> None:
    """ECS tells a task its role."""
    settings = Settings(aws_identity=AwsIdentity.TASK_ROLE)

    assert build_auth_options(settings, run_id="r") == TaskRole()

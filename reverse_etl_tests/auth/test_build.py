"""What is written down wrong is refused before anybody is contacted; what is right contacts nobody yet."""

import dataclasses
from pathlib import Path

import pytest

from reverse_etl.auth.build import compute_cache_key, open_credentials
from reverse_etl.auth.options import GoogleOidc, StaticKeys
from reverse_etl.errors import ConfigError
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.auth.conftest import Keep
from reverse_etl_tests.identity.fixtures import Scene

OPTIONS = GoogleOidc(
    role_arn="arn:aws:iam::123456789012:role/reverse-etl",
    audience="https://aws.example.com/reverse-etl/prod",
    region="eu-central-1",
    session_name="dagster-prod-1a2b3c4d",
)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("role_arn", "", "REVERSE_ETL_AWS_ROLE_ARN"),
        ("role_arn", "reverse-etl", "REVERSE_ETL_AWS_ROLE_ARN"),
        ("role_arn", "arn:aws:iam::123456789012:user/me", "REVERSE_ETL_AWS_ROLE_ARN"),
        ("role_arn", "arn:aws:iam::1234:role/reverse-etl", "REVERSE_ETL_AWS_ROLE_ARN"),
        ("role_arn", "arn:aws:sts::123456789012:assumed-role/a/b", "REVERSE_ETL_AWS_ROLE_ARN"),
        ("role_arn", "arn:aws:iam::123456789012:role/a\n", "REVERSE_ETL_AWS_ROLE_ARN"),
        ("role_arn", "arn:aws:iam::\u0661\u0662\u0663456789012:role/a", "REVERSE_ETL_AWS_ROLE_ARN"),
        ("audience", "", "REVERSE_ETL_OIDC_AUDIENCE"),
        ("audience", "a b", "REVERSE_ETL_OIDC_AUDIENCE"),
        ("audience", "a\n", "REVERSE_ETL_OIDC_AUDIENCE"),
        ("audience", "a" * 256, "REVERSE_ETL_OIDC_AUDIENCE"),
        ("session_name", "", "REVERSE_ETL_ENVIRONMENT"),
        ("session_name", "a", "REVERSE_ETL_ENVIRONMENT"),
        ("session_name", "a" * 65, "REVERSE_ETL_ENVIRONMENT"),
        ("session_name", "a b", "REVERSE_ETL_ENVIRONMENT"),
        ("session_name", "ä-prod", "REVERSE_ETL_ENVIRONMENT"),
        ("session_name", "a/b", "REVERSE_ETL_ENVIRONMENT"),
        ("region", "", "REVERSE_ETL_S3_REGION"),
        ("region", "eu-central-1.evil.example", "REVERSE_ETL_S3_REGION"),
        ("region", "EU", "REVERSE_ETL_S3_REGION"),
        ("session_seconds", 899, "REVERSE_ETL_AWS_SESSION_SECONDS"),
        ("session_seconds", 43201, "REVERSE_ETL_AWS_SESSION_SECONDS"),
        ("endpoint_url", "sts.eu-central-1.amazonaws.com", "REVERSE_ETL_STS_ENDPOINT_URL"),
        ("endpoint_url", "ftp://sts.example.com", "REVERSE_ETL_STS_ENDPOINT_URL"),
        ("endpoint_url", "https://", "REVERSE_ETL_STS_ENDPOINT_URL"),
        ("endpoint_url", "https://me:secret@sts.example.com", "REVERSE_ETL_STS_ENDPOINT_URL"),
        ("endpoint_url", "http://sts.example.com", "show Google's token to the network"),
        ("endpoint_url", "http://10.0.0.1:80", "show Google's token to the network"),
        ("endpoint_url", "http://[::1", "REVERSE_ETL_STS_ENDPOINT_URL"),
        ("endpoint_url", "https://sts.example.com:port", "REVERSE_ETL_STS_ENDPOINT_URL"),
        ("ca_file", Path("nowhere/ca.pem"), "REVERSE_ETL_S3_CA_FILE"),
    ],
)
def test_what_cannot_work_is_refused_at_once(field: str, value: object, told: str) -> None:
    """The message names the variable, and repeats nothing that may be a secret in a wrong place."""
    options = dataclasses.replace(OPTIONS, **{field: value})

    error = catch(lambda: open_credentials(options))

    assert isinstance(error, ConfigError)
    assert told in error.message
    assert "secret@" not in error.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role_arn", "arn:aws-us-gov:iam::123456789012:role/path/to/reverse-etl"),
        ("role_arn", "arn:aws-cn:iam::123456789012:role/reverse_etl+=,.@-"),
        ("session_name", "ab"),
        ("session_name", "dagster_prod+=,.@-" + "a" * 46),
        ("audience", "sts.amazonaws.com"),
        ("region", "us-gov-west-1"),
        ("region", "eusc-de-east-1"),
        ("session_seconds", 900),
        ("session_seconds", 43200),
        ("endpoint_url", "https://vpce-1.sts.eu-central-1.vpce.amazonaws.com"),
        ("endpoint_url", "http://localhost:9000"),
        ("endpoint_url", "http://[::1]:9000"),
    ],
)
def test_what_aws_allows_is_allowed(field: str, value: object, keep: Keep) -> None:
    """And nobody is asked whether it is so."""
    keep(open_credentials(dataclasses.replace(OPTIONS, **{field: value})))


def test_nobody_is_contacted_before_credentials_are_needed(scene: Scene, keep: Keep) -> None:
    """Neither Google nor AWS, nor the folder."""
    folder = Path("not-made-yet")
    keep(open_credentials(scene.options(cache_dir=folder)))

    assert scene.metadata.requests == ()
    assert scene.sts.calls == ()
    assert not folder.exists()


def test_options_become_a_session(tls_scene: Scene, keep: Keep, tmp_path: Path) -> None:
    """Google's token, STS over TLS, the folder: all of it at the first need."""
    folder = tmp_path / "sessions"
    options = tls_scene.options(cache_dir=folder)
    shared = keep(open_credentials(options))

    first, second = shared.get(), shared.get()

    assert first is second
    assert first.access_key_id == tls_scene.sessions.sessions[0].access_key_id
    assert tls_scene.sts.exchanges == 1
    assert {path.name.removesuffix(".lock") for path in folder.iterdir()} == {
        compute_cache_key(options)
    }


def test_a_shared_session_is_for_the_same_ends_only() -> None:
    """Another role, audience, region, address, name, length, login or strictness is another session."""
    changes: list[dict[str, object]] = [
        {"role_arn": "arn:aws:iam::123456789012:role/other"},
        {"audience": "https://aws.example.com/reverse-etl/dev"},
        {"region": "eu-west-1"},
        {"endpoint_url": "https://sts.example.com"},
        {"session_name": "dagster-dev-1a2b3c4d"},
        {"session_seconds": 900},
        {"credentials_file": Path("/home/ada/login.json")},
        {"credentials_file": Path("/home/grace/login.json")},
        {"refuse_key_file": not OPTIONS.refuse_key_file},
    ]
    keys = [compute_cache_key(dataclasses.replace(OPTIONS, **change)) for change in changes]

    assert len({*keys, compute_cache_key(OPTIONS)}) == len(changes) + 1


def test_a_login_is_named_by_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words in another folder are another file."""
    options = dataclasses.replace(OPTIONS, credentials_file=Path("login.json"))
    keys = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        keys.add(compute_cache_key(options))
    absolute = dataclasses.replace(OPTIONS, credentials_file=tmp_path / "other" / "login.json")

    assert len(keys) == 2
    assert compute_cache_key(absolute) == compute_cache_key(options)


def test_a_key_of_the_cache_tells_nothing() -> None:
    """It is a file's name."""
    key = compute_cache_key(OPTIONS)

    assert key.isalnum()
    assert len(key) == 32
    assert "123456789012" not in key


def test_stored_keys_are_taken_as_they_are(keep: Keep) -> None:
    """They do not end, and nobody is asked."""
    options = StaticKeys(access_key_id="AKIATEST", secret_access_key="s3cret", session_token="t")

    found = keep(open_credentials(options)).get()

    assert (found.access_key_id, found.secret_access_key) == ("AKIATEST", "s3cret")
    assert (found.session_token, found.expires_at) == ("t", None)
    assert "s3cret" not in repr(options) + repr(found)


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [("", "s3cret"), ("AKIATEST", ""), ("AKIATEST", "s3cret\n"), ("AKIA TEST", "s3cret")],
)
def test_stored_keys_that_are_none_are_refused(key_id: str, secret: str) -> None:
    """Before a signature fails far from here; the keys are not shown."""
    options = StaticKeys(access_key_id=key_id, secret_access_key=secret)

    error = catch(lambda: open_credentials(options))

    assert isinstance(error, ConfigError)
    assert "AWS_ACCESS_KEY_ID" in error.message
    assert "s3cret" not in error.message

"""Where a run's masking keys come from: one place, asked once and late, and never another environment's."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.auth import google_secrets
from reverse_etl.auth.options import AwsSecret, GoogleSecret
from reverse_etl.errors import ConfigError
from reverse_etl.masking.keys import parse_masking_key
from reverse_etl.room_options import build_key_source, build_refused_fingerprints
from reverse_etl.runtime import Runtime
from reverse_etl.settings import AwsIdentity, Profile, Secret, Settings
from reverse_etl_tests.identity.aws_secrets import ACTION, AwsSecretServer
from reverse_etl_tests.identity.fixtures import (
    AUDIENCE,
    REGION,
    Scene,
    clean_aws,
    open_scene,
    scene,
)
from reverse_etl_tests.identity.google_secrets import GoogleSecretServer
from reverse_etl_tests.identity.pointing import pointed_at
from reverse_etl_tests.identity.sessions import PolicyRule

__all__ = ["clean_aws", "scene"]

# The same in every process: they stand in the tests' names.
K1, K2 = (f"k{n}:{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
GOOGLE = "gcp-secret://projects/acme-data/secrets/masking-key/versions/1"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/key-AbCdEf"


@pytest.fixture
def server(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleSecretServer]:
    """Google's Secret Manager with both keys, the second current."""
    monkeypatch.setattr(google_secrets, "_PAUSE_SECONDS", 0.01)
    assert scene.metadata.has_service_account
    with GoogleSecretServer() as opened:
        opened.add("projects/acme-data/secrets/masking-key", f"{K2}\n{K1}\n")
        yield opened


def write_file(path: Path, text: str, *, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_variable_and_file_hold_a_ring(tmp_path: Path) -> None:
    """The same text in both: the first key is current."""
    path = write_file(tmp_path / "masking.key", f"{K2}\n{K1}\n")

    for settings in (Settings(masking_key=Secret(f"{K2},{K1}")), Settings(masking_key_file=path)):
        runtime = Runtime(settings=settings)

        assert runtime.masking_key == parse_masking_key(K2)
        assert runtime.masking_keys is not None
        assert runtime.masking_keys.find("k1") == parse_masking_key(K1)


def test_no_key_is_none() -> None:
    """Syncs that need one stop later, by name."""
    runtime = Runtime(settings=Settings())

    assert runtime.masking_keys is None
    assert runtime.masking_key is None


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """As it was before there were rings."""
    path = write_file(tmp_path / "masking.key", K1, mode=0o640)

    with pytest.raises(ConfigError, match="can be read by others"):
        _ = Runtime(settings=Settings(masking_key_file=path)).masking_keys


def test_google_secret_is_fetched_once_and_late(server: GoogleSecretServer) -> None:
    """Nobody is asked when a runtime is made, and one question serves the whole run."""
    runtime = Runtime(
        settings=Settings(masking_key_secret=GOOGLE, masking_key_secret_endpoint_url=server.url)
    )
    assert server.requests == ()

    assert runtime.masking_key == parse_masking_key(K2)
    assert runtime.masking_keys is not None
    assert runtime.masking_keys.find("k1") == parse_masking_key(K1)
    assert len(server.requests) == 1


def test_aws_secret_is_fetched_with_the_stores_identity(clean_aws: None) -> None:
    """Google's token, the role's session, the secret: no key is stored for it."""
    assert clean_aws is None
    rule = PolicyRule(actions=(ACTION,), resources=("*",))
    with (
        open_scene(rules=(rule,)) as opened,
        pointed_at(opened.metadata),
        AwsSecretServer(opened.sessions, opened.clock) as server,
    ):
        server.secrets["prod/key"] = f"{K2} {K1}"
        runtime = Runtime(
            settings=Settings(
                masking_key_secret="aws-secret://prod/key",
                masking_key_secret_endpoint_url=server.url,
                aws_role_arn=opened.role.arn,
                oidc_audience=AUDIENCE,
                s3_region=REGION,
                sts_endpoint_url=opened.sts.url,
            )
        )

        assert runtime.masking_key == parse_masking_key(K2)
        assert runtime.masking_keys is not None
        runtime.close()
        assert len(server.requests) == 1


def test_garbage_in_a_secret_is_told_without_it(server: GoogleSecretServer) -> None:
    """The canary: a key that was pasted wrong shows in no error and no repr of the runtime."""
    server.add("projects/acme-data/secrets/masking-key", f"{K1[:-9]}canary {K2}")
    settings = Settings(
        masking_key_secret=GOOGLE.replace("/1", "/latest"),
        masking_key_secret_endpoint_url=server.url,
    )
    runtime = Runtime(settings=settings)

    with pytest.raises(ConfigError, match="Masking key 1 of 2") as caught:
        _ = runtime.masking_keys

    shown = f"{caught.value} {caught.value!r} {runtime!r} {settings!r}"
    assert "canary" not in shown
    assert K1[3:20] not in shown


def test_ring_stays_hidden(tmp_path: Path) -> None:
    """Whoever prints a runtime, its settings or its ring sees ids alone."""
    runtime = Runtime(settings=Settings(masking_key_file=write_file(tmp_path / "k", f"{K2},{K1}")))
    _ = runtime.masking_keys

    shown = f"{runtime!r} {runtime.__dict__!r} {runtime.masking_keys!r}"
    for key in (K1, K2):
        assert key.partition(":")[2] not in shown


@pytest.mark.parametrize(
    "ways",
    [
        ("masking_key", "masking_key_file"),
        ("masking_key_file", "masking_key_secret"),
        ("masking_key", "masking_key_file", "masking_key_secret"),
    ],
)
def test_more_than_one_way_is_refused(ways: tuple[str, ...]) -> None:
    """All of them are named; which would have counted is nobody's guess."""
    values: dict[str, Any] = {
        "masking_key": Secret(K1),
        "masking_key_file": Path("/nowhere"),
        "masking_key_secret": GOOGLE,
    }
    settings = Settings(**{way: values[way] for way in ways})

    with pytest.raises(ConfigError) as caught:
        build_key_source(settings)

    assert all(f"REVERSE_ETL_{way.upper()} " in caught.value.message for way in ways)


@pytest.mark.parametrize("refused", [K1, K2])
def test_key_of_another_environment_stops_the_run(refused: str) -> None:
    """Current or previous, by its fingerprint."""
    fingerprint = parse_masking_key(refused).fingerprint
    settings = Settings(
        masking_key=Secret(f"{K2} {K1}"), refused_key_fingerprints=(f"prod={fingerprint}",)
    )

    with pytest.raises(ConfigError, match=f"{refused[:2]}' .* of environment 'prod'"):
        _ = Runtime(settings=settings).masking_key


def test_refused_fingerprints_are_told_apart() -> None:
    """With an environment or without."""
    settings = Settings(refused_key_fingerprints=("prod=0123456789abcdef", "fedcba9876543210"))

    assert build_refused_fingerprints(settings) == {
        "0123456789abcdef": "prod",
        "fedcba9876543210": "",
    }


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            GOOGLE,
            GoogleSecret(
                name="projects/acme-data/secrets/masking-key/versions/1",
                endpoint_url="https://secretmanager.googleapis.com",
                refuse_key_file=False,
            ),
        ),
        (
            "gcp-secret://projects/1234/locations/europe-west3/secrets/k/versions/latest",
            GoogleSecret(
                name="projects/1234/locations/europe-west3/secrets/k/versions/latest",
                endpoint_url="https://secretmanager.europe-west3.rep.googleapis.com",
                refuse_key_file=False,
            ),
        ),
        (
            "aws-secret://prod/reverse-etl/key?region=eu-central-1",
            AwsSecret(secret_id="prod/reverse-etl/key", region="eu-central-1"),
        ),
        (f"aws-secret://{ARN}", AwsSecret(secret_id=ARN, region="eu-west-1")),
        (
            f"aws-secret://{ARN}?region=eu-west-1&version_id={'7f3a' * 8}",
            AwsSecret(secret_id=ARN, region="eu-west-1", version_id="7f3a" * 8),
        ),
        ("aws-secret://key", AwsSecret(secret_id="key", region="us-east-1")),
    ],
)
def test_address_says_which_secret(address: str, expected: object) -> None:
    """By name or ARN; the region is in the address, the ARN, or that of the store."""
    settings = Settings(masking_key_secret=address, s3_region="us-east-1")

    assert build_key_source(settings) == expected


def test_stored_private_keys_are_refused_in_the_cloud() -> None:
    """As everywhere else."""
    source = build_key_source(Settings(masking_key_secret=GOOGLE, profile=Profile.CLOUD))

    assert isinstance(source, GoogleSecret)
    assert source.refuse_key_file


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("k1:canary", "is neither gcp-secret"),
        ("vault://canary", "is neither gcp-secret"),
        ("gcp-secret://projects/p/secrets/s", "V is a number, or latest"),
        ("gcp-secret://projects/p/secrets/s/versions/1/../2", "is neither gcp-secret"),
        ("gcp-secret://projects/p/secrets/s/versions/1?x=canary", "is neither gcp-secret"),
        ("aws-secret://", "after which"),
        ("aws-secret://a b?region=eu-central-1", "after which"),
        ("aws-secret://key?stage=canary", "after which"),
        ("aws-secret://key", "in which region"),
        ("aws-secret://key?region=http://canary", "in which region"),
        (f"aws-secret://{ARN}?region=us-east-1", "Leave the region out"),
        ("aws-secret://key?region=us-east-1&version_id=canary", "version_id that is none"),
    ],
)
def test_address_that_leads_nowhere_is_refused(address: str, said: str) -> None:
    """It may be a key that was put into the wrong variable: it is not repeated."""
    with pytest.raises(ConfigError, match=said) as caught:
        build_key_source(Settings(masking_key_secret=address))

    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://secrets.example.com",
        "ftp://127.0.0.1",
        "secrets.example.com",
        "https://user:canary@secrets.example.com",
        "https://",
        "http://127.0.0.1.example.com",
    ],
)
def test_key_does_not_travel_in_clear_text(url: str) -> None:
    """Another address is one of TLS, or this machine."""
    settings = Settings(masking_key_secret=GOOGLE, masking_key_secret_endpoint_url=url)

    with pytest.raises(ConfigError, match=r"begins with https://") as caught:
        build_key_source(settings)

    assert "canary" not in caught.value.message


def test_identity_of_other_kinds_is_as_the_settings_say(clean_aws: None) -> None:
    """A server of your own may be asked with stored keys, if the settings ask for them."""
    assert clean_aws is None
    settings = Settings(
        masking_key_secret="aws-secret://key?region=eu-central-1",
        aws_identity=AwsIdentity.STATIC_KEYS,
    )

    with pytest.raises(ConfigError, match="AWS_IDENTITY is static_keys, and"):
        _ = Runtime(settings=settings).masking_keys

"""Resources: built from the environment of the run, shown without a secret, light until used."""

import dagster as dg
import pytest
from botocore.exceptions import ClientError

from reverse_etl.errors import ConfigError
from reverse_etl.resources import AwsResource, RuntimeResource, build_resources
from reverse_etl.settings import Profile
from reverse_etl_tests.cli.aws_cloud import PREFIX, open_cloud


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests."""
    for name in ("REVERSE_ETL_PROFILE", "REVERSE_ETL_REDIS_URL", "REVERSE_ETL_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_settings_are_read_when_a_step_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resource made before the environment was complete is as good as one made after."""
    resource = RuntimeResource()
    monkeypatch.setenv("REVERSE_ETL_THREADS", "3")

    runtime = resource.open()

    assert runtime.settings.threads == 3


def test_wrong_setting_is_named_when_a_step_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making the resource never fails; opening it says which variable is wrong, not its value."""
    monkeypatch.setenv("REVERSE_ETL_THREADS", "canary")
    resource = RuntimeResource()

    with pytest.raises(ConfigError, match="REVERSE_ETL_THREADS") as caught:
        resource.open()

    assert "canary" not in str(caught.value)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the resource nor what it opens, nor its configuration in the UI, holds a secret."""
    monkeypatch.setenv("REVERSE_ETL_REDIS_URL", "redis://:canary@127.0.0.1:1/0")
    resource = RuntimeResource()

    opened = resource.open()

    assert "canary" not in f"{resource!r} {resource} {opened!r} {opened.redis!r}"
    assert resource.model_dump() == {}


def test_local_profile_has_the_runtime_alone() -> None:
    """Nothing of a cloud is asked for where there is none."""
    assert list(build_resources(Profile.LOCAL)) == ["runtime"]


def test_cloud_profile_adds_clients_without_credentials() -> None:
    """BigQuery and S3 clients for assets of others, with the credentials the process finds."""
    from dagster_aws.s3 import S3Resource  # noqa: PLC0415 - heavy, and only here
    from dagster_gcp import BigQueryResource  # noqa: PLC0415

    resources = build_resources(Profile.CLOUD)

    assert isinstance(resources["runtime"], RuntimeResource)
    assert isinstance(resources["bigquery"], BigQueryResource)
    assert isinstance(resources["s3"], S3Resource)
    assert resources["bigquery"].gcp_credentials is None
    assert resources["s3"].aws_secret_access_key is None


def test_clients_have_the_identity_of_the_landing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An asset's own S3 client is the role that lands; it writes where that may, and nowhere else."""
    with open_cloud() as cloud:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/canary")
        s3 = build_resources(Profile.CLOUD)["s3"].get_client()

        s3.put_object(Bucket=cloud.s3.bucket, Key=f"{PREFIX}/mine", Body=b"1")
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=cloud.s3.bucket, Key="others/mine", Body=b"1")

        assert cloud.s3.objects[f"{PREFIX}/mine"].body == b"1"
        assert len(cloud.scene.sts.session_names) == 1


def test_client_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a role there is no client, whatever keys lie around."""
    monkeypatch.setenv("REVERSE_ETL_S3_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary")

    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID is set"):
        AwsResource().build_session()


def test_step_gets_the_resource_it_is_given() -> None:
    """Whoever tests a sync of their own hands in a resource that opens what they choose."""
    opened: list[str] = []

    class Given(RuntimeResource):
        def open(self) -> None:  # type: ignore[override]
            opened.append("given")

    @dg.asset
    def probe(runtime: RuntimeResource) -> None:
        runtime.open()

    result = dg.materialize([probe], resources={"runtime": Given()})

    assert result.success
    assert opened == ["given"]

"""Dagster resources, thin: nothing is read, connected or imported before a step asks for it."""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from reverse_etl.errors import ConfigError
from reverse_etl.settings import Profile, Settings

if TYPE_CHECKING:
    import boto3

    from reverse_etl.runtime import Runtime


class RuntimeResource(dg.ConfigurableResource):
    """What the steps of a sync work with: source, store, Redis and keys, from the settings of the run.

    It has no options of its own. Settings come from the environment of the process that runs the
    step (docs/settings.md), so that no secret ever stands in Dagster's configuration.
    """

    def open(self, *, run_id: str = "dagster") -> "Runtime":
        """A runtime with the settings of this moment; `ConfigError` names those that are wrong.

        `run_id` is told to AWS with the session's name.
        """
        from reverse_etl.runtime import Runtime  # noqa: PLC0415 - loading definitions stays light

        return Runtime(settings=Settings.load(), run_id=run_id)

    def __repr__(self) -> str:
        return "RuntimeResource()"


class AwsResource(dg.ConfigurableResource):
    """AWS clients for assets of your own, with the identity that landing has (docs/aws.md).

    It has no options: who we are comes from the settings, and there is no fallback to stored keys,
    profiles or an instance's metadata. Sessions are renewed while a client lives.
    """

    _opened: "Runtime | None" = PrivateAttr(default=None)

    def build_session(self) -> "boto3.Session":
        """A session of boto3 whose clients always sign with credentials that hold.

        `ConfigError` when the settings do not say who we are; nobody is asked before a client signs.
        """
        from reverse_etl.auth.boto import build_session  # noqa: PLC0415 - a cloud's SDK
        from reverse_etl.runtime import Runtime  # noqa: PLC0415 - loading definitions stays light

        if self._opened is None:
            self._opened = Runtime(settings=Settings.load(), run_id="dagster")
        region = self._opened.settings.s3_region
        if region is None:
            raise ConfigError("REVERSE_ETL_S3_REGION is not set; clients of AWS need a region.")
        return build_session(self._opened.credentials.get, region)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Let go of what the run has opened."""
        del context
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __repr__(self) -> str:
        return "AwsResource()"


def build_resources(profile: Profile) -> dict[str, Any]:
    """The resources of a profile by key.

    `runtime` is all that syncs need. The cloud profile adds `bigquery`, `aws` and `s3` for assets of
    your own: Google's application default credentials, and the identity that landing has at AWS. No key
    is written down anywhere.
    """
    resources: dict[str, Any] = {"runtime": RuntimeResource()}
    if profile is Profile.CLOUD:
        resources |= _build_cloud_clients()
    return resources


def _build_cloud_clients() -> dict[str, Any]:
    # Two seconds of imports that the local profile does without.
    from dagster_aws.s3 import S3Resource  # noqa: PLC0415
    from dagster_gcp import BigQueryResource  # noqa: PLC0415

    class KeylessS3Resource(S3Resource):
        """dagster-aws' resource, without its search for credentials."""

        def get_client(self) -> Any:
            settings = Settings.load()
            authority = settings.s3_ca_file
            return aws.build_session().client(
                "s3",
                endpoint_url=settings.s3_endpoint_url,
                verify=None if authority is None else str(authority),
            )

    aws = AwsResource()
    # `gcp_credentials` stays unset: BigQueryResource would write them to a file and point the whole
    # process at it, other threads included.
    return {"bigquery": BigQueryResource(), "aws": aws, "s3": KeylessS3Resource()}

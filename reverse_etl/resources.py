"""Dagster resources, thin: nothing is read, connected or imported before a step asks for it."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from reverse_etl.settings import Profile, Settings

if TYPE_CHECKING:
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


def build_resources(profile: Profile) -> dict[str, Any]:
    """The resources of a profile by key.

    `runtime` is all that syncs need. The cloud profile adds `bigquery` and `s3` for assets of your
    own; both use the credentials that the process finds by itself (application default credentials,
    AWS' default chain) and none that are written down.
    """
    resources: dict[str, Any] = {"runtime": RuntimeResource()}
    if profile is Profile.CLOUD:
        resources |= _build_cloud_clients()
    return resources


def _build_cloud_clients() -> dict[str, Any]:
    # Two seconds of imports that the local profile does without.
    from dagster_aws.s3 import S3Resource  # noqa: PLC0415
    from dagster_gcp import BigQueryResource  # noqa: PLC0415

    # `gcp_credentials` stays unset: BigQueryResource would write them to a file and point the whole
    # process at it, other threads included.
    return {"bigquery": BigQueryResource(), "s3": S3Resource()}

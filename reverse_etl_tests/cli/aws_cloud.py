"""A Google service account, a role at AWS and a bucket on loopback, and settings that lead there."""

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader

from reverse_etl.auth.policies import build_permissions_policy
from reverse_etl_tests.identity.fixtures import AUDIENCE, REGION, Scene, open_scene
from reverse_etl_tests.identity.pointing import pointed_at
from reverse_etl_tests.identity.sessions import PolicyRule
from reverse_etl_tests.s3.server import BUCKET, S3Server

PREFIX = "users/prod"
Policy = dict[str, Any]

_READ_FILE = JSONFileLoader.load_file


@functools.cache
def _read_description(path: str) -> Any:
    """One of boto's descriptions of AWS: a client of its own for each test would read them all again."""
    return _READ_FILE(JSONFileLoader(), path)


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Both sides, and where the role may write."""

    scene: Scene
    s3: S3Server

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of a deployment that lands here."""
        return {
            "REVERSE_ETL_STORE_URL": f"s3://{self.s3.bucket}/{PREFIX}",
            "REVERSE_ETL_S3_REGION": REGION,
            "REVERSE_ETL_S3_ENDPOINT_URL": self.s3.endpoint,
            "REVERSE_ETL_AWS_ROLE_ARN": self.scene.role.arn,
            "REVERSE_ETL_OIDC_AUDIENCE": AUDIENCE,
            "REVERSE_ETL_STS_ENDPOINT_URL": self.scene.sts.url,
            "REVERSE_ETL_S3_CA_FILE": "" if self.s3.ca_file is None else str(self.s3.ca_file),
        }

    def find_secrets(self, text: str) -> list[str]:
        """What of all that was handed out here stands in a text, and whatever looks like a token."""
        handed_out = [
            secret
            for session in self.scene.sessions.sessions
            for secret in (session.secret_access_key, session.session_token)
            if secret is not None
        ]
        tokens = [call.form.get("WebIdentityToken", "eyJ") for call in self.scene.sts.calls]
        found = [secret for secret in handed_out + tokens if secret in text]
        return found + re.findall(r"eyJ[\w-]{4,}|ya29\.\S+", text)


def build_rules(policy: Policy) -> tuple[PolicyRule, ...]:
    """A permissions policy as the servers hold requests against it."""
    return tuple(
        PolicyRule(
            actions=tuple(statement["Action"]),
            resources=tuple(statement["Resource"]),
            allow=statement["Effect"] == "Allow",
            string_like={
                name: (pattern,)
                for name, pattern in statement.get("Condition", {}).get("StringLike", {}).items()
            },
        )
        for statement in policy["Statement"]
    )


def build_policy(*, without: str | None = None, confine_listing: bool = True) -> Policy:
    """The policy that the package says landing needs, `without` one action."""
    policy = build_permissions_policy(
        bucket=BUCKET, prefix=PREFIX, kms_key_arn=None, confine_listing=confine_listing
    )
    for statement in policy["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action != without]
    return policy


@contextlib.contextmanager
def open_cloud(
    policy: Policy | None = None, *, audience: str = AUDIENCE, tls: bool = False
) -> Iterator[Cloud]:
    """Start all servers, with a role of this policy (None: the package's own), and point at them.

    With `tls`, that is how S3 is spoken to.
    """
    rules = build_rules(build_policy() if policy is None else policy)
    with (
        open_scene(rules=rules, audience=audience) as scene,
        pointed_at(scene.metadata),
        S3Server(sessions=scene.sessions, region=REGION, tls=tls) as s3,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: _read_description(path))
        # As AWS has been seen to do, and does not say in writing.
        s3.permissions.prefix_reveals_absence = True
        cloud = Cloud(scene=scene, s3=s3)
        for name, value in cloud.environment.items():
            patch.setenv(name, value)
        yield cloud

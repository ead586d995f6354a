"""The whole scene: a Google service account on this machine, a role at AWS that trusts it."""

import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from reverse_etl.auth.options import GoogleOidc
from reverse_etl_tests.identity.clock import Clock
from reverse_etl_tests.identity.issuer import OidcIssuer
from reverse_etl_tests.identity.metadata import MetadataServer
from reverse_etl_tests.identity.pointing import pointed_at
from reverse_etl_tests.identity.roles import Role
from reverse_etl_tests.identity.sessions import PolicyRule, SessionBook
from reverse_etl_tests.identity.sts import StsServer

ROLE_ARN = "arn:aws:iam::123456789012:role/reverse-etl-export"
AUDIENCE = "https://aws.example.com/reverse-etl/test"
REGION = "eu-central-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What serves TLS on loopback, and the authority that a client has to trust."""

    context: ssl.SSLContext
    ca_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All servers, of one clock, and the role that the service account may assume."""

    clock: Clock
    issuer: OidcIssuer
    metadata: MetadataServer
    role: Role
    sessions: SessionBook
    sts: StsServer
    tls: Tls | None = None

    def options(self, **changes: Any) -> GoogleOidc:
        """How the service account becomes the role here, with fields changed."""
        options = GoogleOidc(
            role_arn=self.role.arn,
            audience=self.role.oaud or AUDIENCE,
            region=REGION,
            session_name="reverse-etl-test",
            endpoint_url=self.sts.url,
            ca_file=self.tls.ca_file if self.tls else None,
        )
        return replace(options, **changes)


@contextlib.contextmanager
def open_scene(
    *,
    role_arn: str = ROLE_ARN,
    audience: str = AUDIENCE,
    rules: tuple[PolicyRule, ...] = (),
    max_session_seconds: int = 3600,
    session_seconds_override: float | None = None,
    tls: Tls | None = None,
) -> Iterator[Scene]:
    """Start everything; nothing in this process is pointed at it (see `pointing`)."""
    clock = Clock()
    issuer = OidcIssuer()
    role = Role(
        arn=role_arn,
        sub=issuer.unique_id,
        oaud=audience,
        max_session_seconds=max_session_seconds,
        rules=rules,
    )
    sessions = SessionBook(clock=clock)
    with (
        MetadataServer(issuer, clock=clock) as metadata,
        StsServer(
            issuer,
            [role],
            sessions,
            clock,
            session_seconds_override=session_seconds_override,
            tls=tls.context if tls else None,
        ) as sts,
    ):
        yield Scene(
            clock=clock,
            issuer=issuer,
            metadata=metadata,
            role=role,
            sessions=sessions,
            sts=sts,
            tls=tls,
        )


def make_tls(folder: Path) -> Tls:
    """A certificate for 127.0.0.1 of an authority whose file is written into `folder`."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Tls(context=context, ca_file=ca_file)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """One certificate for all tests."""
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def clean_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No AWS variable and no AWS file of the developer's reaches a test."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def scene(clean_aws: None) -> Iterator[Scene]:  # noqa: ARG001 - wanted for what it does
    """Everything started over plain HTTP, and google-auth in this process pointed at it."""
    with open_scene() as opened, pointed_at(opened.metadata):
        yield opened


@pytest.fixture
def tls_scene(tls: Tls, clean_aws: None) -> Iterator[Scene]:  # noqa: ARG001 - the same
    """The same with STS over TLS."""
    with open_scene(tls=tls) as opened, pointed_at(opened.metadata):
        yield opened

"""Who asks, and what a verified signature leaves to check the chunks of a body by."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Protocol

from reverse_etl_tests.identity.sessions import PolicyRule, Session

EVERYTHING = (PolicyRule(actions=("s3:*",), resources=("*",)),)


class Sessions(Protocol):
    """Where keys are looked up: a `SessionBook`."""

    def find(self, access_key_id: str) -> Session | None:
        """The holder of an access key, or None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A verified signature: the signatures of a body's chunks continue from it."""

    signing_key: bytes = field(repr=False)
    moment: str
    scope: str
    signature: str


def make_owner(access_key_id: str, secret_access_key: str) -> Session:
    """Keys without an end that may do everything: the tests' own."""
    return Session(
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
        session_token=None,
        expires_at=None,
        role_arn="arn:aws:iam::123456789012:user/owner",
        session_name="owner",
        rules=EVERYTHING,
    )


def name_caller(caller: Session) -> str:
    """The ARN that errors give: `arn:aws:sts::1:assumed-role/role/session`."""
    account, is_role, role = caller.role_arn.removeprefix("arn:aws:iam::").partition(":role/")
    if not is_role:
        return caller.role_arn
    return f"arn:aws:sts::{account}:assumed-role/{role.rpartition('/')[2]}/{caller.session_name}"


def utc_now() -> dt.datetime:
    """The machine's clock."""
    return dt.datetime.now(dt.UTC)

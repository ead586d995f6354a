"""Roles of an AWS account, and whom each trusts."""

import hashlib
from dataclasses import dataclass

from reverse_etl_tests.identity.issuer import Claims
from reverse_etl_tests.identity.sessions import PolicyRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role that trusts Google's identities under StringEquals conditions.

    `sub`, `oaud` and `aud` are what `accounts.google.com:sub`, `:oaud` and `:aud` have to equal; None
    is no condition. `rules` are the policy of its sessions.
    """

    arn: str
    sub: str | None
    oaud: str | None
    aud: str | None = None
    max_session_seconds: int = 3600
    rules: tuple[PolicyRule, ...] = ()

    @property
    def account(self) -> str:
        """The number of the AWS account."""
        return self.arn.split(":")[4]

    @property
    def name(self) -> str:
        """The role's name, without its path."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def role_id(self) -> str:
        """The id that AWS gave it."""
        return "AROA" + hashlib.sha256(self.arn.encode()).hexdigest()[:17].upper()

    def trusts(self, claims: Claims) -> bool:
        """Whether the token's condition keys are those that the trust policy names."""
        keys = read_condition_keys(claims)
        wanted = {"sub": self.sub, "oaud": self.oaud, "aud": self.aud}
        return all(value is None or keys[name] == value for name, value in wanted.items())

    def session_arn(self, session_name: str) -> str:
        """Who a session of this role is."""
        return f"arn:aws:sts::{self.account}:assumed-role/{self.name}/{session_name}"


def read_condition_keys(claims: Claims) -> dict[str, str]:
    """The `accounts.google.com:` keys of a token: `aud` is its azp if it has one, else its aud."""
    return {
        "sub": claims["sub"],
        "oaud": claims["aud"],
        "aud": claims.get("azp") or claims["aud"],
    }

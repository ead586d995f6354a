"""Google's identity token: the text that AWS is shown, and what it says that may be told."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from google.auth import jwt

from reverse_etl.errors import TransientError

_LONGEST_CLAIM = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class IdToken:
    """A token and its claims, which nobody here verifies: AWS does. A claim that is not there is None.

    The claims are no secret; the token is one until `exp`.
    """

    token: str = field(repr=False)
    iss: str | None
    sub: str | None
    aud: str | None
    azp: str | None
    exp: dt.datetime | None
    iat: dt.datetime | None

    @property
    def aws_aud(self) -> str | None:
        """What a trust policy's `accounts.google.com:aud` is compared with: `azp`, else `aud`."""
        return self.azp or self.aud

    def describe(self) -> str:
        """The claims for a person, without the token."""
        claims = {
            "sub": self.sub,
            "azp": self.azp,
            "aud": self.aud,
            "iss": self.iss,
            "exp": None if self.exp is None else f"{self.exp:%Y-%m-%dT%H:%M:%SZ}",
        }
        return ", ".join(f"{name} {quote_claim(value)}" for name, value in claims.items())


def quote_claim(value: str | None) -> str:
    """A claim as messages show it."""
    return "(none)" if value is None else f"'{value}'"


def read_id_token(token: str) -> IdToken:
    """A token with its claims; `TransientError` if it is none."""
    try:
        claims = jwt.decode(token, verify=False)
    except ValueError:  # whose text quotes the token
        claims = None
    if not isinstance(claims, dict):
        raise TransientError(
            "What Google gave as an identity token is none. Run again; if it goes on, see what answers "
            "at the metadata server's address."
        )
    return IdToken(
        token=token,
        iss=_read_text(claims.get("iss")),
        sub=_read_text(claims.get("sub")),
        aud=_read_text(claims.get("aud")),
        azp=_read_text(claims.get("azp")),
        exp=_read_moment(claims.get("exp")),
        iat=_read_moment(claims.get("iat")),
    )


def _read_text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    shown = "".join(letter if letter.isprintable() else "?" for letter in value)
    return shown[:_LONGEST_CLAIM]


def _read_moment(value: Any) -> dt.datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return dt.datetime.fromtimestamp(value, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return None

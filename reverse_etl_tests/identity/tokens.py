"""What STS makes of a web identity token: its claims, or a refusal."""

import base64
import binascii
import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from reverse_etl_tests.identity.issuer import Claims
from reverse_etl_tests.identity.sts_xml import StsError

LEEWAY_SECONDS = 30
_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})


def verify_token(token: str, *, keys: Mapping[str, rsa.RSAPublicKey], now: dt.datetime) -> Claims:
    """The claims of a token that Google signed and that is valid at `now`.

    Raises InvalidIdentityToken or ExpiredTokenException. Whom the token is for is not looked at: that
    is the role's affair.
    """
    signed, _, signature = token.rpartition(".")
    header, _, claims = signed.partition(".")
    head, said = _decode_json(header), _decode_json(claims)
    _verify_issuer(said)
    _verify_signature(signed, signature, head=head, keys=keys)
    _verify_times(said, now.timestamp())
    for name in ("sub", "aud"):
        if not isinstance(said.get(name), str) or not said[name]:
            raise _invalid(f"The ID Token provided has no valid claim: {name}")
    return said


def _verify_issuer(claims: Claims) -> None:
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in _ISSUERS:
        raise _invalid(f"No OpenIDConnect provider found in your account for {issuer}")


def _verify_signature(
    signed: str, signature: str, *, head: Claims, keys: Mapping[str, rsa.RSAPublicKey]
) -> None:
    if head.get("alg") != "RS256":
        raise _invalid("The ID Token provided is not signed with a supported algorithm.")
    key = keys.get(str(head.get("kid")))
    if key is None:
        raise _invalid(
            "Couldn't retrieve verification key from your identity provider,"
            " please reference AssumeRoleWithWebIdentity documentation for requirements"
        )
    try:
        key.verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise _invalid("Token signature invalid") from None


def _verify_times(claims: Claims, now: float) -> None:
    for name in ("iat", "exp"):
        if not _is_time(claims.get(name)):
            raise _invalid(f"Missing a required claim: {name}")
    if not _is_time(claims.get("nbf", 0)):
        raise _invalid("The ID Token provided has no valid claim: nbf")
    if now >= claims["exp"] + LEEWAY_SECONDS:
        raise StsError(
            "ExpiredTokenException",
            f"Token expired: current date/time {int(now)} must be before"
            f" the expiration date/time {int(claims['exp'])}",
        )
    for name in ("iat", "nbf"):
        if claims.get(name, 0) > now + LEEWAY_SECONDS:
            raise _invalid(f"Token is not valid yet: {name} is in the future")


def _is_time(value: object) -> bool:
    # True is an int in Python, and no time; neither are NaN and Infinity, which its JSON knows.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _decode_json(part: str) -> dict[str, Any]:
    try:
        content = json.loads(_decode(part))
    except ValueError:
        raise _no_jwt() from None
    if not isinstance(content, dict):
        raise _no_jwt()
    return content


def _decode(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _no_jwt() from None


def _no_jwt() -> StsError:
    return _invalid(
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
    )


def _invalid(message: str) -> StsError:
    return StsError("InvalidIdentityToken", message)

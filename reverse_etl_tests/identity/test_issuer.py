"""Tokens are what Google's are: readable by libraries that know nothing of this one."""

import datetime as dt
import json

import jwt
import pytest

from reverse_etl_tests.identity.issuer import OidcIssuer, stranger_key

AUDIENCE = "https://aws.example.com/x"
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def decode(issuer: OidcIssuer, token: str) -> dict[str, object]:
    """What another library makes of a token, given the published keys."""
    key_id = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWKSet.from_json(json.dumps(issuer.jwks))[key_id]
    claims: dict[str, object] = jwt.decode(
        token, key, algorithms=["RS256"], audience=AUDIENCE, options={"verify_exp": False}
    )
    return claims


def test_another_library_verifies_tokens_by_the_published_keys() -> None:
    """The key set is a JWKS, the token a JWT of RS256."""
    issuer = OidcIssuer()
    token = issuer.token(AUDIENCE, NOW)

    claims = decode(issuer, token)

    assert claims == issuer.default_claims(AUDIENCE, NOW)


def test_claims_are_those_of_a_service_account() -> None:
    """`sub` and `azp` are the account's number, and the token lives an hour."""
    issuer = OidcIssuer(unique_id="117", email="a@b.iam.gserviceaccount.com")

    claims = issuer.default_claims(AUDIENCE, NOW)

    assert claims == {
        "iss": "https://accounts.google.com",
        "sub": "117",
        "azp": "117",
        "aud": AUDIENCE,
        "email": "a@b.iam.gserviceaccount.com",
        "email_verified": True,
        "iat": 1767323045,
        "exp": 1767323045 + 3600,
    }


def test_a_strangers_signature_is_told_apart() -> None:
    """Signed by another key under the issuer's key id, a token fails verification elsewhere too."""
    issuer = OidcIssuer()
    token = issuer.sign(issuer.default_claims(AUDIENCE), key=stranger_key())

    with pytest.raises(jwt.InvalidSignatureError):
        decode(issuer, token)


def test_issuers_of_a_process_share_one_key() -> None:
    """Keys are slow to make: there is one, unless a test brings its own."""
    own = OidcIssuer(key=stranger_key())

    assert OidcIssuer().jwks == OidcIssuer().jwks
    assert own.jwks != OidcIssuer().jwks

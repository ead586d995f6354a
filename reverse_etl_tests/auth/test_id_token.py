"""What is read from a token, and what of it may be told."""

import base64
import datetime as dt
import json

import pytest

from reverse_etl.auth.id_token import read_id_token
from reverse_etl.errors import TransientError
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.identity.issuer import OidcIssuer

AUDIENCE = "https://aws.example.com/reverse-etl/test"


def test_claims_are_read() -> None:
    """All that a trust policy speaks of, and the times."""
    issuer = OidcIssuer()
    now = dt.datetime(2026, 11, 19, 12, tzinfo=dt.UTC)

    token = read_id_token(issuer.token(AUDIENCE, now))

    assert (token.iss, token.aud) == ("https://accounts.google.com", AUDIENCE)
    assert token.sub == token.azp == token.aws_aud == issuer.unique_id
    assert token.iat == now
    assert token.exp == now + dt.timedelta(hours=1)


def test_aud_of_a_policy_is_the_audience_without_an_authorized_party() -> None:
    """As AWS documents it for Google."""
    issuer = OidcIssuer()
    claims = issuer.default_claims(AUDIENCE)
    del claims["azp"]

    assert read_id_token(issuer.sign(claims)).aws_aud == AUDIENCE


def test_a_token_is_not_shown() -> None:
    """Neither by repr nor in the sentence for a person."""
    issuer = OidcIssuer()
    text = issuer.token(AUDIENCE)

    token = read_id_token(text)

    assert text not in repr(token)
    assert text.split(".")[2] not in repr(token) + token.describe()
    assert issuer.email not in repr(token) + token.describe()


def test_claims_that_are_not_there_are_none() -> None:
    """A token may say less, or other than it should; the sentence stays one line."""
    odd = {"iss": 7, "sub": "a\nb" + "c" * 999, "aud": ["x"], "exp": True, "iat": 1e30}

    token = read_id_token(OidcIssuer().sign(odd))

    assert (token.iss, token.aud, token.azp, token.exp, token.iat) == (None,) * 5
    assert token.sub == "a?b" + "c" * 253
    assert "\n" not in token.describe()
    assert "iss (none)" in token.describe()


@pytest.mark.parametrize("text", ["", "ya29.an-access-token", "a.b.c", "....", "ünd.so.weiter"])
def test_what_is_no_token_is_refused_without_being_quoted(text: str) -> None:
    """It may be a secret of another kind."""
    error = catch(lambda: read_id_token(text))

    assert isinstance(error, TransientError)
    assert not text or text not in str(error)


def test_claims_have_to_be_an_object() -> None:
    """A signed list is no token."""
    parts = [json.dumps({"alg": "RS256"}), json.dumps(["sub"])]
    text = ".".join(
        [*(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts), "c2ln"]
    )

    with pytest.raises(TransientError, match="is none"):
        read_id_token(text)

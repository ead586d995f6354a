"""Tokens that STS has to refuse, each wrong in one way."""

from collections.abc import Callable
from dataclasses import dataclass

from reverse_etl_tests.identity.issuer import Claims, OidcIssuer, stranger_key

INVALID = "InvalidIdentityToken"
EXPIRED = "ExpiredTokenException"
DENIED = "AccessDenied"


@dataclass(frozen=True, slots=True)
class BadToken:
    """How good claims become a bad token, and the code that refuses it."""

    name: str
    code: str
    make: Callable[[OidcIssuer, Claims], str]


def _with(**changes: object) -> Callable[[OidcIssuer, Claims], str]:
    """Well signed, with claims changed; None removes one."""

    def make(issuer: OidcIssuer, claims: Claims) -> str:
        changed = claims | changes
        return issuer.sign({name: value for name, value in changed.items() if value is not None})

    return make


def _shifted(seconds: int) -> Callable[[OidcIssuer, Claims], str]:
    """Well signed, as if it had been so much later (or, by a negative number, earlier)."""

    def make(issuer: OidcIssuer, claims: Claims) -> str:
        times = {"iat": claims["iat"] + seconds, "exp": claims["exp"] + seconds}
        return issuer.sign(claims | times)

    return make


def _not_before(issuer: OidcIssuer, claims: Claims) -> str:
    return issuer.sign(claims | {"nbf": claims["iat"] + 600})


def _changed_after_signing(issuer: OidcIssuer, claims: Claims) -> str:
    """The claims of one token under the signature of another."""
    head, _, signature = issuer.sign(claims | {"sub": "1"}).split(".")
    return ".".join([head, issuer.sign(claims).split(".")[1], signature])


def _without_signature(issuer: OidcIssuer, claims: Claims) -> str:
    return issuer.sign(claims).rpartition(".")[0] + "."


BAD_TOKENS = (
    BadToken("wrong_issuer", INVALID, _with(iss="https://accounts.example.com")),
    BadToken("issuer_over_http", INVALID, _with(iss="http://accounts.google.com")),
    BadToken("no_issuer", INVALID, _with(iss=None)),
    BadToken("issuer_is_a_list", INVALID, _with(iss=["https://accounts.google.com"])),
    BadToken("wrong_subject", DENIED, _with(sub="104857600000000000002")),
    BadToken("no_subject", INVALID, _with(sub=None)),
    BadToken("subject_is_a_number", INVALID, _with(sub=104857600000000000001)),
    BadToken("wrong_audience", DENIED, _with(aud="https://other.example.com")),
    BadToken("no_audience", INVALID, _with(aud=None)),
    BadToken("expired", EXPIRED, _shifted(-7200)),
    BadToken("no_expiry", INVALID, _with(exp=None)),
    BadToken("expiry_is_true", INVALID, _with(exp=True)),
    BadToken("expiry_is_infinite", INVALID, _with(exp=float("inf"))),
    BadToken("issued_in_the_future", INVALID, _shifted(600)),
    BadToken("no_issue_time", INVALID, _with(iat=None)),
    BadToken("not_valid_before", INVALID, _not_before),
    BadToken("nbf_is_text", INVALID, _with(nbf="now")),
    BadToken(
        "key_of_a_stranger",
        INVALID,
        lambda issuer, claims: issuer.sign(claims, key=stranger_key()),
    ),
    BadToken(
        "unknown_key_id",
        INVALID,
        lambda issuer, claims: issuer.sign(claims, header={"kid": "0" * 40}),
    ),
    BadToken(
        "no_key_id", INVALID, lambda issuer, claims: issuer.sign(claims, header={"kid": None})
    ),
    BadToken(
        "algorithm_none", INVALID, lambda issuer, claims: issuer.sign(claims, algorithm="none")
    ),
    BadToken(
        "public_key_as_secret",
        INVALID,
        lambda issuer, claims: issuer.sign(claims, algorithm="HS256"),
    ),
    BadToken(
        "algorithm_misnamed",
        INVALID,
        lambda issuer, claims: issuer.sign(claims, header={"alg": "RS384"}),
    ),
    BadToken("no_signature", INVALID, _without_signature),
    BadToken("changed_after_signing", INVALID, _changed_after_signing),
    BadToken("access_token", INVALID, lambda _issuer, _claims: "ya29.an-access-token"),
    BadToken("garbage", INVALID, lambda _issuer, _claims: "ünd.so.weiter"),
    BadToken("dots", INVALID, lambda _issuer, _claims: "...."),
)

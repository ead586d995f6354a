"""Who signs identities: Google's service accounts, with a real RSA key that only this process knows."""

import base64
import datetime as dt
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Claims = dict[str, Any]
Algorithm = Literal["RS256", "HS256", "none"]

GOOGLE = "https://accounts.google.com"
TOKEN_SECONDS = 3600


def make_key() -> rsa.RSAPrivateKey:
    """A new RSA key of 2048 bits."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def _own_key() -> rsa.RSAPrivateKey:
    # A key takes some tenths of a second: one for all tests of a process.
    return make_key()


@functools.cache
def stranger_key() -> rsa.RSAPrivateKey:
    """A key that no issuer published; made once in a process."""
    return make_key()


class OidcIssuer:
    """Google's identity service for one service account.

    `unique_id` is the account's numeric id: the `sub` and `azp` of its tokens.
    """

    def __init__(
        self,
        *,
        email: str = "export@test-project.iam.gserviceaccount.com",
        unique_id: str = "104857600000000000001",
        issuer: str = GOOGLE,
        key: rsa.RSAPrivateKey | None = None,
    ) -> None:
        self.email = email
        self.unique_id = unique_id
        self.issuer = issuer
        self._key = key or _own_key()
        self.key_id = make_key_id(self._key.public_key())

    @property
    def public_keys(self) -> Mapping[str, rsa.RSAPublicKey]:
        """The published keys, by their id."""
        return {self.key_id: self._key.public_key()}

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The published keys as the JWKS document."""
        return {"keys": [_as_jwk(key_id, key) for key_id, key in self.public_keys.items()]}

    def default_claims(self, audience: str, now: dt.datetime | None = None) -> Claims:
        """What Google says of the service account to this audience, for an hour from `now`."""
        issued_at = int((now or dt.datetime.now(dt.UTC)).timestamp())
        return {
            "iss": self.issuer,
            "sub": self.unique_id,
            "azp": self.unique_id,
            "aud": audience,
            "email": self.email,
            "email_verified": True,
            "iat": issued_at,
            "exp": issued_at + TOKEN_SECONDS,
        }

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        key: rsa.RSAPrivateKey | None = None,
        algorithm: Algorithm = "RS256",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """A JWT of these claims; by default a good one.

        `key` signs in place of the issuer's (the `kid` stays the issuer's). `HS256` signs with the
        public key as if it were a shared secret; `none` does not sign. `header` entries replace those
        of the header; None removes one.
        """
        head = {"alg": algorithm, "kid": self.key_id, "typ": "JWT"} | dict(header or {})
        head = {name: value for name, value in head.items() if value is not None}
        signed = f"{_encode_json(head)}.{_encode_json(claims)}"
        return f"{signed}.{_encode(self._make_signature(signed.encode(), algorithm, key))}"

    def token(self, audience: str, now: dt.datetime | None = None) -> str:
        """A good token for this audience."""
        return self.sign(self.default_claims(audience, now))

    def _make_signature(
        self, signed: bytes, algorithm: Algorithm, key: rsa.RSAPrivateKey | None
    ) -> bytes:
        if algorithm == "none":
            return b""
        if algorithm == "HS256":
            return hmac.digest(as_pem(self._key.public_key()), signed, "sha256")
        return (key or self._key).sign(signed, padding.PKCS1v15(), hashes.SHA256())


def as_pem(key: rsa.RSAPublicKey) -> bytes:
    """A public key as the text that everybody may read."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def make_key_id(key: rsa.RSAPublicKey) -> str:
    """An id of 40 hexadecimal digits, as Google's are."""
    return hashlib.sha256(as_pem(key)).hexdigest()[:40]


def _as_jwk(key_id: str, key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": key_id,
        "n": _encode_number(numbers.n),
        "e": _encode_number(numbers.e),
    }


def _encode_number(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _encode_json(content: Mapping[str, Any]) -> str:
    return _encode(json.dumps(content, separators=(",", ":")).encode())


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

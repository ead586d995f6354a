"""Who signed a request to STS or a service like it: Signature Version 4, by the session book's secrets."""

import datetime as dt
import hashlib
import hmac
import re
from dataclasses import dataclass

from reverse_etl_tests.identity.loopback import HttpRequest
from reverse_etl_tests.identity.sessions import Session, SessionBook
from reverse_etl_tests.identity.sts_xml import StsError

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<scope>\d{8}/[\w-]+/[\w-]+/aws4_request), ?"
    r"SignedHeaders=(?P<headers>[\w;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_MAX_SKEW = dt.timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signature:
    key: str
    scope: str
    headers: tuple[str, ...]
    value: str


def find_caller(
    request: HttpRequest, sessions: SessionBook, now: dt.datetime, *, service: str = "sts"
) -> Session:
    """The session that signed this request to `service` and may still do so; raises as STS refuses."""
    signature = _parse(request.headers.get("authorization", ""))
    if signature.scope.split("/")[2] != service:
        raise _refusal("IncompleteSignature", f"Credential should be scoped to service {service}")
    session = sessions.find(signature.key)
    token = request.headers.get("x-amz-security-token")
    if session is None or session.session_token != token:
        raise _refusal(
            "InvalidClientTokenId", "The security token included in the request is invalid."
        )
    if session.is_expired(now):
        raise _refusal("ExpiredToken", "The security token included in the request is expired")
    signed_at = request.headers.get("x-amz-date", "")
    if not _is_near(signed_at, now):
        raise _refusal("SignatureDoesNotMatch", f"Signature expired: {signed_at}")
    expected = _sign(request, signature, session.secret_access_key)
    if not hmac.compare_digest(expected, signature.value):
        raise _refusal(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    return session


def _parse(authorization: str) -> _Signature:
    if not authorization:
        raise _refusal("MissingAuthenticationToken", "Request is missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise _refusal("IncompleteSignature", "Authorization header is not of AWS4-HMAC-SHA256")
    return _Signature(
        key=found["key"],
        scope=found["scope"],
        headers=tuple(found["headers"].split(";")),
        value=found["signature"],
    )


def _is_near(signed_at: str, now: dt.datetime) -> bool:
    try:
        moment = dt.datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return abs(now - moment) <= _MAX_SKEW


def _sign(request: HttpRequest, signature: _Signature, secret: str) -> str:
    # These services are asked at `/` without a query: nothing of the address needs an order or an escape.
    canonical = "\n".join(
        [
            request.method,
            "/",
            "",
            *(f"{name}:{request.headers.get(name, '').strip()}" for name in signature.headers),
            "",
            ";".join(signature.headers),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signed = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{signature.scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in signature.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, signed.encode(), "sha256").hex()


def _refusal(code: str, message: str) -> StsError:
    return StsError(code, message, status=403)

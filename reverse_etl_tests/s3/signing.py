"""Signature Version 4 as S3 checks it: the header's form, over what was received."""

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from reverse_etl_tests.identity.sessions import Session
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.identities import Seal, Sessions
from reverse_etl_tests.s3.messages import Request

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^, ]+), *SignedHeaders=([^, ]+), *Signature=([0-9a-f]{64})"
)
_MOMENT = "%Y%m%dT%H%M%SZ"
_SKEW = dt.timedelta(minutes=15)
_SCOPE_PARTS = 5
_SPACES = re.compile(" +")


class Verifier:
    """Finds out who signed a request, or raises S3's error."""

    def __init__(
        self,
        *,
        region: str,
        owner: Session,
        sessions: Sessions | None,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._region = region
        self._owner = owner
        self._sessions = sessions
        self._clock = clock

    def verify(self, request: Request) -> None:
        """Set the request's caller and seal."""
        header = request.headers.get("authorization")
        if header is None:
            raise S3Error("AccessDenied", "Access Denied")
        matched = _AUTHORIZATION.fullmatch(header.strip())
        if matched is None:
            raise S3Error("InvalidArgument", "Unsupported Authorization Type")
        credential, signed_headers, signature = matched.groups()
        key_id, scope = self._split_credential(credential)
        moment = self._check_moment(request, scope)
        caller = self._find_caller(key_id, request)
        names = signed_headers.split(";")
        _check_all_signed(request.headers, names)
        signing_key = derive_key(caller.secret_access_key, *scope.split("/")[:2])
        expected = sign_request(request, names, moment=moment, scope=scope, signing_key=signing_key)
        if not hmac.compare_digest(expected, signature):
            raise S3Error(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                details={"AWSAccessKeyId": key_id},
            )
        request.caller = caller
        request.seal = Seal(
            signing_key=signing_key, moment=moment, scope=scope, signature=signature
        )

    def _split_credential(self, credential: str) -> tuple[str, str]:
        key_id, _, scope = credential.partition("/")
        parts = scope.split("/")
        if len(parts) != _SCOPE_PARTS - 1 or parts[2:] != ["s3", "aws4_request"]:
            raise _malformed(
                "the Credential is mal-formed; expecting "
                '"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
            )
        if parts[1] != self._region:
            raise _malformed(
                f"the region '{parts[1]}' is wrong; expecting '{self._region}'", region=self._region
            )
        return key_id, scope

    def _check_moment(self, request: Request, scope: str) -> str:
        moment = request.headers.get("x-amz-date", "")
        try:
            signed_at = _parse_moment(moment)
        except ValueError:
            raise S3Error(
                "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
            ) from None
        now = self._clock()
        if abs(now - signed_at) > _SKEW:
            raise S3Error(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                details={
                    "RequestTime": moment,
                    "ServerTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "MaxAllowedSkewMilliseconds": "900000",
                },
            )
        if not moment.startswith(scope[:8]):
            raise _malformed("Invalid credential date. Date is not the same as X-Amz-Date.")
        return moment

    def _find_caller(self, key_id: str, request: Request) -> Session:
        token = request.headers.get("x-amz-security-token")
        caller = self._owner if key_id == self._owner.access_key_id else None
        if caller is None and self._sessions is not None:
            caller = self._sessions.find(key_id)
        # Temporary keys without their token are as unknown as those that never were.
        if caller is None or (caller.session_token is not None and token is None):
            raise S3Error(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
                details={"AWSAccessKeyId": key_id},
            )
        if token != caller.session_token:
            raise S3Error("InvalidToken", "The provided token is malformed or otherwise invalid.")
        if caller.is_expired(self._clock()):
            raise S3Error("ExpiredToken", "The provided token has expired.")
        return caller


def sign_request(
    request: Request, names: list[str], *, moment: str, scope: str, signing_key: bytes
) -> str:
    """The signature over the headers of these names and all else that is signed."""
    headers = request.headers
    payload = headers.get("x-amz-content-sha256")
    if payload is None:
        raise S3Error(
            "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
        )
    lines = [
        request.method,
        quote(unquote_to_bytes(request.path.encode("latin-1")), safe="/~"),
        _canonicalise_query(request),
        *[f"{name}:{_SPACES.sub(' ', headers.get(name, ''))}" for name in names],
        "",
        ";".join(names),
        payload,
    ]
    canonical = hashlib.sha256("\n".join(lines).encode("latin-1")).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{canonical}"
    return hmac.digest(signing_key, to_sign.encode(), "sha256").hex()


@lru_cache(maxsize=64)
def derive_key(secret: str, date: str, region: str) -> bytes:
    """The key of one day and region."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def check_chunks(seal: Seal, chunks: list[tuple[bytes, str]], trailers: Mapping[str, str]) -> None:
    """Hold the signatures of a body's chunks, and of its trailers, against their bytes."""
    nothing = hashlib.sha256(b"").hexdigest()
    previous = seal.signature
    for chunk, signature in chunks:
        digest = hashlib.sha256(chunk).hexdigest()
        previous = _continue(seal, "PAYLOAD", f"{previous}\n{nothing}\n{digest}")
        if previous != signature:
            raise _chunk_mismatch()
    if trailers:
        signed = {
            name: value for name, value in trailers.items() if name != "x-amz-trailer-signature"
        }
        text = "".join(f"{name}:{value}\n" for name, value in signed.items())
        digest = hashlib.sha256(text.encode("latin-1")).hexdigest()
        expected = _continue(seal, "TRAILER", f"{previous}\n{digest}")
        if expected != trailers.get("x-amz-trailer-signature"):
            raise _chunk_mismatch()


@lru_cache(maxsize=64)
def _parse_moment(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, _MOMENT).replace(tzinfo=dt.UTC)


def _continue(seal: Seal, kind: str, rest: str) -> str:
    to_sign = f"AWS4-HMAC-SHA256-{kind}\n{seal.moment}\n{seal.scope}\n{rest}"
    return hmac.digest(seal.signing_key, to_sign.encode(), "sha256").hex()


def _canonicalise_query(request: Request) -> str:
    if not request.raw_query:
        return ""
    pairs = [
        (quote(name, safe="~"), quote(value, safe="~")) for name, value in request.query_pairs()
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _check_all_signed(headers: Mapping[str, str], names: list[str]) -> None:
    unsigned = [name for name in headers if name.startswith("x-amz-") and name not in names]
    if "host" not in names:
        unsigned.append("host")
    if unsigned:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            details={"HeadersNotSigned": ", ".join(unsigned)},
        )


def _malformed(message: str, *, region: str = "") -> S3Error:
    return S3Error(
        "AuthorizationHeaderMalformed",
        f"The authorization header is malformed; {message}",
        details={"Region": region} if region else {},
    )


def _chunk_mismatch() -> S3Error:
    return S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match its bytes.")

"""What S3's clients raise, read as a fault of a known kind: the one place that looks into their errors.

An error's text holds the answer's XML and the request's URL. Codes, regions and times are picked out
of it by what they have to look like; nothing else of it leaves this module.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus

import obstore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import NameResolutionError

#: Whatever the clients raise on purpose; anything else is a mistake of ours and passes as it is.
FOREIGN: tuple[type[Exception], ...] = (
    obstore.exceptions.BaseError,
    FileNotFoundError,  # what obstore raises for any 404
    BotoCoreError,
    ClientError,
    ResponseParserError,
)


class TruncatedError(obstore.exceptions.BaseError):
    """Fewer bytes came than were announced."""


class UnusableAnswerError(obstore.exceptions.BaseError):
    """What answers leaves out something that every S3 says, such as an etag."""


class Kind(Enum):
    """What a fault means for the call that met it."""

    SLOW_DOWN = auto()  # too many requests: fewer, and later
    AWAY = auto()  # no answer, or one that says the server is at fault: again
    UNRESOLVED = auto()  # the host has no address: again, but not for long
    RACE = auto()  # another conditional request was under way: again
    CREDENTIALS = auto()  # the session is not accepted: once again with fresh ones
    CORRUPTED = auto()  # what arrived is not what was sent: once again
    PRECONDITION = auto()  # the condition of a conditional request does not hold
    ABSENT = auto()  # there is no such object
    BEYOND = auto()  # the range that was asked for begins behind the object's end
    DENIED = auto()
    KMS = auto()
    NO_BUCKET = auto()
    REGION = auto()
    SKEWED = auto()
    SIGNATURE = auto()
    CERTIFICATE = auto()
    STRANGER = auto()  # what answers does not speak S3
    UNREADABLE = auto()  # there are keys that the client cannot list
    UNSUPPORTED = auto()
    FULL = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong. `found` says it in words of ours; None is what S3 did not tell.

    `action` is what the caller may not do (`s3:PutObject`), `policy` the kind of policy that denies it
    or does not allow it. `may_have_happened`: the request may have been carried out all the same.
    """

    kind: Kind
    found: str
    action: str | None = None
    policy: str | None = None
    region: str | None = None
    server_time: str | None = None
    may_have_happened: bool = False


_CODES = {
    Kind.SLOW_DOWN: """
        SlowDown SlowDownRead SlowDownWrite Throttling ThrottlingException ThrottledException
        TooManyRequests TooManyRequestsException RequestLimitExceeded BandwidthLimitExceeded
        RequestThrottled RequestThrottledException KMS.ThrottlingException""",
    # An upload that is gone: its completion was carried out, and the answer was lost.
    Kind.AWAY: """
        InternalError ServiceUnavailable RequestTimeout RequestTimeoutException IncompleteBody
        NoSuchUpload""",
    Kind.RACE: "ConditionalRequestConflict OperationAborted",
    Kind.CREDENTIALS: """
        ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired InvalidAccessKeyId""",
    Kind.CORRUPTED: """
        BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch""",
    Kind.PRECONDITION: "PreconditionFailed",
    Kind.ABSENT: "NoSuchKey",
    Kind.BEYOND: "InvalidRange",
    Kind.DENIED: "AccessDenied AllAccessDisabled AccountProblem UnauthorizedAccess",
    Kind.NO_BUCKET: "NoSuchBucket InvalidBucketName",
    Kind.REGION: """
        AuthorizationHeaderMalformed PermanentRedirect TemporaryRedirect Redirect
        IllegalLocationConstraintException""",
    Kind.SKEWED: "RequestTimeTooSkewed RequestExpired",
    Kind.SIGNATURE: "SignatureDoesNotMatch",
    Kind.UNSUPPORTED: "NotImplemented",
    Kind.FULL: "InsufficientStorage QuotaExceeded XMinioStorageFull",
    Kind.REFUSED: "InvalidObjectState",  # a 403 that no permission helps against
}
_KIND_OF_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_KIND_OF_STATUS = {
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.STRANGER,  # S3 says what it has not found
    408: Kind.AWAY,
    412: Kind.PRECONDITION,
    416: Kind.BEYOND,
    429: Kind.SLOW_DOWN,
    500: Kind.AWAY,
    501: Kind.UNSUPPORTED,
    502: Kind.AWAY,
    503: Kind.AWAY,
    504: Kind.AWAY,
    507: Kind.FULL,
}
# What a server says of itself says nothing of a request that it may have finished.
_LEAVES_IN_DOUBT = {Kind.AWAY}

_NO_S3 = "an answer that is not S3's"
_NO_HOST = "the host's name was not found"
_NO_CONNECTION = "the connection was not established"
_NO_ANSWER = "no answer came in time"
_BROKEN = "the connection broke"
_CLIENT_REFUSED = "S3's client refused the request"

# Errors that say all by being raised.
_BY_CLASS = {
    TruncatedError: Fault(kind=Kind.AWAY, found="an answer was cut short"),
    UnusableAnswerError: Fault(kind=Kind.STRANGER, found=_NO_S3, may_have_happened=True),
    ResponseParserError: Fault(kind=Kind.STRANGER, found=_NO_S3, may_have_happened=True),
    obstore.exceptions.InvalidPathError: Fault(kind=Kind.UNREADABLE, found="a key that is no path"),
}

_CERTIFICATES = {
    "NotValidForName": "is for another host",
    "doesn't match": "is for another host",
    "mismatch": "is for another host",
    "Expired": "has expired",
    "has expired": "has expired",
    "NotValidYet": "is not valid yet, by this machine's clock",
    "not yet valid": "is not valid yet, by this machine's clock",
}

_DEBUG = "\n\nDebug source:\n"
_STATUS = re.compile(r" - Server returned non-2xx status code: (\d{3})\b")
_ERROR_BODY = " - Server returned error response: "
_KEY_ERROR = re.compile(
    r"DeleteObjects request failed for key .*\(code: ([A-Za-z0-9.]{1,64})\)", re.DOTALL
)
_REDIRECT = "Received redirect without LOCATION"
_NOT_S3 = re.compile(
    r"Got invalid \w+ response: |Unable to extract metadata from headers: |Received non-partial response"
)
_TRANSPORT = re.compile(r"HttpError \{\s+kind: (\w+),(.*)", re.DOTALL)

_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")
_REGION = re.compile(r"<Region>([a-z0-9-]{1,40})</Region>")
_EXPECTED_REGION = re.compile(r"expecting '([a-z0-9-]{1,40})'")
_SERVER_TIME = re.compile(r"<ServerTime>([0-9TZ:.-]{10,32})</ServerTime>")
_ACTION = re.compile(r"not authorized to perform: ((?:s3|kms):[A-Za-z]{1,64})\b")
_POLICY = re.compile(
    r"(?P<how>with an explicit deny in an?|because no) (?P<kind>identity-based policy|resource-based policy|"
    r"session policy|service control policy|resource control policy|permissions boundary|"
    r"VPC endpoint policy)"
)


def read_fault(error: Exception) -> Fault:
    """The fault that one of `FOREIGN` stands for."""
    if isinstance(error, ClientError):
        return _read_boto_answer(error)
    if isinstance(error, BotoCoreError):
        return _read_boto_transport(error)
    for kind, fault in _BY_CLASS.items():
        if isinstance(error, kind):
            return fault
    head, _, debug = str(error).partition(_DEBUG)
    return _read_text(head) or _read_transport(debug)


def _read_text(text: str) -> Fault | None:
    """What obstore's own sentence says of an answer; None when it says that there was none."""
    key_error = _KEY_ERROR.search(text)
    if key_error:
        return read_answer(None, key_error[1], text[key_error.start() :])
    status = _STATUS.search(text)
    if status or _ERROR_BODY in text:
        body = text[status.end() :] if status else text.partition(_ERROR_BODY)[2]
        return read_answer(int(status[1]) if status else 200, _find(_CODE, body), body)
    if _REDIRECT in text:
        return Fault(kind=Kind.REGION, found="S3 answered a redirect to another region")
    if _NOT_S3.search(text):
        return Fault(kind=Kind.STRANGER, found=_NO_S3, may_have_happened=True)
    return None


def read_answer(status: int | None, code: str | None, body: str) -> Fault:
    """The fault that an answer of S3 means, by its code and else by its status."""
    action = _find(_ACTION, body)
    kind = _choose_kind(status, code, action)
    found = " ".join(str(part) for part in (status, code) if part is not None)
    policy = _POLICY.search(body)
    region = _find(_REGION, body) or _find(_EXPECTED_REGION, _find(_MESSAGE, body) or "")
    return Fault(
        kind=kind,
        found=f"S3 answered {found}"
        if code is not None
        else f"the answer was {found} without a code",
        action=action,
        policy=None if policy is None else f"{policy['how']} {policy['kind']}",
        region=region,
        server_time=_find(_SERVER_TIME, body),
        may_have_happened=kind in _LEAVES_IN_DOUBT,
    )


def _choose_kind(status: int | None, code: str | None, action: str | None) -> Kind:
    if code is not None and code.startswith("KMS.") and code not in _KIND_OF_CODE:
        return Kind.KMS
    if code is not None and code in _KIND_OF_CODE:
        kind = _KIND_OF_CODE[code]
        is_of_kms = kind is Kind.DENIED and action is not None and action.startswith("kms:")
        return Kind.KMS if is_of_kms else kind
    if status is None or (code is not None and status == HTTPStatus.NOT_FOUND):
        return Kind.REFUSED
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Kind.REGION
    return _KIND_OF_STATUS.get(status, Kind.REFUSED)


def _read_transport(debug: str) -> Fault:
    """What kept an answer from coming, by the client's own account of it."""
    transport = _TRANSPORT.search(debug)
    if transport is None:
        return Fault(kind=Kind.REFUSED, found=_CLIENT_REFUSED)
    kind, detail = transport.groups()
    if "InvalidCertificate(" in detail:
        return Fault(kind=Kind.CERTIFICATE, found=_describe_certificate(detail))
    if "InvalidContentType" in detail or "InvalidMessage(" in detail:
        return Fault(kind=Kind.STRANGER, found="no TLS is spoken there")
    if kind == "Connect":
        if '"dns error"' in detail:
            return Fault(kind=Kind.UNRESOLVED, found=_NO_HOST)
        found = "the connection was refused" if "ConnectionRefused" in detail else _NO_CONNECTION
        return Fault(kind=Kind.AWAY, found=found)
    found = _NO_ANSWER if kind == "Timeout" else _BROKEN
    return Fault(kind=Kind.AWAY, found=found, may_have_happened=True)


def _describe_certificate(detail: str) -> str:
    """What is wrong with it, in rustls' words or in OpenSSL's."""
    for words, found in _CERTIFICATES.items():
        if words in detail:
            return f"the server's certificate {found}"
    return "the server's certificate is not signed by an authority that this machine trusts"


def _read_boto_answer(error: ClientError) -> Fault:
    told = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = str(told.get("Code", ""))
    # In the XML's own form, so that the same patterns look at both clients' answers.
    body = "".join(f"<{name}>{value}</{name}>" for name, value in told.items())
    return read_answer(
        status, code if re.fullmatch(r"[A-Z][A-Za-z0-9.]{1,63}", code) else None, body
    )


def _read_boto_transport(error: BotoCoreError) -> Fault:
    if isinstance(error, SSLError):
        return Fault(kind=Kind.CERTIFICATE, found=_describe_certificate(str(error)))
    if isinstance(error, BotoConnectionError):
        if isinstance(error.kwargs.get("error"), NameResolutionError):
            return Fault(kind=Kind.UNRESOLVED, found=_NO_HOST)
        return Fault(kind=Kind.AWAY, found=_NO_CONNECTION)
    if isinstance(error, HTTPClientError):
        found = _NO_ANSWER if isinstance(error, ReadTimeoutError) else _BROKEN
        return Fault(kind=Kind.AWAY, found=found, may_have_happened=True)
    return Fault(kind=Kind.REFUSED, found=_CLIENT_REFUSED)


def _find(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[1]

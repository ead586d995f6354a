"""AWS' STS on loopback: AssumeRoleWithWebIdentity and GetCallerIdentity, by the documented rules."""

import datetime as dt
import re
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl

from reverse_etl_tests.identity.clock import utc_now
from reverse_etl_tests.identity.faults import FaultPlan
from reverse_etl_tests.identity.issuer import OidcIssuer
from reverse_etl_tests.identity.loopback import (
    HttpAnswer,
    HttpRequest,
    LoopbackServer,
    answer_with_fault,
)
from reverse_etl_tests.identity.roles import Role
from reverse_etl_tests.identity.sessions import Session, SessionBook
from reverse_etl_tests.identity.signatures import find_caller
from reverse_etl_tests.identity.sts_xml import (
    Element,
    StsError,
    format_moment,
    make_error,
    make_result,
)
from reverse_etl_tests.identity.tokens import verify_token

VERSION = "2011-06-15"
EXCHANGE = "AssumeRoleWithWebIdentity"
_MIN_SECONDS, _MAX_SECONDS, _DEFAULT_SECONDS = 900, 43200, 3600
_SESSION_NAME = re.compile(r"[\w+=,.@-]*", re.ASCII)
_KNOWN_FIELDS = frozenset(
    {"Action", "Version", "RoleArn", "RoleSessionName", "WebIdentityToken", "DurationSeconds"}
)

Form = Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class StsCall:
    """One call. `code` is AWS' code of the refusal (or the fault's), None if it was carried out.

    `signed`: the call carried a signature. `status` is None while it lasts, and if it was hung up on.
    """

    action: str
    form: Form = field(repr=False)
    signed: bool
    status: int | None = None
    code: str | None = None
    session: Session | None = None

    @property
    def session_name(self) -> str | None:
        """The RoleSessionName that was asked for."""
        return self.form.get("RoleSessionName")

    @property
    def duration_seconds(self) -> int | None:
        """The DurationSeconds that was asked for; None if it was left to the default."""
        asked = self.form.get("DurationSeconds")
        return int(asked) if asked else None


class StsServer:
    """Serves from construction until `close` (or the end of `with`); `url` is its address.

    The keys that verify tokens are the issuer's. `session_seconds_override` is how long sessions live,
    whatever was asked for, to the microsecond (AWS gives whole seconds), for renewals in real time.
    `faults` match the action. `sessions` is where sessions are kept; `calls` is what was asked.
    """

    def __init__(
        self,
        issuer: OidcIssuer,
        roles: Sequence[Role],
        sessions: SessionBook,
        clock: Callable[[], dt.datetime] = utc_now,
        *,
        session_seconds_override: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.issuer = issuer
        self.roles = {role.arn: role for role in roles}
        self.sessions = sessions
        self.session_seconds_override = session_seconds_override
        self.faults = FaultPlan()
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: list[StsCall] = []
        self._server = LoopbackServer("AWS STS", self._answer, tls=tls, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and thread."""
        self.faults.clear()
        self._server.close()

    @property
    def url(self) -> str:
        """The address, for `endpoint_url`."""
        return self._server.url

    @property
    def calls(self) -> tuple[StsCall, ...]:
        """Every call, in order, spoiled ones included."""
        with self._lock:
            return tuple(self._calls)

    @property
    def exchanges(self) -> int:
        """How often a token was brought, whatever came of it."""
        return sum(call.action == EXCHANGE for call in self.calls)

    @property
    def session_names(self) -> tuple[str, ...]:
        """The names of the sessions that were given, in order."""
        return tuple(call.session.session_name for call in self.calls if call.session)

    def _answer(self, request: HttpRequest) -> HttpAnswer | None:
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        signed = "authorization" in request.headers
        call = StsCall(action=form.get("Action", ""), form=form, signed=signed)
        with self._lock:
            self._calls.append(call)
        fault = self.faults.find(call.action)
        answer = answer_with_fault(
            fault,
            answer=lambda: self._carry_out(call, request),
            as_error=lambda fault: make_error(
                StsError(fault.code, fault.message, status=fault.status)
            ),
        )
        if fault is not None and fault.action == "answer":
            call.code = fault.code
        call.status = answer.status if answer else None
        return answer

    def _carry_out(self, call: StsCall, request: HttpRequest) -> HttpAnswer:
        try:
            return make_result(call.action, self._find_result(call, request))
        except StsError as error:
            call.code = error.code
            return make_error(error)

    def _find_result(self, call: StsCall, request: HttpRequest) -> Element:
        if request.method == "POST" and call.form.get("Version") == VERSION:
            if call.action == EXCHANGE:
                return self._exchange(call)
            if call.action == "GetCallerIdentity":
                return self._identify(request)
        raise StsError(
            "InvalidAction", f"Could not find operation {call.action} for version {VERSION}"
        )

    def _exchange(self, call: StsCall) -> Element:
        asked = call.form
        _validate(asked)
        claims = verify_token(
            asked["WebIdentityToken"], keys=self.issuer.public_keys, now=self._clock()
        )
        role = self.roles.get(asked["RoleArn"])
        if role is None or not role.trusts(claims):
            raise StsError("AccessDenied", f"Not authorized to perform sts:{EXCHANGE}", status=403)
        call.session = session = self._issue(role, asked)
        return {
            "SubjectFromWebIdentityToken": claims["sub"],
            "Audience": claims["aud"],
            "AssumedRoleUser": {
                "Arn": role.session_arn(session.session_name),
                "AssumedRoleId": f"{role.role_id}:{session.session_name}",
            },
            "Credentials": {
                "SessionToken": session.session_token or "",
                "SecretAccessKey": session.secret_access_key,
                "Expiration": format_moment(session.expires_at or self._clock()),
                "AccessKeyId": session.access_key_id,
            },
            "Provider": "accounts.google.com",
        }

    def _issue(self, role: Role, asked: Form) -> Session:
        seconds = int(asked.get("DurationSeconds") or _DEFAULT_SECONDS)
        if seconds > role.max_session_seconds:
            raise StsError(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )
        now, override = self._clock(), self.session_seconds_override
        return self.sessions.issue(
            role_arn=role.arn,
            session_name=asked["RoleSessionName"],
            expires_at=now.replace(microsecond=0) + dt.timedelta(seconds=seconds)
            if override is None
            else now + dt.timedelta(seconds=override),
            rules=role.rules,
        )

    def _identify(self, request: HttpRequest) -> Element:
        session = find_caller(request, self.sessions, self._clock())
        role = self.roles.get(session.role_arn)
        if role is None:
            arn, user_id = session.role_arn, session.access_key_id
            return {"Arn": arn, "UserId": user_id, "Account": arn.split(":")[4]}
        return {
            "Arn": role.session_arn(session.session_name),
            "UserId": f"{role.role_id}:{session.session_name}",
            "Account": role.account,
        }


def _validate(asked: Form) -> None:
    """Refuse what the API's model refuses, before anybody looks at the token."""
    unknown = sorted(set(asked) - _KNOWN_FIELDS)
    if unknown:
        raise _malformed(f"The server of the tests knows no {unknown}")
    _validate_size("roleArn", asked.get("RoleArn"), 20, 2048)
    _validate_size("webIdentityToken", asked.get("WebIdentityToken"), 4, 20000)
    name = asked.get("RoleSessionName")
    _validate_size("roleSessionName", name, 2, 64)
    if not _SESSION_NAME.fullmatch(name or ""):
        raise _malformed(
            f"Value '{name}' at 'roleSessionName' failed to satisfy constraint:"
            r" Member must satisfy regular expression pattern: [\w+=,.@-]*"
        )
    _validate_duration(asked.get("DurationSeconds"))


def _validate_duration(asked: str | None) -> None:
    if asked is None:
        return
    if not asked.isdecimal():
        raise StsError("MalformedInput", f"'{asked}' is no number")
    if not _MIN_SECONDS <= int(asked) <= _MAX_SECONDS:
        low = int(asked) < _MIN_SECONDS
        raise _malformed(
            f"Value '{asked}' at 'durationSeconds' failed to satisfy constraint: Member must have value"
            f" {'greater' if low else 'less'} than or equal to {_MIN_SECONDS if low else _MAX_SECONDS}"
        )


def _validate_size(name: str, value: str | None, least: int, most: int) -> None:
    if value is None:
        raise _malformed(
            f"Value null at '{name}' failed to satisfy constraint: Member must not be null"
        )
    if not least <= len(value) <= most:
        # AWS says the value; a token is none to say.
        raise _malformed(
            f"Value at '{name}' failed to satisfy constraint: Member must have length between"
            f" {least} and {most}"
        )


def _malformed(message: str) -> StsError:
    return StsError("ValidationError", f"1 validation error detected: {message}")

"""Google's metadata server on loopback, as far as google-auth asks it.

google-auth reads GCE_METADATA_HOST when it is *imported* and GCE_METADATA_IP at each call, and it asks
both addresses: a process that is started with `environment` finds this server; inside a process that
imported google-auth already, `pointing.pointed_at(server)` is the way.
"""

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Self

from reverse_etl_tests.identity.clock import utc_now
from reverse_etl_tests.identity.faults import Fault, FaultPlan
from reverse_etl_tests.identity.issuer import Claims, OidcIssuer
from reverse_etl_tests.identity.loopback import (
    HttpAnswer,
    HttpRequest,
    LoopbackServer,
    answer_with_fault,
)

ROOT = "/computeMetadata/v1/"
IDENTITY_PATH = f"{ROOT}instance/service-accounts/default/identity"
TOKEN_PATH = f"{ROOT}instance/service-accounts/default/token"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


class MetadataServer:
    """Serves the issuer's service account from construction until `close` (or the end of `with`).

    `claim_overrides` change the claims of the tokens (None removes one), `make_token` how they are
    signed: any text it returns is the token. Without `has_service_account` there is none on this
    machine (404). `faults` match the path. `requests` is what was asked.
    """

    def __init__(
        self,
        issuer: OidcIssuer,
        *,
        project_id: str = "test-project",
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.issuer = issuer
        self.project_id = project_id
        self.has_service_account = True
        self.claim_overrides: dict[str, Any] = {}
        self.make_token: Callable[[Claims], str] = issuer.sign
        self.faults = FaultPlan()
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: list[HttpRequest] = []
        self._server = LoopbackServer("Google metadata", self._answer, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and thread."""
        self.faults.clear()
        self._server.close()

    @property
    def authority(self) -> str:
        """Host and port."""
        return self._server.authority

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return self._server.url

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which a new process takes this for Google's metadata server."""
        return {"GCE_METADATA_HOST": self.authority, "GCE_METADATA_IP": self.authority}

    @property
    def requests(self) -> tuple[HttpRequest, ...]:
        """Everything that was asked, in order, refused requests included."""
        with self._lock:
            return tuple(self._requests)

    @property
    def counts(self) -> Counter[str]:
        """How often each path was asked."""
        return Counter(request.path for request in self.requests)

    @property
    def tokens_asked(self) -> int:
        """How often an identity token was asked for."""
        return self.counts[IDENTITY_PATH]

    def _answer(self, request: HttpRequest) -> HttpAnswer | None:
        with self._lock:
            self._requests.append(request)
        return answer_with_fault(
            self.faults.find(request.path),
            answer=lambda: self._find_answer(request),
            as_error=_as_error,
        )

    def _find_answer(self, request: HttpRequest) -> HttpAnswer:
        if request.path == "/":
            return _text("computeMetadata/\n")
        refusal = _refuse(request)
        if refusal is not None:
            return refusal
        path = request.path.removeprefix(ROOT)
        match path:
            case "project/project-id":
                return _text(self.project_id)
            case "universe/universe-domain":
                return _text("googleapis.com")
        account, _, asked = path.removeprefix("instance/service-accounts/").partition("/")
        is_known = self.has_service_account and account in {"default", self.issuer.email}
        if is_known and path.startswith("instance/service-accounts/"):
            return self._answer_account(asked, request.query)
        return _text("Not Found\n", status=404)

    def _answer_account(self, asked: str, query: Mapping[str, str]) -> HttpAnswer:
        match asked:
            case "":
                return _json(
                    {"aliases": ["default"], "email": self.issuer.email, "scopes": list(_SCOPES)}
                )
            case "email":
                return _text(self.issuer.email)
            case "identity":
                return self._answer_identity(query)
            case "token":
                return _json(
                    {"access_token": "ya29.test", "expires_in": 3599, "token_type": "Bearer"}
                )
            case _:
                return _text("Not Found\n", status=404)

    def _answer_identity(self, query: Mapping[str, str]) -> HttpAnswer:
        if not query.get("audience"):
            return _text("non-empty audience parameter required\n", status=400)
        claims = self.issuer.default_claims(query["audience"], self._clock())
        if query.get("format", "standard") == "full":
            claims["google"] = {"compute_engine": {"project_id": self.project_id}}
        else:
            del claims["email"], claims["email_verified"]
        claims |= self.claim_overrides
        said = {name: value for name, value in claims.items() if value is not None}
        return _text(self.make_token(said))


def _refuse(request: HttpRequest) -> HttpAnswer | None:
    """Refuse what a browser, or a proxy that was talked into it, might ask."""
    if not request.path.startswith(ROOT):
        return _text("Not Found\n", status=404)
    if request.headers.get("metadata-flavor") != "Google":
        return _text("Missing Metadata-Flavor:Google header.\n", status=403)
    if "x-forwarded-for" in request.headers:
        return _text("X-Forwarded-For is not allowed.\n", status=403)
    return None


def _as_error(fault: Fault) -> HttpAnswer:
    return _text(f"{fault.message}\n", status=fault.status)


def _text(content: str, *, status: int = 200) -> HttpAnswer:
    return _make(content, "application/text", status)


def _json(content: Mapping[str, Any]) -> HttpAnswer:
    return _make(json.dumps(content), "application/json", 200)


def _make(content: str, content_type: str, status: int) -> HttpAnswer:
    headers = {
        "Metadata-Flavor": "Google",
        "Server": "Metadata Server for VM",
        "Content-Type": content_type,
    }
    return HttpAnswer(status=status, headers=headers, content=content.encode())

"""Google Secret Manager on loopback, as far as a secret's version is accessed through REST.

https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

import base64
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import google_crc32c

from reverse_etl_tests.identity.faults import Fault, FaultPlan
from reverse_etl_tests.identity.loopback import (
    HttpAnswer,
    HttpRequest,
    LoopbackServer,
    answer_with_fault,
)

#: What `MetadataServer` gives as an access token.
BEARER = "ya29.test"

_ACCESS = re.compile(
    r"/v1/(?P<secret>projects/[^:]+/secrets/[^/:]+)/versions/(?P<version>[^/:]+):access"
)
_STATUS = {
    400: "FAILED_PRECONDITION",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
}

Document = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class SecretVersion:
    """One version: what it holds, and whether that is given out."""

    content: bytes = field(repr=False)
    state: Literal["ENABLED", "DISABLED", "DESTROYED"] = "ENABLED"


class GoogleSecretServer:
    """Serves from construction until `close` (or the end of `with`); `url` is its address.

    `add` makes a version of a secret; `deny` makes every access PERMISSION_DENIED, with a reason.
    `change` is made to each answer that holds a payload. `faults` match the path; `requests` is what
    was asked.
    """

    def __init__(self) -> None:
        self.faults = FaultPlan()
        self.denied: str | None = None
        self.change: Callable[[Document], Document] = lambda document: document
        self._secrets: dict[str, list[SecretVersion]] = {}
        self._lock = threading.Lock()
        self._requests: list[HttpRequest] = []
        self._server = LoopbackServer("Google Secret Manager", self._answer)

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
        """The address, without a slash at its end."""
        return self._server.url

    @property
    def requests(self) -> tuple[HttpRequest, ...]:
        """Everything that was asked, in order, refused requests included."""
        with self._lock:
            return tuple(self._requests)

    def add(self, secret: str, content: bytes | str) -> SecretVersion:
        """A new version of a secret, which is made if it is not there."""
        held = content.encode() if isinstance(content, str) else content
        version = SecretVersion(content=held)
        self._secrets.setdefault(secret, []).append(version)
        return version

    def deny(self, reason: str = "IAM_PERMISSION_DENIED") -> None:
        """Refuse everybody from now on."""
        self.denied = reason

    def _answer(self, request: HttpRequest) -> HttpAnswer | None:
        with self._lock:
            self._requests.append(request)
        return answer_with_fault(
            self.faults.find(request.path),
            answer=lambda: self._find_answer(request),
            as_error=_as_error,
        )

    def _find_answer(self, request: HttpRequest) -> HttpAnswer:
        asked = _ACCESS.fullmatch(request.path)
        if asked is None or request.method != "GET":
            return _error(404, "no such method")
        if request.headers.get("authorization") != f"Bearer {BEARER}":
            return _error(401, "Request had invalid authentication credentials.")
        if self.denied is not None:
            message = f"Permission 'secretmanager.versions.access' denied on {asked['secret']}"
            return _error(403, message, reason=self.denied)
        versions = self._secrets.get(asked["secret"], [])
        number = len(versions) if asked["version"] == "latest" else int(asked["version"])
        if not 0 < number <= len(versions):
            return _error(404, f"Secret [{asked['secret']}] not found or has no versions.")
        return self._access(f"{asked['secret']}/versions/{number}", versions[number - 1])

    def _access(self, name: str, version: SecretVersion) -> HttpAnswer:
        if version.state != "ENABLED":
            return _error(400, f"Secret Version [{name}] is in {version.state} state.")
        # An int64 is a text in Google's JSON.
        checksum = str(google_crc32c.value(version.content))
        payload = {"data": base64.b64encode(version.content).decode(), "dataCrc32c": checksum}
        return _json(self.change({"name": name, "payload": payload}), 200)


def _error(status: int, message: str, *, reason: str | None = None) -> HttpAnswer:
    error: Document = {"code": status, "message": message, "status": _STATUS[status]}
    if reason is not None:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"}]
    return _json({"error": error}, status)


def _as_error(fault: Fault) -> HttpAnswer:
    error = {"code": fault.status, "message": fault.message, "status": fault.code}
    return _json({"error": error}, fault.status)


def _json(document: Document, status: int) -> HttpAnswer:
    return HttpAnswer(
        status=status,
        headers={"Content-Type": "application/json; charset=UTF-8"},
        content=json.dumps(document).encode(),
    )

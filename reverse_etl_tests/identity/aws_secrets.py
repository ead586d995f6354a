"""AWS Secrets Manager on loopback: GetSecretValue, signed, by sessions and what each may do.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable
from typing import Any, Self

from reverse_etl_tests.identity.clock import utc_now
from reverse_etl_tests.identity.faults import Fault, FaultPlan
from reverse_etl_tests.identity.loopback import (
    HttpAnswer,
    HttpRequest,
    LoopbackServer,
    answer_with_fault,
)
from reverse_etl_tests.identity.sessions import SessionBook
from reverse_etl_tests.identity.signatures import find_caller
from reverse_etl_tests.identity.sts_xml import StsError

ACTION = "secretsmanager:GetSecretValue"
#: The one version of every secret.
VERSION_ID = "7f3a0000-0000-4000-8000-000000000001"
_TARGET = "secretsmanager.GetSecretValue"
_ARN = "arn:aws:secretsmanager:{region}:123456789012:secret:{name}-AbCdEf"


class AwsSecretServer:
    """Serves from construction until `close` (or the end of `with`); `url` is its address.

    `secrets` is what is kept, by name: text, bytes, or a refusal's code and message. `faults` match
    the secret's name or ARN; `requests` is what was asked.
    """

    def __init__(
        self,
        sessions: SessionBook,
        clock: Callable[[], dt.datetime] = utc_now,
        *,
        region: str = "eu-central-1",
    ) -> None:
        self.secrets: dict[str, str | bytes | StsError] = {}
        self.faults = FaultPlan()
        self._sessions = sessions
        self._clock = clock
        self._region = region
        self._lock = threading.Lock()
        self._requests: list[HttpRequest] = []
        self._server = LoopbackServer("AWS Secrets Manager", self._answer, clock=clock)

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
    def requests(self) -> tuple[HttpRequest, ...]:
        """Everything that was asked, in order, refused requests included."""
        with self._lock:
            return tuple(self._requests)

    def arn(self, name: str) -> str:
        """The ARN of a secret."""
        return _ARN.format(region=self._region, name=name)

    def _answer(self, request: HttpRequest) -> HttpAnswer | None:
        with self._lock:
            self._requests.append(request)
        asked = json.loads(request.body or b"{}")
        return answer_with_fault(
            self.faults.find(str(asked.get("SecretId"))),
            answer=lambda: self._find_answer(request, asked),
            as_error=_as_error,
        )

    def _find_answer(self, request: HttpRequest, asked: dict[str, Any]) -> HttpAnswer:
        try:
            return _json(self._find_secret(request, asked), 200)
        except StsError as error:
            return _refuse(error.code, error.message, error.status)

    def _find_secret(self, request: HttpRequest, asked: dict[str, Any]) -> dict[str, Any]:
        if request.headers.get("x-amz-target") != _TARGET or request.method != "POST":
            raise StsError("UnknownOperationException", "")
        session = find_caller(request, self._sessions, self._clock(), service="secretsmanager")
        name = next(
            (name for name in self.secrets if asked["SecretId"] in (name, self.arn(name))), None
        )
        if not session.may(ACTION, self.arn(name or asked["SecretId"])):
            message = f"User: {session.role_arn} is not authorized to perform: {ACTION}"
            raise StsError("AccessDeniedException", message)
        if name is None or asked.get("VersionId", VERSION_ID) != VERSION_ID:
            message = "Secrets Manager can't find the specified secret."
            raise StsError("ResourceNotFoundException", message)
        held = self.secrets[name]
        if isinstance(held, StsError):
            raise held
        content = (
            {"SecretString": held}
            if isinstance(held, str)
            else {"SecretBinary": base64.b64encode(held).decode()}
        )
        return {"ARN": self.arn(name), "Name": name, "VersionId": VERSION_ID, **content}


def _as_error(fault: Fault) -> HttpAnswer:
    return _refuse(fault.code, fault.message, fault.status)


def _refuse(code: str, message: str, status: int) -> HttpAnswer:
    return _json({"__type": code, "Message": message}, status)


def _json(document: dict[str, Any], status: int) -> HttpAnswer:
    return HttpAnswer(
        status=status,
        headers={"Content-Type": "application/x-amz-json-1.1"},
        content=json.dumps(document).encode(),
    )

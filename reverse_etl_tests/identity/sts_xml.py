"""STS' answers on the wire: the query protocol's XML."""

import datetime as dt
import uuid
from collections.abc import Mapping
from xml.sax.saxutils import escape

from reverse_etl_tests.identity.loopback import HttpAnswer

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

Element = Mapping[str, "str | Element"]


class StsError(Exception):
    """A refusal of STS: HTTP status, AWS' code and message."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def make_result(action: str, result: Element) -> HttpAnswer:
    """The answer to an action that was carried out."""
    request_id = str(uuid.uuid4())
    body = {f"{action}Result": result, "ResponseMetadata": {"RequestId": request_id}}
    return _make_answer(f"{action}Response", body, request_id=request_id, status=200)


def make_error(error: StsError) -> HttpAnswer:
    """The answer that refuses."""
    request_id = str(uuid.uuid4())
    body: Element = {
        "Error": {
            "Type": "Sender" if error.status < 500 else "Receiver",
            "Code": error.code,
            "Message": error.message,
        },
        "RequestId": request_id,
    }
    return _make_answer("ErrorResponse", body, request_id=request_id, status=error.status)


def format_moment(moment: dt.datetime) -> str:
    """ISO 8601 in UTC, as AWS writes it: no fraction where there is none."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _make_answer(name: str, body: Element, *, request_id: str, status: int) -> HttpAnswer:
    text = f'<{name} xmlns="{NAMESPACE}">\n{_render(body, indent=2)}</{name}>\n'
    headers = {"x-amzn-RequestId": request_id, "Content-Type": "text/xml"}
    return HttpAnswer(content=text.encode(), status=status, headers=headers)


def _render(element: Element, *, indent: int) -> str:
    pad = " " * indent
    lines = []
    for name, value in element.items():
        if isinstance(value, str):
            lines.append(f"{pad}<{name}>{escape(value)}</{name}>\n")
        else:
            inner = _render(value, indent=indent + 2)
            lines.append(f"{pad}<{name}>\n{inner}{pad}</{name}>\n")
    return "".join(lines)

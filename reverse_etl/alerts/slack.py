"""Slack's incoming webhooks: blocks, with text for where there are none."""

import json
import re
from typing import Any

from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl.alerts.options import HttpTarget
from reverse_etl.alerts.outcome import Outcome
from reverse_etl.alerts.posting import post
from reverse_etl.alerts.text import list_fields, render_subject

# What Slack takes: a longer text is refused, with all of the message.
_LONGEST_HEADER = 150
_LONGEST_FIELD = 2000
_LONGEST_SECTION = 3000

_SIGNS = {AlertKind.RECOVERED: "✅", AlertKind.TEST: "🔔"}
_SIGN_OTHERWISE = "🔴"


class SlackChannel:
    """One incoming webhook. It knows no idempotency key: see docs/alerts.md for what may come twice."""

    name = "slack"
    label = "Slack"
    group = "slack"

    def __init__(self, target: HttpTarget) -> None:
        self._target = target

    def __repr__(self) -> str:
        return "SlackChannel()"

    def send(self, alert: Alert) -> Outcome:
        """Post the blocks."""
        body = json.dumps(build_message(alert)).encode()
        return post(self._target, body, {"Content-Type": "application/json"})


def build_message(alert: Alert) -> dict[str, Any]:
    """The JSON that Slack takes."""
    sign = _SIGNS.get(alert.kind, _SIGN_OTHERWISE)
    fields = [
        _text(f"*{escape(name)}*\n{escape(value)}", most=_LONGEST_FIELD)
        for name, value in list_fields(alert)
    ]
    sections = [f"*Cause*\n{escape(alert.cause)}", f"*What to do*\n{escape(alert.what_to_do)}"]
    links = " · ".join(_link(shown, url) for shown, url in alert.links.items())
    if links:
        sections.append(links)
    header = {"type": "plain_text", "text": _cut(f"{sign} {alert.title}", _LONGEST_HEADER)}
    return {
        "text": _cut(f"{sign} {escape(render_subject(alert))}", _LONGEST_SECTION),
        "blocks": [
            {"type": "header", "text": header},
            {"type": "section", "fields": fields},
            *({"type": "section", "text": _text(text)} for text in sections),
        ],
    }


def escape(text: str) -> str:
    """As Slack wants it: its three characters, and so no mention and no link from a text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _link(shown: str, url: str) -> str:
    # A bar or bracket would end the address and begin something else.
    safe = re.sub(r"[|<>\s]", "", url).replace("&", "&amp;")
    return f"<{safe}|{escape(shown)}>"


def _text(text: str, *, most: int = _LONGEST_SECTION) -> dict[str, str]:
    return {"type": "mrkdwn", "text": _cut(text, most)}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

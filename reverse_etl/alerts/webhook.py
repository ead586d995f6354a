"""Any address that takes alerts as JSON by POST (docs/alerts.md has the format)."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from reverse_etl.alerts.documents import encode_alert
from reverse_etl.alerts.model import Alert
from reverse_etl.alerts.options import HttpTarget
from reverse_etl.alerts.outcome import Outcome
from reverse_etl.alerts.posting import post

_VERSION = 1


class WebhookChannel:
    """One address; signed if there is a key."""

    name = "webhook"
    label = "the webhook"
    group = "webhook"

    def __init__(
        self, target: HttpTarget, key: bytes | None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._target = target
        self._key = key
        self._clock = clock

    def __repr__(self) -> str:
        return "WebhookChannel()"

    def send(self, alert: Alert) -> Outcome:
        """Post the document. A repeat has the same body and the same Idempotency-Key."""
        body = json.dumps(build_document(alert)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "reverse-etl",
            "Idempotency-Key": alert.alert_id,
        }
        if self._key is not None:
            timestamp = str(int(self._clock()))
            headers["X-Reverse-Etl-Timestamp"] = timestamp
            headers["X-Reverse-Etl-Signature"] = sign(self._key, timestamp, body)
        return post(self._target, body, headers)


def build_document(alert: Alert) -> dict[str, Any]:
    """The JSON: every field of the alert, behind the version of the format."""
    fields = encode_alert(alert)
    del fields["key"]  # ours: the id says as much
    return {"version": _VERSION, **fields}


def sign(key: bytes, timestamp: str, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body."""
    return f"v1={hmac.new(key, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"

"""Alerts as JSON, in the outbox and in webhooks, and what all documents of this room have in common."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any, TypeVar

from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl.errors import IntegrityError

_FORMAT = 1

Document = TypeVar("Document")


def format_moment(moment: dt.datetime) -> str:
    """UTC, to the microsecond, so that it can be read back as it was."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_moment(text: str) -> dt.datetime:
    """What `format_moment` wrote; `ValueError` for a moment that does not know its timezone."""
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def encode_alert(alert: Alert) -> dict[str, Any]:
    """Every field by its name."""
    return {
        "id": alert.alert_id,
        "key": alert.key,
        "kind": alert.kind.value,
        "environment": alert.environment,
        "sync": alert.sync,
        "partition": alert.partition,
        "step": alert.step,
        "run_id": alert.run_id,
        "at": format_moment(alert.at),
        "title": alert.title,
        "cause": alert.cause,
        "what_to_do": alert.what_to_do,
        "links": alert.links,
        "folded": alert.folded,
    }


def decode_alert(found: dict[str, Any]) -> Alert:
    """What `encode_alert` made."""
    return Alert(
        key=found["key"],
        kind=AlertKind(found["kind"]),
        environment=found["environment"],
        sync=found["sync"],
        partition=found["partition"],
        step=found["step"],
        run_id=found["run_id"],
        at=parse_moment(found["at"]),
        title=found["title"],
        cause=found["cause"],
        what_to_do=found["what_to_do"],
        links=dict(found["links"]),
        folded=found["folded"],
    )


def write_document(fields: dict[str, Any]) -> bytes:
    """JSON with the format's number in front."""
    return json.dumps({"format": _FORMAT, **fields}, ensure_ascii=False).encode()


def read_document(name: str, body: bytes, decode: Callable[[dict[str, Any]], Document]) -> Document:
    """What `write_document` wrote; `IntegrityError` names the object that is something else."""
    try:
        found = json.loads(body)
        if found["format"] == _FORMAT:
            return decode(found)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise IntegrityError(
        f"'{name}' of the store is no document of alerts in format {_FORMAT}: it was edited, or a later "
        "release wrote it. Bring all deployments to one release, or remove the object."
    )

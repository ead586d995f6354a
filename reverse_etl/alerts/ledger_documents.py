"""A ledger as JSON."""

from typing import Any

from reverse_etl.alerts.documents import (
    decode_alert,
    encode_alert,
    format_moment,
    parse_moment,
    read_document,
    write_document,
)
from reverse_etl.alerts.ledger import Fold, Folded, Ledger, Problem
from reverse_etl.alerts.model import AlertKind


def encode_ledger(ledger: Ledger) -> bytes:
    """The object's bytes."""
    return write_document(
        {
            "pending": [encode_alert(alert) for alert in ledger.pending],
            "problems": {key: _encode_problem(item) for key, item in ledger.problems.items()},
            "folds": {kind.value: _encode_fold(fold) for kind, fold in ledger.folds.items()},
            "seen": {alert_id: format_moment(at) for alert_id, at in ledger.seen.items()},
        }
    )


def decode_ledger(name: str, body: bytes) -> Ledger:
    """What `encode_ledger` made; `IntegrityError` for anything else."""
    return read_document(name, body, _decode)


def _decode(found: dict[str, Any]) -> Ledger:
    return Ledger(
        pending=tuple(decode_alert(alert) for alert in found["pending"]),
        problems={key: _decode_problem(item) for key, item in found["problems"].items()},
        folds={AlertKind(kind): _decode_fold(fold) for kind, fold in found["folds"].items()},
        seen={alert_id: parse_moment(at) for alert_id, at in found["seen"].items()},
    )


def _encode_problem(problem: Problem) -> dict[str, Any]:
    return {
        "alert_id": problem.alert_id,
        "kind": problem.kind.value,
        "since": format_moment(problem.since),
        "partition": problem.partition,
        "step": problem.step,
        "about": problem.about,
    }


def _decode_problem(found: dict[str, Any]) -> Problem:
    return Problem(
        alert_id=found["alert_id"],
        kind=AlertKind(found["kind"]),
        since=parse_moment(found["since"]),
        partition=found["partition"],
        step=found["step"],
        about=found["about"],
    )


def _encode_fold(fold: Fold) -> dict[str, Any]:
    return {
        "opened_at": format_moment(fold.opened_at),
        "more": fold.more,
        "items": [
            [item.alert_id, format_moment(item.at), item.partition, item.mended]
            for item in fold.items
        ],
    }


def _decode_fold(found: dict[str, Any]) -> Fold:
    return Fold(
        opened_at=parse_moment(found["opened_at"]),
        more=int(found["more"]),
        items=tuple(
            Folded(alert_id=alert_id, at=parse_moment(at), partition=partition, mended=bool(mended))
            for alert_id, at, partition, mended in found["items"]
        ),
    )

"""One alert in the outbox, and how it stands with each channel. Pure: what may follow what is all here."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from reverse_etl.alerts.documents import (
    decode_alert,
    encode_alert,
    format_moment,
    parse_moment,
    read_document,
    write_document,
)
from reverse_etl.alerts.model import Alert
from reverse_etl.alerts.outcome import Ending, Outcome

#: How long whoever claims has for sending and marking; afterwards nobody knows, and it is sent again.
CLAIM = dt.timedelta(seconds=120)

_FIRST_PAUSE = dt.timedelta(seconds=30)
_LONGEST_PAUSE = dt.timedelta(minutes=10)
_LONGEST_ASKED_PAUSE = dt.timedelta(hours=1)
_REFUSED_PAUSE = dt.timedelta(hours=1)
_REFUSED_FOR = dt.timedelta(days=3)
_AWAY_FOR = dt.timedelta(days=14)
_KEPT_FOR = dt.timedelta(days=7)
_GIVEN_UP_KEPT_FOR = dt.timedelta(days=30)
_MOST_DOUBLINGS = 10


class Standing(StrEnum):
    """How an alert stands with a channel."""

    WAITING = "waiting"
    CLAIMED = "claimed"  # somebody is sending it, until `due_at`
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


_SETTLED = (Standing.DELIVERED, Standing.GIVEN_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """How one alert stands with one channel.

    `since` is when it came to stand so; `due_at` when a waiting one is sent, or a claim lapses. `problem`
    says how the last attempt ended. `in_doubt` counts attempts of which nobody knows whether they arrived.
    """

    standing: Standing
    since: dt.datetime
    due_at: dt.datetime
    claim: str | None = None
    attempts: int = 0
    in_doubt: int = 0
    problem: str | None = None
    refused_since: dt.datetime | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more happens."""
        return self.standing in _SETTLED

    def claimed(self, claim: str, *, now: dt.datetime) -> "ChannelState | None":
        """Claimed for `claim`; None when it is settled, not due, or somebody else's still."""
        if self.is_settled or self.due_at > now:
            return None
        lapsed = self.standing is Standing.CLAIMED
        return replace(
            self,
            standing=Standing.CLAIMED,
            since=now,
            due_at=now + CLAIM,
            claim=claim,
            attempts=self.attempts + 1,
            in_doubt=self.in_doubt + lapsed,
        )

    def after(
        self, outcome: Outcome, *, now: dt.datetime, waiting_since: dt.datetime, chance: float
    ) -> "ChannelState":
        """What follows an attempt that ended so. `chance`, 0 to 1, spreads the pauses."""
        told = replace(
            self,
            since=now,
            due_at=now,
            claim=None,
            in_doubt=self.in_doubt + outcome.in_doubt,
            problem=outcome.problem,
        )
        if outcome.ending is Ending.DELIVERED:
            return replace(told, standing=Standing.DELIVERED)
        lost = now - waiting_since >= _AWAY_FOR
        if outcome.ending is Ending.REFUSED:
            told = replace(told, refused_since=self.refused_since or now)
            lost = lost or now - (self.refused_since or now) >= _REFUSED_FOR
        if lost:
            return replace(told, standing=Standing.GIVEN_UP)
        pause = _find_pause(outcome, attempts=self.attempts, chance=chance)
        return replace(told, standing=Standing.WAITING, due_at=now + pause)

    def retried(self, *, now: dt.datetime) -> "ChannelState | None":
        """Due at once, as if new; None when there is nothing to try again."""
        if self.standing in (Standing.DELIVERED, Standing.CLAIMED):
            return None
        return replace(
            self, standing=Standing.WAITING, since=now, due_at=now, refused_since=None, attempts=0
        )


def _find_pause(outcome: Outcome, *, attempts: int, chance: float) -> dt.timedelta:
    """Longer each time; as long as the channel asks; an hour after it refused."""
    if outcome.ending is Ending.REFUSED:
        return _REFUSED_PAUSE
    doubled = _FIRST_PAUSE * (1 << min(max(attempts - 1, 0), _MOST_DOUBLINGS))
    pause = min(doubled, _LONGEST_PAUSE) * (0.5 + chance / 2)
    asked = dt.timedelta(seconds=outcome.retry_after_seconds or 0.0)
    return max(pause, min(asked, _LONGEST_ASKED_PAUSE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An alert and its channels, which are those that were set when it was raised."""

    alert: Alert
    created_at: dt.datetime
    channels: Mapping[str, ChannelState]

    @property
    def is_settled(self) -> bool:
        """Whether nothing more happens with any channel."""
        return all(state.is_settled for state in self.channels.values())

    @property
    def remove_at(self) -> dt.datetime:
        """Until when a settled one is kept: so long the same alert is known as told."""
        last = max((state.since for state in self.channels.values()), default=self.created_at)
        given_up = any(state.standing is Standing.GIVEN_UP for state in self.channels.values())
        return last + (_GIVEN_UP_KEPT_FOR if given_up else _KEPT_FOR)

    @property
    def was_in_vain(self) -> bool:
        """Whether no channel took it, and none will."""
        return all(state.standing is Standing.GIVEN_UP for state in self.channels.values())

    def with_channel(self, name: str, state: ChannelState) -> "Entry":
        """The same, with one channel's state replaced."""
        return replace(self, channels={**self.channels, name: state})


def build_entry(alert: Alert, channels: tuple[str, ...], *, now: dt.datetime) -> Entry:
    """A new alert, due at once everywhere."""
    waiting = ChannelState(standing=Standing.WAITING, since=now, due_at=now)
    return Entry(alert=alert, created_at=now, channels=dict.fromkeys(channels, waiting))


def encode_entry(entry: Entry) -> bytes:
    """The object's bytes."""
    return write_document(
        {
            "alert": encode_alert(entry.alert),
            "created_at": format_moment(entry.created_at),
            "channels": {name: _encode_state(state) for name, state in entry.channels.items()},
        }
    )


def decode_entry(name: str, body: bytes) -> Entry:
    """What `encode_entry` made; `IntegrityError` for anything else."""
    return read_document(name, body, _decode)


def _decode(found: dict[str, Any]) -> Entry:
    return Entry(
        alert=decode_alert(found["alert"]),
        created_at=parse_moment(found["created_at"]),
        channels={name: _decode_state(state) for name, state in found["channels"].items()},
    )


def _encode_state(state: ChannelState) -> dict[str, Any]:
    refused_since = state.refused_since
    return {
        "standing": state.standing.value,
        "since": format_moment(state.since),
        "due_at": format_moment(state.due_at),
        "claim": state.claim,
        "attempts": state.attempts,
        "in_doubt": state.in_doubt,
        "problem": state.problem,
        "refused_since": None if refused_since is None else format_moment(refused_since),
    }


def _decode_state(found: dict[str, Any]) -> ChannelState:
    refused_since = found["refused_since"]
    return ChannelState(
        standing=Standing(found["standing"]),
        since=parse_moment(found["since"]),
        due_at=parse_moment(found["due_at"]),
        claim=found["claim"],
        attempts=int(found["attempts"]),
        in_doubt=int(found["in_doubt"]),
        problem=found["problem"],
        refused_since=None if refused_since is None else parse_moment(refused_since),
    )

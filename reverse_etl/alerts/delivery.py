"""Delivery: what is due is claimed, sent and marked, channel by channel. Any number may do it at once.

A claim is a compare-and-set: one deliverer sends. Whoever dies between claim and mark leaves a claim that
lapses; then it is sent again, with the same key, because nobody knows: never missed comes first.
"""

import datetime as dt
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from reverse_etl.alerts.entry import ChannelState, Entry, Standing
from reverse_etl.alerts.outbox import Outbox, read_alert_id
from reverse_etl.alerts.outcome import SEND_SECONDS, Channel, Ending, Outcome
from reverse_etl.errors import IntegrityError, TransientError

# A tick of Dagster's has 60 seconds, and the last attempt may take all of its own.
_READING_SECONDS = 10.0
_BUDGET_SECONDS = 25.0
_MOST_SENT_A_GROUP = 20
_MOST_REFUSED = 3
_MARKING_ATTEMPTS = 3
_UNSET_FOR = dt.timedelta(days=1)
_NO_CHANNEL = "the channel is not set any more"

#: Settled entries by their id: the etag they had in a listing, and until when they are kept.
Known = Mapping[str, tuple[str, float]]


def _read_clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(kw_only=True)
class Delivery:
    """What a round did. Texts are for people: labels of channels, titles of alerts, sentences of ours."""

    delivered: int = 0
    waiting: int = 0
    removed: int = 0
    away: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    known: dict[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Deliverer:
    """Delivers what is due. `chance` spreads pauses, `pause` waits; tests replace both, and the clocks."""

    outbox: Outbox
    channels: Sequence[Channel]
    now: Callable[[], dt.datetime] = _read_clock
    chance: Callable[[], float] = random.random
    pause: Callable[[float], None] = time.sleep
    elapsed: Callable[[], float] = time.monotonic

    def deliver(self, *, known: Known | None = None) -> Delivery:
        """One round. `known` of the round before saves reading what is settled; it need not be right."""
        done = Delivery()
        entries = self._read(known or {}, done)
        ends_at = self.elapsed() + _BUDGET_SECONDS
        for _, channels in groupby(self.channels, key=lambda channel: channel.group):
            self._serve_group(list(channels), entries, ends_at, done)
        self._drop_unset(entries, done)
        done.waiting = sum(not entry.is_settled for entry in entries.values())
        return done

    def _read(self, known: Known, done: Delivery) -> dict[str, Entry]:
        """What is not settled, oldest first; what is kept no longer is removed.

        Where that is more than can be read in time, reading begins somewhere else in each round.
        """
        now = self.now()
        open_entries: list[Entry] = []
        outdated: list[str] = []
        items = list(self.outbox.list_objects())
        start = int(self.chance() * len(items))
        ends_at = self.elapsed() + _READING_SECONDS
        for item in items[start:] + items[:start]:
            if self.elapsed() >= ends_at:
                break
            alert_id = read_alert_id(item.name)
            etag, remove_at = known.get(alert_id, (None, 0.0))
            if etag is not None and etag == item.etag and remove_at > now.timestamp():
                done.known[alert_id] = (etag, remove_at)
                continue
            try:
                found = self.outbox.find(alert_id)
            except IntegrityError:
                done.unreadable.append(item.name)
                continue
            if found is None:
                continue
            entry, etag = found
            if not entry.is_settled:
                open_entries.append(entry)
            elif entry.remove_at <= now:
                outdated.append(alert_id)
            elif etag == item.etag:
                done.known[alert_id] = (etag, entry.remove_at.timestamp())
        self.outbox.remove(outdated)
        done.removed = len(outdated)
        open_entries.sort(key=lambda entry: (entry.created_at, entry.alert.at))
        return {entry.alert.alert_id: entry for entry in open_entries}

    def _serve_group(
        self,
        channels: Sequence[Channel],
        entries: dict[str, Entry],
        ends_at: float,
        done: Delivery,
    ) -> None:
        """In order. A channel that is away or refuses too much is left alone; a dead server all at once."""
        stopped: set[str] = set()
        refused: Counter[str] = Counter()
        sent = 0
        for alert_id, channel in _list_work(entries, channels):
            if channel.name in stopped:
                continue
            state = entries[alert_id].channels[channel.name]
            if _holds_up(state, now=self.now()):
                done.away[channel.label] = state.problem or "no answer"
                stopped.add(channel.name)
                continue
            if sent >= _MOST_SENT_A_GROUP or self.elapsed() >= ends_at:
                return
            outcome = self._attempt(alert_id, channel, entries, done)
            if outcome is None:
                continue
            sent += 1
            if outcome.is_unreachable:
                return
            refused[channel.name] += outcome.ending is Ending.REFUSED
            if outcome.ending is Ending.AWAY or refused[channel.name] >= _MOST_REFUSED:
                stopped.add(channel.name)

    def _attempt(
        self, alert_id: str, channel: Channel, entries: dict[str, Entry], done: Delivery
    ) -> Outcome | None:
        """Claim, send, mark; None when it is not ours to send now."""
        claim = secrets.token_hex(8)
        ours: list[Entry] = []

        def take(entry: Entry) -> Entry | None:
            state = entry.channels.get(channel.name)
            if state is None:
                return None
            if state.claim == claim:
                # The store had it already, and its answer was lost on the way.
                ours.append(entry)
            claimed = state.claimed(claim, now=self.now())
            return None if claimed is None else entry.with_channel(channel.name, claimed)

        entry = self.outbox.change(alert_id, take) or next(iter(ours), None)
        if entry is None:
            return None
        entries[alert_id] = entry
        lapses_at = entry.channels[channel.name].due_at
        if self.now() + dt.timedelta(seconds=SEND_SECONDS) >= lapses_at:
            # This process stood still for so long that somebody else may be sending it.
            return None
        outcome = channel.send(entry.alert)
        marked = self._mark(alert_id, channel, claim, outcome)
        if marked is not None:
            entries[alert_id] = marked
            _report(marked, channel, outcome, done)
        return outcome

    def _mark(self, alert_id: str, channel: Channel, claim: str, outcome: Outcome) -> Entry | None:
        """Write down how it ended: tried again at once when the store is away, for a claim must not lapse."""

        def settle(entry: Entry) -> Entry | None:
            state = entry.channels[channel.name]
            is_ours = state.claim == claim
            # Delivered is delivered, whoever has claimed it since; of a failure, they know better.
            if state.standing is Standing.DELIVERED or not (
                is_ours or outcome.ending is Ending.DELIVERED
            ):
                return None
            after = state.after(
                outcome,
                now=self.now(),
                waiting_since=entry.created_at,
                chance=self.chance(),
            )
            return entry.with_channel(channel.name, after)

        for attempt in range(1, _MARKING_ATTEMPTS):
            try:
                return self.outbox.change(alert_id, settle)
            except TransientError:
                self.pause(float(attempt))
        return self.outbox.change(alert_id, settle)

    def _drop_unset(self, entries: dict[str, Entry], done: Delivery) -> None:
        """Give up what waits for a channel that has not been set for a day."""
        names = {channel.name for channel in self.channels}

        def give_up(entry: Entry) -> Entry | None:
            changed = entry
            for name, state in entry.channels.items():
                if name not in names and not state.is_settled:
                    changed = changed.with_channel(name, _abandon(state, now=self.now()))
            return None if changed is entry else changed

        for alert_id, entry in list(entries.items()):
            if self.now() - entry.created_at >= _UNSET_FOR and give_up(entry) is not None:
                changed = self.outbox.change(alert_id, give_up)
                if changed is not None:
                    entries[alert_id] = changed
                    done.given_up.append(f"'{changed.alert.title}': {_NO_CHANNEL}")


def _list_work(
    entries: Mapping[str, Entry], channels: Iterable[Channel]
) -> list[tuple[str, Channel]]:
    """What is not settled, alert by alert."""
    by_name = {channel.name: channel for channel in channels}
    return [
        (alert_id, by_name[name])
        for alert_id, entry in entries.items()
        for name, state in entry.channels.items()
        if name in by_name and not state.is_settled
    ]


def _holds_up(state: ChannelState, *, now: dt.datetime) -> bool:
    """Whether the channel was away for this one, and is left alone for a while: with all that follows."""
    is_away = state.standing is Standing.WAITING and state.refused_since is None
    return is_away and state.due_at > now


def _abandon(state: ChannelState, *, now: dt.datetime) -> ChannelState:
    return ChannelState(
        standing=Standing.GIVEN_UP,
        since=now,
        due_at=now,
        attempts=state.attempts,
        in_doubt=state.in_doubt,
        problem=_NO_CHANNEL,
    )


def _report(entry: Entry, channel: Channel, outcome: Outcome, done: Delivery) -> None:
    if outcome.ending is Ending.DELIVERED:
        done.delivered += 1
        return
    told = done.refused if outcome.ending is Ending.REFUSED else done.away
    told[channel.label] = outcome.problem or "no answer"
    if entry.channels[channel.name].standing is Standing.GIVEN_UP:
        done.given_up.append(f"'{entry.alert.title}': {channel.label}, {outcome.problem}")

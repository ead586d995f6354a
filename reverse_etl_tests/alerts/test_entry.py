"""How an alert stands with a channel: what may follow what."""

import datetime as dt

import pytest

from reverse_etl.alerts.entry import (
    CLAIM,
    ChannelState,
    Entry,
    Standing,
    build_entry,
    decode_entry,
    encode_entry,
)
from reverse_etl.alerts.outcome import DELIVERED, Ending, Outcome
from reverse_etl.errors import IntegrityError
from reverse_etl_tests.alerts.scenes import NOW, build_alert

AWAY = Outcome(ending=Ending.AWAY, problem="it answered 503")
REFUSED = Outcome(ending=Ending.REFUSED, problem="it answered 404")


def start() -> ChannelState:
    return build_entry(build_alert(), ("slack",), now=NOW).channels["slack"]


def attempt(
    state: ChannelState, outcome: Outcome, *, now: dt.datetime, chance: float = 1.0
) -> ChannelState:
    claimed = state.claimed("me", now=now)
    assert claimed is not None
    return claimed.after(outcome, now=now, waiting_since=NOW, chance=chance)


def test_entry_survives_its_document() -> None:
    """Every state, and all of the alert."""
    entry = build_entry(build_alert(folded=3), ("slack", "webhook", "email-1"), now=NOW)
    for name, outcome in (("slack", AWAY), ("webhook", REFUSED)):
        entry = entry.with_channel(name, attempt(entry.channels[name], outcome, now=NOW))
    claimed = entry.channels["email-1"].claimed("me", now=NOW)
    assert claimed is not None
    entry = entry.with_channel("email-1", claimed)

    assert decode_entry("name", encode_entry(entry)) == entry


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"format": 2}', b'{"format": 1}', b"\xff"])
def test_foreign_document_is_named_not_quoted(body: bytes) -> None:
    """Whoever edited it is told which."""
    with pytest.raises(IntegrityError, match=r"'_alerts/outbox/x\.json' of the store"):
        decode_entry("_alerts/outbox/x.json", body)


def test_claim_keeps_others_away_until_it_lapses() -> None:
    """One sends; when it never comes back, another does, and knows that it is in doubt."""
    claimed = start().claimed("me", now=NOW)
    assert claimed is not None

    assert claimed.claimed("you", now=NOW + CLAIM - dt.timedelta(seconds=1)) is None
    lapsed = claimed.claimed("you", now=NOW + CLAIM)
    assert lapsed is not None
    assert (lapsed.claim, lapsed.attempts, lapsed.in_doubt) == ("you", 2, 1)


def test_pauses_grow_to_ten_minutes() -> None:
    """30 seconds, doubled; half of it is left to chance."""
    state, now, pauses = start(), NOW, []
    for _ in range(8):
        state = attempt(state, AWAY, now=now)
        pauses.append((state.due_at - now).total_seconds())
        now = state.due_at

    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    assert attempt(start(), AWAY, now=NOW, chance=0.0).due_at - NOW == dt.timedelta(seconds=15)


@pytest.mark.parametrize(("asked", "seconds"), [(90.0, 90), (1.0, 30), (1e9, 3600)])
def test_channel_may_ask_for_more_time(asked: float, seconds: int) -> None:
    """Never less than the pause, never more than an hour."""
    outcome = Outcome(ending=Ending.AWAY, problem="it answered 429", retry_after_seconds=asked)

    assert attempt(start(), outcome, now=NOW).due_at - NOW == dt.timedelta(seconds=seconds)


def test_refusal_is_tried_hourly_for_three_days() -> None:
    """Time enough to mend a setting; then it is given up."""
    state, now, attempts = start(), NOW, 0
    while not state.is_settled:
        state = attempt(state, REFUSED, now=now)
        attempts += 1
        now += dt.timedelta(hours=1)

    assert state.standing is Standing.GIVEN_UP
    assert attempts == 3 * 24 + 1
    assert state.problem == "it answered 404"


def test_away_is_given_up_after_two_weeks() -> None:
    """Not sooner: whatever is back by then gets everything."""
    almost, over = NOW + dt.timedelta(days=13.9), NOW + dt.timedelta(days=14)

    assert attempt(start(), AWAY, now=almost).standing is Standing.WAITING
    assert attempt(start(), AWAY, now=over).standing is Standing.GIVEN_UP
    assert attempt(start(), DELIVERED, now=over).standing is Standing.DELIVERED


def test_settled_is_not_touched_again() -> None:
    """What was delivered is not claimed, and is not retried."""
    state = attempt(start(), DELIVERED, now=NOW)

    assert state.claimed("me", now=NOW + dt.timedelta(days=1)) is None
    assert state.retried(now=NOW) is None


def test_given_up_can_be_retried() -> None:
    """As if it were new."""
    state = attempt(start(), REFUSED, now=NOW)
    for days in (1, 3):
        state = attempt(state, REFUSED, now=NOW + dt.timedelta(days=days))
    assert state.standing is Standing.GIVEN_UP

    again = state.retried(now=NOW + dt.timedelta(days=4))

    assert again is not None
    assert (again.standing, again.due_at) == (Standing.WAITING, NOW + dt.timedelta(days=4))
    assert attempt(again, REFUSED, now=again.due_at).standing is Standing.WAITING


def test_settled_entries_are_kept_for_a_while() -> None:
    """A week when delivered, thirty days when given up."""
    entry = build_entry(build_alert(), ("slack",), now=NOW)

    def settle(standing: Standing) -> Entry:
        state = ChannelState(standing=standing, since=NOW, due_at=NOW)
        return entry.with_channel("slack", state)

    assert settle(Standing.DELIVERED).remove_at == NOW + dt.timedelta(days=7)
    assert settle(Standing.GIVEN_UP).remove_at == NOW + dt.timedelta(days=30)
    assert settle(Standing.GIVEN_UP).was_in_vain
    assert not settle(Standing.DELIVERED).was_in_vain

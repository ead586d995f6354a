"""When a session is renewed, when it counts as over, and how long failures make one wait."""

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.auth.clock import Clock, estimate_skew
from reverse_etl.auth.held import HeldSession, compute_margin, compute_pause, compute_renewal
from reverse_etl.model import AwsCredentials
from reverse_etl_tests.auth.clocks import NOON, ManualClock

lifetimes = st.floats(min_value=0.001, max_value=12 * 3600)
windows = st.floats(min_value=0.001, max_value=3600)


def make_session(clock: Clock, *, seconds: float | None = 3600.0, name: str = "A") -> HeldSession:
    ends = None if seconds is None else clock.now() + dt.timedelta(seconds=seconds)
    credentials = AwsCredentials(
        access_key_id=f"ASIA{name}",
        secret_access_key="secret",
        session_token=f"token {name}",
        expires_at=ends,
    )
    return HeldSession.begin(credentials, clock)


@given(lifetimes, windows)
def test_renewal_comes_in_the_second_half_and_before_the_end(
    lifetime: float, window: float
) -> None:
    """No session is renewed as soon as it is there, and every one before it counts as over."""
    renewal = compute_renewal(lifetime, most_seconds=window)
    margin = compute_margin(lifetime, most_seconds=window)

    assert 0 < margin < renewal <= lifetime / 2
    assert renewal <= window
    assert margin <= 30


@pytest.mark.parametrize(
    ("lifetime", "renewal", "margin"),
    [(3600.0, 600.0, 30.0), (43200.0, 600.0, 30.0), (900.0, 450.0, 30.0), (4.0, 2.0, 0.2)],
)
def test_renewal_of_the_usual_sessions(lifetime: float, renewal: float, margin: float) -> None:
    """Ten minutes before the end; a session of a quarter of an hour at its half."""
    assert compute_renewal(lifetime, most_seconds=600.0) == renewal
    assert compute_margin(lifetime, most_seconds=600.0) == pytest.approx(margin)


@given(st.integers(min_value=1, max_value=10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_stay_between_a_second_and_half_a_minute(failures: int, fraction: float) -> None:
    """However often it failed, and whatever is drawn."""
    pause = compute_pause(failures, fraction=fraction)

    assert 1 <= pause <= 30
    assert compute_pause(failures + 1, fraction=0.0) >= compute_pause(failures, fraction=0.0)


def test_pauses_double_and_are_drawn() -> None:
    """Half of a pause is fixed, so that none is short; half is drawn."""
    assert [compute_pause(count, fraction=0.0) for count in range(1, 7)] == [1, 2, 4, 8, 15, 15]
    assert [compute_pause(count, fraction=0.5) for count in range(1, 4)] == [1.5, 3, 6]


def test_time_left_is_by_the_stricter_clock() -> None:
    """A clock that is put back makes no session longer; a machine that slept has lived on."""
    time = ManualClock()
    held = make_session(time.clock)

    time.pass_time(600)
    assert held.count_seconds_left(time.clock) == 3000
    time.set_wall(-300)
    assert held.count_seconds_left(time.clock) == 3000
    time.set_wall(+900)
    assert held.count_seconds_left(time.clock) == 2400


def test_stored_keys_do_not_end() -> None:
    """Nothing to renew, ever."""
    time = ManualClock()
    held = make_session(time.clock, seconds=None)

    time.pass_time(1e9)

    assert held.count_seconds_left(time.clock) == math.inf


def test_sessions_are_told_apart_by_their_keys() -> None:
    """The same keys are the same session, whenever they were asked for."""
    time = ManualClock()
    held = make_session(time.clock)

    assert held.is_same_as(make_session(time.clock, seconds=10))
    assert not held.is_same_as(make_session(time.clock, name="B"))


def test_a_held_session_shows_no_secret() -> None:
    """Nor does it when it is looked at."""
    shown = repr(make_session(ManualClock().clock))

    assert "secret" not in shown.replace("lifetime_seconds", "")
    assert "token A" not in shown


@given(
    st.floats(min_value=-900, max_value=900),
    st.floats(min_value=0, max_value=0.999),
    st.floats(min_value=0, max_value=5),
    st.floats(min_value=0, max_value=5),
)
def test_a_session_never_ends_later_by_our_clock_than_by_theirs(
    ahead: float, fraction: float, there: float, back: float
) -> None:
    """An estimate is too far ahead rather than short; where none is needed, it is a second and the way."""
    answered = NOON.replace(microsecond=0) + dt.timedelta(seconds=fraction)
    sent, received = (
        answered - dt.timedelta(seconds=ahead + there),
        answered - dt.timedelta(seconds=ahead - back),
    )

    skew = estimate_skew(answered.replace(microsecond=0), sent=sent, received=received)

    short = ahead - skew.total_seconds()
    assert -(there + 1.001) <= short <= back + 1.001
    assert not skew or short <= 0.001


def test_a_clock_that_may_be_right_is_taken_at_its_word() -> None:
    """The server tells whole seconds: less than one is no skew."""
    sent = NOON + dt.timedelta(seconds=0.9)

    assert estimate_skew(NOON, sent=sent, received=sent) == dt.timedelta(0)

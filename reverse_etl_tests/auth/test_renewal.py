"""The whole of it against real servers: one exchange for all, renewals beside the work, outages."""

import datetime as dt
import threading
import time as real_time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from reverse_etl.auth.build import open_credentials
from reverse_etl.auth.clock import SYSTEM_CLOCK
from reverse_etl.auth.shared import SharedCredentials
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl_tests.auth.clocks import ManualClock, make_wrong_clock
from reverse_etl_tests.auth.conftest import Keep
from reverse_etl_tests.auth.test_shared import PATIENCE, count_waiting, finish, get_id, wait_until
from reverse_etl_tests.identity.fixtures import Scene, open_scene
from reverse_etl_tests.identity.metadata import IDENTITY_PATH
from reverse_etl_tests.identity.pointing import pointed_at

THREADS = 16


@pytest.fixture
def brief_scene() -> Iterator[Scene]:
    """Sessions of a second and a half, whatever is asked for."""
    with open_scene(session_seconds_override=1.5) as scene, pointed_at(scene.metadata):
        yield scene


def get_live(scene: Scene, shared: SharedCredentials) -> str:
    """The session of the moment, by its key id; AWS would have taken it when it was asked for."""
    asked_at = scene.clock()
    found = get_id(shared)
    session = scene.sessions.find(found)
    assert session is not None
    assert not session.is_expired(asked_at)
    return found


def ask_until(scene: Scene, shared: SharedCredentials, *, sessions: int) -> int:
    """Many threads ask until so many sessions were seen; returns how many there were, one more at times."""
    seen: set[str] = set()

    def ask() -> None:
        while len(seen) < sessions:
            seen.add(get_live(scene, shared))
            real_time.sleep(0.005)

    with ThreadPoolExecutor(THREADS) as pool:
        for task in [pool.submit(ask) for _ in range(THREADS)]:
            task.result()
    finish(shared)
    assert shared._held is not None
    return len(seen | {shared._held.credentials.access_key_id})


def ask_for_ever(scene: Scene, shared: SharedCredentials) -> None:
    while True:
        get_live(scene, shared)
        real_time.sleep(0.005)


def test_cold_threads_cause_one_exchange(scene: Scene, keep: Keep) -> None:
    """Sixty-four of them: one token of Google, one call of STS, one session."""
    shared = keep(open_credentials(scene.options()))
    gate = threading.Barrier(64)

    def ask() -> str:
        gate.wait(PATIENCE)
        return get_id(shared)

    with ThreadPoolExecutor(64) as pool:
        found = {task.result() for task in [pool.submit(ask) for _ in range(64)]}

    assert len(found) == 1
    assert scene.sts.exchanges == 1
    assert scene.metadata.tokens_asked == 1


def test_cold_threads_that_fail_cause_one_exchange(scene: Scene, keep: Keep) -> None:
    """Not sixty-four in a row: one refusal is told to all who waited."""
    scene.sts.roles.clear()
    held_back = scene.metadata.faults.hang(match=IDENTITY_PATH)
    shared = keep(open_credentials(scene.options()))

    with ThreadPoolExecutor(64) as pool:
        asking = [pool.submit(shared.get) for _ in range(64)]
        wait_until(lambda: count_waiting(shared) == 64)
        held_back.release()
        errors = [task.exception() for task in asking]

    assert {type(error) for error in errors} == {ConfigError}
    assert scene.sts.exchanges == 1


def test_sessions_are_renewed_beside_the_work(brief_scene: Scene, keep: Keep) -> None:
    """In real time: as many exchanges as sessions, no error, never a session that is over."""
    shared = keep(open_credentials(brief_scene.options()))

    sessions = ask_until(brief_scene, shared, sessions=3)

    assert sessions >= 3
    assert brief_scene.sts.exchanges == len(brief_scene.sessions.sessions) == sessions


@pytest.mark.parametrize("ahead", [-300, 300])
def test_a_wrong_clock_does_not_matter(ahead: int, keep: Keep) -> None:
    """Five minutes either way, with sessions of seconds: each is live when it is handed out."""
    with open_scene(session_seconds_override=3.0) as scene, pointed_at(scene.metadata):
        shared = keep(open_credentials(scene.options(), clock=make_wrong_clock(ahead)))

        sessions = ask_until(scene, shared, sessions=2)

        assert scene.sts.exchanges == sessions


def test_an_outage_to_the_end_is_an_error_and_nothing_expired(
    brief_scene: Scene, keep: Keep
) -> None:
    """In real time: live sessions as long as there are any, then the reason."""
    shared = keep(open_credentials(brief_scene.options()))
    get_live(brief_scene, shared)

    with brief_scene.sts.faults.outage(), pytest.raises(TransientError, match="HTTP 503"):
        ask_for_ever(brief_scene, shared)

    assert len(brief_scene.sessions.sessions) == 1
    wait_until(lambda: _is_served(shared))


def _is_served(shared: SharedCredentials) -> bool:
    """Whether there is a session again: a second after the last failure, anybody may ask."""
    try:
        shared.get()
    except TransientError:
        return False
    return True


def test_an_outage_while_the_session_lasts_costs_nothing(scene: Scene, keep: Keep) -> None:
    """Eight minutes of it, by a clock that is set: no error, few calls, and then a new session."""
    time = ManualClock()
    shared = keep(open_credentials(scene.options(), clock=time.clock))
    first = get_id(shared)
    time.pass_time(3000)

    with scene.sts.faults.outage(400, "IDPRejectedClaim"):
        for _ in range(100):
            assert get_id(shared) == first
            finish(shared)
            time.pass_time(5)

    # Once it has gone on for a while, 15 to 30 seconds pass between two calls, and up to 5 more here.
    assert 500 / 35 <= scene.sts.exchanges - 1 <= 5 + 500 / 15
    time.pass_time(31)
    get_id(shared)
    finish(shared)
    assert get_id(shared) != first


def test_an_sts_that_hangs_blocks_nobody(scene: Scene, keep: Keep) -> None:
    """Sixteen threads go on while the renewal has no answer."""
    time = ManualClock()
    shared = keep(open_credentials(scene.options(), clock=time.clock))
    first = get_id(shared)
    time.pass_time(3000)
    hanging = scene.sts.faults.hang()

    get_id(shared)
    assert hanging.reached.wait(PATIENCE)
    with ThreadPoolExecutor(THREADS) as pool:
        found = {task.result() for task in [pool.submit(get_id, shared) for _ in range(160)]}
    is_still_hanging = shared._attempt is not None
    hanging.release()
    finish(shared)

    assert is_still_hanging
    assert found == {first}
    assert get_id(shared) != first
    assert scene.sts.exchanges == 2


def test_a_lost_answer_costs_one_exchange(scene: Scene, keep: Keep) -> None:
    """AWS gave a session to nobody; the next one serves."""
    scene.sts.faults.lose_answer()
    shared = keep(open_credentials(scene.options()))

    found = get_id(shared)

    assert [session.access_key_id for session in scene.sessions.sessions][1:] == [found]
    assert scene.sts.exchanges == 2


def test_no_get_ever_shows_a_token_in_its_error(scene: Scene, keep: Keep) -> None:
    """Through all of it: the error, its cause and its context."""
    scene.sts.roles.clear()
    tokens = []

    def make(claims: dict[str, object]) -> str:
        tokens.append(scene.issuer.sign(claims))
        return tokens[-1]

    scene.metadata.make_token = make
    shared = keep(open_credentials(scene.options()))

    with pytest.raises(ConfigError) as caught:
        shared.get()

    assert tokens[0] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert scene.issuer.unique_id in str(caught.value)


def test_a_session_is_as_long_as_its_own_clock_says(scene: Scene, keep: Keep) -> None:
    """A wall clock of another day: an hour is an hour by the clock that runs on."""
    time = ManualClock()
    shared = keep(open_credentials(scene.options(), clock=time.clock))

    found = shared.get()

    assert found.expires_at is not None
    assert dt.timedelta(0) <= time.wall + dt.timedelta(hours=1) - found.expires_at
    assert time.wall + dt.timedelta(hours=1) - found.expires_at <= dt.timedelta(seconds=2)
    assert abs(SYSTEM_CLOCK.now() - time.wall) > dt.timedelta(seconds=2)

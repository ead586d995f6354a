"""One session for all who ask: obtained once, renewed beside them, never handed out when it is over."""

import datetime as dt
import logging
import threading
import time as real_time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.auth.shared import SharedCredentials
from reverse_etl.errors import ConfigError, TerminalError, TransientError
from reverse_etl.model import AwsCredentials
from reverse_etl_tests.auth.clocks import ManualClock
from reverse_etl_tests.auth.conftest import Keep

PATIENCE = 10


class Aws:
    """Gives sessions `A0`, `A1`, ... of `seconds`; fails or waits as a test says."""

    def __init__(self, time: ManualClock, *, seconds: float | None = 3600.0) -> None:
        self.time = time
        self.seconds = seconds
        self.calls = 0
        self.given = 0
        self.error: BaseException | None = None
        self.repeats = False
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._lock = threading.Lock()
        self.at_once = self.most_at_once = 0

    def __call__(self) -> AwsCredentials:
        with self._lock:
            self.calls += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.set()
        assert self.may_answer.wait(PATIENCE)
        with self._lock:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        return self._give()

    def _give(self) -> AwsCredentials:
        if not (self.repeats and self.given):
            self.given += 1
            self._ends = None
            if self.seconds is not None:
                self._ends = self.time.wall + dt.timedelta(seconds=self.seconds)
        return AwsCredentials(
            access_key_id=f"A{self.given - 1}",
            secret_access_key="secret",
            session_token="token",
            expires_at=self._ends,
        )


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def aws(time: ManualClock) -> Aws:
    return Aws(time)


@pytest.fixture
def shared(aws: Aws, time: ManualClock, keep: Keep) -> SharedCredentials:
    return keep(SharedCredentials(aws, clock=time.clock))


def finish(shared: SharedCredentials) -> None:
    """Wait for a renewal that is under way."""
    thread = shared._thread
    if thread is not None:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def get_id(shared: SharedCredentials) -> str:
    return shared.get().access_key_id


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = real_time.monotonic() + PATIENCE
    while not is_so():
        assert real_time.monotonic() < deadline
        real_time.sleep(0.005)


def count_waiting(shared: SharedCredentials) -> int:
    attempt = shared._attempt
    return 0 if attempt is None else len(attempt._condition._waiters)  # type: ignore[attr-defined]


def test_nothing_is_asked_before_it_is_needed(shared: SharedCredentials, aws: Aws) -> None:
    """Building a store contacts nobody."""
    assert aws.calls == 0

    shared.get()

    assert aws.calls == 1


def test_a_session_serves_until_ten_minutes_before_its_end(
    shared: SharedCredentials, aws: Aws, time: ManualClock
) -> None:
    """One exchange in fifty minutes; whoever asks at the moment of renewal gets the old one."""
    assert get_id(shared) == "A0"
    time.pass_time(2999.9)
    assert get_id(shared) == "A0"
    finish(shared)
    assert aws.calls == 1

    time.pass_time(0.1)
    assert get_id(shared) == "A0"
    finish(shared)

    assert get_id(shared) == "A1"
    assert aws.calls == 2


@given(st.integers(min_value=10, max_value=43200))
def test_renewal_follows_the_length_of_the_session(seconds: int) -> None:
    """Of any session the larger part passes without a call, and then there is exactly one."""
    time = ManualClock()
    aws = Aws(time, seconds=float(seconds))
    shared = SharedCredentials(aws, clock=time.clock)
    moment = seconds - min(600, seconds / 2)

    shared.get()
    time.pass_time(moment - 0.5)
    shared.get()
    finish(shared)
    before = aws.calls
    time.pass_time(1)
    shared.get()
    finish(shared)
    shared.get()

    assert (before, aws.calls) == (1, 2)
    shared.close()


def test_threads_that_start_together_cause_one_exchange(
    shared: SharedCredentials, aws: Aws
) -> None:
    """Sixty-four cold threads, one question, one session for all."""
    aws.may_answer.clear()
    with ThreadPoolExecutor(64) as pool:
        asking = [pool.submit(get_id, shared) for _ in range(64)]
        wait_until(lambda: count_waiting(shared) == 64)
        aws.may_answer.set()

        found = {task.result() for task in asking}

    assert found == {"A0"}
    assert aws.calls == 1


def test_a_failure_is_told_to_all_who_waited(shared: SharedCredentials, aws: Aws) -> None:
    """One question, and an error for each: its own, for whoever catches it writes into it."""
    aws.error = ConfigError("AWS refused.")
    aws.may_answer.clear()
    with ThreadPoolExecutor(64) as pool:
        asking = [pool.submit(shared.get) for _ in range(64)]
        wait_until(lambda: count_waiting(shared) == 64)
        aws.may_answer.set()

        errors = [task.exception() for task in asking]

    assert aws.calls == 1
    assert {str(error) for error in errors} == {"AWS refused."}
    assert {type(error) for error in errors} == {ConfigError}
    assert len({id(error) for error in errors}) == 64


def test_a_first_failure_does_not_keep_the_next_from_asking(
    shared: SharedCredentials, aws: Aws
) -> None:
    """What has passed is not remembered."""
    aws.error = TransientError("busy")
    with pytest.raises(TransientError):
        shared.get()
    aws.error = None

    assert get_id(shared) == "A0"


def test_failures_in_a_row_are_told_without_asking(
    shared: SharedCredentials, aws: Aws, time: ManualClock
) -> None:
    """Uploads that fail one after the other ask once a second, not once each."""
    aws.error = TransientError("busy")
    for _ in range(50):
        with pytest.raises(TransientError):
            shared.get()
    assert aws.calls == 2

    time.pass_time(1)
    aws.error = None

    assert get_id(shared) == "A0"


def test_an_outage_costs_nothing_while_the_session_lasts(
    shared: SharedCredentials, aws: Aws, time: ManualClock
) -> None:
    """Asked ten times a second for nine and a half minutes: no error, and few questions."""
    shared.get()
    time.pass_time(3000)
    aws.error = TransientError("busy")

    for _ in range(5690):
        assert get_id(shared) == "A0"
        finish(shared)
        time.pass_time(0.1)

    # 1 + 2 + 4 + 8 + 15 s and so on at the least, twice that at the most.
    assert 22 <= aws.calls - 1 <= 5 + 570 / 15


def test_an_outage_that_outlasts_the_session_is_an_error(
    shared: SharedCredentials, aws: Aws, time: ManualClock
) -> None:
    """Half a minute before its end a session counts as over: never is an expired one handed out."""
    shared.get()
    aws.error = TransientError("busy")
    time.pass_time(3600 - 30.1)
    assert get_id(shared) == "A0"
    finish(shared)

    time.pass_time(0.2)

    with pytest.raises(TransientError, match="busy"):
        shared.get()


def test_a_renewal_that_hangs_blocks_nobody(
    shared: SharedCredentials, aws: Aws, time: ManualClock
) -> None:
    """Sixteen threads pass while the renewal has no answer, and there is but one of it."""
    shared.get()
    time.pass_time(3000)
    aws.asked.clear()
    aws.may_answer.clear()

    with ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(get_id, shared) for _ in range(500)]
        done = wait(asking, PATIENCE).done
    assert aws.asked.wait(PATIENCE)
    held_back = not aws.may_answer.is_set()
    aws.may_answer.set()
    finish(shared)

    assert held_back
    assert {task.result() for task in done} == {"A0"}
    assert len(done) == 500
    assert aws.calls == 2
    assert get_id(shared) == "A1"


def test_whoever_comes_too_late_joins_the_renewal(
    shared: SharedCredentials, aws: Aws, time: ManualClock
) -> None:
    """A session that ends while its renewal is under way: its answer is waited for, none is asked anew."""
    shared.get()
    time.pass_time(3000)
    aws.asked.clear()
    aws.may_answer.clear()
    shared.get()
    assert aws.asked.wait(PATIENCE)
    time.pass_time(600)

    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(get_id, shared)
        wait_until(lambda: count_waiting(shared) == 1)
        aws.may_answer.set()

        assert late.result() == "A1"
    assert aws.calls == 2


def test_never_two_exchanges_at_a_time(time: ManualClock, keep: Keep) -> None:
    """Whatever threads do while sessions come and go."""
    aws = Aws(time, seconds=100.0)
    shared = keep(SharedCredentials(aws, clock=time.clock))

    def ask_often() -> None:
        for _ in range(200):
            shared.get()
            time.pass_time(0.5)

    with ThreadPoolExecutor(8) as pool:
        for task in [pool.submit(ask_often) for _ in range(8)]:
            task.result()

    finish(shared)
    assert aws.most_at_once == 1


@pytest.mark.parametrize("wrong", [-300, 300])
def test_a_wall_clock_that_is_put_right_shows_no_expired_session(
    shared: SharedCredentials, aws: Aws, time: ManualClock, wrong: int
) -> None:
    """Five minutes either way in the middle of a session: renewal is never late for it."""
    shared.get()
    time.set_wall(wrong)
    aws.error = TransientError("busy")

    answers = []
    for _ in range(380):
        time.pass_time(10)
        try:
            answers.append((time.running, get_id(shared)))
        except TransientError:
            break
        finish(shared)

    last = answers[-1][0] - 1000
    assert last <= 3570
    assert last >= 3550 - max(wrong, 0)
    assert aws.calls > 2


def test_a_session_given_twice_is_no_renewal(
    shared: SharedCredentials, aws: Aws, time: ManualClock
) -> None:
    """The task's endpoint may have no new one yet: it is asked again with pauses, until the end."""
    aws.repeats = True
    shared.get()
    time.pass_time(3000)

    for _ in range(560):
        assert get_id(shared) == "A0"
        finish(shared)
        time.pass_time(1)

    assert 15 <= aws.calls <= 60
    time.pass_time(20)
    with pytest.raises(TransientError, match="over already"):
        shared.get()


def test_a_session_that_is_over_when_it_comes_is_an_error(time: ManualClock, keep: Keep) -> None:
    """Signing with it would fail somewhere else, and later."""
    shared = keep(SharedCredentials(Aws(time, seconds=-1), clock=time.clock))

    with pytest.raises(TransientError, match="over already"):
        shared.get()


def test_keys_without_an_end_are_asked_for_once(time: ManualClock, keep: Keep) -> None:
    """There is nothing to renew."""
    aws = Aws(time, seconds=None)
    shared = keep(SharedCredentials(aws, clock=time.clock))

    shared.get()
    time.pass_time(1e8)
    shared.get()

    assert aws.calls == 1


def test_a_failed_renewal_is_logged_and_shows_no_secret(
    shared: SharedCredentials, aws: Aws, time: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is told by an error; of what is not ours only the place is told."""
    shared.get()
    time.pass_time(3000)
    aws.error = RuntimeError("ASIA-SECRET")

    with caplog.at_level(logging.DEBUG):
        shared.get()
        finish(shared)

    assert "aws_session_not_renewed failures=1 seconds_left=600 error=RuntimeError" in caplog.text
    assert "test_shared.py" in caplog.text
    assert "ASIA-SECRET" not in caplog.text


def test_a_mistake_is_not_swallowed(shared: SharedCredentials, aws: Aws) -> None:
    """What is no error of ours reaches those who wait as it is."""
    aws.error = ZeroDivisionError("a mistake")

    with pytest.raises(ZeroDivisionError, match="a mistake"):
        shared.get()


def test_errors_carry_nothing_of_where_they_arose(shared: SharedCredentials, aws: Aws) -> None:
    """Frames and causes hold tokens; Dagster stores the chain."""
    aws.error = TransientError("busy")
    aws.error.__context__ = RuntimeError("ASIA-SECRET")

    with pytest.raises(TransientError) as caught:
        shared.get()

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert shared._failure is not None
    assert shared._failure.error.__traceback__ is None


def test_closed_credentials_are_refused(shared: SharedCredentials, aws: Aws) -> None:
    """And nothing is asked any more."""
    shared.get()

    shared.close()
    shared.close()

    with pytest.raises(TerminalError, match="closed"):
        shared.get()
    assert aws.calls == 1


def test_a_session_that_comes_after_the_close_is_not_kept(
    shared: SharedCredentials, aws: Aws
) -> None:
    """Whoever still waits for it is told that the run is over."""
    aws.may_answer.clear()
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(shared.get)
        wait_until(lambda: count_waiting(shared) == 1)
        closing = pool.submit(shared.close)
        wait_until(lambda: shared._is_closed)
        aws.may_answer.set()
        closing.result()

        assert isinstance(late.exception(), TerminalError)
    assert shared._held is None

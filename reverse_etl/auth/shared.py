"""One session at AWS for every thread and client: obtained once, renewed beside the work, never stale."""

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from reverse_etl.auth.cache_file import CredentialCache
from reverse_etl.auth.clock import SYSTEM_CLOCK, Clock
from reverse_etl.auth.held import HeldSession, compute_margin, compute_pause, compute_renewal
from reverse_etl.errors import ReverseEtlError, TerminalError, TransientError, locate_frames
from reverse_etl.model import AwsCredentials

_LOG = logging.getLogger(__name__)

# A first failure is told once, to all who waited; from the second on it is told for so long without
# asking again: hundreds of uploads that fail at once must not ask hundreds of times.
_COLD_PAUSE_SECONDS = 1.0
_CLOSE_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """The last attempt failed; until these moments (by uptime) none is made with and without credentials."""

    error: BaseException
    renewal_rests_until: float
    cold_rests_until: float


class SharedCredentials:
    """Credentials of the moment for any number of threads; nothing is contacted before the first `get`.

    `obtain` gives a new session, in a thread of its own and never twice at a time; with `cache`, once
    for all processes that share it. A session is renewed `renew_before_seconds` before its end (a short
    one at half of its life) while those who ask get the old one; a renewal that fails is repeated after
    1 to 30 seconds, and costs no error while the session lasts.
    """

    def __init__(
        self,
        obtain: Callable[[], AwsCredentials],
        *,
        cache: CredentialCache | None = None,
        renew_before_seconds: float = 600.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._obtain = obtain
        self._cache = cache
        self._renew_before_seconds = renew_before_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._held: HeldSession | None = None
        self._attempt: Future[HeldSession] | None = None
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._failure: _Failure | None = None
        self._is_closed = False

    def get(self) -> AwsCredentials:
        """Credentials that are valid now; waits only where there are none.

        Raises what `obtain` raised, to everybody who waited for it.
        """
        while True:
            held = self._held
            if held is not None and self._is_usable(held):
                if self._is_due(held):
                    self._renew()
                return held.credentials
            attempt = self._join()
            error = None if attempt is None else attempt.exception()
            if error is not None:
                raise _copy_error(error) from None

    def close(self) -> None:
        """Forget the session; a renewal that is under way ends by itself. `get` raises from now on."""
        with self._lock:
            self._is_closed = True
            self._held = None
            thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_PATIENCE_SECONDS)

    def _is_usable(self, held: HeldSession) -> bool:
        margin = compute_margin(held.lifetime_seconds, most_seconds=self._renew_before_seconds)
        return held.count_seconds_left(self._clock) > margin

    def _is_due(self, held: HeldSession) -> bool:
        before = compute_renewal(held.lifetime_seconds, most_seconds=self._renew_before_seconds)
        return held.count_seconds_left(self._clock) <= before

    def _renew(self) -> None:
        """Start a renewal unless one is under way, or one failed a moment ago."""
        with self._lock:
            failure = self._failure
            is_resting = failure is not None and self._clock.uptime() < failure.renewal_rests_until
            if self._attempt is None and not is_resting and not self._is_closed:
                self._start()

    def _join(self) -> Future[HeldSession] | None:
        """The attempt to wait for, which may have failed already; None if there is a session by now."""
        with self._lock:
            if self._is_closed:
                raise TerminalError(
                    "The AWS credentials were closed with the run that opened them: nothing more is signed."
                )
            if self._attempt is not None:
                return self._attempt
            if self._held is not None and self._is_usable(self._held):
                return None
            failure = self._failure
            if failure is not None and self._clock.uptime() < failure.cold_rests_until:
                failed: Future[HeldSession] = Future()
                failed.set_exception(failure.error)
                return failed
            return self._start()

    def _start(self) -> Future[HeldSession]:
        """Begin an attempt; the lock is held."""
        attempt: Future[HeldSession] = Future()
        thread = threading.Thread(
            target=self._try_obtain, args=(attempt,), name="aws-credentials", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            error = TransientError("No thread could be started to obtain AWS credentials.")
            self._note_failure(error)
            attempt.set_exception(error)
        else:
            self._attempt, self._thread = attempt, thread
        return attempt

    def _try_obtain(self, attempt: Future[HeldSession]) -> None:
        try:
            session = self._obtain_session()
        except BaseException as error:  # noqa: BLE001 - handed to those who wait, and logged
            failed = _copy_error(error)
            self._finish(failed)
            attempt.set_exception(failed)
        else:
            self._finish(session)
            attempt.set_result(session)

    def _obtain_session(self) -> HeldSession:
        if self._cache is None:
            return self._exchange()
        with self._cache.hold():
            found = self._cache.load(self._clock)
            if found is not None and self._is_enough(found):
                return found
            fresh = self._exchange()
            self._cache.store(fresh)
            return fresh

    def _is_enough(self, found: HeldSession) -> bool:
        """Whether another process' session saves an exchange: who has one of his own wants a new one."""
        held = self._held
        if held is not None and self._is_usable(held):
            return not self._is_due(found)
        return self._is_usable(found)

    def _exchange(self) -> HeldSession:
        fresh = HeldSession.begin(self._obtain(), self._clock)
        held = self._held
        if held is not None and held.is_same_as(fresh):
            fresh = held  # with its whole life, by which margins are counted
        if not self._is_usable(fresh):
            raise TransientError(
                "The session that AWS gave is over already, or about to be. Check this machine's clock; "
                "then run again."
            )
        return fresh

    def _finish(self, outcome: HeldSession | BaseException) -> None:
        """End an attempt: hold its session from now on, or remember why there is none."""
        error: BaseException | None
        if isinstance(outcome, HeldSession):
            # The task's endpoint may have no new session yet.
            unchanged = TransientError("AWS gave once more the session that was to be renewed.")
            error = unchanged if outcome is self._held else None
        else:
            error = outcome
        with self._lock:
            self._attempt = None
            if error is not None:
                self._note_failure(error)
            elif isinstance(outcome, HeldSession) and not self._is_closed:
                self._held, self._failures, self._failure = outcome, 0, None
            held = self._held
        if error is not None and held is not None and self._is_usable(held):
            self._log_failure(error, held)

    def _note_failure(self, error: BaseException) -> None:
        """Remember a failure; the lock is held."""
        self._failures += 1
        now = self._clock.uptime()
        fraction = random.random()  # noqa: S311 - jitter is no secret
        self._failure = _Failure(
            error=error,
            renewal_rests_until=now + compute_pause(self._failures, fraction=fraction),
            cold_rests_until=now + (_COLD_PAUSE_SECONDS if self._failures > 1 else 0.0),
        )

    def _log_failure(self, error: BaseException, held: HeldSession) -> None:
        """Say what nobody is told by an error, for the credentials still last."""
        _LOG.warning(
            "aws_session_not_renewed failures=%d seconds_left=%d error=%s message=%s",
            self._failures,
            held.count_seconds_left(self._clock),
            type(error).__name__,
            _describe(error),
        )


def _copy_error(error: BaseException) -> BaseException:
    """An error of ours for one more thread: who catches it writes into it, and frames hold tokens."""
    return type(error)(error.message) if isinstance(error, ReverseEtlError) else error


def _describe(error: BaseException) -> str:
    """Our own message; of any other error only where it was raised, for it may quote a secret."""
    return error.message if isinstance(error, ReverseEtlError) else " < ".join(locate_frames(error))

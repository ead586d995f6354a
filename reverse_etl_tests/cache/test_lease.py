"""The lease: one loader per sync at a time, for as long as it lives and no longer."""

import threading
import time

import pytest
import redis

from reverse_etl.cache import lease as lease_module
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.lease import hold_lease
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.uptime import read_uptime
from reverse_etl_tests.cache.builders import SYNC

pytestmark = pytest.mark.contract

KEY = f"{SYNC}:loading"


def wait_until_lost(check: object, *, seconds: float) -> None:
    """Call the check until it raises."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check()  # type: ignore[operator]
        time.sleep(0.01)


def test_second_loader_is_turned_away(target: RedisTarget) -> None:
    """While one run holds the lease another one waits, and then is told to come again."""
    with hold_lease(target, SYNC, wait_seconds=0) as lease:
        started = time.monotonic()
        with (
            pytest.raises(TransientError, match="Another run has been loading sync 'user_stats'"),
            hold_lease(target, SYNC, wait_seconds=0.2, poll_seconds=0.05),
        ):
            pass

        assert 0.2 <= time.monotonic() - started < 2
        lease.check()


def test_second_loader_follows_the_first(target: RedisTarget) -> None:
    """A run that waits gets the lease as soon as it is given up."""
    order: list[str] = []
    held = threading.Event()

    def first() -> None:
        with hold_lease(target, SYNC, wait_seconds=0):
            held.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(5)
    with hold_lease(target, SYNC, wait_seconds=10, poll_seconds=0.02):
        order.append("second")
    thread.join()

    assert order == ["first", "second"]


def test_syncs_do_not_wait_for_each_other(target: RedisTarget) -> None:
    """Each sync has a lease of its own."""
    with (
        hold_lease(target, SYNC, wait_seconds=0),
        hold_lease(target, "other", wait_seconds=0) as lease,
    ):
        lease.check()


def test_lease_is_gone_after_use(target: RedisTarget, raw: redis.Redis) -> None:
    """Given up, also when the work failed."""

    def fail_inside() -> None:
        with hold_lease(target, SYNC, wait_seconds=0):
            assert raw.exists(KEY)
            raise ConfigError("no")

    with pytest.raises(ConfigError):
        fail_inside()

    assert not raw.exists(KEY)


def test_lease_is_renewed_while_held(target: RedisTarget, raw: redis.Redis) -> None:
    """Work that takes longer than a term keeps the lease."""
    with hold_lease(target, SYNC, wait_seconds=0, ttl_seconds=0.9) as lease:
        for _ in range(5):
            time.sleep(0.3)
            lease.check()
            assert raw.exists(KEY)


def test_lease_of_a_dead_run_expires(target: RedisTarget, raw: redis.Redis) -> None:
    """Nobody has to clean up after a run that was killed."""
    raw.set(KEY, "a dead run's token", px=200)

    with hold_lease(target, SYNC, wait_seconds=5, poll_seconds=0.02) as lease:
        lease.check()


def test_lease_taken_by_another_is_lost(target: RedisTarget, raw: redis.Redis) -> None:
    """A run that finds another's token knows that it must stop, and leaves that token alone."""
    with hold_lease(target, SYNC, wait_seconds=0, ttl_seconds=0.3) as lease:
        raw.set(KEY, "another run's token")

        with pytest.raises(TransientError, match="lease of sync 'user_stats' in Redis was lost"):
            wait_until_lost(lease.check, seconds=5)

    assert raw.get(KEY) == b"another run's token"


def test_lease_is_lost_when_redis_is_away_for_a_term() -> None:
    """Cut off from Redis, a run counts its term down by its own clock; releasing is no error."""
    with (
        RedisServer() as server,
        RedisTarget(server.url) as target,
        hold_lease(target, SYNC, wait_seconds=0, ttl_seconds=0.4) as lease,
    ):
        server.stop()
        lease.check()

        with pytest.raises(TransientError, match="cut off from Redis"):
            wait_until_lost(lease.check, seconds=5)


def test_lost_answer_does_not_lock_a_run_out(target: RedisTarget, raw: redis.Redis) -> None:
    """A retry that finds its own token has the lease: the first try had succeeded."""
    with hold_lease(target, SYNC, wait_seconds=0) as lease:
        assert lease.try_acquire()

    assert not raw.exists(KEY)


def test_redis_away_at_the_start_is_told_at_once() -> None:
    """There is no waiting for a lease on a server that cannot be reached."""
    with (
        RedisTarget("redis://127.0.0.1:1") as target,
        pytest.raises(TransientError, match="cannot be reached"),
        hold_lease(target, SYNC, wait_seconds=60),
    ):
        pass


def test_machine_that_slept_knows_its_term_is_over(
    target: RedisTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suspended with its threads for longer than the term, a run does not go on as if nothing were."""
    with hold_lease(target, SYNC, wait_seconds=0, ttl_seconds=30) as lease:
        lease.check()
        with monkeypatch.context() as woken:
            woken.setattr(lease_module, "read_uptime", lambda: read_uptime() + 31)
            with pytest.raises(TransientError, match="was lost"):
                lease.check()

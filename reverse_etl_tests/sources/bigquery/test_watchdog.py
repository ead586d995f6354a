"""The watchdog: it wakes what is silent, leaves the rest alone, and goes when nothing is left."""

import threading

from reverse_etl.sources.bigquery.watchdog import Watch, Watchdog

_SOON = 10.0


def list_watchdogs() -> list[str]:
    return [it.name for it in threading.enumerate() if it.name == "bigquery-watchdog"]


def test_silent_call_is_cancelled() -> None:
    """A message that does not come in time ends the call, and the watch says so."""
    cancelled = threading.Event()
    with Watchdog(0.02).watch() as watch:
        watch.follow(cancelled.set)

        watch.expect()

        assert cancelled.wait(_SOON)
        assert watch.has_stalled


def test_next_call_starts_afresh() -> None:
    """What is opened again is not held to the silence of the call before."""
    first, second = threading.Event(), threading.Event()
    with Watchdog(0.02).watch() as watch:
        watch.follow(first.set)
        watch.expect()
        assert first.wait(_SOON)

        watch.follow(second.set)

        assert not watch.has_stalled
        watch.expect()
        assert second.wait(_SOON)


def test_only_waiting_counts() -> None:
    """A reader that is busy with what it has, for however long, is no stalled stream."""
    cancelled = threading.Event()
    watch = Watch()
    watch.follow(cancelled.set)
    watch.expect()
    watch.arrive()

    look_again = watch.check(now=1e9, stall_seconds=5.0)

    assert look_again == 1e9 + 5.0
    assert not cancelled.is_set()


def test_next_look_is_when_a_stream_may_be_late() -> None:
    """The thread sleeps until then, and not a moment less."""
    watch = Watch()
    watch.follow(threading.Event().set)
    watch.expect()
    assert watch._since is not None

    look_again = watch.check(now=watch._since + 2.0, stall_seconds=5.0)

    assert look_again == watch._since + 5.0


def test_one_thread_watches_all_streams() -> None:
    """However many are open, one thread is enough; with the last of them it is gone."""
    watchdog = Watchdog(_SOON)

    with watchdog.watch(), watchdog.watch(), watchdog.watch():
        assert len(list_watchdogs()) == 1

    assert list_watchdogs() == []


def test_watchdog_comes_back() -> None:
    """A reader that was idle is watched again when it reads again."""
    watchdog = Watchdog(0.02)
    with watchdog.watch():
        pass
    cancelled = threading.Event()

    with watchdog.watch() as watch:
        watch.follow(cancelled.set)
        watch.expect()

        assert cancelled.wait(_SOON)

    assert list_watchdogs() == []

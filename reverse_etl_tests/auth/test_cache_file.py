"""A session that processes share: in a private folder, whole or not at all, and one asks for all."""

import contextlib
import fcntl
import json
import logging
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.auth.build import compute_cache_key
from reverse_etl.auth.cache_file import CredentialCache, _parse
from reverse_etl.auth.clock import SYSTEM_CLOCK
from reverse_etl.auth.held import HeldSession
from reverse_etl.auth.shared import SharedCredentials
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.auth.clocks import ManualClock
from reverse_etl_tests.auth.conftest import Keep
from reverse_etl_tests.auth.test_build import OPTIONS
from reverse_etl_tests.auth.test_held import make_session
from reverse_etl_tests.auth.test_shared import Aws, finish

KEY = "0123456789abcdef"
#: As another run has it.
OTHER = compute_cache_key(OPTIONS)
HOUR = 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def cache(folder: Path) -> CredentialCache:
    return CredentialCache(folder, KEY)


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


def store(cache: CredentialCache, time: ManualClock, **changes: Any) -> HeldSession:
    held = make_session(time.clock, **changes)
    cache.store(held)
    return held


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / KEY
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_session_is_found_again(cache: CredentialCache, time: ManualClock) -> None:
    """With all that is known of it."""
    held = store(cache, time)

    assert cache.load(time.clock) == held


def test_without_a_session_nothing_is_found(cache: CredentialCache, time: ManualClock) -> None:
    """The folder is made, and is empty."""
    assert cache.load(time.clock) is None


def test_folder_and_files_are_private(
    cache: CredentialCache, folder: Path, time: ManualClock
) -> None:
    """Whatever the umask; no name tells a secret."""
    before = os.umask(0)
    try:
        with cache.hold():
            store(cache, time)
    finally:
        os.umask(before)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        KEY: 0o600,
        f"{KEY}.lock": 0o600,
    }


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o770, 0o701, 0o777])
def test_a_folder_open_to_others_is_refused(
    cache: CredentialCache, folder: Path, time: ManualClock, mode: int
) -> None:
    """Nothing is read from it and nothing written, and the message says what it has to be."""
    folder.mkdir()
    folder.chmod(mode)

    for use in (lambda: cache.load(time.clock), lambda: store(cache, time), cache.hold().__enter__):
        error = catch(use)
        assert isinstance(error, ConfigError)
        assert f"is open to others (mode {mode:04o})" in error.message
        assert "mode 0700" in error.message
    assert list(folder.iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(
    cache: CredentialCache, folder: Path, time: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They could read what is put there."""
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)

    error = catch(lambda: cache.load(time.clock))

    assert isinstance(error, ConfigError)
    assert "belongs to another user" in error.message


def test_a_link_is_no_folder(cache: CredentialCache, folder: Path, time: ManualClock) -> None:
    """Whoever may write beside it chooses where it leads."""
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)

    assert "cannot be opened as a folder" in catch(lambda: cache.load(time.clock)).message


def test_a_file_is_no_folder(cache: CredentialCache, folder: Path, time: ManualClock) -> None:
    """An answer for a person, not a traceback."""
    folder.write_text("")

    assert "cannot be opened as a folder" in catch(lambda: cache.load(time.clock)).message


@pytest.mark.parametrize("body", ["", "{", "null", "[]", "{}", "\x00" * 100, "[" * 60000, '{"a"'])
def test_a_damaged_file_is_ignored(
    cache: CredentialCache, folder: Path, time: ManualClock, body: str
) -> None:
    """And replaced by the next session."""
    store(cache, time)
    (folder / KEY).write_text(body)

    assert cache.load(time.clock) is None

    held = store(cache, time)
    assert cache.load(time.clock) == held


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"key": "another"},
        {"boot": "another machine"},
        {"access_key_id": None},
        {"access_key_id": ""},
        {"secret_access_key": 7},
        {"session_token": None},
        {"expires_at": "soon"},
        {"expires_at": "2026-11-19T13:00:00"},
        {"expires_at": "0001-01-01T00:00:00+23:59"},
        {"ends_at_uptime": "4600"},
        {"ends_at_uptime": float("nan")},
        {"ends_at_uptime": float("inf")},
        {"ends_at_uptime": 90000.0},
        {"lifetime_seconds": -1.0},
        {"lifetime_seconds": 1e9},
        {"lifetime_seconds": True},
    ],
    ids=str,
)
def test_what_is_not_a_session_of_ours_is_ignored(
    cache: CredentialCache, folder: Path, time: ManualClock, changes: dict[str, object]
) -> None:
    """Of another format, machine or start; or with a field that cannot be."""
    store(cache, time)
    rewrite(folder, **changes)

    assert cache.load(time.clock) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Whatever lies there."""
    assert _parse(body, key=KEY, clock=SYSTEM_CLOCK) is None


def test_a_file_that_others_may_read_is_ignored(
    cache: CredentialCache, folder: Path, time: ManualClock
) -> None:
    """It is not as we left it."""
    store(cache, time)
    (folder / KEY).chmod(0o640)

    assert cache.load(time.clock) is None


def test_a_link_a_pipe_or_a_folder_in_place_of_the_file_is_ignored(
    cache: CredentialCache, folder: Path, time: ManualClock
) -> None:
    """Neither is followed, nor waited for."""
    store(cache, time)
    (folder / KEY).rename(folder / "moved")
    (folder / KEY).symlink_to("moved")
    assert cache.load(time.clock) is None

    (folder / KEY).unlink()
    os.mkfifo(folder / KEY, 0o600)
    assert cache.load(time.clock) is None

    (folder / KEY).unlink()
    (folder / KEY).mkdir(0o700)
    assert cache.load(time.clock) is None


def test_what_a_killed_writer_left_is_replaced(
    cache: CredentialCache, folder: Path, time: ManualClock
) -> None:
    """Half a file is never read, and one at the most stays behind."""
    cache.load(time.clock)
    (folder / f"{KEY}.new").write_text('{"format": 1, "secret')

    held = store(cache, time)

    assert cache.load(time.clock) == held
    assert [path.name for path in folder.iterdir()] == [KEY]


def test_a_session_that_cannot_be_kept_is_still_a_session(
    cache: CredentialCache,
    folder: Path,
    time: ManualClock,
    keep: Keep,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A full disk costs the others an exchange, and a line in the log."""
    cache.load(time.clock)
    (folder / f"{KEY}.new").mkdir()
    shared = keep(SharedCredentials(Aws(time), cache=cache, clock=time.clock))

    with caplog.at_level(logging.WARNING):
        assert shared.get().access_key_id == "A0"

    assert "credential_cache_unwritable" in caplog.text


def test_keys_without_an_end_are_not_kept(cache: CredentialCache, time: ManualClock) -> None:
    """Who stored them stored them somewhere else."""
    with pytest.raises(ValueError, match="not kept"):
        store(cache, time, seconds=None)


def test_the_second_process_asks_nobody(
    cache: CredentialCache, time: ManualClock, keep: Keep
) -> None:
    """It finds what the first one obtained, and how long that is good for."""
    first, second = Aws(time), Aws(time)
    keep(SharedCredentials(first, cache=cache, clock=time.clock)).get()
    late = keep(SharedCredentials(second, cache=cache, clock=time.clock))
    time.pass_time(2990)

    assert late.get().access_key_id == "A0"
    finish(late)
    assert (first.calls, second.calls) == (1, 0)


def test_a_renewal_serves_all_processes(
    cache: CredentialCache, time: ManualClock, keep: Keep
) -> None:
    """Who comes second to the renewal takes the first one's session."""
    askers = [Aws(time), Aws(time)]
    both = [keep(SharedCredentials(aws, cache=cache, clock=time.clock)) for aws in askers]
    for shared in both:
        shared.get()

    time.pass_time(3001)
    for shared in both:
        shared.get()
        finish(shared)

    assert [aws.calls for aws in askers] == [2, 0]
    assert {shared.get().access_key_id for shared in both} == {"A1"}


def test_a_session_about_to_be_renewed_serves_a_new_process_meanwhile(
    cache: CredentialCache, time: ManualClock, keep: Keep
) -> None:
    """While STS is down, it is all there is."""
    keep(SharedCredentials(Aws(time), cache=cache, clock=time.clock)).get()
    time.pass_time(3300)
    aws = Aws(time)
    aws.error = TransientError("busy")
    late = keep(SharedCredentials(aws, cache=cache, clock=time.clock))

    assert late.get().access_key_id == "A0"
    assert late.get().access_key_id == "A0"
    finish(late)
    assert aws.calls == 1


def test_an_expired_session_of_the_folder_is_not_used(
    cache: CredentialCache, time: ManualClock, keep: Keep
) -> None:
    """Not even where its end cannot be renewed."""
    keep(SharedCredentials(Aws(time), cache=cache, clock=time.clock)).get()
    time.pass_time(3571)
    aws = Aws(time)
    aws.error = TransientError("busy")
    late = keep(SharedCredentials(aws, cache=cache, clock=time.clock))

    with pytest.raises(TransientError, match="busy"):
        late.get()


def test_a_folder_that_becomes_open_costs_nothing_while_the_session_lasts(
    cache: CredentialCache, folder: Path, time: ManualClock, keep: Keep
) -> None:
    """It is refused at the next renewal; who holds a session keeps it."""
    aws = Aws(time)
    shared = keep(SharedCredentials(aws, cache=cache, clock=time.clock))
    shared.get()
    folder.chmod(0o755)
    time.pass_time(3001)

    assert shared.get().access_key_id == "A0"
    finish(shared)
    time.pass_time(570)
    with pytest.raises(ConfigError, match="open to others"):
        shared.get()
    assert aws.calls == 1


def test_one_holder_at_a_time(cache: CredentialCache) -> None:
    """Threads of one process wait for each other as processes do."""
    inside, most = 0, 0
    counting = threading.Lock()

    def hold() -> None:
        nonlocal inside, most
        with cache.hold():
            with counting:
                inside += 1
                most = max(most, inside)
            with counting:
                inside -= 1

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(hold) for _ in range(4)]:
            task.result()

    assert most == 1


def test_a_holder_that_does_not_let_go_is_not_waited_for_for_ever(folder: Path) -> None:
    """A process that was stopped: the others ask for themselves."""
    with CredentialCache(folder, KEY).hold():
        impatient = CredentialCache(folder, KEY, patience_seconds=0.1)
        with impatient.hold():
            assert impatient.load(SYSTEM_CLOCK) is None


def test_a_killed_holder_blocks_nobody(folder: Path) -> None:
    """The kernel lets go what the dead held."""
    cache = CredentialCache(folder, KEY)
    code = (
        "import sys, time; from pathlib import Path;"
        "from reverse_etl.auth.cache_file import CredentialCache\n"
        f"with CredentialCache(Path({str(folder)!r}), {KEY!r}).hold():\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not _is_free(folder)

        holder.kill()
        holder.wait()

        with cache.hold():
            assert not _is_free(folder)
    assert _is_free(folder)


def leave(folder: Path, time: ManualClock, *, key: str = OTHER) -> list[Path]:
    """What another run that ended leaves behind, and what one that was killed may leave beside it."""
    other = CredentialCache(folder, key)
    with other.hold():
        store(other, time)
    (folder / f"{key}.new").write_text("")
    return [folder / key, folder / f"{key}.new", folder / f"{key}.lock"]


def age(paths: list[Path], seconds: float) -> None:
    for path in paths:
        before = path.stat().st_mtime - seconds
        os.utime(path, (before, before))


def test_sessions_that_have_ended_are_removed(
    cache: CredentialCache, folder: Path, time: ManualClock
) -> None:
    """Every run leaves two files: whoever stores a session takes away what no session outlives."""
    for key in (OTHER, OTHER[::-1]):
        age(leave(folder, time, key=key), 12 * HOUR + 60)

    with cache.hold():
        held = store(cache, time)

    assert {path.name for path in folder.iterdir()} == {KEY, f"{KEY}.lock"}
    assert cache.load(time.clock) == held


def test_sessions_that_may_last_stay(
    cache: CredentialCache, folder: Path, time: ManualClock
) -> None:
    """The longest is of twelve hours."""
    left = leave(folder, time)
    age(left, 12 * HOUR - 60)

    store(cache, time)

    assert all(path.exists() for path in left)


@pytest.mark.parametrize("young", [0, 1, 2], ids=["session", "unfinished", "lock"])
def test_a_session_that_somebody_comes_for_stays(
    cache: CredentialCache, folder: Path, time: ManualClock, young: int
) -> None:
    """One file that is young speaks for all three."""
    left = leave(folder, time)
    age([path for path in left if path != left[young]], 13 * HOUR)

    store(cache, time)

    assert all(path.exists() for path in left)


def test_coming_for_a_session_makes_its_lock_young(folder: Path, time: ManualClock) -> None:
    """By that it is seen that a run of more than twelve hours is still there."""
    lock = leave(folder, time)[-1]
    age([lock], 13 * HOUR)
    before = lock.stat().st_mtime

    with CredentialCache(folder, OTHER).hold():
        pass

    assert lock.stat().st_mtime > before + 12 * HOUR


def test_a_session_that_is_locked_stays(
    cache: CredentialCache, folder: Path, time: ManualClock
) -> None:
    """Somebody is about to store it anew."""
    left = leave(folder, time)

    with CredentialCache(folder, OTHER).hold():
        age(left, 13 * HOUR)
        store(cache, time)

    assert all(path.exists() for path in left)


def test_ones_own_session_is_not_removed(folder: Path, time: ManualClock) -> None:
    """Not even where the clock has leapt, and it looks old as soon as it is there."""
    mine = CredentialCache(folder, OTHER, patience_seconds=0.0)
    left = leave(folder, time)
    age(left, 13 * HOUR)

    store(mine, time)

    assert left[0].exists()
    assert left[2].exists()


def test_what_is_not_ours_stays(
    cache: CredentialCache, folder: Path, time: ManualClock, tmp_path: Path
) -> None:
    """The folder may hold other things, and links and pipes are neither followed nor waited for."""
    folder.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    age([elsewhere], 13 * HOUR)
    names = ["notes.lock", "notes", OTHER.upper() + ".lock", f"{OTHER}.locked", "a" * 32]
    for name in names:
        (folder / name).write_text("precious")
        age([folder / name], 13 * HOUR)
    (folder / f"{'b' * 32}.lock").symlink_to(elsewhere)
    os.mkfifo(folder / f"{'c' * 32}.lock", 0o600)
    age([folder / f"{'c' * 32}.lock"], 13 * HOUR)
    (folder / f"{'d' * 32}.lock").mkdir()
    before = {path.name: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}

    store(cache, time)

    after = {path.name: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}
    assert after == before | {KEY: stat.S_IFREG}
    assert elsewhere.read_text() == "precious"


def test_a_folder_that_cannot_be_swept_keeps_the_session(
    cache: CredentialCache,
    folder: Path,
    time: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What stays behind costs a line in the log."""
    age(leave(folder, time), 13 * HOUR)

    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    with caplog.at_level(logging.WARNING), monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        held = store(cache, time)

    assert cache.load(time.clock) == held
    assert "credential_cache_not_swept error=OSError" in caplog.text


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(
    cache: CredentialCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds a file that is not there any more keeps nobody out."""
    lock_file, opened = fcntl.flock, []

    def lose_once(lock: int, how: int) -> None:
        if not opened:
            (folder / f"{KEY}.lock").unlink()
        opened.append(lock)
        lock_file(lock, how)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", lose_once)
        holding = cache.hold()
        holding.__enter__()

    assert len(opened) == 2
    assert not _is_free(folder)
    holding.__exit__(None, None, None)
    assert _is_free(folder)


def _is_free(folder: Path) -> bool:
    """Whether nobody holds the lock."""
    with (folder / f"{KEY}.lock").open("rb") as lock, contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False

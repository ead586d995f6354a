"""One session for all processes of one user on one host: a private file, and a lock that says who asks.

It holds live secrets, so its folder should lie in memory. What cannot be used is ignored and replaced;
what nobody has used for longer than any session lasts is removed by whoever stores the next one.
"""

import contextlib
import datetime as dt
import fcntl
import json
import logging
import math
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reverse_etl.auth.clock import Clock
from reverse_etl.auth.held import HeldSession
from reverse_etl.errors import ConfigError
from reverse_etl.model import AwsCredentials

_LOG = logging.getLogger(__name__)

_FORMAT = 1
_LONGEST_SESSION_SECONDS = 12 * 3600
_MOST_BYTES = 1 << 16
_LOOK_SECONDS = 0.05
_LOCK = ".lock"
_UNFINISHED = ".new"
# Nobody else's file is likely to be called so, should the folder hold other things as well.
_LOCK_NAME = re.compile(r"[0-9a-f]{32}\.lock", re.ASCII)
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC
# Uptime counts from here; it differs between machines, and between two starts of one.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class CredentialCache:
    """A session in `folder` under `key`, which is no secret; every method looks at the folder anew.

    `ConfigError` when the folder is somebody else's or open to others: it is not used then.
    """

    def __init__(self, folder: Path, key: str, *, patience_seconds: float = 30.0) -> None:
        self._folder = folder
        self._key = key
        self._patience_seconds = patience_seconds

    def __repr__(self) -> str:
        return f"CredentialCache({str(self._folder)!r}, {self._key!r})"

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only one that asks for a session; the kernel lets go when a process dies.

        Whoever waited for long goes on without: a stopped process must not stop the others.
        """
        deadline = time.monotonic() + self._patience_seconds
        with self._open_folder() as folder:
            while True:
                # Anew each time: the file may have been removed between its opening and its locking.
                with self._open_lock(folder) as lock:
                    is_held = self._try_lock(lock) and os.fstat(lock).st_nlink > 0
                    if is_held or time.monotonic() >= deadline:
                        yield
                        return
                time.sleep(_LOOK_SECONDS)

    def load(self, clock: Clock) -> HeldSession | None:
        """The session that is there, which may be over; None if there is none that is ours."""
        with self._open_folder() as folder:
            body = _read_private(self._key, folder)
        return None if body is None else _parse(body, key=self._key, clock=clock)

    def store(self, held: HeldSession) -> None:
        """Leave a session for the others, in one piece, and remove those that have long ended.

        A full disk costs the cache, not the session.
        """
        body = json.dumps(_as_json(held, key=self._key)).encode()
        with self._open_folder() as folder:
            try:
                _write_private(self._key, body, folder)
            except OSError as error:
                _LOG.warning("credential_cache_unwritable error=%s", type(error).__name__)
            _remove_ended(folder, spare=self._key)

    @contextlib.contextmanager
    def _open_folder(self) -> Iterator[int]:
        """The folder as a descriptor, by which its files are named: nobody swaps it meanwhile."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
        except OSError as error:
            raise self._refuse(f"cannot be opened as a folder ({type(error).__name__})") from None
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid():
                raise self._refuse("belongs to another user")
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise self._refuse(f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})")
            yield folder
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _open_lock(self, folder: int) -> Iterator[int]:
        name = self._key + _LOCK
        try:
            lock = os.open(name, os.O_RDWR | os.O_CREAT | _OPEN, 0o600, dir_fd=folder)
        except OSError as error:
            raise self._refuse(f"takes no lock file ({type(error).__name__})") from None
        try:
            # By its age it is seen whether anybody still comes for the session.
            with contextlib.suppress(OSError):
                os.utime(lock)
            yield lock
        finally:
            os.close(lock)

    def _try_lock(self, lock: int) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:  # some network folders
            raise self._refuse(f"has no locks ({type(error).__name__})") from None
        return True

    def _refuse(self, found: str) -> ConfigError:
        return ConfigError(
            f"REVERSE_ETL_CREDENTIAL_CACHE_DIR '{self._folder}' {found}. It has to be a folder of this "
            "user alone (mode 0700), in memory: name one that does not exist yet, or unset the variable."
        )


def _read_private(name: str, folder: int) -> bytes | None:
    """What a file of ours holds; None if it is not there, or not ours alone."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _OPEN, dir_fd=folder)
    except OSError:
        return None
    try:
        found = os.fstat(file)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not is_ours or stat.S_IMODE(found.st_mode) & 0o077 or found.st_size > _MOST_BYTES:
            return None
        return os.read(file, _MOST_BYTES)
    finally:
        os.close(file)


def _write_private(name: str, body: bytes, folder: int) -> None:
    # One name for what is not complete: a process that was killed leaves one file, not many.
    unfinished = name + _UNFINISHED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=folder)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=folder)
    with open(file, "wb") as opened:  # noqa: PTH123 - a descriptor has no path
        opened.write(body)
    os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)


def _remove_ended(folder: int, *, spare: str) -> None:
    """Remove the sessions, with their locks, that nobody has come for in longer than any of them lasts."""
    try:
        names = [name for name in os.listdir(folder) if _LOCK_NAME.fullmatch(name)]
        for name in names:
            key = name.removesuffix(_LOCK)
            if key != spare:
                _remove_if_ended(key, folder)
    except OSError as error:
        _LOG.warning("credential_cache_not_swept error=%s", type(error).__name__)


def _remove_if_ended(key: str, folder: int) -> None:
    # The lock last: while it is there, whatever a killed process left is found again.
    names = [key, key + _UNFINISHED, key + _LOCK]
    try:
        lock = os.open(names[-1], os.O_RDWR | os.O_NONBLOCK | _OPEN, dir_fd=folder)
    except OSError:
        return  # another process removed it just now; or it is a link, which none of us made
    try:
        # Whoever holds it is about to store, and nobody takes it while it is removed.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_ended(os.fstat(lock)) and all(_is_ended(it) for it in _look(names[:-1], folder)):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
    except BlockingIOError:
        return
    finally:
        os.close(lock)


def _look(names: list[str], folder: int) -> Iterator[os.stat_result]:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            yield os.stat(name, dir_fd=folder, follow_symlinks=False)


def _is_ended(found: os.stat_result) -> bool:
    """Whether it is a file of ours that is older than any session."""
    is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    return is_ours and time.time() - found.st_mtime > _LONGEST_SESSION_SECONDS


def _as_json(held: HeldSession, *, key: str) -> dict[str, Any]:
    credentials = held.credentials
    if credentials.expires_at is None:
        raise ValueError("Keys that do not end are not kept here.")
    return {
        "format": _FORMAT,
        "key": key,
        "boot": _read_boot(),
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret_access_key,
        "session_token": credentials.session_token,
        "expires_at": credentials.expires_at.isoformat(),
        "ends_at_uptime": held.ends_at_uptime,
        "lifetime_seconds": held.lifetime_seconds,
    }


def _parse(body: bytes, *, key: str, clock: Clock) -> HeldSession | None:
    """The session that a file holds; None if it is damaged, or of another machine, start or format."""
    try:
        found = json.loads(body)
        is_ours = (found["format"], found["key"], found["boot"]) == (_FORMAT, key, _read_boot())
        held = _read_session(found) if is_ours else None
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    if held is None or held.ends_at_uptime - clock.uptime() > held.lifetime_seconds + 1:
        return None  # longer than it ever was: another machine's uptime
    return held


def _read_session(found: Mapping[str, Any]) -> HeldSession:
    """`ValueError`, `KeyError` or `TypeError` for what is no session."""
    expires_at = dt.datetime.fromisoformat(found["expires_at"])
    if expires_at.tzinfo is None:
        raise ValueError(found["format"])
    return HeldSession(
        credentials=AwsCredentials(
            access_key_id=_read_text(found["access_key_id"]),
            secret_access_key=_read_text(found["secret_access_key"]),
            session_token=_read_text(found["session_token"]),
            expires_at=expires_at.astimezone(dt.UTC),
        ),
        ends_at_uptime=_read_seconds(found["ends_at_uptime"], most=math.inf),
        lifetime_seconds=_read_seconds(found["lifetime_seconds"], most=_LONGEST_SESSION_SECONDS),
    )


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(type(value))
    return value


def _read_seconds(value: Any, *, most: float) -> float:
    if not isinstance(value, float) or not 0 < value <= most or not math.isfinite(value):
        raise TypeError(type(value))
    return value


def _read_boot() -> str:
    """This start of this machine; empty where the system does not say, and the clocks have to do."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""

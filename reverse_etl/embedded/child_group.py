"""A command and all that it starts, as one: stopped as a whole, and never left behind.

`dagster dev` starts several processes and passes on an interrupt, but not a termination. So it gets
a process group of its own, which is interrupted first, and killed when that was not enough.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_SECONDS = 20.0
_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.05

# Waits for the end of a pipe that only we hold, and so for our end, however it comes; then does to
# the group $1 what `stop` would have done. (dash takes a negative number only after -s and --.)
_WATCH = """
cat >/dev/null
kill -s INT -- "-$1"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -s 0 -- "-$1" || exit 0
  sleep 1
done
kill -s KILL -- "-$1"
"""


class ChildGroup:
    """A context manager: the command runs inside, nothing of it is left outside.

    It works in `folder` and reads nothing from the terminal, so that Ctrl-C is for us alone. A
    command that may be killed at any moment needs no patience: 0.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._command = list(command)
        self._patience_seconds = patience_seconds
        self._folder = folder
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # an interrupt between the two as well
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a command of ours
            self._command,
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._watcher = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _WATCH, "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def exit_code(self) -> int | None:
        """The command's own exit code; None while it runs, or before."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """Interrupt the group, and kill what is left of it when patience ends; may be called again."""
        process, watcher = self._process, self._watcher
        if process is None:
            return
        if self._patience_seconds > 0:
            _signal_group(process.pid, signal.SIGINT)
        if not _wait_until_gone(process, seconds=self._patience_seconds):
            _signal_group(process.pid, signal.SIGKILL)
            _wait_until_gone(process, seconds=_KILL_SECONDS)
        if watcher is not None:
            _end_watcher(watcher)
        self._process = self._watcher = None


def _end_watcher(watcher: subprocess.Popen[bytes]) -> None:
    # Killed before its pipe is closed: it must not signal a group that may be another's by then.
    _signal_group(watcher.pid, signal.SIGKILL)
    watcher.wait()
    if watcher.stdin is not None:
        watcher.stdin.close()


def _wait_until_gone(process: subprocess.Popen[bytes], *, seconds: float) -> bool:
    """Whether no process of the group is left in time."""
    deadline = time.monotonic() + seconds
    while process.poll() is None or _has_members(process.pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of processes that ended
        return False
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)

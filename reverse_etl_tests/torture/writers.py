"""Starts writers, each a process, kills those that are to die, and tells how each ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from reverse_etl_tests.torture.orders import Ending, Moment, Order, Point

# Nothing that is ordered takes that long: a lease that a dead one holds is over after a second.
_HANGS_AFTER_SECONDS = 120.0
_POLL_SECONDS = 10.0


class Writers:
    """A context manager: a process from which writers are forked."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._socket = str(folder / "writers.sock")
        (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "reverse_etl_tests.torture.child",
                self._socket,
                str(self._folder),
            ],
            cwd=Path(__file__).parents[2],
            # What a developer's shell sets is not for these.
            env={key: it for key, it in os.environ.items() if not key.startswith("REVERSE_ETL_")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self._process.wait()
            raise RuntimeError("The process that writers are forked from did not start.")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def carry_out(self, order: Order, moment: Moment | None = None) -> Ending:
        """Have a writer carry an order out, and die at the moment, if it has not ended by then."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._socket)
            connection.sendall(order.encode())
            return _Watch(connection, moment).follow()


class _Watch:
    """One writer, as it is seen from outside."""

    def __init__(self, connection: socket.socket, moment: Moment | None) -> None:
        self._connection = connection
        self._moment = moment
        self._pid: int | None = None
        self._mark = "begin"
        self._kill_at: float | None = None
        self._end: dict[str, Any] | None = None
        self._was_killed = False

    def follow(self) -> Ending:
        """Hear it out."""
        for line in self._hear():
            word, _, rest = line.decode().partition(" ")
            if word == "pid":
                self._pid = int(rest)
                self._reach("begin")
            elif word == "mark":
                self._mark = rest
                self._reach(rest)
            else:
                self._end = json.loads(rest)
        return self._judge()

    def _hear(self) -> Iterator[bytes]:
        """Its lines, until its end of the line is closed; kills it when it is time."""
        given_up_at = time.monotonic() + _HANGS_AFTER_SECONDS
        rest = b""
        while True:
            now = time.monotonic()
            if now > given_up_at:
                self._kill()
                raise RuntimeError(f"A writer hung at '{self._mark}'.")
            if self._kill_at is not None and now >= self._kill_at:
                self._kill_at = None
                self._kill()
            wait = _POLL_SECONDS if self._kill_at is None else self._kill_at - now
            self._connection.settimeout(max(0.001, wait))
            try:
                received = self._connection.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionResetError:
                return
            if not received:
                return
            *lines, rest = (rest + received).split(b"\n")
            yield from lines

    def _reach(self, mark: str) -> None:
        moment = self._moment
        if moment is not None and moment.point is None and moment.mark == mark:
            self._kill_at = time.monotonic() + moment.delay_seconds

    def _kill(self) -> None:
        if self._pid is not None and self._end is None:
            self._was_killed = True
            os.kill(self._pid, signal.SIGKILL)

    def _judge(self) -> Ending:
        end = self._end
        if end is None:
            if self._was_killed or self._mark in list(Point):
                return Ending(mark=self._mark, was_killed=True)
            return Ending(mark=self._mark, error="bug", message="It ended without a word.")
        if "bug" in end:
            return Ending(mark=self._mark, error="bug", message=str(end["bug"]))
        if "error" in end:
            error = end["error"]
            return Ending(mark=self._mark, error=error["kind"], message=str(error["message"]))
        return Ending(mark=self._mark, document=end)

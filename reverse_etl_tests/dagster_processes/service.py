"""One long-running process of a deployment: its log, its port, and nothing of it left behind."""

import os
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from reverse_etl.embedded.child_group import ChildGroup

HOST = "127.0.0.1"

# Below the range from which Linux gives ports to connections that go out: nobody takes one of these
# between the look and the start but another test, which picks at random too.
_PORTS = range(20_000, 32_000)
_LOG_TAIL_CHARACTERS = 6_000
_POLL_SECONDS = 0.2

T = TypeVar("T")


class Service:
    """A command, started in a process group that dies with this process, whatever happens to it.

    Its output goes to `<folder>/<name>.log`, through every restart.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        patience_seconds: float = 0.0,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        # `exec`: the group's leader is the command itself, as a container's is.
        words = ["/bin/sh", "-c", 'exec >>"$0" 2>&1; exec "$@"', str(self.log), *command]
        self._build = lambda: ChildGroup(
            words, environment=environment, folder=folder, patience_seconds=patience_seconds
        )
        self._group: ChildGroup | None = None

    def start(self) -> None:
        """Start the command; it may take its time to be of use."""
        assert self._group is None, f"{self.name} runs already"
        self._group = self._build()
        self._group.__enter__()

    def stop(self) -> None:
        """End it and everything it started: at once, unless it was given patience."""
        if self._group is not None:
            self._group.stop()
            self._group = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended by itself."""
        return self._group is not None and self._group.exit_code is None

    def read_log(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail_log(self) -> str:
        """The end of what it has said, under its name."""
        return f"--- {self.name} ({self.log})\n{self.read_log()[-_LOG_TAIL_CHARACTERS:]}"


def wait_for(
    what: str, look: Callable[[], T | None], *, seconds: float = 300.0, poll: float = _POLL_SECONDS
) -> T:
    """What `look` finds, as soon as it finds something; an assertion names `what` otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(poll)


def pick_port() -> int:
    """A loopback port that nobody listens on."""
    chance = random.Random(os.urandom(8))  # noqa: S311 - not of the test's seed: workers share it
    while True:
        port = chance.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def is_listening(port: int) -> bool:
    """Whether somebody answers on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((HOST, port)) == 0

"""A command and all that it starts is stopped as a whole, and never outlives the one who started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reverse_etl.embedded.child_group import ChildGroup
from reverse_etl.settings import child_environment

#: Starts a child of its own, writes down both ids, and waits; `deaf` ignores interrupts.
FAMILY = """
import pathlib, signal, subprocess, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("ids.new").write_text(f"{__import__('os').getpid()} {child.pid}")
pathlib.Path("ids.new").rename("ids")
try:
    time.sleep(60)
except KeyboardInterrupt:
    pass
"""

#: Holds a family like that, and does nothing else until it is killed.
OWNER = """
import sys, time
from pathlib import Path
from reverse_etl.embedded.child_group import ChildGroup
from reverse_etl.settings import child_environment
family = Path("family.py").read_text()
with ChildGroup([sys.executable, "-c", family], environment=child_environment({}), folder=Path.cwd()):
    time.sleep(60)
"""


def start(folder: Path, *words: str, patience_seconds: float = 5.0) -> ChildGroup:
    return ChildGroup(
        [sys.executable, "-c", FAMILY, *words],
        environment=child_environment({}),
        folder=folder,
        patience_seconds=patience_seconds,
    )


def wait_for_ids(folder: Path) -> list[int]:
    deadline = time.monotonic() + 20
    while not (folder / "ids").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(text) for text in (folder / "ids").read_text().split()]


def are_gone(ids: list[int], *, seconds: float = 0.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(is_running(number) for number in ids):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def is_running(number: int) -> bool:
    """Whether the process is there and not merely waiting to be collected."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


@pytest.mark.parametrize(
    ("words", "patience_seconds"), [((), 5.0), (("deaf",), 0.3), ((), 0.0)], ids=str
)
def test_whole_family_is_gone_after_the_block(
    tmp_path: Path, words: tuple[str, ...], patience_seconds: float
) -> None:
    """Interrupted if it listens, killed if it does not, and grandchildren with it."""
    with start(tmp_path, *words, patience_seconds=patience_seconds) as family:
        ids = wait_for_ids(tmp_path)
        running = [is_running(number) for number in ids]

    assert running == [True, True]
    assert are_gone(ids)
    assert family.exit_code is None  # there is nothing left to ask


def test_exit_code_is_told_while_inside(tmp_path: Path) -> None:
    """A command that ends by itself leaves its exit code."""
    command = [sys.executable, "-c", "raise SystemExit(7)"]

    with ChildGroup(command, environment=child_environment({}), folder=tmp_path) as group:
        deadline = time.monotonic() + 20
        while group.exit_code is None and time.monotonic() < deadline:
            time.sleep(0.02)
        found = group.exit_code

    assert found == 7


def test_stopping_twice_does_nothing(tmp_path: Path) -> None:
    """Stopping is safe to repeat."""
    with start(tmp_path) as family:
        wait_for_ids(tmp_path)
        family.stop()
        family.stop()

    assert are_gone(wait_for_ids(tmp_path))


@pytest.mark.chaos
def test_family_of_a_killed_owner_is_interrupted(tmp_path: Path) -> None:
    """Also kill -9 of the one who started it leaves nothing running."""
    (tmp_path / "family.py").write_text(FAMILY)
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=tmp_path)
    ids = wait_for_ids(tmp_path)

    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()

    assert are_gone(ids, seconds=10)

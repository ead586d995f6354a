"""Two processes on one directory, as fast as they can: one lands, the other sweeps."""

import subprocess
import sys
from pathlib import Path

import pytest

from reverse_etl.landing.directory import DirectoryStore
from reverse_etl_tests.landing.races.scenes import find_commit, is_whole, list_bodies, sweep

MODULE = "reverse_etl_tests.landing.races.child"


def start(part: str, folder: Path) -> subprocess.Popen[str]:
    """Begin one of the two processes, and wait until it is ready."""
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, part, str(folder)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    """Return when the process has its imports behind it."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"


@pytest.mark.chaos
def test_one_wins_across_processes(tmp_path: Path) -> None:
    """What the one says it committed is whole, what it was told was swept is gone; both occur."""
    with start("land", tmp_path) as landing, start("sweep", tmp_path) as sweeping:
        wait_until_ready(landing)
        wait_until_ready(sweeping)
        printed, _ = landing.communicate("go\n", timeout=60)
        buried, _ = sweeping.communicate(timeout=60)
    assert (landing.returncode, sweeping.returncode) == (0, 0)

    ended = dict(line.split() for line in printed.splitlines())
    store = DirectoryStore(tmp_path / "store")
    sweep(store)
    for version, outcome in ended.items():
        if outcome == "swept":
            assert find_commit(store, version) is None
            assert list_bodies(store, version) == set()
        else:
            assert is_whole(store, version)
    assert len(ended) == 25
    # Who wins how often is up to the machine; that the sweep was at it is not.
    assert int(buried) >= list(ended.values()).count("swept")

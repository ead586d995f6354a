"""kill -9 while Redis is rebuilt: readers go on, and the same command again is enough."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from reverse_etl.cli import main
from reverse_etl_tests.chaos.conftest import USERS, Place

pytestmark = [pytest.mark.chaos, pytest.mark.contract]

DAY = "2026-11-15"


@pytest.fixture
def command(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Runs one command in this process and returns what it says; it has to end well."""
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)

    def execute(*words: str) -> dict[str, Any]:
        assert main(["--defs", str(place.folder / "defs"), *words, "--json"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return execute


def start(place: Place, *words: str) -> subprocess.Popen[bytes]:
    """One command in a process of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "reverse_etl.cli", "--defs", str(place.folder / "defs"), *words],
        env=place.environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_killed_rebuild_is_finished_by_the_next(
    place: Place, command: Callable[..., dict[str, Any]]
) -> None:
    """Killed among its records, Redis sends nobody there; the next rebuild makes it whole."""
    version = command("run", "crowd", "--partition", DAY)["version"]
    with redis.Redis.from_url(place.redis_url) as client:
        client.flushall()
        process = start(place, "rebuild", "crowd")
        while client.dbsize() < 100:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        assert process.returncode == -signal.SIGKILL
        assert client.get("crowd:head") is None
        assert place.read_day() == {DAY}

        rebuilt = command("rebuild", "crowd")

        assert (rebuilt["outcome"], rebuilt["loaded"]) == ("rebuilt", [version])
        assert command("verify", "crowd")["records"] == {
            "rows": USERS,
            "missing": 0,
            "different": 0,
        }
        assert client.dbsize() == USERS + 2  # head, versions

"""Processes of one machine that share a session through the folder, with the real clients."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reverse_etl_tests.identity.fixtures import Scene
from reverse_etl_tests.identity.pointing import make_environment

pytestmark = pytest.mark.chaos

PROCESSES, THREADS = 8, 8

CODE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from reverse_etl.auth.build import open_credentials
from reverse_etl.auth.options import GoogleOidc
role, audience, url, folder = sys.argv[1:]
shared = open_credentials(GoogleOidc(role_arn=role, audience=audience, region="eu-central-1",
    session_name="reverse-etl-test", endpoint_url=url, cache_dir=Path(folder)))
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(8) as pool:
    found = [task.result() for task in [pool.submit(shared.get) for _ in range(8)]]
print(" ".join(credentials.access_key_id for credentials in found), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def processes(scene: Scene, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Eight that have imported everything and wait for a word."""
    options = scene.options()
    command = [sys.executable, "-W", "error", "-c", CODE, options.role_arn, options.audience]
    command += [scene.sts.url, str(tmp_path / "sessions")]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    env=make_environment(scene.metadata, os.environ),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(PROCESSES)
        ]
        for process in started:
            stack.callback(process.kill)
        for process in started:
            assert read(process) == "ready"
        yield started


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_eight_cold_processes_cause_one_exchange(
    scene: Scene, processes: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Of eight threads each: one session for all sixty-four, in a private folder."""
    for process in processes:
        say(process)
    found = [key_id for process in processes for key_id in read(process).split()]

    assert len(found) == PROCESSES * THREADS
    assert len(set(found)) == 1
    assert scene.sts.exchanges == 1
    folder = tmp_path / "sessions"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_process_killed_in_its_exchange_blocks_nobody(
    scene: Scene, processes: list[subprocess.Popen[str]]
) -> None:
    """The others find the lock free, and one of them asks for all."""
    hanging = scene.sts.faults.hang()
    say(processes[0])
    assert hanging.reached.wait(30)
    for process in processes[1:]:
        say(process)

    processes[0].kill()
    found = [key_id for process in processes[1:] for key_id in read(process).split()]
    hanging.release()

    assert len(found) == (PROCESSES - 1) * THREADS
    assert len(set(found)) == 1
    assert scene.sts.exchanges == 2

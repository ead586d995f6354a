"""An interrupt ends a run, whatever it hits: one signal is enough."""

import re
import subprocess
import sys

import pytest

ROUNDS = 150
# Far more than it takes: who hangs does so for ever.
PATIENCE_SECONDS = 120


@pytest.mark.parametrize("work", ["sender", "ahead"])
def test_work_ends_wherever_it_is_interrupted(work: str) -> None:
    """No lock is left taken, and no thread waits to be told that it is over."""
    done = subprocess.run(
        [sys.executable, "-m", "reverse_etl_tests.landing.interrupted", work, str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"(\d+) of \d+ interrupted, kept by \['MainThread'\]\n", done.stdout)
    assert found, done.stdout
    assert int(found[1]) > ROUNDS // 2

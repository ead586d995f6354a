"""kill -9 in every stage, and at any moment: readers see one whole day, and a re-run is enough."""

import os
import random
import signal
import time

import pytest
import redis

from reverse_etl_tests.chaos.conftest import Place

pytestmark = [pytest.mark.chaos, pytest.mark.contract]

BEFORE, AFTER = "2026-11-15", "2026-11-16"
STAGES = ["extract", "mask", "land", "prove", "load", "verify"]


@pytest.mark.parametrize(
    ("stage", "place"),
    [*((stage, "json") for stage in STAGES), ("land", "parquet"), ("verify", "parquet")],
    indirect=["place"],
)
def test_killed_run_is_healed_by_a_plain_rerun(place: Place, stage: str) -> None:
    """Killed in any stage, readers keep the old day; the next run finishes and leaves nothing."""
    place.run(BEFORE, "first")

    place.kill_at(stage, AFTER, "killed")

    assert place.read_day() == {BEFORE}
    assert place.run(AFTER, "again")["outcome"] == "live"
    assert place.read_day() == {AFTER}
    # What the re-run swept was the dead run's; what it left itself is nothing.
    assert place.run(AFTER, "once more")["outcome"] == "live"
    assert place.list_leftovers() == []
    with redis.Redis.from_url(place.redis_url) as client:
        assert len(client.hkeys("crowd:versions")) == 2


def test_killed_at_any_moment(place: Place) -> None:
    """Whenever it dies, readers see the old day or the new one, whole, and never go back."""
    seed = int(os.environ.get("CHAOS_SEED", "20261120"))
    moments = random.Random(seed)  # noqa: S311 - repeatable, not secret
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    place.run(BEFORE, "first")
    started = time.monotonic()
    place.run(BEFORE, "timed")
    usual_seconds = time.monotonic() - started

    for attempt in range(6):
        process = place.start(AFTER, f"killed {attempt}")
        time.sleep(moments.uniform(0.3, 1.0) * usual_seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert place.read_day() in ({BEFORE}, {AFTER})

    assert place.run(AFTER, "last")["outcome"] == "live"
    assert place.read_day() == {AFTER}
    place.run(AFTER, "sweeper")
    assert place.list_leftovers() == []

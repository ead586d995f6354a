"""Who leaves the queue first, by the instance files that are shipped and Dagster's own daemons."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from reverse_etl_tests.jobs.daemons import NOTING, ROOT, open_daemons, read_queue

pytestmark = pytest.mark.e2e

FILES = {"local": ROOT / "dagster.yaml", "production": ROOT / "docker" / "dagster.yaml"}
DAYS = ("2024-01-02", "2024-01-03", "2024-01-04")
TODAY = "2024-01-31"


@dataclass(frozen=True)
class History:
    """Names of runs in the order in which they left the queue, one list a look; `daily` came after one."""

    rounds: Sequence[Sequence[str]]
    daily: str

    def list_days(self, prefix: str) -> list[str]:
        """The days of the runs whose names begin so, in order of their start."""
        names = (name for started in self.rounds for name in started)
        return [name.rpartition(" ")[2] for name in names if name.startswith(prefix)]


@pytest.fixture(scope="module", params=FILES)
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Backfills of two syncs from their jobs' pages, one of assets, and then the run of the day."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    queue = read_queue(FILES[request.param])
    rounds = []
    with open_daemons(folder, launcher=NOTING, concurrency=queue) as daemons:
        daemons.launch_from_assets("other_users", DAYS[:2])
        for sync in ("shop_users", "other_users"):
            daemons.launch_from_job(f"{sync}_daily", DAYS)
        daemons.backfill()
        started = daemons.dequeue()
        daily = name(daemons.submit_scheduled("other_users", TODAY))
        while started:
            rounds.append([name(run) for run in started])
            daemons.end(*started)
            started = daemons.dequeue()
        assert not daemons.list_runs(dg.DagsterRunStatus.QUEUED)
    return History(rounds, daily)


def name(run: dg.DagsterRun) -> str:
    tags = run.tags
    day = tags.get("dagster/partition") or tags["dagster/asset_partition_range_start"]
    kind = "backfill" if "dagster/backfill" in tags else "schedule"
    return f"{kind} {run.job_name} {day}"


def test_run_of_the_day_is_the_next_to_start(history: History) -> None:
    """Whatever is queued before it, of whatever sync: only what runs already is waited for."""
    assert history.daily.startswith("schedule other_users_daily")
    assert history.daily in history.rounds[1]


def test_backfill_from_a_jobs_page_runs_newest_first(history: History) -> None:
    """One day a run, in whatever order days were chosen."""
    for sync in ("shop_users", "other_users"):
        assert history.list_days(f"backfill {sync}_daily") == list(reversed(DAYS))


def test_backfill_of_assets_comes_last_and_in_order_of_days(history: History) -> None:
    """Dagster gives its runs no tag by the day: the oldest goes first, after those that have one."""
    (*_, last) = history.rounds

    assert history.list_days("backfill __ASSET_JOB") == list(DAYS[:2])
    assert any("__ASSET_JOB" in started for started in last)


def test_backfills_leave_places_for_others(history: History) -> None:
    """However many are launched at once."""
    at_once = [sum(it.startswith("backfill") for it in started) for started in history.rounds]

    assert max(at_once) <= 2

"""Pictures of every page that matters: `python -m reverse_etl_tests.ui.screenshots FOLDER`.

For people to look at; a few days of the sample warehouse are carried first. Takes two minutes.
"""

import contextlib
import datetime as dt
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Page

from reverse_etl_tests.dagster_processes.deployment import Deployment
from reverse_etl_tests.dagster_processes.service import wait_for
from reverse_etl_tests.ui import pages
from reverse_etl_tests.ui.browser import find_chromium, open_page

SYNCS = ("user_stats", "user_profile")
_DAYS = 4
_USERS, _EVENTS = 20_000, 60_000
_LOCATION = "/locations/reverse_etl"
_CALM_MILLISECONDS = 4_000
_TALL = {"width": 1400, "height": 2600}
_SIZE = {"width": 1400, "height": 900}


def main() -> int:
    """Fill the folder; the exit code."""
    chromium = find_chromium()
    if len(sys.argv) != 2 or chromium is None:
        sys.stderr.write("Say which folder, and have Chromium on the PATH, or named by CHROMIUM.\n")
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="reverse_etl_shots_") as place,
        Deployment(Path(place), users=_USERS, events=_EVENTS, postgres=False) as deployment,
        open_page(chromium, deployment.dagster.url) as page,
    ):
        backfill = _carry(page, deployment)
        for name, show in _list_shots(deployment, backfill):
            show(page)
            page.wait_for_timeout(_CALM_MILLISECONDS)  # pictures and plots come last
            page.screenshot(path=folder / f"{name}.png")
            sys.stdout.write(f"{folder / name}.png\n")
    return 0


def _carry(page: Page, deployment: Deployment) -> str:
    """Some days by a backfill from the page, the newest by a run of the day; the backfill's address."""
    today = dt.datetime.now(dt.UTC).date()
    days = [(today - dt.timedelta(days=back)).isoformat() for back in range(_DAYS, 0, -1)]
    dagster = deployment.dagster
    backfill = pages.launch_backfill(page, group=SYNCS[0], first=days[0], last=days[-2])
    for day in days[:-1]:
        dagster.launch(f"{SYNCS[1]}_daily", partition=day)
    pages.wait_until_succeeded(page)
    for sync in SYNCS:
        dagster.launch(f"{sync}_daily", partition=days[-1])
    wait_for("all runs to end", lambda: all(run.is_over for run in dagster.find_runs()), poll=1.0)
    return backfill


def _list_shots(
    deployment: Deployment, backfill: str
) -> Iterator[tuple[str, Callable[[Page], object]]]:
    run = deployment.dagster.find_runs(job=f"{SYNCS[0]}_daily")[0].run_id
    yield "01_lineage", _show_expanded
    yield "02_group", _go(f"{_LOCATION}/asset-groups/{SYNCS[0]}")
    for number, step in enumerate(("extract", "masked", "cache", "reader")):
        yield f"1{number}_{step}", _go(f"/assets/{SYNCS[0]}/{step}?view=overview", tall=True)
    yield "14_masked_profile", _go(f"/assets/{SYNCS[1]}/masked?view=overview", tall=True)
    yield "15_plots_masked", _show_plots
    day = deployment.read_head(SYNCS[0])
    assert day is not None
    for number, step in enumerate(("extract", "masked", "cache")):
        address = f"/assets/{SYNCS[0]}/{step}?view=partitions&partition={day.partition}"
        yield f"2{number}_day_{step}", _go(address, tall=True)
        yield f"3{number}_checks_{step}", _go(f"/assets/{SYNCS[0]}/{step}?view=checks")
    yield "40_run", _go(f"/runs/{run}")
    yield "41_runs", _go("/runs")
    yield "42_backfill", _go(backfill)
    yield "50_sensors_and_schedules", _go("/automation")
    yield "60_jobs", _go("/jobs")
    for number, job in enumerate(sorted(deployment.dagster.find_job_names() - {"__ASSET_JOB"})):
        yield f"7{number}_launchpad_{job}", _go(f"{_LOCATION}/jobs/{job}/playground")
    yield "80_overview", _go("/overview")
    yield "81_catalog", _go("/assets")
    yield "82_daemons", _go("/deployment/daemons")


def _show_expanded(page: Page) -> None:
    _go("/asset-groups")(page)
    page.wait_for_timeout(_CALM_MILLISECONDS)
    page.keyboard.press("Alt+E")


def _show_plots(page: Page) -> None:
    _go(f"/assets/{SYNCS[0]}/masked?view=overview", tall=True)(page)
    page.get_by_text("Plots", exact=True).first.click()


def _go(address: str, *, tall: bool = False) -> Callable[[Page], object]:
    def show(page: Page) -> None:
        page.set_viewport_size(_TALL if tall else _SIZE)  # type: ignore[arg-type]
        page.goto(address)
        with contextlib.suppress(Exception):  # what never comes to rest is pictured as it is
            page.wait_for_load_state("networkidle", timeout=15_000)

    return show


if __name__ == "__main__":
    sys.exit(main())

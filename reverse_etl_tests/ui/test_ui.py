"""A morning in the Dagster UI, in a real browser: backfill, run summary, checks, rollback."""

import datetime as dt
import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from reverse_etl_tests.dagster_processes.deployment import Deployment
from reverse_etl_tests.dagster_processes.service import wait_for
from reverse_etl_tests.ui import pages
from reverse_etl_tests.ui.browser import find_chromium, open_page

pytestmark = [pytest.mark.ui, pytest.mark.e2e]

SYNC = "user_stats"


@pytest.fixture
def chromium() -> str:
    """The browser; CI has to have one."""
    found = find_chromium()
    if found is not None:
        return found
    missing = "no Chromium: neither CHROMIUM names one, nor is there one on the PATH"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing}. CI has to install one.")
    pytest.skip(missing)


@pytest.fixture
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A deployment on SQLite; when a test fails, the ends of its logs are shown."""
    failed_before = request.session.testsfailed
    with Deployment(tmp_path_factory.mktemp("deployment"), postgres=False) as opened:
        yield opened
        if request.session.testsfailed > failed_before:
            opened.print_logs()


def test_backfill_summary_checks_and_rollback(chromium: str, deployment: Deployment) -> None:
    """Three days go live from the page, each says what it carried and checked; one click goes back."""
    today = dt.datetime.now(dt.UTC).date()
    days = [(today - dt.timedelta(days=back)).isoformat() for back in (4, 3, 2)]
    with open_page(chromium, deployment.dagster.url) as page:
        pages.launch_backfill(page, group=SYNC, first=days[0], last=days[-1])
        pages.wait_until_succeeded(page)
        head = wait_for("a head", lambda: deployment.read_head(SYNC))
        assert head.partition == days[-1]

        for step in ("masked", "cache"):
            pages.open_partition(page, f"{SYNC}/{step}", days[-1])
            # Counts, not the words around them: what the summary says may change.
            expect(page.locator("#root")).to_contain_text(f"{head.rows:,}")
            expect(page.locator("#root")).to_contain_text(head.version)
            pages.open_checks(page, f"{SYNC}/{step}")
            expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
            expect(page.get_by_text("Passed", exact=True).first).to_be_visible()

        pages.launch_rollback(page, sync=SYNC)
        back = deployment.read_head(SYNC)
        assert back is not None
        assert back.partition == days[-2]
        assert back.generation == head.generation + 1
        assert head.version in back.blocked
        pages.open_asset(page, f"{SYNC}/cache")
        page.goto(f"/assets/{SYNC}/cache?view=events")
        expect(page.get_by_text(re.compile("Readers were sent")).first).to_be_visible()

"""What people do on Dagster's pages, and what they wait for there."""

import re

from playwright.sync_api import Page, expect

from reverse_etl_tests.ui.browser import PATIENCE_MILLISECONDS

_BACKFILL_MILLISECONDS = 300_000.0
_LOCATION = "/locations/reverse_etl"


def launch_backfill(page: Page, *, group: str, first: str, last: str) -> str:
    """Materialise a group's days from its graph; the path of the backfill's page."""
    page.goto(f"{_LOCATION}/asset-groups/{group}")
    page.get_by_role("button", name="Materialize all").first.click()
    dialog = page.get_by_role("dialog")
    days = dialog.locator("input[type=text]").first
    days.fill(f"[{first}...{last}]")
    days.press("Enter")
    dialog.get_by_text("3 partitions", exact=True).first.wait_for()
    dialog.get_by_role("button", name="Launch backfill").click()
    page.get_by_text("Created backfill").wait_for()
    page.get_by_role("button", name="View").or_(page.get_by_role("link", name="View")).first.click()
    page.wait_for_url(re.compile("/runs/b/"))
    return page.url


def wait_until_succeeded(page: Page) -> None:
    """Wait, on a backfill's page, until it says that all went well."""
    status = page.get_by_text("Status", exact=True).first.locator("xpath=..")
    expect(status).to_contain_text(
        re.compile("Succeeded|Failed|Canceled"), timeout=_BACKFILL_MILLISECONDS
    )
    expect(status).to_contain_text("Succeeded")


def open_partition(page: Page, asset: str, day: str) -> None:
    """What was recorded of one day of an asset: its run, and the summary in its metadata."""
    page.goto(f"/assets/{asset}?view=partitions&partition={day}")
    page.get_by_role("heading", name=day).or_(page.get_by_text(day, exact=True)).first.wait_for()


def open_asset(page: Page, asset: str) -> None:
    """An asset's first page."""
    page.goto(f"/assets/{asset}?view=overview")
    page.get_by_text("Latest materialization", exact=True).first.wait_for()


def open_checks(page: Page, asset: str) -> None:
    """An asset's checks, as they went last time."""
    page.goto(f"/assets/{asset}?view=checks")
    page.get_by_text(re.compile(r"Checks \(\d+\)")).first.wait_for()


def launch_rollback(page: Page, *, sync: str) -> None:
    """Send readers of a sync back, from the job's launchpad; ends on the run's page."""
    page.goto(f"{_LOCATION}/jobs/rollback/playground")
    fill_launchpad(page, f"ops:\n  roll_back:\n    config:\n      sync: {sync}\n")
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"))
    page.get_by_text("Success", exact=True).first.wait_for(timeout=_BACKFILL_MILLISECONDS)


def fill_launchpad(page: Page, config: str) -> None:
    """Write the configuration over what stands in the editor, as a paste does, and have it checked."""
    editor = page.locator(".CodeMirror").first
    editor.wait_for()
    # The page writes the job's defaults itself, once it has them.
    expect(page.get_by_role("button", name="Launch Run")).to_be_visible(
        timeout=PATIENCE_MILLISECONDS
    )
    page.get_by_text("No errors").or_(page.get_by_text("Missing required config")).first.wait_for()
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(config)
    expect(editor).to_contain_text("sync")
    expect(page.get_by_role("button", name="Launch Run")).to_be_enabled()

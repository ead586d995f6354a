"""Headless Chromium on a Dagster webserver; its pictures are left behind when something fails."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as TooSlowError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What a sandboxed build machine needs: no privileges for a sandbox of its own, and a small /dev/shm.
_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"]
_SIZE = {"width": 1400, "height": 900}
#: A page of Dagster's may take its time on a machine that does much else.
PATIENCE_MILLISECONDS = 120_000.0
_GREETING_MILLISECONDS = 3_000.0


def find_chromium() -> str | None:
    """The browser that CHROMIUM names, or one of the PATH."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextlib.contextmanager
def open_page(executable: str, url: str) -> Iterator[Page]:
    """A page at the webserver's first one, the greeting put away."""
    with sync_playwright() as playwright:
        # Its messages in other processes' logs are of no use; proxies are none of loopback's business.
        browser = playwright.chromium.launch(
            executable_path=executable, args=[*_FLAGS, "--no-proxy-server"]
        )
        try:
            page = browser.new_page(viewport=_SIZE, base_url=url)  # type: ignore[arg-type]
            page.set_default_timeout(PATIENCE_MILLISECONDS)
            page.set_default_navigation_timeout(PATIENCE_MILLISECONDS)
            page.goto("/")
            skip_greeting(page)
            with _pictured(page):
                yield page
        finally:
            browser.close()


def skip_greeting(page: Page) -> None:
    """Dagster asks a new browser whether it wants a newsletter, unless the instance says `nux: false`."""
    with contextlib.suppress(TooSlowError):
        page.get_by_role("button", name="Skip").click(timeout=_GREETING_MILLISECONDS)


@contextlib.contextmanager
def _pictured(page: Page) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path = Path(tempfile.mkdtemp(prefix="reverse_etl_ui_")) / "failed.png"
        with contextlib.suppress(Exception):  # the page may be what is broken
            page.screenshot(path=path)
            sys.stdout.write(f"\nThe page {page.url} as it was: {path}\n")
        raise

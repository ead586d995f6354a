"""Links between our pages lead somewhere."""

import re
from pathlib import Path

import pytest

from reverse_etl_tests.docs.pages import ROOT, list_anchors, strip_code

PAGES = sorted(
    path
    for folder in ("docs", "infra", "docker", "benchmarks", "reverse_etl", "reverse_etl_tests")
    for path in (ROOT / folder).rglob("*.md")
) + sorted(ROOT.glob("*.md"))
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_ELSEWHERE = ("http://", "https://", "mailto:")


def list_links(path: Path) -> list[str]:
    """The targets within this repository."""
    found = _LINK.findall(strip_code(path.read_text(encoding="utf-8")))
    return [link for link in found if not link.startswith(_ELSEWHERE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and an anchor that it has."""
    broken = []
    for link in list_links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in list_anchors(target)
        ):
            broken.append(link)

    assert broken == []


def test_every_page_is_reached() -> None:
    """A page of docs/ that nothing links to is one that nobody finds."""
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in list_links(page)
    }

    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    folders = {path for path in linked if path.is_dir()}
    assert {page for page in pages - linked if page.parent not in folders} == set()

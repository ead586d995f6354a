"""Summaries of runs: one line first, short enough to stand on the page, true in every number."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.components.costs import Charge
from reverse_etl.components.pictures import INLINE_CHARACTERS
from reverse_etl.components.summary import (
    compute_change_percent,
    draw_groups,
    draw_objects,
    escape_markdown,
    format_size,
    summarise_cache,
    summarise_masked,
    tabulate_charges,
)
from reverse_etl.model import GroupCounts, Landed, Published
from reverse_etl_tests.components.receipts import (
    build_cache,
    build_head,
    build_manifest,
    build_masked,
    build_object,
)

MANIFEST = build_manifest(build_object(100), build_object(110))
BEFORE = build_manifest(build_object(200), day="2026-11-19")
MOST = 10**9


def test_first_line_says_it_all() -> None:
    """It is what a list of events, or an alert, quotes."""
    masked, *_ = summarise_masked(build_masked(MANIFEST)).split("\n")
    cached, *_ = summarise_cache(build_cache(MANIFEST)).split("\n")

    assert masked == (
        "210 records in 2 json objects; version `2026-11-20.01m7zyybjg9fh1e9` committed."
    )
    assert cached == "210 records live, version `2026-11-20.01m7zyybjg9fh1e9`, generation 7."


def test_day_before_stands_beside() -> None:
    """Both numbers and the change; without an earlier day there is no change."""
    compared = summarise_masked(build_masked(MANIFEST, earlier=BEFORE))
    alone = summarise_masked(build_masked(MANIFEST))

    assert "| records | 210 | 200 | +5.00 % |" in compared
    assert "| records | 210 |" in alone
    assert "%" not in alone.split("![")[0]


def test_stages_are_drawn_with_the_rest() -> None:
    """What stands around the stages is a bar of its own; a run that did nothing has no picture."""
    drawn = summarise_masked(build_masked(MANIFEST))
    unchanged = build_masked(MANIFEST, outcome=Landed.UNCHANGED, stage_seconds={})

    assert "mask" in drawn
    assert "0.40\N{NO-BREAK SPACE}s" in drawn
    assert "![" not in summarise_masked(unchanged)


def test_readers_are_followed_from_version_to_version() -> None:
    """Where they came from, and every count on the way."""
    told = summarise_cache(build_cache(MANIFEST, before=build_head(BEFORE, generation=6)))
    first = summarise_cache(build_cache(MANIFEST))

    assert f"| before: `{BEFORE.version}` | 200 |" in told
    assert "| read back, every byte | 210 |" in told
    assert "| before: no version |  |" in first


def test_superseded_day_shows_no_counts() -> None:
    """Nothing of it was loaded."""
    receipt = build_cache(
        MANIFEST, outcome=Published.SUPERSEDED, rows_loaded=None, rows_verified=None
    )

    assert "loaded" not in summarise_cache(receipt)
    assert "is landed and superseded" in summarise_cache(receipt)


@settings(max_examples=30)
@given(
    rows=st.integers(0, MOST),
    size=st.integers(0, MOST * 1000),
    quarantined=st.integers(0, MOST),
    spans=st.lists(st.floats(0, 90_000), min_size=3, max_size=3),
)
def test_summary_stands_on_the_page(
    rows: int, size: int, quarantined: int, spans: list[float]
) -> None:
    """Dagster hides longer Markdown behind a link: no day is too large for it."""
    stages = dict(zip(("mask", "land", "prove"), spans, strict=True))
    cached = dict(zip(("room", "load", "verify", "publish"), (0.1, *spans), strict=True))
    manifest = build_manifest(build_object(rows, size=size), quarantined=quarantined)
    masked = build_masked(
        manifest, earlier=BEFORE, stage_seconds=stages, seconds=sum(spans) * 1.5 + 1
    )
    live = build_cache(
        manifest, before=build_head(BEFORE), stage_seconds=cached, seconds=sum(spans) * 1.5 + 1
    )

    assert len(summarise_masked(masked)) < INLINE_CHARACTERS
    assert len(summarise_cache(live)) < INLINE_CHARACTERS


def test_groups_below_k_are_marked() -> None:
    """Sizes that may break the promise are red, if any record is in one."""
    sizes = (("1", 3, 3), ("2-4", 2, 7), ("5-9", 1, 6), ("100+", 0, 0))
    groups = GroupCounts(k=5, groups=6, smallest=1, below_k=5, below_l=None, sizes=sizes)

    drawn = draw_groups(groups)

    assert drawn.count("tomato") == 1
    assert len(drawn) < INLINE_CHARACTERS


def test_records_are_counted_by_bucket_or_object() -> None:
    """An object of Parquet holds many buckets, so that is what is counted."""
    assert "Records in a bucket" in draw_objects(MANIFEST)
    assert "Records in an object" in draw_objects(
        build_manifest(build_object(5), buckets_per_object=16)
    )


def test_bill_adds_up() -> None:
    """Every line and the sum; amounts too small to write are not shown as nothing."""
    charges = [
        Charge(what="Storage Read API", quantity=2_000_000, is_bytes=True, usd=1.5),
        Charge(what="S3 GET requests", quantity=1_000, is_bytes=False, usd=0.00001),
    ]

    bill = tabulate_charges(charges)

    assert "| Storage Read API | 2.0 MB | 1.50 |" in bill
    assert "| S3 GET requests | 1,000 | < 0.0001 |" in bill
    assert "| **together** |  | 1.50 |" in bill


def test_change_of_nothing_is_unknown() -> None:
    """From no records there is no percentage."""
    assert compute_change_percent(5, 0) is None
    assert str(compute_change_percent(100, 100)) == "0.0"
    assert compute_change_percent(95, 100) == -5.0


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ARRAY<STRING>", "ARRAY\\<STRING>"),
        ("x | y", "x \\| y"),
        ("__id__", "\\_\\_id\\_\\_"),
        ("age_group", "age_group"),
        ("two\nlines", "two lines"),
    ],
)
def test_names_are_shown_as_they_are(text: str, written: str) -> None:
    """Markdown takes no type for HTML, and a name neither ends its cell nor changes its print."""
    assert escape_markdown(text) == written


def test_sizes_are_readable() -> None:
    """Two or three digits and a unit."""
    assert [format_size(it) for it in (0, 999, 1_500, 31_000_000, 2e15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "31 MB",
        "2000 TB",
    ]

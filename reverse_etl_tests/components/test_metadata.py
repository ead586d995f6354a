"""What a materialisation shows: numbers to plot, pictures, links and lineage, and nothing that is not so."""

from pathlib import Path

import pytest

from reverse_etl import pipeline
from reverse_etl.components.metadata import describe_masked
from reverse_etl.components.pictures import INLINE_CHARACTERS
from reverse_etl.model import Landed, MaskedReceipt
from reverse_etl.runtime import Runtime
from reverse_etl.settings import AwsIdentity, Settings
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import COLUMNS, QUERY, build_runtime, build_spec, build_users
from reverse_etl_tests.components.receipts import build_manifest, build_masked, build_object

DAYS = ("2026-11-17", "2026-11-18")
CLOUD = Settings(
    store_url="s3://exports/prod", s3_region="eu-central-1", aws_identity=AwsIdentity.TASK_ROLE
)
#: What a person can plot.
NUMBERS = (int, float)


def land(spec: SyncSpec, runtime: Runtime, *, day: str, rows: int = 500) -> MaskedReceipt:
    """Pin and land one day of so many users."""
    runtime.source.tables[QUERY] = build_users(rows)  # type: ignore[attr-defined]
    partition = spec.partition(day, now=runtime.now())
    pipeline.extract(spec, partition, runtime, run_id=f"run-{day}")
    return pipeline.mask_and_land(spec, partition, runtime, run_id=f"run-{day}")


def test_change_against_the_day_before_is_plotted(tmp_path: Path) -> None:
    """Rows and bytes in percent, and what they were compared with; nothing on the first day."""
    spec, runtime = build_spec(), build_runtime(tmp_path)

    first = describe_masked(spec, land(spec, runtime, day=DAYS[0], rows=400))
    second = describe_masked(spec, land(spec, runtime, day=DAYS[1], rows=500))

    assert "rows_changed_percent" not in first
    assert second["rows_changed_percent"] == 25.0
    assert isinstance(second["bytes_changed_percent"], NUMBERS)
    assert second["compared_with"] == DAYS[0]


def test_rerun_compares_with_the_day_before_too(tmp_path: Path) -> None:
    """A run that finds the version landed knows what came before it; it has no pictures of work."""
    spec, runtime = build_spec(), build_runtime(tmp_path)
    land(spec, runtime, day=DAYS[0], rows=400)
    land(spec, runtime, day=DAYS[1], rows=500)
    partition = spec.partition(DAYS[1], now=runtime.now())

    receipt = pipeline.mask_and_land(spec, partition, runtime, run_id="again")
    shown = describe_masked(spec, receipt, settings=CLOUD)

    assert receipt.outcome is Landed.UNCHANGED
    assert shown["rows_changed_percent"] == 25.0
    assert "rows_per_second" not in shown
    assert "estimated_cost_usd" not in shown


def test_lineage_names_every_column_and_its_rule(tmp_path: Path) -> None:
    """From the source to readers, the columns that stay behind among them."""
    columns = [*COLUMNS[:2], {"name": "name", "rule": "drop"}, COLUMNS[3]]
    spec, runtime = build_spec(columns=columns), build_runtime(tmp_path)

    lines = describe_masked(spec, land(spec, runtime, day=DAYS[0]))["lineage"].value.splitlines()

    assert lines[0] == "| column | in the source | rule | readers get |"
    assert lines[2:] == [
        "| user_id | STRING | keep | STRING |",
        "| email | STRING | hmac | STRING |",
        "| name | not read | drop | does not leave |",
        "| points | INT64 | keep | INT64 |",
    ]


def test_groups_are_drawn_where_privacy_is_asked_for(tmp_path: Path) -> None:
    """The histogram stands on the page; without privacy there is none."""
    spec = build_spec(privacy={"quasi_identifiers": ["name"], "k": 5})
    runtime = build_runtime(tmp_path)

    receipt = land(spec, runtime, day=DAYS[0])
    private, plain = describe_masked(spec, receipt), describe_masked(spec, build_masked(MANIFEST))

    assert receipt.groups is not None
    assert (receipt.groups.k, receipt.groups.smallest, receipt.groups.below_k) == (5, 500, 0)
    assert "data:image/svg+xml" in private["group_sizes"].value
    assert "group_sizes" not in plain


MANIFEST = build_manifest(build_object(100), build_object(110, name="00001.jsonl.gz"))


def test_cost_is_plotted_where_it_is_known() -> None:
    """One number for plots, and the bill behind it."""
    receipt = build_masked(MANIFEST)

    cloud = describe_masked(build_spec(), receipt, settings=CLOUD)
    unknown = describe_masked(build_spec(), receipt)

    assert isinstance(cloud["estimated_cost_usd"], float)
    assert cloud["estimated_cost_usd"] > 0
    assert "Storage Read API" in cloud["bill"].value
    assert cloud["open_in_s3"].value.startswith("https://eu-central-1.console.aws.amazon.com/")
    assert {"estimated_cost_usd", "bill", "open_in_s3"} & unknown.keys() == set()


@pytest.mark.parametrize(
    ("buckets_per_object", "name"), [(1, "records_per_bucket"), (16, "records_per_object")]
)
def test_pictures_stand_on_the_page(buckets_per_object: int, name: str) -> None:
    """Each is short enough not to be hidden behind a link."""
    manifest = build_manifest(
        *(build_object(rows * 1000) for rows in range(500)),
        buckets_per_object=buckets_per_object,
    )

    shown = describe_masked(build_spec(), build_masked(manifest))

    assert shown[name].value.startswith("![Records in a")
    assert len(shown[name].value) < INLINE_CHARACTERS
    assert len(shown["summary"].value) < INLINE_CHARACTERS

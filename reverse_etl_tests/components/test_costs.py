"""What a step cost: charged by whom it is known of, by what was moved, and by nothing else."""

from dataclasses import replace

import pytest

from reverse_etl.components.costs import add_up, list_cache_charges, list_masked_charges
from reverse_etl.model import Landed, Published
from reverse_etl.settings import AwsIdentity, Settings
from reverse_etl_tests.components.receipts import (
    GIB,
    TIB,
    build_cache,
    build_manifest,
    build_masked,
    build_object,
    build_snapshot,
)

GOOGLE = Settings(
    store_url="s3://exports/prod", s3_region="us-east-1", aws_identity=AwsIdentity.GOOGLE_OIDC
)
AWS = replace(GOOGLE, aws_identity=AwsIdentity.TASK_ROLE)
KEYS = replace(GOOGLE, aws_identity=AwsIdentity.STATIC_KEYS)
LANDED = build_manifest(*[build_object(10, size=GIB // 100)] * 100)
LARGE = build_snapshot(bytes=TIB)


def name_charges(charges: object) -> dict[str, float]:
    """USD by what was charged for, rounded."""
    return {it.what: round(it.usd, 6) for it in charges}  # type: ignore[attr-defined]


def test_reading_and_landing_from_google() -> None:
    """The snapshot is read at BigQuery's price, the objects leave Google, and each is a PUT."""
    charges = list_masked_charges(build_masked(LANDED, snapshot=LARGE), GOOGLE)

    found = name_charges(charges)
    assert found["Storage Read API"] == 1.1
    assert found["out of Google's network"] == pytest.approx(0.12, rel=1e-6)
    assert found["S3 PUT and LIST requests"] == pytest.approx(104 * 0.005 / 1000)
    assert len(found) == 3
    assert add_up(charges) == pytest.approx(sum(found.values()), abs=1e-5)


def test_snapshot_leaves_google_where_the_pipeline_runs_in_aws() -> None:
    """Then it is the rows as BigQuery sends them that cross, and not the objects."""
    found = name_charges(list_masked_charges(build_masked(LANDED, snapshot=LARGE), AWS))

    assert found["out of Google's network"] == pytest.approx(1024 * 0.12)


def test_nobody_knows_where_stored_keys_are_used() -> None:
    """What is not known is not in the bill."""
    found = name_charges(list_masked_charges(build_masked(LANDED, snapshot=LARGE), KEYS))

    assert found.keys() == {"Storage Read API", "S3 PUT and LIST requests"}


def test_reading_back_is_charged() -> None:
    """Every object is fetched again, and across clouds that is Amazon's egress."""
    read_back = build_masked(LANDED, snapshot=LARGE, proof="read_back")

    across = name_charges(list_masked_charges(read_back, GOOGLE))
    within = name_charges(list_masked_charges(read_back, AWS))

    assert across["out of AWS"] == pytest.approx(0.09, rel=1e-6)
    assert across["S3 GET requests"] == within["S3 GET requests"] == pytest.approx(0.00004)
    assert "out of AWS" not in within


@pytest.mark.parametrize(
    "receipt",
    [
        build_masked(LANDED, outcome=Landed.UNCHANGED),
        build_masked(
            LANDED, location="file:///srv/store/", snapshot=build_snapshot(source_kind="duckdb")
        ),
    ],
    ids=["unchanged", "local"],
)
def test_nothing_charged_is_no_number(receipt: object) -> None:
    """Unknown is not zero: what nobody bills has no cost to plot."""
    charges = list_masked_charges(receipt, GOOGLE)  # type: ignore[arg-type]

    assert charges == ()
    assert add_up(charges) is None


def test_embedded_source_into_s3_pays_requests_alone() -> None:
    """DuckDB charges nothing, and nothing leaves Google."""
    receipt = build_masked(LANDED, snapshot=build_snapshot(source_kind="duckdb"))

    assert name_charges(list_masked_charges(receipt, GOOGLE)).keys() == {"S3 PUT and LIST requests"}


def test_loading_pays_a_get_for_each_object() -> None:
    """And one for the sample; inside AWS the bytes cost nothing."""
    within = name_charges(list_cache_charges(build_cache(LANDED), AWS))
    across = name_charges(list_cache_charges(build_cache(LANDED), GOOGLE))

    assert within == {"S3 GET requests": pytest.approx(101 * 0.0004 / 1000, abs=1e-6)}
    assert across["out of AWS"] == pytest.approx(0.09, rel=1e-6)


def test_version_that_was_not_loaded_costs_nothing() -> None:
    """Superseded, or live already: no object was read."""
    receipt = build_cache(LANDED, outcome=Published.SUPERSEDED, rows_loaded=None)

    assert list_cache_charges(receipt, AWS) == ()
    assert list_cache_charges(build_cache(LANDED), Settings()) == ()

"""`reverse-etl plan`: what a person sees, what a program gets, and the exit code."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.cli.plans import build_document, render_plan
from reverse_etl.model import Step
from reverse_etl.stages.run_plan import (
    Basis,
    ColumnPlan,
    ObjectsPlan,
    QueryPlan,
    ReadPlan,
    RedisPlan,
    RunPlan,
    SnapshotPlan,
    Stop,
)
from reverse_etl_tests.bigquery.fixtures import STAGING
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.cli.conftest import DAY, USERS, Run, Shop

SNAPSHOT = Path(__file__).with_name("plan.txt")
BEFORE = "2024-05-05"
MOMENT = dt.datetime(2026, 11, 20, 3, tzinfo=dt.UTC)
VERSION = "2026-11-18.01kxqt5w8b7g4m2t"


def build_column(name: str, rule: str | None = "keep", **changes: Any) -> ColumnPlan:
    values: dict[str, Any] = {
        "name": name,
        "rule": rule,
        "leaves": rule not in ("drop", None),
        "source_type": "STRING",
        "landed_type": None if rule in ("drop", None) else "STRING",
        "guarded": None,
        **changes,
    }
    return ColumnPlan(**values)


def build_plan(**changes: Any) -> RunPlan:
    """A plan in which everything is known, and nothing is in order."""
    nested = "ARRAY<STRUCT<label STRING, city STRING, since DATE>>"
    values: dict[str, Any] = {
        "sync": "user_profile",
        "partition": "2026-11-19",
        "planned_at": MOMENT,
        "stops": (
            Stop(
                step=Step.EXTRACT, kind="PolicyError", message="The query returns " + "more " * 30
            ),
            Stop(step=Step.CACHE, kind="superseded", message=f"Version '{VERSION}' is live."),
        ),
        "query": QueryPlan(
            is_charged=True,
            bytes_to_process=412_316_860_416,
            bytes_to_bill=412_317_908_992,
            cost_usd=2.34,
            cap_bytes=1 << 40,
            below_cap_bytes=(1 << 40) - 412_316_860_416,
            month="2026-11",
            spent_usd=41.2,
            budget_usd=50.0,
        ),
        "snapshot": SnapshotPlan(
            source="bigquery",
            as_of=MOMENT,
            staged_in="acme-data.reverse_etl_staging",
            expires_at=MOMENT + dt.timedelta(hours=24),
        ),
        "columns": (
            build_column("user_id", "hmac"),
            build_column("email", "drop"),
            build_column(
                "city",
                'keep(reason: "shown on the public profile")',
                guarded="policy tag on shop.users.city (projects/p/locations/eu/taxonomies/1/policyTags/2)",
            ),
            build_column("signup_at", "year", source_type="TIMESTAMP", landed_type="INT64"),
            build_column("addresses", source_type=nested, landed_type=nested),
            build_column("birthday", "age_group(years: 5)", landed_type=None),
            build_column("phone", None),
        ),
        "basis": Basis(
            version=VERSION,
            partition="2026-11-18",
            rows=10_412_003,
            bytes=2_104_000_000,
            format="parquet",
            compression="zstd",
            same_columns=False,
            key_bytes=67.0,
            value_bytes=612.4,
            snapshot_bytes=9_400_000_000,
        ),
        "basis_missing": None,
        "read": ReadPlan(
            is_charged=True,
            read_bytes=9_400_000_000,
            read_cost_usd=0.0094,
            egress_bytes=9_400_000_000,
            egress_cost_usd=1.0505,
        ),
        "objects": ObjectsPlan(
            location="s3://acme-users/prod",
            pattern="user_profile/dt=2026-11-19/2026-11-19.<attempt>/part-<number>.parquet",
            format="parquet",
            compression="zstd",
            bucket_rows=4096,
            records=10_412_003,
            buckets=2542,
            objects=159,
            bytes=2_104_000_000,
        ),
        "redis": RedisPlan(
            records=10_412_003,
            key_bytes=108.0,
            value_bytes=612.4,
            key_overhead_bytes=100,
            version_bytes=8_542_007_261,
            versions=2,
            bytes=17_084_014_522,
        ),
        "unchanged_version": "2026-11-19.01kxqt5w8b7g4m2t",
        **changes,
    }
    return RunPlan(**values)


def build_unknown_plan() -> RunPlan:
    """A plan in which nothing is known but the rules."""
    full = build_plan()
    return dataclasses.replace(
        full,
        query=QueryPlan(is_charged=None),
        snapshot=dataclasses.replace(full.snapshot, source=None, as_of=None, staged_in=None),
        columns=(build_column("user_id", source_type=None, landed_type=None),),
        basis=None,
        basis_missing="the store could not be read",
        read=ReadPlan(is_charged=None),
        objects=dataclasses.replace(
            full.objects, location=None, records=None, buckets=None, objects=None, bytes=None
        ),
        redis=dataclasses.replace(full.redis, records=None, version_bytes=None, bytes=None),
        unchanged_version=None,
    )


def test_picture_is_as_it_was_approved() -> None:
    """Every line is looked at before it changes (the new text is in the assertion)."""
    plans = [build_plan(), build_unknown_plan(), build_plan(stops=(), columns=())]

    text = "\n\n".join(render_plan(plan, width=100) for plan in plans) + "\n"

    assert text == SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_picture_fits_its_width(width: int) -> None:
    """Nothing is cut off, and nothing runs over."""
    text = render_plan(build_plan(), width=width)

    assert max(len(line) for line in text.splitlines()) <= width
    for word in ("reverse_etl_staging", "policyTags/2", "10,412,003", "part-<number>.parquet"):
        assert word in "".join(text.split())


def test_document_has_stable_names() -> None:
    """Programs read these: a name that goes, or changes its unit, breaks one of them."""
    document = json.loads(json.dumps(build_document(build_plan())))

    assert {
        name: sorted(value) if isinstance(value, dict) else None for name, value in document.items()
    } == {
        "can_run": None,
        "sync": None,
        "partition": None,
        "planned_at": None,
        "stops": None,
        "query": [
            "below_cap_bytes",
            "budget_usd",
            "bytes_to_bill",
            "bytes_to_process",
            "cap_bytes",
            "cost_usd",
            "is_charged",
            "month",
            "spent_usd",
        ],
        "snapshot": ["as_of", "expires_at", "source", "staged_in"],
        "columns": None,
        "basis": [
            "bytes",
            "compression",
            "format",
            "key_bytes",
            "partition",
            "rows",
            "same_columns",
            "snapshot_bytes",
            "value_bytes",
            "version",
        ],
        "basis_missing": None,
        "read": [
            "egress_bytes",
            "egress_cost_usd",
            "is_charged",
            "read_bytes",
            "read_cost_usd",
        ],
        "objects": [
            "bucket_rows",
            "buckets",
            "bytes",
            "compression",
            "format",
            "location",
            "objects",
            "pattern",
            "records",
        ],
        "redis": [
            "bytes",
            "free_bytes",
            "key_bytes",
            "key_overhead_bytes",
            "records",
            "value_bytes",
            "version_bytes",
            "versions",
        ],
        "unchanged_version": None,
    }
    assert document["snapshot"]["as_of"] == "2026-11-20T03:00:00.000000Z"
    assert document["stops"][1] == {
        "step": "cache",
        "kind": "superseded",
        "message": f"Version '{VERSION}' is live.",
    }


def test_plan_of_a_day_that_can_be_run(
    run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0, nothing written: there is not even a store afterwards."""
    monkeypatch.setenv("COLUMNS", "120")
    done = run("plan", "people", "--partition", DAY)

    assert done.code == 0
    assert f"people {DAY}: what a run would do. Nothing was written or paid." in done.out
    assert "not known yet: no version of this day or an earlier one was committed" in done.out
    assert "Nothing that can be known beforehand." in done.out
    assert done.err == ""
    assert not shop.store.exists()


def test_plan_names_the_version_that_it_counts_from(run: Run) -> None:
    """The numbers are those of the day before, and say so."""
    run("run", "people", "--partition", BEFORE)

    plain = run("plan", "people", "--partition", DAY)
    document = run("plan", "people", "--partition", DAY, "--json").document

    assert plain.code == 0
    assert document["basis"]["partition"] == BEFORE
    assert document["objects"]["records"] == document["redis"]["records"] == USERS
    assert document["basis"]["version"] in plain.out
    assert "Canary" not in plain.out


def test_plan_that_finds_stops_exits_with_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are told, on stdout: they are the answer, not an error of the command."""
    monkeypatch.delenv("REVERSE_ETL_MASKING_KEY")
    monkeypatch.delenv("REVERSE_ETL_REDIS_URL")

    plain = run("plan", "secrets", "--partition", "2024-04-30")
    document = run("plan", "secrets", "--partition", "2024-04-30", "--json").document

    assert plain.code == 1
    assert plain.err == ""
    assert "What would stop it: 3 things" in plain.out
    assert not document["can_run"]
    assert [(stop["step"], stop["kind"]) for stop in document["stops"]] == [
        ("extract", "ConfigError"),
        ("extract", "ConfigError"),
        ("cache", "ConfigError"),
    ]
    for words in ("before the sync's start", "No masking key", "REVERSE_ETL_REDIS_URL is not set"):
        assert words in " ".join(plain.out.split())


def test_older_day_would_be_superseded(run: Run) -> None:
    """A run of it would exit with 0, but readers would never see it: that is worth a 1."""
    run("run", "people", "--partition", DAY)

    planned = run("plan", "people", "--partition", BEFORE, "--json")

    assert planned.code == 1
    assert [stop["kind"] for stop in planned.document["stops"]] == ["superseded"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "peple", "--partition", DAY), "no sync 'peple'"),
        (("plan", "people", "--partition", "yesterday"), "is not a date such as"),
        (("plan", "people", "--partition", "9999-12-31"), "is not a date such as"),
    ],
)
def test_wrong_use_is_no_plan(run: Run, words: tuple[str, ...], said: str) -> None:
    """There is nothing to plan: exit code 2, as of every command."""
    done = run(*words)

    assert done.code == 2
    assert said in done.err
    assert done.out == ""


@pytest.mark.contract
def test_plan_over_bigquery_knows_what_it_costs(
    run: Run, shop: Shop, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, costs, cap and place beforehand; after a run the snapshot's size too. Nothing is billed."""
    bigquery_server.copy_duckdb(shop.warehouse)
    for name, value in {
        "REVERSE_ETL_PROFILE": "cloud",
        "REVERSE_ETL_BIGQUERY_PROJECT": bigquery_server.project,
        "REVERSE_ETL_BIGQUERY_DATASET": STAGING,
        "REVERSE_ETL_BIGQUERY_ENDPOINT": bigquery_server.endpoint,
        "REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT": bigquery_server.storage_endpoint,
        "REVERSE_ETL_BIGQUERY_ANONYMOUS": "1",
    }.items():
        monkeypatch.setenv(name, value)

    first = run("plan", "people", "--partition", DAY, "--json")
    assert not bigquery_server.jobs
    run("run", "people", "--partition", BEFORE)
    second = run("plan", "people", "--partition", DAY, "--json")
    monkeypatch.setenv("REVERSE_ETL_BIGQUERY_MAX_BYTES_BILLED", "100")
    capped = run("plan", "people", "--partition", DAY)

    query = first.document["query"]
    assert (first.code, second.code, capped.code) == (0, 0, 1)
    assert query["is_charged"]
    assert query["below_cap_bytes"] == (1 << 40) - query["bytes_to_process"]
    assert query["cost_usd"] == pytest.approx((10 << 20) / (1 << 40) * 6.25)
    assert first.document["snapshot"]["staged_in"] == f"{bigquery_server.project}.{STAGING}"
    assert first.document["read"]["read_bytes"] is None
    read = second.document["read"]
    assert read["read_bytes"] == second.document["basis"]["snapshot_bytes"] > 0
    assert read["egress_cost_usd"] == pytest.approx(read["read_bytes"] / (1 << 30) * 0.12)
    assert "exceeded by" in capped.out
    assert len(bigquery_server.jobs) == 1

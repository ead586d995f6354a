"""`reverse-etl doctor` where BigQuery is the source: every step, every guard, with cause and cure."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.cli.conftest import SYNC, Run, Shop
from reverse_etl_tests.cli.test_doctor import message, outcomes
from reverse_etl_tests.sources.bigquery.paid import TIB, put_job

pytestmark = pytest.mark.contract

STEPS = [
    "bigquery credentials",
    "bigquery staging dataset",
    "bigquery jobs",
    "bigquery staging readers",
    "bigquery staging expiration",
    "bigquery storage endpoint",
    "bigquery read sessions",
    "bigquery byte cap",
    "bigquery job timeout",
    "bigquery watch",
    "budget: people",
    "budget: secrets",
    "source: people",
    "source: secrets",
]


@pytest.fixture(autouse=True)
def _cloud(shop: Shop, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's warehouse in BigQuery, and an environment that points there."""
    bigquery_server.copy_duckdb(shop.warehouse)
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")
    for name, value in {
        "PROJECT": bigquery_server.project,
        "DATASET": "staging",
        "ENDPOINT": bigquery_server.endpoint,
        "STORAGE_ENDPOINT": bigquery_server.storage_endpoint,
        "ANONYMOUS": "1",
    }.items():
        monkeypatch.setenv(f"REVERSE_ETL_BIGQUERY_{name}", value)


def give_budget(defs: Path, budget_usd: float) -> None:
    """The sync `people` with a monthly budget."""
    text = SYNC.format(name="people", rule="keep")
    bound = text.replace("query: query.sql", f"query: query.sql, monthly_budget_usd: {budget_usd}")
    (defs / "people" / "defs.yaml").write_text(bound)


def find_steps(document: dict[str, Any], outcome: str) -> set[str]:
    """The steps about BigQuery that ended so."""
    return {step for step, ended in outcomes(document).items() if ended == outcome} & set(STEPS)


def test_healthy_deployment_passes(run: Run, bigquery_server: BigQueryServer) -> None:
    """All steps in order; what is off is skipped and says how to switch it on; nothing was billed."""
    done = run("doctor", "--json")

    assert done.code == 0
    assert [step for step in outcomes(done.document) if step in STEPS] == STEPS
    assert find_steps(done.document, "skipped") == {
        "bigquery staging expiration",
        "bigquery watch",
        "budget: people",
        "budget: secrets",
    }
    assert "REVERSE_ETL_BIGQUERY_WATCH_MINUTES" in message(done.document, "bigquery watch")
    assert "source.monthly_budget_usd" in message(done.document, "budget: people")
    assert "1.1 TB (about 6.25 USD)" in message(done.document, "bigquery byte cap")
    assert "3600 s" in message(done.document, "bigquery job timeout")
    assert len(bigquery_server.jobs) == 0


def test_guards_say_what_they_would_do(
    run: Run, shop: Shop, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch looks and cancels nothing; a budget says what is spent."""
    monkeypatch.setenv("REVERSE_ETL_BIGQUERY_WATCH_MINUTES", "60")
    give_budget(shop.defs, 50)
    put_job(bigquery_server, "old", state="RUNNING")
    put_job(bigquery_server, "paid", billed=2 * TIB, created_at=bigquery_server.now)

    document = run("doctor", "--json").document

    assert "1 under way, 1 beyond the limits" in message(document, "bigquery watch")
    assert "50.00 USD a month; spent: 12.50 USD" in message(document, "budget: people")
    assert not bigquery_server.jobs["old"].cancelled


def test_budget_that_is_used_up_fails(
    run: Run, shop: Shop, bigquery_server: BigQueryServer
) -> None:
    """The night's refusal is known by day."""
    give_budget(shop.defs, 6.25)
    put_job(bigquery_server, "paid", billed=TIB, created_at=bigquery_server.now)

    done = run("doctor", "--json")

    assert done.code == 1
    assert outcomes(done.document)["budget: people"] == "failed"
    assert "is used up: 6.25 USD" in message(done.document, "budget: people")


def test_guards_that_cannot_look_fail(
    run: Run, shop: Shop, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget that cannot be counted will refuse, a watch that cannot see will not watch."""
    monkeypatch.setenv("REVERSE_ETL_BIGQUERY_WATCH_SLOT_HOURS", "10")
    give_budget(shop.defs, 50)
    bigquery_server.faults.deny("bigquery.jobs.list")
    bigquery_server.faults.deny("bigquery.jobs.listAll")

    document = run("doctor", "--json").document

    assert find_steps(document, "failed") == {"bigquery watch", "budget: people"}
    for step in ("bigquery watch", "budget: people"):
        assert "roles/bigquery.resourceViewer" in message(document, step)


@pytest.mark.parametrize(
    ("permission", "failed", "skipped"),
    [
        (
            "bigquery.datasets.get",
            "bigquery staging dataset",
            {"bigquery jobs", "bigquery staging readers", "source: people"},
        ),
        (
            "bigquery.jobs.create",
            "bigquery jobs",
            {"bigquery staging readers", "bigquery watch", "source: people"},
        ),
        ("bigquery.readsessions.create", "bigquery read sessions", set()),
    ],
)
def test_missing_permission_fails_one_step(
    run: Run, bigquery_server: BigQueryServer, permission: str, failed: str, skipped: set[str]
) -> None:
    """What rests on it is skipped and says so, instead of failing for the same cause again."""
    bigquery_server.faults.deny(permission)

    document = run("doctor", "--json").document

    assert find_steps(document, "failed") == {failed}
    assert permission in message(document, failed)
    assert skipped <= find_steps(document, "skipped")


def test_default_expiration_is_told(
    run: Run, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a second belt, and said in days."""
    bigquery_server.create_dataset("belted", default_expiration=dt.timedelta(hours=36))
    monkeypatch.setenv("REVERSE_ETL_BIGQUERY_DATASET", "belted")

    document = run("doctor", "--json").document

    assert outcomes(document)["bigquery staging expiration"] == "passed"
    assert "after 1.5 days" in message(document, "bigquery staging expiration")


def test_missing_dataset_is_asked_for_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is connected without the one setting that every run needs."""
    monkeypatch.delenv("REVERSE_ETL_BIGQUERY_DATASET")

    document = run("doctor", "--json").document

    assert "REVERSE_ETL_BIGQUERY_DATASET is not set" in message(document, "bigquery credentials")
    assert outcomes(document)["source: people"] == "skipped"


def test_sync_of_bigquery_is_examined_in_any_profile(
    run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own word; the others keep the profile's source, and have no budget."""
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "local")
    text = SYNC.format(name="people", rule="keep")
    (shop.defs / "people" / "defs.yaml").write_text(
        text.replace("query: query.sql", "query: query.sql, kind: bigquery")
    )

    found = outcomes(run("doctor", "--json").document)

    assert found["bigquery jobs"] == "passed"
    assert found["source: people"] == found["source: secrets"] == "passed"
    assert "budget: secrets" not in found


@pytest.mark.parametrize(
    ("table", "outcome", "said"),
    [
        ("staging.runs", "passed", "the first row makes table 'staging.runs'"),
        ("shop.users", "passed", "table 'shop.users' is there"),
        ("nowhere.runs", "failed", "there is no such dataset"),
        ("runs", "failed", "for BigQuery it is `dataset.table`"),
    ],
)
def test_run_log_is_looked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, table: str, outcome: str, said: str
) -> None:
    """Whether its table is there, or could be made; nothing is made for that."""
    monkeypatch.setenv("REVERSE_ETL_RUN_LOG_TABLE", table)

    document = run("doctor", "--json").document

    assert outcomes(document)["run log"] == outcome
    assert said in message(document, "run log")

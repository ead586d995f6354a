"""What `make bench BENCH_ARGS=masking` runs still fits the product; how long it takes is not tested."""

import argparse
from pathlib import Path

import pytest

from benchmarks.masking_sample import (
    build_kept_attributes,
    build_people,
    build_profile_attributes,
)
from benchmarks.masking_work import time_hmac, time_landing, time_mask, time_privacy
from benchmarks.sample import BENCH_ATTRIBUTES, build_benchmark_warehouse
from reverse_etl.spec import SyncConfig

USERS = 2_000


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("masking") / "warehouse.duckdb"
    build_benchmark_warehouse(path, users=USERS)
    return path


def ask(folder: Path, warehouse: Path, **options: object) -> argparse.Namespace:
    common = {"folder": folder, "warehouse": warehouse, "rounds": 1, "format": "json"}
    return argparse.Namespace(**common | {"rules": "profile", **options})


def test_profile_rules_are_those_of_the_shipped_sync() -> None:
    """All fourteen columns have a rule of `user_profile`, of at least six kinds."""
    config = SyncConfig.model_validate(build_profile_attributes())

    names = [rule.name for rule in config.columns]
    assert names == [rule["name"] for rule in BENCH_ATTRIBUTES["columns"]]
    assert len({rule.rule for rule in config.columns}) >= 6


def test_everything_kept_is_declared() -> None:
    """The hardest case for the leak scan lands all the same."""
    config = SyncConfig.model_validate(build_kept_attributes())

    assert {rule.rule for rule in config.columns} == {"keep"}
    assert {each.column for each in config.leaks.allow} == {"email", "phone"}


def test_people_are_in_families_of_five() -> None:
    """Groups of the one case are exactly as small as the gate lets pass."""
    counts = build_people(100).column("family").value_counts()

    assert {it["counts"].as_py() for it in counts} == {5}


@pytest.mark.parametrize("work", [time_hmac, time_mask], ids=["hmac", "mask"])
def test_masking_is_timed_over_all_users(tmp_path: Path, warehouse: Path, work: object) -> None:
    """Nothing is left out of what is timed."""
    assert callable(work)
    assert work(ask(tmp_path, warehouse))["rows"] == USERS


@pytest.mark.parametrize("scan", [True, False])
@pytest.mark.parametrize("rules", ["bench", "kept"])
def test_landing_is_timed_with_and_without_the_scan(
    tmp_path: Path, warehouse: Path, rules: str, *, scan: bool
) -> None:
    """Both commit all users, so that the difference is the scan."""
    result = time_landing(ask(tmp_path, warehouse, rules=rules, scan=scan))

    assert result["rows"] == USERS


@pytest.mark.parametrize(("case", "is_refused"), [("families", False), ("refused, k and l", True)])
def test_privacy_is_timed_with_its_refusal(tmp_path: Path, case: str, *, is_refused: bool) -> None:
    """The case that passes does, and the one that is refused comes with advice."""
    result = time_privacy(ask(tmp_path, tmp_path, case=case, people=USERS))

    assert result["rows"] == USERS
    assert (result["refusal"] is not None) == is_refused

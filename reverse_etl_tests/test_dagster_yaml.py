"""The two instance files are what Dagster takes, and do what their comments say."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.instance.config import dagster_instance_config
from dagster._serdes import class_from_code_pointer

from reverse_etl.components.assets import LANDING_POOL, REDIS_POOL, SOURCE_POOL, SYNC_TAG

ROOT = Path(__file__).parents[1]
LOCAL, PRODUCTION = ROOT / "dagster.yaml", ROOT / "docker" / "dagster.yaml"


def read(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return parsed


def validate(folder: Path, document: dict[str, Any]) -> Any:
    """What Dagster makes of an instance file."""
    (folder / "dagster.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return dagster_instance_config(str(folder))[0]


@pytest.mark.parametrize("path", [LOCAL, PRODUCTION], ids=["local", "production"])
def test_dagster_takes_the_file(tmp_path: Path, path: Path) -> None:
    """Every key is one that this release of Dagster knows."""
    assert validate(tmp_path, read(path))


@pytest.mark.parametrize("path", [LOCAL, PRODUCTION], ids=["local", "production"])
@pytest.mark.parametrize(
    "where", [(), ("concurrency",), ("concurrency", "pools"), ("run_monitoring",), ("run_retries",)]
)
def test_unknown_key_is_refused(tmp_path: Path, path: Path, where: tuple[str, ...]) -> None:
    """A slip of the pen in these files is no silent default: the test above would see it."""
    document = read(path)
    part = document
    for name in where:
        part = part[name]
    part["max_concurent"] = 1

    with pytest.raises(DagsterInvalidConfigError):
        validate(tmp_path, document)


@pytest.mark.parametrize("path", [LOCAL, PRODUCTION], ids=["local", "production"])
def test_configured_classes_take_their_options(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """The instance schema leaves the options of a class unread; the class itself reads them here."""
    for name in find_variables(read(path)):
        monkeypatch.setenv(name, "1")

    configured = [
        part for part in read(path).values() if isinstance(part, dict) and "class" in part
    ]

    assert configured
    for part in configured:
        chosen: Any = class_from_code_pointer(part["module"], part["class"])
        taken = process_config(resolve_to_config_type(chosen.config_type()), part["config"])
        assert taken.success, taken.errors


def find_variables(part: Any) -> set[str]:
    """Every environment variable that a file names."""
    if isinstance(part, dict):
        if set(part) == {"env"}:
            return {part["env"]}
        return {name for value in part.values() for name in find_variables(value)}
    if isinstance(part, list):
        return {name for value in part for name in find_variables(value)}
    return set()


def test_production_file_holds_no_value_of_a_deployment() -> None:
    """Hosts, names and passwords come from the environment, all of them."""
    database = read(PRODUCTION)["storage"]["postgres"]["postgres_db"]

    assert all(set(value) == {"env"} for value in database.values())
    assert find_variables(read(PRODUCTION)) == {
        "AWS_REGION",
        "DAGSTER_COMPUTE_LOGS_BUCKET",
        "DAGSTER_POSTGRES_DB",
        "DAGSTER_POSTGRES_HOST",
        "DAGSTER_POSTGRES_PASSWORD",
        "DAGSTER_POSTGRES_PORT",
        "DAGSTER_POSTGRES_USER",
    }


def test_local_file_needs_no_environment() -> None:
    """A fresh checkout has none."""
    assert find_variables(read(LOCAL)) == set()


@pytest.mark.parametrize("path", [LOCAL, PRODUCTION], ids=["local", "production"])
def test_pools_and_tags_are_those_of_the_assets(path: Path) -> None:
    """What the comments and limits speak of exists."""
    text = path.read_text(encoding="utf-8")
    limits = read(path)["concurrency"]["runs"]["tag_concurrency_limits"]

    assert all(pool in text for pool in (SOURCE_POOL, LANDING_POOL, REDIS_POOL))
    assert {limit["key"] for limit in limits} <= {"dagster/backfill", SYNC_TAG}


@pytest.mark.parametrize("path", [LOCAL, PRODUCTION], ids=["local", "production"])
def test_failed_steps_are_not_retried_as_runs(path: Path) -> None:
    """Runs are retried when their worker dies; errors of steps have a policy of their own."""
    document = read(path)

    assert document["run_retries"]["enabled"] is True
    assert document["run_retries"]["retry_on_asset_or_op_failure"] is False
    assert document["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    assert document["telemetry"]["enabled"] is False


def test_local_instance_keeps_its_history_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands started in one checkout see each other's runs, without DAGSTER_HOME."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text(LOCAL.read_text(encoding="utf-8"), encoding="utf-8")

    for _ in range(2):
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            run = instance.create_run_for_job(_job)
            assert instance.has_run(run.run_id)
            runs = instance.get_runs_count()

    assert runs == 2
    assert (tmp_path / ".local" / "dagster" / "history" / "runs.db").is_file()


@dg.op
def _work() -> None:
    """Nothing."""


@dg.job
def _job() -> None:
    """A job that is recorded and never run."""
    _work()

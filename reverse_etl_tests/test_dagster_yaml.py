"""The instance files are what Dagster takes, and do what their comments say."""

import os
import subprocess
import sys
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
COMPOSE, CLOUD_RUN, ECS = (
    ROOT / "docker" / name / "dagster.yaml" for name in ("compose", "cloud-run", "ecs")
)
DEPLOYED = {"production": PRODUCTION, "compose": COMPOSE, "cloud-run": CLOUD_RUN, "ecs": ECS}
FILES = {"local": LOCAL, **DEPLOYED}
EACH = pytest.mark.parametrize("path", FILES.values(), ids=FILES)


def read(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return parsed


def validate(folder: Path, document: dict[str, Any]) -> Any:
    """What Dagster makes of an instance file."""
    (folder / "dagster.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return dagster_instance_config(str(folder))[0]


@EACH
def test_dagster_takes_the_file(tmp_path: Path, path: Path) -> None:
    """Every key is one that this release of Dagster knows."""
    assert validate(tmp_path, read(path))


@EACH
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


@EACH
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

    assert database.pop("scheme") == "postgresql+psycopg2"  # the driver that is installed
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


@EACH
def test_pools_and_tags_are_those_of_the_assets(path: Path) -> None:
    """What the comments and limits speak of exists."""
    text = path.read_text(encoding="utf-8")
    limits = read(path)["concurrency"]["runs"]["tag_concurrency_limits"]

    assert all(pool in text for pool in (SOURCE_POOL, LANDING_POOL, REDIS_POOL))
    assert {limit["key"] for limit in limits} <= {"dagster/backfill", SYNC_TAG}


@EACH
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


def test_deployed_instances_differ_only_where_they_say() -> None:
    """Storage, limits, monitoring, retries and retention are one decision, written down four times."""
    expected = read(PRODUCTION)
    for name, path in DEPLOYED.items():
        found = read(path)
        for part in ("compute_logs", "run_launcher"):
            found.pop(part, None)
        if path == ECS:
            assert found["run_monitoring"].pop("max_resume_run_attempts") == 0
        if path == COMPOSE:
            found["concurrency"] = expected["concurrency"]
            assert found["run_monitoring"].pop("max_runtime_seconds") == 3600
            found["run_monitoring"] |= {"max_runtime_seconds": 14400}
        assert found == {key: expected[key] for key in expected if key != "compute_logs"}, name


def test_runs_are_started_where_the_file_is_for() -> None:
    """As processes of the code server, as executions of the one job, as tasks of the one definition."""
    launchers = {name: read(path).get("run_launcher", {}) for name, path in FILES.items()}
    job = launchers["cloud-run"]["config"]

    assert {name: it.get("class") for name, it in launchers.items()} == {
        "local": None,
        "production": None,
        "compose": None,
        "cloud-run": "CloudRunRunLauncher",
        "ecs": "EcsRunLauncher",
    }
    # A mapping here would become variables of the run: the name stands alone, as infra/google makes it.
    assert job["job_name_by_code_location"] == {"reverse_etl": "reverse-etl-dagster"}
    assert job["run_timeout"] == read(CLOUD_RUN)["run_monitoring"]["max_runtime_seconds"]


@EACH
def test_backfills_leave_places_for_the_day(path: Path) -> None:
    """In the queue, and in every pool that has a limit."""
    concurrency = read(path)["concurrency"]
    (backfills,) = [
        it["limit"]
        for it in concurrency["runs"]["tag_concurrency_limits"]
        if it["key"] == "dagster/backfill"
    ]

    assert concurrency["runs"]["max_concurrent_runs"] >= backfills + 2
    assert concurrency["pools"].get("default_limit", backfills + 1) > backfills


@pytest.mark.parametrize("path", DEPLOYED.values(), ids=DEPLOYED)
def test_places_of_dead_runs_come_back(path: Path) -> None:
    """A run that vanished is ended, its places are freed, and it is tried again whole."""
    monitoring = read(path)["run_monitoring"]

    assert monitoring["enabled"] is True
    assert monitoring["start_timeout_seconds"] < monitoring["max_runtime_seconds"]
    assert monitoring["free_slots_after_run_end_seconds"] > 0
    assert read(path)["run_retries"]["max_retries"] > 0


@EACH
def test_options_of_a_class_are_read(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """What the class would refuse is found by the test of the options above."""
    for name in find_variables(read(path)):
        monkeypatch.setenv(name, "1")
    part = read(path)["compute_logs"]
    chosen: Any = class_from_code_pointer(part["module"], part["class"])

    taken = process_config(
        resolve_to_config_type(chosen.config_type()), part["config"] | {"bukcet": "x"}
    )

    assert not taken.success


def ask_dagster(home: Path) -> tuple[int, str]:
    """What a person is told who starts Dagster with this folder; nothing of ours is in between."""
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "instance", "info"],
        env={"PATH": os.environ["PATH"], "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_person_is_told_which_key_is_unknown(tmp_path: Path) -> None:
    """Dagster does not start, and names the key, where it stands, and what may stand there."""
    text = PRODUCTION.read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(
        text.replace("max_concurrent_runs", "max_concurent_runs")
    )

    code, said = ask_dagster(tmp_path)

    assert code != 0
    assert 'unexpected config entry "max_concurent_runs" at path root:concurrency:runs' in said
    assert "Expected:" in said
    assert "max_concurrent_runs?: Int" in said


def test_person_is_told_which_variables_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the storage needs, at once."""
    (tmp_path / "dagster.yaml").write_text(PRODUCTION.read_text(encoding="utf-8"))
    for name in find_variables(read(PRODUCTION)):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(DagsterInvalidConfigError) as caught:
        dg.DagsterInstance.from_config(str(tmp_path))

    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        said = f'environment variable "DAGSTER_POSTGRES_{name}" which is not set'
        assert said in str(caught.value)

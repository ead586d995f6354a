"""`reverse-etl doctor` about Dagster: definitions, the instance, pools, schedules, the daemon."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
)

from reverse_etl.cli.doctor import dagster_look
from reverse_etl.cli.doctor.checkup import Checkup
from reverse_etl.cli.doctor.deployment import Deployment, examine_deployment, look_at_dagster
from reverse_etl.errors import ConfigError
from reverse_etl.settings import Profile, Settings
from reverse_etl.spec import SyncSpec, load_specs
from reverse_etl_tests.cli.conftest import SYNC

DEFS = Path(str(files("reverse_etl"))) / "defs"
NIGHTLY = '  schedule: {at: "05:30", environments: [prod]}\n'
POOLS = {"reverse_etl/source": 2, "reverse_etl/landing": 2, "reverse_etl/redis": 2}
DAEMON = {"is_healthy": True, "last_seen": 1795300000.0, "errors": 0}
HEALTHY = {
    "definitions": {"part": "definitions", "found": {"assets": 6, "jobs": 3}},
    "instance": {
        "part": "instance",
        "found": {"pools": POOLS, "schedules": {"people_daily_schedule": True}, "daemon": DAEMON},
    },
}


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, SyncSpec]:
    """One sync whose schedule has to run in `prod`."""
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "defs.yaml").write_text(
        SYNC.format(name="people", rule="keep") + NIGHTLY
    )
    (tmp_path / "people" / "query.sql").write_text("SELECT 1")
    return load_specs(tmp_path)


def examine(
    specs: Mapping[str, SyncSpec],
    look: Mapping[str, Any] = HEALTHY,
    *,
    environment: str = "prod",
    profile: Profile = Profile.CLOUD,
) -> dict[str, tuple[str, str]]:
    """Outcome and message of every step."""
    settings = Settings(environment=environment, profile=profile)
    deployment = Deployment(settings, specs, look=lambda: look)
    checkup = Checkup()
    checkup.run("definitions", lambda: deployment.examine_definitions(DEFS))
    examine_deployment(checkup, deployment)
    return {it.step: (it.outcome, it.message) for it in checkup.findings}


def changed(**found: object) -> dict[str, Any]:
    """The healthy look with other things found of the instance."""
    instance: dict[str, Any] = HEALTHY["instance"]["found"]  # type: ignore[assignment]
    return {**HEALTHY, "instance": {"part": "instance", "found": {**instance, **found}}}


def test_healthy_deployment_passes(specs: dict[str, SyncSpec]) -> None:
    """Counts, limits, and what runs, in this order."""
    found = examine(specs)

    assert {outcome for outcome, _ in found.values()} == {"passed"}
    assert list(found) == [
        "definitions",
        "dagster instance",
        "pools",
        "schedules",
        "dagster daemon",
    ]
    assert found["definitions"][1] == "they load: 1 syncs, 6 assets, 3 jobs"
    assert found["schedules"][1] == "1 of 1 run: people_daily_schedule"


@pytest.mark.parametrize(
    ("change", "step", "said"),
    [
        ({"schedules": {"people_daily_schedule": False}}, "schedules", "dagster schedule start"),
        ({"schedules": {}}, "schedules", "people_daily_schedule"),
        ({"pools": POOLS | {"reverse_etl/redis": 0}}, "pools", "wait for ever"),
        ({"pools": POOLS | {"reverse_etl/redis": None}}, "pools", "concurrency set"),
        ({"daemon": DAEMON | {"is_healthy": False}}, "dagster daemon", "last at 2026-"),
        ({"daemon": DAEMON | {"is_healthy": False, "errors": 2}}, "dagster daemon", "a second"),
        (
            {"daemon": {"is_healthy": False, "last_seen": None, "errors": 0}},
            "dagster daemon",
            "never reported",
        ),
    ],
)
def test_what_would_not_run_by_itself_is_found(
    specs: dict[str, SyncSpec], change: dict[str, object], step: str, said: str
) -> None:
    """Each step fails alone, and says what to do."""
    found = examine(specs, changed(**change))

    assert [it for it, (outcome, _) in found.items() if outcome == "failed"] == [step]
    assert said in found[step][1]


def test_environment_that_no_sync_names_needs_no_schedule(specs: dict[str, SyncSpec]) -> None:
    """On a laptop nothing runs by itself, pools have no limit, and nothing is wrong."""
    look = changed(
        schedules={"people_daily_schedule": False},
        pools=dict.fromkeys(POOLS),
        daemon=DAEMON | {"is_healthy": False},
    )

    found = examine(specs, look, environment="dev", profile=Profile.LOCAL)

    assert {step: outcome for step, (outcome, _) in found.items() if outcome != "passed"} == {
        "schedules": "skipped",
        "dagster daemon": "skipped",
    }


@pytest.mark.parametrize(
    ("look", "outcome", "said"),
    [
        ({"definitions": HEALTHY["definitions"]}, "failed", "could not be looked at within"),
        (
            HEALTHY | {"instance": {"part": "instance", "found": None}},
            "skipped",
            "DAGSTER_HOME is not set",
        ),
        (
            HEALTHY | {"instance": {"part": "instance", "error": "field not defined: foo"}},
            "failed",
            "field not defined: foo",
        ),
    ],
)
def test_steps_wait_for_an_instance(
    specs: dict[str, SyncSpec], look: dict[str, Any], outcome: str, said: str
) -> None:
    """Without one, whatever the reason, the steps that look into it are skipped."""
    found = examine(specs, look)

    assert found["dagster instance"][0] == outcome
    assert said in found["dagster instance"][1]
    assert {found[step][0] for step in ("pools", "schedules", "dagster daemon")} == {"skipped"}


def look_here(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the other process would print, from this one."""
    dagster_look.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["part"]: line for line in lines}


def test_instance_is_read_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pool's own limit stands over the default, and a switched schedule over its code."""
    (tmp_path / "dagster.yaml").write_text("concurrency: {pools: {default_limit: 3}}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    name = "user_stats_daily_schedule"
    repository = RemoteRepositoryOrigin(
        RegisteredCodeLocationOrigin("reverse_etl"), "__repository__"
    )
    with dg.DagsterInstance.get() as instance:
        instance.event_log_storage.set_concurrency_slots("reverse_etl/redis", 1)
        instance.add_instigator_state(
            InstigatorState(
                RemoteInstigatorOrigin(repository, name),
                InstigatorType.SCHEDULE,
                InstigatorStatus.RUNNING,
                ScheduleInstigatorData("30 5 * * *"),
            )
        )

    parts = look_here(capsys)

    assert parts["definitions"]["found"]["assets"] >= 6
    found = parts["instance"]["found"]
    assert found["pools"] == {
        "reverse_etl/source": 3,
        "reverse_etl/landing": 3,
        "reverse_etl/redis": 1,
    }
    assert found["schedules"][name] is True
    assert found["daemon"] == {"is_healthy": False, "last_seen": None, "errors": 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retries: 1\n", "field not defined: retries"),
        (
            "storage: {sqlite: {base_dir: {env: CANARY_FOLDER}}}\n",
            "not set in the environment: base_dir",
        ),
    ],
)
def test_wrong_instance_file_is_told_by_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    said: str,
) -> None:
    """Unknown keys and variables that are not set are named by where they stand."""
    (tmp_path / "dagster.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    error = look_here(capsys)["instance"]["error"]

    assert said in error


def test_error_of_ours_is_told_whole_and_others_by_class() -> None:
    """Ours say what to do; a foreign text may hold an address with its password."""
    wrapped = RuntimeError("Canary")
    wrapped.__cause__ = ConfigError("Add a rule.")

    assert dagster_look.describe(wrapped) == "Add a rule."
    assert "Canary" not in dagster_look.describe(RuntimeError("Canary"))


def test_process_of_its_own_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parts come back from it; a folder without an instance has none."""
    monkeypatch.chdir(tmp_path)

    parts = look_at_dagster()

    assert parts["definitions"]["found"]["assets"] >= 6
    assert parts["instance"]["found"] is None

"""The Cloud Run jobs fit what starts them: the command line's has a command, Dagster's brings its own."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from reverse_etl_tests.infra.sources import find_blocks, find_typed, load_sources, unquote

INSTANCE = Path(__file__).parents[2] / "docker" / "cloud-run" / "dagster.yaml"
#: Of infra/google: what a name is there that is not given.
DEFAULTS = {
    name.split(": ")[1]: unquote(body.get("default"))
    for name, body in find_blocks(load_sources(), "variable")
    if name.startswith("google/")
}


def read_jobs() -> dict[str, dict[str, Any]]:
    return {
        name: body
        for kind, name, body in find_typed(load_sources(), "resource")
        if kind == "google_cloud_run_v2_job"
    }


def read_template(name: str) -> dict[str, Any]:
    template: dict[str, Any] = read_jobs()[name]["template"][0]["template"][0]
    return template


@pytest.mark.parametrize("name", ["pipeline", "dagster"])
def test_cloud_run_never_tries_again(name: str) -> None:
    """Dagster does, or a person: a second try would be the same run twice, and pay twice."""
    template = read_template(name)
    (container,) = template["containers"]

    assert template["max_retries"] == 0
    assert template["timeout"] == "${var.timeout_seconds}s" or "timeout_seconds" in str(
        template["timeout"]
    )
    assert template["service_account"] == "${google_service_account.pipeline.email}"
    assert container["image"] == "${var.image}"
    assert container["resources"][0]["limits"].keys() >= {"cpu", "memory"}


def test_launcher_and_job_agree() -> None:
    """Name, time limit, and who says what is run."""
    launcher = yaml.safe_load(INSTANCE.read_text(encoding="utf-8"))["run_launcher"]["config"]
    name = unquote(read_jobs()["dagster"]["name"])
    (container,) = read_template("dagster")["containers"]

    assert launcher["job_name_by_code_location"] == {
        "reverse_etl": name.replace("${var.account_id}", DEFAULTS["account_id"])
    }
    assert launcher["run_timeout"] == DEFAULTS["timeout_seconds"]
    # With a command, Dagster's words for a run would be that command's arguments.
    assert "command" not in container
    assert "command" in read_template("pipeline")["containers"][0]


def test_job_has_what_the_instance_asks_for() -> None:
    """Every variable of the instance, the secret one by name alone."""
    text = load_sources()["google/dagster.tf"]
    asked = {
        word.strip("{}, ").removeprefix("env: ")
        for line in INSTANCE.read_text(encoding="utf-8").splitlines()
        if "{env: " in line
        for word in [line.split("{env: ")[1].split("}")[0]]
    }

    assert len(asked) == 8
    assert [name for name in asked if name not in text] == []
    assert "DAGSTER_POSTGRES_PASSWORD = { secret" in text

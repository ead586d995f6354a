"""docs/deployment.md names what is there: settings, files, variables of Terraform, commands."""

import re
import shlex

import pytest

from reverse_etl.settings import VARIABLES
from reverse_etl_tests.docker.files import (
    CLOUD_RUN_COMPOSE,
    FOREIGN,
    INSTANCES,
    ROOT,
    TASKS,
    check_command,
    find_env_references,
    read_services,
    read_task,
    read_yaml,
)
from reverse_etl_tests.infra.sources import load_sources

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
DAGSTERS = {"DAGSTER_CODE_SERVER_HOST"}.union(
    *(find_env_references(read_yaml(path)) for path in INSTANCES)
)


def test_page_stays_short() -> None:
    """It is followed line by line."""
    assert len(PAGE.splitlines()) <= 200
    assert max(len(line) for line in PAGE.splitlines() if line[:1] not in {"|", " ", ""}) <= 130


def test_settings_that_are_named_exist() -> None:
    """No reader is sent to a variable that nobody reads."""
    named = set(re.findall(r"\b(?:REVERSE_ETL|DAGSTER)_[A-Z_]+\b", PAGE))

    assert named - VARIABLES - DAGSTERS - FOREIGN.keys() == {"REVERSE_ETL_IMAGE"}
    assert DAGSTERS - named - FOREIGN.keys() == set()
    assert "${REVERSE_ETL_IMAGE:?" in CLOUD_RUN_COMPOSE.read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    """To files that are there, and to headings of them."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        file = ROOT / "docs" / path if path else ROOT / "docs" / "deployment.md"
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 -]", "", it.lower()).replace(" ", "-") for it in headings}
            assert anchor in slugs, target


def test_homes_are_those_of_the_image() -> None:
    """Each folder that DAGSTER_HOME may name is copied into it."""
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    homes = re.findall(r"^\| `(/opt/dagster[^`]*)`", PAGE, re.MULTILINE)

    assert homes == ["/opt/dagster", "/opt/dagster/cloud-run", "/opt/dagster/ecs"]
    for home in homes:
        assert re.search(rf"COPY .*dagster\.yaml.* {home}/\n", dockerfile), home


def test_names_in_the_commands_are_those_of_the_files() -> None:
    """Services, task definitions, jobs, containers and variables of Terraform."""
    terraform = "\n".join(load_sources().values())
    families = {
        read_task(path)["family"].replace("${prefix}", "reverse-etl-landing") for path in TASKS
    }
    text = "\n".join(BLOCKS)

    assert set(re.findall(r"--task-definition (\S+)", text)) <= families
    assert set(re.findall(r'"name":"(\w+)"', text)) == {"warm"}
    assert "webserver" in read_services(CLOUD_RUN_COMPOSE)
    for name in ("dagster_postgres_host", "image", "task_image", "account_id"):
        assert f"`{name}`" in PAGE
        assert f'variable "{name}"' in terraform


@pytest.mark.parametrize(
    "words",
    ["dagster instance migrate", "reverse-etl rollback SYNC", "reverse-etl serve SYNC"],
)
def test_commands_that_are_named_exist(words: str) -> None:
    """As their programs read them."""
    assert words.removesuffix(" SYNC") in PAGE
    check_command(shlex.split(words.replace("SYNC", "user_stats")))


def test_arguments_of_the_job_are_commands() -> None:
    """What is handed to the Cloud Run job is a command of `reverse-etl`."""
    found = re.findall(r"--args=(\S+)", PAGE)

    assert found
    for arguments in found:
        check_command(["reverse-etl", *arguments.split(",")])

"""The files of docker/ as values, and the commands in them as the programs themselves read them."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

from reverse_etl.cli.parser import build_parser

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "compose.yaml"
CLOUD_RUN_COMPOSE = DOCKER / "cloud-run" / "compose.yaml"
COMPOSE_FILES = [COMPOSE, CLOUD_RUN_COMPOSE]
TASKS = sorted((DOCKER / "ecs").glob("task-*.json"))
INSTANCES = [
    DOCKER / "dagster.yaml",
    DOCKER / "compose" / "dagster.yaml",
    DOCKER / "cloud-run" / "dagster.yaml",
    DOCKER / "ecs" / "dagster.yaml",
]

#: Of others than settings.py and Dagster's instance files: whose they are.
FOREIGN = {
    "SECRETS_FOLDER": "docker/with-secrets",
    "DAGSTER_HOME": "Dagster",
    "PGSSLMODE": "libpq",
    "AWS_REGION": "boto3",
    "AWS_DEFAULT_REGION": "boto3",
    "AWS_ENDPOINT_URL_S3": "boto3",
}


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file, merge keys resolved."""
    parsed: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return parsed


def read_services(path: Path) -> dict[str, dict[str, Any]]:
    """The services of a compose file."""
    services: dict[str, dict[str, Any]] = read_yaml(path)["services"]
    return services


def is_ours(service: dict[str, Any]) -> bool:
    """Whether it runs our image."""
    return "reverse-etl" in service["image"] or "REVERSE_ETL_IMAGE" in service["image"]


def read_task(path: Path) -> dict[str, Any]:
    """A task definition; what Terraform fills in stands as `${name}`."""
    task: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return task


def find_env_references(part: Any) -> set[str]:
    """Every variable that a Dagster file takes from the environment."""
    if isinstance(part, dict):
        if set(part) == {"env"}:
            return {part["env"]}
        return {name for value in part.values() for name in find_env_references(value)}
    if isinstance(part, list):
        return {name for value in part for name in find_env_references(value)}
    return set()


def read_instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: name and rest, continued lines joined, comments left out."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    bare = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in bare.splitlines() if line.strip()]
    return [(name, rest) for name, rest in lines]


def read_exec_form(name: str) -> list[str]:
    """The last `CMD [...]` or `ENTRYPOINT [...]` of the Dockerfile."""
    words: list[str] = json.loads(
        [rest for found, rest in read_instructions() if found == name][-1]
    )
    return words


@cache
def _load_click(program: str) -> click.Command:
    from dagster._cli import cli as dagster  # noqa: PLC0415 - a second each
    from dagster._daemon.cli import cli as daemon  # noqa: PLC0415
    from dagster_webserver.cli import dagster_webserver  # noqa: PLC0415

    programs: dict[str, click.Command] = {
        "dagster": dagster,
        "dagster-daemon": daemon,
        "dagster-webserver": dagster_webserver,
    }
    return programs[program]


def check_command(words: Sequence[str]) -> None:
    """Read a command as its program does, and run nothing; whatever it does not know raises."""
    # Where the image has it, and where the checkout.
    program, *rest = (word.replace("/opt/dagster/", f"{DOCKER}/") for word in words)
    if program == "reverse-etl":
        build_parser().parse_args(rest)
        return
    command = _load_click(program)
    while True:
        # `--version` and `--help` would end here: they are known, and that is all.
        if rest in (["--version"], ["--help"]):
            return
        context = command.make_context(program, list(rest))
        if not isinstance(command, click.Group):
            return
        arguments = [*context._protected_args, *context.args]
        _, found, rest = command.resolve_command(context, arguments)
        assert found is not None, shlex.join(words)
        command = found


def list_commands() -> Iterator[tuple[str, list[str]]]:
    """Where each command of ours stands, and its words, without the entry point."""
    yield "Dockerfile", read_exec_form("CMD")
    for path in COMPOSE_FILES:
        for name, service in read_services(path).items():
            if is_ours(service) and "command" in service:
                yield f"{path.parent.name}: {name}", service["command"]
    for path in TASKS:
        for container in read_task(path)["containerDefinitions"]:
            words = [*container.get("entryPoint", ["with-secrets"]), *container.get("command", [])]
            if words != ["with-secrets"]:
                yield f"{path.name}: {container['name']}", words[1:]


def list_environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Where each environment of ours stands, and its variables."""
    for path in COMPOSE_FILES:
        for name, service in read_services(path).items():
            if is_ours(service):
                yield f"{path.parent.name}: {name}", service.get("environment", {})
    for path in TASKS:
        for container in read_task(path)["containerDefinitions"]:
            pairs = container["environment"] + container.get("secrets", [])
            found = {pair["name"]: pair.get("value", pair.get("valueFrom")) for pair in pairs}
            yield f"{path.name}: {container['name']}", found

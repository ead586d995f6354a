"""Every command, variable and port in docker/ is one that the program behind it knows."""

import importlib.util
from types import ModuleType
from typing import Any

import click
import pytest

from reverse_etl.settings import VARIABLES
from reverse_etl_tests.docker.files import (
    DOCKER,
    FOREIGN,
    INSTANCES,
    check_command,
    find_env_references,
    list_commands,
    list_environments,
    read_yaml,
)

COMMANDS = dict(list_commands())
ENVIRONMENTS = dict(list_environments())
WORKSPACE = read_yaml(DOCKER / "workspace.yaml")


def load_script(name: str) -> ModuleType:
    """A script of a container, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("place", COMMANDS)
def test_program_takes_the_command(place: str) -> None:
    """Each word is parsed by the program's own parser."""
    words = COMMANDS[place]
    if words[0] == "python":
        assert words[1] == "/opt/prepare.py"
        assert words[2] in {"rows", "buckets"}
    elif words[-1] == "--help":
        # The task that can do nothing but `warm`: what is asked for is appended.
        check_command([*words[:-1], "s3://bucket/prefix/users/dt=2026-11-19/v/manifest.json"])
    else:
        check_command(words)


@pytest.mark.parametrize(
    "words",
    [
        ["reverse-etl", "serve", "users", "--hots", "127.0.0.1"],
        ["dagster-webserver", "--workspaces", "workspace.yaml"],
        ["dagster", "api", "grcp"],
        ["dagster-daemon", "run", "--prot", "1"],
    ],
)
def test_slip_in_a_command_is_found(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The check above can fail."""
    with pytest.raises((click.UsageError, SystemExit)):
        check_command(words)
    capsys.readouterr()


def test_roles_that_are_deployed_are_all_there() -> None:
    """The code server, webserver, daemon, `warm` and `serve`."""
    first = {" ".join(words[:2]) for words in COMMANDS.values()}

    assert {
        "dagster api",
        "dagster-webserver --host",
        "dagster-daemon run",
        "reverse-etl warm",
        "reverse-etl serve",
    } <= first


@pytest.mark.parametrize("place", ENVIRONMENTS)
def test_every_variable_is_known_to_somebody(place: str) -> None:
    """Settings refuse what they do not know; Dagster does not, and would take a default."""
    dagsters = find_env_references(WORKSPACE).union(
        *(find_env_references(read_yaml(path)) for path in INSTANCES)
    )

    assert ENVIRONMENTS[place].keys() - VARIABLES - dagsters - FOREIGN.keys() == set()


@pytest.mark.parametrize(
    "place", [place for place, found in ENVIRONMENTS.items() if "DAGSTER_POSTGRES_HOST" in found]
)
def test_instance_finds_each_of_its_variables(place: str) -> None:
    """Of the instance that DAGSTER_HOME chooses; the password comes as a secret."""
    found = ENVIRONMENTS[place]
    home = found.get("DAGSTER_HOME", "/opt/dagster").removeprefix("/opt/dagster").strip("/")
    folder = "compose" if place.startswith("docker:") else home
    needed = find_env_references(read_yaml(DOCKER / folder / "dagster.yaml"))

    assert needed - found.keys() - {"DAGSTER_POSTGRES_PASSWORD"} == set()


def test_webserver_and_daemon_know_where_the_code_is() -> None:
    """At the port at which the code server listens, under the name that runs are of."""
    (server,) = [part["grpc_server"] for part in WORKSPACE["load_from"]]
    command = COMMANDS["Dockerfile"]

    assert str(server["port"]) == command[command.index("--port") + 1]
    assert server["location_name"] == command[command.index("--location-name") + 1]
    for place, words in COMMANDS.items():
        if words[0] in {"dagster-webserver", "dagster-daemon"}:
            assert words[words.index("--workspace") + 1] == "/opt/dagster/workspace.yaml"
            assert "DAGSTER_CODE_SERVER_HOST" in ENVIRONMENTS[place]


def test_health_checks_ask_at_the_ports_that_are_listened_at() -> None:
    """The defaults of docker/healthcheck.py are the ports of the commands."""
    checks: dict[str, Any] = load_script("healthcheck").CHECKS
    ports = {role: check.__defaults__[0] for role, check in checks.items() if check.__defaults__}
    listening = {
        place.split(": ")[-1]: int(words[words.index("--port") + 1])
        for place, words in COMMANDS.items()
        if "--port" in words
    }

    assert ports == {"code-server": 4000, "webserver": 3000, "reader": 8000}
    assert {
        name: port for name, port in listening.items() if name in ports
    }.items() <= ports.items()
    assert listening["Dockerfile"] == ports["code-server"]

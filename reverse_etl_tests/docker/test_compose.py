"""The compose files: valid, pinned, closed to the network, and whole in themselves."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl_tests.docker.files import (
    CLOUD_RUN_COMPOSE,
    COMPOSE,
    COMPOSE_FILES,
    DOCKER,
    is_ours,
    read_exec_form,
    read_services,
    read_yaml,
)
from reverse_etl_tests.docker.test_commands import load_script

SERVICES = [
    (path, name, service) for path in COMPOSE_FILES for name, service in read_services(path).items()
]
EACH = pytest.mark.parametrize(
    ("path", "service"),
    [pytest.param(path, it, id=f"{path.parent.name}-{name}") for path, name, it in SERVICES],
)
#: Kept in volumes of their own: everything else may be taken away with a container.
KEPT = {"secrets", "pipeline", "postgres", "valkey", "objects"}


def validate(*paths: Path) -> tuple[int, str]:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("check-jsonschema"),
            *("--builtin-schema", "vendor.compose-spec"),
            *paths,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_files_are_what_compose_takes() -> None:
    """By the schema of the Compose Specification."""
    code, said = validate(*COMPOSE_FILES)

    assert code == 0, said


def test_schema_looks(tmp_path: Path) -> None:
    """A key that there is not would be left out silently otherwise."""
    text = COMPOSE.read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace("read_only:", "read_onyl:"))

    code, said = validate(tmp_path / "compose.yaml")

    assert code == 1
    assert "read_onyl" in said


@EACH
def test_container_can_do_little(path: Path, service: dict[str, Any]) -> None:
    """No root, no capability, no new privilege, nothing to write but what is named; bounded."""
    del path
    user, _, group = service["user"].partition(":")
    limits = service["deploy"]["resources"]["limits"]

    assert int(user) > 0
    assert int(group) > 0
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@EACH
def test_image_is_pinned(path: Path, service: dict[str, Any]) -> None:
    """By a whole version, or by the digest that the deployment gives; ours is built from here."""
    image = service["image"]
    if is_ours(service):
        assert image == "reverse-etl:local" or image.startswith("${REVERSE_ETL_IMAGE:?")
        return
    assert path == COMPOSE
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", image), image


@EACH
def test_ports_are_open_to_this_machine_alone(path: Path, service: dict[str, Any]) -> None:
    """Dagster's UI asks nobody who they are."""
    del path
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)


@EACH
def test_no_secret_is_written_down(path: Path, service: dict[str, Any]) -> None:
    """They come as files, made at random or put there by hand."""
    mounted = [it.split(":", 1)[1] for it in service.get("volumes", [])]
    if path == CLOUD_RUN_COMPOSE:
        assert mounted == ["/run/secrets:ro"]
    for name, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET_|ACCESS_KEY|TOKEN|REDIS_URL|MASKING_KEY", name):
            assert name.endswith("_FILE")
            assert value.startswith("/run/secrets/")


@EACH
def test_health_is_watched(path: Path, service: dict[str, Any]) -> None:
    """Whatever goes on running says how it is; ours by a role that docker/healthcheck.py knows."""
    del path
    check = service["healthcheck"]
    if service["restart"] == "no":
        assert check == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    assert check.keys() >= {"test", "interval", "timeout", "retries"}
    if is_ours(service):
        command, program, role = check["test"]
        assert (command, program) == ("CMD", "healthcheck")
        assert role in load_script("healthcheck").CHECKS
        started = service.get("command", read_exec_form("CMD"))[0]
        expected = {"code-server": "dagster", "reader": "reverse-etl"}
        assert started == expected.get(role, f"dagster-{role}")


@EACH
def test_order_of_starting_holds(path: Path, service: dict[str, Any]) -> None:
    """What is waited for is there, and can come to the state that is waited for."""
    services = read_services(path)
    for name, wish in service.get("depends_on", {}).items():
        ends = services[name]["restart"] == "no"
        condition = "service_completed_successfully" if ends else "service_healthy"
        assert wish == {"condition": condition}


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda it: it.parent.name)
def test_volumes_networks_and_files_are_declared_and_used(path: Path) -> None:
    """Nothing is left over, and nothing is missing."""
    document = read_yaml(path)
    used: dict[str, set[str]] = {"volumes": set(), "networks": set(), "configs": set()}
    for service in document["services"].values():
        mounts = [it.split(":")[0] for it in service.get("volumes", [])]
        used["volumes"] |= {it for it in mounts if not it.startswith("/")}
        used["networks"] |= set(service.get("networks", []))
        used["configs"] |= {it["source"] for it in service.get("configs", [])}

    for kind, names in used.items():
        assert names == set(document.get(kind, {})), kind
    for config in document.get("configs", {}).values():
        assert (path.parent / config["file"]).is_file()


def test_servers_with_data_reach_nothing() -> None:
    """Postgres, Valkey and S3 are on a network that leads nowhere, and publish no port."""
    document = read_yaml(COMPOSE)

    assert document["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey", "s3"):
        assert document["services"][name]["networks"] == ["inside"]
        assert "ports" not in document["services"][name]
    assert set(document["volumes"]) == KEPT


def test_one_service_builds_what_the_others_run() -> None:
    """From this checkout, by the Dockerfile that the other tests look at."""
    building = {name: it["build"] for name, it in read_services(COMPOSE).items() if "build" in it}

    ((name, build),) = building.items()
    assert (DOCKER / build["context"]).resolve() == DOCKER.parent
    assert (DOCKER.parent / build["dockerfile"]).is_file()
    assert name == "prepare"


def test_one_daemon_runs() -> None:
    """Two would start everything twice."""
    for path in COMPOSE_FILES:
        daemons = [
            name
            for name, it in read_services(path).items()
            if "dagster-daemon" in it.get("command", [])
        ]
        assert daemons == ["daemon"]
        assert "scale" not in read_services(path)["daemon"]
        assert "replicas" not in read_services(path)["daemon"]["deploy"]


def test_missing_values_of_production_stop_compose() -> None:
    """What has no sensible default is demanded, with what it is."""
    text = CLOUD_RUN_COMPOSE.read_text(encoding="utf-8")
    defaulted = set(re.findall(r"\$\{(\w+):-", text))

    assert re.findall(r"\$\{\w+\}", text) == []
    assert defaulted == {
        "DAGSTER_POSTGRES_PORT",
        "DAGSTER_POSTGRES_DB",
        "DAGSTER_POSTGRES_USER",
        "REVERSE_ETL_DAGSTER_URL",
    }


def test_valkey_starts_as_it_is_told_to(tmp_path: Path) -> None:
    """Its words are real ones: with the users that were prepared, and with the check of its health."""
    load_script("compose/prepare").make_secrets(tmp_path)
    (tmp_path / "data").mkdir()
    service = read_services(COMPOSE)["valkey"]
    program, *words = service["command"]
    here = {"/run/secrets": str(tmp_path), "/data": str(tmp_path / "data")}
    for there, place in here.items():
        words = [word.replace(there, place) for word in words]

    with RedisServer(options=words) as server, redis.Redis.from_url(server.url) as anybody:
        assert anybody.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            anybody.get("x")
        url = (tmp_path / "pipeline" / "REVERSE_ETL_REDIS_URL").read_text()
        port = urlsplit(server.url).port
        with redis.Redis.from_url(url.replace("valkey:6379", f"127.0.0.1:{port}")) as writer:
            memory = writer.info("memory")

    assert program == "valkey-server"
    assert memory["maxmemory_policy"] == "noeviction"
    assert memory["maxmemory"] == 768 << 20
    assert (tmp_path / "data" / "appendonlydir").is_dir()
    assert service["healthcheck"]["test"][1] == 'test "$$(valkey-cli ping)" = PONG'

"""The task definitions: what ECS takes, filled in by Terraform, each with one purpose."""

import re
from pathlib import Path
from string import Template
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from reverse_etl_tests.docker.files import DOCKER, TASKS, read_task, read_yaml
from reverse_etl_tests.docker.test_commands import load_script
from reverse_etl_tests.infra.sources import load_sources

EACH = pytest.mark.parametrize("path", TASKS, ids=lambda it: it.stem)
#: Fargate's: CPU units -> the least and the most MiB.
SIZES = {"256": (512, 2048), "512": (1024, 4096), "1024": (2048, 8192), "2048": (4096, 16384)}


def validate(task: dict[str, Any]) -> str:
    """What ECS' own model of RegisterTaskDefinition says."""
    model = botocore.session.get_session().get_service_model("ecs")
    shape = model.operation_model("RegisterTaskDefinition").input_shape
    report: str = ParamValidator().validate(task, shape).generate_report()
    return report


def test_tasks_are_those_that_terraform_makes() -> None:
    """One file a task, and no other."""
    assert [path.stem for path in TASKS] == ["task-dagster", "task-run", "task-warm"]
    assert (
        "{ warm = local.tasks, run = local.dagsters, dagster = local.dagsters }"
        in (load_sources()["aws/tasks.tf"])
    )


@EACH
def test_ecs_takes_the_definition(path: Path) -> None:
    """Names and types are those of the API; Terraform hands over no other keys than it has."""
    task = read_task(path)

    assert validate(task) == ""
    assert task.keys() == {
        "family",
        "requiresCompatibilities",
        "networkMode",
        "cpu",
        "memory",
        "runtimePlatform",
        "executionRoleArn",
        "taskRoleArn",
        "volumes",
        "containerDefinitions",
    }


def test_model_looks() -> None:
    """The check above can fail."""
    task = read_task(TASKS[0])
    task["containerDefinitions"][0]["enviroment"] = []

    assert "enviroment" in validate(task)


@EACH
def test_terraform_fills_in_what_is_left_open(path: Path) -> None:
    """Each `${name}` is a value of `task_values`, and none is left over."""
    terraform = load_sources()["aws/tasks.tf"]
    body = terraform.split("task_values = {", 1)[1].split("\n  }", 1)[0]
    offered = set(re.findall(r"^\s+(\w+)\s+=", body, re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    wanted = set(Template(text).get_identifiers())

    assert wanted <= offered
    assert offered == set().union(
        *(Template(it.read_text(encoding="utf-8")).get_identifiers() for it in TASKS)
    )


@EACH
def test_size_is_one_of_fargate(path: Path) -> None:
    """ECS refuses others when the task starts, not when it is registered."""
    task = read_task(path)
    least, most = SIZES[task["cpu"]]

    assert least <= int(task["memory"]) <= most
    assert int(task["memory"]) % 1024 == 0
    assert task["requiresCompatibilities"] == ["FARGATE"]
    assert task["networkMode"] == "awsvpc"


@EACH
def test_container_can_do_little(path: Path) -> None:
    """No root, no capability; it writes to empty volumes alone."""
    task = read_task(path)
    volumes = {volume["name"] for volume in task["volumes"]}
    for container in task["containerDefinitions"]:
        assert container["user"] == "10001:10001"
        assert container["readonlyRootFilesystem"] is True
        assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
        assert container["linuxParameters"]["initProcessEnabled"] is True
        assert container["image"] == "${image}"
        assert {it["sourceVolume"] for it in container["mountPoints"]} == volumes
        paths = {it["containerPath"] for it in container["mountPoints"]}
        # Declared by the image as volumes, or they would be root's.
        assert paths == {"/var/lib/reverse_etl", "/tmp"}  # noqa: S108
        assert 'VOLUME ["/var/lib/reverse_etl", "/tmp"]' in (DOCKER / "Dockerfile").read_text()


@EACH
def test_secrets_are_fetched_by_ecs(path: Path) -> None:
    """The password of Postgres, and there is no other: AWS knows the task by its role."""
    for container in read_task(path)["containerDefinitions"]:
        found = {it["name"]: it["valueFrom"] for it in container.get("secrets", [])}
        environment = {it["name"]: it["value"] for it in container["environment"]}

        assert found in ({}, {"DAGSTER_POSTGRES_PASSWORD": "${postgres_password_arn}"})
        assert not {name for name in environment if "PASSWORD" in name or "SECRET" in name}
        if "REVERSE_ETL_PROFILE" in environment:
            assert environment["REVERSE_ETL_AWS_IDENTITY"] == "task_role"
            assert environment["REVERSE_ETL_REDIS_AUTH"] == "elasticache_iam"


def test_warm_task_can_do_nothing_else() -> None:
    """Who starts it gives words for `reverse-etl warm`; an entry point cannot be replaced."""
    (container,) = read_task(DOCKER / "ecs" / "task-warm.json")["containerDefinitions"]

    assert container["entryPoint"] == ["with-secrets", "reverse-etl", "warm"]
    assert container["command"] == ["--help"]
    assert "secrets" not in container


def test_runs_are_started_in_the_container_that_there_is() -> None:
    """Launcher and definition agree; the definition is the one that the launcher may start."""
    launcher = read_yaml(DOCKER / "ecs" / "dagster.yaml")["run_launcher"]["config"]
    run = read_task(DOCKER / "ecs" / "task-run.json")
    (container,) = run["containerDefinitions"]
    named = {it["name"]: it["value"] for it in container["environment"]}

    assert launcher["container_name"] == container["name"]
    assert launcher["task_definition"] == {"env": "DAGSTER_ECS_TASK_DEFINITION"}
    assert named["DAGSTER_ECS_TASK_DEFINITION"] == run["family"]
    assert "entryPoint" not in container


def test_dagster_waits_for_its_code() -> None:
    """Webserver and daemon start when the code server is healthy; one of each."""
    task = read_task(DOCKER / "ecs" / "task-dagster.json")
    by_name = {it["name"]: it for it in task["containerDefinitions"]}

    assert set(by_name) == {"code-server", "webserver", "daemon"}
    for name, container in by_name.items():
        assert container["healthCheck"]["command"] == ["CMD", "healthcheck", name]
        assert name in load_script("healthcheck").CHECKS
        waits = [{"containerName": "code-server", "condition": "HEALTHY"}]
        assert container.get("dependsOn", []) == ([] if name == "code-server" else waits)

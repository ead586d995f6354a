"""The image: linted, pinned, without a secret, and made of nothing but what is meant."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from reverse_etl_tests.docker.files import DOCKER, ROOT, read_exec_form, read_instructions

HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(dockerfile: Path) -> tuple[int, str]:
    done = subprocess.run(
        [HADOLINT, "--no-color", dockerfile], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_hadolint_has_nothing_to_say() -> None:
    """Also no warning, and none is switched off."""
    assert "hadolint ignore" not in (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert lint(DOCKER / "Dockerfile") == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("USER 10001:10001", "USER root", "DL3002"),
        ("ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm\n", "FROM python:latest AS x\n", "DL3007"),
        ("WORKDIR /build", "WORKDIR build", "DL3000"),
    ],
)
def test_hadolint_looks(tmp_path: Path, old: str, new: str, rule: str) -> None:
    """The check above can fail."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "Dockerfile").write_text(text.replace(old, new), encoding="utf-8")

    code, said = lint(tmp_path / "Dockerfile")

    assert (code, rule in said) == (1, True)


def test_base_is_pinned_and_can_be_pinned_by_digest() -> None:
    """One base for both stages, by its whole version."""
    bases = [rest.split()[0] for name, rest in read_instructions() if name == "FROM"]
    arguments = dict(
        rest.split("=", 1) for name, rest in read_instructions() if name == "ARG" and "=" in rest
    )

    assert bases == ["${PYTHON_IMAGE}"] * 2
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", arguments["PYTHON_IMAGE"])


def test_what_is_installed_is_the_lock() -> None:
    """Every fetch is bound by the lock, and nothing that is fetched runs code while it installs."""
    installs = [
        command
        for name, rest in read_instructions()
        if name == "RUN"
        for command in rest.split("&&")
        if "pip install" in command
    ]

    assert len(installs) == 3
    for command in installs:
        assert "--constraint requirements/lock.txt" in command or "--no-deps" in command
        assert "--no-build-isolation" in command or command.rstrip().endswith("setuptools")
    assert sum("--only-binary :all:" in command for command in installs) == 1


def test_no_secret_is_in_a_layer() -> None:
    """Nothing that is an argument, a variable or a copied file is one."""
    text = "\n".join(
        rest.lower() for name, rest in read_instructions() if name in {"ARG", "ENV", "COPY", "ADD"}
    )

    assert re.findall(r"\w*(?:password|token|secret(?!s)|key|credential)\w*", text) == []
    assert [name for name, _ in read_instructions() if name == "ADD"] == []


def test_image_does_not_run_as_root() -> None:
    """By number, which is the user's that owns the folders."""
    users = [rest for name, rest in read_instructions() if name == "USER"]
    made = next(rest for name, rest in read_instructions() if "useradd" in rest)

    assert users == ["10001:10001"]
    assert "--uid 10001" in made
    assert "--gid 10001" in made


def test_labels_come_with_the_build() -> None:
    """What an image was made of can be read from it."""
    labels = " ".join(rest for name, rest in read_instructions() if name == "LABEL")

    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_entry_point_and_health_check_are_copied_programs() -> None:
    """Both names are in the image, where the path finds them."""
    copied = {
        rest.split()[-1] for name, rest in read_instructions() if name == "COPY" and "bin" in rest
    }
    checks = [rest for name, rest in read_instructions() if name == "HEALTHCHECK"]

    assert copied == {"/usr/local/bin/with-secrets", "/usr/local/bin/healthcheck"}
    assert read_exec_form("ENTRYPOINT") == ["with-secrets"]
    assert len(checks) == 1
    assert checks[0].endswith('CMD ["healthcheck", "code-server"]')


def list_copied() -> list[str]:
    """What the build takes from the checkout."""
    return [
        source
        for name, rest in read_instructions()
        if name == "COPY" and "--from" not in rest
        for source in [word for word in rest.split() if not word.startswith("--")][:-1]
    ]


def is_sent(path: str) -> bool:
    """Whether a file of the checkout gets to the builder: the last pattern that fits decides."""
    sent = True
    for line in (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").removeprefix("**/")
            parts = path.split("/")
            folders = ["/".join(parts[: i + 1]) for i in range(len(parts))]
            candidates = parts if "**/" in line else folders
            if any(fnmatchcase(candidate, pattern) for candidate in candidates):
                sent = line.startswith("!")
    return sent


def test_builder_gets_what_is_copied_and_nothing_else() -> None:
    """Neither keys nor the developer's own files are sent to it."""
    for source in list_copied():
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    assert is_sent("reverse_etl/defs/user_stats/query.sql")
    for path in (
        ".local/masking.key",
        ".env",
        ".git/config",
        ".venv/bin/python",
        "docker/.env",
        "docker/compose/prepare.py",
        "infra/aws/terraform.tfstate",
        "reverse_etl/__pycache__/x.pyc",
        "reverse_etl/.env",
    ):
        assert not is_sent(path), path


def test_extra_of_the_image_has_what_its_commands_import() -> None:
    """The webserver, Postgres, both launchers and the HTTP API come with `.[docker]`."""
    import tomllib  # noqa: PLC0415 - of this test alone

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {re.split(r"[>=<]", it)[0] for it in project["optional-dependencies"]["docker"]}

    assert extra == {
        "reverse_etl[api]",
        "dagster-contrib-gcp",
        "dagster-postgres",
        "dagster-webserver",
    }
    assert shutil.which("hadolint", path=str(HADOLINT.parent)) is not None

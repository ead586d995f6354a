"""What is installed is what the lock says, and the lock names no registry."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements" / "lock.txt"
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+))?")


def read_pins() -> list[re.Match[str]]:
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return [
        match
        for line in lines
        if not line.startswith("#") and (match := PIN.fullmatch(line.strip())) is not None
    ]


def test_installed_versions_are_the_pinned_ones() -> None:
    """A resolver that silently goes back years (pandas, protobuf) is noticed here."""
    different = []
    for pin in read_pins():
        if pin["marker"]:
            continue  # of another platform or Python
        try:
            found = version(pin["name"])
        except PackageNotFoundError:
            found = "absent"
        if found != pin["version"]:
            different.append(f"{pin['name']}: {found}, pinned {pin['version']}")

    assert different == []


def test_lock_holds_exact_pins_only() -> None:
    """Every line pins one version, and none records where it came from."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert len(pins) == len(read_pins()) > 100
    assert not any("://" in line or " @ " in line for line in lines)


def test_dagster_packages_belong_together() -> None:
    """Core and webserver are of one release; the integrations are of the library release beside it."""
    pins = {pin["name"]: pin["version"] for pin in read_pins()}
    minor = pins["dagster"].split(".", 1)[1]

    assert pins["dagster-webserver"] == pins["dagster-dg-cli"] == pins["dagster"]
    assert {pins["dagster-aws"], pins["dagster-gcp"]} == {
        f"0.{int(minor.split('.')[0]) + 16}.{minor.split('.')[1]}"
    }

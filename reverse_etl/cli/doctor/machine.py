"""Steps about this machine: Python, installed packages, the scratch folder, the embedded server."""

import platform
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from reverse_etl.cli.doctor.checkup import SkippedError
from reverse_etl.cli.quantities import format_bytes
from reverse_etl.embedded.redis_server import find_server_binary
from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.settings import Settings

LOCK = Path(__file__).parents[3] / "requirements" / "lock.txt"

_OLDEST_PYTHON = (3, 11)
_SHOWN_PACKAGES = 8


def examine_python() -> str:
    """The interpreter's version."""
    found = f"Python {platform.python_version()}"
    if sys.version_info < _OLDEST_PYTHON:
        oldest = ".".join(str(part) for part in _OLDEST_PYTHON)
        raise ConfigError(
            f"{found} runs this; {oldest} or newer is needed. `make setup` finds one."
        )
    return found


def examine_packages(lock: Path = LOCK) -> str:
    """Whether what is installed is what was tested: the exact versions of the lock."""
    if not lock.is_file():
        raise SkippedError(
            "not run from a checkout: there is no requirements/lock.txt to compare with"
        )
    pins = read_pins(lock)
    wrong = [
        f"{name} is {found or 'not installed'}, locked is {pinned}"
        for name, pinned in pins.items()
        if (found := _find_version(name)) != pinned
    ]
    if wrong:
        more = f"; and {len(wrong) - _SHOWN_PACKAGES} more" if len(wrong) > _SHOWN_PACKAGES else ""
        raise ConfigError(
            f"Installed packages differ from requirements/lock.txt: "
            f"{'; '.join(wrong[:_SHOWN_PACKAGES])}{more}. Resolvers go back silently to releases of "
            "years ago; run `make setup`."
        )
    return f"{len(pins)} packages as in requirements/lock.txt"


def read_pins(lock: Path) -> dict[str, str]:
    """Name and exact version of every line of the lock that applies to this interpreter."""
    pins = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            (pin,) = requirement.specifier
            pins[requirement.name] = pin.version
    return pins


def _find_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def examine_scratch(settings: Settings) -> str:
    """Whether masked rows could spill, and how much room there is."""
    folder = settings.scratch_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError:
        raise TerminalError(
            f"Nothing can be written to '{folder}' (REVERSE_ETL_SCRATCH_DIR). Name a folder that this "
            "user may write and that has room."
        ) from None
    return f"{format_bytes(free)} free in {folder}"


def examine_embedded_redis(settings: Settings) -> str:
    """Whether `make demo`, `make dev` and the tests find a server to start."""
    if settings.redis_url is not None:
        raise SkippedError("not needed: REVERSE_ETL_REDIS_URL is set")
    return f"server binary {Path(find_server_binary()).name}"

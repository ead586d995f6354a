"""Where the demo and `make dev` keep what they make: below `.local/`, which git ignores."""

import contextlib
import datetime as dt
import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.masking.keys import generate_masking_key

LOCAL = Path(".local")
MASKING_KEY_FILE = LOCAL / "masking.key"

_KEY_ID = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files of one use: `demo` or `dev`."""

    root: Path

    @property
    def warehouse(self) -> Path:
        """The sample warehouse."""
        return self.root / "warehouse.duckdb"

    @property
    def store(self) -> Path:
        """The object store."""
        return self.root / "store"

    @property
    def scratch(self) -> Path:
        """Where masked rows may spill."""
        return self.root / "scratch"

    @property
    def temporary(self) -> Path:
        """Where libraries may put their temporary files."""
        return self.root / "tmp"

    def build_environment(self, *, redis_url: str, masking_key_file: Path) -> dict[str, str | None]:
        """What Settings are read from, for these places; None takes a variable away."""
        return {
            "REVERSE_ETL_PROFILE": "local",
            "REVERSE_ETL_DUCKDB_PATH": str(self.warehouse.absolute()),
            "REVERSE_ETL_STORE_URL": self.store.absolute().as_uri(),
            "REVERSE_ETL_SCRATCH_DIR": str(self.scratch.absolute()),
            "REVERSE_ETL_REDIS_URL": redis_url,
            "REVERSE_ETL_MASKING_KEY_FILE": str(masking_key_file.absolute()),
            "REVERSE_ETL_MASKING_KEY": None,
            "REVERSE_ETL_MASKING_KEY_SECRET": None,
        }


@contextlib.contextmanager
def reserve(root: Path) -> Iterator[Places]:
    """The places below `root`, for this process alone; the kernel lets go of a lock of the dead.

    `ConfigError` when another process has them.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = root.with_name(f".{root.name}.lock").open("wb")
    except OSError as error:
        raise _refuse(root, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another process is using '{root}'. Wait for it to end, or stop it."
            ) from None
        yield Places(root=root)


def ensure_masking_key(path: Path) -> bool:
    """Make a random masking key at `path`, mode 0600, unless there is one; return whether it is new."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written whole under another name first: a key that was cut short would stop every run.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as file:
            file.write(generate_masking_key(_KEY_ID) + "\n")
            file.flush()
            return _link_if_absent(Path(file.name), path)
    except OSError as error:
        raise _refuse(path, error) from None


def _link_if_absent(file: Path, path: Path) -> bool:
    try:
        path.hardlink_to(file)
    except FileExistsError:
        return False
    return True


def choose_end_date(now: dt.datetime) -> dt.date:
    """The day that the sample's events end before: the first that is not begun anywhere yet.

    The latest complete day of every timezone lies before it.
    """
    return now.astimezone(dt.UTC).date() + dt.timedelta(days=1)


def _refuse(path: Path, error: OSError) -> TerminalError:
    return TerminalError(
        f"'{path}' cannot be written: {os.strerror(error.errno or 0)}. Run in a folder that this user "
        "may write, with room to spare."
    )

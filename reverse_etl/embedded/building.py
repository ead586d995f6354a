"""Builds a DuckDB file whole or not at all, and only once for the same recipe.

What it holds is the caller's; this module owns lock, temporary name and the record of the build.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from reverse_etl.engine import guarded
from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.sql import quote_literal

Fill = Callable[[duckdb.DuckDBPyConnection], None]

# Building spills nothing at this size; without a limit DuckDB would plan with 80 % of the machine.
_MEMORY_LIMIT = "1GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A file that is there. `seconds` is what building took, also when it was `reused`."""

    bytes: int
    seconds: float
    reused: bool


def compute_fingerprint(*, arguments: Mapping[str, object], recipe: Iterable[str]) -> str:
    """One digest for what a file is built from: arguments by name, and the texts that build it."""
    text = json.dumps([dict(arguments), list(recipe)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def build_warehouse(path: Path, *, fingerprint: str, fill: Fill, reuse: bool) -> Built:
    """Have `fill` write a new DuckDB file at `path`; with `reuse`, only if it is not there yet.

    Readers of an older file at `path` keep what they opened. Several builders at once take turns. A
    file that was not built here is never replaced: `ConfigError`.
    """
    with _mapped_os_errors(path):
        found = _find(path, fingerprint=fingerprint)
        if reuse and found is not None:
            return found
        with _locked(path):
            # Somebody may have built it while this one waited for its turn.
            found = _find(path, fingerprint=fingerprint)
            if reuse and found is not None:
                return found
            return _build(path, fingerprint=fingerprint, fill=fill)


def _build(path: Path, *, fingerprint: str, fill: Fill) -> Built:
    started = time.monotonic()
    with _temporary(path) as temporary:
        _write(temporary, fingerprint=fingerprint, fill=fill, started=started)
        temporary.replace(path)
    return Built(bytes=path.stat().st_size, seconds=time.monotonic() - started, reused=False)


def _write(path: Path, *, fingerprint: str, fill: Fill, started: float) -> None:
    with guarded("building the sample warehouse"), duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = {quote_literal(_MEMORY_LIMIT)}")
        connection.execute(f"SET temp_directory = {quote_literal(f'{path}.tmp')}")
        connection.execute("SET TimeZone = 'UTC'")
        # DuckDB would draw a bar of its own over the caller's.
        connection.execute("SET enable_progress_bar = false")
        # Opened by its path the file would be a catalog named after it: a schema of the same name
        # in it could not be told from the catalog.
        connection.execute(f"ATTACH {quote_literal(str(path))} AS sample_warehouse")
        connection.execute("USE sample_warehouse")
        fill(connection)
        connection.execute("CREATE TABLE _sample (fingerprint VARCHAR, seconds DOUBLE)")
        connection.execute(
            "INSERT INTO _sample VALUES ($fingerprint, $seconds)",
            {"fingerprint": fingerprint, "seconds": time.monotonic() - started},
        )
        connection.execute("USE memory")
        connection.execute("DETACH sample_warehouse")


def _find(path: Path, *, fingerprint: str) -> Built | None:
    """The file at `path` if the same recipe built it; `ConfigError` when it is none of ours."""
    if not path.exists():
        return None
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            ((recorded, seconds),) = connection.execute(
                "SELECT fingerprint, seconds FROM _sample"
            ).fetchall()
    except (duckdb.Error, ValueError):
        raise ConfigError(
            f"'{path}' is there already, and is not a sample that was built here, or another "
            "program has it open. It is left as it is: name another file, or move this one away."
        ) from None
    if recorded != fingerprint:
        return None
    return Built(bytes=path.stat().st_size, seconds=seconds, reused=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time; the kernel lets go of the lock of one that was killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside `path`; what is left under it goes, a killed builder's leavings too."""
    temporary = path.parent / f".{path.name}.building"

    def remove() -> None:
        temporary.unlink(missing_ok=True)
        # DuckDB's companions: its log, and where it spills.
        path.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)
        shutil.rmtree(path.with_name(f"{temporary.name}.tmp"), ignore_errors=True)

    remove()
    try:
        yield temporary
    finally:
        remove()


@contextlib.contextmanager
def _mapped_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = (
            "Free some space"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Name a file in a folder that this user may write"
        )
        raise TerminalError(
            f"The sample warehouse '{path}' could not be written: "
            f"{os.strerror(error.errno or errno.EIO)}. {advice}, and run again."
        ) from None

"""The embedded source's snapshots as files: private, whole or absent, swept after expiry or death.

A file is built under another name and renamed. A lock held while building tells the sweep that its
builder lives; the kernel lets go of it when the builder dies, however it dies.
"""

import contextlib
import datetime as dt
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reverse_etl.locks import hold_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Where a snapshot is built, and where its query may spill raw rows meanwhile."""

    path: Path
    spill_folder: Path


class SnapshotFiles:
    """Files below `folder`, which is made (0700) when the first is built."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, snapshot_id: str) -> Path:
        """The file of a snapshot."""
        return self._folder / f"{snapshot_id}.duckdb"

    @contextlib.contextmanager
    def build(self, snapshot_id: str, *, expires_at: dt.datetime) -> Iterator[Build]:
        """Paths to build the file at; on leaving without an error it becomes the snapshot's."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        building = self._folder / f"{snapshot_id}.building"
        spill = self._folder / f"{snapshot_id}.spill"
        lock_path = self._folder / f"{snapshot_id}.lock"
        with hold_lock(lock_path):
            try:
                spill.mkdir(mode=0o700)
                yield Build(path=building, spill_folder=spill)
                building.chmod(0o600)
                # The expiry is kept as the file's time, so that it outlives snapshot.json.
                expiry = expires_at.timestamp()
                os.utime(building, (expiry, expiry))
                building.replace(self.path(snapshot_id))
            finally:
                _remove_build(lock_path)

    def sweep(self, *, now: dt.datetime) -> int:
        """Remove expired files and what dead builders left; return how many snapshots went."""
        if not self._folder.is_dir():
            return 0
        swept = 0
        for path in sorted(self._folder.iterdir()):
            if path.suffix == ".duckdb":
                swept += _sweep_expired(path, now=now)
            elif path.suffix == ".lock":
                swept += _sweep_dead(path)
        return swept


def _remove_build(lock_path: Path) -> None:
    shutil.rmtree(lock_path.with_suffix(".spill"), ignore_errors=True)
    for suffix in (".building", ".building.wal", ".lock"):
        lock_path.with_suffix(suffix).unlink(missing_ok=True)


def _sweep_expired(path: Path, *, now: dt.datetime) -> int:
    with contextlib.suppress(FileNotFoundError):  # another sweep was faster
        if path.stat().st_mtime <= now.timestamp():
            path.unlink()
            return 1
    return 0


def _sweep_dead(lock_path: Path) -> int:
    with contextlib.suppress(FileNotFoundError), lock_path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        _remove_build(lock_path)
        return 1
    return 0

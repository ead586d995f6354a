"""A private folder of one run for what the engine spills; removed by the run, or by a later one's sweep."""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reverse_etl.locks import hold_lock

_LOCK = "owner.lock"


@contextlib.contextmanager
def open_scratch(root: Path) -> Iterator[Path]:
    """A folder, mode 0700, below `root`; those whose owners died are removed first."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_scratch(root)
    folder = Path(tempfile.mkdtemp(dir=root, prefix="run-"))
    with hold_lock(folder / _LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch(root: Path) -> int:
    """Remove the folders nobody holds any more; return how many."""
    swept = 0
    for folder in root.glob("run-*"):
        # A folder without a lock file is just being made; it will be seen next time.
        with contextlib.suppress(FileNotFoundError), (folder / _LOCK).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept

"""Lock files that tell the living from the dead: the kernel lets go when their holder dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock at `path`, which is made if need be; `FileNotFoundError` without its folder.

    A sweep may remove the file between our making and our locking it; what is locked then is no
    longer what `path` names, so it is made again.
    """
    while True:
        with path.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(path, lock.fileno()):
                yield
                return


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

"""A lock file that a sweep removes under its holder is made again."""

import fcntl
from pathlib import Path

import pytest

from reverse_etl.locks import hold_lock


def is_free(path: Path) -> bool:
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_lock_is_held_inside_and_free_outside(tmp_path: Path) -> None:
    """Whoever tries it meanwhile learns that the holder lives."""
    path = tmp_path / "a.lock"

    with hold_lock(path):
        assert not is_free(path)

    assert is_free(path)


def test_lock_removed_while_waiting_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making and locking somebody sweeps: the lock that is held is the one that is there."""
    path = tmp_path / "a.lock"
    take, taken = fcntl.flock, []

    def take_swept(lock: object, operation: int) -> None:
        if not taken:
            path.unlink()
        taken.append(operation)
        take(lock, operation)  # type: ignore[arg-type]

    monkeypatch.setattr("reverse_etl.locks.fcntl.flock", take_swept)
    with hold_lock(path):
        monkeypatch.undo()
        assert len(taken) == 2
        assert not is_free(path)


def test_error_inside_passes(tmp_path: Path) -> None:
    """An absent file inside the block is the block's own matter."""
    with pytest.raises(FileNotFoundError), hold_lock(tmp_path / "a.lock"):
        (tmp_path / "absent").read_bytes()

"""An object store in a local directory: the embedded default, with the same meanings as S3.

An object appears whole or not at all (written under a temporary name, then renamed). Writes are
atomic across processes: create by hard link, which fails when the name exists; replace and remove
under a lock file that the name shares with few others.
"""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from reverse_etl.errors import ConflictError, NotFoundError, TerminalError, TransientError
from reverse_etl.landing.store import (
    StoredObject,
    check_folder,
    check_listing_span,
    check_name,
    check_range,
    compute_etag,
    is_within,
)

# Names of our own doing begin with a dot, so that no object can have one and no listing shows one.
_TEMPORARY = ".tmp-"
_LOCKS = ".locks"

# Each is one other process deleting the last object of the folder at the very moment.
_MOST_REMOVALS = 1000

# A folder where a file is asked for, or a file where a folder is, is no object either.
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class DirectoryStore:
    """Objects are files below `root`; `root` is made when the first object is written."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._folder = str(self._root)
        self._made: set[str] = set()
        self._made_lock = threading.Lock()
        # Names no other writer has, whichever machine it runs on.
        self._own = secrets.token_hex(6)
        self._count = itertools.count()

    def __repr__(self) -> str:
        return f"DirectoryStore({self.location!r})"

    @property
    def location(self) -> str:
        """`file:///...`."""
        return self._root.as_uri()

    @property
    def concurrency(self) -> int:
        """A disk is kept busy by the threads that encode."""
        return 1

    @property
    def keeps_checksums(self) -> bool:
        """A file system answers for none of its bytes: what lies there has to be read back."""
        return False

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """Write an object whole; what was there is replaced. `metadata` has no place in a file."""
        del metadata
        path = self._path(name)
        with _mapped(name), self._written(path, body) as temporary:
            try:
                # Objects are nearly always new, and what is new nobody can hold an etag of.
                os.link(temporary, path)
            except FileExistsError:
                with self._locked(name):
                    Path(temporary).replace(path)

    def put_if_absent(self, name: str, body: bytes) -> str:
        """Create an object, or raise `ConflictError`."""
        path = self._path(name)
        with _mapped(name), self._written(path, body, durable=True) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise ConflictError(f"Object '{name}' exists already.") from None
            _sync_folder(_parent_of(path))
        return compute_etag(body)

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        """Replace the object that still has `etag`, or raise `ConflictError`."""
        path = self._path(name)
        with _mapped(name), self._locked(name):
            try:
                found = compute_etag(_read(path))
            except _ABSENT:
                found = None
            if found != etag:
                raise ConflictError(f"Object '{name}' was changed or removed meanwhile.")
            with self._written(path, body, durable=True) as temporary:
                Path(temporary).replace(path)
                _sync_folder(_parent_of(path))
        return compute_etag(body)

    def get(self, name: str) -> bytes:
        """An object's bytes, or `NotFoundError`."""
        return self._read(name, _read)

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        """An object's bytes and etag, or `NotFoundError`."""
        body = self.get(name)
        return body, compute_etag(body)

    def get_range(self, name: str, *, start: int, length: int) -> bytes:
        """Some of an object's bytes, or `NotFoundError`."""
        check_range(start, length)
        return self._read(name, lambda path: _read_range(path, start, length))

    def get_tail(self, name: str, *, length: int) -> bytes:
        """An object's last bytes, or `NotFoundError`."""
        check_range(0, length)
        return self._read(name, lambda path: _read_range(path, None, length))

    def list_objects(
        self, prefix: str, *, after: str | None = None, until: str | None = None
    ) -> Iterator[StoredObject]:
        """Objects by prefix, in order of names."""
        folder = check_listing_span(prefix, after, until).rpartition("/")[0]
        with _mapped(prefix):
            paths = ((path, path.relative_to(self._root).as_posix()) for path in self._walk(folder))
            found = [
                StoredObject(name=name, bytes=size)
                for path, name in paths
                if name.startswith(prefix)
                and is_within(name, after, until)
                and (size := _measure(path)) is not None
            ]
        yield from sorted(found, key=lambda item: item.name)

    def list_folders(self, prefix: str) -> list[str]:
        """The distinct next path elements that have objects below."""
        with _mapped(prefix):
            try:
                with os.scandir(self._root / check_folder(prefix)) as entries:
                    names = [entry.name for entry in entries if _is_folder(entry)]
            except _ABSENT:
                return []
            return sorted(name for name in names if any(self._walk(prefix + name)))

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; absent ones are no error. Folders left empty go too."""
        parents = set()
        for name in names:
            path = Path(self._path(name))
            with _mapped(name):
                if path.is_file():
                    with self._locked(name):
                        path.unlink(missing_ok=True)
                    parents.add(path.parent)
        for parent in parents:
            self._remove_empty(parent)

    def flush(self) -> None:
        """Have the kernel write everything out, once, instead of one fsync an object."""
        os.sync()

    def stop(self) -> None:
        """No call is tried again."""

    def close(self) -> None:
        """No file stays open between calls."""

    def sweep_unfinished(self, folder: str, *, older_than_seconds: float, now: float) -> int:
        """Remove what writers killed in the act left under temporary names; return how many."""
        swept = 0
        with _mapped("temporary files"):
            for path in self._walk(check_folder(folder), temporary=True):
                with contextlib.suppress(FileNotFoundError):
                    if now - path.stat().st_mtime >= older_than_seconds:
                        path.unlink()
                        swept += 1
                self._remove_empty(path.parent)
        return swept

    def _read(self, name: str, read: Callable[[str], bytes]) -> bytes:
        """What `read` makes of an object's file."""
        path = self._path(name)
        with _mapped(name):
            try:
                return read(path)
            except _ABSENT:
                raise NotFoundError(f"There is no object '{name}' in {self.location}.") from None

    def _path(self, name: str) -> str:
        # Text, here and where objects are read and written: a Path costs more than a small file.
        return f"{self._folder}/{check_name(name)}"

    def _walk(self, folder: str, *, temporary: bool = False) -> Iterator[Path]:
        """Every object's file below a folder; or, when asked, what has a temporary name."""
        walk = os.walk(self._root / folder, onerror=_raise_unless_absent)
        for directory, subdirectories, files in walk:
            subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
            for file in files:
                if file.startswith(_TEMPORARY if temporary else ".") is temporary:
                    yield Path(directory, file)

    @contextlib.contextmanager
    def _written(self, path: str, body: bytes, *, durable: bool = False) -> Iterator[str]:
        """The body under a temporary name beside `path`; gone afterwards, whatever happens."""
        folder = _parent_of(path)
        temporary = f"{folder}/{_TEMPORARY}{self._own}-{os.getpid()}-{next(self._count)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = self._in_folder(folder, lambda: os.open(temporary, flags, 0o640))
        try:
            try:
                _write(descriptor, body)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - see _path

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Nobody else, in any process, replaces or removes this object meanwhile."""
        # Few files for any number of objects: names that share one only wait for each other.
        folder = f"{self._folder}/{_LOCKS}"
        path = f"{folder}/{hashlib.sha256(name.encode()).hexdigest()[:2]}"
        flags = os.O_RDWR | os.O_CREAT
        descriptor = self._in_folder(folder, lambda: os.open(path, flags, 0o640))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _in_folder(self, folder: str, open_file: Callable[[], int]) -> int:
        """What `open_file` returns, the folder being there."""
        with self._made_lock:
            known = folder in self._made
        if known:
            # Another process may have removed the folder while it was empty.
            with contextlib.suppress(FileNotFoundError):
                return open_file()
        descriptor = self._make_and_open(Path(folder), open_file)
        with self._made_lock:
            self._made.add(folder)
        return descriptor

    def _make_and_open(self, folder: Path, open_file: Callable[[], int]) -> int:
        """Make the folder and open in it, however often others remove it in between, still empty."""
        for _ in range(_MOST_REMOVALS):
            # Path.mkdir reports a folder that went while it looked as one that "exists".
            with contextlib.suppress(FileNotFoundError):
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except FileExistsError:
                    if folder.exists() and not folder.is_dir():
                        raise
                    continue
                return open_file()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _remove_empty(self, folder: Path) -> None:
        while self._root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or gone already
            with self._made_lock:
                self._made.discard(str(folder))
            folder = folder.parent


def _parent_of(path: str) -> str:
    return path.rpartition("/")[0]


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see DirectoryStore._path
        return file.read()


def _read_range(path: str, start: int | None, length: int) -> bytes:
    """Some bytes of a file; of its end without a `start`."""
    with open(path, "rb") as file:  # noqa: PTH123 - see DirectoryStore._path
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - length) if start is None else start)
        return file.read(length)


def _write(descriptor: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]


def _measure(path: Path) -> int | None:
    """A file's bytes; None when it went between walk and stat: then no listing shows it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _sync_folder(folder: str) -> None:
    """Make a new name durable: a file's own fsync does not cover the directory entry."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_absent(error: OSError) -> None:
    # os.walk would pass over a folder it may not read, and a listing would silently lack objects.
    if not isinstance(error, _ABSENT):
        raise error


@contextlib.contextmanager
def _mapped(name: str) -> Iterator[None]:
    """Map the system's errors while `name` is read or written to ours."""
    try:
        yield
    except OSError as error:
        raise _map_error(error, name) from None


def _map_error(error: OSError, name: str) -> TerminalError | TransientError:
    reason = os.strerror(error.errno) if error.errno is not None else type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return TerminalError(
            f"The object store's disk is full while writing '{name}'. Nothing was committed; "
            "free space (old versions can go: see retention) and run again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TerminalError(
            f"Writing or reading '{name}' was refused ({reason}). "
            "Give this user read and write access to REVERSE_ETL_STORE_URL."
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return TerminalError(
            f"'{name}' cannot be an object of the directory: it is a folder there, or part of its "
            "name is a file. Something else writes below REVERSE_ETL_STORE_URL; move it away."
        )
    return TransientError(f"The object store failed on '{name}': {reason}.")

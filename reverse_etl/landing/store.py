"""The object store as we use it: a small protocol, and the form of it that lives in memory.

Names are relative to the store's root, separated by `/`; `check_name` says which ones there are. An
etag identifies the bytes an object had when it was read or written; it is opaque. Every form passes
`reverse_etl_tests/contracts/store.py`.
"""

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from reverse_etl.errors import ConflictError, NotFoundError, TerminalError

# What S3 takes as a key, and what a file system takes as one name.
_NAME_BYTES = 1024
_ELEMENT_BYTES = 255
# Most names: of ASCII alone, where a character is a byte. The others are looked at element by element.
_PLAIN_NAME = re.compile(
    rf"[^/.\0][^/\0]{{0,{_ELEMENT_BYTES - 1}}}(?:/[^/.\0][^/\0]{{0,{_ELEMENT_BYTES - 1}}})*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One line of a listing. `etag` is None where a listing does not tell it."""

    name: str
    bytes: int
    etag: str | None = None


class ObjectStore(Protocol):
    """What every store can do; each call is atomic for its object and safe from many threads."""

    @property
    def location(self) -> str:
        """The root as people write it, without credentials."""
        ...

    @property
    def concurrency(self) -> int:
        """How many calls at once are worth making: 1 where a call is not spent waiting."""
        ...

    @property
    def keeps_checksums(self) -> bool:
        """Whether the store itself checks the SHA-256 of what it is given, and lists etags."""
        ...

    def put(
        self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None
    ) -> str | None:
        """Write an object whole and return its etag; None where it would have to be computed.

        `metadata` is for people who look at the object: names to short ASCII texts, kept where the
        store keeps such. `TransientError` when the store is away, `ConfigError` when it does not let
        us, `TerminalError` when it is full or refuses.
        """
        ...

    def put_if_absent(self, name: str, body: bytes) -> str:
        """Create an object and return its etag; `ConflictError` when it exists already."""
        ...

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        """Replace the object that still has `etag`; `ConflictError` when it changed or is gone."""
        ...

    def get(self, name: str) -> bytes:
        """An object's bytes; `NotFoundError` when there is none."""
        ...

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        """An object's bytes and etag; `NotFoundError` when there is none."""
        ...

    def get_range(self, name: str, *, start: int, length: int) -> bytes:
        """`length` bytes of an object from `start` on; fewer, or none, where it ends before.

        `NotFoundError` when there is no object.
        """
        ...

    def get_tail(self, name: str, *, length: int) -> bytes:
        """The last `length` bytes of an object, or all of a shorter one; `NotFoundError` for none."""
        ...

    def list_objects(
        self, prefix: str, *, after: str | None = None, until: str | None = None
    ) -> Iterator[StoredObject]:
        """Every object whose name starts with `prefix`, in order of names.

        With `after` only those that come behind that name, with `until` only those up to and with it:
        names that an object could have, below `prefix` or not.
        """
        ...

    def list_folders(self, prefix: str) -> list[str]:
        """The distinct next path elements below `prefix` that have objects below, in order.

        `prefix` is empty or ends in `/`.
        """
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; absent ones are no error."""
        ...

    def sweep_unfinished(self, folder: str, *, older_than_seconds: float, now: float) -> int:
        """Remove what writers that died left half written below `folder`; return how many.

        `folder` ends in `/`, or is empty for all of the store; `now` is seconds since the epoch.
        Objects are never touched.
        """
        ...

    def flush(self) -> None:
        """Return when everything written so far would outlive a loss of power."""
        ...

    def stop(self) -> None:
        """Have the calls under way end soon: none is tried again. Later calls are as ever.

        From any thread; for a run that was cancelled or has failed already.
        """
        ...

    def close(self) -> None:
        """Let go of connections; the store is not used afterwards."""
        ...


def check_name(name: str) -> str:
    """Return `name`, or raise `TerminalError`: no store takes a name that another could not hold.

    Elements are not empty, do not begin with a dot, hold no NUL and have up to 255 bytes of UTF-8;
    a name has up to 1024.
    """
    if name.isascii() and len(name) <= _NAME_BYTES and _PLAIN_NAME.fullmatch(name):
        return name
    elements = name.split("/")
    if any(not element or not _is_element(element) for element in elements) or (
        len(name.encode()) > _NAME_BYTES
    ):
        raise TerminalError(
            f"{name!a} is not an object name. One has elements between slashes that are not empty, "
            "do not begin with a dot and are not longer than 255 bytes, 1024 in all."
        )
    return name


def check_prefix(prefix: str) -> str:
    """Return `prefix` if it may begin an object's name, or raise `TerminalError`."""
    folder, _, rest = prefix.rpartition("/")
    if folder:
        check_name(folder)
    if not _is_element(rest) or prefix.startswith("/"):
        raise TerminalError(f"{prefix!a} is not the beginning of an object name.")
    return prefix


def check_listing_span(prefix: str, after: str | None, until: str | None) -> str:
    """Return `prefix` if a listing of it may have these ends, or raise `TerminalError`."""
    for end in (after, until):
        if end is not None:
            check_name(end)
    return check_prefix(prefix)


def is_within(name: str, after: str | None, until: str | None) -> bool:
    """Whether a name lies between the ends of a listing. Order of characters is order of UTF-8."""
    return (after is None or name > after) and (until is None or name <= until)


def check_folder(prefix: str) -> str:
    """Return `prefix` if it is empty or ends in a slash, or raise `TerminalError`."""
    if prefix and not prefix.endswith("/"):
        raise TerminalError(f"{prefix!a} is not a folder: it does not end in a slash.")
    return check_prefix(prefix)


def _is_element(text: str) -> bool:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        return False
    return length <= _ELEMENT_BYTES and "\0" not in text and not text.startswith(".")


def check_range(start: int, length: int) -> None:
    """`TerminalError` for a range of no bytes, or one that begins before the object."""
    if length < 1 or start < 0:
        raise TerminalError(f"{length} bytes from byte {start} on are no range of an object.")


def find(store: ObjectStore, name: str) -> tuple[bytes, str] | None:
    """An object's bytes and etag, or None when there is none."""
    try:
        return store.get_with_etag(name)
    except NotFoundError:
        return None


class MemoryStore:
    """An object store in this process: for tests, ours and yours."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MemoryStore(objects={len(self._objects)})"

    @property
    def location(self) -> str:
        """A name only."""
        return "memory://"

    @property
    def concurrency(self) -> int:
        """Nothing is waited for."""
        return 1

    @property
    def keeps_checksums(self) -> bool:
        """A listing computes them from the bytes."""
        return True

    def put(self, name: str, body: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        """Write an object whole."""
        del metadata
        check_name(name)
        with self._lock:
            self._objects[name] = bytes(body)
        return compute_etag(body)

    def put_if_absent(self, name: str, body: bytes) -> str:
        """Create an object, or raise `ConflictError`."""
        check_name(name)
        with self._lock:
            if name in self._objects:
                raise ConflictError(f"Object '{name}' exists already.")
            self._objects[name] = bytes(body)
        return compute_etag(body)

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        """Replace the object that still has `etag`, or raise `ConflictError`."""
        check_name(name)
        with self._lock:
            found = self._objects.get(name)
            if found is None or compute_etag(found) != etag:
                raise ConflictError(f"Object '{name}' was changed or removed meanwhile.")
            self._objects[name] = bytes(body)
        return compute_etag(body)

    def get(self, name: str) -> bytes:
        """An object's bytes, or `NotFoundError`."""
        return self.get_with_etag(name)[0]

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        """An object's bytes and etag, or `NotFoundError`."""
        body = self._objects.get(check_name(name))
        if body is None:
            raise NotFoundError(f"There is no object '{name}' in {self.location}.")
        return body, compute_etag(body)

    def get_range(self, name: str, *, start: int, length: int) -> bytes:
        """Some of an object's bytes, or `NotFoundError`."""
        check_range(start, length)
        return self.get(name)[start : start + length]

    def get_tail(self, name: str, *, length: int) -> bytes:
        """An object's last bytes, or `NotFoundError`."""
        check_range(0, length)
        return self.get(name)[-length:]

    def list_objects(
        self, prefix: str, *, after: str | None = None, until: str | None = None
    ) -> Iterator[StoredObject]:
        """Objects by prefix, in order of names."""
        check_listing_span(prefix, after, until)
        with self._lock:
            found = sorted(
                item
                for item in self._objects.items()
                if item[0].startswith(prefix) and is_within(item[0], after, until)
            )
        for name, body in found:
            yield StoredObject(name=name, bytes=len(body), etag=compute_etag(body))

    def list_folders(self, prefix: str) -> list[str]:
        """The distinct next path elements that have objects below."""
        check_folder(prefix)
        rests = (item.name[len(prefix) :] for item in self.list_objects(prefix))
        return sorted({rest.split("/", 1)[0] for rest in rests if "/" in rest})

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; absent ones are no error."""
        # Before the lock is taken: `names` may be read from a listing of this very store.
        doomed = [check_name(name) for name in names]
        with self._lock:
            for name in doomed:
                self._objects.pop(name, None)

    def sweep_unfinished(self, folder: str, *, older_than_seconds: float, now: float) -> int:
        """Nothing is ever half written here."""
        del older_than_seconds, now
        check_folder(folder)
        return 0

    def flush(self) -> None:
        """Memory outlives nothing; there is nothing to do."""

    def stop(self) -> None:
        """No call takes time."""

    def close(self) -> None:
        """There is nothing to let go of."""


def compute_etag(body: bytes) -> str:
    """The etag of these bytes, in the stores that are ours."""
    return hashlib.sha256(body).hexdigest()

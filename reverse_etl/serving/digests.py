"""What the objects of a version have to be: their SHA-256 in its manifest, read once."""

import hashlib
import threading
from collections.abc import Callable

from reverse_etl.errors import IntegrityError
from reverse_etl.landing.layout import manifest_name
from reverse_etl.landing.manifest import decode_manifest
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.serving import forks
from reverse_etl.serving.bounded import Bounded

Read = Callable[[str, Callable[[ObjectStore], bytes]], bytes]

_DIGEST_BYTES = 32
_VERSIONS = 2  # the live one, and the one before for those who have it pinned


class Digests:
    """Of each version 32 bytes an object. `read` reads an object by its name."""

    def __init__(self, sync: str, read: Read) -> None:
        self._sync = sync
        self._read = read
        self._by_version: Bounded[bytes] = Bounded(_VERSIONS)
        self.renew_after_fork()
        forks.watch(self)

    def renew_after_fork(self) -> None:
        """The lock."""
        self._lock = threading.Lock()

    def match(self, head: Head, index: int, body: bytes) -> bool:
        """Whether these are the bytes that the manifest names for the object with this index."""
        start = index * _DIGEST_BYTES
        wanted = self._load(head)[start : start + _DIGEST_BYTES]
        return hashlib.sha256(body).digest() == wanted

    def _load(self, head: Head) -> bytes:
        # One reads a manifest, which may be large; the others wait for it.
        with self._lock:
            digests = self._by_version.find(head.version)
            if digests is None:
                digests = self._read_manifest(head)
                self._by_version.keep(head.version, digests)
            return digests

    def _read_manifest(self, head: Head) -> bytes:
        name = manifest_name(self._sync, head.version)
        manifest = decode_manifest(self._read(name, lambda store: store.get(name)))
        firsts = range(0, head.buckets, head.buckets_per_object)
        try:
            digests = b"".join(bytes.fromhex(item.sha256) for item in manifest.objects)
        except ValueError:
            digests = b""
        is_of_head = (manifest.sync, manifest.version) == (self._sync, head.version)
        named = [item.first_bucket for item in manifest.objects]
        if not is_of_head or named != list(firsts) or len(digests) != len(named) * _DIGEST_BYTES:
            raise IntegrityError(
                f"'{name}' does not name the objects of the live version. It was altered; materialise "
                "masked and cache again."
            )
        return digests

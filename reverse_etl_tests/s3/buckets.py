"""Objects in memory: a bucket's present objects, its noncurrent versions, its uploads in parts."""

import datetime as dt
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from reverse_etl_tests.s3.checksums import compute_md5
from reverse_etl_tests.s3.identities import utc_now


@dataclass(slots=True, kw_only=True)
class StoredObject:
    """One version of an object. `headers` are answered as they are; `etag` has its quotes.

    `checksum_type` is `COMPOSITE` for a checksum over the checksums of parts. `kms_key` is empty for
    what no KMS key encrypts.
    """

    body: bytes = field(repr=False)
    etag: str
    modified_at: dt.datetime
    headers: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    checksum_type: str = "FULL_OBJECT"
    kms_key: str = ""
    version_id: str = ""
    is_marker: bool = False

    @property
    def metadata(self) -> dict[str, str]:
        """What the client said of it for people."""
        prefix = "x-amz-meta-"
        return {
            name.removeprefix(prefix): value
            for name, value in self.headers.items()
            if name.startswith(prefix)
        }


@dataclass(slots=True, kw_only=True)
class Part:
    """One part of an upload."""

    body: bytes = field(repr=False)
    etag: str
    modified_at: dt.datetime
    checksums: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Upload:
    """An upload in parts that is neither completed nor aborted. `object` is what it will be, empty."""

    upload_id: str
    key: str
    initiated_at: dt.datetime
    object: StoredObject
    checksum_algorithm: str
    parts: dict[int, Part] = field(default_factory=dict)


class Bucket:
    """One bucket. All changes are made by the server's loop; others may read at any time.

    Without `has_md5_etags` an etag is made of the SHA-256 that came along, as in a bucket under KMS, where
    it is no MD5 either; of the MD5 only where none came.
    """

    def __init__(
        self,
        name: str,
        *,
        region: str,
        versioned: bool = False,
        clock: Callable[[], dt.datetime] = utc_now,
        has_md5_etags: bool = True,
    ) -> None:
        self.name = name
        self.region = region
        self.versioned = versioned
        self.clock = clock
        self.has_md5_etags = has_md5_etags
        self.objects: dict[str, StoredObject] = {}
        self.noncurrent: dict[str, list[StoredObject]] = {}
        self.uploads: dict[str, Upload] = {}
        self._sorted: list[str] = []
        self._fresh: list[str] = []
        self._has_gaps = False
        self._numbers = itertools.count(1)

    def make_etag(self, body: bytes, sha256: bytes | None) -> str:
        """The etag of an object put whole. `sha256` is None where nobody computed it."""
        if self.has_md5_etags or sha256 is None:
            return f'"{compute_md5(body).hex()}"'
        return f'"{sha256.hex()[:32]}"'

    def put(self, key: str, stored: StoredObject) -> None:
        """Make this the object of that key; the one before becomes noncurrent, if versions are kept."""
        before = self.objects.get(key)
        if self.versioned:
            stored.version_id = self._make_id("v")
            if before is not None:
                self.noncurrent.setdefault(key, []).append(before)
        if before is None:
            self._fresh.append(key)
        self.objects[key] = stored

    def delete(self, key: str) -> StoredObject | None:
        """Remove an object; where versions are kept, the delete marker that hides it."""
        before = self.objects.pop(key, None)
        if before is not None:
            self._has_gaps = True
        if not self.versioned:
            return None
        marker = StoredObject(
            body=b"",
            etag="",
            modified_at=self.clock(),
            version_id=self._make_id("m"),
            is_marker=True,
        )
        kept = [] if before is None else [before]
        self.noncurrent.setdefault(key, []).extend([*kept, marker])
        return marker

    def forget(self, key: str) -> None:
        """Lose an object, as if it had never been written."""
        self.objects.pop(key, None)
        self._has_gaps = True

    def find_version(self, key: str, version_id: str) -> StoredObject | None:
        """That version of an object, present or not."""
        present = self.objects.get(key)
        versions = [*self.noncurrent.get(key, []), *([present] if present else [])]
        return next((it for it in versions if it.version_id == version_id), None)

    def delete_version(self, key: str, version_id: str) -> None:
        """Remove one version for good; the one before it comes to the front if it was the present one."""
        older = self.noncurrent.get(key, [])
        present = self.objects.get(key)
        if present is not None and present.version_id == version_id:
            del self.objects[key]
            self._has_gaps = True
        else:
            older[:] = [it for it in older if it.version_id != version_id]
        if key not in self.objects and older and not older[-1].is_marker:
            self.objects[key] = older.pop()
            self._fresh.append(key)

    def sort_keys(self) -> list[str]:
        """The keys of present objects in the order of their bytes; not to be changed."""
        if self._has_gaps:
            # A set: a key may have gone and come back since.
            self._sorted = sorted({*self._sorted, *self._fresh} & self.objects.keys())
        elif self._fresh:
            self._sorted = sorted(self._sorted + self._fresh)
        self._fresh, self._has_gaps = [], False
        return self._sorted

    def make_upload_id(self) -> str:
        """An id that no other upload has."""
        return self._make_id("u")

    def _make_id(self, kind: str) -> str:
        return f"{kind}{next(self._numbers):08d}{secrets.token_hex(8)}"

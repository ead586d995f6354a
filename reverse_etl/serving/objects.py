"""Records found in a version's objects, which are named from the head alone: the reader's miss path.

A record is found or is not there; an object that is not what a writer leaves is an `IntegrityError`.
Everything here waits for the store or computes; none of it knows of Redis.
"""

import gzip
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from reverse_etl.errors import IntegrityError, NotFoundError
from reverse_etl.landing.layout import object_file_name, version_prefix
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.serving.digests import Digests
from reverse_etl.serving.keys import locate_object
from reverse_etl.serving.lines import Records, find_lines
from reverse_etl.serving.metrics import Event, Metrics
from reverse_etl.serving.options import ReaderOptions

if TYPE_CHECKING:  # loads Arrow
    import pyarrow as pa

    from reverse_etl.serving.parquet import ParquetObjects

    #: What holds the records of a place: the lines of an object, or the rows of a bucket.
    Part = bytes | pa.Table


class ObjectGoneError(Exception):
    """A version's object is not there: the version was retired, or the store lost something."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._name = name

    def explain(self) -> IntegrityError:
        """What the application is told when the version is still the live one."""
        return IntegrityError(
            f"Object '{self._name}' of the live version is missing from the store. Whether the user "
            "exists cannot be told; materialise masked and cache again, or roll back."
        )


def altered(name: str) -> IntegrityError:
    """The error for an object that is there and is not what was written."""
    return IntegrityError(
        f"Object '{name}' of the live version was altered or cut: it does not hold what belongs "
        "there. Whether the user exists cannot be told; materialise masked and cache again."
    )


class VersionObjects:
    """The objects of a sync's versions, read by place: what one GET brings.

    That is an object of a JSON version, and one row group (bucket) of a Parquet object.
    """

    def __init__(
        self,
        sync: str,
        *,
        store: Callable[[], ObjectStore],
        options: ReaderOptions,
        metrics: Metrics,
    ) -> None:
        self._sync = sync
        self._store = store
        self._options = options
        self._metrics = metrics
        self._digests = Digests(sync, self.read) if options.verify_objects else None
        self._parquet: ParquetObjects | None = None

    def group(self, keys: Iterable[bytes], head: Head) -> dict[int, list[bytes]]:
        """The keys by the place that each lies in, or would."""
        wanted: dict[int, list[bytes]] = defaultdict(list)
        for key in keys:
            bucket, index = locate_object(key, head)
            wanted[bucket if head.format == "parquet" else index].append(key)
        return wanted

    def fetch(self, head: Head, place: int) -> "Part":
        """A place's records, undecoded; `ObjectGoneError` when there is no object of it."""
        if head.format == "parquet":
            return self._open_parquet().fetch(head, place, name=self._name(head, place))
        name = self._name(head, place)
        body = self.read(name, lambda store: store.get(name))
        if self._digests is not None and not self._digests.match(head, place, body):
            raise altered(name)
        lines = _decompress(body, compression=head.compression)
        if lines is None:
            raise altered(name)
        return lines

    def find(
        self, head: Head, wanted: Mapping[int, list[bytes]], parts: "Iterable[Part]"
    ) -> Records:
        """The records of `wanted` keys by place, as JSON without newline; absent ones are left out.

        Before a key is taken as absent, everything that could have held it is checked: what was
        altered is an `IntegrityError`, never "no such user".
        """
        found: Records = {}
        for (place, keys), part in zip(wanted.items(), parts, strict=True):
            if isinstance(part, bytes):
                records = find_lines(part, head=head, index=place, keys=keys)
            else:
                records = self._open_parquet().find(part, head=head, bucket=place, keys=keys)
            if records is None:
                raise altered(self._name(head, place))
            found.update(records)
        return found

    def read(self, name: str, ask: Callable[[ObjectStore], bytes]) -> bytes:
        """What the store answers, counted and timed; `ObjectGoneError` when there is no object."""
        started = time.perf_counter()
        try:
            return ask(self._store())
        except NotFoundError:
            raise ObjectGoneError(name) from None
        finally:
            self._metrics.record(Event.STORE_GET, seconds=time.perf_counter() - started)

    def _name(self, head: Head, place: int) -> str:
        index = place // head.buckets_per_object if head.format == "parquet" else place
        file_name = object_file_name(head.format, head.compression, index)
        return version_prefix(self._sync, head.version) + file_name

    def _open_parquet(self) -> "ParquetObjects":
        if self._parquet is None:
            # Arrow is loaded by whoever reads a Parquet version, and by nobody else.
            from reverse_etl.serving.parquet import ParquetObjects  # noqa: PLC0415

            self._parquet = ParquetObjects(
                self.read, digests=self._digests, footer_bytes=self._options.footer_bytes
            )
        return self._parquet


def _decompress(body: bytes, *, compression: str) -> bytes | None:
    """The lines of an object; None when it was cut."""
    if compression == "none":
        lines = body
    else:
        try:
            lines = gzip.decompress(body)
        except (EOFError, OSError, zlib.error):
            return None
        if not body:
            # An empty bucket is an empty gzip frame; nothing at all is what a cut leaves.
            return None
    return None if lines and not lines.endswith(b"\n") else lines

"""Landed columns of any types that wait in a scratch file as Arrow writes them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.engine import unslice
from reverse_etl.landing.kept import BUCKET, check_size
from reverse_etl.landing.parts import Parts
from reverse_etl.scratch_file import ScratchFile


@dataclass(slots=True)
class _Part:
    """Where a part's batches lie in the file."""

    places: list[tuple[int, int]] = field(default_factory=list)
    bytes: int = 0


class KeptColumns:
    """Records of `schema`, behind their buckets: see `kept.Kept`."""

    def __init__(self, file: ScratchFile, parts: Parts, schema: pa.Schema) -> None:
        self._file = file
        self._parts = parts
        self._schema = schema.insert(0, pa.field(BUCKET, pa.uint32()))
        self._kept = [_Part() for _ in parts.ranges]
        self._lock = threading.Lock()

    def add(self, records: pa.Table, buckets: npt.NDArray[np.uint32]) -> None:
        """Keep records, each in the part of its bucket."""
        order, edges = self._parts.arrange(buckets)
        records = records.add_column(0, self._schema.field(0), pa.array(buckets))
        if len(self._parts) > 1:
            records = unslice(records).take(order)
        for part, (start, end) in zip(self._kept, pairwise(edges.tolist()), strict=True):
            if end > start:
                self._append(part, records.slice(start, end - start))

    def count_bytes(self, part: int) -> int:
        """What a part's batches take."""
        return self._kept[part].bytes

    def read(self, part: int) -> pa.Table | None:
        """All of a part."""
        check_size(self.count_bytes(part))
        tables = list(self.read_pieces(part))
        return pa.concat_tables(tables).combine_chunks() if tables else None

    def read_pieces(self, part: int) -> Iterator[pa.Table]:
        """A part batch by batch."""
        for start, size in self._kept[part].places:
            batch = pa.ipc.read_record_batch(self._file.read(start, size), self._schema)
            yield pa.Table.from_batches([batch])

    def _append(self, part: _Part, records: pa.Table) -> None:
        for batch in records.combine_chunks().to_batches():
            place = self._file.append([batch.serialize()])
            with self._lock:
                part.places.append(place)
                part.bytes += place[1]

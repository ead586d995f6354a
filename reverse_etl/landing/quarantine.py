"""Rows that were set aside: kept out of records and Redis, and put beside a version's objects.

A line is `{"reasons": {"birthday": "future_date"}, "row": {...}}`: the row as it was masked, NULL where
that could not be done. They are in no order, and no reader looks for them.
"""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.engine import guarded
from reverse_etl.landing.formats import encode_object
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.kept import LINE
from reverse_etl.landing.layout import quarantine_file_name
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.sender import NewObject, Sender
from reverse_etl.model import LandedObject
from reverse_etl.scratch_file import ScratchFile

# Plain bytes of an object, about; a batch is not cut.
_OBJECT_BYTES = 8 << 20
_SCHEMA = pa.schema([pa.field(LINE, pa.string())])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the file a batch of lines lies, and how many there are."""

    start: int
    size: int
    rows: int


class Quarantine:
    """The rows of one version that were set aside. They wait in `file`; `add` from many threads.

    Beyond `most_rows` nothing more is kept: that version is refused.
    """

    def __init__(self, file: ScratchFile, *, most_rows: int) -> None:
        self._file = file
        self._most_rows = most_rows
        self._places: list[_Place] = []
        self._rows = 0
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        """How many were set aside."""
        return self._rows

    def add(self, *, reasons: pa.ChunkedArray, lines: pa.ChunkedArray) -> None:
        """Keep rows: for each its reasons, a JSON object, and its masked record, a line."""
        with self._lock:
            self._rows += len(lines)
            if self._rows > self._most_rows:
                return
        with guarded("setting rows aside"):
            records = pc.utf8_rtrim(lines.combine_chunks(), "\n")
            join: Any = pc.binary_join_element_wise
            texts = join('{"reasons":', reasons.combine_chunks(), ',"row":', records, "}\n", "")
            batch = pa.record_batch([texts], schema=_SCHEMA)
            start, size = self._file.append([batch.serialize()])
        with self._lock:
            self._places.append(_Place(start, size, len(texts)))

    def write(self, sender: Sender, plan: LandingPlan) -> None:
        """Have all of them written below the version's prefix; objects of about 8 MiB before compression."""
        plan = replace(plan, file_format="json", compression="gzip")
        for index, places in enumerate(self._cut_objects()):
            room = sum(place.size for place in places)
            sender.send(partial(self._make_object, plan, index, places), room=room)

    def _make_object(self, plan: LandingPlan, index: int, places: list[_Place]) -> NewObject:
        pieces = [self._read(place) for place in places]
        rows = sum(place.rows for place in places)
        body = encode_object(plan, [Bucket(0, rows, pieces)])
        name = quarantine_file_name(index)
        landed = LandedObject(
            name=name,
            first_bucket=0,
            buckets=0,
            rows=rows,
            bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
        )
        return NewObject(name=plan.prefix + name, body=body, landed=landed)

    def _cut_objects(self) -> Iterator[list[_Place]]:
        group: list[_Place] = []
        for place in self._places:
            if group and sum(each.size for each in group) + place.size > _OBJECT_BYTES:
                yield group
                group = []
            group.append(place)
        if group:
            yield group

    def _read(self, place: _Place) -> pa.RecordBatch:
        return pa.ipc.read_record_batch(self._file.read(place.start, place.size), _SCHEMA)

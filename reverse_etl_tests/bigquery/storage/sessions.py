"""Read sessions: which rows, which columns, cut into which streams."""

import datetime as dt
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect import transpile_query
from reverse_etl_tests.bigquery.catalog import Table
from reverse_etl_tests.bigquery.engine import Engine, Rows, run_query
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.storage.encode import Compression

#: A session lives this long: https://cloud.google.com/bigquery/docs/reference/storage
LIFETIME = dt.timedelta(hours=6)
_DEFAULT_STREAMS = 8


@dataclass(slots=True)
class StreamOptions:
    """How sessions are cut: `server.streams`.

    `count` caps the streams (fewer than asked, as BigQuery often gives), `empty` makes the last ones
    of them empty, `uneven` gives each stream twice the rows of the next. Streams have at least
    `least_rows` rows: a small table has one.
    """

    count: int | None = None
    rows_per_message: int = 8192
    uneven: bool = False
    empty: int = 0
    least_rows: int = 1

    def set(self, **options: Any) -> None:
        """Several options at once."""
        for name, value in options.items():
            setattr(self, name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream: rows `[first, end)` of its session's table."""

    name: str
    index: int
    first: int
    end: int

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.end - self.first


@dataclass(slots=True, kw_only=True)
class Session:
    """A session over a table as it was when the session was made."""

    name: str
    table: Table
    content: pa.Table
    key: tuple[Any, ...]
    compression: Compression
    rows_per_message: int
    expires_at: dt.datetime
    streams: list[Stream] = field(default_factory=list)
    first_message: bytes = b""

    def explain_expiry(self) -> str:
        """What BigQuery says to whoever reads on after the session's end."""
        return f"request failed: session expired at {self.expires_at.isoformat()}"


class Sessions:
    """The sessions of a server, by the names of their streams."""

    def __init__(self, engine: Engine, *, project: str) -> None:
        self._engine = engine
        self._project = project
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._by_stream: dict[str, Session] = {}
        # Restricted rows are found once, so that a session made again finds its messages encoded.
        self._restricted: dict[tuple[int, str], pa.Table] = {}

    def create(
        self,
        table: Table,
        rows: Rows,
        *,
        fields: Sequence[str],
        restriction: str,
        compression: Compression,
        streams: int,
        options: StreamOptions,
        expires_at: dt.datetime,
    ) -> Session:
        """A session; `ApiError` for columns that the table has not, or a restriction that is none."""
        content = self._restrict(rows, restriction) if restriction else rows.arrow()
        content = _select(content, fields)
        number = next(self._numbers)
        location = table.location.lower()
        name = f"projects/{self._project}/locations/{location}/sessions/session{number:06d}"
        session = Session(
            name=name,
            table=table,
            content=content,
            key=(rows.number, tuple(content.column_names), restriction, compression),
            compression=compression,
            rows_per_message=options.rows_per_message,
            expires_at=expires_at,
        )
        cuts = _cut(content.num_rows, streams=streams, options=options)
        session.streams = [
            Stream(name=f"{name}/streams/stream{index:04d}", index=index, first=first, end=end)
            for index, (first, end) in enumerate(itertools.pairwise(cuts))
        ]
        with self._lock:
            for stream in session.streams:
                self._by_stream[stream.name] = session
        return session

    def find(self, stream_name: str) -> tuple[Session, Stream]:
        """The session and stream of a name; `ApiError` when there is none."""
        with self._lock:
            session = self._by_stream.get(stream_name)
        if session is None:
            raise ApiError("notFound", f"request failed: Stream {stream_name} not found")
        return session, next(it for it in session.streams if it.name == stream_name)

    def expire(self, moment: dt.datetime) -> None:
        """Let every session have expired at `moment`."""
        with self._lock:
            for session in self._by_stream.values():
                session.expires_at = min(session.expires_at, moment)

    def split(
        self, session: Session, stream: Stream, fraction: float
    ) -> tuple[Stream, Stream] | None:
        """Two streams that hold the rows of one, in order; None when it cannot be split there."""
        middle = stream.first + int(stream.rows * fraction)
        if not stream.first < middle < stream.end:
            return None
        index = len(session.streams)
        ends = ((stream.first, middle), (middle, stream.end))
        made = [
            Stream(
                name=f"{session.name}/streams/stream{index + place:04d}",
                index=index + place,
                first=first,
                end=end,
            )
            for place, (first, end) in enumerate(ends)
        ]
        with self._lock:
            session.streams += made
            for each in made:
                self._by_stream[each.name] = session
        return made[0], made[1]

    def _restrict(self, rows: Rows, restriction: str) -> pa.Table:
        key = (rows.number, restriction)
        if key not in self._restricted:
            self._restricted[key] = self._filter(rows, restriction)
        return self._restricted[key]

    def _filter(self, rows: Rows, restriction: str) -> pa.Table:
        text = f"SELECT * FROM {rows.relation()} AS rows_ WHERE {restriction}"
        try:
            sql = transpile_query(text, parameters=frozenset()).sql
            with self._engine.cursor() as cursor:
                return run_query(cursor, sql, rows.schema)
        except (ConfigError, duckdb.Error) as error:
            reason = str(error).partition("\n")[0]
            raise ApiError(
                "invalid", f"request failed: Query error: row filter is invalid: {reason}"
            ) from None


def _select(content: pa.Table, fields: Sequence[str]) -> pa.Table:
    """The columns asked for, in the table's order as BigQuery gives them; all when none is named."""
    if not fields:
        return content
    known = {name.lower(): name for name in content.column_names}
    missing = [name for name in fields if name.lower() not in known]
    if missing:
        raise ApiError(
            "invalid",
            "request failed: The following selected fields do not exist in the table schema: "
            + ", ".join(missing),
        )
    wanted = {known[name.lower()] for name in fields}
    return content.select([name for name in content.column_names if name in wanted])


def _cut(rows: int, *, streams: int, options: StreamOptions) -> list[int]:
    """Where streams begin and end; an empty table has none, unless empty ones are wanted."""
    count = min(streams or _DEFAULT_STREAMS, options.count or max(streams, _DEFAULT_STREAMS))
    full = 0 if not rows else max(1, min(count - options.empty, rows // options.least_rows))
    weights = [2 ** (full - index) if options.uneven else 1 for index in range(full)]
    ends = [rows * sum(weights[: index + 1]) // sum(weights) for index in range(full)]
    return [0, *ends, *([rows] * options.empty)]

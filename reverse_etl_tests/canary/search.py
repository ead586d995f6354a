"""Everything that a run leaves where somebody could look, as bytes by place."""

import gzip
import io
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
import redis

# What is sent to the in-memory storages of Dagster is kept in databases of these attributes.
_STORAGES = ("event_log_storage", "run_storage")


def walk_chain(error: BaseException, *, suppressed: bool = False) -> Iterator[BaseException]:
    """An error and what a traceback shows behind it; what `from None` hides too, when asked for."""
    yield error
    for behind in (error.__cause__, error.__context__):
        if behind is None or (
            behind is error.__context__ and error.__suppress_context__ and not suppressed
        ):
            continue
        yield from walk_chain(behind, suppressed=suppressed)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from walk_chain(inner, suppressed=suppressed)


def read_error(error: BaseException, *, suppressed: bool = False) -> bytes:
    """All that an error says, and every error behind it."""
    texts = [
        text
        for one in walk_chain(error, suppressed=suppressed)
        for text in (str(one), repr(one), repr(one.args), repr(one.__dict__))
    ]
    return "\n".join([*texts, *traceback.format_exception(error)]).encode()


class Records:
    """Every record that any logger was given, at any level."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())
        self._texts.append(repr(record.__dict__))
        if record.exc_info and record.exc_info[1]:
            self._texts.append(read_error(record.exc_info[1]).decode())

    def __len__(self) -> int:
        return len(self._texts)

    def read(self) -> bytes:
        return "\n".join(self._texts).encode()


def listen(monkeypatch: pytest.MonkeyPatch) -> Records:
    """Records of all loggers from now on, whatever level or handler they were given."""
    records = Records()
    original = logging.Logger.callHandlers

    def overhear(logger: logging.Logger, record: logging.LogRecord) -> None:
        records.add(record)
        original(logger, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", overhear)
    known = [
        it for it in logging.root.manager.loggerDict.values() if isinstance(it, logging.Logger)
    ]
    for logger in (logging.root, *known):
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger._cache.clear()  # type: ignore[attr-defined]
    return records


def read_files(*folders: Path) -> dict[str, bytes]:
    """Every file below the folders as somebody would open it: packed ones unpacked, too."""
    paths = (path for folder in folders for path in sorted(folder.rglob("*")))
    return {str(path): _open_up(path) for path in paths if path.is_file()}


def _open_up(path: Path) -> bytes:
    body = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(body)
    if path.suffix == ".parquet":
        return body + repr(pq.read_table(io.BytesIO(body)).to_pylist()).encode()
    return body


def read_redis(client: redis.Redis) -> dict[str, bytes]:
    """Every key with all that lies under it."""
    readers = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    found = {}
    for number, key in enumerate(client.scan_iter(count=1000)):
        value = readers[client.type(key)](key)  # type: ignore[index]
        raw = value if isinstance(value, bytes) else repr(value).encode()
        found[f"redis key {number}"] = bytes(key) + b"\n" + raw
    return found


def read_instance(instance: dg.DagsterInstance) -> dict[str, bytes]:
    """Every row of every table in which Dagster keeps what it was told."""
    found = {}
    for name in _STORAGES:
        storage = getattr(instance, name)
        with storage._engine.connect() as connection:
            lines = connection.connection.driver_connection.iterdump()
            found[f"dagster {name}"] = "\n".join(lines).encode()
    return found

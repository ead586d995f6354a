"""How a stage is made to fail with an error whose own text quotes all canaries; `catalogue` lists all.

What fails is a library's call or a server's answer; nothing of the product is replaced.
"""

import errno
import fnmatch
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from reverse_etl.landing import directory
from reverse_etl_tests.canary.redis_door import Action, RedisDoor, Rule
from reverse_etl_tests.canary.scene import Nest
from reverse_etl_tests.canary.values import quote_all

JSON = ("json",)


@dataclass(kw_only=True)
class Strikes:
    """How often a fault was met; raised from any thread."""

    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self) -> None:
        with self.lock:
            self.count += 1


Prepare = Callable[[Nest, pytest.MonkeyPatch, Strikes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. `unmapped` is where the library's error passes as it is, text and all."""

    name: str
    prepare: Prepare
    formats: tuple[str, ...] = JSON
    unmapped: str | None = None

    def __str__(self) -> str:
        return self.name


def _quote_os(number: int) -> OSError:
    """An error of the system as Python words it: the text, then a file's name."""
    return OSError(number, quote_all(), f"/somewhere/{quote_all()}")


class _QuotingConnection:
    """A connection of DuckDB whose queries are looked at before they run."""

    def __init__(self, inner: Any, strike: Callable[[str], None]) -> None:
        self._inner = inner
        self._strike = strike

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def cursor(self) -> "_QuotingConnection":
        return _QuotingConnection(self._inner.cursor(), self._strike)

    def sql(self, query: str, **options: Any) -> Any:
        self._strike(query)
        return self._inner.sql(query, **options)

    def execute(self, query: str, *parameters: Any) -> Any:
        self._strike(query)
        return self._inner.execute(query, *parameters)


def fail_query(
    *marks: str, build: Callable[[str], Exception], without: str | None = None
) -> Prepare:
    """DuckDB fails at every query that holds `marks`, and does not hold `without`."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        del nest
        connect = duckdb.connect

        def strike(query: str) -> None:
            if all(mark in query for mark in marks) and not (without and without in query):
                strikes.add()
                raise build(quote_all())

        monkeypatch.setattr(
            duckdb, "connect", lambda *a, **k: _QuotingConnection(connect(*a, **k), strike)
        )

    return prepare


def fail_call(owner: Any, name: str, build: Callable[[], BaseException]) -> Prepare:
    """A function or method of a library fails whenever it is called."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        del nest

        def fail(*_: Any, **__: Any) -> Any:
            strikes.add()
            raise build()

        monkeypatch.setattr(owner, name, fail)

    return prepare


def fail_write(pattern: str, number: int) -> Prepare:
    """The system does not let an object come into being whose name fits `pattern`."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        del nest
        link = os.link

        def fail(source: str, target: str) -> None:
            if fnmatch.fnmatch(target, pattern):
                strikes.add()
                raise _quote_os(number)
            link(source, target)

        monkeypatch.setattr(os, "link", fail)

    return prepare


def fail_read(pattern: str) -> Prepare:
    """The system does not give an object back whose name fits `pattern`."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        del nest

        def fail(path: str, *words: Any, **options: Any) -> Any:
            if fnmatch.fnmatch(path, pattern) and Path(path).exists():
                strikes.add()
                raise _quote_os(errno.EIO)
            return open(path, *words, **options)  # noqa: PTH123 - what stands in for it

        # Found before the builtin, in this module alone.
        monkeypatch.setattr(directory, "open", fail, raising=False)

    return prepare


def fail_listing(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
    """The system does not list the folder of a version."""
    del nest
    walk = os.walk

    def fail(top: Any, *words: Any, **options: Any) -> Any:
        if fnmatch.fnmatch(str(top), "*/dt=*/*.*"):
            strikes.add()
            raise _quote_os(errno.EACCES)
        return walk(top, *words, **options)

    monkeypatch.setattr(os, "walk", fail)


def _is_spool(view: memoryview) -> bool:
    return bytes(view[:1]) == b"*"  # a command of RESP; records begin otherwise


def fill_disk(*, spool: bool) -> Prepare:
    """The disk is full where records wait to be ordered, or where commands wait to be asked."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        del nest
        pwritev = os.pwritev

        def fail(descriptor: int, views: list[memoryview], at: int) -> int:
            if _is_spool(views[0]) is spool:
                strikes.add()
                raise _quote_os(errno.ENOSPC)
            return pwritev(descriptor, views, at)

        monkeypatch.setattr(os, "pwritev", fail)

    return prepare


def cut_scratch(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
    """Less comes back from the scratch file than was written."""
    del nest
    pread = os.pread

    def fail(descriptor: int, size: int, at: int) -> bytes:
        strikes.add()
        return pread(descriptor, size // 2, at)

    def end(_descriptor: int, _views: list[memoryview], _at: int) -> int:
        strikes.add()
        return 0  # where a file ends

    monkeypatch.setattr(os, "pread", fail)
    monkeypatch.setattr(os, "preadv", end)


def answer_redis(mark: bytes, action: Action, *, code: bytes = b"ERR") -> Prepare:
    """Redis answers the first command that holds `mark` otherwise than it should."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        def meet() -> None:
            strikes.add()
            if action is Action.TAMPER:
                _tamper(nest)

        reply = b"-" + code + b" " + quote_all().encode() + b"\r\n"
        door = RedisDoor(nest.redis_url, Rule(mark=mark, action=action, reply=reply, meet=meet))
        nest.stack.enter_context(door)
        monkeypatch.setenv("REVERSE_ETL_REDIS_URL", door.url)

    return prepare


def _tamper(nest: Nest) -> None:
    """Another writer puts canaries in the place of a record."""
    nest.planted = True
    with nest.connect() as client:
        key = next(client.scan_iter(match="*user-of-nest*", count=1000))
        client.set(key, quote_all())


def plant_redis(key: str, kind: str) -> Prepare:
    """Before the run, something of another form lies under a key of ours."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        del monkeypatch
        nest.planted = True
        with nest.connect() as client:
            if kind == "string":
                client.set(key, quote_all())
            elif kind == "hash":
                client.hset(key, "2024-05-01.x", quote_all())
            else:
                client.rpush(key, quote_all())
        strikes.add()

    return prepare


def plant_store(name: str, text: Callable[[str], str] = str) -> Prepare:
    """Before the run, a document of the store holds something else than it should."""

    def prepare(nest: Nest, monkeypatch: pytest.MonkeyPatch, strikes: Strikes) -> None:
        del monkeypatch
        nest.planted = True
        path = nest.folder / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(quote_all()), encoding="utf-8")
        strikes.add()

    return prepare

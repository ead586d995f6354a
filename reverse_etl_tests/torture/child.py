"""The writers' side: `python -m ...child SOCKET FOLDER` forks a process for each order, to be killed.

Everything is imported before the first fork, so that a writer is at work a moment later. It tells of its
way in lines: its process id, marks, and how it ended.
"""

import contextlib
import datetime as dt
import io
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401 - before the first fork

from reverse_etl import pipeline
from reverse_etl.cli import main as run_command
from reverse_etl.cli.commands import rebuild, rollback, verify, warm  # noqa: F401 - the same
from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.layout import MANIFEST, head_name
from reverse_etl.landing.manifest import decode_head, is_tombstone
from reverse_etl.model import Head
from reverse_etl.progress import Progress
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.sources.duckdb import DuckDBSource  # noqa: F401 - the same
from reverse_etl.spec import SyncSpec, load_specs
from reverse_etl.stages.warming import ManifestAddress
from reverse_etl_tests.torture.orders import Kind, Order, Point, decode_order
from reverse_etl_tests.torture.truth import SYNC

Say = Callable[[str], None]


class WatchedStore(DirectoryStore):
    """Tells of the writes that decide, and dies at one of them if it is told to."""

    def __init__(self, root: Path, *, say: Say, point: Point | None) -> None:
        super().__init__(root)
        self._say = say
        self._point = point

    def put_if_absent(self, name: str, body: bytes) -> str:
        if name.endswith(f"/{MANIFEST}") and not is_tombstone(body):
            return self._commit(name, body)
        if name == head_name(SYNC):
            return self._flip(lambda: super(WatchedStore, self).put_if_absent(name, body))
        return super().put_if_absent(name, body)

    def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
        def put() -> str:
            return super(WatchedStore, self).put_if_match(name, body, etag=etag)

        if name != head_name(SYNC):
            return put()
        before, after = decode_head(self.get(name)), decode_head(body)
        if after.generation > before.generation:
            return self._flip(put)
        written = put()
        self._say("mark announce" if _grew(before, after) else "mark retire")
        return written

    def _commit(self, name: str, body: bytes) -> str:
        self._die_at(Point.BEFORE_COMMIT)
        written = super().put_if_absent(name, body)
        self._say("mark commit")
        self._die_at(Point.AFTER_COMMIT)
        return written

    def _flip(self, put: Callable[[], str]) -> str:
        self._die_at(Point.BEFORE_FLIP)
        written = put()
        self._say("mark flip")
        self._die_at(Point.BETWEEN_FLIPS)
        return written

    def _die_at(self, point: Point) -> None:
        if point is self._point:
            self._say(f"mark {point}")
            os.kill(os.getpid(), signal.SIGKILL)


def _grew(before: Head, after: Head) -> bool:
    return len(after.retiring) > len(before.retiring) and after.kept == before.kept


class Writer:
    """One order, carried out in a process of its own."""

    def __init__(
        self, order: Order, *, folder: Path, environment: dict[str, str], say: Say
    ) -> None:
        self._order = order
        self._folder = folder
        self._environment = environment
        self._say = say
        self._seen: set[str] = set()

    def work(self) -> dict[str, Any]:
        """What became of it, for the one who ordered it; raises what the pipeline raises."""
        order = self._order
        if order.words:
            return self._run_command(order.words)
        shift = dt.timedelta(seconds=order.shift_seconds)
        runtime = Runtime(
            settings=Settings.load(self._environment), now=lambda: dt.datetime.now(dt.UTC) + shift
        )
        runtime.__dict__["store"] = WatchedStore(
            self._folder / "store", say=self._say, point=order.point
        )
        (spec,) = load_specs(self._folder / "defs").values()
        with contextlib.closing(runtime):
            return self._call(spec, runtime)

    def _call(self, spec: SyncSpec, runtime: Runtime) -> dict[str, Any]:
        order, report = self._order, self._report
        match order.kind:
            case Kind.RUN | Kind.LAND | Kind.PUBLISH:
                return self._carry(spec, runtime)
            case Kind.WARM:
                address = ManifestAddress(store_url="", sync=SYNC, version=str(order.version))
                keep_versions = spec.config.cache.keep_versions
                warmed = pipeline.warm(address, runtime, keep_versions=keep_versions, report=report)
                return {"outcome": warmed.outcome, "version": warmed.manifest.version}
            case Kind.ROLLBACK:
                to, block = order.version, not order.flag
                back = pipeline.rollback(
                    spec, runtime, to=to, again=to is None, block=block, report=report
                )
                return {"outcome": back.outcome, "version": back.head.version}
            case Kind.REBUILD:
                rebuilt = pipeline.rebuild(spec, runtime, kept=order.flag, report=report)
                return {"outcome": rebuilt.outcome, "version": rebuilt.head.version}
            case Kind.VERIFY:
                found = pipeline.verify(spec, runtime, report=report)
                return {"outcome": "verified", "differences": found.differences}

    def _carry(self, spec: SyncSpec, runtime: Runtime) -> dict[str, Any]:
        order, report = self._order, self._report
        partition = spec.partition(order.day, now=runtime.now())
        if order.kind is not Kind.PUBLISH:
            pipeline.extract(spec, partition, runtime, run_id=order.run_id, report=report)
            landed = pipeline.mask_and_land(
                spec, partition, runtime, run_id=order.run_id, report=report
            )
            if order.kind is Kind.LAND:
                return {"outcome": landed.outcome, "version": landed.manifest.version}
        published = pipeline.publish(spec, partition, runtime, run_id=order.run_id, report=report)
        return {"outcome": published.outcome, "version": published.manifest.version}

    def _report(self, progress: Progress) -> None:
        if progress.stage not in self._seen:
            self._seen.add(progress.stage)
            self._say(f"mark {progress.stage}")

    def _run_command(self, words: tuple[str, ...]) -> dict[str, Any]:
        os.environ.update(self._environment)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            code = run_command(["--defs", str(self._folder / "defs"), *words, "--json"])
        document: dict[str, Any] = json.loads(printed.getvalue())
        return document | {"exit_code": code}


def _live(order: Order, connection: socket.socket, *, folder: Path) -> None:
    """One writer's life, in its own process."""

    def say(line: str) -> None:
        connection.sendall(line.encode() + b"\n")

    say(f"pid {os.getpid()}")
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    writer = Writer(order, folder=folder, environment=environment, say=say)
    try:
        say(f"end {json.dumps(writer.work())}")
    except ReverseEtlError as error:
        say(f"end {json.dumps({'error': {'kind': type(error).__name__, 'message': str(error)}})}")
    except BaseException:  # noqa: BLE001 - told to the one who judges
        say(f"end {json.dumps({'bug': traceback.format_exc()})}")


def serve(path: str, folder: Path) -> None:
    """Fork a writer for every connection, until standard input is closed."""
    with socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as selector:
        server.bind(path)
        server.listen()
        selector.register(server, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while all(key.fileobj is server for key, _ in selector.select()):
            connection, _ = server.accept()
            _reap()
            with connection:
                if os.fork() == 0:
                    server.close()
                    try:
                        with connection.makefile("rb") as lines:
                            order = decode_order(lines.readline())
                        _live(order, connection, folder=folder)
                    finally:
                        os._exit(0)
        _reap()


def _reap() -> None:
    """Let go of writers that have ended; the others go on."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))

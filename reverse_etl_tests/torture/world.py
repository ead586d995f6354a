"""Where it happens: a store on disk, a warehouse, one sync, and a Redis that can be taken away."""

import contextlib
import datetime as dt
import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import duckdb

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.documents import read_manifest
from reverse_etl.stages.listing import list_committed
from reverse_etl_tests.builders import MASKING_KEY
from reverse_etl_tests.torture.truth import SYNC, Truth, find_mark

KEEP_VERSIONS = 2
#: Longer than any reader here holds on to a head.
GRACE_SECONDS = 0.5

_DECLARED = """
type: reverse_etl.components.Sync
attributes:
  name: crowd
  source: {query: query.sql}
  key: user_id
  columns:
    - {name: user_id, rule: keep}
    - {name: email, rule: hmac}
    - {name: mark, rule: keep}
    - {name: points, rule: keep}
  landing: {format: FORMAT, bucket_rows: 64, retention: {days: 2, versions: 3}}
  cache: {keep_versions: KEEP}
  partitions: {start: "2026-01-01"}
"""
_QUERY = "SELECT user_id, email, mark, points FROM shop.users\n"
_FORMATS = ("json", "parquet")


class World:
    """A context manager: the folder, and a running Redis, inside; nothing of either outside.

    Time goes by faster in it: a day with every turn, so that retention removes what is old.
    """

    def __init__(self, *, users: int, seed: int) -> None:
        self.truth = Truth(users)
        self.seed = seed
        self._first_day = dt.datetime.now(dt.UTC).date()
        self._marks = itertools.count(1)
        self._mark_of: dict[str, int] = {}
        self._is_away = threading.Event()
        self._weather = threading.Lock()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
            # The socket's name stays when the server is started again; a port would not.
            socket = self.folder / "redis.sock"
            self.redis_url = f"unix://localhost{socket}?db=0"
            self.server = stack.enter_context(RedisServer(options=("--unixsocket", str(socket))))
            self.store = DirectoryStore(self.folder / "store")
            (self.defs / SYNC).mkdir(parents=True)
            (self.defs / SYNC / "query.sql").write_text(_QUERY, encoding="utf-8")
            self._declare(_FORMATS[0])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def defs(self) -> Path:
        """The folder of the only sync."""
        return self.folder / "defs"

    @property
    def environment(self) -> dict[str, str]:
        """What writers see."""
        return {
            "REVERSE_ETL_DUCKDB_PATH": str(self.folder / "warehouse.duckdb"),
            "REVERSE_ETL_STORE_URL": (self.folder / "store").as_uri(),
            "REVERSE_ETL_SCRATCH_DIR": str(self.folder / "scratch"),
            "REVERSE_ETL_REDIS_URL": self.redis_url,
            "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
            "REVERSE_ETL_LEASE_SECONDS": "1",
            "REVERSE_ETL_RETIRE_GRACE_SECONDS": str(GRACE_SECONDS),
            "REVERSE_ETL_SWEEP_AGE_SECONDS": "0",
            "REVERSE_ETL_KEEP_DAYS": "1",
            "REVERSE_ETL_THREADS": "2",
        }

    @property
    def is_redis_away(self) -> bool:
        """Whether Redis is stopped, or does not answer, at this moment."""
        return self._is_away.is_set()

    def find_day(self, turn: int) -> str:
        """The day that is carried in a turn."""
        return (self._first_day + dt.timedelta(days=turn)).isoformat()

    def find_shift(self, turn: int) -> float:
        """By how many seconds the clock of a turn is ahead: it is the day after the one carried."""
        return 86_400.0 * (turn + 1)

    def prepare(self) -> int:
        """A new mark, its users in the warehouse, and a format for it; return the mark."""
        mark = next(self._marks)
        built = self.folder / "warehouse.new"
        built.unlink(missing_ok=True)
        with duckdb.connect(str(built)) as connection:
            connection.register("users", self.truth.build_table(mark))
            connection.execute("CREATE SCHEMA shop")
            connection.execute("CREATE TABLE shop.users AS SELECT * FROM users")
        # Whoever has the old one open keeps it.
        built.replace(self.folder / "warehouse.duckdb")
        self._declare(_FORMATS[(self.seed + mark // 3) % len(_FORMATS)])
        return mark

    def find_mark(self, version: str) -> int:
        """The mark of a version, by its manifest; `NotFoundError` when that is gone, or not there yet."""
        mark = self._mark_of.get(version)
        if mark is None:
            mark = find_mark(read_manifest(self.store, SYNC, version).run_id)
            self._mark_of[version] = mark
        return mark

    def list_versions(self) -> list[str]:
        """Every version that is committed now, oldest first."""
        return [line.version for line in reversed(list_committed(self.store, SYNC))]

    def list_marks(self) -> list[int]:
        """The marks of the versions that are committed now."""
        return [self.find_mark(version) for version in self.list_versions()]

    def stop_redis(self, seconds: float) -> None:
        """Take Redis away for a while; it comes back empty."""
        with self._away():
            self.server.stop()
            time.sleep(seconds)
            self.server.start()

    def stall_redis(self, seconds: float) -> None:
        """Have Redis answer nobody for a while; it keeps what it has."""
        with self._away():
            pid = self.server.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)

    def list_leftovers(self) -> list[str]:
        """What no finished run leaves: buried objects, half snapshots, scratch, temporary files."""
        store = self.folder / "store"
        snapshots = self.folder / "warehouse.duckdb.snapshots"
        # A buried attempt keeps its name and its tombstone for some days, and no object.
        buried = [f"dt={path.name[:10]}/{path.name}" for path in store.glob(f"{SYNC}/attempts/*")]
        found = [
            *(path for name in buried for path in (store / SYNC / name).glob("[!m]*")),
            *store.glob(f"{SYNC}/loading/*"),
            *store.rglob(".tmp-*"),
            *(self.folder / "scratch").glob("*"),
            *snapshots.glob("*.building*"),
            *snapshots.glob("*.lock"),
            *snapshots.glob("*.spill"),
        ]
        return [str(path.relative_to(self.folder)) for path in found]

    def _declare(self, file_format: str) -> None:
        """Write the sync down; whoever reads at this moment finds it whole."""
        text = _DECLARED.replace("FORMAT", file_format).replace("KEEP", str(KEEP_VERSIONS))
        written = self.folder / "defs.yaml.new"
        written.write_text(text, encoding="utf-8")
        written.replace(self.defs / SYNC / "defs.yaml")

    @contextlib.contextmanager
    def _away(self) -> Iterator[None]:
        with self._weather:  # one thing at a time
            self._is_away.set()
            try:
                yield
            finally:
                self._is_away.clear()

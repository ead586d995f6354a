"""The whole deployment on one machine: code server, webserver, daemon, storage, Redis, sample warehouse."""

import contextlib
import datetime as dt
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import redis
import yaml

from reverse_etl.cache.heads import read_store_head
from reverse_etl.cache.layout import head_key
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.embedded.warehouse import ensure_sample_warehouse
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.manifest import decode_head
from reverse_etl.model import Head
from reverse_etl_tests.builders import MASKING_KEY
from reverse_etl_tests.dagster_processes.checkout import copy_package, write_small_syncs
from reverse_etl_tests.dagster_processes.graphql import LOCATION, Dagster
from reverse_etl_tests.dagster_processes.instance_file import write_instance
from reverse_etl_tests.dagster_processes.postgres import (
    PostgresServer,
    find_postgres,
    open_postgres,
)
from reverse_etl_tests.dagster_processes.service import (
    HOST,
    Service,
    is_listening,
    pick_port,
    wait_for,
)

_BIN = Path(sys.executable).parent
_DAEMON = Path(__file__).with_name("daemon.py")


class Deployment:
    """A context manager: everything runs inside and answers, nothing is left outside.

    Beside the shipped syncs it has small ones, named with the time of day (UTC) of their schedules.
    Dagster's history is in Postgres where this machine has one and `postgres` does not say otherwise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        small_syncs: Mapping[str, str | None] | None = None,
        users: int = 2_000,
        events: int = 5_000,
        postgres: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._small_syncs = dict(small_syncs or {})
        self._users, self._events = users, events
        self._settings = dict(settings or {})
        self._stack = contextlib.ExitStack()
        self._redis = RedisServer()
        self._code_port, self._web_port = pick_port(), pick_port()
        self.binaries = find_postgres() if postgres else None
        self.postgres: PostgresServer | None = None
        self.dagster = Dagster(host=HOST, port=self._web_port)

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.print_logs()
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        self._stack.enter_context(self._redis)
        self._prepare_files()
        if self.binaries is not None:
            opened = open_postgres(self.binaries, logs=self._folder)
            self.postgres = self._stack.enter_context(opened)
        write_instance(self._folder / "home", postgres=self.postgres is not None)
        self.code_server = self._build_service("code_server", self._code_server_words)
        web = [str(_BIN / "dagster-webserver"), "-h", HOST, "-p", str(self._web_port)]
        self.webserver = self._build_service("webserver", [*web, *self._workspace_words])
        self.daemon = self.build_daemon("daemon")
        self.start_code_server()
        self.webserver.start()
        self.daemon.start()
        self.wait_until_loaded()

    def _prepare_files(self) -> None:
        copy_package(self._folder)
        write_small_syncs(self._folder, self._small_syncs)
        ensure_sample_warehouse(
            self._folder / "warehouse.duckdb",
            users=self._users,
            events=self._events,
            end_date=dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1),
        )
        server = {"host": HOST, "port": self._code_port, "location_name": LOCATION}
        workspace = {"load_from": [{"grpc_server": server}]}
        self._workspace.write_text(yaml.safe_dump(workspace), encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What every process of Dagster's sees, and nothing else."""
        postgres = self.postgres.environment if self.postgres is not None else {}
        return {
            "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self._folder),
            "PYTHONPATH": str(self._folder),
            "DAGSTER_HOME": str(self._folder / "home"),
            "REVERSE_ETL_DUCKDB_PATH": str(self._folder / "warehouse.duckdb"),
            "REVERSE_ETL_STORE_URL": self._store.as_uri(),
            "REVERSE_ETL_SCRATCH_DIR": str(self._folder / "scratch"),
            "REVERSE_ETL_REDIS_URL": self._redis.url,
            "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
            "REVERSE_ETL_THREADS": "2",
            "REVERSE_ETL_LEASE_SECONDS": "5",
            "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
            **postgres,
            **self._settings,
        }

    @property
    def services(self) -> tuple[Service, ...]:
        """The processes of Dagster's."""
        return self.code_server, self.webserver, self.daemon

    @property
    def _workspace(self) -> Path:
        return self._folder / "deployed_workspace.yaml"

    @property
    def _workspace_words(self) -> list[str]:
        return ["-w", str(self._workspace)]

    @property
    def _code_server_words(self) -> list[str]:
        words = [str(_BIN / "dagster"), "api", "grpc", "-m", "reverse_etl.definitions"]
        return [*words, "--host", HOST, "--port", str(self._code_port), "--location-name", LOCATION]

    def _build_service(self, name: str, words: list[str]) -> Service:
        service = Service(
            name,
            words,
            environment=self.environment,
            folder=self._folder,
        )
        self._stack.callback(service.stop)
        return service

    def build_daemon(self, name: str) -> Service:
        """A daemon on this instance, not started yet; it goes with the rest."""
        words = [sys.executable, "-P", str(_DAEMON), "run", *self._workspace_words]
        return self._build_service(name, words)

    def start_code_server(self) -> None:
        """Start it and wait until it serves."""
        self.code_server.start()
        wait_for("the code server to listen", self._is_code_served)

    def _is_code_served(self) -> bool:
        assert self.code_server.is_running, self.code_server.tail_log()
        return is_listening(self._code_port)

    def restart_webserver(self) -> None:
        """As after an outage that left it with connections which are none any more."""
        self.webserver.stop()
        self.webserver.start()
        self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Wait until the webserver shows the definitions, and every daemon has been heard of."""
        dagster = self.dagster
        wait_for("the webserver to load the definitions", dagster.is_loaded)
        wait_for("all daemons to be healthy", lambda: all(dagster.find_daemon_health().values()))

    def reschedule(self, sync: str, at: str) -> None:
        """Give a small sync another time of day, as a new release of the code would."""
        self._small_syncs[sync] = at
        write_small_syncs(self._folder, self._small_syncs)
        self.code_server.stop()
        self.start_code_server()
        cron = f"{int(at[3:])} {int(at[:2])} * * *"
        schedule = f"{sync}_daily_schedule"
        wait_for(
            f"the webserver to notice that {schedule} runs at {at}",
            lambda: (
                self.dagster.is_loaded()
                and self.dagster.find_schedule_crons().get(schedule) == cron
            ),
        )

    @property
    def redis_url(self) -> str:
        """The Redis of the readers."""
        return self._redis.url

    @property
    def store(self) -> DirectoryStore:
        """The object store of the runs."""
        return DirectoryStore(self._store)

    @property
    def _store(self) -> Path:
        return self._folder / "store"

    @property
    def _history(self) -> Path:
        return self._folder / "home" / "storage"

    def read_head(self, sync: str) -> Head | None:
        """What readers in Redis follow now."""
        with redis.Redis.from_url(self.redis_url) as client:
            found = client.get(head_key(sync))
        return None if found is None else decode_head(found)

    def read_stored_head(self, sync: str) -> Head | None:
        """What readers follow where Redis does not answer."""
        found = read_store_head(self.store, sync)
        return None if found is None else found[0]

    def list_landed_days(self, sync: str) -> list[str]:
        """The days of which a version is committed."""
        return sorted(
            path.parent.name[3:] for path in self._store.glob(f"{sync}/dt=*/current.json")
        )

    def list_users(self) -> list[str]:
        """The keys of all users that the sample warehouse ever had."""
        path = str(self._folder / "warehouse.duckdb")
        with duckdb.connect(path, read_only=True) as connection:
            return [
                key for (key,) in connection.execute("SELECT user_id FROM shop.users").fetchall()
            ]

    def describe_failure(self, run_id: str) -> str:
        """What a run says of how it failed."""
        events = self.dagster.find_events(run_id)
        return "\n".join(it.message for it in events if "Failure" in it.kind or "Engine" in it.kind)

    def take_storage_away(self) -> None:
        """Dagster's history is not there: its server is stopped, or its files are elsewhere."""
        if self.postgres is not None:
            self.postgres.stop()
            return
        self._history.rename(self._history.with_suffix(".away"))
        self._history.touch()  # so that nobody makes a new, empty one

    def bring_storage_back(self) -> None:
        """Undo `take_storage_away`."""
        if self.postgres is not None:
            self.postgres.start()
            return
        self._history.unlink()
        self._history.with_suffix(".away").rename(self._history)

    def kill_worker(self, run_id: str) -> None:
        """SIGKILL the process that works on a run, as the machine's memory killer would."""
        os.kill(self.find_worker(run_id), signal.SIGKILL)

    def find_worker(self, run_id: str) -> int:
        """The process id of the run's worker; waits until there is one."""

        def look() -> int | None:
            for event in self.dagster.find_events(run_id):
                _, found, rest = event.message.partition("(pid: ")
                if found and event.kind == "EngineEvent":
                    return int(rest.split(")")[0])
            return None

        return wait_for(f"run {run_id} to have a worker", look)

    def print_logs(self) -> None:
        """The ends of all logs, for whoever reads why a test failed."""
        for path in sorted(self._folder.glob("*.log")):
            text = path.read_text(encoding="utf-8", errors="replace")
            sys.stdout.write(f"\n--- {path}\n{text[-6000:]}\n")

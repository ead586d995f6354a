"""A Postgres server of a test's own: on loopback, in a temporary folder, by an unprivileged user."""

import contextlib
import grp
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from reverse_etl_tests.dagster_processes.service import HOST, Service, pick_port, wait_for

_DEBIAN = Path("/usr/lib/postgresql")
_USER, _DATABASE = "dagster", "postgres"
_STOP_SECONDS = 20.0
#: Nothing of a test needs to survive a power cut.
_OPTIONS = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB"]


def find_postgres() -> Path | None:
    """The folder of `postgres` and `initdb`; None when this machine has none that may be used.

    Postgres refuses to run as root, so root needs `setpriv` to become somebody else.
    """
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return None
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(_DEBIAN.glob("*/bin"), reverse=True)
    return next(
        (it for it in folders if (it / "postgres").exists() and (it / "initdb").exists()), None
    )


class PostgresServer:
    """A running server; it can be stopped and started again with what it holds."""

    def __init__(self, service: Service, *, port: int, password: str) -> None:
        self._service = service
        self._password = password
        self.port = port

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which docker/dagster.yaml finds it."""
        return {
            "DAGSTER_POSTGRES_HOST": HOST,
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_DB": _DATABASE,
            "DAGSTER_POSTGRES_USER": _USER,
            "DAGSTER_POSTGRES_PASSWORD": self._password,
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._service.start()
        wait_for(f"Postgres to answer\n{self._service.read_log()}", self._answers, seconds=60)

    def stop(self) -> None:
        """Cut every connection off and stop."""
        self._service.stop()

    def tail_log(self) -> str:
        """The end of its log."""
        return self._service.tail_log()

    def _answers(self) -> bool:
        try:
            connection = psycopg2.connect(
                host=HOST,
                port=self.port,
                dbname=_DATABASE,
                user=_USER,
                password=self._password,
                connect_timeout=5,
            )
        except psycopg2.OperationalError:
            return False
        connection.close()
        return True


@contextlib.contextmanager
def open_postgres(binaries: Path, *, logs: Path) -> Iterator[PostgresServer]:
    """A new, empty server from `binaries`; its log goes to `logs`, all else of it is removed again."""
    # Not pytest's own folder: nobody but its owner may pass through that one.
    folder = Path(tempfile.mkdtemp(prefix="reverse_etl_postgres_"))
    owner = _choose_owner()
    port, password = pick_port(), secrets.token_hex(16)
    try:
        (folder / "password").write_text(password, encoding="ascii")
        for path in (folder, folder / "password"):
            os.chown(path, *owner)
        _create(binaries, folder=folder, owner=owner)
        server = PostgresServer(
            _build_service(binaries, folder=folder, owner=owner, port=port, logs=logs),
            port=port,
            password=password,
        )
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _choose_owner() -> tuple[int, int]:
    """User and group that the server runs as: ours, unless we are root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, grp.getgrgid(nobody.pw_gid).gr_gid


def _create(binaries: Path, *, folder: Path, owner: tuple[int, int]) -> None:
    user, group = owner
    as_owner = {"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}
    words = ["--username", _USER, "--pwfile", str(folder / "password"), "--auth", "scram-sha-256"]
    done = subprocess.run(
        [str(binaries / "initdb"), "-D", str(folder / "data"), *words, "--no-sync", "-E", "UTF8"],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        **as_owner,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _build_service(
    binaries: Path, *, folder: Path, owner: tuple[int, int], port: int, logs: Path
) -> Service:
    become: list[str] = []
    if os.geteuid() == 0:
        user, group = owner
        become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--"]
    options = [f"listen_addresses={HOST}", f"port={port}", "unix_socket_directories=", *_OPTIONS]
    return Service(
        "postgres",
        [
            *become,
            str(binaries / "postgres"),
            *("-D", str(folder / "data")),
            *(word for option in options for word in ("-c", option)),
        ],
        environment={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        folder=logs,
        # Killed, it would leave its segment of shared memory to the machine.
        patience_seconds=_STOP_SECONDS,
    )

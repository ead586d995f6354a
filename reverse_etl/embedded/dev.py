"""`make dev`: the Dagster UI on the sample warehouse, with a Redis of its own; Ctrl-C stops all of it."""

import argparse
import contextlib
import datetime as dt
import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from reverse_etl.cli.failures import report_failure
from reverse_etl.cli.interrupts import watch_interrupts
from reverse_etl.cli.live import show_progress
from reverse_etl.cli.streams import forgive_encodings
from reverse_etl.embedded.child_group import ChildGroup
from reverse_etl.embedded.places import (
    LOCAL,
    MASKING_KEY_FILE,
    Places,
    choose_end_date,
    ensure_masking_key,
    reserve,
)
from reverse_etl.embedded.redis_choice import open_redis
from reverse_etl.embedded.warehouse import DEFAULT_EVENTS, DEFAULT_USERS, ensure_sample_warehouse
from reverse_etl.errors import ConfigError, TerminalError, TransientError
from reverse_etl.settings import Settings, child_environment

_HOST = "127.0.0.1"
_DEFAULT_PORT = 3000
_START_SECONDS = 90.0
_ANSWER_SECONDS = 2.0
_POLL_SECONDS = 0.3
_WORKSPACE = Path("workspace.yaml")
_INSTANCE = Path("dagster.yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C, SIGTERM, or the end of Dagster; return the exit code."""
    forgive_encodings()
    arguments = _parse(argv)
    with watch_interrupts(signal.SIGINT, signal.SIGTERM) as interrupts:
        try:
            with reserve(LOCAL / "dev") as places:
                _run(places, arguments)
        except KeyboardInterrupt:
            pass
        except Exception as error:  # noqa: BLE001 - the last place where it can be told well
            if not interrupts.happened:
                return report_failure(error, as_json=False)
    print("\nStopped: Dagster and Redis are gone. What was landed stays below .local/dev.")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reverse_etl.embedded.dev",
        description="The Dagster UI on a sample warehouse, with a local Redis. Ctrl-C stops both.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port", type=int, help=f"of the UI (default: {_DEFAULT_PORT} if it is free, else any)"
    )
    parser.add_argument("--users", type=int, default=DEFAULT_USERS, help="(default: %(default)s)")
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS, help="(default: %(default)s)")
    return parser.parse_args(argv)


def _run(places: Places, arguments: argparse.Namespace) -> None:
    settings = Settings.load()
    _check_folder()
    ensure_masking_key(MASKING_KEY_FILE)
    with show_progress() as report:
        ensure_sample_warehouse(
            places.warehouse,
            users=arguments.users,
            events=arguments.events,
            end_date=choose_end_date(dt.datetime.now(dt.UTC)),
            report=report,
        )
    with open_redis(settings.redis_url) as redis:
        overrides = places.build_environment(redis_url=redis.url, masking_key_file=MASKING_KEY_FILE)
        # Without it Dagster takes `dagster.yaml` from the folder it is started in: the checkout's.
        overrides["DAGSTER_HOME"] = None
        # Dagster's own command says at each start that `dg dev` is the newer one.
        overrides["PYTHONWARNINGS"] = "ignore:Function `dev_command` is superseded"
        port = _choose_port(arguments.port)
        with ChildGroup(
            _build_command(port), environment=child_environment(overrides), folder=Path.cwd()
        ) as dagster:
            _wait_until_up(dagster, port)
            _write_environment(places.root / "environment", overrides)
            _announce(places, port, redis_address=redis.address)
            _wait_until_ended(dagster)


def _check_folder() -> None:
    for needed in (_WORKSPACE, _INSTANCE):
        if not needed.is_file():
            raise ConfigError(f"There is no '{needed}' here. Run `make dev` in the checkout.")


def _build_command(port: int) -> list[str]:
    words = [sys.executable, "-m", "dagster", "dev", "-w", str(_WORKSPACE)]
    return [*words, "--host", _HOST, "--port", str(port), "--log-level", "warning"]


def _choose_port(given: int | None) -> int:
    for port in (_DEFAULT_PORT, 0) if given is None else (given,):
        with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            chosen: int = probe.getsockname()[1]
            return chosen
    raise ConfigError(f"Port {given} is taken, or is none. Name another with --port, or none.")


def _wait_until_up(dagster: ChildGroup, port: int) -> None:
    print("Starting Dagster (about 15 s) ...", flush=True)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if dagster.exit_code is not None:
            raise _build_end_error(dagster.exit_code)
        if _answers(port):
            return
        time.sleep(_POLL_SECONDS)
    raise TransientError(f"Dagster did not answer on port {port} within {_START_SECONDS:.0f} s.")


def _answers(port: int) -> bool:
    # Not urllib: it would ask the proxy of the environment.
    with contextlib.closing(HTTPConnection(_HOST, port, timeout=_ANSWER_SECONDS)) as connection:
        try:
            connection.request("GET", "/server_info")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False


def _wait_until_ended(dagster: ChildGroup) -> None:
    while dagster.exit_code is None:
        time.sleep(_POLL_SECONDS)
    raise _build_end_error(dagster.exit_code)


def _build_end_error(exit_code: int) -> TerminalError:
    return TerminalError(
        f"Dagster ended by itself (exit code {exit_code}); its messages are above."
    )


def _write_environment(path: Path, overrides: dict[str, str | None]) -> None:
    """The same settings for another terminal. Private, because a Redis URL may hold a password."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    lines = [
        f"export {name}={shlex.quote(value)}" if value is not None else f"unset {name}"
        for name, value in overrides.items()
        if name != "PYTHONWARNINGS"
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _announce(places: Places, port: int, *, redis_address: str) -> None:
    print(
        f"\n  Dagster    http://{_HOST}:{port}\n"
        f"  Redis      {redis_address}\n"
        f"  warehouse  {places.warehouse}\n"
        f"  store      {places.store}\n\n"
        f"For another terminal: source {places.root / 'environment'}\n"
        "Ctrl-C stops all of it.",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

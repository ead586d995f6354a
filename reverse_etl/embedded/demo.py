"""`make demo`: the whole main job on embedded defaults, through Dagster, and a picture of it.

This process makes room, and clears away whatever happens; `journey` does the work in a child, which
may be killed at any moment.
"""

import argparse
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from reverse_etl.cli.failures import report_failure
from reverse_etl.cli.interrupts import INTERRUPTED, watch_interrupts
from reverse_etl.cli.streams import forgive_encodings
from reverse_etl.embedded.child_group import ChildGroup
from reverse_etl.embedded.places import LOCAL, MASKING_KEY_FILE, Places, reserve
from reverse_etl.errors import TerminalError
from reverse_etl.settings import Settings, child_environment

_DEFAULT_USERS = 200_000
_DEFAULT_EVENTS = 2_000_000
_POLL_SECONDS = 0.05
_SHOW_CURSOR = "\x1b[?25h"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code; nothing that it started or made is left behind."""
    forgive_encodings()
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parse_options(words)
    with watch_interrupts(signal.SIGINT, signal.SIGTERM) as interrupts:
        try:
            with (
                reserve(LOCAL / "demo") as places,
                _tidied(places, keep=arguments.keep),
                _borrowed_redis(places),
            ):
                return _run_journey(places, words)
        except KeyboardInterrupt:
            pass
        except Exception as error:  # noqa: BLE001 - the last place where it can be told well
            if not interrupts.happened:
                return report_failure(error, as_json=False)
    if sys.stderr.isatty():
        sys.stderr.write(_SHOW_CURSOR)  # a bar may have been hiding it
    print("\nInterrupted; what the demo started is stopped and removed.", file=sys.stderr)
    return INTERRUPTED


def parse_options(argv: Sequence[str]) -> argparse.Namespace:
    """The options of the demo; wrong ones exit with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m reverse_etl.embedded.demo",
        description="Carries a sample table of users through every sync, and reads users back.",
        allow_abbrev=False,
    )
    parser.add_argument("--users", type=int, default=_DEFAULT_USERS, help="(default: %(default)s)")
    parser.add_argument(
        "--events", type=int, default=_DEFAULT_EVENTS, help="(default: %(default)s)"
    )
    parser.add_argument(
        "--partition", metavar="DAY", help="such as 2026-11-19 (default: the latest that is over)"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave warehouse and store below .local/demo; a second run finds the warehouse built",
    )
    return parser.parse_args(argv)


def _run_journey(places: Places, words: Sequence[str]) -> int:
    places.temporary.mkdir()
    # What libraries leave in the folder for temporary files goes with the rest.
    environment = child_environment({"TMPDIR": str(places.temporary.absolute())})
    with ChildGroup(
        [sys.executable, "-m", "reverse_etl.embedded.journey", *words],
        environment=environment,
        folder=Path.cwd(),
        patience_seconds=0,
    ) as journey:
        while (exit_code := journey.exit_code) is None:
            time.sleep(_POLL_SECONDS)
    if exit_code < 0:
        raise TerminalError(
            f"The demo's process was ended by signal {-exit_code}. If that is 9, the machine may be "
            "out of memory: try with fewer --users and --events."
        )
    return exit_code


@contextlib.contextmanager
def _borrowed_redis(places: Places) -> Iterator[None]:
    """A Redis that is configured, and so not ours, is left as it was found: without the syncs."""
    configured = Settings.load().redis_url
    if configured is None:
        yield
        return
    from reverse_etl.embedded.cleaning import borrow_redis  # noqa: PLC0415 - heavy, and rarely used

    overrides = places.build_environment(
        redis_url=configured.reveal(), masking_key_file=MASKING_KEY_FILE
    )
    with borrow_redis(Settings.load(child_environment(overrides))):
        yield


@contextlib.contextmanager
def _tidied(places: Places, *, keep: bool) -> Iterator[None]:
    """Of an earlier run only its warehouse inside; afterwards nothing at all, or what is to be kept."""
    _clear(places, but={places.warehouse})
    try:
        yield
    finally:
        if keep:
            shutil.rmtree(places.temporary, ignore_errors=True)
        else:
            shutil.rmtree(places.root, ignore_errors=True)


def _clear(places: Places, *, but: set[Path]) -> None:
    for path in set(places.root.iterdir()) - but:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())

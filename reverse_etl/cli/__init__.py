"""The command line `reverse-etl`. Nothing heavy is imported before the command that needs it runs."""

import argparse
import importlib
import signal
import sys
from collections.abc import Callable, Sequence

from reverse_etl.cli.failures import report_failure
from reverse_etl.cli.interrupts import INTERRUPTED, watch_interrupts
from reverse_etl.cli.parser import build_parser
from reverse_etl.cli.streams import forgive_encodings
from reverse_etl.quiet import switch_off_core_dumps

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong use exits with 2, as argparse does."""
    forgive_encodings()
    switch_off_core_dumps()
    arguments = build_parser().parse_args(argv)
    with watch_interrupts(signal.SIGINT) as interrupts:
        try:
            code = _load_command(arguments.command)(arguments)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _tell_interrupted()
        except BrokenPipeError:
            return _leave_closed_pipe()
        except Exception as error:  # noqa: BLE001 - the last place where it can be told well
            if interrupts.happened:
                return _tell_interrupted()
            return report_failure(error, as_json=arguments.json)
    return code


def _load_command(name: str) -> Callable[[argparse.Namespace], int]:
    module = importlib.import_module(f"reverse_etl.cli.commands.{name}")
    execute: Callable[[argparse.Namespace], int] = module.execute
    return execute


def _tell_interrupted() -> int:
    print(
        "Interrupted. What was live before is live now; the same command may be run again.",
        file=sys.stderr,
    )
    return INTERRUPTED


def _leave_closed_pipe() -> int:
    """Whoever read our output has gone (`| head`): say nothing, and let nothing flush at exit."""
    sys.stdout = None
    return 1

"""What can be typed: commands, arguments and their help. docs/cli.md shows each; a test holds that."""

import argparse
from pathlib import Path

from reverse_etl import __version__

_DESCRIPTION = """\
Carries a table of users, masked and proved, from the warehouse to the object
store and to Redis, and reads it back.
"""
_EPILOG = """\
exit codes: 0 done, 1 failed, 2 wrong use or configuration, 130 interrupted.
Settings come from the environment (docs/settings.md); docs/cli.md shows each
command with its output.
"""

_MOST_PREVIEWED = 20


def build_parser() -> argparse.ArgumentParser:
    """The parser; `command` of what it returns is a module of `reverse_etl.cli.commands`."""
    parser = argparse.ArgumentParser(
        prog="reverse-etl",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"reverse-etl {__version__}")
    parser.add_argument(
        "--defs",
        type=Path,
        metavar="FOLDER",
        help="folder of the syncs (default: the package's own, else ./reverse_etl/defs)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_plan(commands)
    _add_read(commands)
    _add_versions(commands)
    _add_syncs(commands)
    _add_doctor(commands)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "run",
        "carry one day of a sync: extract, mask and land, publish",
        "Runs the three steps that Dagster runs as assets, in order, and shows progress on stderr.",
    )
    _add_sync(command)
    _add_partition(command)


def _add_plan(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "plan",
        "say what a run would do, cost and be stopped by",
        "Asks source, store and Redis what a run of this day would take, and prints everything that "
        "would stop it. Nothing is written or paid. The exit code is 1 when something would stop it.",
    )
    _add_sync(command)
    _add_partition(command)
    command.add_argument(
        "--preview",
        type=_parse_preview,
        metavar="ROWS",
        help="show so many masked rows (1 to 20) of what is pinned, on the terminal only, "
        "where the sync allows it (preview: true)",
    )


def _parse_preview(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= _MOST_PREVIEWED:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST_PREVIEWED}")


def _add_read(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "read",
        "print the live records of keys",
        "Prints one JSON record a line for the keys that are found. Keys that are not are named on "
        "stderr by their position (1 is the first), and the exit code is 1.",
    )
    _add_sync(command)
    command.add_argument(
        "keys", nargs="+", metavar="KEY", help="a raw key, as the warehouse has it"
    )
    command.add_argument(
        "--masked",
        action="store_true",
        help="the keys are as they landed (tokens of rule hmac); no masking key is needed",
    )


def _add_versions(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "versions",
        "list the versions of a sync, the live one among them",
        "Lists committed versions: live, in Redis beside it, landed only, or blocked.",
    )
    _add_sync(command)


def _add_syncs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _add_command(
        commands,
        "syncs",
        "list the declared syncs",
        "Lists the syncs of the defs folder; nothing outside is asked.",
    )


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "doctor",
        "say whether a run could succeed, before it is tried",
        "Examines packages, settings, syncs, masking key, source, store and Redis in this order, and "
        "says what to do about what fails. Only a probe object is written, and removed.",
    )
    command.add_argument(
        "--auth",
        action="store_true",
        help="examine the way to AWS alone, step by step, and print the policies that it takes",
    )


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
    command.add_argument(
        "--json",
        action="store_true",
        help="one JSON document on stdout: the result, or an object `error`",
    )
    return command


def _add_sync(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "sync", metavar="SYNC", help="the sync's name; `reverse-etl syncs` lists them"
    )


def _add_partition(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--partition",
        required=True,
        metavar="DAY",
        help="the day, such as 2026-11-19, in the sync's timezone; it has to be over",
    )

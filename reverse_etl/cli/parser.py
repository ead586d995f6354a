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
_VERSIONS_IN_REDIS = (2, 10)
_SWEEP_HOURS = (1, 720)


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
    _add_rollback(commands)
    _add_verify(commands)
    _add_rebuild(commands)
    _add_sweep(commands)
    _add_warm(commands)
    _add_serve(commands)
    _add_token(commands)
    _add_alerts(commands)
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
    command.add_argument(
        "--require-policy",
        metavar="FINGERPRINT",
        help="refuse a live version that was masked by another policy; "
        "`reverse-etl versions --json` shows each version's",
    )


def _add_versions(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "versions",
        "list the versions of a sync, the live one among them",
        "Lists committed versions: live, in Redis beside it, landed only, or blocked.",
    )
    _add_sync(command)


def _add_rollback(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "rollback",
        "send readers back to an earlier version",
        "Makes an earlier version live in both stores: at once if it lies verified in Redis, else after "
        "it was loaded. The version that is left is blocked: no run makes it live again. Within ten "
        "minutes of a rollback only --again goes further back: it may be the same command repeated.",
    )
    _add_sync(command)
    command.add_argument(
        "--to",
        metavar="VERSION",
        help="the version to go to, also a later or blocked one, which is then blocked no longer "
        "(default: the next earlier that is whole and not blocked, those in Redis first)",
    )
    command.add_argument(
        "--again",
        action="store_true",
        help="go further back, though readers were rolled back a few minutes ago",
    )
    command.add_argument(
        "--no-block",
        action="store_true",
        help="leave the version without blocking it: the next run of its day may make it live again",
    )


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "verify",
        "compare a version's objects, its records in Redis and both heads",
        "Holds every object against the manifest's SHA-256, every record in Redis against its line, and "
        "the heads against each other. Nothing is written. The exit code is 1 when something differs.",
    )
    _add_sync(command)
    command.add_argument(
        "--version", metavar="VERSION", help="a committed version (default: the live one)"
    )


def _add_rebuild(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "rebuild",
        "load into Redis again what it has lost",
        "Loads the live version from the store, verifies every record, and lets Redis' head follow the "
        "store's. What readers see stays as it is. Does nothing when the version is there, verified.",
    )
    _add_sync(command)
    command.add_argument(
        "--kept",
        action="store_true",
        help="also load the versions that lay beside the live one, so that a rollback is quick again",
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="load what is there already too: records of it are missing or differ",
    )


def _add_sweep(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "sweep",
        "remove what dead runs left, without a run",
        "Removes attempts and uploads that died, replaced versions, days beyond the retention, expired "
        "snapshots, scratch folders, and versions half loaded into Redis. Every run does the same along its "
        "way. What readers see, or a run under way needs, stays.",
    )
    _add_sync(command)
    fewest, most = _SWEEP_HOURS
    command.add_argument(
        "--older-than-hours",
        type=_parse_sweep_hours,
        metavar="N",
        help=f"attempts younger than N hours stay, {fewest} to {most} (default: "
        "REVERSE_ETL_SWEEP_AGE_SECONDS)",
    )


def _parse_sweep_hours(text: str) -> int:
    fewest, most = _SWEEP_HOURS
    if text.isdecimal() and fewest <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from {fewest} to {most}")


def _add_warm(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "warm",
        "make a landed version live by its manifest's address alone",
        "Loads, verifies and publishes one version, from everywhere that reaches the store and Redis: no "
        "defs folder, source or masking key is needed. A version that a later one superseded is not "
        "loaded.",
    )
    command.add_argument(
        "manifest",
        metavar="MANIFEST",
        help="its address: s3://..., file:///..., or SYNC/dt=DAY/VERSION/manifest.json in the store of "
        "REVERSE_ETL_STORE_URL",
    )
    fewest, most = _VERSIONS_IN_REDIS
    command.add_argument(
        "--keep-versions",
        type=_parse_keep_versions,
        default=fewest,
        metavar="N",
        help=f"versions in Redis at once, the loading one included, {fewest} to {most} "
        "(default: %(default)s)",
    )


def _parse_keep_versions(text: str) -> int:
    fewest, most = _VERSIONS_IN_REDIS
    if text.isdecimal() and fewest <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from {fewest} to {most}")


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "serve",
        "answer reads over HTTP",
        "Serves the live versions of syncs to applications with a bearer token: GET /v1/SYNC/KEY and POST "
        "/v1/SYNC/batch. No defs folder or source is needed. Requests are not logged: keys are in them.",
    )
    command.add_argument("syncs", nargs="+", metavar="SYNC", help="what is served")
    command.add_argument(
        "--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)"
    )
    command.add_argument("--port", type=int, default=8000, help="its port (default: %(default)s)")
    command.add_argument(
        "--no-tokens",
        action="store_true",
        help="let everybody read who can connect; on a loopback address alone",
    )
    command.add_argument(
        "--certificate", type=Path, metavar="FILE", help="serve HTTPS with this certificate chain"
    )
    command.add_argument("--private-key", type=Path, metavar="FILE", help="the certificate's key")


def _add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "token",
        "make a bearer token for the HTTP API",
        "Prints a new token, once, and the line that grants it: the line holds its SHA-256 alone. Nothing "
        "is stored.",
    )
    command.add_argument("name", metavar="NAME", help="whose it is, such as shop-web")
    command.add_argument("syncs", nargs="+", metavar="SYNC", help="what it may read; * for all")


def _add_alerts(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _add_command(
        commands,
        "alerts",
        "list alerts that wait, try them again, or send a test",
        "list: what no channel has taken yet, and what was given up (then the exit code is 1). retry: make "
        "all of these due now. test: send a test to every channel that is set, and say how that ended.",
    )
    command.add_argument(
        "action", choices=("list", "retry", "test"), metavar="ACTION", help="list, retry or test"
    )
    command.add_argument(
        "--all", action="store_true", help="list: what was delivered too, for a week"
    )


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
        "Examines packages, settings, syncs, definitions, masking key, source, store, Redis, clocks, "
        "alerts and Dagster in this order, and says what to do about what fails. Only a probe object is "
        "written, and removed.",
    )
    alone = command.add_mutually_exclusive_group()
    alone.add_argument(
        "--auth",
        action="store_true",
        help="examine the way to AWS alone, step by step, and print the policies that it takes",
    )
    alone.add_argument(
        "--redis",
        action="store_true",
        help="examine Redis alone, and print the ACLs that pipeline and readers need",
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

"""How the command line tells of an error: one message on stderr, never a traceback with values."""

import json
import sys

from reverse_etl.errors import ReverseEtlError, locate_frames

_FAILED = 1


def report_failure(error: Exception, *, as_json: bool) -> int:
    """Print `error` and return the exit code; with `as_json` an object goes to stdout as well."""
    is_ours = isinstance(error, ReverseEtlError)
    exit_code = error.exit_code if isinstance(error, ReverseEtlError) else _FAILED
    print(f"error: {error}" if is_ours else describe_bug(error), file=sys.stderr)
    if as_json:
        print(json.dumps({"error": _build_document(error), "exit_code": exit_code}))
    return exit_code


def describe_bug(error: BaseException) -> str:
    """What may be said of an error nobody raised on purpose: its class and where, not its text."""
    places = "\n".join(f"  {place}" for place in locate_frames(error))
    return (
        f"error: {type(error).__name__}, which is a bug in reverse_etl. Please report it to the "
        "project with these lines; details are withheld because they may contain a value.\n"
        + places
    )


def _build_document(error: Exception) -> dict[str, object]:
    if isinstance(error, ReverseEtlError):
        return {
            "kind": type(error).__name__,
            "message": error.message,
            "sync": error.sync,
            "partition": error.partition,
            "step": error.step,
        }
    return {"kind": type(error).__name__, "message": None, "places": locate_frames(error)}

"""The error tree, grouped by what the caller does next.

Foreign errors are mapped once, at the edge of the room that meets them, and raised `from None`:
Dagster stores the whole chain of causes, and drivers like to quote the value they could not read.
No message here carries a value from a row; names, types and counts only.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ReverseEtlError(Exception):
    """Base of everything raised on purpose; says what was found, what was expected and what to do.

    `locate` adds where it happened (sync, partition, step), once, on the way up.
    """

    #: Exit code of the command line: 1 failed, 2 wrong use or configuration.
    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.sync: str | None = None
        self.partition: str | None = None
        self.step: str | None = None

    def __str__(self) -> str:
        where = [
            f"{word} '{name}'"
            for word, name in (
                ("sync", self.sync),
                ("partition", self.partition),
                ("step", self.step),
            )
            if name is not None
        ]
        return f"[{', '.join(where)}] {self.message}" if where else self.message


class ConfigError(ReverseEtlError):
    """Something that was written down is wrong: fix it and run again; a retry alone cannot help."""

    exit_code = 2


class PolicyError(ConfigError):
    """The declared columns and rules do not fit what the query returns; nothing was read."""

    exit_code = 1


class TransientError(ReverseEtlError):
    """Something outside was away or busy: the same run may pass in a moment, so it is retried."""


class StaleSplitsError(TransientError):
    """The splits of a snapshot lapsed while they were read: plan them again and read from the start."""


class DataError(ReverseEtlError):
    """The rows themselves break a promise (keys, guards): nothing goes live until the data is mended."""


class TerminalError(ReverseEtlError):
    """The run must stop and a person must look: proof failed, or state is not what was committed."""


class IntegrityError(TerminalError):
    """What lies in a store is not what was written there; the version is not used."""


class NotFoundError(ReverseEtlError):
    """What was asked for by name does not exist (an object, a version, a snapshot)."""


class ConflictError(ReverseEtlError):
    """A conditional write lost: somebody else changed the object first. The caller decides by state."""


@contextmanager
def locate(*, sync: str, partition: str | None = None, step: str | None = None) -> Iterator[None]:
    """Name the sync, partition and step in any error of ours that passes; inner names win."""
    try:
        yield
    except ReverseEtlError as error:
        error.sync = error.sync or sync
        error.partition = error.partition or partition
        error.step = error.step or step
        # `from None` only hides what a library raised, values and all: here it is let go of.
        error.__context__ = None
        raise


def locate_frames(error: BaseException) -> list[str]:
    """`folder/file:line in function` of every frame, outermost first; no source text, no values."""
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), lookup_lines=False
    )
    return [
        f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} in {frame.name}"
        for frame in frames
    ]

"""Dagster stores the text of what a sensor raises; only sentences of ours are known to be harmless."""

import contextlib
from collections.abc import Iterator

from reverse_etl.errors import ReverseEtlError, TerminalError, locate_frames


@contextlib.contextmanager
def withhold_bugs() -> Iterator[None]:
    """Errors of ours pass, without what they came from; of any other, class and place alone."""
    try:
        yield
    except ReverseEtlError as error:
        error.__context__ = None
        raise
    except Exception as error:  # noqa: BLE001 - raised again, without its text
        raise TerminalError(
            f"{type(error).__name__} at {locate_frames(error)[-1]}: a bug in reverse_etl, please report "
            "it. Its text is withheld because it may contain a value."
        ) from None

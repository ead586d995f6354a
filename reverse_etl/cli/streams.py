"""Standard output and error as our programs use them."""

import io
import sys


def forgive_encodings() -> None:
    """A letter that the terminal's encoding lacks is written as an escape instead of raised about."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

"""polars, for columns that the engine's SQL cannot compute: imported late (0.2 s), and only here.

Importing it puts a handler of its own before Python's for SIGINT, with which the system goes on waiting
after a signal (SA_RESTART, sigaction(2)): an interrupt would be seen only when a wait ends by itself.
"""

import signal

import polars as pl

__all__ = ["pl"]

if hasattr(signal, "siginterrupt"):  # not on Windows, where no wait goes on
    signal.siginterrupt(signal.SIGINT, True)  # noqa: FBT003 - it takes no names

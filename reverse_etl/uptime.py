"""The clock that terms and ages are counted by: it only runs on, also while the machine sleeps."""

import time

# Linux' monotonic clock stands still while a virtual machine is suspended; other machines' go on.
_RUNNING_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def read_uptime() -> float:
    """Seconds since some moment, the same one for as long as the process runs; nobody sets it."""
    return time.monotonic() if _RUNNING_CLOCK is None else time.clock_gettime(_RUNNING_CLOCK)

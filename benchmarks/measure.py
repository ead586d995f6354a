"""Time and peak memory of a stage, as the kernel counts it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MIB_PER_KIB = 1 / 1024


@dataclass(slots=True)
class Measure:
    """What a stage took; filled when it ends. `peak_mib` is the resident set's peak during it."""

    seconds: float = 0.0
    peak_mib: float = 0.0


@contextmanager
def measured() -> Iterator[Measure]:
    """Measure what runs inside. The kernel's peak is reset first, so that stages count apart."""
    # "5" resets VmHWM: proc(5), /proc/pid/clear_refs.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    result = Measure()
    started = time.perf_counter()
    try:
        yield result
    finally:
        result.seconds = time.perf_counter() - started
        result.peak_mib = read_peak_mib()


def read_peak_mib() -> float:
    """Peak resident set since the last reset, of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * _MIB_PER_KIB
    raise RuntimeError("the kernel tells no VmHWM; this benchmark needs Linux")

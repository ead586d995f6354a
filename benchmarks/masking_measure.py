"""What a piece of masking took: seconds, processor seconds and peak memory. Needs Python alone."""

import resource
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.measure import measured


def measure_rounds(work: Callable[[], int], *, rounds: int) -> dict[str, Any]:
    """Do the work, which returns its rows, so many times: medians, and the highest peak."""
    seconds, cpu_seconds, peaks, rows = [], [], [], 0
    for _ in range(rounds):
        before = read_cpu_seconds()
        with measured() as measure:
            rows = work()
        cpu_seconds.append(read_cpu_seconds() - before)
        seconds.append(measure.seconds)
        peaks.append(measure.peak_mib)
    return {
        "rows": rows,
        "seconds": statistics.median(seconds),
        "cpu_seconds": statistics.median(cpu_seconds),
        "peak_mib": max(peaks),
    }


def read_cpu_seconds() -> float:
    """Of this process, in user and system mode, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

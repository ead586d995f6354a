"""Memory that is free already, handed back to the system: allocators keep what they may need again."""

import ctypes
import functools
from collections.abc import Callable

import pyarrow as pa


def give_back() -> None:
    """Hand back what Arrow and the C library hold free.

    Worth its time (some milliseconds, and pages that are fetched anew) where a step ends that others follow
    which use memory differently: what the threads of the one kept, those of the other do not use.
    """
    pa.default_memory_pool().release_unused()
    trim = _find_trim()
    if trim is not None:
        trim(ctypes.c_size_t(0))


@functools.cache
def _find_trim() -> Callable[[ctypes.c_size_t], int] | None:
    """`malloc_trim`, a GNU extension (malloc_trim(3)); None where the C library has no such call."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)

"""How the C library keeps memory, set once for a service.

A service has a dozen threads, gRPC's, of which hardly two ever run at once, and handles batches and bodies of some MB, one
after the other. By default glibc keeps a heap for each of several threads, and gives what is larger than 128 kB back to the
kernel each time, to have it zeroed again for the next.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_CHOSEN = {
    _ARENA_MAX: 1,
    # What is larger goes back to the kernel at once, so a large body does not stay.
    _MMAP_THRESHOLD: 4 << 20,
    # So much may lie free at the end of the heap.
    _TRIM_THRESHOLD: 8 << 20,
}


def tune_malloc(environment: Mapping[str, str] = os.environ) -> bool:
    """To be called before threads are started. False where there is nothing to tune: no glibc, or who runs the service has
    tuned it by glibc's own variables."""
    if "GLIBC_TUNABLES" in environment or any(name.startswith("MALLOC_") for name in environment):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, macOS
        return False
    return all(mallopt(parameter, value) for parameter, value in _CHOSEN.items())

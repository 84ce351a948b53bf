"""How the C library's allocator treats the bodies that go through a service, megabytes each, again and again."""

from __future__ import annotations

import ctypes
import os
import platform

# mallopt's parameters: https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# The most that glibc takes for a threshold of mmap.
_KEPT_BYTES = 32 << 20
_SETTINGS = (
    ("MALLOC_ARENA_MAX", _M_ARENA_MAX, 1),
    ("MALLOC_MMAP_THRESHOLD_", _M_MMAP_THRESHOLD, _KEPT_BYTES),
    ("MALLOC_TRIM_THRESHOLD_", _M_TRIM_THRESHOLD, _KEPT_BYTES),
)


def keep_freed_memory() -> None:
    """Freed memory stays with the process, up to 32 MB, and all threads share it; without effect beside glibc.

    By default a body of a few megabytes is mapped and unmapped at each copy of it, and the kernel zeroes its pages each
    time: a third of the transformer's CPU under load. And each thread of gRPC keeps an arena of its own, of which most
    lies idle. To be called before there are other threads; what the environment says in MALLOC_* holds.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for variable, parameter, value in _SETTINGS:
        if variable not in os.environ:
            mallopt(parameter, value)

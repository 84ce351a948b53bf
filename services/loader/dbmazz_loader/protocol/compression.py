"""Bodies made smaller for slow links, in the forms that a StarRocks backend reads.

Source: StarRocks' Stream Load page, header `compression` (JSON since 3.2.7). Costs 5 to 15 times what writing the JSON costs.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable

Compress = Callable[[memoryview], bytes]


def compression(name: str) -> tuple[str, Compress] | None:
    """The header's value and the function for gzip, lz4 or zstd; None for "none". The libraries are imported only here."""
    if name == "gzip":
        return "gzip", lambda body: gzip.compress(body, compresslevel=1, mtime=0)
    if name == "lz4":
        import lz4.frame

        return "lz4_frame", lz4.frame.compress
    if name == "zstd":
        import zstandard

        # Contexts are not to be shared between threads; making one costs microseconds.
        return "zstd", lambda body: zstandard.ZstdCompressor(level=1).compress(body)
    return None

"""Compressed bodies, unpacked piece by piece so that a small body never becomes an endless one (starrocks.md 1.6)."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import lz4.frame
import zstandard

from dbmazz_sandbox.starrocks.errors import LoadError, not_emulated

MAX_UNPACKED = 512 << 20  # bytes; a BE only stops where its memory does
_PIECE = 1 << 20
# Names of the header, as the FE knows them; the others are StarRocks' too, but not emulated.
_ALGORITHMS = frozenset({"gzip", "bzip2", "lz4_frame", "zstd", "deflate", "zlib"})
_NOT_EMULATED = frozenset({"snappy", "lz4"})
_NONE = frozenset({"", "none", "no_compression", "auto", "default_compression"})
# `format` names a compressed CSV body; lz4 means the frame there.
CSV_FORMATS = {"gzip": "gzip", "bzip2": "bzip2", "lz4": "lz4_frame", "deflate": "deflate", "zstd": "zstd"}


def algorithm(name: str) -> str:
    """The algorithm of a `compression` or `Content-Encoding` header, "" for none. Raises LoadError."""
    lowered = name.strip().lower()
    if lowered in _NONE:
        return ""
    if lowered in _NOT_EMULATED:
        raise not_emulated(f"compression {lowered}")
    if lowered not in _ALGORITHMS:
        raise LoadError(f"Unsupported compression type: {name}")
    return lowered


class _Stream(Protocol):
    """What zlib, bz2 and lz4 offer for one stream: at most `max_length` bytes at a time."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...


def unpack(body: bytes, name: str) -> bytes:
    """All of the body, which may hold several streams one after the other. Raises LoadError."""
    if not name:
        return body
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in _zstd(body) if name == "zstd" else _streams(body, name):
            size += len(piece)
            if size > MAX_UNPACKED:
                raise not_emulated(f"a body of more than {MAX_UNPACKED >> 20} MB once it is decompressed")
            pieces.append(piece)
    except (zlib.error, OSError, EOFError, ValueError, RuntimeError, zstandard.ZstdError) as error:
        raise LoadError(_FAILURES[name]) from error
    return b"".join(pieces)


def _streams(body: bytes, name: str) -> Iterator[bytes]:
    left = body
    while left:
        stream, pull = _STREAMS[name]()
        piece = pull(left)
        yield piece
        while not stream.eof:
            rest = stream.unconsumed_tail if name in ("gzip", "deflate", "zlib") else b""
            piece = pull(rest)
            if not piece and not stream.eof:
                raise EOFError("the body ends inside a stream")
            yield piece
        left = stream.unused_data or b""


def _inflating(bits: int) -> Callable[[], tuple[_Stream, Callable[[bytes], bytes]]]:
    def make() -> tuple[_Stream, Callable[[bytes], bytes]]:
        stream = zlib.decompressobj(bits)
        return stream, lambda data: stream.decompress(data, _PIECE)

    return make


def _bzip2() -> tuple[_Stream, Callable[[bytes], bytes]]:
    stream = bz2.BZ2Decompressor()
    return stream, lambda data: stream.decompress(data, _PIECE)


def _lz4() -> tuple[_Stream, Callable[[bytes], bytes]]:
    stream = lz4.frame.LZ4FrameDecompressor()
    return stream, lambda data: stream.decompress(data, _PIECE)


# A BE tells gzip from zlib by the header, and so takes either for gzip.
_STREAMS = {"gzip": _inflating(zlib.MAX_WBITS | 32), "deflate": _inflating(zlib.MAX_WBITS),
            "zlib": _inflating(zlib.MAX_WBITS), "bzip2": _bzip2, "lz4_frame": _lz4}  # fmt: skip
# As the BE's stream decompressors put it. Which code follows is theirs; a wrong stream is -3 (zlib) or -4 (bz2).
_FAILURES = {"gzip": "Failed to inflate. return code: -3", "deflate": "Failed to inflate. return code: -3",
             "zlib": "Failed to inflate. return code: -3", "bzip2": "Failed to bz2 decompress. status code: -4",
             "lz4_frame": "Decompression error: ERROR_decompressionFailed",
             "zstd": "ZSTD decompress failed"}  # fmt: skip


def _zstd(body: bytes) -> Iterator[bytes]:
    """The reader gives pieces of a bounded size but takes a body that was cut for a whole one; once the size is known
    to be harmless, the frames are walked again for their ends."""
    machine = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    reader = machine.stream_reader(body, read_across_frames=True)
    while piece := reader.read(_PIECE):
        yield piece
    left = body
    while left:
        frame = machine.decompressobj()
        frame.decompress(left)
        if not frame.eof:
            raise EOFError("the body ends inside a frame")
        left = frame.unused_data

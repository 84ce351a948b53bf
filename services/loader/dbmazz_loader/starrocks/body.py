"""The body of a load on its way to the socket, without being copied."""

from __future__ import annotations

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

# What the transport cannot take at once it buffers: a slice bounds that, and waits for the peer before the next.
_SLICE_BYTES = 256 << 10


class Body(Payload):
    """Bytes, written in slices of a memoryview. Goes out once: a second send of the same request, which the HTTP client
    would do by itself after a lost connection, must first ask for the label's state."""

    _value: memoryview

    def __init__(self, body: memoryview) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._consumed = True
        view = self._value
        for start in range(0, len(view), _SLICE_BYTES):
            await writer.write(view[start : start + _SLICE_BYTES])

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

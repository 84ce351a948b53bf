"""The body of a load, as a BE takes it."""

from __future__ import annotations

from aiohttp import web

from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.faults import Rule
from dbmazz_sandbox.starrocks.protocol.headers import MAX_JSON_HARD


class Reset(Exception):
    """A test asked for the connection to be reset within the body."""


async def read_body(request: web.Request, reset: Rule | None = None) -> bytes:
    """Say 100 if that was asked for, then read everything. Raises LoadError when it is not what was announced; Reset once
    the bytes that `reset` lets through have come."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer proper has not begun
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if reset is not None and size >= reset.after_bytes:
                raise Reset
            if size > MAX_JSON_HARD:
                raise LoadError(f"The size of this batch exceed the max size [{MAX_JSON_HARD}]  of json type data")
            chunks.append(chunk)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise LoadError("receive body don't equal with body bytes") from error
    if reset is not None:
        raise Reset
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)

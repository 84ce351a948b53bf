"""The page, its event stream, and the same contents as JSON. Read-only: there is nothing here to post to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

import structlog
from aiohttp import web

from dbmazz_monitor.feed import Feed

log = structlog.get_logger("dbmazz.monitor")

FEED = web.AppKey("feed", Feed)

STREAMS_MAX = 64
WRITE_TIMEOUT_S = 10.0
# Sent when nothing else was, so that proxies keep the stream and a browser that left is noticed.
SILENCE_S = 15.0
# PostgreSQL's names have at most 63 characters each.
NAME_SHOWN = 130
# No sample for this long means that the monitor itself is stuck.
STUCK_S = 15.0

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def application(feed: Feed) -> web.Application:
    """Routes: /, /static/NAME, /events, /api/state, /api/tables/NAME, /healthz."""
    app = web.Application(middlewares=[_safe_headers])
    app[FEED] = feed
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/static/{name:.+}", _static),
            web.get("/events", _events),
            web.get("/api/state", _state),
            web.get("/api/tables/{name:(?s:.+)}", _table),
            web.get("/healthz", _healthz),
        ]
    )
    return app


@web.middleware
async def _safe_headers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(_HEADERS)
        raise
    if not response.prepared:
        response.headers.update(_HEADERS)
    return response


async def _index(request: web.Request) -> web.Response:
    return _file("index.html")


async def _static(request: web.Request) -> web.Response:
    return _file(request.match_info["name"])


def _file(name: str) -> web.Response:
    """A file of the page, by its path in that folder: whatever is no file there is not found."""
    known = dict(_page_files(files("dbmazz_monitor") / "page"))
    suffix = name[name.rfind(".") :]
    if name not in known or suffix not in _TYPES:
        raise web.HTTPNotFound(text=f"no such file: the page has {', '.join(sorted(known))}\n")
    return web.Response(body=known[name].read_bytes(), content_type=_TYPES[suffix], charset="utf-8")


def _page_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _page_files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


async def _state(request: web.Request) -> web.Response:
    return web.Response(body=request.app[FEED].document(), content_type="application/json", charset="utf-8")


async def _table(request: web.Request) -> web.Response:
    """One table by its name in the source, schema.table."""
    name = request.match_info["name"]
    found = request.app[FEED].table(name)
    if found is None:
        raise web.HTTPNotFound(text=f"no table {json.dumps(name[:NAME_SHOWN])}: /api/state lists those there are\n")
    return web.json_response(found)


async def _healthz(request: web.Request) -> web.Response:
    age = request.app[FEED].age_s(time.monotonic())
    if age > STUCK_S:
        return web.json_response({"status": "stuck", "sample_age_s": round(age, 1)}, status=503)
    return web.json_response({"status": "ok", "sample_age_s": round(age, 1)})


async def _events(request: web.Request) -> web.StreamResponse:
    """`history` once (points of the charts); then with each sample `state`, without the rows of its tables, and `tables`:
    all rows first, later those that changed. A slow browser skips samples, never a change."""
    feed = request.app[FEED]
    if feed.listener_count >= STREAMS_MAX:
        raise web.HTTPServiceUnavailable(text="too many open pages; close some\n", headers={"Retry-After": "10"})
    response = web.StreamResponse(headers={**_HEADERS, "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    with feed.listening():
        await response.prepare(request)
        try:
            await _write(response, b"retry: 2000\n" + _event("history", feed.history()))
            await _follow(feed, response)
        except (ConnectionError, TimeoutError):
            log.debug("stream_ended")  # the browser went away, or takes nothing
    return response


async def _follow(feed: Feed, response: web.StreamResponse) -> None:
    seen = 0
    while not feed.closed:
        try:
            async with asyncio.timeout(SILENCE_S):
                number = await feed.newer(seen)
        except TimeoutError:
            await _write(response, b": still here\n\n")
            continue
        if number != seen:
            changed = feed.tables(seen)
            seen = number
            await _write(response, _event("state", feed.summary()) + (_event("tables", changed) if changed else b""))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


def _event(name: str, document: bytes) -> bytes:
    """JSON without line breaks is one `data` line."""
    return b"event: " + name.encode() + b"\ndata: " + document + b"\n\n"

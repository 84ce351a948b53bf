"""Small things that both HTTP ports answer with."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def no_continue(request: web.Request) -> None:
    """aiohttp must not say 100 by itself: the FE never does, and the BE only after its checks."""


def json_text(text: str, status: int = 200) -> web.Response:
    """Bytes of a header that are no text come back as question marks: an answer is always readable JSON."""
    body = text.encode("utf-8", "replace")
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def closing(response: web.Response) -> web.Response:
    response.force_close()
    return response


def abort(request: web.Request) -> web.Response:
    """Cut the connection without an answer; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return closing(web.Response(status=500))


def reset(request: web.Request) -> web.Response:
    """The same with a RST, whatever the client sent and this side read: a close alone is orderly then."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return abort(request)


def table_of(request: web.Request) -> str | None:
    """ "db.table" of a request, as faults name it, from its path or its headers; None where it has none."""
    database = request.match_info.get("db") or request.headers.get("db")
    name = request.match_info.get("table") or request.headers.get("table")
    return f"{database}.{name}" if database and name else None


_REASONS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


def broken(status: int) -> web.Response:
    """What a test asked for: an HTTP error, as something between client and server would send it."""
    return closing(web.Response(status=status, text=_REASONS[status]))


def frontend_bad_request(reason: str) -> web.Response:
    """HttpServerHandler.validateRequest: what netty cannot decode."""
    return closing(web.Response(status=400, text=f"Bad Request. <br/> {reason}", content_type="text/html"))


def backend_bad_request(reason: str) -> web.Response:
    """evhttp_send_error of libevent, which gives no reason."""
    page = "<HTML><HEAD>\n<TITLE>400 Bad Request</TITLE>\n</HEAD><BODY>\n<H1>Bad Request</H1>\n</BODY></HTML>\n"
    return closing(web.Response(status=400, text=page, content_type="text/html"))

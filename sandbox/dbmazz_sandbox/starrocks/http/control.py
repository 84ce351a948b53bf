"""The control port: faults (`/faults`), BEs (`/backends`), a restart of the FE (`/frontend/restart`)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from dbmazz_sandbox.starrocks.backends import no_backend

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.sandbox import StarRocksSandbox

_FIELDS = frozenset({"fault", "table", "count", "skip", "delay_ms", "rows", "status", "bytes"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """`POST /faults` {"fault", "table", "count", "skip", "delay_ms", "rows", "status", "bytes"}, `GET /faults`,
    `DELETE /faults[?fault=name]`; `GET /backends`, `POST /backends/{n}` {"alive": false}; `POST /frontend/restart`
    {"seconds": 2}. Bad input is 400 with {"error"}."""

    def __init__(self, sandbox: StarRocksSandbox) -> None:
        self._sandbox, self._faults = sandbox, sandbox.faults
        self.app = web.Application(client_max_size=1 << 16, middlewares=[_bad_input])
        self.app.router.add_get("/faults", self.list)
        self.app.router.add_post("/faults", self.add)
        self.app.router.add_delete("/faults", self.clear)
        self.app.router.add_get("/backends", self.backends)
        self.app.router.add_post("/backends/{number}", self.switch_backend)
        self.app.router.add_post("/frontend/restart", self.restart_frontend)

    async def list(self, request: web.Request) -> web.Response:
        rules = [rule.to_dict() for rule in self._faults.list()]
        used = [rule.to_dict() for rule in self._faults.used()]
        return web.json_response({"faults": rules, "used": used, "hits": dict(self._faults.hits)})

    async def add(self, request: web.Request) -> web.Response:
        given = await _object(request, _FIELDS, 'with "fault"')
        if "fault" not in given:
            raise ValueError('the body must be a JSON object with "fault"')
        named = {name: given[name] for name in ("skip", "delay_ms", "rows", "status") if name in given}
        rule = self._faults.add(
            given["fault"], given.get("table"), count=given.get("count"), after_bytes=given.get("bytes", 0), **named
        )
        return web.json_response(rule.to_dict(), status=201)

    async def clear(self, request: web.Request) -> web.Response:
        await self._faults.clear(request.query.get("fault"))
        return web.json_response({"faults": [rule.to_dict() for rule in self._faults.list()]})

    async def backends(self, request: web.Request) -> web.Response:
        nodes = [{"id": node.ident, "url": node.url, "alive": node.alive} for node in self._sandbox.backends]
        return web.json_response({"backends": nodes})

    async def switch_backend(self, request: web.Request) -> web.Response:
        name = request.match_info["number"]
        number = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else 0
        if not 1 <= number <= len(self._sandbox.backends):
            raise no_backend(name, len(self._sandbox.backends))
        given = await _object(request, frozenset({"alive"}), 'with "alive"')
        if not isinstance(given.get("alive"), bool):
            raise ValueError("alive must be true or false")
        switch = self._sandbox.start_backend if given["alive"] else self._sandbox.stop_backend
        await switch(number)
        return await self.backends(request)

    async def restart_frontend(self, request: web.Request) -> web.Response:
        given = await _object(request, frozenset({"seconds"}), 'with "seconds"')
        seconds = given.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
            raise ValueError("seconds must be a number from 0 to 3600")
        await self._sandbox.restart_frontend(seconds)
        return web.json_response({"seconds": seconds})


@web.middleware
async def _bad_input(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)


async def _object(request: web.Request, fields: frozenset[str], wanted: str) -> dict[str, Any]:
    """The body, a JSON object with none but these fields. Raises ValueError."""
    given = json.loads(await request.read())
    if not isinstance(given, dict):
        raise ValueError(f"the body must be a JSON object {wanted}")
    if unknown := set(given) - fields:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r}: use {', '.join(sorted(fields))}")
    return given

"""The control port: switch faults on and off (`/faults`)."""

from __future__ import annotations

import json

from aiohttp import web

from dbmazz_sandbox.starrocks.faults import Faults

_FIELDS = frozenset({"fault", "table", "count", "delay_ms", "rows"})


class Control:
    """`POST /faults` {"fault", "table", "count", "delay_ms", "rows"}, `GET /faults`, `DELETE /faults[?fault=name]`."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.app = web.Application(client_max_size=1 << 16)
        self.app.router.add_get("/faults", self.list)
        self.app.router.add_post("/faults", self.add)
        self.app.router.add_delete("/faults", self.clear)

    async def list(self, request: web.Request) -> web.Response:
        rules = [rule.to_dict() for rule in self._faults.list()]
        return web.json_response({"faults": rules, "hits": dict(self._faults.hits)})

    async def add(self, request: web.Request) -> web.Response:
        try:
            given = json.loads(await request.read())
            if not isinstance(given, dict) or "fault" not in given:
                raise ValueError('the body must be a JSON object with "fault"')
            if unknown := set(given) - _FIELDS:
                raise ValueError(f"unknown field {sorted(unknown)[0]!r}: use {', '.join(sorted(_FIELDS))}")
            rule = self._faults.add(
                given["fault"], given.get("table"), count=given.get("count"), delay_ms=given.get("delay_ms", 0),
                rows=given.get("rows", 1),
            )  # fmt: skip
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(rule.to_dict(), status=201)

    async def clear(self, request: web.Request) -> web.Response:
        try:
            await self._faults.clear(request.query.get("fault"))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"faults": [rule.to_dict() for rule in self._faults.list()]})

"""StarRocks as bytes on sockets: an FE and a BE that record what they are sent and answer what a test tells them to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 503: "Service Unavailable"}


@dataclass
class Received:
    """One request: its head as it came over the wire, and its body when it was read."""

    head: bytes
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def label(self) -> str:
        return self.headers.get("label") or parse_qs(urlsplit(self.target).query)["label"][0]


@dataclass
class Answer:
    """What to send back. `early`: before 100 Continue, so that the body stays away. `lost`: close instead, after the
    body was read. `wait`: not before this is set."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    early: bool = False
    lost: bool = False
    wait: asyncio.Event | None = None


def answer_json(**document: object) -> Answer:
    return Answer(body=json.dumps(document).encode())


Script = Callable[[Received], Answer | Awaitable[Answer]]


class BytePeer:
    """An HTTP server that answers by `script`; requests are in `received`, and tests wait for them with `arrived`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.received: list[Received] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> BytePeer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has closed
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        request = _parse(head)
        self.received.append(request)
        answer = self.script(request)
        if not isinstance(answer, Answer):
            answer = await answer
        length = int(request.headers.get("content-length", "0"))
        if length and not answer.early:
            if request.headers.get("expect") == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.body = await reader.readexactly(length)
        if answer.wait is not None:
            await answer.wait.wait()
        if answer.lost:
            return False
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} {REASONS[answer.status]}", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
        await writer.drain()
        return headers.get("Connection") != "close" and not (answer.early and length)


def _parse(head: bytes) -> Received:
    request, *lines = head.decode().rstrip("\r\n").split("\r\n")
    method, target, _ = request.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    return Received(head, method, target, {name.lower(): value for name, value in headers.items()})


class ByteStarRocks:
    """FE and BE together. `loads`: scripted answers of the BE, in turn (the last one repeats); `states`: those of
    get_load_state."""

    def __init__(self) -> None:
        self.loads: list[Answer] = [success()]
        self.states: list[Answer] = [state("UNKNOWN")]
        self.frontend_answer: Answer | None = None
        self.error_log = b""
        self.frontend = BytePeer(self._frontend)
        self.backend = BytePeer(self._backend)

    async def __aenter__(self) -> ByteStarRocks:
        await self.frontend.__aenter__()
        await self.backend.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.frontend.__aexit__()
        await self.backend.__aexit__()

    @property
    def sends(self) -> list[Received]:
        """Loads that reached the BE."""
        return [request for request in self.backend.received if request.method == "PUT"]

    @property
    def asks(self) -> list[str]:
        """Labels whose state was asked for, less the probes."""
        labels = [request.label for request in self.frontend.received if request.path.endswith("get_load_state")]
        return [label for label in labels if label != "dbmazz_probe"]

    def _frontend(self, request: Received) -> Answer:
        if request.path.endswith("get_load_state"):
            if request.label == "dbmazz_probe":
                return state("UNKNOWN")
            return self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if self.frontend_answer is not None:
            return self.frontend_answer
        # As RestBaseAction.redirectTo: always closes.
        return Answer(307, headers={"Location": self.backend.url + request.target, "Connection": "close"})

    def _backend(self, request: Received) -> Answer:
        if request.path == "/api/_load_error_log":
            return Answer(body=self.error_log)
        return self.loads.pop(0) if len(self.loads) > 1 else self.loads[0]


def success(rows: int = 2, **more: object) -> Answer:
    return answer_json(TxnId=1, Status="Success", Message="OK", NumberTotalRows=rows, NumberLoadedRows=rows,
                       NumberFilteredRows=0, NumberUnselectedRows=0, **more)  # fmt: skip


def failure(message: str, *, early: bool = False, **more: object) -> Answer:
    answer = answer_json(TxnId=1, Status="Fail", Message=message, NumberLoadedRows=0, **more)
    answer.early = early
    return answer


def state(name: str) -> Answer:
    return answer_json(state=name, reason="", status="OK", code="0", msg="Success", message="OK")

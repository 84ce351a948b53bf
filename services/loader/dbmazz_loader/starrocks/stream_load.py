"""Stream Load over HTTP: the FE names a backend, the backend takes the body.

The FE answers a header-only PUT with 307 and the backend's address; Authorization has to be sent again there, which HTTP
clients refuse to do by themselves when the host changes. Nothing is begun before the backend has the headers, so whatever
goes wrong at the FE leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import quote

import aiohttp
import structlog
from dbmazz.calling import QUICK_S
from yarl import URL

from dbmazz_loader.protocol.answers import AnswerError, LoadAnswer, NotStarRocks, parse_label_state, parse_load_answer
from dbmazz_loader.protocol.compression import Compress
from dbmazz_loader.protocol.headers import Load, load_headers, locating_headers
from dbmazz_loader.protocol.redaction import redact_message
from dbmazz_loader.protocol.verdicts import (
    Judgement,
    Outcome,
    Peer,
    judge_broken,
    judge_load,
    judge_refusal,
    judge_state,
    judge_state_error,
)
from dbmazz_loader.starrocks.body import Body
from dbmazz_loader.starrocks.frontends import Frontend, Frontends

log = structlog.get_logger("dbmazz.loader")

_CONNECT_S = 5.0
# Beyond the time that StarRocks itself gives the load.
_GRACE_S = 30.0
_IDLE_S = 90.0
CONNECTIONS = 100
_ANSWER_BYTES = 1 << 20
_ERROR_LOG_BYTES = 64 << 10
_HOPS = 3
_REDIRECTS = (307, 308)
# Raised before the request is on the wire: nothing can have come of it.
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
_LOST = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Reply:
    """What one exchange brought: how to go on, and the answer when there was one."""

    judgement: Judgement
    answer: LoadAnswer | None = None


class StreamLoad:
    """Loads into one database. `open` before the first use, `close` after the last."""

    def __init__(
        self,
        frontends: Frontends,
        database: str,
        user: str,
        password: str,
        timeout_s: int,
        compressed: tuple[str, Compress] | None = None,
    ) -> None:
        """`compressed`: the form in which bodies travel, and what puts them into it."""
        self._frontends = frontends
        self._database = database
        self._auth = {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
        self._timeout_s = timeout_s
        self._compressed = compressed
        self._session: aiohttp.ClientSession | None = None
        self._warned_plain = False

    async def open(self) -> None:
        """Makes the pool of connections; none is opened yet. The FE closes each of its own, so what is kept are backends'."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, load: Load, body: memoryview) -> Reply:
        """Sends a load once. Never raises for what the peer does: the judgement says it, UNKNOWN when the answer is missing."""
        target = await self._locate(load)
        if isinstance(target, Judgement):
            return Reply(target)
        headers = load_headers(load, self._timeout_s)
        if self._compressed is not None:
            headers["compression"], compress = self._compressed
            body = memoryview(await asyncio.to_thread(compress, body))
        timeout = aiohttp.ClientTimeout(total=self._timeout_s + _GRACE_S, sock_connect=_CONNECT_S)
        for _ in range(_HOPS):
            try:
                status, location, text = await self._exchange(
                    "PUT", target, headers | self._auth, timeout, Body(body), _ANSWER_BYTES
                )
            except _NEVER_SENT as error:
                return Reply(_unreachable(f"the backend {_place(target)}, which the FE named,", error, Peer.LOADING))
            except _LOST as error:
                return Reply(Judgement(Outcome.UNKNOWN, f"the answer of {_place(target)} was lost ({_name(error)})"))
            if status in _REDIRECTS:
                target = _location(target, location)
                if target is not None:
                    continue
                return Reply(judge_refusal(status))
            return _read_answer(status, text)
        return Reply(Judgement(Outcome.RETRY, "the backend redirects in circles", peer=Peer.LOADING))

    async def label_state(self, label: str) -> Reply:
        """Asks for the state of the transaction under a label."""
        path = f"/api/{quote(self._database, safe='')}/get_load_state"
        try:
            status, text = await self._ask(path, label)
        except _LOST as error:
            judged = _unreachable("the FE", error)
            return Reply(Judgement(Outcome.UNKNOWN, judged.reason, peer=Peer.FRONTEND))
        if status in (401, 403):
            return Reply(judge_refusal(status))
        if status != 200:
            return Reply(Judgement(Outcome.UNKNOWN, f"get_load_state answers HTTP {status}", peer=Peer.FRONTEND))
        try:
            return Reply(judge_state(parse_label_state(text)))
        except AnswerError as error:
            return Reply(judge_state_error(str(error)))

    async def probe(self) -> Judgement:
        """Whether an FE answers and takes the login: LOADED when so. Asks for a label that nobody uses; a database that is
        missing is no fault here."""
        path = f"/api/{quote(self._database, safe='')}/get_load_state"
        try:
            status, text = await self._ask(path, "dbmazz_probe")
        except _LOST as error:
            return _unreachable("the FE", error)
        if status != 200:
            return judge_refusal(status)
        try:
            parse_label_state(text)
        except NotStarRocks:
            return judge_refusal(404)
        except AnswerError as error:
            # The login is good, or this were HTTP 401; the database need not be there yet.
            log.debug("target_probed", answer=redact_message(str(error)))
        return Judgement(Outcome.LOADED)

    async def error_log(self, url: str) -> str:
        """The text behind ErrorURL, its first 64 KB; empty when it cannot be had. It names a backend and needs no login."""
        try:
            address = URL(url)
            if address.scheme not in ("http", "https") or not address.host:
                return ""
            timeout = aiohttp.ClientTimeout(total=QUICK_S, sock_connect=_CONNECT_S)
            status, _, text = await self._exchange("GET", address, {}, timeout, None, _ERROR_LOG_BYTES)
        except (*_LOST, ValueError) as error:
            log.info("error_log_unreachable", error=_name(error))
            return ""
        return text.decode("utf-8", "replace") if status == 200 else ""

    async def _locate(self, load: Load) -> URL | Judgement:
        """The backend's address, from the first FE that answers."""
        path = f"/api/{quote(self._database, safe='')}/{quote(load.table, safe='')}/_stream_load"
        headers = locating_headers(load) | self._auth
        timeout = aiohttp.ClientTimeout(total=QUICK_S, sock_connect=_CONNECT_S)
        judgement = Judgement(Outcome.RETRY, "no FE answers", peer=Peer.FRONTEND)
        for frontend in self._frontends.in_turn():
            url = URL(f"{frontend.http}{path}", encoded=True)
            try:
                status, location, text = await self._exchange("PUT", url, headers, timeout, None, _ANSWER_BYTES)
            except _LOST as error:
                judgement = _unreachable(f"the FE {frontend.http}", error)
                continue
            if status in _REDIRECTS and (target := _location(url, location)) is not None:
                self._frontends.prefer(frontend)
                self._warn_of_plain_http(frontend, target)
                return seen_from(frontend.http, target)
            judgement = _read_refusal(status, text)
            if judgement.outcome is Outcome.RETRY:
                # Probes ask for something else, and would call it over at once.
                judgement = replace(judgement, peer=Peer.LOADING)
            if judgement.outcome is not Outcome.RETRY or status == 200:
                self._frontends.prefer(frontend)
                return judgement
        return judgement

    async def _ask(self, path: str, label: str) -> tuple[int, bytes]:
        """GET with a label at the first FE that answers; raises what the last one raised. A follower sends us to the
        leader, and the login has to go there too."""
        timeout = aiohttp.ClientTimeout(total=QUICK_S, sock_connect=_CONNECT_S)
        failure: Exception = OSError("no FE")
        for frontend in self._frontends.in_turn():
            url = URL(f"{frontend.http}{path}?label={label}", encoded=True)
            try:
                for _ in range(_HOPS):
                    status, location, text = await self._exchange("GET", url, self._auth, timeout, None, _ANSWER_BYTES)
                    leader = _location(url, location) if status in _REDIRECTS else None
                    if leader is None:
                        break
                    url = leader
            except _LOST as error:
                failure = error
                continue
            if status < 500:
                self._frontends.prefer(frontend)
            return status, text
        raise failure

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
        body: Body | None,
        limit: int,
    ) -> tuple[int, str, bytes]:
        """One request: status, Location, and at most `limit` bytes of the answer."""
        assert self._session is not None, "open() first"
        async with self._session.request(
            method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
        ) as response:
            text = bytearray()
            async for chunk in response.content.iter_any():
                text += chunk[: limit - len(text)]
                if len(text) >= limit:
                    response.close()
                    break
            return response.status, response.headers.get("Location", ""), bytes(text)

    def _warn_of_plain_http(self, frontend: Frontend, target: URL) -> None:
        if frontend.http.scheme == "https" and target.scheme == "http" and not self._warned_plain:
            self._warned_plain = True
            log.warning("backend_without_tls", frontend=str(frontend.http), backend=_place(target))


def _read_answer(status: int, text: bytes) -> Reply:
    if status != 200:
        return Reply(judge_broken(status))
    try:
        answer = parse_load_answer(text)
    except AnswerError as error:
        return Reply(Judgement(Outcome.UNKNOWN, f"the backend does not answer as StarRocks does: {error}"))
    return Reply(judge_load(answer), answer)


def _read_refusal(status: int, text: bytes) -> Judgement:
    """An FE that does not redirect. It cannot have taken anything, so nothing it says means LOADED."""
    if status == 200:
        try:
            judgement = judge_load(parse_load_answer(text))
        except AnswerError:
            return judge_refusal(404)
        return judgement if judgement.outcome in (Outcome.RETRY, Outcome.PARK, Outcome.STOP) else judge_refusal(404)
    return judge_refusal(status)


def _location(base: URL, location: str) -> URL | None:
    """The address in a Location header; None when it is none."""
    try:
        target = base.join(URL(location, encoded=True))
        good = target.scheme in ("http", "https") and target.host and target.port  # port: read only now, and checked
    except ValueError:
        return None
    return target if location and good else None


def seen_from(frontend: URL, backend: URL) -> URL:
    """The backend's address as it is from here. A cluster in one container (allin1) names its backend 127.0.0.1, which is the
    FE's machine and not ours."""
    if _is_loopback(backend.host) and not _is_loopback(frontend.host):
        return backend.with_host(frontend.host or "")
    return backend


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _unreachable(what: str, error: Exception, peer: Peer = Peer.FRONTEND) -> Judgement:
    return Judgement(Outcome.RETRY, f"{what} cannot be reached ({_name(error)})", peer=peer)


def _place(url: URL) -> str:
    return f"{url.host}:{url.port}"


def _name(error: Exception) -> str:
    """What went wrong, without addresses or data: `Connection refused`, `TimeoutError`."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return getattr(inner, "strerror", None) or type(inner).__name__

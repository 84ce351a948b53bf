"""Where the figures come from: sampled in this process, or followed from a monitor that runs elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

import aiohttp
from dbmazz.backoff import Backoff
from dbmazz.config import Settings
from dbmazz.errors import ConfigError, DbmazzError
from yarl import URL

from dbmazz_monitor.terminal.figures import Figures
from dbmazz_monitor.terminal.look import harmless
from dbmazz_monitor.terminal.stream import EventParser, Malformed
from dbmazz_monitor.watch import watching

CONNECT_S = 5.0
# A monitor sends something every second, and a comment every 15 s when it has nothing to say.
SILENCE_S = 20.0


class Supply(Protocol):
    """Keeps `figures` new; `trouble` says why they are not, or is empty."""

    figures: Figures
    trouble: str

    async def run(self, changed: Callable[[], None]) -> None:
        """Until cancelled; calls `changed` when there is something new to show."""
        ...

    def settled(self) -> bool:
        """True when a single look at the figures is worth it."""
        ...


class Sampling:
    """Asks the services and counts, as the web monitor does; binds no port."""

    def __init__(self, settings: Settings) -> None:
        self.figures = Figures()
        self.trouble = ""
        self._settings = settings
        self._samples = 0

    async def run(self, changed: Callable[[], None]) -> None:
        """DbmazzError where settings are wrong; parts that are away are shown."""
        async with watching(self._settings) as feed:
            async for state in feed.states():
                self._samples += 1
                self.figures.take("state", state)
                changed()

    def settled(self) -> bool:
        """Rates need two samples; the first counts come a moment later."""
        state = self.figures.state
        rows = (state.get("tables") or {}).get("rows") or []
        counted = all(row.get("source_rows") is not None or row.get("target_rows") is not None for row in rows)
        return self._samples > 1 and (
            counted or any("not counted" in one["text"] for one in state.get("problems") or [])
        )


class Refused(DbmazzError):
    """What answers there is not the page of a monitor."""

    reason = "NO_MONITOR"


class Following:
    """Follows the page of a monitor; comes back, with growing pauses, when the stream ends."""

    def __init__(self, url: str) -> None:
        self.figures = Figures()
        self.trouble = ""
        self._url = _checked(url)
        self._shown = harmless(str(self._url.with_user(None)))

    async def run(self, changed: Callable[[], None]) -> None:
        """Refused when something else answers there."""
        backoff = Backoff(first_s=0.5, cap_s=10.0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    await self._follow(session, backoff, changed)
                    self.trouble = f"{self._shown} has ended the stream"
                except aiohttp.ClientResponseError:
                    raise Refused(
                        f"{self._shown} does not speak HTTP",
                        "Give the address that `dbmazz monitor` announces, like http://127.0.0.1:8080",
                    ) from None
                except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                    self.trouble = f"{self._shown} does not answer ({_why(error)})"
                changed()
                await asyncio.sleep(backoff.next_delay())

    async def _follow(self, session: aiohttp.ClientSession, backoff: Backoff, changed: Callable[[], None]) -> None:
        async with session.get(self._url / "events") as response:
            if response.status in (502, 503, 504):
                self.trouble = f"{self._shown} answers {response.status} {response.reason}"
                return
            if response.status != 200 or response.content_type != "text/event-stream":
                raise Refused(
                    f"{self._shown} is not the page of a monitor (it answers {response.status})",
                    "Give the address that `dbmazz monitor` announces, like http://127.0.0.1:8080",
                )
            parser = EventParser()
            self.figures.begin()
            async for chunk in response.content.iter_any():
                for name, data in self._parsed(parser, chunk):
                    self.figures.take(name, data)
                if self.figures.complete:
                    self.trouble = ""
                    backoff.reset()
                    changed()

    def _parsed(self, parser: EventParser, chunk: bytes) -> list:
        try:
            return parser.feed(chunk)
        except Malformed as error:
            raise Refused(
                f"{self._shown} is not the page of a monitor ({error})", "Is it of another program?"
            ) from None

    def settled(self) -> bool:
        """The other monitor has sampled before."""
        return self.figures.complete


def _checked(text: str) -> URL:
    takes = "It takes the address of a monitor's page, like http://127.0.0.1:8080"
    try:
        url = URL(text)
        complete = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        complete = False
    if not complete:
        # Not repeated: it could hold a password.
        raise ConfigError("--url is not an address", takes)
    if url.query_string or url.fragment:
        raise ConfigError("--url holds more than an address", takes)
    return url.with_path(url.path.rstrip("/"))


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.os_error.errno) if (error.os_error.errno or 0) > 0 else "no such host"
    return "no answer in time" if isinstance(error, TimeoutError) else "the connection ended"

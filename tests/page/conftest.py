"""One browser for all tests of the page; a tab and a monitor's web server for each."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from dbmazz_monitor.feed import Feed
from dbmazz_monitor.web import application

from tests.page.chromium import NAMES, Page, find_chromium, new_page, running
from tests.page.page_states import points, state

ROWS = "document.querySelectorAll('#table-rows th')"


class Shown:
    """A page that is open on a feed of the test's own."""

    def __init__(self, base: str, page: Page, feed: Feed) -> None:
        self.base = base
        self.page = page
        self.feed = feed

    def publish(self, made: dict[str, Any], history: list[dict[str, Any]] | None = None) -> None:
        self.feed.publish(made, points() if history is None else history, time.monotonic())

    async def load(self, path: str = "/") -> None:
        """Opens the page and waits until it shows the latest state."""
        await self.page.goto(self.base + path)
        headline = self.feed.state["headline"]["text"]
        await self.page.until(f"document.getElementById('headline-text').textContent === {json.dumps(headline)}")
        rows = len(self.feed.state["tables"]["rows"])
        await self.page.until(f"({ROWS}.length > 0) === {str(rows > 0).lower()}")


@pytest.fixture(scope="session")
def debugger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The browser's debugger; skips where there is no browser."""
    binary = find_chromium()
    if binary is None:
        pytest.skip(f"no browser in $PATH: none of {', '.join(NAMES)}")
    with running(binary, tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
def showing(debugger: str) -> Callable[..., contextlib.AbstractAsyncContextManager[Shown]]:
    """`async with showing(state) as shown`: the page, open, 1400 x 900; it must not have complained in the end."""

    @contextlib.asynccontextmanager
    async def opened(
        made: dict[str, Any] | None = None, *, load: bool = True, quiet: bool = True
    ) -> AsyncIterator[Shown]:
        feed = Feed(time.monotonic())
        runner = web.AppRunner(application(feed), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with new_page(debugger) as page:
                shown = Shown(base, page, feed)
                shown.publish(made or state())
                await page.size(1400, 900)
                # Without a screen every frame is painted by the CPU, so only the tests of motion have it.
                await page.prefer(prefers_reduced_motion="reduce")
                if load:
                    await shown.load()
                yield shown
                if quiet:
                    assert page.errors == []
        finally:
            feed.close()
            await runner.cleanup()

    return opened

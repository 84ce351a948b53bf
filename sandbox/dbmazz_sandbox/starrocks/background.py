"""The look-alike on a thread of its own, for programs and tests that have no event loop, or another one."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from dbmazz_sandbox.starrocks.errors import SandboxError
from dbmazz_sandbox.starrocks.faults import Fault, Rule
from dbmazz_sandbox.starrocks.sandbox import StarRocksSandbox

R = TypeVar("R")
START_S = 30.0
CALL_S = 30.0


class BackgroundStarRocks:
    """`with BackgroundStarRocks(path, backends=3) as starrocks:`; options are those of StarRocksSandbox.

    All methods may be called from any thread, and block until they are done. Raises what StarRocksSandbox raises."""

    def __init__(self, data_dir: Path, **options: Any) -> None:
        self._sandbox = StarRocksSandbox(data_dir, **options)
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._run, name="starrocks-sandbox", daemon=True)

    def __enter__(self) -> BackgroundStarRocks:
        self._thread.start()
        self._loop = self._ready.result(START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)
        if self._thread.is_alive():
            raise SandboxError("the StarRocks sandbox does not stop")

    @property
    def fe_url(self) -> str:
        return self._sandbox.fe_url

    @property
    def be_urls(self) -> list[str]:
        return self._sandbox.be_urls

    @property
    def mysql_port(self) -> int:
        return self._sandbox.mysql_port

    @property
    def control_url(self) -> str:
        return self._sandbox.control_url

    @property
    def hits(self) -> Counter[str]:
        """How often each fault has hit."""
        return Counter(self._sandbox.faults.hits)

    def fault(self, fault: Fault | str, table: str | None = None, **options: int | None) -> Rule:
        """Switch a fault on: `starrocks.fault("lost_response_after_commit", "db.t", skip=2, count=1)`. Its `hits` tell
        what it did. Raises ValueError."""

        async def add() -> Rule:
            return self._sandbox.faults.add(fault, table, **options)  # type: ignore[arg-type]

        return self._call(add())

    def clear_faults(self, fault: Fault | str | None = None) -> None:
        self._call(self._sandbox.faults.clear(fault))

    def stop_backend(self, number: int) -> None:
        """BE 1, 2, … (`be_urls[number - 1]`) refuses connections, until `start_backend`. Raises ValueError."""
        self._call(self._sandbox.stop_backend(number))

    def start_backend(self, number: int) -> None:
        """Raises ValueError."""
        self._call(self._sandbox.start_backend(number))

    def restart_frontend(self, seconds: float) -> None:
        """Drop all connections to the FE and refuse new ones for so long."""
        self._call(self._sandbox.restart_frontend(seconds))

    def start_frontend(self) -> None:
        """The FE is back when this returns, however long it was to stay away."""
        self._call(self._sandbox.start_frontend())

    def _call(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with self._sandbox:
            self._ready.set_result(asyncio.get_running_loop())
            await self._stop.wait()

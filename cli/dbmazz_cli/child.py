"""One run of a child process: started in its own process group, listened to, ended with everything it left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What a process may still have in its pipes when it is gone.
_PIPE_S = 2.0
_LINE_BYTES = 64 << 10
# How run_service, and this command, say what a person must see.
_ERROR = re.compile(r"dbmazz(?: [\w-]+)?: ")
_LEASH = str(Path(__file__).with_name("leash.py"))

# Takes the child's name and one line that it wrote.
Relay = Callable[[str, str], None]


@dataclass(frozen=True)
class Program:
    """What to run. `name` is for people (`loader-2`); `environment` replaces the parent's and holds secrets."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    # False: its end, however it comes, is a failure of the whole.
    restart: bool = True


@dataclass(frozen=True)
class Exit:
    """How a run ended. `code` is negative for a signal; `error` is the one line the child said about it, or empty."""

    code: int
    error: str
    announced: bool
    uptime_s: float

    @property
    def how(self) -> str:
        """For people: `exit code 2` or `SIGKILL`."""
        if self.code >= 0:
            return f"exit code {self.code}"
        return signal.Signals(-self.code).name


class Child:
    """Start it with `run`, which returns when the process is gone; the other methods may be used meanwhile."""

    def __init__(self, program: Program, relay: Relay) -> None:
        self.program = program
        # The first line of JSON on the child's stdout: where it serves.
        self.announcement: dict = {}
        self.announced = asyncio.Event()
        self.ended = asyncio.Event()
        self._relay = relay
        self._process: asyncio.subprocess.Process | None = None
        self._to_end = False
        self._error = ""

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._process.pid if self._process else 0

    async def run(self) -> Exit:
        """The whole life of the process. OSError when it cannot be started."""
        started = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            _LEASH,
            str(os.getpid()),
            *self.program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.program.environment,
            # Ctrl-C reaches the terminal's foreground group at once; the parent ends its children in order instead.
            start_new_session=True,
        )
        if self._to_end:
            self._process.terminate()
        try:
            code = await self._listen(self._process)
        finally:
            if self._process.returncode is None:
                self.kill()
            self.ended.set()
        return Exit(code, self._error, self.announced.is_set(), time.monotonic() - started)

    async def _listen(self, process: asyncio.subprocess.Process) -> int:
        """Relays both pipes until the process has ended and, for a moment, what is still in them."""
        async with asyncio.TaskGroup() as group:
            pumps = [
                group.create_task(self._relay_stdout(process.stdout)),
                group.create_task(self._relay_stderr(process.stderr)),
            ]
            code = await process.wait()
            # A grandchild that kept the pipes open would keep this waiting.
            self.kill()
            await asyncio.wait(pumps, timeout=_PIPE_S)
            for pump in pumps:
                pump.cancel()
        return code

    async def _relay_stdout(self, stream: asyncio.StreamReader) -> None:
        async for line in _lines(stream):
            if not self.announced.is_set() and (document := _json_object(line)) is not None:
                self.announcement = document
                self.announced.set()
            else:
                self._relay(self.program.name, line)

    async def _relay_stderr(self, stream: asyncio.StreamReader) -> None:
        async for line in _lines(stream):
            if match := _ERROR.match(line):
                self._error = line[match.end() :]
            self._relay(self.program.name, line)

    def terminate(self) -> None:
        """Asks it to drain, also when it is only about to start; no effect when it is gone."""
        self._to_end = True
        if self._process and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        """Ends it and everything in its process group at once; no effect when it is gone."""
        if self._process and not self.ended.is_set():
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # nobody is left in the group (macOS says so with EPERM)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines without their ends; one that is longer than 64 KB comes in pieces instead of failing."""
    rest = b""
    while chunk := await stream.read(_LINE_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
        if len(rest) >= _LINE_BYTES:
            yield rest.decode("utf-8", "replace")
            rest = b""
    if rest:
        yield rest.decode("utf-8", "replace")


def _json_object(line: str) -> dict | None:
    if not line.startswith("{"):
        return None
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None

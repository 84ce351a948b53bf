"""A command on a pseudo-terminal of its own, and what it has written there."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator

from tests.fixtures.waiting import wait_until

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
HOME = "\x1b[H"
# Makes the terminal its own, so that Ctrl-C typed into it is a signal, and becomes the command. Not as preexec_fn: in a
# process with gRPC's threads, Python code between fork and exec can crash.
LAUNCHER = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "dbmazz_cli", *sys.argv[1:]])
"""


class Session:
    """`text()` is the last frame without escapes; `raw` everything that came."""

    def __init__(self, master: int, process: subprocess.Popen) -> None:
        self.raw = ""
        self.process = process
        self._master = master
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(master, self._read)
        self._open = True

    def _read(self) -> None:
        try:
            chunk = os.read(self._master, 1 << 16)
        except OSError:  # EIO: the other side is closed
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._master)
        self.raw += chunk.decode("utf-8", "replace")

    def text(self) -> str:
        return ESCAPE.sub("", self.raw.rpartition(HOME)[2])

    def size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGWINCH)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def mode(self) -> list:
        return termios.tcgetattr(self._master)

    def hang_up(self) -> None:
        """The terminal's window is closed."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._master)
            os.close(self._master)

    async def until(self, *words: str) -> str:
        try:
            await wait_until(lambda: all(word in self.text() for word in words), timeout=30, what=f"{words}")
        except TimeoutError as error:
            raise AssertionError(f"{error}; the screen (exit code {self.process.poll()}):\n{self.text()}") from None
        return self.text()

    async def ended(self) -> int:
        await wait_until(lambda: self.process.poll() is not None, timeout=20, what="the end of the command")
        return self.process.returncode


@contextlib.asynccontextmanager
async def session(*arguments: str, columns: int = 80, rows: int = 24, **variables: str) -> AsyncIterator[Session]:
    """Runs `dbmazz ARGUMENTS`; ends it, should it still be there."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = _started(slave, arguments, variables)
    os.close(slave)
    opened = Session(master, process)
    try:
        yield opened
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        opened.hang_up()


def _started(slave: int, arguments: tuple[str, ...], variables: dict[str, str]) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | variables,
        start_new_session=True,
    )

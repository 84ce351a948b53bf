"""Keys one by one, without echo, and the terminal as it was afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_INPUT, _LOCAL, _CHARACTERS = 0, 3, 6


@contextmanager
def keys(pressed: Callable[[bytes], None]) -> Iterator[None]:
    """While the body runs, `pressed` gets what is typed; b"" when the terminal is gone. Without a terminal on stdin, nothing.

    To be called inside the running loop.
    """
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()
    termios.tcsetattr(descriptor, termios.TCSADRAIN, _single(descriptor))
    loop.add_reader(descriptor, lambda: pressed(_typed(descriptor)))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        with suppress(termios.error):  # the terminal has gone
            # TCSAFLUSH: what was typed meanwhile is not for the shell.
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def _single(descriptor: int) -> list:
    """Ctrl-C stays a signal. Ctrl-Z would leave the shell on our screen, Ctrl-S would stop us in the middle of a write."""
    mode = termios.tcgetattr(descriptor)
    mode[_INPUT] &= ~termios.IXON
    mode[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
    mode[_CHARACTERS][termios.VSUSP] = bytes([os.fpathconf(descriptor, "PC_VDISABLE")])
    mode[_CHARACTERS][termios.VMIN], mode[_CHARACTERS][termios.VTIME] = 1, 0
    return mode


def _typed(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1024)
    except BlockingIOError:
        return b"\0"  # somebody else shares the terminal and was quicker
    except OSError:
        return b""

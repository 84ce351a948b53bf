"""Ctrl-C while modules are imported: it ends the process at once, quietly. Imports next to nothing itself."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


class Importing:
    """`with Importing():` around imports. Nothing is there yet that would have to be tidied up, and a KeyboardInterrupt
    out of a half-made module comes as a traceback, as another error, or not at all."""

    def __enter__(self) -> None:
        # Otherwise it is ignored (nohup, a shell's background), or somebody else's: an enclosing one of these, or a test's.
        self._ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, _end)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: object) -> None:
    os._exit(INTERRUPTED)

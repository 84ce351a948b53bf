"""One process per store, held by a lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from dbmazz.errors import ConfigError


class ProcessLock:
    """flock() on a file beside the store, for as long as this object is held.

    Beside it, because closing any descriptor of the database itself would drop SQLite's own locks (POSIX fcntl locks
    belong to the process, not to the descriptor). The file stays: removing it would let two processes lock two inodes.
    """

    def __init__(self, path: Path) -> None:
        """Takes the lock; ConfigError at once when another process has it. OSError when the file cannot be made."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise ConfigError(
                f"the checkpoint store {path.with_suffix('')} is in use by another process"
                + (f" (pid {holder})" if holder else ""),
                "One checkpoint per store: stop that one, or set another CHECKPOINT_URL",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets the next process in."""
        os.close(self._descriptor)

"""The children's logs while the screen belongs to the demo: one file each, and the last lines for when one fails."""

from __future__ import annotations

from collections import defaultdict, deque
from pathlib import Path
from typing import TextIO

_TAIL = 15


class LogFiles:
    """A relay that writes `<directory>/<name>.log`; to be closed at the end."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._files: dict[str, TextIO] = {}
        self._tails: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_TAIL))

    def __call__(self, name: str, line: str) -> None:
        if name not in self._files:
            self._files[name] = (self._directory / f"{name}.log").open("a", encoding="utf-8")
        self._files[name].write(f"{line}\n")
        self._files[name].flush()
        self._tails[name].append(line)

    def tail(self, name: str) -> list[str]:
        """The last lines that this child wrote."""
        return list(self._tails[name])

    def close(self) -> None:
        """Closes the files."""
        for file in self._files.values():
            file.close()

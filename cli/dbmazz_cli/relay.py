"""Where the lines of child processes go: to this one's stderr, with the child's name before each."""

from __future__ import annotations

import json
import sys
from typing import TextIO

_WIDTH = len("transformer-2")


class StderrRelay:
    """Console lines get the name in front; JSON lines (LOG_FORMAT=json) get it as a field and stay JSON."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def __call__(self, name: str, line: str) -> None:
        if line.startswith('{"'):
            text = f'{{"process": {json.dumps(name)}, {line[1:]}'
        else:
            text = f"{name:<{_WIDTH}} {line}"
        self._stream.write(f"{text}\n")
        self._stream.flush()

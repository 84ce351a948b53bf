"""Server-sent events out of bytes, as the HTML standard has them (section 9.2.6), for what a monitor sends."""

from __future__ import annotations

import json
from typing import Any

# A state of some thousand tables is a few megabytes; more is not a monitor's.
MOST_BYTES = 64 << 20


class Malformed(Exception):
    """This is no stream of a monitor."""


class EventParser:
    """Feed it what comes; it gives the events that are complete, as (name, decoded JSON)."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[tuple[str, Any]]:
        """Malformed when data is no JSON, or has no end."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_BYTES:
            raise Malformed(f"an event has more than {MOST_BYTES >> 20} MB")
        found = []
        for line in whole:
            line = line.removesuffix(b"\r")
            if line:
                self._take(line)
                continue
            if self._data:
                found.append((self._name or "message", _decoded(b"\n".join(self._data))))
            self._name, self._data = "", []
        return found

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value)


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise Malformed("an event is not JSON") from None

"""SNAPSHOT_BYTES: what chunks that are read, and those that are not durable yet, take together."""

from __future__ import annotations


class Budget:
    """Counts bytes; a chunk is begun only while there is room."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def room(self) -> bool:
        """True when another chunk may be begun."""
        return self.used < self.limit

    def take(self, size: int) -> None:
        """A chunk has grown."""
        self.used += size

    def give_back(self, size: int) -> None:
        """It is durable, or was dropped."""
        self.used -= size

"""What a generator has done so far, as the server acknowledged it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counters:
    """Row events and transactions that were committed and acknowledged."""

    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    transactions: int = 0

    @property
    def events(self) -> int:
        return self.inserts + self.updates + self.deletes

    def count(self, command_tag: str) -> None:
        """Add the rows of one statement, from its command tag (`INSERT 0 5`, `UPDATE 3`, `DELETE 1`)."""
        command, *_, rows = command_tag.split(" ")
        name = {"INSERT": "inserts", "UPDATE": "updates", "DELETE": "deletes"}[command]
        setattr(self, name, getattr(self, name) + int(rows))


@dataclass
class ToastCounters(Counters):
    """Also how the updates of toast_test treated the large values."""

    unchanged_updates: int = 0
    """Updated rows whose large values were left alone: PostgreSQL sends a marker instead of them."""
    large_updates: int = 0
    """Updated rows of which one large value was replaced."""
    nulled_updates: int = 0
    """Updated rows of which one large value became NULL."""

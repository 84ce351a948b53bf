"""What a store promises, whatever it is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from dbmazz.errors import STORE_UNAVAILABLE, DbmazzError

from dbmazz_checkpoint.protocol.slot import Checkpoint, TableLoad


class StoreError(DbmazzError):
    """The store cannot be read or written now; a disk that is full or broken."""

    reason = STORE_UNAVAILABLE
    retriable = True


class Store(Protocol):
    """Durable positions. When a call that writes returns, a power cut does not take it back.

    One process has the store open at a time. Every call may raise StoreError; nothing was stored then.
    """

    # For people: where it is, without secrets.
    description: str

    async def list(self) -> list[Checkpoint]:
        """The current position of every slot, in order of slots."""
        ...

    async def get(self, slot: str) -> Checkpoint | None:
        """The current position of a slot."""
        ...

    async def history(self, slot: str, limit: int) -> list[Checkpoint]:
        """The recent positions of a slot, newest first: at most one per second, of which a bounded number is kept."""
        ...

    async def begin(
        self, checkpoint: Checkpoint, unread: Mapping[int, int], streamed: Collection[int] = ()
    ) -> dict[int, int]:
        """Stores a position with a new epoch; from now on `advance` refuses the epoch before it.

        `unread` (row estimates by relation id) is added to the unread tables of the slot; all of them are returned. `streamed`
        replaces the slot's streamed tables, unless it is empty.
        """
        ...

    async def streamed(self, slot: str) -> list[int]:
        """The tables that the last epoch replicated, ascending; [] when none has told."""
        ...

    async def store_load(self, slot: str, epoch: int, load: TableLoad) -> bool:
        """Stores how far a table's load is; one that is done takes the table off the unread ones.

        False, and nothing stored, when the epoch is not the stored one.
        """
        ...

    async def loads(self, slot: str) -> list[TableLoad]:
        """The stored loads of a slot, in order of relation ids."""
        ...

    async def advance(self, checkpoints: Sequence[Checkpoint]) -> list[bool]:
        """Moves positions forward, all in one transaction; False for each whose epoch is not the stored one."""
        ...

    async def close(self) -> None:
        """Releases the store for another process."""
        ...

"""The slots of this checkpoint: reports come in, positions are stored, then announced.

Reports are taken in memory. One loop stores what they add up to, all slots in one transaction, and only then tells the
watchers; while it waits for the disk the next reports gather (group commit).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import structlog
from dbmazz.backoff import Backoff
from dbmazz.errors import FencedError
from dbmazz.lsn import Lsn

from dbmazz_checkpoint.protocol.epochs import check_epoch, check_system_identifier, next_epoch
from dbmazz_checkpoint.protocol.ledger import Part
from dbmazz_checkpoint.protocol.slot import Announcement, Checkpoint, OpenEpoch, TableLoad
from dbmazz_checkpoint.store.interface import Store, StoreError

log = structlog.get_logger("dbmazz.checkpoint")


class Draining(Exception):
    """The checkpoint stops; watchers come back to its successor."""


@dataclass(frozen=True, slots=True)
class EpochRequest:
    """A reader that has acquired its slot; see BeginEpochRequest."""

    slot: str
    system_identifier: str
    timeline: int
    start_lsn: Lsn
    replica: str
    # Row estimates by relation id.
    unread: Mapping[int, int] = field(default_factory=dict)
    streamed: Collection[int] = ()


class Positions:
    """All slots. `clock` gives seconds since 1970; epochs and update times come from it."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        # The last failure of the store, kept for people after it has passed; `failing` says whether it has.
        self.last_error = ""
        self.failing = False
        self._store = store
        self._clock = clock
        self._stored: dict[str, Checkpoint] = {}
        self._open: dict[str, OpenEpoch] = {}
        self._fenced: dict[str, int] = {}
        # Held over every write, so that a new epoch never starts from a position that is just being overtaken.
        self._writing = asyncio.Lock()
        # Something waits to be stored or announced.
        self._due = asyncio.Event()
        # Set, and replaced, at every announcement: whoever waits holds the event of the state it has seen.
        self._news = asyncio.Event()
        self._draining = asyncio.Event()
        self._drained = False

    async def load(self) -> None:
        """Reads what the store holds; once, before anything else."""
        self._stored = {checkpoint.slot: checkpoint for checkpoint in await self._store.list()}

    @property
    def draining(self) -> bool:
        return self._draining.is_set()

    def stored(self) -> list[Checkpoint]:
        """The stored position of every slot, in order of slots."""
        return [self._stored[slot] for slot in sorted(self._stored)]

    def stored_at(self, slot: str) -> Checkpoint | None:
        """The stored position of one slot."""
        return self._stored.get(slot)

    def open_epoch(self, slot: str) -> OpenEpoch | None:
        """The epoch that this process issued last for a slot."""
        return self._open.get(slot)

    def fenced_count(self, slot: str) -> int:
        """Reports of a known slot that this process refused because their epoch was not open."""
        return self._fenced.get(slot, 0)

    async def history(self, slot: str, limit: int) -> list[Checkpoint]:
        """The recent positions of a slot, newest first."""
        return await self._store.history(slot, limit)

    async def begin_epoch(self, request: EpochRequest) -> tuple[Checkpoint, dict[int, int]]:
        """Issues and stores the next epoch, with the position that it starts from; closes the one before.

        Returned with all unread tables of the slot.

        SystemIdentifierError when the stored position belongs to another cluster; StoreError when the epoch cannot be
        stored, and then the former one stays open.
        """
        async with self._writing:
            # Asked of the store, not of memory: a call that was cancelled half-way may have stored a newer epoch.
            former = await self._store.get(request.slot)
            if former is not None:
                check_system_identifier(request.slot, former.system_identifier, request.system_identifier)
            issued = Checkpoint(
                slot=request.slot,
                epoch=next_epoch(former.epoch if former else 0, self._clock()),
                confirmed_lsn=self._start(request, former),
                system_identifier=request.system_identifier,
                timeline=request.timeline,
                update_time_us=self._now_us(),
            )
            unread = await self._store.begin(issued, request.unread, request.streamed)
            self._stored[request.slot] = issued
            self._open[request.slot] = OpenEpoch(issued)
        self._wake_watchers()
        log.info(
            "epoch_begun",
            slot=request.slot,
            epoch=issued.epoch,
            confirmed_lsn=str(issued.confirmed_lsn),
            timeline=request.timeline,
            former_timeline=former.timeline if former else None,
            reader=request.replica,
        )
        return issued, unread

    async def streamed(self, slot: str) -> list[int]:
        """The tables that the last epoch of a slot replicated."""
        return await self._store.streamed(slot)

    async def loads(self, slot: str) -> list[TableLoad]:
        """How far the loads of a slot's tables are."""
        return await self._store.loads(slot)

    async def store_load(self, slot: str, epoch: int, load: TableLoad) -> None:
        """Stores how far a load is; FencedError when the epoch is not open, StoreError when it cannot be stored."""
        async with self._writing:
            self._current(slot, epoch)
            if not await self._store.store_load(slot, epoch, replace(load, update_time_us=self._now_us())):
                raise FencedError(f"epoch {epoch} of slot {slot} is closed")

    def _start(self, request: EpochRequest, former: Checkpoint | None) -> Lsn:
        """Where an epoch begins: at what is durable, stored already or about to be; a new slot where its reader says."""
        if former is None:
            return request.start_lsn
        before = self._open.get(request.slot)
        return max(former.confirmed_lsn, before.ledger.confirmed_lsn) if before else former.confirmed_lsn

    def report(self, slot: str, epoch: int, part: Part, loaded_row_count: int) -> None:
        """Takes a report. FencedError when its epoch is not open, LedgerError when it contradicts itself or others."""
        try:
            open_epoch = self._current(slot, epoch)
        except FencedError:
            if slot in self._stored:
                self._fenced[slot] = self._fenced.get(slot, 0) + 1
            raise
        if open_epoch.take(part, loaded_row_count):
            self._due.set()

    async def watch(self, slot: str, epoch: int) -> AsyncIterator[Announcement]:
        """The announced position at once and after every move; a slow watcher gets the latest, not each.

        Ends with FencedError when the epoch is closed, with Draining when the checkpoint stops.
        """
        told: Announcement | None = None
        while True:
            open_epoch, news = self._current(slot, epoch), self._news
            if open_epoch.announced != told:
                told = open_epoch.announced
                yield told
            elif self._drained:
                raise Draining
            else:
                await news.wait()

    def _current(self, slot: str, epoch: int) -> OpenEpoch:
        found = self._open.get(slot)
        check_epoch(slot, found.stored.epoch if found else None, epoch)
        return found

    async def commit_until_drained(self) -> None:
        """Stores and announces what is due, until `drain`; a last round comes before it returns.

        A store that fails is tried again with back-off, and nothing is announced meanwhile. StoreError when it fails in
        the last round: the rows will come again after the restart.
        """
        backoff = Backoff(first_s=0.1, cap_s=5.0)
        try:
            while not self.draining:
                await self._due.wait()
                self._due.clear()
                try:
                    await self.commit()
                    backoff.reset()
                except StoreError as error:
                    await self._pause(error, backoff.next_delay())
            await self.commit()
        finally:
            self._drained = True
            self._wake_watchers()

    async def _pause(self, error: StoreError, delay_s: float) -> None:
        """Waits before the next attempt, at most until the checkpoint drains."""
        self.last_error, self.failing = str(error), True
        log.error("checkpoint_store_failed", error=str(error), retry_in_s=round(delay_s, 2))
        await self.draining_within(delay_s)
        self._due.set()

    async def draining_within(self, seconds: float) -> bool:
        """Waits that long, or until the checkpoint drains; True when it does."""
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            pass
        return self.draining

    async def commit(self) -> None:
        """One round: stores what is due for all slots in one transaction, then announces it."""
        async with self._writing:
            due = {slot: (epoch, epoch.due()) for slot, epoch in self._open.items() if epoch.due() != epoch.announced}
            moved = [epoch.advanced(announcement, self._now_us()) for epoch, announcement in due.values()]
            stale = await self._store_moved([checkpoint for checkpoint in moved if checkpoint])
            for slot, (open_epoch, announcement) in due.items():
                if slot not in stale:
                    open_epoch.stored = self._stored[slot]
                    open_epoch.announced = announcement
        self.failing = False
        if due:
            self._wake_watchers()

    async def _store_moved(self, moved: list[Checkpoint]) -> set[str]:
        """Stores positions; returns the slots whose epoch is no longer the stored one, and closes those.

        That is what a BeginEpoch leaves behind whose caller hung up while it was being stored.
        """
        if not moved:
            return set()
        taken = await self._store.advance(moved)
        stale = {checkpoint.slot for checkpoint, current in zip(moved, taken, strict=True) if not current}
        self._stored |= {checkpoint.slot: checkpoint for checkpoint in moved if checkpoint.slot not in stale}
        for slot in stale:
            del self._open[slot]
            log.warning("epoch_superseded", slot=slot)
        return stale

    def drain(self) -> None:
        """Lets `commit_until_drained` end, and with it the watchers."""
        self._draining.set()
        self._due.set()

    def _wake_watchers(self) -> None:
        self._news, woken = asyncio.Event(), self._news
        woken.set()

    def _now_us(self) -> int:
        return int(self._clock() * 1_000_000)

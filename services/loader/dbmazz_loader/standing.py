"""How the loader stands with its peers: what GetStatus and the health service tell, and one log line per change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from dbmazz.v1 import types_pb2

from dbmazz_loader.protocol.verdicts import Judgement, Outcome, Peer

log = structlog.get_logger("dbmazz.loader")

# Peers that are probed: without them the loader cannot serve. What only loads meet must not make it unready, as no loads
# would come any more to find it well again.
_PROBED = (Peer.FRONTEND, Peer.MYSQL, Peer.CHECKPOINT)
_UNTRIED = "not connected yet"

State = types_pb2.ServiceState


class Standing:
    """Peers, with what is wrong with each."""

    def __init__(self) -> None:
        self._problems: dict[Peer, str] = dict.fromkeys(_PROBED, _UNTRIED)
        self._kinds: dict[Peer, str] = {}
        self.draining = False
        self._change = asyncio.Event()

    def heed(self, judgement: Judgement) -> None:
        """Takes note when a judgement is about a peer as a whole."""
        if judgement.peer is not None:
            self.fails(judgement.peer, judgement.reason, refuses=judgement.outcome is Outcome.STOP)

    def fails(self, peer: Peer, reason: str, *, refuses: bool = False) -> None:
        """Takes note of a problem. Logged when it is new or of another kind, not again for every load that meets it."""
        self._problems[peer] = reason
        kind = "refuses" if refuses else "away"
        if self._kinds.get(peer) != kind:
            self._kinds[peer] = kind
            log.warning("peer_refuses" if refuses else "peer_away", peer=str(peer), reason=reason)
        self._wake()

    def works(self, peer: Peer, **facts: str) -> None:
        """Takes note that a peer answers as it should."""
        if peer in self._problems:
            del self._problems[peer]
            self._kinds.pop(peer, None)
            log.info("peer_works", peer=str(peer), **facts)
            self._wake()

    def problem(self, peer: Peer) -> str:
        """What is wrong with a peer; empty when nothing is."""
        return self._problems.get(peer, "")

    @property
    def ready(self) -> bool:
        return not self.draining and not any(peer in self._problems for peer in _PROBED)

    @property
    def last_error(self) -> str:
        """What is wrong now; empty when nothing is."""
        return "; ".join(text for text in self._problems.values() if text != _UNTRIED)

    @property
    def state(self) -> State:
        if self.draining:
            return types_pb2.SERVICE_STATE_DRAINING
        if not self._problems:
            return types_pb2.SERVICE_STATE_RUNNING
        if self.last_error:
            return types_pb2.SERVICE_STATE_RETRYING
        return types_pb2.SERVICE_STATE_STARTING

    def drain(self) -> None:
        """Nothing new is taken from now on."""
        self.draining = True
        self._wake()

    async def wait_change(self) -> None:
        """Until something has changed since this call."""
        await self._change.wait()

    async def follow(self, tell: Callable[[bool], Awaitable[None]]) -> None:
        """Tells the health service, for as long as it runs."""
        told = False
        while True:
            change = self._change
            if self.ready != told:
                told = self.ready
                await tell(told)
            await change.wait()

    def _wake(self) -> None:
        """Wakes everybody that waits; whoever looks again waits for the next change."""
        self._change.set()
        self._change = asyncio.Event()

"""A channel that does not stay away for minutes because a name was not known.

gRPC asks DNS again after 1, 1.6, 2.6 ... up to 120 seconds while a name does not resolve, whatever the channel's own back-off
is set to. Docker's DNS knows a service only while one of its containers runs, so a peer that was down for a while would be
found minutes after its return. A new channel begins with a new resolver.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Self

import grpc

RENEW_S = 3.0
_FAILED = grpc.ChannelConnectivity.TRANSIENT_FAILURE


class RenewedChannel(grpc.aio.Channel):
    """Looks like the channel that `dial` makes, and makes another when the present one has failed for `renew_s` seconds.

    A channel in that state carries no call, so none is cut.
    """

    def __init__(self, dial: Callable[[], grpc.aio.Channel], renew_s: float = RENEW_S) -> None:
        self._dial = dial
        self._renew_s = renew_s
        self._channel = dial()
        # When it was first seen failed, monotonic; None while it is not.
        self._failed_at: float | None = None
        self._replaced: list[grpc.aio.Channel] = []

    def unary_unary(self, *description: Any, **options: Any) -> Any:
        return lambda *request, **call: self._current().unary_unary(*description, **options)(*request, **call)

    def unary_stream(self, *description: Any, **options: Any) -> Any:
        return lambda *request, **call: self._current().unary_stream(*description, **options)(*request, **call)

    def stream_unary(self, *description: Any, **options: Any) -> Any:
        return lambda *request, **call: self._current().stream_unary(*description, **options)(*request, **call)

    def stream_stream(self, *description: Any, **options: Any) -> Any:
        return lambda *request, **call: self._current().stream_stream(*description, **options)(*request, **call)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Also returns, with no change, when it is time to look whether the channel was or must be replaced."""
        await self._close_replaced()
        try:
            async with asyncio.timeout(self._renew_s if last_observed_state is _FAILED else None):
                await self._channel.wait_for_state_change(last_observed_state)
        except TimeoutError:
            pass

    async def channel_ready(self) -> None:
        while (state := self.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            await self.wait_for_state_change(state)

    async def close(self, grace: float | None = None) -> None:
        await self._close_replaced()
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def _current(self) -> grpc.aio.Channel:
        """The channel to be used now."""
        if self._channel.get_state() is not _FAILED:
            self._failed_at = None
            return self._channel
        now = time.monotonic()
        if self._failed_at is None:
            self._failed_at = now
        elif now - self._failed_at >= self._renew_s:
            self._replaced.append(self._channel)
            self._channel, self._failed_at = self._dial(), None
            # Not more than one is kept for a coroutine that can close it: the others end as they are let go.
            del self._replaced[:-1]
        return self._channel

    async def _close_replaced(self) -> None:
        while self._replaced:
            await self._replaced.pop().close()

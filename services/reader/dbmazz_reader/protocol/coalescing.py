"""How long to let the socket fill before it is read.

Every reading costs the same whether it brings one message or a thousand, and while a backlog is sent it costs the walsender,
too: what lies in the socket is joined by what comes behind it into fewer and larger segments. So under load the socket is
read in gulps. Nothing lies there longer than a bound, and after silence the first bytes are read at once.
"""

from __future__ import annotations

# A gulp of this size costs hardly more per row than a larger one.
ENOUGH_BYTES = 128 << 10
# The part of the kernel's buffer that is allowed to fill: the kernel counts more than a byte for a byte, and a walsender that
# finds no room stands still. Waiting for more than there is room for would also mistake the stand-still for a slow stream.
FILL = 1 / 8
# Shorter waits than this are rounded up to it by epoll.
SHORTEST_S = 0.001
# Less than this is left over from rounding, and no wait at all.
_NOTHING_S = 1e-6


class Coalescing:
    """Decides from times and sizes alone. `max_s` 0 reads whatever is there at once."""

    def __init__(self, max_s: float) -> None:
        self.max_s = max_s
        # When the socket was last found empty, or was emptied.
        self._empty_at = float("-inf")
        # Bytes per second that came before that.
        self._rate = 0.0

    def emptied(self, now: float, size: int) -> None:
        """The socket was read to its end; `size` bytes were in it."""
        elapsed = max(now - self._empty_at, SHORTEST_S)
        self._rate = size / elapsed
        self._empty_at = now

    def wait_s(self, now: float, waiting: int, room: int) -> float:
        """For how long to leave `waiting` bytes where they are, in a buffer of `room`; 0 to read them, or, when there are
        none, to wait for some.

        To be asked again afterwards. `max_s` after the socket was emptied the answer is 0.
        """
        left = self._empty_at + self.max_s - now
        missing = min(ENOUGH_BYTES, room * FILL) - waiting
        if left <= _NOTHING_S or missing <= 0:
            return 0.0
        if self._rate * left <= missing:
            return left
        return min(left, max(missing / self._rate, SHORTEST_S))

    def arrived_at(self, now: float) -> float:
        """The earliest time at which what is there now can have come."""
        return max(self._empty_at, now - self.max_s)

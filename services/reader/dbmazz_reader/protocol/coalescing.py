"""How long to let the socket fill before it is read.

Every reading costs the same whether it brings one message or a thousand, and while a backlog is sent it costs the walsender,
too: what lies in the socket is joined by what comes behind it into fewer and larger segments. So under load the socket is
read in gulps. Nothing lies there longer than a bound, and after silence the first bytes are read at once.
"""

from __future__ import annotations

# A gulp of this size costs hardly more per row than a larger one, and is well below what the kernel's buffers hold: a
# walsender that finds them full would stand still.
ENOUGH_BYTES = 128 << 10
# Shorter waits than this are rounded up to it by epoll.
SHORTEST_S = 0.001


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

    def wait_s(self, now: float, waiting: int) -> float:
        """For how long to leave `waiting` bytes where they are; 0 to read them, or, when there are none, to wait for some.

        To be asked again afterwards. `max_s` after the socket was emptied the answer is 0.
        """
        left = self._empty_at + self.max_s - now
        if left <= 0 or waiting >= ENOUGH_BYTES:
            return 0.0
        if self._rate * left <= ENOUGH_BYTES - waiting:
            return left
        return min(left, max((ENOUGH_BYTES - waiting) / self._rate, SHORTEST_S))

    def arrived_at(self, now: float) -> float:
        """The earliest time at which what is there now can have come."""
        return max(self._empty_at, now - self.max_s)

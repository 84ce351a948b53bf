"""Which backend takes the loads of a table: the one that the FE named last, for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

Address = TypeVar("Address")

# Between two questions to the FE, which spreads the loads over its backends and knows which are alive. To ask it before
# each load costs as much again as the load itself: it closes its connections.
KNOWN_S = 10.0


@dataclass(slots=True)
class Backends(Generic[Address]):
    """Addresses by table. `now` is in seconds of one monotonic clock."""

    _known: dict[str, tuple[Address, float]] = field(default_factory=dict)

    def recall(self, table: str, now: float) -> Address | None:
        """The backend of a table; None when the FE is to be asked."""
        address, until = self._known.get(table, (None, 0.0))
        return address if now < until else None

    def learn(self, table: str, address: Address, now: float) -> None:
        """The FE has named a backend."""
        self._known[table] = (address, now + KNOWN_S)

    def forget(self, table: str) -> None:
        """A load has not simply succeeded there: the FE is asked before the next."""
        self._known.pop(table, None)

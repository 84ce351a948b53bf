"""Pauses between attempts: exponential, with full jitter, capped."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """`next_delay()` grows from `first_s` by a factor of two up to `cap_s`; each is drawn from its upper half.

    The jitter keeps replicas that lost the same peer from returning in step.
    """

    first_s: float = 0.1
    cap_s: float = 10.0
    attempts: int = 0
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def next_delay(self) -> float:
        """Seconds to wait before the next attempt."""
        ceiling = min(self.cap_s, self.first_s * 2 ** min(self.attempts, 32))
        self.attempts += 1
        return ceiling * (0.5 + self._random.random() / 2)

    def reset(self) -> None:
        """To be called after a success."""
        self.attempts = 0

"""What became of a load, and what that means for a window of several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """Numbers are those of the proto enum, and grow with how much they stop."""

    LOADED = 1
    RETRY = 2
    PARK = 3
    STOP = 4
    FENCED = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdict and, unless LOADED, why. The message never holds row values."""

    verdict: Verdict
    message: str = ""


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that decides for the window: FENCED over STOP over PARK over RETRY over LOADED."""
    return max(outcomes, key=lambda outcome: outcome.verdict)

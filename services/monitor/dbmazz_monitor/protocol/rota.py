"""Whose turn it is to be counted, when there is not time for all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Turn:
    at_s: float
    mark: Hashable
    held: bool


class Rota:
    """Remembers when each table was counted, and how it was marked then: a table whose mark is the same has not changed,
    as far as is known without counting it."""

    def __init__(self, again_s: float) -> None:
        """`again_s`: after so many seconds a table that has not changed is counted all the same."""
        self._again_s = again_s
        self._turns: dict[str, _Turn] = {}

    def due(self, marks: Mapping[str, Hashable], now_s: float) -> list[str]:
        """Names to be counted, the most urgent first: never counted; changed, the longest ago first; and last the others
        whose time has come. Names that are not in `marks` are forgotten."""
        self._turns = {name: turn for name, turn in self._turns.items() if name in marks}
        never, changed, old = [], [], []
        for name, mark in marks.items():
            turn = self._turns.get(name)
            if turn is None:
                never.append(name)
            elif turn.mark != mark and not turn.held:
                changed.append((turn.at_s, name))
            elif now_s - turn.at_s >= self._again_s:
                old.append((turn.at_s, name))
        return [*never, *(name for _, name in sorted(changed)), *(name for _, name in sorted(old))]

    def counted(self, name: str, mark: Hashable, now_s: float, *, held: bool = False) -> None:
        """It had its turn. `held`: it cannot be counted, so a change is no reason to try again before `again_s`."""
        self._turns[name] = _Turn(now_s, mark, held)

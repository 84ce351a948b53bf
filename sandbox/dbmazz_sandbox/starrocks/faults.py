"""Faults that tests switch on: a queue of rules, each used up after `count` hits."""

from __future__ import annotations

import asyncio
import enum
import itertools
from collections import Counter
from dataclasses import dataclass


class Fault(enum.StrEnum):
    """What can go wrong on purpose. `delay_ms` is the length of a delay, or of the time a label stays COMMITTED."""

    DELAY_BEFORE_COMMIT = "delay_before_commit_ms"
    STALL = "stall"
    LOST_RESPONSE = "lost_response_after_commit"
    HTTP_500 = "http_500"
    TOO_MANY_VERSIONS = "too_many_versions"
    PUBLISH_TIMEOUT = "publish_timeout"
    REJECT_ROWS = "reject_rows"
    FE_DOWN = "fe_down"
    BE_DOWN = "be_down"
    SLOW_ALTER = "slow_alter"  # the job takes delay_ms
    FAILED_ALTER = "failed_alter"  # the job is cancelled


# These hit a server, not a table.
SERVER_FAULTS = frozenset({Fault.FE_DOWN, Fault.BE_DOWN})


@dataclass(slots=True)
class Rule:
    """`table` is "db.table" or None for every table; `remaining` None means until cleared; `rows` is how many rows
    `reject_rows` filters per load."""

    ident: int
    fault: Fault
    table: str | None
    remaining: int | None
    delay_ms: int = 0
    rows: int = 1

    def to_dict(self) -> dict[str, object]:
        return {"id": self.ident, "fault": self.fault.value, "table": self.table, "count": self.remaining,
                "delay_ms": self.delay_ms, "rows": self.rows}  # fmt: skip


class Faults:
    """The rules in the order they were added; the first that matches is used. One event loop only."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._idents = itertools.count(1)
        self._changed = asyncio.Condition()
        self.hits: Counter[str] = Counter()

    def add(
        self,
        fault: Fault | str,
        table: str | None = None,
        *,
        count: int | None = None,
        delay_ms: int = 0,
        rows: int = 1,
    ) -> Rule:
        """Switch a fault on. Raises ValueError that names the fault and what there is."""
        try:
            kind = Fault(fault)
        except ValueError:
            raise ValueError(f"unknown fault {fault!r}: use one of {', '.join(Fault)}") from None
        for name, value, least in (("count", count, 1), ("delay_ms", delay_ms, 0), ("rows", rows, 1)):
            wrong_type = isinstance(value, bool) or not isinstance(value, int)
            if (value is not None or name != "count") and (wrong_type or value < least):
                raise ValueError(f"fault {kind}: {name} must be an integer >= {least}")
        if table is not None and (kind in SERVER_FAULTS or not isinstance(table, str) or "." not in table):
            raise ValueError(f"fault {kind}: table must be null" + ("" if kind in SERVER_FAULTS else ' or "db.table"'))
        rule = Rule(next(self._idents), kind, table, count, delay_ms, rows)
        self._rules.append(rule)
        return rule

    def list(self) -> list[Rule]:
        return list(self._rules)

    async def clear(self, fault: Fault | str | None = None) -> None:
        """Take rules away (all, or those of one fault) and wake the loads that stall."""
        async with self._changed:
            self._rules = [rule for rule in self._rules if fault is not None and rule.fault != Fault(fault)]
            self._changed.notify_all()

    def take(self, fault: Fault, table: str | None = None) -> Rule | None:
        """The first matching rule, with one count used up; None when nothing is switched on."""
        for rule in self._rules:
            if rule.fault is fault and (rule.table is None or rule.table == table):
                if rule.remaining is not None:
                    rule.remaining -= 1
                    if rule.remaining == 0:
                        self._rules.remove(rule)
                self.hits[fault] += 1
                return rule
        return None

    def active(self, fault: Fault, table: str | None = None) -> bool:
        return any(rule.fault is fault and rule.table in (None, table) for rule in self._rules)

    async def wait_while_stalled(self, table: str) -> None:
        """Wait until no `stall` rule holds for the table. A stall ignores its count: it lasts until cleared."""
        if not self.active(Fault.STALL, table):
            return
        self.hits[Fault.STALL] += 1
        async with self._changed:
            await self._changed.wait_for(lambda: not self.active(Fault.STALL, table))

"""Faults that tests switch on: a queue of rules, each of which lets `skip` chances pass and then hits `count` times."""

from __future__ import annotations

import asyncio
import enum
import itertools
from collections import Counter
from dataclasses import dataclass


class Fault(enum.StrEnum):
    """What can go wrong on purpose, in the order in which a load meets it."""

    # FE
    FE_DOWN = "fe_down"  # cuts every new connection
    FE_RESTART = "fe_restart"  # drops all connections and refuses new ones for delay_ms
    FE_HTTP_500 = "fe_http_500"  # answers `status`
    UNAUTHORIZED = "unauthorized"  # the FE answers 401, whatever the password
    REDIRECT_TO_DEAD_BE = "redirect_to_dead_be"  # 307 to a port where nobody listens
    # BE, before the body
    BE_DOWN = "be_down"  # cuts the connection without an answer
    HTTP_500 = "http_500"  # answers `status`
    SHUTTING_DOWN = "be_shutting_down"  # refused before its transaction
    LABEL_RUNNING = "label_already_exists_running"
    LABEL_FINISHED = "label_already_exists_finished"
    RUNNING_TXNS = "running_txns_limit"
    DISK_FULL = "disk_full"
    # BE, with the body
    RESET_IN_BODY = "reset_in_body"  # after `bytes` of it
    REJECT_ROWS = "reject_rows"  # `rows` of the load are filtered
    STALL = "stall"  # until cleared, each load that it counts
    MEMORY_LIMIT = "memory_limit"
    TABLET_RACE = "get_tablet_race"
    TOO_MANY_VERSIONS = "too_many_versions"
    FLUSH_FAILURE = "flush_failure"  # of a memtable, on the BE that the message names
    # the commit
    DELAY_BEFORE_COMMIT = "delay_before_commit_ms"
    PUBLISH_TIMEOUT = "publish_timeout"  # committed now, visible after delay_ms
    DELAY_AFTER_COMMIT = "delay_after_commit_ms"
    LOST_RESPONSE = "lost_response_after_commit"
    # schema changes
    SLOW_ALTER = "slow_alter"  # the job takes delay_ms
    FAILED_ALTER = "failed_alter"  # the job is cancelled


# These hit a server, whatever is asked of it.
SERVER_FAULTS = frozenset({Fault.FE_DOWN})
STATUSES = (500, 502, 503, 504)
USED_KEPT = 1000  # rules that are used up and still listed


@dataclass(slots=True)
class Rule:
    """`table` is "db.table" or None for every table; `skip` chances are let pass first; `remaining` None means until
    cleared. `delay_ms` is the length of a delay, a restart, a slow job, or of the time a label stays COMMITTED; `rows`
    how many rows `reject_rows` filters per load; `status` what the HTTP faults answer; `after_bytes` how much of the body
    `reset_in_body` reads. `hits` counts what the rule has done, also after it is used up."""

    ident: int
    fault: Fault
    table: str | None
    remaining: int | None
    skip: int = 0
    delay_ms: int = 0
    rows: int = 1
    status: int = 500
    after_bytes: int = 0
    hits: int = 0

    def to_dict(self) -> dict[str, object]:
        return {"id": self.ident, "fault": self.fault.value, "table": self.table, "count": self.remaining,
                "skip": self.skip, "delay_ms": self.delay_ms, "rows": self.rows, "status": self.status,
                "bytes": self.after_bytes, "hits": self.hits}  # fmt: skip

    def matches(self, fault: Fault, table: str | None) -> bool:
        return self.fault is fault and self.remaining != 0 and self.table in (None, table)


class Faults:
    """The rules in the order they were added; the first that matches is used. One event loop only."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._idents = itertools.count(1)
        self._changed = asyncio.Condition()
        self._holding: set[int] = set()  # rules whose loads wait, also those that are used up
        self.hits: Counter[str] = Counter()

    def add(
        self,
        fault: Fault | str,
        table: str | None = None,
        *,
        count: int | None = None,
        skip: int = 0,
        delay_ms: int = 0,
        rows: int = 1,
        status: int = 500,
        after_bytes: int = 0,
    ) -> Rule:
        """Switch a fault on. Raises ValueError that names the fault and what there is."""
        kind = _named(fault)
        least = {"skip": (skip, 0), "delay_ms": (delay_ms, 0), "rows": (rows, 1), "bytes": (after_bytes, 0)}
        for name, (value, minimum) in {"count": (count, 1), **least}.items():
            wrong_type = isinstance(value, bool) or not isinstance(value, int)
            if (value is not None or name != "count") and (wrong_type or value < minimum):
                raise ValueError(f"fault {kind}: {name} must be an integer >= {minimum}")
        if status not in STATUSES:
            raise ValueError(f"fault {kind}: status must be one of {', '.join(map(str, STATUSES))}")
        if table is not None and (kind in SERVER_FAULTS or not isinstance(table, str) or "." not in table):
            raise ValueError(f"fault {kind}: table must be null" + ("" if kind in SERVER_FAULTS else ' or "db.table"'))
        rule = Rule(next(self._idents), kind, table, count, skip, delay_ms, rows, status, after_bytes)
        self._rules.append(rule)
        if len(used := self.used()) > USED_KEPT:
            self._rules.remove(used[0])
        return rule

    def list(self) -> list[Rule]:
        """The rules that can still hit."""
        return [rule for rule in self._rules if rule.remaining != 0]

    def used(self) -> list[Rule]:
        """The rules that are used up, since the last `clear`."""
        return [rule for rule in self._rules if rule.remaining == 0]

    async def clear(self, fault: Fault | str | None = None) -> None:
        """Take rules away (all, or those of one fault) and wake the loads that stall. Raises ValueError as `add` does."""
        kind = None if fault is None else _named(fault)
        async with self._changed:
            self._rules = [rule for rule in self._rules if kind is not None and rule.fault is not kind]
            if kind in (None, Fault.STALL):
                self._holding.clear()
            self._changed.notify_all()

    def take(self, fault: Fault, table: str | None = None) -> Rule | None:
        """The first matching rule, with one chance used up; None when nothing is switched on, or it lets this one pass.

        Every matching rule in its `skip` counts the chance, so that two rules for "the third" and "the fifth" load mean
        what they say."""
        hit: Rule | None = None
        for rule in self._rules:
            if not rule.matches(fault, table):
                continue
            if rule.skip:
                rule.skip -= 1
            elif hit is None:
                hit = rule
        if hit is None:
            return None
        if hit.remaining is not None:
            hit.remaining -= 1
        hit.hits += 1
        self.hits[fault] += 1
        return hit

    def active(self, fault: Fault, table: str | None = None) -> bool:
        return any(rule.matches(fault, table) and not rule.skip for rule in self._rules)

    async def wait_while_stalled(self, table: str) -> None:
        """Wait, when a `stall` rule hits this load, until the rule is cleared, though it be used up by then."""
        rule = self.take(Fault.STALL, table)
        if rule is None:
            return
        self._holding.add(rule.ident)
        async with self._changed:
            await self._changed.wait_for(lambda: rule.ident not in self._holding)


def _named(fault: Fault | str) -> Fault:
    """Raises ValueError that says which faults there are."""
    try:
        return Fault(fault)
    except ValueError:
        raise ValueError(f"unknown fault {fault!r}: use one of {', '.join(Fault)}") from None

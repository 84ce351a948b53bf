"""Schema actions on the target, with their verdict and their report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog
from dbmazz.errors import TargetError
from dbmazz.relation import Relation
from dbmazz.v1 import load_pb2

from dbmazz_loader.protocol.ddl import ExistingTable
from dbmazz_loader.protocol.verdicts import Judgement, Outcome, Peer
from dbmazz_loader.reporting import Reporter
from dbmazz_loader.shipping import VERDICT_OF_REPORT
from dbmazz_loader.standing import Standing
from dbmazz_loader.starrocks.mysql import TargetRefusal
from dbmazz_loader.starrocks.tables import Tables

log = structlog.get_logger("dbmazz.loader")

_VERDICTS = {
    Outcome.RETRY: load_pb2.VERDICT_RETRY,
    Outcome.PARK: load_pb2.VERDICT_PARK,
    Outcome.STOP: load_pb2.VERDICT_STOP,
}


@dataclass(frozen=True, slots=True)
class SchemaOutcome:
    """`table` as it is now; None when the verdict is not LOADED. `version_guard`: loads may carry merge_condition."""

    verdict: int
    message: str = ""
    table: ExistingTable | None = None
    database: str = ""
    version_guard: bool = False


class Schema:
    """Brings target tables in line and truncates them, then reports the barrier that this completes."""

    def __init__(
        self, tables: Tables, reporter: Reporter, standing: Standing, *, database: str, version_guard: str
    ) -> None:
        self._tables = tables
        self._reporter = reporter
        self._standing = standing
        self._database = database
        # VERSION_GUARD: auto, on or off.
        self._version_guard = version_guard

    @property
    def target_version(self) -> str:
        """As current_version() says; empty before the first contact."""
        return self._tables.cluster.version if self._tables.cluster else ""

    async def look(self) -> Judgement:
        """Whether the MySQL port answers, and what cluster it is: LOADED when so."""
        try:
            await self._tables.look()
        except TargetRefusal as refusal:
            return refusal.judgement
        return Judgement(Outcome.LOADED)

    async def ensure(
        self, relation: Relation, progress: load_pb2.LoadProgress | None, deadline: float
    ) -> SchemaOutcome:
        """Creates or alters the target table until it takes every row of the relation."""
        return await self._apply(self._tables.ensure(relation), relation, progress, deadline)

    async def truncate(
        self, relation: Relation, barrier: int, progress: load_pb2.LoadProgress | None, deadline: float
    ) -> SchemaOutcome:
        """Removes or marks what is older than the barrier."""
        return await self._apply(self._tables.truncate(relation, barrier), relation, progress, deadline)

    async def _apply(
        self,
        action: Awaitable[ExistingTable],
        relation: Relation,
        progress: load_pb2.LoadProgress | None,
        deadline: float,
    ) -> SchemaOutcome:
        try:
            async with asyncio.timeout_at(deadline):
                table = await action
                guard = await self._guards_versions()
        except TargetRefusal as refusal:
            return self._refused(relation, refusal.judgement)
        except TargetError as error:  # a name or a type that only a person can change
            return self._refused(relation, Judgement(Outcome.PARK, str(error)))
        except TimeoutError:
            reason = f"the schema action on {relation.qualified_name} takes longer than its caller waits"
            return self._refused(relation, Judgement(Outcome.RETRY, reason))
        self._standing.works(Peer.MYSQL)
        if progress is not None:
            report = await self._reporter.report(progress, 0, table.name, deadline)
            verdict = VERDICT_OF_REPORT[report.outcome]
            if verdict != load_pb2.VERDICT_LOADED:
                return SchemaOutcome(verdict, report.reason)
        return SchemaOutcome(load_pb2.VERDICT_LOADED, table=table, database=self._database, version_guard=guard)

    async def _guards_versions(self) -> bool:
        if self._version_guard != "auto":
            return self._version_guard == "on"
        cluster = self._tables.cluster or await self._tables.look()
        return cluster.guards_versions

    def _refused(self, relation: Relation, judgement: Judgement) -> SchemaOutcome:
        self._standing.heed(judgement)
        if judgement.peer is None:
            log.warning("schema_not_applied", table=relation.qualified_name, reason=judgement.reason)
        return SchemaOutcome(_VERDICTS[judgement.outcome], judgement.reason)

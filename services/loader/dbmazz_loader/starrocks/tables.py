"""Target tables: created, brought in line with their source, truncated."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime

import structlog
from dbmazz.relation import Relation
from dbmazz.target import target_table_name

from dbmazz_loader.protocol import ddl
from dbmazz_loader.protocol.ddl import ExistingTable, TargetColumn
from dbmazz_loader.protocol.verdicts import Judgement, Outcome
from dbmazz_loader.starrocks.alter import is_race, newest_job, wait_for_idle, wait_for_job
from dbmazz_loader.starrocks.cluster import Cluster, look_at
from dbmazz_loader.starrocks.mysql import MySql, Session, TargetRefusal

log = structlog.get_logger("dbmazz.loader")

# Looks at the table after each change; other loaders may be changing it as well.
_ROUNDS = 8


class Tables:
    """The tables of one database. One change at a time per table; other loaders are met as races, which end well."""

    def __init__(
        self, mysql: MySql, database: str, *, replication_num: int, soft_delete: bool, truncate_timeout_s: float
    ) -> None:
        self._mysql = mysql
        self._database = database
        self._replication_num = replication_num
        self._soft_delete = soft_delete
        self._truncate_timeout_s = truncate_timeout_s
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.cluster: Cluster | None = None

    async def look(self) -> Cluster:
        """Asks the cluster anew what it is."""
        async with self._mysql.session() as session:
            self.cluster = await look_at(session)
        return self.cluster

    async def ensure(self, relation: Relation) -> ExistingTable:
        """The table as it is once it takes every row of the relation.

        Raises BadName or Misfit for what a person must change, TargetRefusal for what StarRocks says.
        """
        table = target_table_name(relation.schema, relation.name)
        async with self._locks[table], self._mysql.session() as session:
            return await self._ensure(session, table, relation)

    async def truncate(self, relation: Relation, barrier: int) -> ExistingTable:
        """Removes or marks the rows whose version lies before the barrier; ensures the table first."""
        table = target_table_name(relation.schema, relation.name)
        async with self._locks[table], self._mysql.session() as session:
            existing = await self._ensure(session, table, relation)
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            statement = ddl.truncation(self._database, table, barrier, self._soft_delete, now)
            await session.query(statement, timeout=self._truncate_timeout_s)
            log.info("table_truncated", table=table, soft=self._soft_delete)
            return existing

    async def _ensure(self, session: Session, table: str, relation: Relation) -> ExistingTable:
        for _ in range(_ROUNDS):
            existing = await self._describe(session, table)
            if existing is None:
                await self._create(session, table, relation)
                continue
            statements = ddl.alterations(self._database, relation, existing)
            if not statements:
                return existing
            for statement in statements:
                if not await self._alter(session, table, statement):
                    break
        reason = f"table {table} keeps changing while it is brought in line with its source"
        raise TargetRefusal(Judgement(Outcome.RETRY, reason, pause_s=1.0))

    async def _create(self, session: Session, table: str, relation: Relation) -> None:
        if self.cluster is None:
            self.cluster = await look_at(session)
        statement = ddl.create_table(self._database, relation, self.cluster.replication_num(self._replication_num))
        # The user may lack CREATE DATABASE where the database is there already.
        if not await session.query(
            "SELECT SCHEMA_NAME FROM information_schema.schemata WHERE SCHEMA_NAME = %s", (self._database,)
        ):
            await session.query(ddl.create_database(self._database))
            log.info("database_created", database=self._database)
        await session.query(statement)
        log.info("table_created", table=table, columns=len(relation.columns))

    async def _alter(self, session: Session, table: str, statement: str) -> bool:
        """False when somebody else is altering the table: what it lacks has to be found out again."""
        before = await newest_job(session, self._database, table)
        try:
            await session.query(statement)
        except TargetRefusal as refusal:
            if not is_race(refusal):
                raise
            await wait_for_idle(session, self._database, table)
            return False
        await wait_for_job(session, self._database, table, before)
        log.info("table_altered", table=table, statement=statement)
        return True

    async def _describe(self, session: Session, table: str) -> ExistingTable | None:
        columns = await session.query(
            "SELECT COLUMN_NAME, COLUMN_TYPE, COLUMN_KEY, IS_NULLABLE, COLUMN_DEFAULT FROM information_schema.columns"
            " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
            (self._database, table),
        )
        if not columns:
            return None
        models = await session.query(
            "SELECT TABLE_MODEL FROM information_schema.tables_config WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            (self._database, table),
        )
        return ExistingTable(
            name=table,
            model=str(models[0]["TABLE_MODEL"]) if models else "",
            columns=tuple(
                TargetColumn(
                    name=str(row["COLUMN_NAME"]),
                    type=str(row["COLUMN_TYPE"]),
                    key=row["COLUMN_KEY"] == "PRI",
                    nullable=row["IS_NULLABLE"] != "NO",
                    default=row["COLUMN_DEFAULT"],
                )
                for row in columns
            ),
        )

"""Makes the publication what TABLES asks for. Nothing is ever dropped, and user tables are not altered unasked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from dbmazz.config import Settings
from dbmazz.errors import SourceError
from dbmazz.relation import ReplicaIdentity

from dbmazz_reader.postgres import preflight
from dbmazz_reader.postgres.catalogue import Catalogue, ServerInfo, UserTable
from dbmazz_reader.postgres.names import quote, quote_table
from dbmazz_reader.protocol.relations import Table
from dbmazz_reader.protocol.resume import GapError

log = structlog.get_logger("dbmazz.reader")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The source as it is now. `added` are relations that this start has published, `only` those that TABLES means (None
    for all that are published)."""

    server: ServerInfo
    tables: list[Table]
    warnings: list[str]
    added: frozenset[int]
    only: frozenset[int] | None


async def prepare(catalogue: Catalogue, settings: Settings, before_change: Callable[[], Awaitable[None]]) -> Prepared:
    """Checks the source and creates or extends the publication; SourceError or ConfigError names what is in the way.

    `before_change` is awaited before anything is changed: it raises when this is the wrong server.
    """
    server = await catalogue.server()
    preflight.check_server(server)
    publication = settings.source_publication_name
    selected, warnings = preflight.select_tables(await catalogue.user_tables(), settings.tables)
    preflight.check_target_names(selected)
    added: list[UserTable] = []
    if await catalogue.publication_exists(publication):
        if settings.tables:
            published = {table.relation_id for table in await catalogue.tables(publication)}
            added = [table for table in selected if table.relation_id not in published]
            _publishable(added, settings)
            if added:
                await before_change()
            await _extend(catalogue, publication, added)
        else:
            warnings = []  # the publication decides, whatever else the database holds
        warnings += await _not_published(catalogue, publication)
    else:
        await _no_slot_yet(catalogue, settings)
        added = selected
        _publishable(added, settings)
        await before_change()
        await _create(catalogue, publication, added, named=bool(settings.tables))
    only = frozenset(table.relation_id for table in selected) if settings.tables else None
    if settings.source_set_replica_identity:
        await before_change()
    tables = await _tables(catalogue, settings, only)
    preflight.check_tables(tables, publication)
    if settings.toast_readback:
        preflight.check_readable(await catalogue.unreadable(tables), server.role)
    for warning in warnings:
        log.warning("source_warning", warning=warning)
    return Prepared(server, tables, warnings, frozenset(table.relation_id for table in added), only)


async def rehearse(source_url: str, settings: Settings) -> dict[int, str]:
    """Relations and names that TABLES means now, after a look at all that `prepare` would stumble over; changes nothing.

    ConfigError or SourceError as from `prepare`. On a connection of its own, so that a session in full swing is not disturbed.
    """
    catalogue = Catalogue(source_url)
    try:
        server = await catalogue.server()
        publication = settings.source_publication_name
        selected, _ = preflight.select_tables(await catalogue.user_tables(), settings.tables)
        preflight.check_target_names(selected)
        if not await catalogue.publication_exists(publication):
            await _no_slot_yet(catalogue, settings)
        chosen = {table.relation_id: table.qualified_name for table in selected}
        published = [table for table in await catalogue.tables(publication) if table.relation_id in chosen]
        known = {table.relation_id for table in published}
        added = [table for table in selected if table.relation_id not in known]
        _publishable(added, settings)
        if added:
            statement = _extension(publication, added)
            await catalogue.rehearse(statement, f"adding tables to publication {publication}", fix=f"{statement};")
        if published and not settings.source_set_replica_identity:
            preflight.check_tables(published, publication)
        if settings.toast_readback:
            preflight.check_readable(await catalogue.unreadable(selected), server.role)
    finally:
        await catalogue.close()
    return chosen


def _publishable(tables: list[UserTable], settings: Settings) -> None:
    if not settings.source_set_replica_identity:
        preflight.check_identities(tables)


async def _tables(catalogue: Catalogue, settings: Settings, only: frozenset[int] | None) -> list[Table]:
    publication = settings.source_publication_name
    tables = await catalogue.tables(publication)
    tables = [table for table in tables if only is None or table.relation_id in only]
    silent = preflight.without_identity(tables)
    if not silent or not settings.source_set_replica_identity:
        return tables
    for table in silent:
        statement = f"ALTER TABLE {quote_table(table.schema, table.name)} REPLICA IDENTITY FULL"
        await catalogue.rows(statement, f"setting the replica identity of {table.qualified_name}", fix=f"{statement};")
        log.info("replica_identity_set", table=table.qualified_name, identity=ReplicaIdentity.FULL.name)
    return [t for t in await catalogue.tables(publication) if only is None or t.relation_id in only]


async def _no_slot_yet(catalogue: Catalogue, settings: Settings) -> None:
    """A slot without its publication has let changes pass unseen: a new publication would hide that."""
    slot = settings.source_slot_name
    if await catalogue.slot(slot) is not None:
        name = settings.source_publication_name
        raise GapError(
            f"replication slot {slot} exists, but publication {name} does not: changes since it was dropped were not recorded",
            f"Choices: correct SOURCE_PUBLICATION_NAME; or set another SOURCE_SLOT_NAME and load the tables again; or, to"
            f" accept the gap, run CREATE PUBLICATION {quote(name)} FOR TABLE ...;",
        )


async def _create(catalogue: Catalogue, publication: str, tables: list[UserTable], *, named: bool) -> None:
    if not tables:
        raise SourceError("the database has no table that could be replicated", "Create tables with primary keys first")
    # Partitions come as rows of their root, so that the target has one table and partitions may come and go.
    statement = (
        f"CREATE PUBLICATION {quote(publication)} FOR TABLE {_list(tables)} WITH (publish_via_partition_root = true)"
    )
    await catalogue.rows(statement, f"creating publication {publication}", fix=f"{statement};")
    log.info(
        "publication_created",
        publication=publication,
        tables=[table.qualified_name for table in tables],
        chosen="by TABLES" if named else "all tables of the database, because TABLES is empty",
    )


async def _extend(catalogue: Catalogue, publication: str, tables: list[UserTable]) -> None:
    if tables:
        statement = _extension(publication, tables)
        await catalogue.rows(statement, f"adding tables to publication {publication}", fix=f"{statement};")
        log.info("publication_extended", publication=publication, tables=[table.qualified_name for table in tables])


def _extension(publication: str, tables: list[UserTable]) -> str:
    return f"ALTER PUBLICATION {quote(publication)} ADD TABLE {_list(tables)}"


async def _not_published(catalogue: Catalogue, publication: str) -> list[str]:
    statement = "SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = %(name)s"
    ((*published,),) = await catalogue.rows(statement, "reading the publication", name=publication)
    names = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
    missing = [name for name, is_published in zip(names, published, strict=True) if not is_published]
    if not missing:
        return []
    return [
        f"publication {publication} does not publish {', '.join(missing)}: the target will differ from the source. Run"
        f" ALTER PUBLICATION {quote(publication)} SET (publish = 'insert, update, delete, truncate');"
    ]


def _list(tables: list[UserTable]) -> str:
    return ", ".join(quote_table(table.schema, table.name) for table in tables)

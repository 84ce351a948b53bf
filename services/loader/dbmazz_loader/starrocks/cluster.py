"""What kind of cluster the target is: its version, and what depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import structlog

from dbmazz_loader.protocol.verdicts import Outcome
from dbmazz_loader.starrocks.mysql import Session, TargetRefusal

log = structlog.get_logger("dbmazz.loader")

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_REPLICAS = 3
# merge_condition beside partial_update in mode row: release notes 3.1.3, and #56132 for shared-data.
_GUARD_SHARED_NOTHING = (3, 1, 3)
_GUARD_SHARED_DATA = (3, 3, 11)


@dataclass(frozen=True, slots=True)
class Cluster:
    """`shared_data` and `backends` are None when the user may not see them."""

    version: str
    shared_data: bool | None
    backends: int | None

    @property
    def guards_versions(self) -> bool:
        """True when a load can carry merge_condition and partial_update at once. Unknown kinds count as the weaker one."""
        match = _VERSION.match(self.version)
        if match is None:
            return False
        version = tuple(int(part or 0) for part in match.groups())
        return version >= (_GUARD_SHARED_NOTHING if self.shared_data is False else _GUARD_SHARED_DATA)

    def replication_num(self, setting: int) -> int | None:
        """For CREATE TABLE: SINK_REPLICATION_NUM, or three, or as many as there are backends; None: the cluster's default.

        Shared-data clusters keep one copy in object storage, whatever is asked for.
        """
        if setting:
            return setting
        return min(_REPLICAS, self.backends) if self.backends and not self.shared_data else None


async def look_at(session: Session) -> Cluster:
    """Asks a cluster what it is; TargetRefusal when it cannot even tell its version."""
    rows = await session.query("SELECT current_version() AS version")
    version = str(rows[0]["version"]) if rows else ""
    return Cluster(version, await _shared_data(session), await _backends(session))


async def _shared_data(session: Session) -> bool | None:
    rows = await _if_allowed(session, "ADMIN SHOW FRONTEND CONFIG LIKE 'run_mode'")
    if not rows:
        rows = await _if_allowed(session, "SHOW VARIABLES LIKE 'run_mode'")
    value = next((str(row.get("Value", "")) for row in rows or ()), "")
    return value.lower() == "shared_data" if value else None


async def _backends(session: Session) -> int | None:
    rows = await _if_allowed(session, "SHOW BACKENDS")
    return None if rows is None else sum(str(row.get("Alive", "")).lower() == "true" for row in rows)


async def _if_allowed(session: Session, sql: str) -> list[dict[str, object]] | None:
    """Rows, or None when StarRocks refuses: both need privileges that loading does not."""
    try:
        return await session.query(sql)
    except TargetRefusal as refusal:
        if refusal.judgement.outcome is Outcome.RETRY:
            raise
        log.info("target_does_not_tell", statement=sql, number=refusal.number)
        return None

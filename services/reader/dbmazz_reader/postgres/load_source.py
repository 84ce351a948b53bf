"""What the catalogue says about a table that is to be read as a whole, and who may have changed it a moment ago."""

from __future__ import annotations

from dbmazz.errors import SourceError
from dbmazz.relation import Relation

from dbmazz_reader.postgres.catalogue import Catalogue
from dbmazz_reader.postgres.errors import SourceMoved
from dbmazz_reader.postgres.names import quote, quote_table
from dbmazz_reader.protocol.chunk_query import Source

# Neither pg_relation_size() nor pg_publication_tables: they wait for who has a table locked, the view for any. A table that
# is published with its schema, too, has no row filter. Row filters appeared in PostgreSQL 15.
_TABLE = """
SELECT c.relkind, {row_filter},
       (SELECT sum(greatest(l.reltuples, l.relpages))::bigint
          FROM (SELECT c.oid AS leaf UNION SELECT relid FROM pg_partition_tree(c.oid)) t
          JOIN pg_class l ON l.oid = t.leaf AND l.relkind = 'r')
  FROM pg_class c
 WHERE c.oid = %(relation)s AND %(publication)s::text IS NOT NULL
"""
_ROW_FILTER = """
(SELECT pg_get_expr(r.prqual, r.prrelid)
   FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
  WHERE p.pubname = %(publication)s AND r.prrelid = c.oid AND r.prqual IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = c.relnamespace))
"""
_KEY_TYPES = """
SELECT a.attname, n.nspname, t.typname
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE a.attrelid = %(relation)s AND a.attnum > 0 AND NOT a.attisdropped
"""

# Who changes rows holds such a lock on the table, or on the partition, until all can see it. A transaction that is idle has
# not begun to commit. The state of others' backends is NULL for a role that may not see it: then it counts as busy.
_WRITERS = """
SELECT DISTINCT x.transactionid::text
  FROM pg_locks l
  JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid' AND x.granted
                 AND x.mode = 'ExclusiveLock'
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation IN (SELECT %(relation)s::oid UNION SELECT relid FROM pg_partition_tree(%(relation)s::oid::regclass))
   AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
   AND l.pid IS DISTINCT FROM pg_backend_pid()
   AND coalesce(a.state, 'active') NOT LIKE 'idle in transaction%%'
"""


async def load_source(catalogue: Catalogue, publication: str, relation: Relation) -> Source:
    """How to read a table. SourceMoved when it is gone."""
    name = relation.qualified_name
    doing = f"looking at {name}"
    if (await catalogue.rows("SELECT pg_is_in_recovery()", doing))[0][0]:
        raise SourceError(f"{name} cannot be loaded from a standby", "Let SOURCE_URL lead to the primary")
    statement = _TABLE.format(row_filter=_ROW_FILTER if catalogue.major >= 15 else "NULL")
    relation_id = relation.relation_id
    found = await catalogue.rows(statement, doing, publication=publication, relation=relation_id)
    if not found:
        raise SourceMoved(f"table {name} is gone")
    kind, row_filter, row_estimate = found[0]
    types = {
        column: (schema, name) for column, schema, name in await catalogue.rows(_KEY_TYPES, doing, relation=relation_id)
    }
    keys = [relation.columns[index].name for index in relation.key_indices]
    if not types.keys() >= set(keys):
        raise SourceMoved(f"the key columns of {name} have changed")
    return Source(
        table=quote_table(relation.schema, relation.name),
        only=kind == "r",
        key_types=tuple(f"{quote(types[key][0])}.{quote(types[key][1])}" for key in keys),
        row_filter=row_filter or "",
        row_estimate=int(row_estimate or 0),
    )


async def writers(catalogue: Catalogue, relation_id: int) -> set[int]:
    """Ids (32 bits) of transactions that have changed the table, and may be about to commit."""
    found = await catalogue.rows(_WRITERS, "looking at locks", relation=relation_id)
    return {int(xid) for (xid,) in found}

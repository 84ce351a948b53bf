"""The statements about the catalogue, PostgreSQL 14 to 18."""

from __future__ import annotations

# attnames appeared in PostgreSQL 15, with column lists. A partitioned table's estimate is the sum of its partitions'.
# reltuples is -1 before the first ANALYZE; then a page that exists stands for at least one row.
TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relreplident, c.relpersistence, {attnames} AS attnames,
       (SELECT sum(CASE WHEN l.reltuples > 0 THEN l.reltuples
                        ELSE pg_relation_size(l.oid) / current_setting('block_size')::int END)::bigint
          FROM (SELECT c.oid AS leaf UNION SELECT relid FROM pg_partition_tree(c.oid)) t
          JOIN pg_class l ON l.oid = t.leaf AND l.relkind = 'r')
       AS row_estimate
  FROM pg_publication_tables p
  JOIN pg_namespace n ON n.nspname = p.schemaname
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
 WHERE p.pubname = %(publication)s AND (%(relations)s::oid[] IS NULL OR c.oid = ANY (%(relations)s::oid[]))
 ORDER BY n.nspname, c.relname
"""

# Generated columns are published from PostgreSQL 18 on, and then attnames names those that are.
COLUMNS = """
SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attnotnull
  FROM pg_attribute a
 WHERE a.attrelid = ANY (%(relations)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
   AND (a.attgenerated = '' OR %(generated)s)
 ORDER BY a.attrelid, a.attnum
"""

# INCLUDE columns stand behind the first indnkeyatts and identify nothing.
KEYS = """
SELECT i.indrelid, i.indisprimary, i.indisreplident, a.attname
  FROM pg_index i
 CROSS JOIN LATERAL unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, position)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE i.indrelid = ANY (%(relations)s::oid[]) AND (i.indisprimary OR i.indisreplident) AND i.indisvalid
 ORDER BY i.indrelid, k.position
"""

# Follows each domain, and each array's elements, down to a type that is no domain; a modifier counts where it first appears.
TYPES = """
WITH RECURSIVE below AS (
    SELECT t.oid AS declared, t.oid, t.typtype, t.typbasetype, t.typtypmod AS modifier
      FROM pg_type t WHERE t.oid = ANY (%(types)s::oid[])
    UNION ALL
    SELECT b.declared, t.oid, t.typtype, t.typbasetype,
           CASE WHEN b.modifier >= 0 THEN b.modifier ELSE t.typtypmod END
      FROM below b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
), elements AS (
    SELECT e.oid AS declared, e.oid, e.typtype, e.typbasetype
      FROM below b JOIN pg_type t ON t.oid = b.oid JOIN pg_type e ON e.oid = t.typelem WHERE t.typcategory = 'A'
    UNION ALL
    SELECT b.declared, t.oid, t.typtype, t.typbasetype
      FROM elements b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT b.declared, format_type(b.declared, NULL), b.oid, t.typtype, t.typcategory, t.typdelim, b.modifier,
       coalesce((SELECT max(e.oid::int8) FROM elements e WHERE e.declared = t.typelem AND e.typtype <> 'd'), 0)
  FROM below b JOIN pg_type t ON t.oid = b.oid
 WHERE b.typtype <> 'd'
"""

# Every table that logical replication can carry. Partitions come through their root.
USER_TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relpersistence, c.relreplident,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
                  AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%'
 ORDER BY n.nspname, c.relname
"""

# Ids of 64 bits, as text: the driver has no type for xid8.
SNAPSHOT = """
SELECT pg_snapshot_xmax(s)::text, ARRAY(SELECT x::text FROM pg_snapshot_xip(s) AS x)
  FROM (SELECT pg_current_snapshot()) AS q (s)
"""

# What TOAST_READBACK may not read.
UNREADABLE = """
SELECT c.oid FROM pg_class c
 WHERE c.oid = ANY (%(relations)s::oid[])
   AND NOT (has_schema_privilege(c.relnamespace, 'USAGE')
            AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT')))
"""

# invalidation_reason appeared in PostgreSQL 17, conflicting in 16.
SLOT = """
SELECT plugin, database, confirmed_flush_lsn, restart_lsn, wal_status, {trouble},
       pg_wal_lsn_diff({wal_end}, restart_lsn)::bigint, {wal_end}, safe_wal_size
  FROM pg_replication_slots WHERE slot_name = %(slot)s
"""

WAL_END = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"

# Hosted PostgreSQL gives the right to replicate by membership in a role of theirs.
SERVER = """
SELECT current_setting('server_version_num')::int, current_setting('wal_level'), current_user, current_database(),
       r.rolsuper OR r.rolreplication OR EXISTS (
           SELECT FROM pg_roles m WHERE pg_has_role(r.oid, m.oid, 'member')
              AND m.rolname IN ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser')),
       (SELECT setting::int FROM pg_settings WHERE name = 'wal_sender_timeout')
  FROM pg_roles r WHERE r.rolname = current_user
"""

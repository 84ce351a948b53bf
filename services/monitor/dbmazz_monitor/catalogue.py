"""The statements about the source's catalogue, PostgreSQL 14 to 18."""

from __future__ import annotations

# One row per table and partition; a partitioned table stands for all its leaves. Nothing here waits for a lock but
# pg_relation_size(), which a table that is being altered makes wait: then `{pages}` is relpages, as of the last VACUUM.
#
# reltuples is as of the last VACUUM or ANALYZE, so it is scaled by the growth of the file since, as the planner does;
# before the first (-1) the statistics' count of live rows stands in.
#
# Of the statistics, `live` tells how a count has changed since it was made, and inserts, deletes and the files' numbers
# (TRUNCATE gives another) whether it has.
TABLES = """
WITH RECURSIVE tree AS (
  SELECT c.oid AS root, c.oid AS leaf, c.relkind
    FROM pg_class c
   WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
     AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema')
  UNION ALL
  SELECT tree.root, i.inhrelid, c.relkind
    FROM tree JOIN pg_inherits i ON i.inhparent = tree.leaf AND tree.relkind = 'p' JOIN pg_class c ON c.oid = i.inhrelid
), sized AS (
  SELECT t.root, l.oid, l.relfilenode::bigint AS file, l.reltuples, l.relpages, {pages} AS pages,
         pg_stat_get_live_tuples(l.oid) AS live, pg_stat_get_tuples_inserted(l.oid) AS inserted,
         pg_stat_get_tuples_deleted(l.oid) AS deleted
    FROM tree t JOIN pg_class l ON l.oid = t.leaf
   WHERE l.relkind = 'r'
), summed AS (
  SELECT root, sum(pages)::bigint AS pages, sum(live)::bigint AS live,
         sum(CASE WHEN reltuples >= 0 AND relpages > 0 THEN reltuples / relpages * pages ELSE live END)::bigint AS rows,
         ARRAY[sum(inserted), sum(deleted), sum(file)]::bigint[] AS mark
    FROM sized GROUP BY root
)
SELECT n.nspname, r.relname, r.relispartition, {published},
       coalesce(s.pages, 0) * current_setting('block_size')::bigint, coalesce(s.rows, 0), coalesce(s.live, 0),
       coalesce(s.mark, '{{}}')
  FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace LEFT JOIN summed s ON s.root = r.oid
 WHERE r.oid IN (SELECT root FROM tree)
"""
SIZES = "pg_relation_size(l.oid) / current_setting('block_size')::int"
# The lock-free way.
PAGES = "greatest(l.relpages, 0)"

# pg_publication_tables would lock every table. Publications of whole schemas appeared in PostgreSQL 15.
PUBLISHED = """EXISTS (
  SELECT FROM pg_publication p WHERE p.pubname = %(publication)s AND (
    p.puballtables OR EXISTS (SELECT FROM pg_publication_rel m WHERE m.prpubid = p.oid AND m.prrelid = r.oid)
    {schemas}))"""
SCHEMAS = """OR EXISTS (
      SELECT FROM pg_publication_namespace m WHERE m.pnpubid = p.oid AND m.pnnspid = r.relnamespace)"""
SCHEMAS_SINCE = 150_000

SLOT = """
SELECT database = current_database(), wal_status, safe_wal_size, restart_lsn::text, confirmed_flush_lsn::text,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::bigint
  FROM pg_replication_slots WHERE slot_name = %(slot)s
"""


def tables(version: int, *, sizes: bool) -> str:
    """The statement for a server of this version (160014); without `sizes` it takes no lock on any table."""
    published = PUBLISHED.format(schemas=SCHEMAS if version >= SCHEMAS_SINCE else "")
    return TABLES.format(pages=SIZES if sizes else PAGES, published=published)

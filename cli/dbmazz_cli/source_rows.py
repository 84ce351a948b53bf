"""Tables of the source as they are now: their columns, and their rows as PostgreSQL's text in key order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from dbmazz.errors import ConfigError, SourceError, SourceUnavailable
from dbmazz.relation import Column, Relation, ReplicaIdentity, TypeFamily
from dbmazz.target import Codec, ordered_columns, target_type
from psycopg import sql

CONNECT_S = 10
# The forms that the reader's session has, so that both see one text per value.
_SESSION = """
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
SET extra_float_digits = 1; SET bytea_output = 'hex'; SET client_encoding = 'UTF8'
"""
# Generated columns are not in the WAL. Domains are followed down to their base, as far as a modifier is to be found.
_COLUMNS = """
WITH RECURSIVE resolved AS (
    SELECT attnum, attname, atttypid AS declared, atttypid AS oid, atttypmod AS modifier, attnotnull
      FROM pg_attribute WHERE attrelid = %(table)s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    UNION ALL
    SELECT r.attnum, r.attname, r.declared, t.typbasetype,
           CASE WHEN r.modifier = -1 THEN t.typtypmod ELSE r.modifier END, r.attnotnull
      FROM resolved r JOIN pg_type t ON t.oid = r.oid WHERE t.typtype = 'd'
), identity AS (
    SELECT attnum, position FROM pg_index, unnest(indkey) WITH ORDINALITY AS key (attnum, position)
     WHERE indrelid = %(table)s AND position <= indnkeyatts
       AND CASE WHEN EXISTS (SELECT FROM pg_index WHERE indrelid = %(table)s AND indisprimary)
                THEN indisprimary ELSE indisreplident END
)
SELECT r.attname, r.declared, r.modifier, coalesce(i.position, 0)::int, format_type(r.declared, NULL),
       CASE WHEN t.typtype = 'e' THEN 2 WHEN t.typinput = 'array_in'::regproc THEN 3 WHEN t.typtype = 'c' THEN 4
            WHEN t.typtype IN ('r', 'm') THEN 5 ELSE 1 END,
       r.oid, CASE WHEN t.typinput = 'array_in'::regproc
                   THEN coalesce(nullif(e.typbasetype, 0), t.typelem) ELSE 0 END, r.attnotnull
  FROM resolved r JOIN pg_type t ON t.oid = r.oid AND t.typtype <> 'd'
  LEFT JOIN pg_type e ON e.oid = t.typelem
  LEFT JOIN identity i ON i.attnum = r.attnum
 ORDER BY r.attnum
"""
_IN_ORDER_AS_THEY_ARE = (Codec.NUMBER, Codec.BOOL, Codec.DATE, Codec.TIMESTAMP, Codec.TIMESTAMPTZ)


@contextlib.contextmanager
def open_source(url: str) -> Iterator[psycopg.Connection]:
    """A session that reads with the reader's text forms; SourceUnavailable when there is no server."""
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_S)
    except psycopg.OperationalError as error:
        raise SourceUnavailable(
            f"PostgreSQL cannot be reached: {str(error).splitlines()[0]}", "See SOURCE_URL"
        ) from None
    except psycopg.ProgrammingError:
        # The driver's message would repeat the URL, and with it the password.
        raise ConfigError("SOURCE_URL is not a URL", "It takes postgresql://user:password@host:5432/database") from None
    with connection:
        connection.execute(_SESSION)
        yield connection


def read_relation(connection: psycopg.Connection, name: str) -> Relation:
    """The relation of schema.table (`public` when there is no dot); SourceError when it is missing or has no key."""
    schema, _, table = name.rpartition(".")
    schema = schema or "public"
    found = connection.execute(
        "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')",
        (schema, table),
    ).fetchone()
    if found is None:
        raise SourceError(f"table {name} is not in the source", "Give schema.table")
    rows = connection.execute(_COLUMNS, {"table": found[0]}).fetchall()
    columns = tuple(
        Column(row[0], row[1], row[2], row[3], row[4], TypeFamily(row[5]), row[6], row[7], row[8]) for row in rows
    )
    if not any(column.key_position for column in columns):
        raise SourceError(f"table {name} has no primary key", "Without a key there is nothing to compare rows by")
    return Relation(found[0], schema, table, ReplicaIdentity.DEFAULT, 1, columns)


def read_rows(connection: psycopg.Connection, relation: Relation) -> Iterator[tuple[str | None, ...]]:
    """All rows, in the order of ordered_columns(), each value as text; one at a time, by COPY."""
    columns = ordered_columns(relation)
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        sql.Identifier(relation.schema, relation.name),
        sql.SQL(", ").join(_sorted(column) for column in columns if column.key_position),
    )
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        yield from copy.rows()


def _sorted(column: Column) -> sql.Composable:
    """Numbers and dates sort alike everywhere. What arrives as text is sorted as that text's bytes, as the target does;
    format() gives the same text as COPY, where a cast would strip the blanks of a char(n)."""
    name = sql.Identifier(column.name)
    if target_type(column).codec in _IN_ORDER_AS_THEY_ARE:
        return name
    return sql.SQL("format('%s', {}) COLLATE \"C\"").format(name)

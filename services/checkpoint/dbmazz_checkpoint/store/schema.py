"""The tables of the SQLite store, and how a file of an older version becomes one of this."""

from __future__ import annotations

import sqlite3

from dbmazz.errors import ConfigError

# "dmzc": tells a checkpoint store from any other SQLite file (PRAGMA application_id).
APPLICATION_ID = 0x646D7A63

# LSNs are text as PostgreSQL writes them: people read the file, and SQLite's integers are signed.
# history: at most one row per slot, epoch and second.
_VERSION_1 = (
    """
    CREATE TABLE checkpoint (
      slot TEXT PRIMARY KEY,
      epoch INTEGER NOT NULL,
      confirmed_lsn TEXT NOT NULL,
      system_identifier TEXT NOT NULL,
      timeline INTEGER NOT NULL,
      update_time_us INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE history (
      slot TEXT NOT NULL,
      epoch INTEGER NOT NULL,
      second INTEGER NOT NULL,
      confirmed_lsn TEXT NOT NULL,
      system_identifier TEXT NOT NULL,
      timeline INTEGER NOT NULL,
      update_time_us INTEGER NOT NULL,
      PRIMARY KEY (slot, epoch, second)
    ) WITHOUT ROWID
    """,
)

# Tables with rows that nobody has read; see UnreadTable in checkpoint.proto.
_VERSION_2 = (
    """
    CREATE TABLE unread_table (
      slot TEXT NOT NULL,
      relation_id INTEGER NOT NULL,
      row_estimate INTEGER NOT NULL,
      PRIMARY KEY (slot, relation_id)
    ) WITHOUT ROWID
    """,
)

# How far the load of each table is (TableLoad of checkpoint.proto, as bytes; what stands beside it is for people), and which
# tables the last epoch replicated.
_VERSION_3 = (
    """
    CREATE TABLE table_load (
      slot TEXT NOT NULL,
      relation_id INTEGER NOT NULL,
      table_name TEXT NOT NULL,
      state TEXT NOT NULL,
      update_time_us INTEGER NOT NULL,
      load BLOB NOT NULL,
      PRIMARY KEY (slot, relation_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE streamed_table (
      slot TEXT NOT NULL,
      relation_id INTEGER NOT NULL,
      PRIMARY KEY (slot, relation_id)
    ) WITHOUT ROWID
    """,
)

# Statements that lead from version n to n + 1, in order.
MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
SCHEMA_VERSION = len(MIGRATIONS)


def check(connection: sqlite3.Connection, name: str) -> int:
    """The schema version of a file, 0 when it is new; ConfigError when it is not ours or of a newer dbmazz."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or application or version):
        raise ConfigError(f"{name} is an SQLite file of another program", "Point CHECKPOINT_URL at a file of its own")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"the checkpoint store {name} was written by a newer dbmazz (schema {version}, this one knows "
            f"{SCHEMA_VERSION})",
            "Start that version again, or point CHECKPOINT_URL at another file to begin where the slot stands",
        )
    return version


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Brings a file to this version, in one transaction.

    It writes even when there is nothing to do, so that a file that cannot be written is found at the start.
    """
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

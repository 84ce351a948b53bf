"""The clients people use: PyMySQL, SQLAlchemy with the starrocks dialect, dbt-starrocks' sequence, the mysql command."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import pymysql
import pytest
import sqlalchemy as sa
from starrocks import datatype as sr

MYSQL = shutil.which("mysql") or shutil.which("mariadb")


async def in_thread(call, *args):
    return await asyncio.to_thread(call, *args)


def connection_to(db, **options):
    return pymysql.connect(host="127.0.0.1", port=db.sandbox.mysql_port, user="root", database=db.name, ssl_disabled=True,
                           **options)  # fmt: skip


async def test_pymysql(db) -> None:
    def use() -> None:
        connection = connection_to(db, charset="utf8mb4", init_command="SET query_timeout = 11", autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE t (k INT, s VARCHAR(100), b VARBINARY, n DECIMAL(10,2), f BOOLEAN) PRIMARY KEY(k)"
            )
            rows = [(1, 'it\'s \\ "q" é 😀 %s', b"\x00\xff'\\", "1.50", True), (2, None, None, None, None)]
            assert cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s, %s)", rows) == 2
            cursor.execute("SELECT k, s, hex(b), n, f FROM t ORDER BY k")
            found = cursor.fetchall()
            assert found[0][:3] == (1, rows[0][1], "00FF275C") and str(found[0][3]) == "1.50" and found[0][4] == 1
            assert found[1] == (2, None, None, None, None)
            kinds = [column[1] for column in cursor.description]
            assert kinds == [3, 253, 253, 246, 1]
            cursor.execute("SELECT @@query_timeout")
            assert cursor.fetchone() == (11,)
            connection.begin()
            connection.rollback()
            connection.commit()
            connection.ping(reconnect=False)
            connection.select_db("information_schema")
        with connection_to(db, cursorclass=pymysql.cursors.SSCursor) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT k FROM t ORDER BY k")
            assert list(cursor) == [(1,), (2,)]
        with connection_to(db, cursorclass=pymysql.cursors.DictCursor) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT k AS a, s `b c` FROM t WHERE k = %(key)s", {"key": 2})
            assert cursor.fetchall() == [{"a": 2, "b c": None}]

    await in_thread(use)


async def test_binary_values_need_hex_or_the_escape_of_the_client(db) -> None:
    def use() -> None:
        with connection_to(db, binary_prefix=True) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (k INT, b VARBINARY) PRIMARY KEY(k)")
            cursor.execute("INSERT INTO t VALUES (1, x'00ff27')")
            cursor.execute("SELECT b FROM t")
            assert cursor.fetchall() == ((b"\x00\xff'",),)

    await in_thread(use)


# The dialect itself reads its grammar with a deprecated call of the standard library.
@pytest.mark.filterwarnings("ignore:open_text is deprecated:DeprecationWarning")
async def test_sqlalchemy_creates_reflects_and_drops(db) -> None:
    def use() -> None:
        engine = sa.create_engine(f"starrocks://root:@127.0.0.1:{db.sandbox.mysql_port}/{db.name}")
        metadata = sa.MetaData()
        sa.Table("made", metadata,
                 sa.Column("id", sr.BIGINT, primary_key=True, autoincrement=False), sa.Column("name", sr.VARCHAR(50)),
                 sa.Column("amount", sr.DECIMAL(10, 2)), sa.Column("at", sr.DATETIME),
                 starrocks_primary_key="id", starrocks_distributed_by="HASH(id) BUCKETS 2",
                 starrocks_properties={"replication_num": "1"})  # fmt: skip
        try:
            metadata.create_all(engine)
            metadata.create_all(engine)  # checks first
            inspector = sa.inspect(engine)
            assert inspector.has_table("made") and inspector.get_view_names() == []
            assert inspector.get_indexes("made") == [] and inspector.get_foreign_keys("made") == []
            assert inspector.get_pk_constraint("made")["constrained_columns"] == ["id"]
            assert [column["name"] for column in inspector.get_columns("made")] == ["id", "name", "amount", "at"]
            made = sa.Table("made", sa.MetaData(), autoload_with=engine)
            with engine.begin() as connection:
                connection.execute(made.insert(), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
                connection.execute(made.update().where(made.c.id == 1).values(name="c"))
                connection.execute(made.delete().where(made.c.id == 2))
                query = sa.select(sa.func.count(), sa.func.max(made.c.name)).where(made.c.name.like("c%"))
                assert connection.execute(query).one() == (1, "c")
            metadata.drop_all(engine)
            assert not sa.inspect(engine).has_table("made")
        finally:
            engine.dispose()

    await in_thread(use)


async def test_dbt_starrocks_connection_sequence(db) -> None:
    """What dbt-starrocks sends, over PyMySQL: its own driver, mysql-connector-python, is no package of these tests. The
    schema comes with its catalogue, and version, database and relations are asked for as in its macros."""

    def use() -> list:
        options = {"host": "127.0.0.1", "port": db.sandbox.mysql_port, "user": "root", "ssl_disabled": True}
        out = []
        with pymysql.connect(database=f"default_catalog.{db.name}", **options) as connection:
            for sql in (
                "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'", "SET @@session.autocommit = ON",
                "select current_version()", "show databases",
                f"create database if not exists {db.name}",
                "select null as \"database\", tbl.table_name as name, tbl.table_schema as \"schema\", case when "
                "tbl.table_type = 'BASE TABLE' then 'table' when tbl.table_type = 'VIEW' and mv.table_name is null then "
                "'view' when tbl.table_type = 'VIEW' and mv.table_name is not null then 'materialized_view' else 'unknown' "
                "end as table_type from information_schema.tables tbl left join information_schema.materialized_views mv "
                "on tbl.TABLE_SCHEMA = mv.TABLE_SCHEMA and tbl.TABLE_NAME = mv.TABLE_NAME "
                f"where tbl.table_schema = '{db.name}'",
                "select distinct schema_name from information_schema.schemata",
            ):  # fmt: skip
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    out.append(cursor.fetchall())
            connection.ping(reconnect=False)
        return out

    await db.sql("CREATE TABLE t (k INT) PRIMARY KEY(k)")
    answers = await in_thread(use)
    assert answers[2][0][0].split(" ")[0].split("-")[0] == "3.3.7"
    assert (db.name,) in answers[3] and (db.name,) in answers[6]
    assert answers[5] == ((None, "t", db.name, "table"),)


def mysql(db, *arguments: str, stdin: str = "") -> str:
    assert MYSQL is not None
    command = [MYSQL, "--no-defaults", "-h", "127.0.0.1", "-P", str(db.sandbox.mysql_port), "-u", "root", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(MYSQL is None, reason="no mysql or mariadb client on PATH")
async def test_mysql_command(db) -> None:
    await db.sql("CREATE TABLE t (k INT, s STRING) PRIMARY KEY(k)", "INSERT INTO t VALUES (1, 'a'), (2, NULL)")
    assert await in_thread(mysql, db, "-e", "SELECT * FROM t ORDER BY k", db.name) == "k\ts\n1\ta\n2\tNULL\n"
    table = await in_thread(mysql, db, "-t", "-e", "SELECT k FROM t WHERE k = 1", db.name)
    assert table == "+------+\n| k    |\n+------+\n|    1 |\n+------+\n"
    # --auto-rehash asks for the tables and lists the fields of each.
    out = await in_thread(lambda: mysql(db, "--auto-rehash", "-N", stdin=f"use {db.name}\nstatus\nshow tables;\n"))
    assert "\nt\n" in out and "5.1.0" in out
    assert "s" in await in_thread(mysql, db, "-e", "SHOW FULL COLUMNS FROM t", db.name)


@pytest.mark.skipif(MYSQL is None, reason="no mysql or mariadb client on PATH")
async def test_mysql_command_prints_errors(db) -> None:
    def fail() -> str:
        command = [MYSQL, "--no-defaults", "-h", "127.0.0.1", "-P", str(db.sandbox.mysql_port), "-u", "root", "-e"]
        return subprocess.run([*command, "SELECT * FROM nodb.t"], capture_output=True, text=True, timeout=30).stderr

    assert "ERROR 5501 (3F000)" in await in_thread(fail)

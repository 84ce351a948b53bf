"""Users, passwords, privileges and roles, over MySQL and HTTP, and after a restart."""

from __future__ import annotations

import asyncio
import json

import pymysql
import pytest
import pytest_asyncio
from dbmazz_sandbox.starrocks import StarRocksSandbox
from dbmazz_sandbox.starrocks.users import Grant, Users

from tests.unit.sandbox_starrocks.conftest import basic, ndjson, run_sql

HINT = (" Please ask the admin to grant permission(s) or try activating existing roles using <set [default] role>. "
        "Current role(s): {}. Inactivated role(s): {}.")  # fmt: skip
ANALYZING = "Getting analyzing error. Detail message: "


def denied(privilege: str, where: str, active: str = "NONE", inactive: str = "NONE") -> tuple[int, str]:
    need = f"Access denied; you need (at least one of) the {privilege} privilege(s) on {where} for this operation."
    return 5203, need + HINT.format(active, inactive)


async def as_user(db, user: str, *statements: str, password: str = "", database: str | None = None) -> list[tuple]:
    return await asyncio.to_thread(
        run_sql, db.sandbox.mysql_port, statements, database, user=user, password=password
    )  # fmt: skip


async def refused(db, user: str, *statements: str, password: str = "", **options) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as caught:
        await as_user(db, user, *statements, password=password, **options)
    return caught.value.args


@pytest_asyncio.fixture(loop_scope="session")
async def users(db):
    """A table, and two users named after the database."""
    one, two = f"{db.name}_one", f"{db.name}_two"
    await db.sql("CREATE TABLE t (k INT, v INT) PRIMARY KEY(k)", "INSERT INTO t VALUES (1, 1)",
                 f"CREATE USER '{one}'@'%' IDENTIFIED BY 'pass word'", f"CREATE USER {two}")  # fmt: skip
    return one, two


async def test_passwords(db, users) -> None:
    one, two = users
    assert await as_user(db, one, "SELECT current_user()", password="pass word") == [(f"'{one}'@'%'",)]
    assert await refused(db, one, "SELECT 1", password="no") == (
        1045, f"Access denied for user '{one}' (using password: YES)")  # fmt: skip
    assert await refused(db, one, "SELECT 1") == (1045, f"Access denied for user '{one}' (using password: NO)")
    assert (await refused(db, "nobody", "SELECT 1"))[0] == 1045
    assert await as_user(db, two, "SELECT 1") == [(1,)]
    await as_user(db, two, "SET PASSWORD = PASSWORD('new')")
    assert (await refused(db, two, "SELECT 1"))[0] == 1045
    assert await as_user(db, two, "SELECT 1", password="new") == [(1,)]
    await db.sql(f"ALTER USER {two} IDENTIFIED BY ''", f"SET PASSWORD FOR {two} = ''")
    assert await as_user(db, two, "SELECT 1") == [(1,)]
    hashed = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"  # MySQL's hash of 'password'
    await db.sql(f"ALTER USER {two} IDENTIFIED BY PASSWORD '{hashed}'")
    assert await as_user(db, two, "SELECT 1", password="password") == [(1,)]
    assert (await refused(db, "root", f"ALTER USER {two} IDENTIFIED BY PASSWORD 'xyz'"))[0] == 5201


async def test_errors_of_account_statements(db, users) -> None:
    one, two = users
    for statement, detail in (
        (f"CREATE USER {one}", f"Operation CREATE USER failed for '{one}'@'%' : user already exists"),
        ("ALTER USER nope IDENTIFIED BY 'x'", "Operation ALTER USER failed for 'nope'@'%' : user not exists"),
        ("DROP USER nope", "Operation DROP USER failed for 'nope'@'%' : user not exists"),
        ("DROP USER root", "Operation DROP USER failed for 'root'@'%' : cannot drop user 'root'@'%'"),
        ("GRANT SELECT ON TABLE t TO nope", "cannot find user 'nope'@'%'!"),
        (f"GRANT SELECT ON TABLE nope TO {one}", f"cannot find table nope in db {db.name}"),
        (f"GRANT DROP ON DATABASE nope TO {one}", "cannot find db: nope"),
        (f"GRANT FLY ON TABLE t TO {one}", "cannot find privilege type FLY"),
        (f"GRANT CREATE TABLE ON TABLE t TO {one}", "Cannot grant or revoke CREATE TABLE on 'TABLE' type object"),
        ("CREATE ROLE root", "Operation CREATE ROLE failed for root : role already exists"),
        ("DROP ROLE nope", "Operation DROP ROLE failed for nope : role not exists"),
    ):
        assert await refused(db, "root", statement, database=db.name) == (1064, f"{ANALYZING}{detail}."), statement
    await db.sql(f"CREATE USER IF NOT EXISTS {one}", "DROP USER IF EXISTS nope", f"DROP USER {two}")
    assert (await refused(db, two, "SELECT 1"))[0] == 1045


async def test_every_statement_asks_for_its_privilege(db, users) -> None:
    _, two = users
    table = f"{db.name}.t"
    assert await refused(db, two, f"USE {db.name}") == denied("ANY", f"DATABASE {db.name}")
    assert await refused(db, two, "SELECT 1", database=db.name) == denied("ANY", f"DATABASE {db.name}")
    for statement, privilege, where in (
        (f"SELECT * FROM {table}", "SELECT", "TABLE t"),
        (f"INSERT INTO {table} VALUES (2, 2)", "INSERT", "TABLE t"),
        (f"UPDATE {table} SET v = 2 WHERE k = 1", "UPDATE", "TABLE t"),
        (f"DELETE FROM {table} WHERE k = 1", "DELETE", "TABLE t"),
        (f"TRUNCATE TABLE {table}", "DELETE", "TABLE t"),
        (f"ALTER TABLE {table} ADD COLUMN z INT", "ALTER", "TABLE t"),
        (f"DROP TABLE {table}", "DROP", "TABLE t"),
        (f"CREATE TABLE {db.name}.u (k INT) PRIMARY KEY(k)", "CREATE TABLE", f"DATABASE {db.name}"),
        (f"DROP DATABASE {db.name}", "DROP", f"DATABASE {db.name}"),
        (f"DESC {table}", "ANY", "TABLE t"),
        ("CREATE DATABASE zz", "CREATE DATABASE", "CATALOG default_catalog"),
        ("CREATE USER zz", "GRANT", "SYSTEM"),
        (f"SHOW CREATE TABLE {table}", "ANY", "TABLE t"),
        ("SHOW BACKENDS", "OPERATE OR NODE", "SYSTEM"),
        ("ADMIN SHOW FRONTEND CONFIG LIKE 'run_mode'", "OPERATE", "SYSTEM"),
        (f"GRANT SELECT ON TABLE {table} TO {two}", "GRANT", "SYSTEM"),
    ):
        assert await refused(db, two, statement) == denied(privilege, where), statement
    assert await db.sql("SELECT * FROM t") == [(1, 1)]


async def test_grants_open_what_they_name_and_no_more(db, users) -> None:
    _, two = users
    await db.sql("CREATE TABLE u (k INT) PRIMARY KEY(k)", f"GRANT SELECT, INSERT ON TABLE t TO USER '{two}'@'%'")
    assert await as_user(db, two, "INSERT INTO t VALUES (2, 2)", "SELECT count(*) FROM t", database=db.name) == [(2,)]
    assert await as_user(db, two, "SHOW TABLES", database=db.name) == [("t",)]
    tables = "SELECT TABLE_NAME FROM information_schema.tables WHERE TABLE_SCHEMA = '{}'"
    assert await as_user(db, two, tables.format(db.name)) == [("t",)]
    assert await as_user(db, two, "SHOW DATABASES") == [(db.name,), ("information_schema",)]
    assert await refused(db, two, "SELECT * FROM u", database=db.name) == denied("SELECT", "TABLE u")
    assert await refused(db, two, "SELECT * FROM t, u", database=db.name) == denied("SELECT", "TABLE u")
    assert await refused(db, two, "INSERT INTO t SELECT k, k FROM u", database=db.name) == denied("SELECT", "TABLE u")
    await db.sql(f"GRANT DELETE, UPDATE ON ALL TABLES IN DATABASE {db.name} TO {two}",
                 f"REVOKE INSERT ON {db.name}.t FROM {two}", f"GRANT CREATE TABLE ON DATABASE {db.name} TO {two}")  # fmt: skip
    await as_user(db, two, "UPDATE t SET v = 9 WHERE k = 1", "DELETE FROM u WHERE k = 1",
                  "CREATE TABLE w (k INT) PRIMARY KEY(k)", database=db.name)  # fmt: skip
    assert (await refused(db, two, "INSERT INTO t VALUES (3, 3)", database=db.name))[0] == 5203
    grants = await as_user(db, two, "SHOW GRANTS")
    assert (f"'{two}'@'%'", "default_catalog", f"GRANT SELECT ON TABLE {db.name}.t TO USER '{two}'@'%'") in grants
    await db.sql(f"GRANT ALL ON ALL TABLES IN ALL DATABASES TO {two}", f"REVOKE ALL ON *.* FROM {two}")
    assert (await refused(db, two, f"DROP TABLE {db.name}.t"))[0] == 5203


async def test_roles_work_once_they_are_active(db, users) -> None:
    _, two = users
    role = f"{db.name}_role"
    await db.sql(f"CREATE ROLE {role}", f"GRANT SELECT ON TABLE t TO ROLE {role}", f"GRANT {role} TO {two}")
    query = f"SELECT count(*) FROM {db.name}.t"
    assert await refused(db, two, query) == denied("SELECT", "TABLE t", "NONE", f"[{role}]")
    assert await as_user(db, two, f"SET ROLE {role}", query) == [(1,)]
    assert await as_user(db, two, "SET ROLE ALL", "SELECT current_role()") == [(role,)]
    await db.sql(f"SET DEFAULT ROLE {role} TO {two}")
    assert await as_user(db, two, query) == [(1,)]
    assert await refused(db, two, "SET ROLE NONE", query) == denied("SELECT", "TABLE t", "NONE", f"[{role}]")
    assert (await refused(db, two, "SET ROLE db_admin"))[1] == (
        f"{ANALYZING}Role db_admin is not granted to '{two}'@'%'.")  # fmt: skip
    await db.sql(f"REVOKE {role} FROM {two}")
    assert (await refused(db, two, query))[0] == 5203


async def test_http_asks_for_passwords_and_the_insert_privilege(db, users) -> None:
    one, two = users
    body, headers = ndjson({"k": 5, "v": 5}), {"Expect": "100-continue", "format": "json"}

    async def fe(user: str, password: str) -> tuple[int, dict, dict]:
        given = headers | {"Authorization": basic(user, password)}
        async with db.http.put(db.sandbox.fe_url + db.path("t"), headers=given, allow_redirects=False) as reply:
            text = await reply.text()
            return reply.status, dict(reply.headers), json.loads(text) if text else {}

    status, seen, told = await fe(one, "pass word")
    assert status == 401 and seen["WWW-Authenticate"] == 'Basic realm=""'
    assert told["msg"] == f"Access denied for user '{one}'@'%'." + HINT.format("[]", "[]")
    assert (await fe(one, "bad"))[2]["msg"] == f"Access denied for {one}@127.0.0.1"
    reply = await db.load("t", body, Authorization=basic(one, "pass word"))
    need = "Access denied; you need (at least one of) the INSERT privilege(s) for this operation"
    assert (reply["Status"], reply["Message"], reply["TxnId"]) == ("Fail", need, -1)
    reply = await db.load("t", body, Authorization=basic(one, "bad"))
    assert reply["Message"] == f"Access denied for {one}@127.0.0.1"
    await db.sql(f"GRANT INSERT ON TABLE t TO {one}")
    assert (await fe(one, "pass word"))[0] == 307
    reply = await db.load("t", body, Authorization=basic(f"{one}@cluster", "pass word"))
    assert reply["Status"] == "Success"
    assert (await fe(two, ""))[0] == 401


async def test_users_survive_a_restart(tmp_path) -> None:
    async with StarRocksSandbox(tmp_path) as sandbox:
        await asyncio.to_thread(run_sql, sandbox.mysql_port, [
            "CREATE DATABASE d", "CREATE TABLE d.t (k INT) PRIMARY KEY(k)", "CREATE USER u IDENTIFIED BY 'p'",
            "CREATE ROLE r", "GRANT SELECT ON TABLE d.t TO ROLE r", "GRANT r TO u", "SET DEFAULT ROLE r TO u"])  # fmt: skip
    async with StarRocksSandbox(tmp_path, password="changed") as sandbox:
        ask = ["SELECT count(*) FROM d.t"]
        assert await asyncio.to_thread(run_sql, sandbox.mysql_port, ask, user="u", password="p") == [(0,)]
        assert await asyncio.to_thread(run_sql, sandbox.mysql_port, ask, password="changed") == [(0,)]
        with pytest.raises(pymysql.MySQLError):
            await asyncio.to_thread(run_sql, sandbox.mysql_port, ask)


def test_users_as_values() -> None:
    users = Users("root", "secret")
    assert (
        users.authenticate("root", "secret") and not users.authenticate("root", "") and not users.authenticate("x", "")
    )
    assert (
        users.may("root", "INSERT", "any", "thing")
        and users.may("root", "CREATE DATABASE")
        and users.may("root", "GRANT")
    )
    assert (
        not users.may("x", "INSERT", "any", "thing")
        and users.load_denied("x", "", "::1", "d", "t") == "Access denied for x@::1"
    )
    assert Grant("SELECT", "TABLE", "d").covers("SELECT", "TABLE", "d", "t")
    assert not Grant("SELECT", "TABLE", "d").covers("SELECT", "TABLE", "e", "t")
    again = Users("root", "secret")
    again.restore(json.loads(json.dumps(users.to_dict())))
    assert again.to_dict() == users.to_dict()

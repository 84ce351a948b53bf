"""The MySQL port: DDL with its errors, DML, SELECT, metadata (starrocks.md 6, 9)."""

import asyncio

import pymysql
import pytest
import sqlalchemy as sa

from tests.unit.sandbox_starrocks.conftest import run_sql


async def refused(db, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql(statement)
    return caught.value.args


async def analysis(db, statement: str) -> str:
    code, message = await refused(db, statement)
    assert code in (1064, 1060, 1050, 5501, 5502, 5604, 6014)
    assert message.startswith("Getting analyzing error. Detail message: ")
    return message.removeprefix("Getting analyzing error. Detail message: ").removesuffix(".")


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("CREATE TABLE t (v INT, k INT) PRIMARY KEY(k)",
         "Key columns must be the first few columns of the schema and the order  of the key columns must be consistent "
         "with the order of the schema"),
        ("CREATE TABLE t (k INT NULL) PRIMARY KEY(k)", "primary key column[k] cannot be nullable"),
        ("CREATE TABLE t (k DOUBLE) PRIMARY KEY(k)", "primary key column[k] type not supported: double"),
        ("CREATE TABLE t (k DECIMAL(10,2)) PRIMARY KEY(k)", "primary key column[k] type not supported: decimal(10, 2)"),
        ("CREATE TABLE t (k CHAR(3)) PRIMARY KEY(k)", "primary key column[k] type not supported: char(3)"),
        ("CREATE TABLE t (k INT) PRIMARY KEY(k) DISTRIBUTED BY RANDOM", "PRIMARY KEY must use hash distribution"),
        ("CREATE TABLE t (k INT, K INT) PRIMARY KEY(k)", "Duplicate column name 'K'"),
        ("CREATE TABLE t (k INT) PRIMARY KEY(x)", "Key column(x) doesn't exist."),
        ("CREATE TABLE t (k INT) PRIMARY KEY(k) DISTRIBUTED BY HASH(x)", "Distribution column(x) doesn't exist."),
        ("CREATE TABLE t (k DOUBLE, v INT)", "Data type of first column cannot be DOUBLE"),
        ("CREATE TABLE t (k INT, v INT) PRIMARY KEY(k) ORDER BY(x)", "Unknown column 'x' does not exist"),
        ("CREATE TABLE t (k INT, v DOUBLE) PRIMARY KEY(k) ORDER BY(v)",
         "sort key column[v] type not supported: double"),
        ("CREATE TABLE t (k INT) PRIMARY KEY(k) PROPERTIES('replication_num'='0')",
         "Replication num should larger than 0"),
        ("CREATE TABLE t (k INT, a BIGINT AUTO_INCREMENT, b BIGINT AUTO_INCREMENT) PRIMARY KEY(k)",
         "More than one AUTO_INCREMENT column defined in CREATE TABLE Statement"),
        ("CREATE TABLE t (k INT, a INT AUTO_INCREMENT) PRIMARY KEY(k)", "The AUTO_INCREMENT column must be BIGINT"),
        ("CREATE TABLE t (k INT, v VARCHAR(1048577)) PRIMARY KEY(k)", "Varchar size must be <= 1048576: 1048577"),
        ("CREATE TABLE t (k INT, __op INT) PRIMARY KEY(k)",
         "Column name [__op] is a system reserved name. Please choose a different one."),
        ("CREATE TABLE t (k INT, v INT DEFAULT 'x') PRIMARY KEY(k)", "Invalid default value for 'v'"),
    ],
)  # fmt: skip
async def test_create_table_is_validated(db, statement, detail) -> None:
    assert await analysis(db, statement) == detail


@pytest.mark.parametrize(
    ("statement", "feature"),
    [
        ("CREATE TABLE t (k INT, v INT SUM) AGGREGATE KEY(k)", "aggregate columns"),
        ("CREATE TABLE t (k INT) UNIQUE KEY(k)", "UNIQUE KEY"),
        ("CREATE TABLE t (k INT) PRIMARY KEY(k) PARTITION BY RANGE (k) (PARTITION p VALUES LESS THAN ('5'))",
         "PARTITION BY RANGE"),
        ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
        ("GRANT USAGE ON RESOURCE x TO root", "privileges on RESOURCE"),
        ("CREATE USER u@'10.0.0.1'", "users of one host only"),
        ("SELECT murmur_hash3_32('x')", "function murmur_hash3_32"),
        ("SELECT * FROM read_csv('x')", "table function read_csv"),
        ("SELECT uuid()", "function uuid"),
        ("SHOW LOAD", "SHOW LOAD"),
        ("SHOW PROC '/transactions'", "SHOW PROC '/transactions'"),
        ("ALTER SYSTEM ADD BACKEND 'x'", "ALTER SYSTEM"),
        ("SELECT 1; SELECT 2", "several statements in one query"),
    ],
)  # fmt: skip
async def test_what_is_not_emulated_says_so(db, statement, feature) -> None:
    assert await refused(db, statement) == (1235, f"not emulated: {feature}")


@pytest.mark.parametrize(
    "statement",
    ["SELEC 1", "CREATE TABLE t (k INT DEFAULT 5) PRIMARY KEY(k)", "CREATE TABLE t (k NOSUCH) PRIMARY KEY(k)",
     "SELECT * FROM t WHERE", "DROP TABLE", ";", "CREATE TABLE t (k INT) PRIMARY KEY(k) NONSENSE"],
)  # fmt: skip
async def test_syntax_errors(db, statement) -> None:
    code, message = await refused(db, statement)
    assert code == 1064 and message.startswith("Getting syntax error at line 1, column ")


async def test_names_that_do_not_exist(db) -> None:
    detail = "Getting analyzing error. Detail message: "
    assert await refused(db, "SELECT * FROM nope") == (5502, f"{detail}Unknown table '{db.name}.nope'.")
    assert await refused(db, "SELECT * FROM nodb.t") == (5501, f"{detail}Unknown database 'nodb'.")
    assert await refused(db, "USE nodb") == (5501, "Unknown database 'nodb'")
    assert await analysis(db, "SELECT nocol FROM information_schema.tables") == "Column 'nocol' cannot be resolved"
    assert (await refused(db, "SET nosuch = 1"))[0] == 1193
    assert (await refused(db, "SELECT @@nosuch"))[0] == 1193
    with pytest.raises(pymysql.MySQLError) as caught:
        await asyncio.to_thread(run_sql, db.sandbox.mysql_port, ["SELECT * FROM t"])
    assert caught.value.args[0] == 1046


async def test_database_and_table_lifecycle(db) -> None:
    await db.sql("CREATE TABLE t (k INT) PRIMARY KEY(k)", "CREATE TABLE IF NOT EXISTS t (z INT) PRIMARY KEY(z)")
    assert await analysis(db, "CREATE TABLE t (k INT) PRIMARY KEY(k)") == "Table 't' already exists"
    await db.sql("CREATE TABLE T (k INT) PRIMARY KEY(k)", "INSERT INTO T VALUES (1)")  # table names have a case
    assert await db.sql("SELECT count(*) FROM t") == [(0,)]
    assert await db.sql("SHOW TABLES") == [("T",), ("t",)]
    await db.sql("TRUNCATE TABLE T", "DROP TABLE t", "DROP TABLE IF EXISTS t")
    assert (await refused(db, "DROP TABLE t"))[0] == 5502
    other = f"{db.name}_other"
    await db.sql(f"CREATE DATABASE {other}", f"CREATE DATABASE IF NOT EXISTS {other}")
    assert (await refused(db, f"CREATE DATABASE {other}"))[0] == 1007
    await db.sql(f"CREATE TABLE {other}.t (k INT) PRIMARY KEY(k)", f"DROP DATABASE {other}")
    assert (other,) not in await db.sql("SHOW DATABASES")
    await db.sql(f"CREATE DATABASE {other}", f"USE `default_catalog`.{other}")
    assert await db.sql(f"SHOW TABLES FROM {other}") == []


async def test_alter_table_and_its_job_rows(db) -> None:
    await db.sql("CREATE TABLE t (k INT, a INT, b DATE) PRIMARY KEY(k)", "INSERT INTO t VALUES (1, 2, '2024-01-02')")
    await db.sql(
        "ALTER TABLE t ADD COLUMN c STRING DEFAULT 'x' AFTER a",
        "ALTER TABLE t ADD COLUMN (d INT, e DECIMAL(5,1) NOT NULL DEFAULT '1.5')",
        "ALTER TABLE t ADD COLUMN f BOOLEAN, ADD COLUMN g JSON", "ALTER TABLE t MODIFY COLUMN a BIGINT",
        "ALTER TABLE t MODIFY COLUMN b DATETIME", "ALTER TABLE t RENAME COLUMN d TO dd", "ALTER TABLE t DROP COLUMN f",
    )  # fmt: skip
    assert [row[0:2] for row in await db.sql("DESC t")] == [
        ("k", "int(11)"), ("a", "bigint(20)"), ("c", "varchar(65533)"), ("b", "datetime"), ("dd", "int(11)"),
        ("e", "decimal(5, 1)"), ("g", "json"),
    ]  # fmt: skip
    row = (await db.sql("SELECT * FROM t"))[0]
    assert tuple(map(str, row)) == ("1", "2", "x", "2024-01-02 00:00:00", "None", "1.5", "None")
    await db.sql("ALTER TABLE t ADD COLUMN f INT", "INSERT INTO t (k, f) VALUES (1, 7)")  # a name may come back
    assert await db.sql("SELECT f, c FROM t") == [(7, "x")]
    jobs = await db.sql(f"SHOW ALTER TABLE COLUMN FROM {db.name} WHERE TableName='t' ORDER BY CreateTime DESC LIMIT 1")
    assert len(jobs) == 1 and jobs[0][1] == "t" and jobs[0][9] == "FINISHED"
    assert (
        await db.sql(f"SHOW ALTER TABLE COLUMN FROM {db.name} WHERE TableName='other' ORDER BY CreateTime DESC LIMIT 1")
        == []
    )
    for statement, detail in (
        ("DROP COLUMN k", "Can not drop key column in primary data model table"),
        ("ADD COLUMN a INT", "Can not add column which already exists in base table: a"),
        ("ADD COLUMN (z INT, Z INT)", "Repeatedly add same column with different definition: Z"),
        ("ADD COLUMN z INT AFTER nope", "Column[nope] does not found"),
        ("ADD COLUMN z INT FIRST", "Invalid column order. value should be after key. index[t]"),
        ("ADD COLUMN z INT KEY", "Can not add key column: z for primary key table"),
        ("MODIFY COLUMN a INT", "Can not change BIGINT to INT"),
        ("MODIFY COLUMN b VARCHAR(40)", "Can not change DATETIME to VARCHAR(40)"),
        ("MODIFY COLUMN e DECIMAL(5,0) NOT NULL DEFAULT '1.5'", "Can not change DECIMAL32(5,1) to DECIMAL32(5,0)"),
        ("MODIFY COLUMN c VARCHAR(10) DEFAULT 'x'", "Cannot shorten string length"),
        ("MODIFY COLUMN c VARCHAR(65533)", "Can not change default value"),
        ("MODIFY COLUMN a BIGINT NOT NULL", "Can not change from nullable to non-nullable"),
        ("MODIFY COLUMN k BIGINT", "Can not modify key column: k for primary key table"),
        ("DROP COLUMN nope", "Column does not exists: nope"),
        ("MODIFY COLUMN nope INT", "Column[nope] does not exists"),
    ):
        assert await refused(db, f"ALTER TABLE t {statement}") == (1064, detail)
    assert await refused(db, "ALTER TABLE t RENAME COLUMN a TO c") == (1060, "Duplicate column name 'c'")
    assert await refused(db, "ALTER TABLE t RENAME COLUMN zz TO c") == (5509, "Unknown column 'zz' in 't'")


async def test_widening_to_text_prints_values_as_sql_does(db) -> None:
    await db.sql("CREATE TABLE t (k INT, a LARGEINT, b DOUBLE) PRIMARY KEY(k)",
                 "INSERT INTO t VALUES (1, 170141183460469231731687303715884105727, 2)",
                 "ALTER TABLE t MODIFY COLUMN a VARCHAR(40), MODIFY COLUMN b VARCHAR(40)")  # fmt: skip
    assert await db.sql("SELECT a, b FROM t") == [("170141183460469231731687303715884105727", "2")]


async def test_d17_partial_needs_the_sort_key(db) -> None:
    await db.sql("CREATE TABLE t (pk INT, v0 INT, v1 INT) PRIMARY KEY(pk) ORDER BY(v1)")
    detail = "partial update on table with sort key must provide all sort key columns"
    assert await analysis(db, "INSERT INTO t (pk, v0) VALUES (1,1)") == detail
    reply = await db.load("t", b'{"pk":1,"v0":1}', partial_update="true", columns="pk,v0")
    assert reply["Message"] == detail
    await db.loaded("t", {"pk": 1, "v1": 1}, partial_update="true", columns="pk,v1")
    await db.loaded("t", {"pk": 1, "__op": 1}, partial_update="true", columns="pk")
    assert await db.sql("SELECT * FROM t") == []


async def test_update_and_delete(db) -> None:
    await db.sql(
        "CREATE TABLE t (k INT, v INT, s STRING) PRIMARY KEY(k)", "INSERT INTO t VALUES (1,1,'a'),(2,2,'b'),(3,3,'c')"
    )
    assert await analysis(db, "UPDATE t SET v = 1") == "must specify where clause to prevent full table update"
    assert "must specify where clause" in await analysis(db, "DELETE FROM t")
    await db.sql("UPDATE t SET V = 100, v = 200, s = concat(s, '!') WHERE k >= 2")
    await db.sql(f"DELETE FROM {db.name}.t WHERE k IN (SELECT k FROM t WHERE v = 200 AND s = 'c!')")
    assert await db.sql("SELECT * FROM t ORDER BY k") == [(1, 1, "a"), (2, 200, "b!")]
    assert "primary key column" in await analysis(db, "UPDATE t SET k = 5 WHERE k = 1")


async def test_affected_rows(db) -> None:
    def affected() -> list[int]:
        connection = pymysql.connect(host="127.0.0.1", port=db.sandbox.mysql_port, user="root", database=db.name)
        try:
            with connection.cursor() as cursor:
                return [cursor.execute(sql) for sql in (
                    "CREATE TABLE t (k INT, v INT) PRIMARY KEY(k)", "INSERT INTO t VALUES (1,1),(2,2)",
                    "UPDATE t SET v = 5 WHERE k = 2", "DELETE FROM t WHERE k > 0", "DELETE FROM t WHERE k > 0")]  # fmt: skip
        finally:
            connection.close()

    assert await asyncio.to_thread(affected) == [0, 2, 1, 2, 0]


async def test_insert_values_are_checked(db) -> None:
    await db.sql("CREATE TABLE t (k INT, b VARBINARY, s VARCHAR(2), j JSON, n DECIMAL(4,1)) PRIMARY KEY(k)")
    await db.sql("INSERT INTO t VALUES (1, x'00ff', 'ab', '{\"b\":1,\"a\":2}', 1.25), (2, NULL, NULL, NULL, -0.05)")
    rows = await db.sql("SELECT hex(b), s, j, CAST(n AS STRING) FROM t ORDER BY k")
    assert rows == [("00FF", "ab", '{"a": 2, "b": 1}', "1.3"), (None, None, None, "-0.1")]
    for values in ("(3, NULL, 'abc', NULL, 1)", "(NULL, NULL, NULL, NULL, 1)", "(3, NULL, NULL, NULL, 1000)"):
        code, message = await refused(db, f"INSERT INTO t VALUES {values}")
        assert code == 5609 and message.startswith("Insert has filtered data")
    assert await analysis(db, "INSERT INTO t VALUES (1)") == (
        "Inserted target column count: 5 doesn't match select/value column count: 1"
    )


async def test_select_forms(db) -> None:
    await db.sql(
        "CREATE TABLE t (id INT, g VARCHAR(3), dbmazz_is_deleted BOOLEAN, doc JSON, big LARGEINT) PRIMARY KEY(id)"
    )
    await db.sql(
        "INSERT INTO t VALUES (1, 'a', true, '{\"x\":{\"y\":\"z\"}}', 1), (2, 'a', false, NULL, 2), (3, 'b', false, '[]', 3)"
    )
    assert await db.sql("SELECT COUNT(*), SUM(dbmazz_is_deleted), COUNT(*) - SUM(dbmazz_is_deleted) FROM t") == [
        (3, 1, 2)
    ]
    assert await db.sql("SELECT g, count(*) c FROM t GROUP BY g HAVING c > 1 ORDER BY 1 LIMIT 1") == [("a", 2)]
    joined = f"SELECT t.id, x.g FROM {db.name}.t JOIN t x ON t.id = x.id WHERE t.dbmazz_is_deleted = 0 ORDER BY t.id"
    assert await db.sql(joined) == [(2, "a"), (3, "b")]
    assert await db.sql("WITH c AS (SELECT id FROM t WHERE id > 1) SELECT max(id) FROM c") == [(3,)]
    assert await db.sql("SELECT get_json_string(doc, '$.x.y'), md5('a'), to_base64('ab'), hex('ab') FROM t WHERE id = 1") == [
        ("z", "0cc175b9c0f1b6a831c399e269772661", "YWI=", "6162")]  # fmt: skip
    assert await db.sql("SELECT big FROM t WHERE id = 1 UNION ALL SELECT 9 ORDER BY 1") in (
        [("1",), ("9",)],
        [(1,), (9,)],
    )
    assert await db.sql("SELECT big, sum(id) FROM t WHERE id = 2 GROUP BY big") == [("2", 2)]
    assert await db.sql("SELECT id FROM t ORDER BY id LIMIT 1, 1") == [(2,)]
    assert await db.sql("SELECT doc->'$.x', doc FROM t WHERE id = 1") == [('{"y": "z"}', '{"x": {"y": "z"}}')]
    assert await db.sql("SELECT length('é'), char_length('é'), unix_timestamp('1970-01-02')") == [(2, 1, 86400)]
    assert await db.sql("SELECT IF(id > 1, 'x', 'y'), ifnull(g, 'none') FROM t WHERE id = 2") == [("x", "a")]


async def test_result_column_names(db) -> None:
    def names() -> list[str]:
        connection = pymysql.connect(host="127.0.0.1", port=db.sandbox.mysql_port, user="root", database=db.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT COUNT(*), 1+1 AS two, @@version_comment, database(), current_version() LIMIT 1")
                return [column[0] for column in cursor.description]
        finally:
            connection.close()

    assert await asyncio.to_thread(names) == ["count(*)", "two", "@@version_comment", "database()", "current_version()"]


async def test_long_results_are_streamed_whole(db) -> None:
    await db.sql("CREATE TABLE t (id INT, s STRING) PRIMARY KEY(id)")
    await db.loaded("t", *({"id": i, "s": "x" * 1000} for i in range(9000)))
    rows = await db.sql("SELECT id, length(s) FROM t ORDER BY id")
    assert rows == [(i, 1000) for i in range(9000)]
    assert len(await db.sql("SELECT * FROM t")) == 9000


async def test_session_statements(db) -> None:
    await db.sql("SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "SET autocommit = 0", "SET SESSION query_timeout = 10",
                 "SET @@session.sql_mode = 'ONLY_FULL_GROUP_BY', time_zone = '+00:00'", "BEGIN",
                 "START TRANSACTION", "COMMIT", "ROLLBACK",
                 "SYNC", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
                 "SHOW WARNINGS", "/* hello */ SELECT 1 -- bye")  # fmt: skip
    rows = await db.sql("SET query_timeout = 7", "SHOW VARIABLES LIKE 'query_timeout'")
    assert rows == [("query_timeout", "7")]
    rows = await db.sql(
        "SELECT @@tx_isolation, @@max_allowed_packet, @@autocommit, @@lower_case_table_names, DATABASE()"
    )
    assert rows == [("REPEATABLE-READ", 33554432, 1, 0, db.name)]


async def test_metadata(db) -> None:
    await db.sql("CREATE TABLE t (id BIGINT COMMENT 'the key', s STRING, l LARGEINT, b BOOLEAN DEFAULT 'true', "
                 "n DECIMAL(38,9), "
                 "ts DATETIME DEFAULT CURRENT_TIMESTAMP) PRIMARY KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 4 "
                 "PROPERTIES ('replication_num' = '1')", "INSERT INTO t (id) VALUES (1), (2)")  # fmt: skip
    where = f"WHERE TABLE_SCHEMA = '{db.name}' AND table_name = 't'"
    assert await db.sql(f"SELECT TABLE_TYPE, engine, table_rows FROM information_schema.tables {where}") == [
        ("BASE TABLE", "StarRocks", 2)
    ]
    rows = await db.sql("SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY, COLUMN_DEFAULT "
                        f"FROM information_schema.columns {where} ORDER BY ORDINAL_POSITION")  # fmt: skip
    assert rows == [
        ("id", "bigint(20)", "NO", "PRI", None), ("s", "varchar(65533)", "YES", "", None),
        ("l", "bigint(20) unsigned", "YES", "", None), ("b", "tinyint(1)", "YES", "", "true"),
        ("n", "decimal(38, 9)", "YES", "", None), ("ts", "datetime", "YES", "", "CURRENT_TIMESTAMP"),
    ]  # fmt: skip
    config = f"SELECT TABLE_MODEL, PRIMARY_KEY, DISTRIBUTE_BUCKET FROM information_schema.tables_config {where}"
    assert await db.sql(config) == [("PRIMARY_KEYS", "`id`", 4)]
    assert (db.name,) in await db.sql("SELECT SCHEMA_NAME FROM information_schema.schemata")
    full = await db.sql("SHOW FULL COLUMNS FROM t LIKE 'i%'")
    assert full == [("id", "bigint(20)", "", "NO", "PRI", None, "", "", "the key")]
    created = (await db.sql("SHOW CREATE TABLE t"))[0][1]
    await db.sql("DROP TABLE t", created)  # what it prints is a statement it takes
    assert (await db.sql("SHOW CREATE TABLE t"))[0][1] == created
    backend = (await db.sql("SHOW BACKENDS"))[0]
    assert f"http://{backend[1]}:{backend[4]}" == db.sandbox.be_url
    assert (await db.sql("SHOW FRONTENDS"))[0][6] == "LEADER"


async def test_versions(db, db40) -> None:
    for database, number, mysql in ((db, "3.3.7", "5.1.0"), (db40, "4.0.2", "8.0.33")):
        assert await database.sql("SELECT current_version(), version(), @@version") == [
            (f"{number} sandbox", mysql, mysql)
        ]
        connection = await asyncio.to_thread(
            pymysql.connect, host="127.0.0.1", port=database.sandbox.mysql_port, user="root"
        )
        assert connection.get_server_info() == mysql
        connection.close()


async def test_mysql_command_line_connect_sequence(db) -> None:
    def connect() -> bytes:
        connection = pymysql.connect(host="127.0.0.1", port=db.sandbox.mysql_port, user="root", database=db.name)
        try:
            with connection.cursor() as cursor:
                for sql in ("select @@version_comment limit 1", "SELECT DATABASE()", "show databases", "show tables"):
                    cursor.execute(sql)
            connection.ping(reconnect=False)
            connection._execute_command(0x04, b"t\0")  # COM_FIELD_LIST
            return connection._read_packet().get_all_data()
        finally:
            connection.close()

    await db.sql("CREATE TABLE t (only_column INT) PRIMARY KEY(only_column)")
    assert b"only_column" in await asyncio.to_thread(connect)


# The dialect itself reads its grammar with a deprecated call of the standard library.
@pytest.mark.filterwarnings("ignore:open_text is deprecated:DeprecationWarning")
async def test_sqlalchemy_queries_and_reflection(db) -> None:
    def reflect() -> None:
        engine = sa.create_engine(f"starrocks://root:@127.0.0.1:{db.sandbox.mysql_port}/{db.name}")
        try:
            with engine.begin() as connection:
                assert connection.execute(sa.text("SELECT count(*) FROM t WHERE s = :s"), {"s": "it's"}).scalar() == 1
            assert engine.dialect.server_version_info == (3, 3, 7)
            inspector = sa.inspect(engine)
            assert inspector.get_table_names() == ["t"] and inspector.has_table("t") and not inspector.has_table("u")
            columns = {c["name"]: c for c in inspector.get_columns("t")}
            kinds = {name: type(c["type"]).__name__ for name, c in columns.items()}
            assert kinds == {
                "id": "BIGINT",
                "s": "VARCHAR",
                "l": "LARGEINT",
                "b": "BOOLEAN",
                "j": "JSON",
                "n": "DECIMAL",
            }
            assert not columns["id"]["nullable"] and columns["s"]["nullable"]
            assert inspector.get_pk_constraint("t")["constrained_columns"] == ["id"]
            table = sa.Table("t", sa.MetaData(), autoload_with=engine)
            with engine.connect() as connection:
                row = connection.execute(sa.select(table.c.id, table.c.b).where(table.c.id == 1)).one()
            assert tuple(row) == (1, True)
        finally:
            engine.dispose()

    await db.sql(
        "CREATE TABLE t (id BIGINT, s VARCHAR(10), l LARGEINT, b BOOLEAN, j JSON, n DECIMAL(10,2)) PRIMARY KEY(id)"
    )
    await db.sql("INSERT INTO t (id, s, b) VALUES (1, 'it''s', true)")
    await asyncio.to_thread(reflect)


async def test_prepared_statements(db) -> None:
    def execute() -> bytes:
        connection = pymysql.connect(host="127.0.0.1", port=db.sandbox.mysql_port, user="root", ssl_disabled=True)
        try:
            connection._execute_command(
                0x16, b"SELECT CAST(-5 AS TINYINT), CAST('1.50' AS DECIMAL(5,2)), 'x'"
            )  # PREPARE
            prepared = connection._read_packet().get_all_data()
            connection._execute_command(0x17, prepared[1:5] + b"\0" + b"\1\0\0\0")  # EXECUTE
            packets = [connection._read_packet().get_all_data() for _ in range(7)]
            return packets[5]
        finally:
            connection.close()

    # Binary row: header, NULL bitmap, int8, length-encoded decimal and text.
    assert await asyncio.to_thread(execute) == b"\x00\x00" + b"\xfb" + b"\x041.50" + b"\x01x"


async def test_an_error_while_rows_are_sent_reaches_the_client_without_values(db) -> None:
    await db.sql("CREATE TABLE t (id INT, s STRING) PRIMARY KEY(id)")
    await db.loaded("t", *({"id": i, "s": "secret" if i == 8999 else "2024-01-01"} for i in range(9000)))
    code, message = await refused(db, "SELECT year(s) FROM t ORDER BY id")
    assert code == 1235 and "secret" not in message and "date" in message
    assert await db.sql("SELECT count(*) FROM t") == [(9000,)]


async def test_loads_and_their_logs_in_information_schema(db) -> None:
    await db.sql("CREATE TABLE t (k INT, v INT NOT NULL) PRIMARY KEY(k)")
    await db.loaded("t", {"k": 1, "v": 1}, {"k": 2, "v": 2}, label="good")
    reply = await db.load("t", b'{"k":3,"v":null}', label="bad", max_filter_ratio="0")
    assert reply["Status"] == "Fail"
    rows = await db.sql("SELECT LABEL, STATE, TYPE, DB_NAME, SINK_ROWS, FILTERED_ROWS, TRACKING_SQL IS NOT NULL "
                        f"FROM information_schema.loads WHERE DB_NAME = '{db.name}' ORDER BY ID")  # fmt: skip
    assert [row[:4] for row in rows] == [("good", "FINISHED", "STREAM_LOAD", db.name),
                                         ("bad", "CANCELLED", "STREAM_LOAD", db.name)]  # fmt: skip
    assert rows[0][4:] == (2, 0, 0) and rows[1][5:] == (1, 1)
    where = f"LABEL = 'bad' AND DB_NAME = '{db.name}'"
    sql = (await db.sql(f"SELECT TRACKING_SQL FROM information_schema.loads WHERE {where}"))[0][0]
    assert "NULL value in non-nullable column 'v'" in (await db.sql(sql))[0][0]
    shown = await db.sql(f"SHOW PROC '/transactions/{db.name}/finished'")
    assert [(row[1], row[3]) for row in shown] == [("bad", "ABORTED"), ("good", "VISIBLE")]


async def test_columns_of_information_schema_by_version(db, db40) -> None:
    names = {"loads": (26, 26), "load_tracking_logs": (6, 6), "be_tablets": (20, 20), "partitions_meta": (27, 30),
             "materialized_views": (25, 27), "views": (10, 10), "tables_config": (12, 12), "columns": (24, 24),
             "tables": (21, 21), "schemata": (5, 5)}  # fmt: skip
    for database, position in ((db, 0), (db40, 1)):
        for name, counts in names.items():
            rows = await database.sql("CREATE TABLE IF NOT EXISTS t (k INT) PRIMARY KEY(k)",
                                      f"SELECT * FROM information_schema.{name}")  # fmt: skip
            assert all(len(row) == counts[position] for row in rows), name

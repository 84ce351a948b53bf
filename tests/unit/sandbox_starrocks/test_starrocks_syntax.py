"""What StarRocks' grammar has not is refused in its words, at the token it stops at (StarRocks.g4, release 3.3)."""

from __future__ import annotations

import asyncio
import os
import random

import pymysql
import pytest

SEED = int(os.environ.get("DBMAZZ_TEST_SEED") or random.randrange(1 << 32))
END, NAME = "<EOF>, ';'", "a legal identifier"


async def refused(db, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql(statement)
    return caught.value.args


def syntax(line: int, column: int, found: str, wanted: str) -> tuple[int, str]:
    return 1064, (f"Getting syntax error at line {line}, column {column}. Detail message: Unexpected input '{found}', "
                  f"the most similar input is {{{wanted}}}.")  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "column", "found", "wanted"),
    [
        ("select 1,", 9, "<EOF>", NAME),
        ("select 1, from t", 10, "from", NAME),
        ("insert into t values (1,2),", 27, "<EOF>", "("),
        ("insert into t values (1,)", 24, ")", NAME),
        ("insert into t values ()", 22, ")", NAME),
        ("insert into t (id,) values (1)", 18, ")", NAME),
        ("insert t values (1)", 7, "t", "'INTO', 'OVERWRITE'"),
        ("insert into table t values (1)", 12, "table", NAME),
        ("select 1 in ()", 13, ")", NAME),
        ("select count(1,) from t", 15, ")", NAME),
        ("select id from t group by id,", 29, "<EOF>", NAME),
        ("select id from t order by id,", 29, "<EOF>", NAME),
        ("select id from t OFFSET 10", 24, "10", END),
        ("select id from t order by id OFFSET 10", 29, "OFFSET", END),
        ("select id from t limit all", 23, "all", "INTEGER_VALUE"),
        ("select id from t limit -1", 23, "-", "INTEGER_VALUE"),
        ("select id from t fetch first 1 rows only", 23, "first", END),
        ("select distinct on (id) id from t", 16, "on", NAME),
        ("select id from t group by all", 26, "all", NAME),
        ("select 1 from", 13, "<EOF>", NAME),
        ("select id fron a where id=10", 15, "a", END),
        ("select 1 # c", 9, "#", NAME),
        ("select top 3 id from a", 11, "3", NAME),
        ("select 2 ** 3", 10, "*", NAME),
        ("select 2 << 3", 10, "<", NAME),
        ("select {d '2024-01-01'}", 8, "d", "FN"),
        ("select `a", 7, "`", NAME),
        ("select 'a", 7, "'", NAME),
        ("select * from '/tmp/x.csv'", 14, "'/tmp/x.csv'", NAME),
        ('select * from "t"', 14, '"t"', NAME),
        ("select 1 where 'a' 'b' = 'c'", 19, "'b'", END),
        ("select k::int from t", 8, ":", NAME),
        ("select id from t where id is true", 29, "true", "NULL"),
        ("select id from t where a like 'x' escape '!'", 34, "escape", END),
        ("select id from t left join t u", 30, "<EOF>", "'ON', 'USING'"),
        ("select id from t where", 22, "<EOF>", NAME),
        ("select id from t for update", 17, "for", NAME),
        ("select select", 7, "select", NAME),
        ("select case when 1 then 2", 25, "<EOF>", "END"),
        ("select cast(1 int)", 14, "int", "AS"),
        ("select (1, 2)", 9, ",", "')'"),
        ("select sum(distinct) from t", 19, ")", NAME),
        ("update t set id = 1, where id = 1", 21, "where", NAME),
        ("delete from t where id = 1 limit 1", 27, "limit", END),
        ("with c as (select 1), select 1", 22, "select", NAME),
        ("select 1 xor 1", 13, "1", END),
        ("select substring('abcd' from 2 for 2)", 24, "from", ")"),
        ("select trim(both 'x' from 'xax')", 12, "both", NAME),
        ("select position('a' in 'xax')", 23, "'xax'", "("),
        ("select (1", 9, "<EOF>", ")"),
    ],
)  # fmt: skip
async def test_what_the_grammar_has_not(db, statement, column, found, wanted) -> None:
    await db.sql("CREATE TABLE t (id INT, a STRING) PRIMARY KEY(id)")
    assert await refused(db, statement) == syntax(1, column, found, wanted)


async def test_a_position_is_a_line_and_a_column(db) -> None:
    assert await refused(db, "select 1,\n  2\n  3") == syntax(3, 2, "3", NAME)
    assert await refused(db, "create table t (\n  k int,\n  5 int)") == syntax(3, 2, "5", NAME)


async def test_what_4_0_refuses_too(db40) -> None:
    assert await refused(db40, "select 1 group by all") == syntax(1, 18, "all", NAME)


async def test_what_the_grammar_has_and_the_sandbox_has_not(db) -> None:
    await db.sql("CREATE TABLE t (id INT, a STRING) PRIMARY KEY(id)")
    for statement, feature in (
        ("insert into t values (3, default)", "DEFAULT as a value"),
        ("update t set a = default where id = 1", "DEFAULT as a value"),
        ("select 1 into outfile 's3://x'", "SELECT … INTO OUTFILE"), ("select 1; select 2", "several statements in one query"),
        ("select * from files('path' = 's3://x')", "table function files"), ("select 1 minus select 2", "this syntax"),
        ("select id from t partition (p)", "FROM … PARTITION"), ("select 1 group by grouping sets ((1))", "GROUPING SETS"),
    ):  # fmt: skip
        assert await refused(db, statement) == (1235, f"not emulated: {feature}")


async def test_both_quotes_of_binary_literals(db) -> None:
    rows = await db.sql("""select hex(X'4d'), hex(x"4d4e")""")
    assert rows == [("4D", "4D4E")]


async def test_nesting_and_length_that_programs_write(db) -> None:
    assert await db.sql("select " + "(" * 25 + "1" + ")" * 25) == [(1,)]
    assert await db.sql("select 1 where 1 in (" + ", ".join(map(str, range(20000))) + ")") == [(1,)]


async def test_dollars_are_letters(db) -> None:
    detail = "Getting analyzing error. Detail message: Column '{}' cannot be resolved."
    assert await refused(db, "select $$a$$") == (1064, detail.format("$$a$$"))
    assert await refused(db, "select $1") == (1064, detail.format("$1"))


@pytest.mark.parametrize(
    ("item", "value", "name"),
    [("'a' 'b'", "a", "b"), ("'a' as 'b c'", "a", "b c"), ('1 "x`y"', 1, "x`y"), ("1 'it''s'", 1, "it's"),
     ("upper('a') b", "A", "b"), ("'a' `b`", "a", "b")],
)  # fmt: skip
async def test_a_string_after_an_expression_is_its_name(db, item, value, name) -> None:
    rows = await db.sql(f"select {item}", cursorclass=pymysql.cursors.DictCursor)
    assert rows == [{name: value}]


@pytest.mark.parametrize(
    "query",
    ["select 1;", "(select 1)", "((select 1)) limit 1", "select (select 1) * 1", "select ((select 1) * 1)",
     "(select 1) union all (select 2) order by 1 desc limit 1 offset 1",
     "select * from ((select 1 x) a cross join (select 1 y) b)",
     "select if(1 = 1, 1, 2)", "select left('1', 1)", "select 1 from t right join (select 1) u on true limit 1",
     "with c (x) as (select 1) select x from c", "select 1 not in (2, 3) and not 1 between 2 and 3",
     "select date_add('2024-01-01', interval 1 day) is not null", "select case 1 when 1 then 1 else 2 end",
     "select count(distinct id) + 1 from t", "select row_number() over (partition by 1 order by 1 desc nulls last)",
     "select 1 /* c */ -- d", "select -(-1)", "select 1e0", "select .5 * 2", "select t.id from t union select 1",
     "select cast('1' as decimal(10, 2))", "select 1 from dual", "select [1, 2][1]", "select 1 where (1) in (select 1)"],
)  # fmt: skip
async def test_what_the_grammar_has(db, query) -> None:
    await db.sql("CREATE TABLE t (id INT, a STRING) PRIMARY KEY(id)")
    assert [float(value) for (value, *_) in await db.sql(query)] == [1.0]


WORDS = """select from where group by order limit offset , ( ) 1 2.5 'a' "b" `c` t id * + - / ** = < > <=> and or not in ()
    between like is null as distinct on all case when then else end cast( int [ ] { } d fn : :: -> => | || & && ! ~ ^ % # $ $$
    @ @@ ? ; . .. join left inner cross using values insert into t update set delete union with exists interval day top
    over( partition rows having qualify lateral unnest( count( sum( extract( year convert( array map ` ' " \\ trim( both
    position( substring( date timestamp show table status desc describe explain group_concat( separator for pivot"""


async def test_no_words_of_the_reader_reach_a_client(db) -> None:
    """Bounded and seeded: DBMAZZ_TEST_SEED repeats a run."""
    print(f"DBMAZZ_TEST_SEED={SEED}")
    await db.sql("CREATE TABLE t (id INT, a STRING) PRIMARY KEY(id)")
    chance, words = random.Random(SEED), WORDS.split()

    def run() -> int:
        connection = pymysql.connect(host="127.0.0.1", port=db.sandbox.mysql_port, user="root", database=db.name,
                                     ssl_disabled=True, read_timeout=20)  # fmt: skip
        with connection:
            return sum(refused_well(connection, nonsense(chance, words)) for _ in range(500))

    assert await asyncio.to_thread(run) > 100


def nonsense(chance: random.Random, words: list[str]) -> str:
    head = chance.choice(["select", "select id from t where", "insert into t values (", "", "update t set id ="])
    return " ".join([head, *chance.choices(words, k=chance.randrange(1, 10))])


def refused_well(connection: pymysql.Connection, statement: str) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except pymysql.MySQLError as error:
        assert error.args[0] not in (2006, 2013), statement
        for leaked in ("Token", "sqlglot", "exp.", "duckdb", "Expected", "Invalid expression"):
            assert leaked not in error.args[1], (statement, error.args)
        return True
    return False


async def test_show_table_status(db) -> None:
    await db.sql("CREATE TABLE shop (id INT) PRIMARY KEY(id) COMMENT 'of goods'", "CREATE TABLE u (id INT) PRIMARY KEY(id)",
                 "INSERT INTO shop VALUES (1), (2)")  # fmt: skip
    for statement in (f"show table status from {db.name}", "SHOW TABLE STATUS"):
        rows = await db.sql(statement)
        assert [(row[0], row[1], row[4], row[-1]) for row in rows] == [("shop", "StarRocks", "2", "of goods"),
                                                                      ("u", "StarRocks", "0", "")]  # fmt: skip
        assert len(rows[0]) == 18
    assert [row[0] for row in await db.sql("SHOW TABLE STATUS LIKE 'sh%'")] == ["shop"]
    assert (await refused(db, "SHOW TABLE STATUS FROM nope"))[0] == 5501
    assert await refused(db, "SHOW TABLE 1") == (1235, "not emulated: SHOW TABLE 1")


@pytest.mark.parametrize(
    "statement", ["describe select 1", "desc (select 1)", "DESC verbose select 1", "desc with c as (select 1) select 1"]
)
async def test_describe_of_a_query_is_an_explain(db, statement) -> None:
    assert await refused(db, statement) == (1235, f"not emulated: statement {statement.split()[0].upper()} of a query")

"""Functions of SELECT, by the examples of StarRocks' documentation and what its sources do at the edges."""

import datetime as dt
from decimal import Decimal

import pymysql
import pytest
from dbmazz_sandbox.starrocks.mysql.functions import FUNCTIONS

D = dt.datetime
EXAMPLES = {
    # arithmetic and comparison
    "1/0": None, "7 div 2": 3, "-7 div 2": -3, "9007199254740993 div -1": -9007199254740993,
    "truncate(1.15, 2)": 1.15, "7 % -3": 1, "-7 % 3": -1, "1/3": 1 / 3, "10/4": 2.5, "5 mod 0": None,
    "1.5 * 2.25": Decimal("3.375"), "1 <=> NULL": 0, "NULL <=> NULL": 1, "1 = 1": 1, "not true": 0,
    "5 & 3": 1, "5 | 2": 7, "5 ^ 1": 4, "~5": -6, "true or false": 1, "true || false": 1,
    # conditions
    "if(1 > 2, 'x', 'y')": "y", "ifnull(NULL, 1)": 1, "nvl(NULL, 2)": 2, "coalesce(NULL, NULL, 3)": 3,
    "nullif(1, 1)": None, "isnull(NULL)": 1, "isnotnull(NULL)": 0, "case when 1 = 2 then 'a' else 'b' end": "b",
    "case 2 when 2 then 'z' end": "z", "null_or_empty('')": 1,
    # numbers
    "abs(-3)": 3, "ceil(3.14)": 4, "ceiling(-3.14)": -3, "floor(3.14)": 3, "floor(-3.14)": -4, "round(3.14)": 3,
    "round(2.5)": 3, "round(3.14, 1)": Decimal("3.1"), "truncate(3.149, 2)": 3.14, "mod(10, 3)": 1, "pow(2, 10)": 1024.0,
    "power(2, 3)": 8.0, "sqrt(3.24)": 1.8, "sqrt(-1)": None, "exp(0)": 1.0, "ln(0)": None, "log(2, 8)": 3.0,
    "log(1)": 0.0, "log2(8)": 3.0, "log10(100)": 2.0, "sign(-3)": -1.0, "degrees(pi())": 180.0, "radians(0)": 0.0,
    "sin(0)": 0.0, "cos(0)": 1.0, "tan(0)": 0.0, "asin(2)": None, "acos(1)": 0.0, "atan(0)": 0.0,
    "greatest(3, 5, NULL)": None, "greatest(2, 3, 4)": 4, "least(1, 2)": 1,
    # casts
    "cast('1.5' as int)": None, "cast(1.9 as int)": 1, "cast(-1.9 as int)": -1, "cast('abc' as int)": None,
    "cast(' 12 ' as bigint)": 12, "cast(300 as tinyint)": None, "cast('true' as boolean)": 1, "cast('5' as boolean)": 1,
    "cast('yes' as boolean)": None, "cast('x' as double)": None, "cast('1e3' as double)": 1000.0,
    "cast(1.50 as string)": "1.50", "cast(true as string)": "1", "cast('2020-01-01' as datetime)": D(2020, 1, 1),
    "cast('2024-02-30' as date)": None, "cast('2020-01-02 03:04:05' as date)": dt.date(2020, 1, 2),
    "cast(date '2020-01-02' as int)": 20200102, "cast('1.255' as decimal(5,2))": Decimal("1.26"),
    "cast('1234' as decimal(3,0))": None, "convert('7', int)": 7,
    # texts
    "length('é')": 2, "char_length('é')": 1, "character_length('abc')": 3, "lower('ABé')": "abé", "upper('ab')": "AB",
    "lcase('A')": "a", "ucase('a')": "A", "concat('a', 'b')": "ab", "concat('a', 1)": "a1", "concat('a', NULL)": None,
    "concat_ws('or', 'd', 'is')": "doris", "concat_ws('or', 'd', NULL, 'is')": "doris", "concat_ws(NULL, 'd', 'is')": None,
    "substr('starrockscluster', 1, 9)": "starrocks", "substring('starrocks', 0)": "", "substr('hello', -6, 2)": "",
    "substring('starrocks', -5, 5)": "rocks", "substr('abc', 2)": "bc",
    "mid('abc', 1, 2)": "ab", "left('Hello starrocks', 5)": "Hello", "strleft('a', -1)": "",
    "right('Hello starrocks', 9)": "starrocks", "strright('abc', 1)": "c", "trim('   ab c  ')": "ab c",
    "trim('abcd', 'ad')": "bc", "ltrim('   ab d')": "ab d", "rtrim('ab d   ')": "ab d",
    "replace('http://www.baidu.com:9090', '9090', '')": "http://www.baidu.com:", "replace('abc', '', 'x')": "abc",
    "reverse('hello')": "olleh", "repeat('a', 3)": "aaa", "repeat('a', -1)": "", "space(2)": "  ",
    "lpad('hi', 5, 'xy')": "xyxhi", "lpad('hi', 1, 'xy')": "h", "rpad('hi', 5, 'xy')": "hixyx", "lpad('hi', -1, 'x')": None,
    "instr('foobarbar', 'bar')": 4, "instr('xbar', 'foobar')": 0, "strpos('foobarbar', 'bar')": 4,
    "locate('bar', 'foobarbar')": 4, "locate('bar', 'foobarbar', 5)": 7,
    "starts_with('hello world', 'hello')": 1, "ends_with('Hello', 'lo')": 1,
    "split_part('hello word', ' ', 1)": "hello", "split_part('hello word', ' ', 3)": None,
    "split_part('2019年9月8号', '年', -1)": "9月8号", "substring_index('hello world', ' ', 1)": "hello",
    "substring_index('hello world', ' ', 2)": "hello world", "substring_index('hello starrocks', 't', -1)": "arrocks",
    "find_in_set('b', 'a,b,c')": 2, "find_in_set('d', 'a,b')": 0, "ascii('234')": 50, "char(77)": "M", "hex(10)": "A",
    "hex('abc')": "616263", "hex(-1)": "FFFFFFFFFFFFFFFF", "unhex('616263')": "abc", "unhex('x')": "",
    "md5('abc')": "900150983cd24fb0d6963f7d28e17f72", "md5sum('a', 'bc')": "900150983cd24fb0d6963f7d28e17f72",
    "sha2('abc', 256)": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "to_base64('starrocks')": "c3RhcnJvY2tz", "to_base64('')": None, "from_base64('c3RhcnJvY2tz')": "starrocks",
    "append_trailing_char_if_absent('a', 'c')": "ac", "append_trailing_char_if_absent('ac', 'c')": "ac",
    "append_trailing_char_if_absent('ac', 'cd')": None, "strcmp('a', 'b')": -1,
    "regexp_extract('AbCdE', '([[:lower:]]+)C([[:lower:]]+)', 1)": "b", "regexp_replace('a b c', ' ', '-')": "a-b-c",
    "regexp_replace('a b c', '(b)', '<\\\\1>')": "a <b> c", "'abc' regexp 'b'": 1, "'ab' like 'a%'": 1,
    "'a_b' like 'a\\\\_b'": 1, "'axb' like 'a\\\\_b'": 0, "hex(to_binary('ABab', 'hex'))": "ABAB",
    "from_binary(to_binary('ABAB', 'hex'), 'hex')": "ABAB",
    # JSON
    "json_object('b', 1, 'a', 'x')": '{"a": "x", "b": 1}', "json_array(1, 'a')": '[1, "a"]',
    """parse_json('{"b":1,"a":[1,2]}')""": '{"a": [1, 2], "b": 1}', "parse_json('x{')": None,
    """parse_json('{"a":{"b":1}}')->'$.a.b'""": "1", """parse_json('{"a":{"b":1}}')->'a'""": '{"b": 1}',
    """json_query(parse_json('{"a":[1,2]}'), '$.a[1]')""": "2", """get_json_string('{"k1":"v1"}', '$.k1')""": "v1",
    """get_json_string('{"k1":"v1"}', '$.nope')""": None, """get_json_int('{"k1":1, "k2":"2"}', '$.k1')""": 1,
    """get_json_int('{"k1":1.9}', '$.k1')""": 1, """get_json_double('{"k1":1.3}', '$.k1')""": 1.3,
    """get_json_bool('{"k":true}', '$.k')""": 1, """json_exists(parse_json('{"a":1}'), '$.a')""": 1,
    """json_length(parse_json('{"a":1,"b":2}'))""": 2, "json_length(parse_json('[1,2,3]'))": 3,
    # arrays
    "array_length([1, 2])": 2, "cardinality([1])": 1, "[1, 2, 3][2]": 2, "array_contains([1, 2], 2)": 1,
    "array_position(['a', 'b'], 'b')": 2, "array_join(['a', 'b'], '-')": "a-b", "array_sum([1, 2])": 3,
    "array_max([1, 5, 2])": 5, "array_min([4, 5])": 4, "array_avg([1, 2])": 1.5, "split('a,b,c', ',')": b'["a","b","c"]',
    "array_sort([3, NULL, 1])": b"[null,1,3]", "array_append([1], 2)": b"[1,2]", "array_concat([1], [2])": b"[1,2]",
    "array_slice([1, 2, 3, 4], 2, 2)": b"[2,3]",
    # dates
    "date_add('2010-11-30 23:59:59', INTERVAL 2 DAY)": D(2010, 12, 2, 23, 59, 59), "adddate('2010-11-30', 1)": D(2010, 12, 1),
    "date_sub('2010-11-30 23:59:59', INTERVAL 2 DAY)": D(2010, 11, 28, 23, 59, 59), "subdate('2010-12-01', 1)": D(2010, 11, 30),
    "'2020-01-31' + INTERVAL 1 MONTH": D(2020, 2, 29), "add_months('2020-01-31', 1)": D(2020, 2, 29),
    "months_add('2019-08-01', 2)": D(2019, 10, 1), "years_sub('2022-12-20', 2)": D(2020, 12, 20),
    "hours_add('2022-01-01 01:01:01', 2)": D(2022, 1, 1, 3, 1, 1), "weeks_add('2022-12-20', 2)": D(2023, 1, 3),
    "datediff('2007-12-31 23:59:59', '2007-12-30')": 1, "datediff('2010-11-30 23:59:59', '2010-12-31')": -31,
    "timestampdiff(MONTH, '2003-02-01', '2003-05-01')": 3, "timestampdiff(YEAR, '2002-05-01', '2001-01-01')": -1,
    "timestampdiff(MINUTE, '2003-02-01', '2003-05-01 12:05:55')": 128885,
    "timestampadd(MINUTE, 1, '2019-01-02')": D(2019, 1, 2, 0, 1), "days_diff('2010-11-30 23:59:59', '2010-11-29')": 1,
    "hours_diff('2010-11-30 23:59:59', '2010-11-30 20:58:59')": 3,
    "seconds_diff('2010-11-30 23:59:59', '2010-11-30 23:59:49')": 10,
    "date_format('2009-10-04 22:23:00', '%W %M %Y')": "Sunday October 2009", "date_format('1999-01-01', '%d')": "01",
    "date_format('2007-10-04 22:23:00', '%H:%i:%s')": "22:23:00", "date_format('2024-01-02', 'yyyyMMdd')": "20240102",
    "str_to_date('2014-12-21 12:34:56', '%Y-%m-%d %H:%i:%s')": D(2014, 12, 21, 12, 34, 56), "str_to_date('x', '%Y')": None,
    "to_days('2007-10-07')": 733321, "from_days(730669)": dt.date(2000, 7, 3), "last_day('2023-05-10')": dt.date(2023, 5, 31),
    "dayofweek('2019-06-25')": 3, "dayofmonth('1987-01-31')": 31, "dayofyear('2007-02-03 00:00:00')": 34,
    "dayname('2007-02-03 00:00:00')": "Saturday", "monthname('2008-02-03')": "February", "weekofyear('2008-02-20')": 8,
    "year('1987-01-01')": 1987, "month('1987-02-01')": 2, "quarter('2022-08-09')": 3, "hour('2018-12-31 23:59:59')": 23,
    "minute('2018-12-31 23:59:58')": 59, "second('2018-12-31 23:59:58')": 58,
    "date('2003-12-31 01:02:03')": dt.date(2003, 12, 31),
    "extract(year from '2022-09-30')": 2022, "date_trunc('month', '2020-11-04 11:12:13')": D(2020, 11, 1),
    "from_unixtime(1196440219)": "2007-11-30 16:30:19", "from_unixtime(0, '%Y')": "1970",
    "unix_timestamp('1970-01-02')": 86400,
    "unix_timestamp('1970-01-02 00:00:00.9')": 86400, "week_iso('2008-02-20')": 8,
    "to_date('2020-02-02 00:00:00')": dt.date(2020, 2, 2),
    "str2date('2010-11-30', '%Y-%m-%d')": dt.date(2010, 11, 30), "date_diff('minute', '2022-01-02', '2022-01-01')": 1440,
    "day('1987-01-31')": 31,
}  # fmt: skip


async def test_examples_of_the_documentation(db) -> None:
    got = {}
    for expression in EXAMPLES:
        try:
            got[expression] = (await db.sql(f"SELECT {expression}"))[0][0]
        except pymysql.MySQLError as error:
            got[expression] = error.args
    wrong = {text: (got[text], wanted) for text, wanted in EXAMPLES.items() if got[text] != wanted}
    assert wrong == {}


async def test_aggregates_and_windows(db) -> None:
    await db.sql("CREATE TABLE t (k INT, g STRING, v INT, n DECIMAL(9,2)) PRIMARY KEY(k)",
                 "INSERT INTO t VALUES (1,'a',1,1.10),(2,'a',2,2.20),(3,'b',NULL,3.30),(4,'b',4,NULL)")  # fmt: skip
    rows = await db.sql("SELECT g, count(*), count(v), sum(v), avg(v), min(v), max(v), sum(n), count(distinct v), "
                        "group_concat(v ORDER BY v DESC SEPARATOR '-'), stddev(v), variance(v), ndv(v), any_value(g) "
                        "FROM t GROUP BY g ORDER BY g")  # fmt: skip
    assert rows == [("a", 2, 2, 3, 1.5, 1, 2, Decimal("3.30"), 2, "2-1", 0.5, 0.25, 2, "a"),
                    ("b", 2, 1, 4, 4.0, 4, 4, Decimal("3.30"), 1, "4", 0.0, 0.0, 1, "b")]  # fmt: skip
    rows = await db.sql("SELECT k, row_number() OVER (PARTITION BY g ORDER BY k DESC), lag(k, 1) OVER (ORDER BY k), "
                        "sum(v) OVER (ORDER BY k ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t ORDER BY k")  # fmt: skip
    assert rows == [(1, 2, None, 1), (2, 1, 1, 3), (3, 2, 2, 2), (4, 1, 3, 4)]
    assert await db.sql("SELECT v FROM t ORDER BY v") == [(None,), (1,), (2,), (4,)]  # NULLs are lowest


async def test_stored_arrays_and_json_in_expressions(db) -> None:
    await db.sql("CREATE TABLE t (k INT, a ARRAY<INT>, s ARRAY<STRING>, j JSON) PRIMARY KEY(k)")
    await db.loaded("t", {"k": 1, "a": [3, None, 1], "s": ["x"], "j": {"b": {"c": "d"}, "a": 1.5}})
    rows = await db.sql("SELECT a, array_length(a), array_sum(a), a[1], j->'$.b.c', get_json_double(j, '$.a'), "
                        "CAST(j AS STRING), CAST(j->'b'->'c' AS STRING) FROM t")  # fmt: skip
    assert rows == [(b"[3,null,1]", 3, 4, 3, '"d"', 1.5, '{"a": 1.5, "b": {"c": "d"}}', "d")]
    for statement, feature in (
        ("SELECT array_length(s) FROM t", "operations on columns of type ARRAY<VARCHAR(65533)>"),
        ("SELECT k FROM t WHERE j = 'x'", "comparing, ordering or grouping by JSON"),
        ("SELECT k FROM t ORDER BY j", "comparing, ordering or grouping by JSON"),
        ("SELECT CAST(j->'b' AS STRING) FROM t", "the text of a computed JSON object"),
    ):
        with pytest.raises(pymysql.MySQLError) as caught:
            await db.sql(statement)
        assert caught.value.args == (1235, f"not emulated: {feature}"), statement


@pytest.mark.parametrize(
    ("expression", "feature"),
    [
        ("1.0 / 3", "division of DECIMALs"), ("avg(1.5)", "avg of DECIMALs"),
        ("year('20240102')", "a text or number as a date that is not YYYY-MM-DD[ HH:MM:SS]"),
        ("date_format('2024-01-02', '%U')", "date pattern %U"), ("sha2('a', 512)", "sha2 of other lengths than 256"),
        ("cast('abc' as varchar(2))", "CAST to a CHAR or VARCHAR that is too short"),
        ("parse_json('{}')->'$.*'", "JSONPATH WILDCARD"), ("array_map(x -> x, [1])", "LAMBDA"),
        ("uuid()", "function uuid"), ("median(1)", "function median"), ("list_value(1)", "function list_value"),
        ("epoch('2020-01-01')", "function epoch"), ("current_setting('threads')", "function current_setting"),
        ("'a' collate utf8_bin", "function collate"), ("[1, 2][1:2]", "SLICE"),
    ],
)  # fmt: skip
async def test_what_is_not_known_is_refused_by_name(db, expression, feature) -> None:
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql(f"SELECT {expression}")
    assert caught.value.args == (1235, f"not emulated: {feature}")


async def test_session_time_zone_keeps_unix_times_honest(db) -> None:
    with pytest.raises(pymysql.MySQLError) as caught:
        await db.sql("SET time_zone = 'Asia/Shanghai'", "SELECT from_unixtime(0)")
    assert caught.value.args == (1235, "not emulated: from_unixtime in time zones other than UTC")


def test_every_function_of_the_table_has_an_example() -> None:
    aggregates = {"count", "sum", "min", "max", "avg", "any_value", "array_agg", "stddev", "std", "stddev_pop",
                  "stddev_samp", "variance", "var_pop", "variance_pop", "var_samp", "variance_samp",
                  "multi_distinct_count", "row_number", "rank", "dense_rank", "ntile", "lag", "lead", "first_value",
                  "last_value", "percent_rank", "cume_dist"}  # fmt: skip
    shown = " ".join(EXAMPLES)
    families = tuple(f"_{ending}" for ending in ("add", "sub", "diff"))
    missing = {name for name in FUNCTIONS if f"{name}(" not in shown and name not in aggregates
               and not name.endswith(families)}  # fmt: skip
    assert missing == set()

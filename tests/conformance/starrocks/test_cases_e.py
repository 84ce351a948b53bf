"""Recorded cases E: conditional update by merge_condition (E6 is with the SQL cases)."""

import pytest

from tests.conformance.starrocks.loading import csv, csv_loaded
from tests.conformance.starrocks.test_cases_a import TAB1

MISSING = (
    "Merge condition column {c} does not exist. If you are doing partial update with condition update, please check "
    "condition column is in the given update columns. Otherwise please check condition column is in table tab1"
)


async def tab1(db, *values: tuple[int, int]) -> None:
    """Rows of a key and its v1."""
    rows = ", ".join(f"({k}, 'k2_{k}', {v}, {k}, {k}, 'v4_{k}', 'v5_{k}')" for k, v in values)
    await db.sql(TAB1, f"INSERT INTO tab1 VALUES {rows}")


@pytest.mark.case("E1", "E2", "E4")
async def test_conditions_that_cannot_be(db) -> None:
    await tab1(db, (100, 100))
    full, partial = "100,k2_100,1,1,1,a,b", {"partial_update": "true", "columns": "k1,k2,v1"}
    for line, headers, message in (
        (full, {"merge_condition": "k1"}, "Merge condition column k1 should not be primary key!"),
        (full, {"merge_condition": "v6"}, MISSING.format(c="v6")),
        (full, {"merge_condition": "V1"}, MISSING.format(c="V1")),
        ("100,k2_100,1", partial | {"merge_condition": "v2"}, MISSING.format(c="v2")),
    ):
        reply = await csv(db, "tab1", line, **headers)
        assert (reply["Status"], reply["Message"]) == ("Fail", message)
    assert await db.sql("SELECT v1 FROM tab1") == [(100,)]


@pytest.mark.case("E3")
async def test_a_higher_condition_replaces_the_row(db) -> None:
    await tab1(db, (100, 100))
    await csv_loaded(db, "tab1", "100,k2_100,111,100,100,v4_100,v5_100", merge_condition="v1")
    assert await db.sql("SELECT * FROM tab1") == [(100, "k2_100", 111, 100, 100, "v4_100", "v5_100")]


@pytest.mark.case("E5")
async def test_a_lower_condition_is_discarded(db) -> None:
    await tab1(db, (100, 111), (200, 200))
    reply = await csv(db, "tab1", "100,k2_100,100", "200,k2_200,222", partial_update="true", columns="k1,k2,v1",
                      merge_condition="v1")  # fmt: skip
    assert (reply["Status"], reply["NumberLoadedRows"]) == ("Success", 2)  # a discarded row counts as loaded
    assert await db.sql("SELECT k1, v1 FROM tab1 ORDER BY k1") == [(100, 111), (200, 222)]


@pytest.mark.case("E7")
async def test_the_highest_condition_wins_inside_a_load(db) -> None:
    await db.sql("CREATE TABLE t (org_id INT, id INT, modified_at INT, v INT) PRIMARY KEY(org_id, id)")
    await csv_loaded(db, "t", "1,2,1,1|1,2,0,0", row_delimiter="|", merge_condition="modified_at")
    assert await db.sql("SELECT * FROM t") == [(1, 2, 1, 1)]


@pytest.mark.case("E10")
async def test_column_mode_does_not_look_at_the_condition(db) -> None:
    await db.sql("CREATE TABLE site_access (site_id INT, event_day DATE, user_name VARCHAR(9), pv INT) PRIMARY KEY(site_id)",
                 "INSERT INTO site_access VALUES " + ", ".join(
                     f"({i}, '2020-01-{i}', 'u', {i})" for i in range(22, 29)))  # fmt: skip
    lines = [f"{i},'2020-01-{i}','ll'" for i in range(22, 29)]  # the quotes make no date: NULL
    await csv_loaded(db, "site_access", *lines, partial_update="true", partial_update_mode="column",
                     columns="site_id,event_day,user_name", merge_condition="event_day")  # fmt: skip
    rows = await db.sql("SELECT * FROM site_access ORDER BY site_id")
    assert rows == [(i, None, "'ll'", i) for i in range(22, 29)]


@pytest.mark.case("E11", inferred=True)
async def test_the_highest_condition_stays_over_loads_and_inside_them(db) -> None:
    """Recorded for the storage of shared data; native tables are held to the same."""
    await db.sql("CREATE TABLE t (c0 INT, c1 INT, c2 INT) PRIMARY KEY(c0)")
    await csv_loaded(db, "t", *(f"{i},10,{i}" for i in range(50)))
    await csv_loaded(db, "t", *(f"{i},5,-1" for i in range(50)), merge_condition="c1")
    assert await db.sql("SELECT count(*) FROM t WHERE c1 = 10 AND c2 = c0") == [(50,)]
    lines = [f"{i},{c1},{c1}" for c1 in (20, 30, 25) for i in range(50)]
    await csv_loaded(db, "t", *lines, merge_condition="c1")
    assert await db.sql("SELECT count(*) FROM t WHERE c1 = 30 AND c2 = 30") == [(50,)]

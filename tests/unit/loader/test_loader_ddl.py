"""Relations as DDL, and what an existing table lacks."""

from __future__ import annotations

import pytest
from dbmazz.column_types import SqlType, fits, parse_type, widened
from dbmazz_loader.protocol.ddl import (
    ExistingTable,
    Misfit,
    TargetColumn,
    alterations,
    create_database,
    create_table,
    qualified,
    truncation,
)
from dbmazz_loader.protocol.identifiers import BadName, check_relation, quoted

from tests.unit.loader.relations import column, numeric, relation

AUDIT = [
    TargetColumn("dbmazz_op_type", "tinyint", False),
    TargetColumn("dbmazz_is_deleted", "tinyint(1)", False),
    TargetColumn("dbmazz_synced_at", "datetime", False),
    TargetColumn("dbmazz_cdc_version", "bigint", False),
]
ID = column("id", "int8", key=1)


def existing(*columns: TargetColumn, model: str = "PRIMARY_KEYS", audit: bool = True) -> ExistingTable:
    return ExistingTable("orders", model, (*columns, *(AUDIT if audit else ())))


def test_create_table():
    table = relation(
        column("note", "varchar", modifier=14),
        column("b", "int4", key=2),
        column("a", "uuid", key=1),
        column("price", "numeric", modifier=numeric(12, 2)),
        column("raw", "bytea"),
        column("tags", "text[]"),
        name="items",
        schema="sales",
    )
    assert create_table("dbmazz", table, 3) == (
        "CREATE TABLE IF NOT EXISTS `dbmazz`.`sales__items` (`a` VARCHAR(36) NOT NULL, `b` INT NOT NULL,"
        " `note` VARCHAR(40) NULL, `price` DECIMAL(12,2) NULL, `raw` VARBINARY NULL, `tags` JSON NULL,"
        " `dbmazz_op_type` TINYINT NULL, `dbmazz_is_deleted` BOOLEAN NULL, `dbmazz_synced_at` DATETIME NULL,"
        " `dbmazz_cdc_version` BIGINT NULL) PRIMARY KEY (`a`, `b`) DISTRIBUTED BY HASH (`a`, `b`)"
        ' PROPERTIES ("replication_num" = "3")'
    )
    assert "PROPERTIES" not in create_table("dbmazz", table, None)
    assert create_database("dbmazz") == "CREATE DATABASE IF NOT EXISTS `dbmazz`"


@pytest.mark.parametrize(
    "name", ["select", "two words", "Ünïcode", "q\"uo'te", "semi; DROP TABLE x; --", "dot.dot", "50%s"]
)
def test_hostile_names_stay_within_their_backticks(name):
    table = relation(ID, column(name), name=name)
    statement = create_table("dbmazz", table, 1)
    assert f"`dbmazz`.`{name}` (" in statement
    assert f", `{name}` VARCHAR(1048576) NULL," in statement
    # Nothing of the name is left outside of backticks.
    assert statement.count("`") % 2 == 0
    outside = "".join(statement.split("`")[::2])
    assert name not in outside.replace("select", "")


@pytest.mark.parametrize("name", ["a`b", "", "x" * 1025, "a\nb", "a\x00b"])
def test_names_that_cannot_be_quoted_are_refused(name):
    with pytest.raises(BadName):
        quoted(name)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ((ID, column("dbmazz_op_type", "int4")), "reserves"),
        ((ID, column("DBMAZZ_SYNCED_AT")), "reserves"),
        ((ID, column("__op", "int4")), "reserves"),
        ((ID, column("Name"), column("name")), "columns Name and name of public.orders differ only in case"),
        ((ID, column("a=b")), "= < > ! *"),
        ((ID, column("b", "bytea"), column("b__b64")), "b__b64"),
        ((column("note"),), "no primary key"),
    ],
)
def test_relations_that_starrocks_cannot_have(columns, words):
    with pytest.raises(BadName) as caught:
        check_relation(relation(*columns))
    assert words in str(caught.value)
    assert caught.value.way_out


def test_a_fitting_table_is_left_alone():
    table = relation(ID, column("note"), column("n", "int2"))
    columns = (
        TargetColumn("id", "bigint(20)", True, nullable=False),
        TargetColumn("NOTE", "varchar(1048576)", False),
        TargetColumn("n", "int", False),
        TargetColumn("of_the_user", "array<int(11)>", False),
    )
    assert alterations("dbmazz", table, existing(*columns)) == []


def test_missing_columns_are_added_in_one_statement():
    table = relation(ID, column("note"), column("new one", "date"))
    found = existing(TargetColumn("id", "bigint", True), audit=False)
    assert alterations("d", table, found) == [
        "ALTER TABLE `d`.`orders` ADD COLUMN `note` VARCHAR(1048576) NULL, ADD COLUMN `new one` DATE NULL,"
        " ADD COLUMN `dbmazz_op_type` TINYINT NULL, ADD COLUMN `dbmazz_is_deleted` BOOLEAN NULL,"
        " ADD COLUMN `dbmazz_synced_at` DATETIME NULL, ADD COLUMN `dbmazz_cdc_version` BIGINT NULL"
    ]


def test_narrow_columns_are_widened_and_keep_default_and_nullability():
    table = relation(ID, column("n", "int8"), column("v", "varchar", modifier=104), column("f", "float8"))
    columns = (
        TargetColumn("id", "bigint", True),
        TargetColumn("n", "smallint", False, nullable=False, default="7"),
        TargetColumn("v", "char(20)", False, default='a"\\b'),
        TargetColumn("f", "float", False),
    )
    assert alterations("d", table, existing(*columns)) == [
        'ALTER TABLE `d`.`orders` MODIFY COLUMN `n` BIGINT NOT NULL DEFAULT "7"',
        'ALTER TABLE `d`.`orders` MODIFY COLUMN `v` VARCHAR(400) NULL DEFAULT "a\\"\\\\b"',
        "ALTER TABLE `d`.`orders` MODIFY COLUMN `f` DOUBLE NULL",
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (existing(TargetColumn("id", "bigint", True), model="DUP_KEYS"), "is no Primary Key table. Drop it"),
        (existing(TargetColumn("id", "bigint", False), model=""), "is no Primary Key table"),
        (existing(TargetColumn("other", "bigint", True)), "has the primary key (other), its source has (id)"),
        (existing(TargetColumn("id", "int", True)), "key column id of `d`.`orders` is INT, its source needs BIGINT"),
        (
            existing(TargetColumn("id", "bigint", True), TargetColumn("note", "double", False)),
            "run: ALTER TABLE `d`.`orders` MODIFY COLUMN `note` VARCHAR(1048576) NULL",
        ),
        (
            ExistingTable(
                "orders",
                "PRIMARY_KEYS",
                (TargetColumn("id", "bigint", True), TargetColumn("DBMAZZ_op_type", "tinyint", False), *AUDIT[1:]),
            ),
            "RENAME COLUMN `DBMAZZ_op_type` TO `dbmazz_op_type`",
        ),
    ],
)  # fmt: skip
def test_tables_that_only_a_person_can_change(found, words):
    with pytest.raises(Misfit) as caught:
        alterations("d", relation(ID, column("note")), found)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("tinyint(1)", "BOOLEAN"), ("tinyint(4)", "TINYINT"), ("int(11)", "INT"), ("bigint(20)", "BIGINT"),
        ("bigint(20) unsigned", "LARGEINT"), ("largeint", "LARGEINT"), ("decimal64(12, 2)", "DECIMAL(12,2)"),
        ("decimal(38, 9)", "DECIMAL(38,9)"), ("DECIMAL", "DECIMAL(10,0)"), ("string", "VARCHAR(65533)"),
        ("varchar(10)", "VARCHAR(10)"), ("varbinary(1048576)", "VARBINARY"), ("array<int(11)>", "ARRAY<INT(11)>"),
        ("datetime", "DATETIME"),
    ],
)  # fmt: skip
def test_types_are_read_in_every_spelling(text, sql):
    assert str(parse_type(text)) == sql


@pytest.mark.parametrize(
    ("wanted", "found", "outcome"),
    [
        ("INT", "INT", "fits"), ("SMALLINT", "BIGINT", "fits"), ("BIGINT", "INT", "BIGINT"), ("BIGINT", "LARGEINT", "fits"),
        ("VARCHAR(10)", "VARCHAR(20)", "fits"), ("VARCHAR(20)", "VARCHAR(10)", "VARCHAR(20)"),
        ("VARCHAR(10)", "CHAR(20)", "VARCHAR(20)"), ("DECIMAL(10,2)", "DECIMAL(12,2)", "fits"),
        ("DECIMAL(12,2)", "DECIMAL(12,4)", "DECIMAL(14,4)"), ("DECIMAL(38,0)", "DECIMAL(38,9)", None),
        ("DECIMAL(18,0)", "BIGINT", "fits"), ("DECIMAL(19,0)", "BIGINT", None), ("INT", "DECIMAL(10,0)", "fits"),
        ("INT", "DECIMAL(10,2)", None), ("FLOAT", "DOUBLE", "fits"), ("DOUBLE", "FLOAT", "DOUBLE"),
        ("DATE", "DATETIME", "fits"), ("DATETIME", "DATE", None), ("BIGINT", "VARCHAR(20)", "fits"),
        ("BIGINT", "VARCHAR(19)", None), ("JSON", "VARCHAR(65533)", "fits"), ("JSON", "VARCHAR(100)", None),
        ("BOOLEAN", "VARCHAR(10)", None), ("VARBINARY", "VARCHAR(10)", None), ("VARCHAR(10)", "JSON", None),
        ("BOOLEAN", "TINYINT", None), ("INT", "BOOLEAN", None),
    ],
)  # fmt: skip
def test_comparison(wanted, found, outcome):
    one, other = parse_type(wanted), parse_type(found)
    assert fits(one, other) is (outcome == "fits")
    if outcome != "fits":
        change = widened(one, other)
        assert (str(change) if change else None) == outcome
        # What was widened holds both, and is not widened again.
        assert change is None or (fits(one, change) and (fits(other, change) or other.base == "CHAR"))


def test_a_widened_type_is_a_fixed_point_for_decimals():
    for precision in range(1, 39):
        for scale in range(precision + 1):
            wanted = SqlType("DECIMAL", (precision, scale))
            change = widened(wanted, SqlType("DECIMAL", (20, 5)))
            assert change is None or fits(wanted, change)


def test_truncation():
    older = "(`dbmazz_cdc_version` < 7 OR `dbmazz_cdc_version` IS NULL)"
    assert truncation("d", "t", 7, False, "now") == f"DELETE FROM `d`.`t` WHERE {older}"
    assert truncation("d", "t", 7, True, "2026-01-01 00:00:00.000000") == (
        "UPDATE `d`.`t` SET `dbmazz_is_deleted` = true, `dbmazz_op_type` = 2,"
        " `dbmazz_synced_at` = '2026-01-01 00:00:00.000000', `dbmazz_cdc_version` = 7"
        f" WHERE {older} AND (`dbmazz_is_deleted` = false OR `dbmazz_is_deleted` IS NULL)"
    )
    assert qualified("d", "t") == "`d`.`t`"

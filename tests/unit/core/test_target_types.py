"""Source types to StarRocks types and codecs, audit columns, names."""

import pytest
from dbmazz.relation import Column, Relation, ReplicaIdentity, TypeFamily
from dbmazz.target import AUDIT_COLUMNS, Codec, TargetType, ordered_columns, target_table_name, target_type

VARCHAR_MAX = "VARCHAR(1048576)"


def numeric(precision: int, scale: int) -> int:
    """atttypmod as numerictypmodin() makes it."""
    return (precision << 16 | scale & 0x7FF) + 4


@pytest.mark.parametrize(
    ("oid", "modifier", "sql", "codec"),
    [
        (16, -1, "BOOLEAN", Codec.BOOL),
        (21, -1, "SMALLINT", Codec.NUMBER),
        (23, -1, "INT", Codec.NUMBER),
        (20, -1, "BIGINT", Codec.NUMBER),
        (26, -1, "BIGINT", Codec.NUMBER),
        (700, -1, "FLOAT", Codec.REAL),
        (701, -1, "DOUBLE", Codec.FLOAT),
        (1700, numeric(10, 2), "DECIMAL(10,2)", Codec.DECIMAL),
        (1700, numeric(38, 38), "DECIMAL(38,38)", Codec.DECIMAL),
        (1700, numeric(39, 2), "VARCHAR(65533)", Codec.TEXT),
        (1700, numeric(3, -2), "DECIMAL(5,0)", Codec.DECIMAL),  # up to 99900
        (1700, numeric(2, 4), "DECIMAL(4,4)", Codec.DECIMAL),  # below 0.01
        (1700, numeric(37, -5), "VARCHAR(65533)", Codec.TEXT),
        (1700, -1, "VARCHAR(65533)", Codec.TEXT),  # unbounded: text keeps every digit
        (25, -1, VARCHAR_MAX, Codec.TEXT),
        (1043, 20 + 4, "VARCHAR(80)", Codec.TEXT),  # four bytes per character
        (1043, -1, VARCHAR_MAX, Codec.TEXT),
        (1043, 1_000_000 + 4, VARCHAR_MAX, Codec.TEXT),
        (1042, 1 + 4, "VARCHAR(4)", Codec.TEXT),
        (2950, -1, "VARCHAR(36)", Codec.TEXT),
        (1082, -1, "DATE", Codec.DATE),
        (1114, 3, "DATETIME", Codec.TIMESTAMP),
        (1184, -1, "DATETIME", Codec.TIMESTAMPTZ),
        (1083, -1, "VARCHAR(64)", Codec.TEXT),
        (1186, -1, "VARCHAR(64)", Codec.TEXT),
        (114, -1, "JSON", Codec.JSON),
        (3802, -1, "JSON", Codec.JSON),
        (17, -1, "VARBINARY", Codec.BYTEA),
        (869, -1, VARCHAR_MAX, Codec.TEXT),  # inet
        (999_999, -1, VARCHAR_MAX, Codec.TEXT),  # nobody knows it
    ],
)
def test_scalars(oid, modifier, sql, codec):
    assert target_type(Column("c", oid, modifier)) == TargetType(sql, codec)


def test_a_domain_is_read_as_what_is_below_it():
    assert target_type(Column("c", 99_999, -1, base_type_oid=23)) == TargetType("INT", Codec.NUMBER)


@pytest.mark.parametrize(
    ("element", "codec"),
    [
        (23, Codec.NUMBER),
        (16, Codec.BOOL),
        (701, Codec.FLOAT),
        (3802, Codec.JSON),
        (25, Codec.TEXT),
        (1700, Codec.TEXT),  # a number beyond a double would lose digits inside a JSON column
        (17, Codec.TEXT),
        (1184, Codec.TEXT),
        (999_999, Codec.TEXT),
    ],
)
def test_arrays_are_json_with_elements_by_their_own_codec(element, codec):
    column = Column("c", 1007, family=TypeFamily.ARRAY, element_type_oid=element)
    assert target_type(column) == TargetType("JSON", Codec.ARRAY, codec)


@pytest.mark.parametrize(
    ("family", "sql"),
    [
        (TypeFamily.ENUM, "VARCHAR(256)"),
        (TypeFamily.COMPOSITE, VARCHAR_MAX),
        (TypeFamily.RANGE, VARCHAR_MAX),
    ],
)
def test_other_families_are_text(family, sql):
    assert target_type(Column("c", 99_999, family=family)) == TargetType(sql, Codec.TEXT)


@pytest.mark.parametrize(
    ("oid", "modifier", "sql"),
    [
        (20, -1, "BIGINT"),
        (16, -1, "BOOLEAN"),
        (1082, -1, "DATE"),
        (1184, -1, "DATETIME"),
        (2950, -1, "VARCHAR(36)"),
        (1700, numeric(10, 2), "VARCHAR(65533)"),
        (701, -1, "VARCHAR(65533)"),
        (17, -1, "VARCHAR(65533)"),
        (3802, -1, "VARCHAR(65533)"),
    ],
)
def test_a_key_has_a_type_that_starrocks_takes_in_a_primary_key(oid, modifier, sql):
    found = target_type(Column("id", oid, modifier, key_position=1))
    assert found.sql == sql
    if sql == "VARCHAR(65533)":
        assert found.codec is Codec.TEXT


def test_the_key_comes_first_in_key_order():
    columns = (Column("a", 23), Column("b", 23, key_position=2), Column("c", 23), Column("d", 23, key_position=1))
    relation = Relation(1, "public", "t", ReplicaIdentity.DEFAULT, 1, columns)
    assert relation.key_indices == (3, 1)
    assert [column.name for column in ordered_columns(relation)] == ["d", "b", "a", "c"]


def test_names():
    assert target_table_name("public", "orders") == "orders"
    assert target_table_name("sales", "orders") == "sales__orders"
    assert [name for name, _ in AUDIT_COLUMNS] == [
        "dbmazz_op_type",
        "dbmazz_is_deleted",
        "dbmazz_synced_at",
        "dbmazz_cdc_version",
    ]

"""Relations from stream and catalogue, the registry of tables, patterns of TABLES, and preflight."""

from dataclasses import replace

import pytest
from dbmazz.errors import ConfigError, SourceError
from dbmazz.relation import ReplicaIdentity, TypeFamily
from dbmazz_reader.postgres.catalogue import ServerInfo, UserTable
from dbmazz_reader.postgres.connecting import parse
from dbmazz_reader.postgres.names import matches, quote_table
from dbmazz_reader.postgres.preflight import check_server, check_tables, select_tables
from dbmazz_reader.protocol.pgoutput import RelationColumn, RelationMessage
from dbmazz_reader.protocol.relations import Table, TableColumn, TypeInfo, from_catalogue, from_message, same_shape
from dbmazz_reader.tables import Tables

INT = TypeInfo(23, "integer", TypeFamily.SCALAR, 23)
PRICE = TypeInfo(16400, "price", TypeFamily.SCALAR, 1700, modifier=(10 << 16 | 2) + 4)
TYPES = {23: INT, 16400: PRICE}
ORDERS = Table(
    7,
    "public",
    "orders",
    ReplicaIdentity.DEFAULT,
    (TableColumn("b", 23, -1, True), TableColumn("a", 23, -1, True), TableColumn("p", 16400, -1, False)),
    primary_key=("a", "b"),
    identity_key=("b",),
)


def described(table: Table = ORDERS, identity: str = "d", **names: str) -> RelationMessage:
    columns = tuple(RelationColumn(1, names.get(c.name, c.name), c.type_oid, c.type_modifier) for c in table.columns)
    return RelationMessage(table.relation_id, table.schema, table.name, identity, columns)


def test_key_comes_from_the_catalogue_in_key_order():
    relation = from_message(described(), ORDERS, TYPES, 3)
    assert [(column.name, column.key_position) for column in relation.columns] == [("b", 2), ("a", 1), ("p", 0)]
    assert (relation.schema_version, relation.columns[2].oid, relation.columns[2].type_modifier) == (3, 1700, 655366)
    assert same_shape(relation, from_catalogue(ORDERS, TYPES, 1))
    assert from_message(described(identity="i"), ORDERS, TYPES, 1).key_indices == (0,)
    assert from_message(described(identity="f"), ORDERS, TYPES, 1).key_indices == (1, 0)


def test_renamed_key_is_found_by_its_place():
    relation = from_message(described(a="former"), ORDERS, TYPES, 1)
    assert [relation.columns[index].name for index in relation.key_indices] == ["former", "b"]
    with pytest.raises(SourceError, match="not among its published columns"):
        from_message(replace(described(), columns=described().columns[2:]), ORDERS, TYPES, 1)


def test_unknown_type_is_a_scalar():
    assert from_message(described(), ORDERS, {}, 1).columns[2].family is TypeFamily.SCALAR


def seeded(words=()) -> Tables:
    tables = Tables(words)
    tables.seed([ORDERS], TYPES, {7: 12})
    return tables


def test_first_description_as_seeded_needs_no_question():
    tables = seeded()
    known = tables.unchanged(described())
    assert (known.lane, known.relation.schema_version) == (1, 1)
    assert "about 12 rows" in known.warning
    assert tables.unchanged(described()) is None, "the second description follows DDL: the key may have changed"
    assert seeded().unchanged(described(identity="f")) is None
    assert seeded().unchanged(described(p="q")) is None


def test_description_with_nothing_new_keeps_the_lane_open():
    tables = seeded()
    before = tables.get(7).builder
    table, changed = tables.described(described(), ORDERS, {})
    assert (table.builder is before, changed) == (True, False)


def test_changed_columns_are_the_next_version_in_the_same_lane():
    tables = seeded()
    table, changed = tables.described(described(p="q"), ORDERS, {})
    assert (changed, table.lane, table.relation.schema_version, table.preexisting_rows) == (True, 1, 2, 12)
    assert tables.of_lane(1) is table


def test_table_made_again_keeps_its_lane():
    tables = seeded()
    again = replace(ORDERS, relation_id=8)
    table, changed = tables.described(described(again), again, {})
    assert (changed, table.lane, table.relation.schema_version) == (True, 1, 2)
    assert tables.get(7) is None


def test_new_table_gets_a_lane_unless_its_target_is_taken():
    tables = seeded()
    other = replace(ORDERS, relation_id=8, name="more")
    table, changed = tables.described(described(other), other, {})
    assert (changed, table.lane, [t.relation.name for t in tables]) == (True, 2, ["more", "orders"])
    tables.described(described(x := replace(ORDERS, relation_id=9, schema="s", name="x")), x, {})
    clash = replace(ORDERS, relation_id=10, name="s__x")
    with pytest.raises(SourceError, match=r"s\.x and public\.s__x would both become s__x"):
        tables.described(described(clash), clash, {})


def test_dropped_table_goes_on_with_what_was_known():
    tables = seeded()
    assert tables.described(described(), None, {})[1] is False
    keyless = replace(ORDERS, primary_key=())
    assert tables.described(described(), keyless, {})[0].relation.key_indices == (1, 0)
    with pytest.raises(SourceError, match="no longer in the publication"):
        tables.described(described(replace(ORDERS, relation_id=99, name="gone")), None, {})
    with pytest.raises(SourceError, match="has no primary key"):
        tables.described(described(replace(ORDERS, relation_id=99, name="new")), replace(keyless, relation_id=99), {})


def test_words_of_tables():
    assert matches("public.orders", "orders")
    assert matches("public.orders", "public.*")
    assert matches("sales.orders", "*.ord*s")
    assert not matches("sales.orders", "orders")
    assert not matches("public.Orders", "orders")
    assert matches("public.a?[b]", "a?[b]")
    assert not matches("public.axb", "a?b")
    assert quote_table('a"b', "c.d") == '"a""b"."c.d"'
    assert Tables(("sales.*",)).wanted(described(replace(ORDERS, schema="sales")))
    assert not Tables(("sales.*",)).wanted(described())


def user_table(name: str, **changes) -> UserTable:
    values = {"relation_id": hash(name), "persistence": "p", "replica_identity": "d", "keyed": True}
    return UserTable(**{**values, "schema": "public", "name": name, **changes})


def test_selection_of_tables():
    existing = [user_table("a"), user_table("b", keyed=False), user_table("c", persistence="u")]
    assert [t.name for t in select_tables(existing, ("a", "*.a"))[0]] == ["a"]
    chosen, warnings = select_tables(existing, ())
    assert ([t.name for t in chosen], len(warnings)) == (["a"], 2)
    assert select_tables(existing, ("public.*",))[1] == warnings
    with pytest.raises(SourceError, match="no primary key"):
        select_tables(existing, ("b",))
    with pytest.raises(ConfigError, match="TABLES names d"):
        select_tables(existing, ("a", "d"))
    assert select_tables([], ()) == ([], [])


GOOD = ServerInfo(160004, "logical", "me", "shop", True, 60_000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 130000}, "13 is too old"),
        ({"wal_level": "replica"}, "ALTER SYSTEM"),
        ({"may_replicate": False}, "ALTER ROLE"),
    ],
)
def test_server_that_cannot_do_it(changes, words):
    check_server(GOOD)
    with pytest.raises(SourceError, match=words):
        check_server(replace(GOOD, **changes))


def test_tables_that_cannot_be_replicated():
    check_tables([ORDERS], "pub")
    bad = [
        ([], "has no table"),
        ([replace(ORDERS, primary_key=())], "ADD PRIMARY KEY"),
        ([replace(ORDERS, replica_identity=ReplicaIdentity.NOTHING)], "REPLICA IDENTITY DEFAULT"),
        ([replace(ORDERS, columns=ORDERS.columns[1:])], "leaves out its key"),
        ([replace(ORDERS, primary_key=())] * 3, "and 2 more tables"),
        ([replace(ORDERS, schema="s", name="x"), replace(ORDERS, name="s__x")], "would both become s__x"),
    ]
    for tables, words in bad:
        with pytest.raises(SourceError, match=words):
            check_tables(tables, "pub")


def test_session_settings_win_over_those_of_the_url():
    parameters = parse(
        "postgresql://me:secret@host/db?options=-c%20TimeZone%3DAsia/Kathmandu%20-c%20work_mem%3D1MB&sslmode=require"
    )
    assert parameters["options"].startswith("-c TimeZone=Asia/Kathmandu -c work_mem=1MB -c TimeZone=UTC")
    assert (parameters["sslmode"], parameters["client_encoding"]) == ("require", "UTF8")
    for url in ("nonsense", "postgresql://host:x/db", "postgresql://me:secret@host"):
        with pytest.raises(ConfigError, match="SOURCE_URL") as caught:
            parse(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["b`t", "new\nline", "esc\x1b[31m"])
def test_names_that_the_target_cannot_have(name):
    """Taken in, such a table would be parked for good, and the slot with it."""
    existing = [user_table("a"), user_table(name)]
    chosen, warnings = select_tables(existing, ("public.*",))
    assert [t.name for t in chosen] == ["a"]
    assert "holds a backtick or a control character" in warnings[0]
    assert warnings[0].isprintable()
    with pytest.raises(SourceError, match="Rename it in the source"):
        select_tables(existing, (f"public.{name}",))
    with pytest.raises(SourceError, match=r"table public.*backtick or a control"):
        check_tables([replace(ORDERS, name=name)], "pub")
    with pytest.raises(SourceError, match=r"column .* of public\.orders holds a backtick"):
        check_tables([replace(ORDERS, columns=(*ORDERS.columns, replace(ORDERS.columns[0], name=name)))], "pub")

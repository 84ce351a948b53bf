"""Which tables are shown, from values only; and whose turn it is to be counted."""

from dataclasses import replace

from dbmazz_monitor.protocol.discovery import Discovery
from dbmazz_monitor.protocol.rota import Rota
from dbmazz_monitor.protocol.sample import SourceSeen, SourceTable, Table, TargetSeen

ORDERS = Table("public.orders", "public", "orders", "orders", transformer="t", lane=1)
NONE = frozenset()


def source(*names: str, ours: bool = True, published: tuple[str, ...] = (), partitions: tuple[str, ...] = ()):
    tables = {}
    for name in names:
        schema, _, table = name.partition(".")
        tables[name] = SourceTable(schema, table, name in published, name in partitions)
    return SourceSeen(tables, None, ours)


def target(*names: str) -> TargetSeen:
    return TargetSeen(dict.fromkeys(names, NONE))


def found(listed=None, there=None, here=None, busy=()) -> dict[str, bool | None]:
    return {table.name: table.replicated for table in Discovery().tables(listed, there, here, busy)}


def test_the_reader_is_enough():
    assert found((ORDERS,)) == {"public.orders": True}


def test_both_databases_are_enough():
    there = source("public.a", "sales.b", "public.only_there", "public.orders")
    here = target("a", "sales__b", "only_here")
    assert found(None, there, here) == {"public.a": False, "sales.b": False}
    assert found((ORDERS,), there, here) == {"public.a": False, "public.orders": True, "sales.b": False}
    assert found(None, there, None) == found(None, None, here) == {}


def test_while_the_reader_was_never_reached_a_published_table_may_be_replicated():
    there = source("public.a", "public.b", published=("public.a",))
    assert found(None, there, target("a", "b")) == {"public.a": None, "public.b": False}
    assert found((), there, target("a", "b")) == {"public.a": False, "public.b": False}


def test_neither_partitions_nor_dbmazz_own_tables_nor_the_target_of_another_table():
    there = source("public.parts", "public.parts1", "public.dbmazz_x", "dbmazz_s.t", "public.sales__orders",
                   "sales.orders", partitions=("public.parts1",))  # fmt: skip
    sales = replace(ORDERS, name="sales.orders", schema="sales", target_table="sales__orders")
    here = target("parts", "parts1", "dbmazz_x", "dbmazz_s__t", "dbmazz_checkpoints", "sales__orders")
    assert found((sales,), there, here) == {"public.parts": False, "sales.orders": True}


def test_a_dropped_table_goes_when_nothing_waits_for_it():
    gone = source("public.other")
    assert found((ORDERS,), gone, target("orders")) == {}
    assert found((ORDERS,), gone, target("orders"), busy={1}) == {"public.orders": True}
    # Perhaps another database: then nothing can be said.
    assert found((ORDERS,), source("public.other", ours=False), target()) == {"public.orders": True}
    # A partition that is replicated for itself is there.
    leaf = source("public.orders", partitions=("public.orders",))
    assert found((ORDERS,), leaf, target()) == {"public.orders": True}


def test_the_same_inputs_give_the_same_tables_and_new_ones_are_seen():
    discovery, listed, here = Discovery(), (ORDERS,), target("orders", "a")
    there = source("public.orders")
    first = discovery.tables(listed, there, here)
    assert discovery.tables(listed, there, here) is first
    more = discovery.tables(listed, source("public.orders", "public.a"), here)
    assert [table.name for table in more] == ["public.a", "public.orders"]
    assert [table.name for table in discovery.tables(listed, there, here)] == ["public.orders"]


def test_rota_prefers_who_was_never_counted_then_changes_then_age():
    rota = Rota(again_s=100.0)
    assert rota.due({"a": 1, "b": 1, "c": 1}, 0.0) == ["a", "b", "c"]
    for at, name in enumerate("abc"):
        rota.counted(name, 1, float(at))
    assert rota.due({"a": 1, "b": 1, "c": 1}, 50.0) == []
    assert rota.due({"a": 1, "c": 2, "b": 2, "d": 1}, 50.0) == ["d", "b", "c"]
    assert rota.due({"a": 1, "c": 2, "b": 1}, 101.0) == ["c", "a", "b"]


def test_rota_leaves_alone_what_cannot_be_counted_and_forgets_what_is_gone():
    rota = Rota(again_s=100.0)
    rota.counted("a", 1, 0.0, held=True)
    assert rota.due({"a": 2}, 99.0) == []
    assert rota.due({"a": 2}, 100.0) == ["a"]
    rota.counted("a", 2, 100.0)
    rota.due({}, 100.0)
    assert rota.due({"a": 2}, 101.0) == ["a"]

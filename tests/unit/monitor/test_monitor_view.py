"""What the page says about a ring, from values only."""

import json
from dataclasses import replace

from dbmazz_monitor.protocol.history import History, Measures
from dbmazz_monitor.protocol.sample import (
    SERVICES,
    CheckpointFacts,
    Counts,
    Lane,
    LoaderFacts,
    ReaderFacts,
    Replica,
    RingSample,
    Signature,
    Slot,
    SourceCount,
    State,
    Table,
    TargetCount,
    TransformerFacts,
)
from dbmazz_monitor.protocol.view import view

FACTS = {
    "reader": ReaderFacts(
        slot_name="s", confirmed_lsn="0/10", server_lsn="0/20", row_count=9, slot=Slot("reserved", 1024)
    ),
    "transformer": TransformerFacts(lanes=(Lane(1, "public.orders", "idle", 0),), partial_load_count=2),
    "loader": LoaderFacts(loaded_row_count=8, target_version="3.3.11"),
    "checkpoint": CheckpointFacts((("s", "0/10"), ("other", "0/99"))),
}
ORDERS = Table("public.orders", "public", "orders", "orders", row_count=5, transformer="t")
ITEMS = Table("public.items", "public", "items", "items", row_count=2, transformer="t")


def replica(service: str, **changes) -> Replica:
    base = Replica(service, "127.0.0.1:1", State.RUNNING, name=service, facts=FACTS[service], rss_bytes=1 << 20)
    return replace(base, **changes)


def down(service: str) -> Replica:
    return Replica(service, "127.0.0.1:1", State.DOWN, "nothing answers at 127.0.0.1:1")


def ring(*others: Replica, tables=(ORDERS, ITEMS), **changes) -> RingSample:
    """All four running; `others` take the place of theirs."""
    replaced = {one.service for one in others}
    replicas = [replica(service) for service in SERVICES if service not in replaced]
    return RingSample(1.0, 1_800_000_000_000, (*replicas, *others), tables, **changes)


def shown(sample: RingSample, source: Counts | None = None, target: Counts | None = None) -> dict:
    made = view(sample, History().add(sample), source or Counts(), target or Counts())
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


def node(made: dict, ident: str) -> dict:
    return next(one for one in made["ring"]["nodes"] if one["id"] == ident)


def test_all_is_well():
    made = shown(ring())
    assert made["headline"] == {"level": "ok", "text": "All is well"}
    assert made["problems"] == []
    assert [one["id"] for one in made["ring"]["nodes"]] == ["postgres", *SERVICES, "starrocks"]
    assert {one["level"] for one in made["ring"]["nodes"]} == {"ok"}
    assert node(made, "starrocks")["detail"] == "3.3.11"
    numbers = made["numbers"]
    assert (numbers["rows_in"], numbers["rows_loaded"], numbers["partial_loads"]) == (9, 8, 2)
    assert (numbers["confirmed_lsn"], numbers["stored_lsn"]) == ("0/10", "0/10")
    assert numbers["slot"] == {
        "name": "s",
        "wal_status": "reserved",
        "level": "ok",
        "retained_wal_bytes": 1024,
        "restart_lsn": None,
        "confirmed_flush_lsn": None,
        "safe_wal_bytes": None,
        "growth_bytes_per_s": None,
        "loss_in_s": None,
    }


def test_the_part_that_is_down_is_named():
    for service in SERVICES:
        made = shown(ring(down(service)))
        assert made["headline"] == {"level": "bad", "text": f"Down: {service}"}
        assert made["problems"][0]["text"] == f"{service} is down: nothing answers at 127.0.0.1:1"
        assert node(made, service)["level"] == "bad"
        broken = {(link["from"], link["to"]) for link in made["ring"]["links"] if not link["ok"]}
        assert broken
        assert all(service in link for link in broken)


def test_everything_down():
    made = shown(RingSample(0.0, 0, tuple(down(service) for service in SERVICES)))
    assert made["headline"]["text"] == "Down: reader, transformer, loader and checkpoint"
    assert made["numbers"]["rows_in"] is None
    assert made["numbers"]["slot"] is None
    assert "reader is down" in made["tables"]["empty"]
    assert node(made, "postgres")["level"] == "idle"


def test_no_sample_at_all():
    assert shown(RingSample(0.0, 0))["headline"]["level"] == "bad"


def test_one_of_two_loaders_down_is_a_warning():
    made = shown(ring(replica("loader", name="a"), down("loader")))
    assert made["headline"] == {"level": "warn", "text": "Degraded: loader 1 of 2 running"}
    assert node(made, "loader")["state"] == "1 of 2 running"
    assert made["problems"][0]["level"] == "warn"


def test_counters_add_up_over_replicas():
    made = shown(ring(replica("loader", name="a"), replica("loader", name="b")))
    assert made["numbers"]["rows_loaded"] == 16
    assert made["headline"]["level"] == "ok"


def test_retrying_says_why():
    made = shown(ring(replica("loader", state=State.RETRYING, error="StarRocks refuses the password")))
    assert made["headline"] == {"level": "warn", "text": "Degraded: loader retrying"}
    assert made["problems"][0]["text"] == "loader retries: StarRocks refuses the password"


def test_slot_health():
    for status, level in (("reserved", "ok"), ("extended", "warn"), ("unreserved", "bad"), ("lost", "bad")):
        facts = replace(FACTS["reader"], slot=Slot(status, 5))
        made = shown(ring(replica("reader", facts=facts)))
        assert made["numbers"]["slot"]["level"] == level
        assert [one["level"] for one in made["problems"]] == ([] if level == "ok" else [level])
    made = shown(ring(replica("reader", facts=replace(FACTS["reader"], slot=Slot()))))
    assert made["numbers"]["slot"]["wal_status"] is None
    assert made["problems"] == []


def test_unaccounted_rows_are_the_worst_news():
    facts = LoaderFacts(rows_unaccounted=3, dead_lettered_row_count=1)
    made = shown(ring(replica("loader", facts=facts)))
    assert [one["level"] for one in made["problems"]] == ["bad", "warn"]
    assert made["headline"]["level"] == "bad"


def test_tables_and_totals():
    source = Counts({"public.orders": SourceCount(100, exact=True), "public.items": SourceCount(50_000)})
    target = Counts(
        {"public.orders": TargetCount(98, 4), "public.items": TargetCount(None, note="not in the target yet")}
    )
    made = shown(ring(), source, target)["tables"]
    orders, items = made["rows"]
    assert (orders["source_rows"], orders["target_rows"], orders["deleted_rows"]) == (100, 98, 4)
    assert (orders["source_exact"], items["source_exact"]) == (True, False)
    assert items["warning"] == "not in the target yet"
    totals = made["totals"]
    assert (totals["source_rows"], totals["target_rows"], totals["deleted_rows"], totals["events"]) == (
        50_100,
        98,
        4,
        7,
    )
    assert totals["source_rows_complete"]
    assert not totals["target_rows_complete"]
    assert not totals["source_exact"]


def test_table_status():
    parked = TransformerFacts(lanes=(Lane(1, "public.orders", "parked", 0, "column a is too small"),))
    made = shown(ring(replica("transformer", facts=parked)))
    row = made["tables"]["rows"][0]
    assert (row["level"], row["status"], row["warning"]) == ("bad", "parked", "column a is too small")
    assert made["problems"][0]["text"] == "public.orders is parked: column a is too small"
    tables = (replace(ORDERS, snapshotted=False, warning="had 7 rows"), replace(ITEMS, transformer=""))
    rows = shown(ring(tables=tables))["tables"]["rows"]
    assert [row["level"] for row in rows] == ["warn", "warn"]
    assert [row["status"] for row in rows] == ["streaming, earlier rows missing", "no transformer"]
    assert rows[0]["warning"] == "had 7 rows"
    assert {row["status"] for row in shown(ring(down("reader")))["tables"]["rows"]} == {"reader down"}


def test_sides_that_cannot_be_counted():
    made = shown(
        ring(),
        Counts(problem="Source: SOURCE_URL is not set", configured=False),
        Counts({"public.orders": TargetCount(3, 0)}, problem="StarRocks at h:9030: refused"),
    )
    assert [one["level"] for one in made["problems"]] == ["warn", "idle"]
    assert "SOURCE_URL is not set" in made["problems"][1]["text"]
    assert made["tables"]["rows"][0]["source_rows"] is None
    assert made["tables"]["rows"][0]["target_rows"] == 3  # the last known


def test_signatures_are_the_partial_ones():
    found = (Signature("orders", (), 9, 900, 800, 100, 0), Signature("orders", ("payload",), 2, 40, 0, 40, 0))
    made = shown(ring(signatures=found))["signatures"]
    assert [(one["absent"], one["rows"]) for one in made] == [(["payload"], 40)]


def test_links_move_only_between_living_parts():
    sample = ring(down("loader"))
    links = view(sample, Measures(events=5.0, loaded=5.0), Counts(), Counts())["ring"]["links"]
    assert {(link["from"], link["to"]) for link in links if link["moves"]} == {
        ("postgres", "reader"),
        ("reader", "transformer"),
        ("checkpoint", "reader"),
    }

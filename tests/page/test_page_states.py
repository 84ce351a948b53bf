"""The states made by hand have the keys of the real ones, so that the page's tests are about what it gets."""

from __future__ import annotations

from typing import Any

from dbmazz_monitor.protocol.history import History
from dbmazz_monitor.protocol.sample import (
    CheckpointFacts,
    Counts,
    LoaderFacts,
    ReaderFacts,
    Replica,
    RingSample,
    Signature,
    Slot,
    State,
    Table,
    TransformerFacts,
)
from dbmazz_monitor.protocol.view import view

from tests.page import page_states

FACTS = {
    "reader": ReaderFacts(slot_name="s", slot=Slot("reserved", 1)),
    "transformer": TransformerFacts(),
    "loader": LoaderFacts(),
    "checkpoint": CheckpointFacts(),
}


def real() -> tuple[dict[str, Any], dict[str, Any]]:
    """A state and a point as the monitor makes them."""
    replicas = tuple(
        Replica(name, "127.0.0.1:1", State.RUNNING, name=name, start_time_s=1.0, facts=facts)
        for name, facts in FACTS.items()
    )
    tables = (Table("public.t", "public", "t", "t", transformer="x"),)
    signatures = (Signature("t", ("payload",), 1, 1, 0, 1, 0),)
    sample = RingSample(1.0, page_states.NOW_MS, replicas, tables, signatures)
    history = History()
    return view(sample, history.add(sample), Counts(), Counts()), history.points()[-1]


def keys(value: dict[str, Any]) -> set[str]:
    return set(value)


def test_states_by_hand_have_the_keys_of_real_ones():
    made, point = real()
    hand = page_states.state()
    assert keys(hand) <= keys(made)
    assert keys(hand["numbers"]) <= keys(made["numbers"])
    assert keys(hand["numbers"]["slot"]) <= keys(made["numbers"]["slot"])
    assert keys(hand["tables"]) <= keys(made["tables"])
    assert keys(hand["tables"]["totals"]) <= keys(made["tables"]["totals"])
    assert keys(hand["tables"]["rows"][0]) <= keys(made["tables"]["rows"][0])
    assert keys(hand["signatures"][0]) <= keys(made["signatures"][0])
    assert keys(hand["replicas"][0]) <= keys(made["replicas"][0])
    assert keys(page_states.points(1)[0]) <= keys(point)


def test_pictures_by_hand_have_the_keys_of_real_ones():
    made, hand = real()[0]["ring"], page_states.ring()
    assert [node["id"] for node in hand["nodes"]] == [node["id"] for node in made["nodes"]]
    assert [(one["from"], one["to"]) for one in hand["links"]] == [(one["from"], one["to"]) for one in made["links"]]
    for node, other in zip(hand["nodes"], made["nodes"], strict=True):
        assert keys(node) <= keys(other)
        if node["replicas"]:
            assert keys(node["replicas"][0]) <= keys(other["replicas"][0])
            assert keys(node["replicas"][0]["queue"]) == keys(other["replicas"][0]["queue"])
            assert node["replicas"][0]["queue"]["unit"] == other["replicas"][0]["queue"]["unit"]

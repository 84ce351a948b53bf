"""The feed: rows of tables travel as what has changed, whoever listens and however slowly."""

import asyncio
import json
import random

from dbmazz_monitor.feed import REMEMBERED, Feed


def publish(feed: Feed, **rows: object) -> None:
    listed = [{"name": name, "value": value} for name, value in rows.items()]
    feed.publish({"n": feed.number, "tables": {"rows": listed, "totals": len(listed)}}, [{"t": 1}], 0.0)


def told(feed: Feed, since: int) -> tuple[bool, dict, list[str]] | None:
    document = feed.tables(since)
    if not document:
        return None
    found = json.loads(document)
    return found["all"], {row["name"]: row["value"] for row in found["rows"]}, found["removed"]


def test_first_all_rows_then_changes_then_nothing():
    feed = Feed(0.0)
    publish(feed, a=1, b=1)
    assert told(feed, 0) == (True, {"a": 1, "b": 1}, [])
    publish(feed, a=1, b=2, c=1)
    assert told(feed, 1) == (False, {"b": 2, "c": 1}, [])
    publish(feed, b=2, c=1)
    assert told(feed, 2) == (False, {}, ["a"])
    publish(feed, b=2, c=1)
    assert told(feed, 3) is None
    publish(feed, a=1, b=2, c=1)
    assert told(feed, 4) == (False, {"a": 1}, [])


def test_who_missed_states_misses_no_change(seed: int):
    rng, feed, listeners = random.Random(seed), Feed(0.0), [({}, 0) for _ in range(5)]
    for _ in range(300):
        rows = {name: rng.randrange(3) for name in "abcdefgh" if rng.random() < 0.7}
        publish(feed, **rows)
        for number, (known, seen) in enumerate(listeners):
            if rng.random() < 0.4:
                continue
            if found := told(feed, seen):
                known = found[1] if found[0] else {**known, **found[1]}
                for name in found[2]:
                    known.pop(name, None)  # it may have come and gone meanwhile
            assert known == rows
            listeners[number] = known, feed.number


def test_who_was_away_for_long_gets_all_rows():
    feed = Feed(0.0)
    publish(feed, a=1, b=1)
    for _ in range(REMEMBERED + 5):
        publish(feed, b=1)
    assert told(feed, 1) == (True, {"b": 1}, [])
    assert not feed._removed_at  # forgotten


def test_the_summary_has_no_rows_and_the_document_has():
    feed = Feed(0.0)
    assert feed.document() == b"{}"
    publish(feed, a=1)
    assert json.loads(feed.summary()) == {"n": 0, "tables": {"totals": 1}, "point": {"t": 1}}
    assert json.loads(feed.document())["tables"] == {"rows": [{"name": "a", "value": 1}], "totals": 1}
    assert feed.summary() is feed.summary()  # encoded once for all


async def test_states_come_in_this_process_too_and_end_with_the_feed():
    feed, seen = Feed(0.0), []

    async def follow() -> None:
        async for state in feed.states():
            seen.append(state["n"])
            if state["n"] == 1:
                feed.close()
            else:
                publish(feed)

    publish(feed)
    await asyncio.wait_for(follow(), 5)
    assert seen == [0, 1]


def test_details_fall_back_on_the_row():
    feed = Feed(0.0)
    publish(feed, a=1)
    assert feed.table("a") == {"table": {"name": "a", "value": 1}, "signatures": [], "lane": None}
    assert feed.table("b") is None
    feed.publish({"tables": {"rows": []}}, [], 0.0, lambda name: {"table": name})
    assert feed.table("anything") == {"table": "anything"}

"""What comes over the wire, put together: events, deltas, points; and the numbers in words."""

from __future__ import annotations

import json
import random

import pytest
from dbmazz_monitor.feed import Feed
from dbmazz_monitor.terminal import wording
from dbmazz_monitor.terminal.app import Options, look_of
from dbmazz_monitor.terminal.figures import Figures
from dbmazz_monitor.terminal.spark import bars, resample
from dbmazz_monitor.terminal.stream import EventParser, Malformed


def event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def names(figures: Figures) -> list[str]:
    return [row["name"] for row in figures.state["tables"]["rows"]]


def test_events_come_out_however_the_bytes_are_cut(seed: int):
    stream = b"retry: 2000\n: hello\n" + event("history", []) + b": still here\n\n" + event("state", {"a": "ü\n"})
    cut = random.Random(seed)
    for _ in range(50):
        parser, found, rest = EventParser(), [], stream
        while rest:
            size = cut.randint(1, 9)
            found += parser.feed(rest[:size])
            rest = rest[size:]
        assert found == [("history", []), ("state", {"a": "ü\n"})]


def test_lines_may_end_as_they_like_and_data_may_have_several():
    assert EventParser().feed(b"event: x\r\ndata: [1,\r\ndata: 2]\r\n\r\n") == [("x", [1, 2])]
    assert EventParser().feed(b"event: nothing\n\ndata: 1\n\n") == [("message", 1)]


def test_what_is_no_json_is_malformed():
    with pytest.raises(Malformed):
        EventParser().feed(b"data: <html>\n\n")


def test_changes_of_tables_are_followed():
    figures = Figures()
    figures.take("history", [])
    figures.take("state", {"tables": {"totals": {}}, "point": {"t": 1000}})
    assert not figures.complete
    figures.take("tables", {"all": True, "rows": [{"name": "a", "n": 1}, {"name": "b", "n": 1}], "removed": []})
    assert figures.complete
    figures.take("state", {"tables": {"totals": {"x": 1}}, "point": {"t": 2000}})
    assert names(figures) == ["a", "b"]
    figures.take("tables", {"all": False, "rows": [{"name": "b", "n": 2}, {"name": "c", "n": 1}], "removed": ["a"]})
    assert figures.state["tables"] == {"totals": {"x": 1}, "rows": [{"name": "b", "n": 2}, {"name": "c", "n": 1}]}
    assert [point["t"] for point in figures.points] == [1000, 2000]
    figures.take("something new", {})


def test_a_new_stream_begins_anew_and_shows_the_old_until_then():
    figures = Figures()
    figures.take("state", {"tables": {"rows": [{"name": "a"}]}})
    figures.begin()
    assert not figures.complete
    figures.take("state", {"tables": {}})
    assert names(figures) == ["a"]
    figures.take("tables", {"all": True, "rows": [{"name": "z"}], "removed": []})
    assert names(figures) == ["z"]


def test_it_agrees_with_the_feed_after_any_changes(seed: int):
    """The monitor's own deltas, over the wire's form, give the monitor's own state."""
    chance = random.Random(seed)
    feed, figures, seen, rows = Feed(0.0), Figures(), 0, {}
    parser = EventParser()
    for number in range(200):
        for _ in range(chance.randint(0, 3)):
            name = f"t{chance.randint(0, 9)}"
            rows[name] = {"name": name, "n": number}
        if rows and chance.random() < 0.2:
            rows.pop(chance.choice(list(rows)))
        feed.publish({"tables": {"rows": list(rows.values()), "totals": number}}, [{"t": number}], 0.0)
        if chance.random() < 0.5:
            continue  # a slow listener misses this one
        changed = feed.tables(seen)
        seen = feed.number
        wire = b"event: state\ndata: " + feed.summary() + b"\n\n"
        wire += b"event: tables\ndata: " + changed + b"\n\n" if changed else b""
        for one in parser.feed(wire):
            figures.take(*one)
        assert sorted(names(figures)) == sorted(rows)
        assert {row["name"]: row for row in figures.state["tables"]["rows"]} == rows
        assert figures.state["tables"]["totals"] == number


def test_points_older_than_the_charts_are_forgotten():
    figures = Figures()
    for second in range(1000):
        figures.take("state", {"tables": {"rows": []}, "point": {"t": second * 1000}})
    assert (figures.points[0]["t"], figures.points[-1]["t"]) == (699_000, 999_000)
    figures.take("state", {"tables": {"rows": []}, "point": {"t": 999_000}})  # told twice
    assert len(figures.points) == 301


@pytest.mark.parametrize(
    ("say", "value", "text"),
    [
        (wording.count, 1_234_567, "1,234,567"),
        (wording.brief, 99_999, "99,999"),
        (wording.brief, 100_000, "100K"),
        (wording.brief, 1_234_567, "1.23M"),
        (wording.brief, 999_999, "1M"),
        (wording.brief, 12_345_678_901, "12.3G"),
        (wording.rate, 0, "0"),
        (wording.rate, 0.25, "0.2"),
        (wording.rate, 3001.2, "3,001"),
        (wording.size, 0, "0 B"),
        (wording.size, 1023, "1,023 B"),
        (wording.size, 1536, "1.5 KB"),
        (wording.size, 256 << 20, "256 MB"),
        (wording.size, 5000 << 40, "5,000 TB"),
        (wording.millis, 0, "0 ms"),
        (wording.millis, 999, "999 ms"),
        (wording.millis, 1272, "1.27 s"),
        (wording.millis, 90_000, "90 s"),
        (wording.span, 119, "119 s"),
        (wording.span, 3700, "61 min"),
        (wording.span, 7500, "2 h 5 min"),
        (wording.span, 10**6, "11 days"),
    ],
)
def test_numbers_in_words(say, value: float, text: str):
    assert say(value) == text
    assert say(None) == "–"


def test_bars_say_known_zero_and_unknown_apart():
    assert bars([0, 1, 2, 4, None, 8], 1, " ▁▂▃▄▅▆▇█") == ["▁▁▂▄ █"]
    assert bars([8, 4, 0], 2, " ▁▂▃▄▅▆▇█") == ["█  ", "██▁"]
    assert bars([None, None], 1, " ▁▂▃▄▅▆▇█") == ["  "]
    assert bars([0, 0], 1, " _.-:=+*#") == ["__"]


def test_points_are_put_where_their_time_is():
    points = [{"t": 0, "v": 1}, {"t": 60_000, "v": 3}, {"t": 119_000, "v": 5}, {"t": 120_000, "v": None}]
    assert resample(points, "v", 4, max) == [1, 3, None, 5]
    assert resample([], "v", 3, max) == [None, None, None]
    assert resample([{"t": 5, "v": 2}], "v", 3, max) == [None, None, 2]  # a minute at least
    every_second = [{"t": second * 1000, "v": second} for second in range(60)]
    assert None not in resample(every_second, "v", 200, max)[10:]  # narrower columns than samples


@pytest.mark.parametrize(
    ("encoding", "environment", "options", "fine"),
    [
        ("utf-8", {}, Options(), True),
        ("UTF-8", {"LC_ALL": "en_US.UTF-8"}, Options(), True),
        ("utf-8", {"LC_ALL": "C"}, Options(), False),
        ("utf-8", {}, Options(ascii=True), False),
        ("ascii", {}, Options(), False),
        ("iso8859-1", {}, Options(), False),
        (None, {}, Options(), False),
    ],
)
def test_what_the_terminal_can_show(encoding, environment, options, fine: bool):
    assert look_of(encoding, environment, options).unicode is fine

"""Counters to rates, histograms to percentiles, points of the charts."""

import pytest
from dbmazz.telemetry import LatencyHistogram
from dbmazz_monitor.protocol.history import History
from dbmazz_monitor.protocol.rates import Buckets, LatencyWindow, Meter
from dbmazz_monitor.protocol.sample import LoaderFacts, ReaderFacts, Replica, RingSample, State


def buckets(*samples_ms: float) -> Buckets:
    histogram = LatencyHistogram()
    for sample in samples_ms:
        histogram.record(sample)
    return Buckets(tuple(histogram.counts), histogram.max_ms)


def test_meter_sums_processes():
    meter = Meter()
    assert meter.update(10.0, {"a": 100, "b": 50}) is None
    assert meter.update(12.0, {"a": 300, "b": 150}) == 150.0


def test_meter_takes_a_restart_as_a_new_base():
    meter = Meter()
    meter.update(0.0, {"a": 1000, "b": 10})
    assert meter.update(1.0, {"a": 5, "b": 30}) == 20.0  # a began anew: neither -995 nor +5
    assert meter.update(2.0, {"a": 25, "b": 30}) == 20.0
    assert meter.update(3.0, {"c": 7}) is None


def test_meter_without_time_between_samples():
    meter = Meter()
    meter.update(1.0, {"a": 1})
    assert meter.update(1.0, {"a": 2}) is None


def test_latency_recent_and_overall():
    window = LatencyWindow(window_s=5.0)
    slow = [4000.0] * 100
    recent, overall = window.update(0.0, {"x": buckets(*slow)})
    assert (recent, overall.sample_count) == (None, 100)  # what was before the first sight is not recent
    recent, overall = window.update(3.0, {"x": buckets(*slow, *[100.0] * 100)})
    assert recent.sample_count == 100
    assert recent.p99_ms == pytest.approx(100, rel=0.1)
    assert overall.sample_count == 200
    assert overall.p99_ms == pytest.approx(4000, rel=0.1)
    assert overall.p50_ms == pytest.approx(100, rel=0.1)
    recent, _ = window.update(9.0, {"x": buckets(*slow, *[100.0] * 100)})
    assert recent is None  # all that came is older than the window


def test_latency_merges_loaders_and_survives_a_restart():
    window = LatencyWindow(window_s=5.0)
    window.update(0.0, {"x": buckets(10.0, 10.0), "y": buckets(1000.0)})
    recent, overall = window.update(1.0, {"x": buckets(20.0), "y": buckets(1000.0, 1000.0)})
    assert recent.sample_count == 2  # x began anew with one, y got one more
    assert overall.sample_count == 3


def test_latency_without_samples():
    assert LatencyWindow(5.0).update(0.0, {"x": buckets()}) == (None, None)
    assert LatencyWindow(5.0).update(0.0, {}) == (None, None)


def sample(at_s: float, rows: int | None, *, epoch: int = 1, cpu_s: float = 0.0) -> RingSample:
    reader = Replica("reader", "h:1", State.DOWN, "away")
    if rows is not None:
        facts = ReaderFacts(epoch=epoch, row_count=rows, lag_bytes=7)
        reader = Replica("reader", "h:1", State.RUNNING, name="r", cpu_s=cpu_s, facts=facts)
    loader = Replica("loader", "h:2", State.RUNNING, name="l", facts=LoaderFacts(loaded_row_count=rows or 0))
    return RingSample(at_s, int(at_s * 1000), (reader, loader))


def test_history_measures_and_keeps_five_minutes():
    history = History()
    for second in range(400):
        measures = history.add(sample(float(second), second * 3000, cpu_s=second * 0.25))
    assert measures.events == 3000.0
    assert measures.lag_bytes == 7
    assert list(measures.cpu.values()) == [250.0, 0.0]
    points = history.points()
    assert (points[0]["t"], points[-1]["t"]) == (99_000, 399_000)
    assert points[-1] == {"t": 399_000, "events": 3000.0, "loaded": 3000.0, "lag": 7, "p99": None, "lag_ms": 0}


def test_history_leaves_a_gap_while_the_reader_is_down_and_no_jump_at_a_new_epoch():
    history = History()
    for at, rows, epoch in ((0, 100, 1), (1, 200, 1), (2, None, 1), (3, 900, 2), (4, 950, 2)):
        history.add(sample(float(at), rows, epoch=epoch))
    assert [point["events"] for point in history.points()] == [None, 100.0, None, None, 50.0]
    assert [point["lag"] for point in history.points()] == [7, 7, None, 7, 7]

"""Latency histograms against sorted lists; what a process says about itself; pauses."""

import random

from dbmazz.backoff import Backoff
from dbmazz.telemetry import LatencyHistogram, replica_name, service_status
from dbmazz.v1 import types_pb2


def test_percentiles_are_right_within_a_tenth(seed: int):
    rng = random.Random(seed)
    samples = sorted(rng.lognormvariate(5, 2) + 1 for _ in range(5000))
    histogram = LatencyHistogram()
    for sample in samples:
        histogram.record(sample)
    for fraction in (0.01, 0.5, 0.9, 0.99, 0.999, 1.0):
        exact = samples[max(0, int(fraction * len(samples) + 0.999999) - 1)]
        assert exact <= histogram.percentile(fraction) <= exact * 1.1001
    assert histogram.percentile(1.0) == samples[-1] == histogram.max_ms


def test_without_samples():
    assert LatencyHistogram().percentile(0.99) == 0.0


def test_the_largest_and_the_smallest_have_a_place():
    histogram = LatencyHistogram()
    histogram.record(1e12, 3)
    histogram.record(-5.0)
    histogram.record(0.0)
    assert sum(histogram.counts) == 5
    assert histogram.counts[0] == 2 and histogram.counts[-1] == 3
    assert histogram.percentile(0.99) == 1e12


def test_merging_adds():
    one, two = LatencyHistogram(), LatencyHistogram()
    one.record(5, 2)
    two.record(5, 3)
    two.record(900)
    one.merge(two.to_proto())
    both = LatencyHistogram()
    for sample, count in ((5, 5), (900, 1)):
        both.record(sample, count)
    assert (one.counts, one.max_ms) == (both.counts, 900)
    proto = types_pb2.LatencyHistogram.FromString(one.to_proto().SerializeToString())
    assert (list(proto.count), proto.sample_count, proto.max_ms) == ([5, 1], 6, 900)


def test_only_buckets_that_hold_samples_travel_and_percentiles_with_them():
    histogram = LatencyHistogram()
    assert histogram.to_proto() == types_pb2.LatencyHistogram()
    for sample, count in ((3.14159, 90), (812.3456, 9), (1e12, 1)):
        histogram.record(sample, count)
    proto = histogram.to_proto()
    assert list(proto.upper_bound_ms) == [3.452, 868.7, float("inf")]
    assert list(proto.count) == [90, 9, 1]
    assert (proto.sample_count, proto.p50_ms, proto.p99_ms, proto.max_ms) == (100, 3.5, 868.7, 1e12)


def test_merging_takes_every_bucket_of_a_peer_that_does_not_round_its_bounds():
    exact = [1.1**power for power in range(148)]
    merged = LatencyHistogram()
    merged.merge(types_pb2.LatencyHistogram(upper_bound_ms=[*exact, float("inf")], count=range(1, 150)))
    assert merged.counts == list(range(1, 150))


def test_service_status():
    status = service_status("loader", types_pb2.SERVICE_STATE_RUNNING, {"SINK_PASSWORD": "***"}, "StarRocks is away")
    assert (status.service, status.replica, status.last_error) == ("loader", replica_name(), "StarRocks is away")
    assert status.rss_bytes > 10 << 20
    assert status.cpu_time.ToTimedelta().total_seconds() > 0
    assert status.start_time.seconds > 1_700_000_000
    assert status.version


def test_pauses_grow_to_the_cap_and_start_over():
    backoff = Backoff(first_s=0.2, cap_s=10.0, _random=random.Random(1))
    pauses = [backoff.next_delay() for _ in range(40)]
    for attempt, pause in enumerate(pauses):
        ceiling = min(10.0, 0.2 * 2**attempt)
        assert ceiling / 2 <= pause <= ceiling
    assert len(set(pauses[-10:])) == 10  # jitter
    backoff.reset()
    assert backoff.next_delay() <= 0.2

"""The ledger against a slow reference: any order, any repetition, lanes re-cut under new generations."""

import random

import pytest
from dbmazz_checkpoint.protocol.ledger import Ledger, Part

ROUNDS = 300


class SlowLedger:
    """Remembers every report and computes everything anew from all of them."""

    def __init__(self, start_lsn: int) -> None:
        self.start_lsn = start_lsn
        self.reports: set[Part] = set()

    def completed(self) -> dict[int, int]:
        """safe_lsn of every completed batch."""
        seen: dict[tuple, set[int]] = {}
        for report in self.reports:
            seen.setdefault((report.lane, report.generation, report.batch_ids), set()).add(report.part)
        return {
            batch: lsn
            for report in self.reports
            if len(seen[report.lane, report.generation, report.batch_ids]) == report.part_count
            for batch, lsn in zip(report.batch_ids, report.safe_lsns, strict=True)
        }

    def state(self) -> tuple[int, int, int]:
        """Confirmed LSN, confirmed batch id, batches that wait."""
        completed = self.completed()
        prefix, lsn = 0, self.start_lsn
        while prefix + 1 in completed:
            prefix += 1
            lsn = max(lsn, completed[prefix])
        return lsn, prefix, len(completed) - prefix


def reports_of_an_epoch(rng: random.Random, batch_count: int) -> list[Part]:
    """Every part that the transformers of an epoch report: each lane is cut anew by each generation, from a random
    batch on, and only the last generation lives to report everything."""
    lanes = rng.randint(1, 4)
    lane_of = {batch: rng.randint(1, lanes) for batch in range(1, batch_count + 1)}
    lsn, lsns = rng.randint(0, 50), {}
    for batch in lane_of:
        lsn += rng.choice((0, 0, rng.randint(1, 1000)))
        lsns[batch] = lsn
    reports: list[Part] = []
    for lane in range(1, lanes + 1):
        batches = [batch for batch in lane_of if lane_of[batch] == lane]
        generations = rng.randint(1, 4)
        for generation in range(1, generations + 1):
            last = generation == generations
            left = batches if last else batches[rng.randint(0, len(batches)) :]
            while left:
                size = rng.randint(1, len(left))
                ids, left = tuple(left[:size]), left[size:]
                count = rng.randint(1, 4)
                told = range(count) if last else rng.sample(range(count), rng.randint(0, count))
                safe = tuple(lsns[batch] for batch in ids)
                reports.extend(Part(lane, generation, ids, safe, number, count) for number in told)
    return reports


@pytest.mark.parametrize("first_round", range(0, ROUNDS, 100))
def test_ledger_equals_the_slow_reference_and_never_falls(seed: int, first_round: int):
    for number in range(first_round, first_round + 100):
        rng = random.Random(f"{seed}/{number}")
        start = rng.choice((0, rng.randint(0, 3000)))
        ledger, slow = Ledger(start), SlowLedger(start)
        batch_count = rng.randint(1, 25)
        reports = reports_of_an_epoch(rng, batch_count)
        reports += rng.choices(reports, k=rng.randint(0, len(reports)))
        rng.shuffle(reports)
        before = (start, 0)
        for report in reports:
            ledger.take(report)
            slow.reports.add(report)
            state = (ledger.confirmed_lsn, ledger.confirmed_batch_id, ledger.waiting_batch_count)
            assert state == slow.state(), f"round {number} after {report}"
            assert state[:2] >= before
            before = state[:2]
        assert (ledger.confirmed_batch_id, ledger.waiting_batch_count) == (batch_count, 0)
        assert (ledger.open_window_count, ledger._completed.gap_count) == (0, 0)


def test_the_comparison_can_fail():
    """A ledger that forgets that parts belong to one generation would pass no round: the reference tells them apart."""
    slow = SlowLedger(0)
    slow.reports.add(Part(1, 1, (1,), (9,), 0, 2))
    slow.reports.add(Part(1, 2, (1,), (9,), 1, 2))
    assert slow.state() == (0, 0, 0)
    slow.reports.add(Part(1, 2, (1,), (9,), 0, 2))
    assert slow.state() == (9, 1, 0)

"""The comparison with a kept baseline fails when it should, and only then."""

from __future__ import annotations

import pytest

from tests.bench import report


def drained(ratio: float, cpu_ratio: float | None) -> dict:
    return {
        "rows_per_second": 100_000,
        "ratio_to_pg_recvlogical": ratio,
        "cpu_ratio_to_pg_recvlogical": cpu_ratio,
        "cpu_us_per_row": dict.fromkeys(
            ("reader", "transformer", "loader", "checkpoint", "services", "walsender"), 1.25
        ),
        "pg_recvlogical": {"rows_per_second": 90_000},
        "rows_compared": 7,
    }


@pytest.mark.parametrize(
    ("ratio", "cpu_ratio", "worse"),
    [
        (2.0, 0.8, []),
        (1.71, 0.91, []),
        (5.0, 0.1, []),
        (1.69, 0.8, ["ratio_to_pg_recvlogical"]),
        (2.0, 0.93, ["cpu_ratio_to_pg_recvlogical"]),
        (1.0, None, ["ratio_to_pg_recvlogical", "cpu_ratio_to_pg_recvlogical"]),
    ],
)
def test_fallen(ratio: float, cpu_ratio: float | None, worse: list[str]) -> None:
    lines = report.fallen({"W1": drained(ratio, cpu_ratio)}, {"W1": drained(2.0, 0.8), "W2": drained(2.0, 0.8)})
    assert [line.split()[1] for line in lines] == worse
    assert all(line.startswith("W1: ") for line in lines)


def test_table_has_a_row_for_each_result() -> None:
    steady = {
        "events_per_second": 3000.2,
        "millicores": {"services": 21.5},
        "events_per_millicore": 139.5,
        "lag_ms": None,
        "rss_bytes": {"services": 200_000_000},
        "rows_compared": 0,
    }
    text = report.table({"target": "null", "W1": drained(2.0, 0.8), "steady_3000": steady})
    assert "| W1 | 100,000 | 90,000 | 2.00 | 1.25 " in text
    assert "| steady_3000 | 3,000 | 21.5 | 140 | - | - | - | 200 |" in text

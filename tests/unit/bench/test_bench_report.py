"""The comparison with a kept baseline fails when it should, and only then."""

from __future__ import annotations

import pytest

from tests.bench import kernels, report


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
        "pss_bytes": 150_000_000,
        "rows_compared": 0,
    }
    text = report.table({"target": "null", "W1": drained(2.0, 0.8), "steady_3000": steady})
    assert "| W1 | 100,000 | 90,000 | 2.00 | 1.25 " in text
    assert "| steady_3000 | 3,000 | 21.5 | 140 | - | - | - | 200 | 150 |" in text


def measured(name: str, of: str, workload: str, seconds: float) -> dict:
    extra = {"of": of, "workload": workload, "rows": 10_000}
    return {"name": f"{name}[{workload}]", "extra_info": extra, "stats": {"median": seconds}}


def kernel_figures(seconds: float) -> dict:
    runs = [
        measured("test_reader_kernel", "reader", "W1", seconds),
        measured("test_reader_reference", "reader", "W1", 0.1),
        measured("test_transformer_kernel", "transformer", "W1", seconds),
        measured("test_transformer_reference", "transformer", "W1", 0.05),
    ]
    return {"kernels": kernels.summary({"benchmarks": runs})}


def test_kernels_are_compared_by_their_ratio_to_the_reference() -> None:
    kept = kernel_figures(0.001)
    assert kept["kernels"]["reader"]["W1"] == {
        "us_per_row": 0.1,
        "reference_us_per_row": 10.0,
        "ratio_to_reference": 100.0,
    }
    assert report.fallen(kernel_figures(0.0016), kept) == []
    assert len(report.fallen(kernel_figures(0.0018), kept)) == 2
    assert report.fallen({"W1": drained(2.0, 0.8)}, kept) == [], "the kernels were not asked for"
    assert "| W1 | 0.1 | 10 | 100 | 0.1 | 5 | 50 |" in report.table(kept)

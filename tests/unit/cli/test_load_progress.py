"""How far the load of a table is, in a line."""

import pytest
from dbmazz.v1 import reader_pb2
from dbmazz_cli.status_report import load_line
from google.protobuf.duration_pb2 import Duration


@pytest.mark.parametrize(
    ("estimate", "rows", "line"),
    [
        (5_000_000, 1_200_000, "chunking, 1,200,000 of about 5,000,000 rows (24 %), 1.5 MB, about 2 min left"),
        (10, 10, "chunking, 10 of about 10 rows (100 %), 1.5 MB, about 2 min left"),
        # Before the first ANALYZE an estimate is little more than the number of pages.
        (2_263, 30_000, "chunking, 30,000 rows, 1.5 MB"),
        (0, 5, "chunking, 5 rows, 1.5 MB"),
    ],
)
def test_progress_is_told_against_an_estimate_that_holds(estimate: int, rows: int, line: str) -> None:
    progress = reader_pb2.SnapshotProgress(
        state=reader_pb2.LOAD_STATE_CHUNKING,
        row_count=rows,
        row_estimate=estimate,
        byte_count=1_500_000,
        time_left=Duration(seconds=120),
    )
    assert load_line(progress) == line

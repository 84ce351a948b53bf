"""What makes a demo good, and what programs and people read of it."""

import asyncio
import io
import json
import os
import signal

import pytest
from dbmazz_cli.comparison import TableDifference
from dbmazz_cli.demo.meter import Cost, Meter
from dbmazz_cli.demo.progress import PlainProgress, RichProgress
from dbmazz_cli.demo.result import Result, Signature
from dbmazz_cli.interrupts import Interrupted, Interrupts


def good() -> Result:
    return Result(
        events=6000,
        seconds=2.0,
        lag_ms={"p50": 100.0, "p99": 900.5, "max": 1000.0},
        partial_updates=12,
        tables=[TableDifference("public.orders", 5, 5, 0)],
        services=[Cost("reader", 120, 60_000_000)],
        signatures=[Signature("toast_test", ("document", "body", "blob", "note"), 3, 12, 0)],
    )


def test_the_document_has_the_promised_shape() -> None:
    assert json.loads(json.dumps(good().document())) == {
        "equal": True,
        "events": 6000,
        "events_per_second": 3000.0,
        "lag_ms": {"p50": 100.0, "p99": 900.5, "max": 1000.0},
        "partial_updates": 12,
        "rows_unaccounted": 0,
        "tables": [{"name": "public.orders", "source_rows": 5, "target_rows": 5, "different_rows": 0}],
        "services": [{"name": "reader", "cpu_millicores": 120, "rss_bytes": 60_000_000}],
    }
    assert good().good


def test_what_makes_it_bad() -> None:
    differs = good()
    differs.tables.append(TableDifference("public.t", 2, 2, 1, ["id=7: note differ"]))
    assert (differs.equal, differs.good) == (False, False)
    assert any("id=7: note differ" in line for line in differs.lines())
    assert "DIFFER" in differs.verdict()
    missing = good()
    missing.tables[0].problem = "dbmazz.orders is not in the target"
    assert (missing.equal, missing.good) == (False, False)
    unaccounted = good()
    unaccounted.rows_unaccounted = 1
    assert (unaccounted.equal, unaccounted.good) == (True, False)
    late = good()
    late.problems.append("not everything arrived within 120 s")
    assert (late.equal, late.good) == (True, False)
    assert not Result().good


def test_the_report_names_signatures_and_costs() -> None:
    text = "\n".join(good().lines())
    assert "3,000 per second" in text
    assert "toast_test without document, body, blob and 1 more: 3 loads, 12 updates, 0 deletes" in text
    assert "public.orders" in text


def test_the_meter_reads_this_process() -> None:
    meter = Meter({"me": os.getpid()})
    sum(range(3_000_000))
    [cost] = meter.read({"me": os.getpid(), "gone": 2**22 + 1})
    assert cost.name == "me"
    assert cost.cpu_millicores > 0
    assert cost.rss_bytes > 1_000_000


def test_progress_keeps_brackets_and_order() -> None:
    for progress_class in (PlainProgress, RichProgress):
        stream = io.StringIO()
        progress = progress_class(stream)
        with progress.step("first"):
            pass
        progress.say("mysql -e 'SELECT [red]1[/]'")
        text = stream.getvalue()
        assert "first" in text
        assert "mysql -e 'SELECT [red]1[/]'" in text


async def test_the_first_signal_asks_and_the_second_hurries() -> None:
    interrupts = Interrupts()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(ExceptionGroup) as caught:
            await interrupts.guard(asyncio.wait_for(asyncio.Event().wait(), 10))
        assert isinstance(caught.value.exceptions[0], Interrupted)
        assert not interrupts.hurry.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(interrupts.hurry.wait(), 10)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)

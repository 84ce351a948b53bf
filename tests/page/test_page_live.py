"""What the page shows of the ring as a whole, as it changes, and when somebody is away."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from aiohttp import web
from dbmazz_monitor.app import Monitor, source_counting, target_counting
from dbmazz_monitor.feed import Feed
from dbmazz_monitor.web import application

from tests.fixtures.waiting import wait_until
from tests.page.chromium import new_page, probe
from tests.page.page_states import NOW_MS, down, numbers, points, replica, ring, row, state
from tests.unit.monitor.fake_ring import fake_ring

MOVING = probe("flow")
SILENT = "(() => { const real = Date.now.bind(Date); Date.now = () => real() + 60000; })()"


def card(title: str) -> str:
    figures = "[...document.querySelectorAll('figure')]"
    return f"{figures}.find((one) => one.querySelector('.title').textContent === {json.dumps(title)})"


async def tile(page, title: str) -> list[str]:
    found = "[...document.querySelectorAll('#facts > div')]"
    return await page.run(
        f"(() => {{ const one = {found}.find((one) => one.firstChild.textContent === {json.dumps(title)});"
        " return [one.querySelector('.value').textContent, one.querySelector('.more').textContent]; })()"
    )


async def test_headline_numbers(showing):
    async with showing() as shown:
        page = shown.page
        assert await page.run("document.title") == "dbmazz: All is well"
        for title, value in (
            ("Throughput", "3,246"),
            ("Lag in time", "84 ms"),
            ("Lag in WAL", "13.9 KB"),
            ("Commit to visible", "62 ms / 148 ms"),
        ):
            assert await page.run(f"{card(title)}.querySelector('.value').textContent") == value
        slot = await tile(page, "Slot keeps WAL")
        assert slot == ["38 MB", "reserved · 986 MB to the limit · lost in 68 min at this rate"]
        assert (await tile(page, "Partial updates"))[0] == "6.0 %of rows"
        assert (await tile(page, "Confirmed LSN"))[0] == "16/B374D848"
        assert (await tile(page, "Last sync"))[1] == "0 s ago · 5 loads under way"


async def test_unknown_is_a_dash_and_never_a_zero(showing):
    unknown = dict.fromkeys(numbers())
    made = state(
        [
            row(
                "public.t",
                **dict.fromkeys(
                    ("source_rows", "target_rows", "deleted_rows", "lag_ms", "rate", "partial_rows", "audit")
                ),
            )
        ],
        numbers=unknown,
        ring=ring(moves=False, loader=[down("loader")]),
    )
    async with showing(made) as shown:
        page = shown.page
        for value in await page.texts("figure .value"):
            assert value == "–"
        for value in await page.texts("#facts .value"):
            assert value == "–"
        cells = await page.texts("#table-rows tr:not(.gap) td:not(.status)")
        assert cells == ["–"] * 7
        assert await page.texts("#node-loader .rate") == ["–"]
        assert "0" not in "".join(await page.texts("#node-loader .queue"))
        assert "0 " not in (await page.text("#facts")).replace("0, or something is wrong", "")


async def test_every_replica_is_in_the_picture(showing):
    loaders = [replica("loader", number) for number in range(1, 7)] + [down("loader", 7)]
    async with showing(state(ring=ring(loader=loaders))) as shown:
        page = shown.page
        cards = await page.texts("#node-loader .replicas li .name")
        assert cards == [*(f"loader-{number}" for number in range(1, 7)), "10.0.0.17:50053"]
        assert await page.texts("#node-loader .replicas .state") == [*["running"] * 6, "down"]
        shapes = await page.run(
            "[...document.querySelectorAll('#node-loader .replicas .state use')].map((one) => one.getAttribute('href'))"
        )
        assert shapes == [*["#i-ok"] * 6, "#i-bad"]
        widths = await page.run(
            "[...document.querySelectorAll('#node-loader .bar span')].map((one) => parseFloat(one.style.width))"
        )
        assert widths == pytest.approx([25, 37.5, 50, 62.5, 75, 87.5, 0])
        assert await page.text("#node-loader .head .state") == "6 of 7 running"
        words = await page.text("#ring-words")
        assert "Loader: 6 of 7 running." in words
        # Two live transformers and six live loaders are linked with the middle, the dead one is not.
        assert await page.run("document.querySelectorAll('#links .track.broken').length") == 2
        loaders[6] = replica("loader", 7)
        shown.publish(state(ring=ring(loader=loaders[5:])))
        await page.until("document.querySelectorAll('#node-loader .replicas li').length === 2")


async def test_flow_is_drawn_only_where_data_moves(showing):
    async with showing(state(ring=ring(moves=True))) as shown:
        page = shown.page
        assert await page.run("document.querySelectorAll('#links .flow').length") > 6
        await page.run("document.getElementById('ring').scrollIntoView()")
        assert not await page.run(MOVING)
        await page.prefer(prefers_reduced_motion="no-preference")
        await page.until(MOVING)
        await page.prefer(prefers_reduced_motion="reduce")
        assert not await page.run(MOVING)
        still = replica("loader", 1, rate={"value": 0.0, "unit": "rows/s"})
        shown.publish(state(ring=ring(loader=[still, replica("loader", 2)])))
        # One of two loaders rests: its way in and its way out are bare, all others move.
        await page.until(
            "document.querySelectorAll('#links .track').length - document.querySelectorAll('#links .flow').length === 2"
        )
        shown.publish(state(ring=ring(moves=False)))
        await page.until("document.querySelectorAll('#links .flow').length === 0")


@pytest.mark.parametrize("service", ["reader", "transformer", "loader", "checkpoint"])
async def test_a_part_that_is_down_is_named_and_shown(showing, service: str):
    text = f"{service} is down: nothing answers at 10.0.0.11:50051"
    made = state(
        ring=ring(**{service: [down(service)]}),
        headline={"level": "bad", "text": f"Down: {service}"},
        problems=[{"level": "bad", "text": text}],
    )
    async with showing(made) as shown:
        page = shown.page
        assert await page.run("document.title") == f"⚠ dbmazz: Down: {service}"
        assert await page.run("document.getElementById('headline').dataset.level") == "bad"
        assert await page.texts("#problems .words") == [text]
        assert await page.run(f"document.getElementById('node-{service}').dataset.level") == "bad"
        assert await page.run("document.querySelectorAll('#links .track.broken').length") >= 2
        shown.publish(state())
        await page.until("document.getElementById('headline-text').textContent === 'All is well'")
        assert await page.run("document.querySelectorAll('#problems li, #links .broken').length") == 0


async def test_everything_down_and_no_table_known(showing):
    services = {name: [down(name)] for name in ("reader", "transformer", "loader", "checkpoint")}
    made = state([], ring=ring(moves=False, **services), numbers={**dict.fromkeys(numbers()), "slot": None})
    made["tables"]["empty"] = "The reader is down, and it is the one that knows the tables."
    made["numbers"]["latency_recent"] = None
    async with showing(made) as shown:
        assert await shown.page.text("#tables-empty") == made["tables"]["empty"]
        assert await shown.page.run("document.getElementById('table-box').hidden")
        assert await shown.page.texts("#service-rows .state") == ["down"] * 4


async def test_charts_draw_and_are_read_with_pointer_and_keys(showing):
    async with showing() as shown:
        page = shown.page
        assert await page.run("document.querySelectorAll('.plot canvas').length") == 4
        # Something in the series' own colour is on the canvas, so the theme's colours reach it.
        blue = """(() => { const c = document.querySelector('.plot canvas');
          const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
          for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && d[i] < 60 && d[i + 2] > 180) n += 1; return n; })()"""
        await page.prefer(prefers_color_scheme="light")
        await page.until(f"{blue} > 100")
        reading = f"{card('Throughput')}.querySelector('output').textContent"
        assert await page.run(reading) == ""
        await page.run("document.querySelector('.plot').focus()")
        await page.press("End")
        await page.press("ArrowLeft")
        last = points()[-2]
        await page.until(f"{reading}.includes('read {last['events']:,.0f}')")
        await page.press("Escape")
        await page.until(f"{reading} === ''")
        shown.publish(
            state(time_ms=NOW_MS + 1000), [*points(), {**points()[-1], "t": NOW_MS + 1000, "events": 9_000.0}]
        )
        await page.run("document.querySelector('.plot').focus()")
        await page.press("End")
        await page.until(f"{reading}.includes('read 9,000')")


async def test_silence_is_shown_as_old_and_ends_with_the_next_sample(showing):
    async with showing() as shown:
        page = shown.page
        await page.prefer(prefers_reduced_motion="no-preference")
        await page.until("document.getElementById('link-word').textContent === 'live'")
        await page.until(MOVING)
        await page.run(SILENT)
        await page.until("document.body.classList.contains('stale')")
        assert (await page.text("#headline-text")).startswith("No news since ")
        assert not await page.run("document.getElementById('stale').hidden")
        assert not await page.run(MOVING)
        assert await page.texts("figure .value") == ["3,246", "84 ms", "13.9 KB", "62 ms / 148 ms"]
        shown.publish(state())
        await page.until("!document.body.classList.contains('stale')")
        assert await page.text("#headline-text") == "All is well"


async def test_the_page_finds_a_monitor_that_was_restarted(debugger: str):
    port = 0

    async def serve(headline: str) -> web.AppRunner:
        nonlocal port
        feed = Feed(time.monotonic())
        feed.publish(state([row("public.t")], headline={"level": "ok", "text": headline}), points(), time.monotonic())
        runner = web.AppRunner(application(feed), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        port = runner.addresses[0][1]
        return runner

    runner = await serve("The first")
    try:
        async with new_page(debugger) as page:
            await page.goto(f"http://127.0.0.1:{port}/")
            shown = "document.getElementById('headline-text').textContent"
            await page.until(f"{shown} === 'The first'")
            await runner.cleanup()
            runner = await serve("The second")
            await page.until(f"{shown} === 'The second'")
            assert await page.texts("#table-rows th") == ["public.t"]
    finally:
        await runner.cleanup()


async def test_a_page_that_was_left_keeps_no_stream(showing):
    async with showing() as shown:
        page = shown.page
        for number in range(8):  # more than the six connections that a browser has to one address
            await shown.load(f"/?again={number}")

        def alone() -> bool:
            shown.publish(state())  # the server notices with the next write
            return shown.feed.listener_count == 1

        await wait_until(alone)
        await page.run("history.back()")
        await page.until("location.search === '?again=6'")
        shown.publish(state(headline={"level": "warn", "text": "Back again"}))
        await page.until("document.getElementById('headline-text').textContent === 'Back again'")


async def test_nothing_leaves_the_origin(showing):
    async with showing() as shown:
        await shown.page.click("#table-rows th button")
        await shown.page.until("document.getElementById('detail').open")
        assert len(shown.page.requests) > 10
        assert [url for url in shown.page.requests if not url.startswith(shown.base + "/")] == []


async def test_rows_of_a_real_monitor_move(debugger: str):
    async with fake_ring() as fakes:
        settings = fakes.settings()
        monitor = Monitor(settings, source_counting(settings), target_counting(settings), sample_every_s=0.05)
        stop, addresses = asyncio.Event(), []
        async with asyncio.TaskGroup() as group:
            group.create_task(monitor.run(stop, addresses.append))
            await wait_until(lambda: addresses)
            try:
                async with new_page(debugger) as page:
                    await page.goto(f"http://{addresses[0]}/")
                    await page.until("document.querySelectorAll('#table-rows th').length === 2")
                    tiles = "[...document.querySelectorAll('#facts > div')]"
                    loaded = (
                        f"{tiles}.find((one) => one.firstChild.textContent === 'Rows loaded').children[1].textContent"
                    )
                    before = await page.until(loaded)
                    fakes.answers["loader"].loaded_row_count += 12_345
                    await page.until(f"{loaded} !== {json.dumps(before)}")
                    assert await page.text("#headline-text") == "All is well"
                    await fakes.stop("loader")
                    await page.until("document.getElementById('headline-text').textContent === 'Down: loader'")
                    await fakes.start("loader")
                    await page.until("document.getElementById('headline-text').textContent === 'All is well'")
                    assert page.errors == []
            finally:
                stop.set()

"""The list of tables: order, filters, deltas, a thousand of them, hostile names, and one in full."""

from __future__ import annotations

import json
import statistics
from typing import Any
from urllib.parse import quote

import pytest

from tests.page.chromium import Page, probe
from tests.page.page_states import NOW_MS, many, row, signature, state

NAMES = "[...document.querySelectorAll('#table-rows th')].map((one) => one.textContent)"
# What a script could do to the page, a link to elsewhere, marks of reading direction, and names that break layouts.
HOSTILE = [
    "public.<script>window.hacked = 1</script>",
    "public.<img src=x onerror=window.hacked=1>",
    'public."><svg onload=window.hacked=1>',
    "public.javascript:window.hacked=1",
    "public.{{constructor.constructor('window.hacked=1')()}}",
    "public.' onmouseover='window.hacked=1",
    "public.\u202egnp.exe",
    "public.a\nb\tc",
    "public." + "w" * 180,
    "public.%2e%2e%2fetc&amp;#x3c;",
    "public.naïve 表 🦀",
    "public.__proto__",
    "__proto__.constructor",
]


def seen(name: str) -> str:
    """A name as it is shown: text as it is, but for marks that would hide, break or turn it."""
    return name.replace("\u202e", "\\u202e").replace("\n", "\\u000a").replace("\t", "\\u0009")


async def names(page: Page) -> list[str]:
    return await page.run(NAMES)


async def sort(page: Page, key: str) -> None:
    await page.click(f"#table-sorts button[data-key={key}]")


async def shows(page: Page, *wanted: str) -> None:
    await page.until(f"JSON.stringify({NAMES}) === {json.dumps(json.dumps(list(wanted), separators=(',', ':')))}")


def three() -> list[dict[str, Any]]:
    return [
        row("public.b", source_rows=5, rate=1.0, lag_ms=None, level="ok"),
        row("public.a10", source_rows=70, rate=None, lag_ms=10, level="bad", status="parked"),
        row("public.a9", source_rows=600, rate=3.0, lag_ms=2000, level="warn", status="retrying"),
    ]


async def test_sorting_by_any_column(showing):
    async with showing(state(three())) as shown:
        page = shown.page
        await shows(page, "public.a10", "public.a9", "public.b")  # the worst first
        await sort(page, "name")
        await shows(page, "public.a9", "public.a10", "public.b")
        await sort(page, "name")
        await shows(page, "public.b", "public.a10", "public.a9")
        await sort(page, "source_rows")
        await shows(page, "public.a9", "public.a10", "public.b")
        assert await page.run("document.querySelectorAll('[aria-sort]').length") == 1
        assert await page.run("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
        # Unknown is below, whichever way.
        await sort(page, "rate")
        await shows(page, "public.a9", "public.b", "public.a10")
        await sort(page, "rate")
        await shows(page, "public.b", "public.a9", "public.a10")
        for key in ("level", "target_rows", "deleted_rows", "lag_ms", "partial_rows", "audit"):
            await sort(page, key)
            await page.until(f"document.querySelector('[aria-sort] button').dataset.key === {json.dumps(key)}")


async def test_filters(showing):
    async with showing(state(three())) as shown:
        page = shown.page
        assert await page.texts("#levels button") == ["All3", "Problem1", "Warning1", "Fine1", "Idle0"]
        await page.click("#levels [data-level=warn]")
        await shows(page, "public.a9")
        assert (
            await page.run("document.querySelector('#levels [data-level=warn]').getAttribute('aria-pressed')") == "true"
        )
        await page.click("#levels [data-level=idle]")
        await page.until("document.getElementById('tables-empty').textContent === 'No table matches the filter.'")
        await page.click("#levels button")
        await page.click("#filter")
        await page.write("A1")
        await shows(page, "public.a10")
        await page.run("document.getElementById('filter').select()")
        await page.write("retry")
        await shows(page, "public.a9")
        # Deltas go through the filter as well.
        rows = three()
        rows[0] |= {"status": "retrying", "level": "warn"}
        shown.publish(state(rows))
        await shows(page, "public.a9", "public.b")


async def test_deltas_change_add_and_remove(showing):
    async with showing(state(three())) as shown:
        page = shown.page
        rows = [*three()[1:], row("public.new", level="ok")]
        rows[0] |= {"source_rows": 71, "level": "ok", "status": "streaming"}
        shown.publish(state(rows))
        await shows(page, "public.a9", "public.a10", "public.new")
        cells = "[...document.querySelectorAll('#table-rows tr:nth-child(3) td')].map((one) => one.textContent)"
        assert (await page.run(cells))[:2] == ["streaming", "71"]
        totals = await page.texts("#table-totals > *")
        assert totals[0] == "3 tables"
        assert totals[2] == "121,121"
        shown.publish(state([]))
        await page.until("!document.getElementById('tables-empty').hidden")
        assert await page.text("#tables-empty") == "No table is replicated yet."


async def test_the_order_holds_while_somebody_is_in_it(showing):
    rows = [row(f"public.t{number}", rate=float(number)) for number in range(5)]
    async with showing(state(rows)) as shown:
        page = shown.page
        await sort(page, "rate")
        before = [f"public.t{number}" for number in (4, 3, 2, 1, 0)]
        await shows(page, *before)
        await page.run("document.querySelector('#table-rows tr:nth-child(3) button').focus()")
        rows[0] = row("public.t0", rate=99.0)
        shown.publish(state(rows))
        rows_now = "[...document.querySelectorAll('#table-rows tr')]"
        cell = f"{rows_now}.find((one) => one.row?.name === 'public.t0')?.querySelector('[data-key=rate]').textContent"
        await page.until(f"{cell} === '99/s'")
        await shows(page, *before)
        assert await page.run("document.activeElement.textContent") == "public.t3"
        await page.run("document.activeElement.blur()")
        shown.publish(state([*rows[:4], row("public.t4", rate=4.5)]))
        await shows(page, "public.t0", "public.t4", "public.t3", "public.t2", "public.t1")


async def test_hostile_names_are_text(showing):
    rows = [row(name, target=name, warning=name, status=name) for name in HOSTILE]
    made = state(
        rows,
        signatures=[signature(name, name) for name in HOSTILE],
        problems=[{"level": "warn", "text": name} for name in HOSTILE],
    )
    made["ring"]["nodes"][1]["replicas"][0] |= {"name": HOSTILE[0], "state": HOSTILE[1]}
    made["replicas"][0] |= {"name": HOSTILE[0], "error": HOSTILE[2]}
    async with showing(made) as shown:
        page = shown.page
        await sort(page, "name")
        wanted = [seen(name) for name in HOSTILE]
        assert sorted(await names(page)) == sorted(wanted)
        found = await page.run(probe("row"))
        assert set(found["heights"]) == {found["wanted"]}
        assert found["spilled"] == 0
        for selector in ("#problems .words", "#signature-rows th", "#signature-rows code"):
            assert await page.texts(selector) == wanted
        assert await page.text("#node-reader .replicas .name") == HOSTILE[0]
        for name in HOSTILE:
            await shown.load(f"/?again={quote(name, safe='')}#table={quote(name, safe='')}")
            await page.until(f"document.getElementById('detail-name').textContent === {json.dumps(seen(name))}")
            await page.until("!document.getElementById('detail-warning').hidden")
            assert await page.text("#detail-warning") == seen(name)
        assert await page.run("window.hacked === undefined && ({}).constructor === Object")
        assert await page.run("document.querySelectorAll('script').length") == 1
        assert (
            await page.run(
                "document.querySelectorAll('main img, main script, [onload], [onerror], [onmouseover]').length"
            )
            == 0
        )
        assert await page.run("document.documentElement.scrollWidth <= innerWidth")
        assert [url for url in page.requests if not url.startswith(shown.base + "/")] == []


async def test_one_table_in_full(showing):
    rows = [*three(), row("sales.items", warning="earlier rows missing", lane=17, source_exact=False)]
    async with showing(state(rows)) as shown:
        page = shown.page
        details = {"table": rows[3], "lane": None, "signatures": [signature("sales__items", "payload", rows=812)]}
        shown.feed.publish(state(rows), [], 0.0, {"sales.items": details}.get)
        await page.click("#table-rows tr:nth-child(5) td.num")
        await page.until("document.getElementById('detail').open")
        pairs = dict(
            await page.run(
                "[...document.querySelectorAll('#detail-facts div')].map((one) => [...one.children].map((x) => x.textContent))"
            )
        )
        assert pairs["Lane"] == "17"
        assert pairs["Target table"] == "sales__items"
        assert pairs["Source rows"] == "≈ 120,450 (estimate)"
        assert pairs["Confirmed LSN of the ring"] == "16/B374D848"
        assert await page.text("#detail-warning") == "earlier rows missing"
        await page.until("document.getElementById('detail-list').children.length === 1")
        assert await page.text("#detail-list li") == "payload812 rows in 41 loads"
        assert await page.run("location.hash") == "#table=sales.items"
        # It goes on living while it is open.
        rows[3] = row("sales.items", lane=18)
        shown.publish(state(rows))
        await page.until("[...document.querySelectorAll('#detail-facts dd')].some((one) => one.textContent === '18')")
        await page.press("Escape")
        await page.until("!document.getElementById('detail').open && location.hash === ''")


@pytest.mark.parametrize("asked", ["public.nowhere", "<img src=x onerror=window.hacked=1>", "%E0%A4%A"])
async def test_a_table_that_does_not_exist(showing, asked: str):
    async with showing(load=False) as shown:
        page = shown.page
        await page.goto(f"{shown.base}/#table={asked}")
        await page.until(
            "document.getElementById('detail-missing').textContent.startsWith('There is no table of this name')"
        )
        assert await page.text("#detail-name") == asked
        assert await page.run("window.hacked === undefined && document.getElementById('detail-facts').hidden")
        await page.click("#detail-close")
        await page.until("!document.getElementById('detail').open")
        page.errors[:] = [one for one in page.errors if "404" not in one]


async def test_a_thousand_tables_stay_smooth(showing):
    rows = many(1000)
    async with showing(state(rows), load=False) as shown:
        page = shown.page
        await page.send("Page.addScriptToEvaluateOnNewDocument", source=probe("stopwatch"))
        await shown.load()
        assert await page.run("document.querySelectorAll('#table-rows tr').length") < 60
        assert await page.run("document.querySelector('#table-box table').getAttribute('aria-rowcount')") == "1002"
        await sort(page, "rate")
        await page.run("window.spent = []")
        for number in range(20):
            for index in range(100):
                changed = (number * 37 + index * 7) % 1000
                rows[changed] = rows[changed] | {
                    "rate": float(number * 100 + index),
                    "lag_ms": index,
                    "source_rows": number,
                }
            shown.publish(state(list(rows), time_ms=NOW_MS + 1000 * (number + 1)))
            await page.until(f"window.spent.filter(([name]) => name === 'tables').length === {number + 1}")
        spent = await page.run("window.spent")
        by_sample = [
            sum(pair)
            for pair in zip(*([t for n, t in spent if n == kind] for kind in ("state", "tables")), strict=True)
        ]
        median, worst = statistics.median(by_sample), max(by_sample)
        print(f"scripting per sample of 1,000 tables, 100 changed: median {median:.1f} ms, worst {worst:.1f} ms")
        assert median < 16


async def test_a_thousand_tables_are_all_within_reach(showing):
    async with showing(state(many(1000))) as shown:
        page = shown.page
        await sort(page, "name")
        await page.run("document.getElementById('table-box').scrollTop = 1e9")
        await page.until(f"{NAMES}.at(-1) === 'sales.table_0997'")
        last = "document.querySelector('#table-rows tr:nth-last-child(2)').getBoundingClientRect().bottom"
        totals = "document.querySelector('tfoot').getBoundingClientRect().top"
        assert await page.run(f"{last} <= {totals} + 1")
        await page.run("document.getElementById('table-box').scrollTop = 19000")
        await page.until(f"{NAMES}.length > 15 && !{NAMES}.includes('sales.table_0997')")
        seen = await page.run("document.getElementById('table-rows').children[10].getAttribute('aria-rowindex')")
        assert 480 < int(seen) < 530
        await page.click("#filter")
        await page.write("table_0512")
        await shows(page, "public.table_0512")

"""For everybody: keyboard, screen reader, phone, light and dark, contrast."""

from __future__ import annotations

import pytest

from tests.page.chromium import probe
from tests.page.page_states import down, many, ring, row, state

FOCUS = probe("focus")

CONTRAST = probe("contrast")


def troubled() -> dict:
    """A state with every level and every icon in it."""
    icons = ("moving", "idle", "partial", "retry", "parked", "waiting", "unaudited", "absent", "down")
    levels = ("ok", "idle", "ok", "warn", "bad", "warn", "warn", "idle", "bad")
    rows = [
        row(f"public.{icon}", icon=icon, level=level, status=icon) for icon, level in zip(icons, levels, strict=True)
    ]
    made = state(rows, ring=ring(loader=[down("loader", 1), *state()["ring"]["nodes"][3]["replicas"]]))
    made["headline"] = {"level": "warn", "text": "Degraded: loader 3 of 4 running"}
    made["problems"] = [{"level": level, "text": f"This is {level}"} for level in ("bad", "warn", "idle")]
    made["numbers"] |= {"rows_unaccounted": 3, "dead_letters": 1, "slot": made["numbers"]["slot"] | {"level": "warn"}}
    return made


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_contrast_of_every_text(showing, theme: str):
    async with showing(troubled()) as shown:
        page = shown.page
        await page.prefer(prefers_color_scheme=theme)
        background = await page.run("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(243, 245, 248)") is (theme == "light")
        await page.click("#table-rows th button")
        await page.until("document.getElementById('detail').open")
        found = await page.run(CONTRAST)
        assert len(found) > 250
        texts = {one["text"] for one in found}
        assert {"All", "Degraded: loader 3 of 4 running", "pgoutput", "down", "Confirmed LSN"} <= texts
        assert [one for one in found if one["ratio"] < one["needed"]] == []
        # The charts' labels and lines are on a canvas: their colours against the card.
        for name, needed in (("soft", 4.5), ("read", 3), ("load", 3), ("lag", 3), ("p99", 3)):
            ratio = await page.run(
                "(() => { const probe = document.createElement('span'); probe.textContent = 'x';"
                f" document.querySelector('figure').append(probe); probe.style.color = 'var(--{name})';"
                f" const found = {CONTRAST}; probe.remove(); return found.find((one) => one.text === 'x').ratio; }})()"
            )
            assert ratio >= needed, name


async def test_the_switch_overrules_the_system_and_is_remembered(showing):
    async with showing() as shown:
        page = shown.page
        await page.prefer(prefers_color_scheme="dark")
        dark, light = "rgb(11, 16, 22)", "rgb(243, 245, 248)"
        background = "getComputedStyle(document.body).backgroundColor"
        assert await page.run(background) == dark
        await page.click("#theme")
        await page.until(f"{background} === '{light}'")
        await shown.load("/?again")
        assert await page.run(background) == light
        assert (
            await page.run("document.getElementById('theme').getAttribute('aria-label')")
            == "Theme: light. Press to change."
        )
        await page.click("#theme")
        await page.until(f"{background} === '{dark}'")
        await page.click("#theme")
        assert await page.text("#theme-word") == "auto"


async def test_keyboard_alone_reaches_everything(showing):
    async with showing(state(many(1000))) as shown:
        page = shown.page
        await page.press("Tab")
        assert (await page.run(FOCUS))["text"] == "Skip to the tables"
        await page.press("Enter")
        await page.until("document.activeElement.id === 'tables'")
        # On from there to the filter, by name.
        for _ in range(12):
            await page.press("Tab")
            if (await page.run(FOCUS))["id"] == "filter":
                break
        await page.write("table_00")
        await page.until("document.querySelector('#table-box table').getAttribute('aria-rowcount') === '102'")
        stops = []
        for _ in range(12):
            await page.press("Tab")
            stops.append(await page.run(FOCUS))
            if stops[-1]["tag"] == "BUTTON" and not stops[-1]["key"]:
                break
        keys = [
            "name",
            "level",
            "source_rows",
            "target_rows",
            "deleted_rows",
            "lag_ms",
            "rate",
            "partial_rows",
            "audit",
        ]
        assert [one["key"] for one in stops] == ["", *keys, ""]
        assert stops[-1]["text"] == "audit.table_0007"
        assert all(one["outline"] for one in stops)
        await page.press("ArrowDown")
        second = (await page.run(FOCUS))["text"]
        await page.press("End")
        assert (await page.run(FOCUS))["text"] == "sales.table_0097"
        places = "[document.activeElement, document.getElementById('table-box')]"
        one, box = await page.run(f"{places}.map((one) => one.getBoundingClientRect().toJSON())")
        assert box["top"] <= one["top"] <= one["bottom"] <= box["bottom"]
        await page.press("Home")
        await page.press("ArrowDown")
        assert (await page.run(FOCUS))["text"] == second
        await page.press("Enter")
        await page.until("document.getElementById('detail').open")
        assert await page.text("#detail-name") == second
        assert (await page.run(FOCUS))["label"] == "Close"
        await page.press("Tab")  # to the browser's own controls: the page behind is out of reach
        assert (await page.run(FOCUS))["tag"] in ("BODY", "DIALOG", "BUTTON")
        assert not await page.run("document.querySelector('main').contains(document.activeElement)")
        await page.press("Escape")
        await page.until("!document.getElementById('detail').open")
        assert (await page.run(FOCUS))["text"] == second
        # The rows are one stop, so that the way on is short.
        await page.press("Tab")
        assert (await page.run(FOCUS))["id"] == "signatures-box"


async def test_every_stop_of_the_tab_key_is_visible_and_it_gets_through(showing):
    async with showing(state(many(1000))) as shown:
        page = shown.page
        stops = []
        for _ in range(60):
            await page.press("Tab")
            stop = await page.run(FOCUS)
            if stop["tag"] == "BODY":
                break
            stops.append(stop)
        assert stop["tag"] == "BODY"
        assert [one for one in stops if not one["outline"]] == []
        assert [one["label"].partition(",")[0] for one in stops if one["tag"] == "DIV"][:4] == [
            "Throughput",
            "Lag in time",
            "Lag in WAL",
            "Commit to visible",
        ]


@pytest.mark.parametrize("width", [360, 820, 1400])
async def test_screen_reader_finds_tables_names_and_one_live_region(showing, width: int):
    async with showing(load=False) as shown:
        page = shown.page
        await page.size(width, 800, phone=width == 360)
        await shown.load()
        nodes = (await page.send("Accessibility.getFullAXTree"))["nodes"]
        seen = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes if not one["ignored"]]
        roles = [role for role, _ in seen]
        assert roles.count("table") == 3 or width == 360
        assert "table" in roles
        headers = [name for role, name in seen if role == "columnheader"]
        assert headers[:9] == [
            "Table",
            "Status",
            "Source rows",
            "Live in target",
            "Soft-deleted",
            "Lag",
            "Rate",
            "Partial rows",
            "Audit",
        ]
        assert ("rowheader", "public.orders") in seen
        assert ("status", "") in seen or ("status", "All is well") in seen
        assert [name for role, name in seen if role in ("img", "image") and "chart" in name]
        assert ("searchbox", "Filter tables by name or status") in seen
        assert all(name for role, name in seen if role in ("button", "link", "searchbox", "region", "heading"))
        live = await page.run(
            "[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map((one) => one.id)"
        )
        assert live == ["headline-text"]


@pytest.mark.parametrize("width", [320, 360, 412])
async def test_phone(showing, width: int):
    made = troubled()
    long = "public." + "w" * 120
    made["tables"]["rows"].append(row(long, target=long, warning=long))
    made["problems"].append({"level": "warn", "text": long})
    made["replicas"][0]["error"] = long
    made["ring"]["nodes"][1]["replicas"][0]["name"] = long
    async with showing(made, load=False) as shown:
        page = shown.page
        await page.size(width, 780, phone=True)
        await shown.load()
        assert await page.run("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
        assert await page.run(probe("outside")) == []
        # All figures of a row are there, and rows do not run into each other.
        found = await page.run(probe("row"))
        assert found["labels"] == ["Source rows", "Live in target", "Soft-deleted", "Lag", "Rate", "Partial rows"]
        assert set(found["heights"]) == {found["wanted"]}
        assert found["spilled"] == 0
        await page.click("#table-rows th button")
        await page.until("document.getElementById('detail').open")
        assert await page.run("document.getElementById('detail').getBoundingClientRect().width") == width
        await page.click("#detail-close")
        await page.until("!document.getElementById('detail').open")


async def test_levels_differ_by_shape_and_word_not_by_colour_alone(showing):
    async with showing(troubled()) as shown:
        page = shown.page
        words = await page.texts("#table-rows .state")
        hrefs = await page.run(
            "[...document.querySelectorAll('#table-rows .state use')].map((one) => one.getAttribute('href'))"
        )
        found = list(zip(hrefs, words, strict=True))
        assert len({href for href, _ in found}) == len(found) == 9
        assert all(href == f"#i-{word}" for href, word in found)
        drawn = "[...document.querySelectorAll('use')].every((one) => document.querySelector(one.getAttribute('href')))"
        assert await page.run(drawn)

"""The whole screen from one state: what is shown at which size. Pure: the same in, the same out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dbmazz_monitor.terminal import charts, ring, wording
from dbmazz_monitor.terminal.look import STYLES, Look
from dbmazz_monitor.terminal.numbers import numbers
from dbmazz_monitor.terminal.section import Section, ends, joined, lines, rule
from dbmazz_monitor.terminal.signatures import signatures
from dbmazz_monitor.terminal.tables import LEAST, tables

# From here on there is room for the picture of the ring, for titles, and for charts of several lines.
ROOMY_HEIGHT, ROOMY_WIDTH = 38, 100
# Figures beside the charts instead of above them.
WIDE = 132
_PROBLEMS = (2, 6)
_REPLICAS = (6, 16)


@dataclass(frozen=True)
class Shown:
    """What there is to show: the state, the charts' points, and `note`, when the figures are not of now."""

    state: dict[str, Any] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""


def screen(shown: Shown, width: int, height: int, look: Look, *, keys: str = "q quits") -> RenderableType:
    """Exactly `height` lines at most, each `width` wide at most."""
    if not shown.state:
        waiting = look.say(shown.note or "Waiting for the first sample ...", "yellow" if shown.note else "")
        return lines([_header(shown, width, look, keys), waiting][:height]).body
    roomy = height >= ROOMY_HEIGHT and width >= ROOMY_WIDTH
    sections = _sections(shown, width, height, look, keys, roomy=roomy)
    # What can be done without goes, in this order, until the tables have room.
    for name in ("signatures", "charts", "numbers", "replicas", "problems", "ring"):
        if _sum(sections) + LEAST <= height:
            break
        sections.pop(name, None)
    room = height - _sum(sections)
    fill = room - (1 if roomy else 0)
    if fill >= LEAST - 1:
        under = sections.pop("signatures", None)
        if roomy:
            sections["title"] = lines([rule("tables", width, look, "worst first, then busiest")])
        sections["tables"] = tables(shown.state, width, fill, look)
        if under is not None:
            sections["signatures"] = under
    return Group(*(section.body for section in sections.values()))


def snapshot(shown: Shown, width: int, look: Look) -> RenderableType:
    """Everything there is, as high as it becomes: for pipes and files."""
    state = shown.state
    found = [
        lines([_header(shown, width, look, ""), *_problems(state, 10**6, look)]),
        lines([rule("ring", width, look)]),
        ring.line(state.get("ring") or {}, width, look),
        ring.replicas(state.get("replicas") or [], width, 10**6, look),
        lines([rule("figures", width, look)]),
        numbers(state, width, 2, look),
        charts.charts(shown.points, width, 1, look),
        lines([rule("tables", width, look, "worst first, then busiest")]),
        tables(state, width, 10**6, look),
        lines([rule("TOAST signatures", width, look)]),
        signatures(state, width, 10**6, look),
    ]
    return Group(*(section.body for section in found))


def _sections(shown: Shown, width: int, height: int, look: Look, keys: str, *, roomy: bool) -> dict[str, Section]:
    """Everything but the tables, in the order of the screen."""
    state = shown.state
    picture = state.get("ring") or {}
    titled = (lambda title, section, more="": _titled(title, section, width, look, more)) if roomy else _untitled
    found = {
        "header": lines([_header(shown, width, look, keys)]),
        "problems": lines(_problems(state, _PROBLEMS[roomy], look)),
        "ring": ring.picture(picture, width, look) if roomy else ring.line(picture, width, look),
        "replicas": ring.replicas(state.get("replicas") or [], width, _REPLICAS[roomy], look),
        **_figures(shown, width, height, look, titled, roomy=roomy),
    }
    toast = state.get("signatures") or []
    if roomy or height >= 32:
        part = signatures(state, width, min(len(toast), 6 if roomy else 3) + 1, look)
        found["signatures"] = titled("TOAST signatures", part)
    return found


def _figures(
    shown: Shown, width: int, height: int, look: Look, titled: Callable[..., Section], *, roomy: bool
) -> dict[str, Section]:
    if roomy and width >= WIDE:
        left = (width - 2) * 3 // 5
        right = width - 2 - left
        both = _beside(numbers(shown.state, left, 2, look), left, charts.charts(shown.points, right, 4, look), right)
        return {"numbers": titled("figures", both)}
    most = 99 if roomy or height >= 30 else 8
    columns = 3 if width >= 120 else 2 if width >= 60 else 1
    return {
        "numbers": titled("figures", numbers(shown.state, width, columns, look, most=most)),
        "charts": charts.charts(shown.points, width, 3 if roomy else 1, look),
    }


def _untitled(title: str, section: Section, more: str = "") -> Section:
    return section


def _titled(title: str, section: Section, width: int, look: Look, more: str = "") -> Section:
    return Section(section.height + 1, Group(lines([rule(title, width, look, more)]).body, section.body))


def _beside(left: Section, left_width: int, right: Section, right_width: int) -> Section:
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(width=left_width)
    grid.add_column(width=right_width)
    grid.add_row(left.body, right.body)
    return Section(max(left.height, right.height), grid)


def _sum(sections: dict[str, Section]) -> int:
    return sum(section.height for section in sections.values())


def _header(shown: Shown, width: int, look: Look, keys: str) -> Text:
    headline = shown.state.get("headline") or {}
    level = headline.get("level", "idle")
    parts: list[Text | tuple[str, str]] = [("dbmazz  ", "bold")]
    if headline:
        parts.append((f"{look.mark(level)} {look.text(headline.get('text', ''))}", STYLES.get(level, "")))
    if (shown.state.get("numbers") or {}).get("paused"):
        parts.append((f"  {look.pick('‖', '||')} paused", STYLES["warn"]))
    if shown.note and shown.state:
        parts.append((f"  {look.mark('warn')} {look.text(shown.note)}", STYLES["warn"]))
    right = [wording.clock(shown.state.get("time_ms"))] if shown.state else []
    right += [keys] if keys else []
    return ends(joined(parts, look), look.say("  ".join(right), "dim"), width, look)


def _problems(state: dict[str, Any], most: int, look: Look) -> list[Text]:
    """The worst ones, and how many more."""
    found = state.get("problems") or []
    shown = found if len(found) <= most else found[: most - 1]
    texts = [
        joined([(f"{look.mark(one['level'])} ", STYLES[one["level"]]), look.say(one["text"])], look) for one in shown
    ]
    if len(shown) < len(found):
        texts.append(look.say(f"… {len(found) - len(shown):,} more", "dim"))
    return texts

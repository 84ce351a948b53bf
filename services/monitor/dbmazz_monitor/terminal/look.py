"""How a terminal is drawn on: with which characters, and how texts of others are made harmless."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from dbmazz.printable import printable
from rich.text import Text

# Level -> style. Never colour alone: each level has a mark and a word, too.
STYLES = {"ok": "green", "idle": "dim", "warn": "yellow", "bad": "bold red"}

_MARKS = {"ok": ("●", "+"), "idle": ("○", "-"), "warn": ("▲", "!"), "bad": ("✖", "X")}
_ICONS = {
    "moving": ("▶", ">"),
    "idle": ("·", "."),
    "partial": ("◐", "%"),
    "retry": ("↻", "~"),
    "parked": ("■", "#"),
    "waiting": ("◌", "?"),
    "unaudited": ("◇", "u"),
    "absent": ("∅", "0"),
    "down": ("✖", "X"),
}
_BARS = (" ▁▂▃▄▅▆▇█", " _.-:=+*#")
# What we write ourselves beyond ASCII, for terminals that have no more than that.
_PLAIN = str.maketrans({"–": "-", "≈": "~", "·": "-", "×": "x", "→": "->", "…": "...", "’": "'"})


@dataclass(frozen=True)
class Look:
    """`encoding` of the terminal; with another than UTF-8, marks and lines are ASCII, and names show what else they have
    as escapes."""

    encoding: str = "utf-8"

    @cached_property
    def unicode(self) -> bool:
        """True when all our own characters can be shown."""
        return self.encoding.lower().replace("-", "").replace("_", "").startswith("utf")

    @property
    def overflow(self) -> Literal["ellipsis", "crop"]:
        """What becomes of a text that is too long."""
        return "ellipsis" if self.unicode else "crop"

    @property
    def bars(self) -> str:
        """Nine characters from empty to full."""
        return _BARS[0] if self.unicode else _BARS[1]

    def pick(self, fine: str, plain: str) -> str:
        """`fine`, or `plain` where only ASCII can be shown."""
        return fine if self.unicode else plain

    def mark(self, level: str | None) -> str:
        """One character for a level."""
        return self.pick(*_MARKS.get(level or "", _MARKS["idle"]))

    def icon(self, icon: str | None, level: str | None) -> str:
        """One character for a table's icon; an unknown one has its level's mark."""
        return self.pick(*_ICONS[icon]) if icon in _ICONS else self.mark(level)

    def text(self, value: object) -> str:
        """One line that does nothing to the terminal, whoever wrote it."""
        return harmless(str(value), "" if self.unicode else self.encoding)

    def say(self, value: object, style: str = "") -> Text:
        """The same as rich's Text: no markup in it is read."""
        return Text(self.text(value), style, no_wrap=True, overflow=self.overflow, end="")


@lru_cache(maxsize=8192)
def harmless(text: str, encoding: str = "") -> str:
    """Control characters, escapes, marks of direction and the like, and what `encoding` does not have, as escapes."""
    text = printable(text)
    if encoding and not text.isascii():
        text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text

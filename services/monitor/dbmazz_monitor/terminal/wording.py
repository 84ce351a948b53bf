"""Numbers as people read them. Unknown (None) is a dash, never a made-up 0."""

from __future__ import annotations

from datetime import datetime

UNKNOWN = "–"
_SIZES = ("B", "KB", "MB", "GB", "TB")


def count(value: float | None) -> str:
    """1,234,567."""
    return UNKNOWN if value is None else f"{round(value):,}"


def brief(value: float | None) -> str:
    """At most six characters: 12,345 or 1.23M."""
    if value is None:
        return UNKNOWN
    if abs(value) < 99_999.5:
        return count(value)
    for unit in ("K", "M", "G", "T"):
        value /= 1000
        if abs(value) < 999.5 or unit == "T":
            break
    return f"{value:.3g}{unit}" if abs(value) < 999.5 else f"{value:.0f}{unit}"


def rate(value: float | None) -> str:
    """Per second; below ten with a decimal."""
    if value is not None and 0 < value < 10:
        return f"{value:.1f}"
    return count(value)


def size(value: float | None) -> str:
    """Bytes with their unit, in steps of 1024 as the page has them."""
    if value is None:
        return UNKNOWN
    amount, unit = float(value), "B"
    for unit in _SIZES:
        if abs(amount) < 1024 or unit == _SIZES[-1]:
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def millis(value: float | None) -> str:
    """Milliseconds in the unit that fits."""
    if value is None:
        return UNKNOWN
    if value < 1000:
        return f"{value:.0f} ms"
    return f"{value / 1000:.2f} s" if value < 60_000 else span(value / 1000)


def span(value: float | None) -> str:
    """Seconds in the unit that fits."""
    if value is None:
        return UNKNOWN
    seconds = max(0, round(value))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 172_800:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} days"


def ago(then_ms: float | None, now_ms: float | None) -> str:
    """How long ago; both in milliseconds since 1970."""
    if then_ms is None or now_ms is None:
        return UNKNOWN
    return f"{millis(max(0, now_ms - then_ms))} ago"


def clock(time_ms: float | None) -> str:
    """Local time of day."""
    return UNKNOWN if time_ms is None else f"{datetime.fromtimestamp(time_ms / 1000).astimezone():%H:%M:%S}"


def amount(value: float | None, unit: str) -> str:
    """A rate in its unit: bytes scale, anything else is counted."""
    if value is None:
        return UNKNOWN
    if unit == "bytes":
        return size(value)
    return f"{rate(value)} {unit}"


def waiting(value: float | None, unit: str) -> str:
    """How much waits somewhere: bytes, or things that are counted, by their plural."""
    if value is None:
        return UNKNOWN
    return size(value) if unit == "bytes" else f"{count(value)} {unit.removesuffix('s') if value == 1 else unit}"


def together(*words: str) -> str:
    """Several figures in a row; one dash when none of them is known."""
    return UNKNOWN if all(word.startswith(UNKNOWN) for word in words) else ", ".join(words)

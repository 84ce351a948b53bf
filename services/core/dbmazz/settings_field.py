"""How one setting is declared, read from text, and checked."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from typing import Any

from dbmazz.errors import ConfigError

_SIZE = re.compile(r"(\d+)\s*(B|KB|MB|GB)?", re.IGNORECASE)
_UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
# A host name, an IPv4 address, or an IPv6 address in brackets; then a port.
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
# Whoever writes a login into an address that takes none has a password there.
_LOGIN = re.compile(r"^([A-Za-z0-9+.-]+://)?.*@", re.DOTALL)
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def setting(default: Any, help: str, *, why: str = "", secret: bool = False, kind: str = "", **limits: Any) -> Any:
    """Declares a setting: its default, what it is for, and why the default is what it is.

    `limits`: low and high for numbers, choices for words, pattern (expression, what it takes in words) for text. `kind`
    "size" takes 64MB, 1GB or bytes; "list" takes words separated by commas; "addresses" host:port, or several.
    """
    metadata = {"help": help, "why": why, "secret": secret, "kind": kind, **limits}
    return dataclasses.field(default=default, metadata=metadata)


def read(field: dataclasses.Field, name: str, text: str, where: str = "") -> Any:
    """The value of a setting from its text; ConfigError names the variable, `where` it stands, and what it takes."""
    try:
        value = _reader(field)(text.strip())
    except ValueError:
        raise _refusal(field, name, text, where, "is not valid") from None
    check(field, name, value, where)
    return value


def check(field: dataclasses.Field, name: str, value: Any, where: str = "") -> None:
    """Range and choices."""
    limits = field.metadata
    choices = limits.get("choices")
    if choices and value not in choices:
        close = difflib.get_close_matches(value.lower(), [choice.lower() for choice in choices], n=1)
        meant = next((choice for choice in choices if close and choice.lower() == close[0]), "")
        raise _refusal(
            field, name, value, where, "is not one of the choices", f"did you mean {meant}?" if meant else ""
        )
    pattern = limits.get("pattern")
    if pattern and not re.fullmatch(pattern[0], value):
        raise _refusal(field, name, value, where, "is not valid")
    low, high = limits.get("low"), limits.get("high")
    # Written so that NaN, which compares false with everything, is out of range.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise _refusal(field, name, value, where, "is out of range")


def _refusal(field: dataclasses.Field, name: str, value: Any, where: str, what: str, meant: str = "") -> ConfigError:
    place = f" in {where}" if where else ""
    way_out = f"It takes {takes(field)}" + (f"; {meant}" if meant else "")
    return ConfigError(f"{name}={_on_one_line(shown(field, value))}{place} {what}", way_out)


def _on_one_line(text: str) -> str:
    """As it is, or with escapes when a terminal would not show it as it is."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def takes(field: dataclasses.Field) -> str:
    """What a setting takes, in words: for errors and for the table in the README."""
    limits = field.metadata
    if limits.get("choices"):
        return "one of " + ", ".join(limits["choices"])
    if limits.get("pattern"):
        return limits["pattern"][1]
    if limits["kind"] == "addresses":
        return "host:port, or several separated by commas"
    if limits["kind"] == "list":
        return "words separated by commas"
    if limits["kind"] == "size":
        least = f", of at least {limits['low']} bytes" if limits.get("low") else ""
        return f"a size in bytes, or like 64MB{least}"
    word = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}[field.type]
    low, high = limits.get("low"), limits.get("high")
    if low is not None and high is not None:
        return f"{word} from {low} to {high}"
    return f"{word} of at least {low}" if low is not None else word


def shown(field: dataclasses.Field, value: Any) -> str:
    """A value for people; secrets are hidden."""
    if field.metadata["secret"] and value:
        return "***"
    if isinstance(value, tuple):
        return ",".join(value)
    if field.name.endswith("_url") or field.metadata["kind"] == "addresses":
        return ",".join(_LOGIN.sub(r"\1***@", part) for part in str(value).split(","))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reader(field: dataclasses.Field) -> Callable[[str], Any]:
    kinds = {"size": _size, "list": _words, "addresses": _addresses}
    types = {"int": int, "float": float, "bool": _bool, "str": str}
    return kinds.get(field.metadata["kind"]) or types[field.type]


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS[(match[2] or "B").upper()]


def _bool(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _addresses(text: str) -> str:
    for address in text.split(","):
        found = _ADDRESS.fullmatch(address.strip())
        if found is None or not 0 < int(found[1]) < 65536:
            raise ValueError(text)
    return ",".join(address.strip() for address in text.split(","))

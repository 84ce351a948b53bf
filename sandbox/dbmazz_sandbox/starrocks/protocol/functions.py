"""The functions and operators that the `columns` and `where` headers may use, value by value.

A value is bool, int, float, Decimal, bytes, or text: plain, a `Moment` (date or time) or `Json`. No function sees
None; each gives None for what StarRocks makes NULL of.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from dbmazz_sandbox.starrocks.protocol.moment import parse_moment
from dbmazz_sandbox.starrocks.protocol.numbers import double_text

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_MOST_TEXT = 1 << 20  # longer results of concat and the like are NULL (get_max_size of a string function)


class Json(str):
    """Text that is already canonical JSON."""

    __slots__ = ()


class Moment(str):
    """`YYYY-MM-DD[ HH:MM:SS[.ffffff]]`."""

    __slots__ = ()


def text(value: Any) -> str:
    """CAST(… AS VARCHAR)."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float):
        return double_text(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def number(value: Any) -> int | float | Decimal | None:
    """What arithmetic sees: text counts as a DOUBLE."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float | Decimal):
        return value
    if isinstance(value, bytes) or _NUMBER.fullmatch(value) is None:
        return None
    parsed = float(value)
    return parsed if math.isfinite(parsed) else None


def truth(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    parsed = number(value)
    if parsed is None and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return None if parsed is None else parsed != 0


def compare(left: Any, right: Any) -> int | None:
    """-1, 0, 1, or None when one side cannot be read as the other's kind."""
    if isinstance(left, Moment) or isinstance(right, Moment):
        left, right = _instant(left), _instant(right)
    elif isinstance(left, str) and isinstance(right, str):
        left, right = left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    elif not (isinstance(left, bytes) and isinstance(right, bytes)):
        left, right = number(left), number(right)
    if left is None or right is None:
        return None
    return int(left > right) - int(left < right)


def _instant(value: Any) -> str | None:
    found = parse_moment(text(value))
    return None if found is None else found if "." in found else found + ".000000"


def _compared(*wanted: int) -> Callable[[Any, Any], bool | None]:
    def check(left: Any, right: Any) -> bool | None:
        found = compare(left, right)
        return None if found is None else found in wanted

    return check


def _like(value: Any, pattern: Any) -> bool:
    out, escaped = "", False
    for char in text(pattern):
        if escaped or char not in "\\%_":
            out, escaped = out + re.escape(char), False
        elif char == "\\":
            escaped = True
        else:
            out += ".*" if char == "%" else "."
    return re.fullmatch(out, text(value), re.DOTALL) is not None


def _arithmetic(operate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculate(left: Any, right: Any) -> Any:
        one, two = number(left), number(right)
        if one is None or two is None:
            return None
        if isinstance(one, float) or isinstance(two, float):
            one, two = float(one), float(two)
        try:
            found = operate(one, two)
        except (ArithmeticError, ValueError):
            return None
        if isinstance(found, int) and not -(1 << 127) <= found < 1 << 127:
            return None
        return None if isinstance(found, float) and not math.isfinite(found) else found

    return calculate


def _divide(left: Any, right: Any) -> Any:
    if right == 0:
        return None
    return left / right if isinstance(left, Decimal) or isinstance(right, Decimal) else float(left) / float(right)


def _remainder(left: Any, right: Any) -> Any:
    if right == 0:
        return None
    if isinstance(left, int) and isinstance(right, int):
        return int(math.copysign(abs(left) % abs(right), left))
    return math.fmod(left, right) if isinstance(left, float) else left % right


def decode_base64(given: Any) -> bytes | None:
    """EncryptionFunctions::from_base64: NULL for an empty text and for what is no base64."""
    encoded = text(given)
    if not encoded or _BASE64.fullmatch(encoded) is None:
        return None
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        return None


def _unhex(given: Any) -> bytes:
    """What is no hexadecimal is empty, not NULL (unhexImpl)."""
    try:
        return binascii.unhexlify(text(given))
    except ValueError:
        return b""


def _to_binary(given: Any, option: str = "hex") -> bytes | None:
    option = option.lower()
    if option == "utf8":
        return text(given).encode("utf-8", "surrogateescape")
    if option in ("base64", "encode64"):
        return decode_base64(given)
    return _unhex(given)


def _hex(value: Any) -> str:
    if isinstance(value, int):
        return format(int(value) & (1 << 64) - 1, "X")
    raw = value if isinstance(value, bytes) else text(value).encode("utf-8", "surrogateescape")
    return raw.hex().upper()


def _bounded(value: str) -> str | None:
    return value if len(value) <= _MOST_TEXT else None


def _substring(value: Any, start: Any, length: Any = None) -> str | None:
    whole, begin = text(value), number(start)
    count = None if length is None else number(length)
    if begin is None or (length is not None and count is None):
        return None
    at = int(begin)
    if at == 0 or abs(at) > len(whole) or (count is not None and count <= 0):
        return ""
    at = at - 1 if at > 0 else len(whole) + at
    return whole[at:] if count is None else whole[at : at + int(count)]


def _part(start: int, end: int) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        found = parse_moment(text(value))
        return None if found is None else int(found[start:end])

    return read


# MySQL's format letters that mean the same in Python.
_FORMATS = {"Y": "%Y", "y": "%y", "m": "%m", "c": "%m", "d": "%d", "e": "%d", "H": "%H", "k": "%H", "i": "%M",
            "s": "%S", "S": "%S", "f": "%f", "T": "%H:%M:%S", "j": "%j", "b": "%b", "M": "%B", "%": "%%"}  # fmt: skip


def _format(given: str) -> str | None:
    out = re.sub(r"%(.)", lambda match: _FORMATS.get(match[1], "\0"), given)
    return None if "\0" in out else out


def _str_to_date(value: Any, given: str) -> Moment | None:
    pattern = _format(given)
    if pattern is None:
        return None
    try:
        found = dt.datetime.strptime(text(value).strip(), pattern)  # noqa: DTZ007 - a DATETIME has no zone
    except ValueError:
        return None
    return Moment(found.isoformat(" "))


def _from_unixtime(value: Any, given: Any, zone: dt.tzinfo | None = None) -> Moment | str | None:
    """`given` is a format, or the zone where there is none."""
    pattern, zone = (given, zone) if zone is not None else (None, given)
    seconds = number(value)
    if seconds is None or not 0 <= seconds <= 253402243199:
        return None
    moment = dt.datetime.fromtimestamp(int(seconds), zone)
    if pattern is None:
        return Moment(f"{moment:%Y-%m-%d %H:%M:%S}")
    known = {"yyyyMMdd": "%Y%m%d", "yyyy-MM-dd": "%Y-%m-%d", "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S"}
    python = known.get(pattern) or _format(pattern)
    return None if python is None else moment.strftime(python)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "=": _compared(0), "!=": _compared(-1, 1), "<": _compared(-1), "<=": _compared(-1, 0), ">": _compared(1),
    ">=": _compared(0, 1), "like": _like, "not": lambda v: None if truth(v) is None else not truth(v),
    "+": _arithmetic(lambda a, b: a + b), "-": _arithmetic(lambda a, b: a - b),
    "*": _arithmetic(lambda a, b: a * b), "/": _arithmetic(_divide), "%": _arithmetic(_remainder),
    "abs": lambda v: None if number(v) is None else abs(number(v)),  # type: ignore[arg-type]
    "from_base64": decode_base64, "base64_decode_binary": decode_base64, "base64_decode_string": decode_base64,
    "to_base64": lambda v: base64.b64encode(v if isinstance(v, bytes) else text(v).encode()).decode() or None,
    "to_binary": _to_binary, "unhex": _unhex, "hex": _hex,
    "concat": lambda *parts: _bounded("".join(map(text, parts))),
    "upper": lambda v: text(v).upper(), "lower": lambda v: text(v).lower(),
    "trim": lambda v: text(v).strip(" "), "ltrim": lambda v: text(v).lstrip(" "), "rtrim": lambda v: text(v).rstrip(" "),
    "substr": _substring, "substring": _substring, "char_length": lambda v: len(text(v)),
    "length": lambda v: len(v if isinstance(v, bytes) else text(v).encode("utf-8", "surrogateescape")),
    "replace": lambda v, old, new: _bounded(text(v).replace(text(old), text(new)) if text(old) else text(v)),
    "str_to_date": _str_to_date, "from_unixtime": _from_unixtime, "year": _part(0, 4), "month": _part(5, 7),
    "day": _part(8, 10), "hour": _part(11, 13), "minute": _part(14, 16), "second": _part(17, 19),
}  # fmt: skip

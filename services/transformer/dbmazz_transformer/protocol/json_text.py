"""JSON strings from UTF-8 bytes, a column at a time and without decoding."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_CONTROL = re.compile(rb"[\x00-\x1f]")
_SHORT = {8: rb"\b", 9: rb"\t", 10: rb"\n", 12: rb"\f", 13: rb"\r"}
_ESCAPES = [(bytes([code]), _SHORT.get(code, b"\\u%04x" % code)) for code in range(32)]

_PLAIN = bytes(code for code in range(256) if code >= 32 and code not in b'"\\')

# PostgreSQL's text never holds a zero byte, so the values of a column can be joined by it and split again.
_SEPARATOR = b"\0"
# Values above this size are escaped one by one: joining them would copy for nothing.
_LARGE = 2048


def escape(text: bytes) -> bytes:
    """What stands between the quotes of a JSON string; the same object where nothing needs escaping (RFC 8259, 7)."""
    if _SPECIAL.search(text) is None:
        return text
    text = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    if _CONTROL.search(text):
        for character, escaped in _ESCAPES:
            text = text.replace(character, escaped)
    return text


def escape_all(texts: Sequence[bytes]) -> Sequence[bytes]:
    """`escape` of each text; a handful of passes over the whole column instead of one call per value."""
    joined = None
    if len(texts) > 1 and sum(map(len, texts)) <= _LARGE * len(texts):
        joined = _SEPARATOR.join(texts)
    if joined is None:
        return [escape(text) for text in texts]
    pieces = joined.translate(None, _PLAIN)
    if not pieces.strip(_SEPARATOR):
        return texts
    if pieces.count(_SEPARATOR) != len(texts) - 1:
        return [escape(text) for text in texts]
    joined = joined.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    for character, escaped in _ESCAPES[1:]:
        if character in pieces:
            joined = joined.replace(character, escaped)
    return joined.split(_SEPARATOR)

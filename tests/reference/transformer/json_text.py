"""JSON strings from UTF-8 bytes, without decoding."""

from __future__ import annotations

import re

_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_CONTROL = re.compile(rb"[\x00-\x1f]")
_SHORT = {8: rb"\b", 9: rb"\t", 10: rb"\n", 12: rb"\f", 13: rb"\r"}
_ESCAPES = [(bytes([code]), _SHORT.get(code, b"\\u%04x" % code)) for code in range(32)]


def escape(text: bytes) -> bytes:
    """What stands between the quotes of a JSON string; the same object where nothing needs escaping (RFC 8259, 7)."""
    if _SPECIAL.search(text) is None:
        return text
    text = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    if _CONTROL.search(text):
        for character, escaped in _ESCAPES:
            text = text.replace(character, escaped)
    return text

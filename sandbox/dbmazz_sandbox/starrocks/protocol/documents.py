"""The JSON body of a load, cut into rows (starrocks.md 2.1).

Two readers give the same rows. The quick one is orjson, line by line. It cannot say what a number token looked
like, keeps the last of two equal keys where StarRocks keeps the first, and refuses lone surrogates; wherever
that could matter the exact one (the standard library's, with hooks) reads instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import orjson

from dbmazz_sandbox.starrocks.errors import LoadError, not_emulated

Row = dict[str, Any]
_SPACE = re.compile(r"[ \t\r\n]*")
_SPACE_BYTES = b" \t\r\n"
_ARRAY = (
    "The value is array type in json document stream, you can set strip_outer_array=true to parse each element of "
    "the array as individual rows"
)
_SCALAR = "The value should be object type in json document stream"
_NOT_ARRAY = "the value should be array type with strip_outer_array=true, value: "


class Number(float):
    """A number with a fraction or an exponent: its double, and the token it was written as."""

    __slots__ = ("raw",)
    raw: str

    @classmethod
    def read(cls, raw: str) -> Number:
        number = cls(raw)
        number.raw = raw
        return number


def _first_wins(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    return row if len(row) == len(pairs) else dict(reversed(pairs))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"invalid token {name}")


_exact = json.JSONDecoder(parse_float=Number.read, object_pairs_hook=_first_wins, parse_constant=_refuse_constant)


class Documents:
    """The rows of one body. `rows` are dicts, `exact` tells that every number with a fraction is a `Number`."""

    def __init__(self, body: bytes | bytearray, *, strip_outer_array: bool, prefix: str, keys: Sequence[str]) -> None:
        """`prefix` starts every message (it depends on the release); `keys` are the object keys the load reads.
        Raises LoadError: one bad document fails the whole load."""
        self._prefix = prefix
        self._texts: list[bytes] | list[str] = []
        self.exact = False
        if strip_outer_array:
            self._read_array(bytes(body), keys)
        else:
            self._read_stream(bytes(body), keys)

    def _read_stream(self, body: bytes, keys: Sequence[str]) -> None:
        start = body.lstrip(_SPACE_BYTES)[:1]
        if start and start not in b"{[" and not _looks_like_value(start):
            raise LoadError(f"{self._prefix}illegal json started with [{start.decode('latin-1')}]")
        if not start:
            self.rows: list[Row] = []
            return
        lines = [line for line in body.split(b"\n") if line and not line.isspace()]
        try:
            rows = [orjson.loads(line) for line in lines]
        except orjson.JSONDecodeError:
            rows = None
        if rows is None or set(map(type, rows)) - {dict} or _may_repeat(body, len(rows), keys):
            self._read_stream_exactly(body)
        else:
            self.rows, self._texts = rows, lines

    def _read_stream_exactly(self, body: bytes) -> None:
        text = self._decode(body)
        rows: list[Row] = []
        texts: list[str] = []
        at = _SPACE.match(text).end()  # type: ignore[union-attr]
        while at < len(text):
            try:
                value, end = _exact.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                if rows and _is_truncated(text, at, error):
                    break  # the scanner never reports a truncated last document (json_scanner.cpp)
                raise self._broken(error) from error
            if not isinstance(value, dict):
                raise LoadError(self._prefix + (_ARRAY if isinstance(value, list) else _SCALAR))
            rows.append(value)
            texts.append(text[at:end])
            at = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        self.rows, self._texts, self.exact = rows, texts, True

    def _read_array(self, body: bytes, keys: Sequence[str]) -> None:
        if not body.strip(_SPACE_BYTES):
            self.rows = []
            return
        try:
            value = orjson.loads(body)
            if isinstance(value, list) and _may_repeat(body, len(value), keys):
                raise orjson.JSONDecodeError("", "", 0)
        except orjson.JSONDecodeError:
            value = self._exact_array(body)
        if not isinstance(value, list):
            raise LoadError(f"{self._prefix}{_NOT_ARRAY}{_brief(body)}")
        if set(map(type, value)) - {dict}:
            raise LoadError(f"{self._prefix}the value should be object type in json array")
        self.rows, self._body = value, body

    def _exact_array(self, body: bytes) -> Any:
        text = self._decode(body)
        try:
            value, end = _exact.raw_decode(text, _SPACE.match(text).end())  # type: ignore[union-attr]
        except (ValueError, RecursionError) as error:
            raise self._broken(error) from error
        if text[end:].strip():
            raise LoadError(f"{self._prefix}{_NOT_ARRAY}{_brief(body)}")
        self.exact = True
        return value

    def make_exact(self) -> None:
        """Read the rows again so that every number knows its token."""
        if self.exact:
            return
        if self._texts:
            try:
                self.rows = [_exact.decode(self._decode(line)) for line in self._texts]
            except (ValueError, RecursionError) as error:
                raise self._broken(error) from error
        elif self.rows:
            self.rows = self._exact_array(self._body)
        self.exact = True

    def text(self, index: int) -> str:
        """The row as it was sent, for the error log and for values that keep their own text."""
        if self._texts:
            text = self._texts[index]
            return text if isinstance(text, str) else text.decode("utf-8", "replace")
        return json.dumps(self.rows[index], ensure_ascii=False, separators=(",", ":"))

    def member_text(self, index: int, key: str) -> str:
        """The minified text of one member, number tokens and key order as sent (an object in a VARCHAR column)."""
        self.make_exact()
        if not self._texts:
            return _minify(json.dumps(self.rows[index][key], ensure_ascii=False, separators=(",", ":")))
        text = self.text(index)
        at = text.index("{") + 1
        while True:
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            if text[at] == ",":
                at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
            name, at = json.decoder.scanstring(text, at + 1, True)  # type: ignore[attr-defined]
            start = _SPACE.match(text, _SPACE.match(text, at).end() + 1).end()  # type: ignore[union-attr]
            _, at = _exact.raw_decode(text, start)
            if name == key:
                return _minify(text[start:at])

    def _decode(self, body: bytes | str) -> str:
        try:
            return body if isinstance(body, str) else str(body, "utf-8")
        except UnicodeDecodeError as error:
            raise LoadError(f"{self._prefix}UTF8_ERROR: The input is not valid UTF-8, offset {error.start}") from error

    def _broken(self, error: Exception) -> LoadError:
        if isinstance(error, RecursionError):
            return LoadError(f"{self._prefix}DEPTH_ERROR: The JSON document was too deep")
        detail = f"{error.msg} at offset {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
        return LoadError(f"{self._prefix}TAPE_ERROR: The JSON document has an improper structure: {detail}")


def _looks_like_value(start: bytes) -> bool:
    """Whether a JSON scalar that the stream reader then refuses by type may start here: null, true, false."""
    return start in b"ntf"


def _may_repeat(body: bytes, rows: int, keys: Sequence[str]) -> bool:
    """Whether some object could hold a key twice. Never wrong about "no", unless a key is written with escapes."""
    return any(body.count(orjson.dumps(key)) > rows for key in keys)


def _is_truncated(text: str, at: int, error: Exception) -> bool:
    """Whether the document at `at` merely ends too early (rather than being wrong)."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    open_string = error.msg.startswith("Unterminated string")
    return text[at] == "{" and (open_string or error.pos >= len(text.rstrip()))


_OUTSIDE = re.compile(r'"(?:[^"\\]|\\.)*"|\s+')


def _minify(text: str) -> str:
    return _OUTSIDE.sub(lambda match: match[0] if match[0][0] == '"' else "", text)


def _brief(body: bytes) -> str:
    return body[:1024].decode("utf-8", "replace")


def check_supported(*, jsonpaths: str, json_root: str) -> None:
    if jsonpaths:
        raise not_emulated("header jsonpaths")
    if json_root:
        raise not_emulated("header json_root")

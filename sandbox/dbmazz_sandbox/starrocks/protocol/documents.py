"""The JSON body of a load, cut into rows (starrocks.md 2.1).

Two readers give the same rows. The quick one is orjson, all lines at once. It cannot say what a number token looked
like, keeps the last of two equal keys where StarRocks keeps the first, and refuses lone surrogates; wherever
that could matter the exact one (the standard library's, with hooks) reads instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import orjson

from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.jsonpath import BadPath, NotFound, Path, follow, path_text

Row = dict[str, Any]
_SPACE = re.compile(r"[ \t\r\n]*")
_SPACE_BYTES = b" \t\r\n"
_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r]*,[ \t\r]*\{")
_EACH = ", you can set strip_outer_array=true to parse each element of the array as individual rows"
_ARRAY = "The value is array type in json document stream" + _EACH
_SCALAR = "The value should be object type in json document stream"
_NOT_ARRAY = "the value should be array type with strip_outer_array=true, value: "
_BRIEF = 64  # MAX_RAW_JSON_LEN

# The words of simdjson, by what the exact reader says.
STRUCTURE = "The JSON document has an improper structure: missing or superfluous commas, braces, missing keys, etc."
_WRONG_TYPE = "The JSON element does not have the requested type."
_DEPTH = "The JSON document was too deep (too many nested objects and arrays)"
_UTF8 = "The input is not valid UTF-8"
_WORDS = {
    "Unterminated string": "A string is opened, but never closed.",
    "Invalid control character": "Within strings, some characters must be escaped, we found unescaped characters",
    "Invalid \\": "Problem while parsing a string",
}


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

    def __init__(self, body: bytes | bytearray, *, strip_outer_array: bool, prefix: str, keys: Sequence[str],
                 root: Path = (), exact: bool = False) -> None:  # fmt: skip
        """`prefix` starts every message (it depends on the release); `keys` are the object keys the load reads;
        `root` is where the rows begin inside each document; `exact` insists on number tokens and the rows' text.
        Raises LoadError: one bad document fails the whole load."""
        self._prefix, self._root = prefix, root
        self._body = bytes(body)
        self._strip = strip_outer_array
        self._keys = keys
        self._texts: Sequence[bytes | str] = []
        self.rows: list[Row] = []
        self.exact = False
        start = self._body.lstrip(_SPACE_BYTES)[:1]
        if not start:
            return
        if start not in b"{[" and not _looks_like_value(start):
            raise self._error(f"illegal json started with [{start.decode('latin-1')}]")
        self._read(exact or bool(root))

    def _read(self, exact: bool) -> None:
        # With a root the outer array is expanded by itself; strip_outer_array is then about what the root holds.
        as_array = self._body.lstrip(_SPACE_BYTES)[:1] == b"[" if self._root else self._strip
        if exact or not (self._read_array_quickly() if as_array else self._read_stream_quickly()):
            self._read_array() if as_array else self._read_stream()
        if self._root:
            self._expand("array" if as_array else "document stream")

    def _read_stream_quickly(self) -> bool:
        body = self._body
        lines = [line for line in body.split(b"\n") if line and not line.isspace()]
        try:
            if _one_object_per_line(lines, body):
                rows = orjson.loads(b"[" + b",".join(lines) + b"]")
            else:
                rows = [orjson.loads(line) for line in lines]
        except orjson.JSONDecodeError:
            return False
        if len(rows) != len(lines) or set(map(type, rows)) - {dict} or _may_repeat(body, len(rows), self._keys):
            return False
        self.rows, self._texts = rows, lines
        return True

    def _read_stream(self) -> None:
        text = self._decode("Failed to iterate document stream as object. error: ")
        rows: list[Row] = []
        texts: list[str] = []
        at = _space(text, 0)
        while at < len(text):
            try:
                value, end = _exact.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                if rows and _is_truncated(text, at, error):
                    break  # the scanner never reports a truncated last document (json_scanner.cpp)
                raise self._error(f"Failed to iterate document stream as object. error: {_words(error)}") from error
            if not isinstance(value, dict):
                raise self._error(_ARRAY if isinstance(value, list) else _SCALAR)
            rows.append(value)
            texts.append(text[at:end])
            at = _space(text, end)
        self.rows, self._texts, self.exact = rows, texts, True

    def _read_array_quickly(self) -> bool:
        try:
            rows = orjson.loads(self._body)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(rows, list) or set(map(type, rows)) - {dict}:
            return False
        if _may_repeat(self._body, len(rows), self._keys):
            return False
        self.rows = rows
        return True

    def _read_array(self) -> None:
        """Element by element: each keeps the text it was written as."""
        text = self._decode("Failed to parse json as array. error: ")
        at = _space(text, 0)
        if text[at : at + 1] != "[":
            raise self._error(f"{_NOT_ARRAY}{text[at:][:_BRIEF]}")
        rows: list[Row] = []
        texts: list[str] = []
        at = _space(text, at + 1)
        more = text[at : at + 1] != "]"
        while more:
            try:
                value, end = _exact.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                raise self._error(f"Failed to iterate json as array. error: {_words(error)}") from error
            if not isinstance(value, dict):
                raise self._error(f"Failed to iterate json array as object. error: {_WRONG_TYPE}")
            rows.append(value)
            texts.append(text[at:end])
            at = _space(text, end)
            more = text[at : at + 1] == ","
            if more:
                at = _space(text, at + 1)
            elif text[at : at + 1] != "]":
                raise self._error(f"Failed to iterate json as array. error: {STRUCTURE}")
        if _space(text, at + 1) < len(text):
            raise self._error(f"Failed to iterate json as array. error: {STRUCTURE}")
        self.rows, self._texts, self.exact = rows, texts, True

    def _expand(self, kind: str) -> None:
        """What json_root leads to: an object per document, or with strip_outer_array an array of them."""
        rows: list[Row] = []
        for document in self.rows:
            try:
                value = follow(document, self._root)
            except NotFound:
                raise self._error(f"unable to find key: {path_text(self._root)}") from None
            except BadPath as error:
                raise self._error(str(error)) from None
            shown = json.dumps(value, ensure_ascii=False)[:_BRIEF]
            if not self._strip:
                if isinstance(value, list):
                    raise self._error(f"The value is array type in json {kind} with json root{_EACH}, value: {shown}")
                if not isinstance(value, dict):
                    raise self._error(f"The value should be object type in json {kind} with json root, value: {shown}")
                rows.append(value)
                continue
            if not isinstance(value, list):
                raise self._error("the value under json root should be array type with strip_outer_array=true in json "
                                  f"{kind}, value: {shown}")  # fmt: skip
            if any(not isinstance(row, dict) for row in value):
                raise self._error(f"the value should be object type in expanded json {kind} with json root, "
                                  f"value: {shown}")  # fmt: skip
            rows.extend(value)
        self.rows, self._texts = rows, []

    def make_exact(self) -> None:
        """Read the rows again so that every number knows its token."""
        if not self.exact and self.rows:
            self._read(exact=True)

    def text(self, index: int) -> str:
        """The row as it was sent, for the error log and for values that keep their own text."""
        if self._texts:
            text = self._texts[index]
            return text if isinstance(text, str) else text.decode("utf-8", "replace")
        return raw_text(self.rows[index])

    def member_text(self, index: int, key: str) -> str:
        """The minified text of one member, number tokens and key order as sent (an object in a VARCHAR column)."""
        self.make_exact()
        if not self._texts:
            return raw_text(self.rows[index][key])
        text = self.text(index)
        at = text.index("{") + 1
        while True:
            at = _space(text, at)
            if text[at] == ",":
                at = _space(text, at + 1)
            name, at = json.decoder.scanstring(text, at + 1, True)  # type: ignore[attr-defined]
            start = _space(text, _space(text, at) + 1)
            _, at = _exact.raw_decode(text, start)
            if name == key:
                return _minify(text[start:at])

    def path_text(self, index: int, path: Path) -> str:
        """The minified text of what a path leads to; number tokens and key order as sent."""
        self.make_exact()
        return raw_text(follow(self.rows[index], path))

    def _decode(self, failure: str) -> str:
        try:
            return str(self._body, "utf-8")
        except UnicodeDecodeError as error:
            raise self._error(failure + _UTF8) from error

    def _error(self, message: str) -> LoadError:
        return LoadError(self._prefix + message)


def raw_text(value: Any) -> str:
    """JSON without blanks; numbers as the tokens they were read from."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{raw_text(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(raw_text, value)) + "]"
    return value.raw if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def _words(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _DEPTH
    if isinstance(error, json.JSONDecodeError):
        return next((words for start, words in _WORDS.items() if error.msg.startswith(start)), STRUCTURE)
    return STRUCTURE


def _space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _looks_like_value(start: bytes) -> bool:
    """Whether a JSON scalar that the stream reader then refuses by type may start here: null, true, false."""
    return start in b"ntf"


def _one_object_per_line(lines: Sequence[bytes], body: bytes) -> bool:
    """Whether joining the lines with commas reads as one row per line, or not at all. No line can hold two rows when
    nowhere a comma stands between two objects; so if as many rows come out as there are lines, each is its own."""
    return len(lines) > 1 and _BETWEEN_OBJECTS.search(body) is None


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

"""From PostgreSQL's text form to JSON tokens, one function per Codec, each over a whole column.

What each StarRocks type accepts is in the StarRocks manual under "Load JSON data"; the traps: a zone behind a timestamp,
and `BC`, are ignored silently, VARBINARY takes the bytes of the text, and JSON has no NaN and no infinity.
"""

from __future__ import annotations

from binascii import a2b_hex, b2a_base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

from dbmazz.target import Codec
from dbmazz_transformer.protocol.layout import ValueType

from tests.reference.transformer.array_literal import parse_array
from tests.reference.transformer.json_text import escape

NULL = b"null"

_BOOLS = {b"t": b"true", b"f": b"false"}
_DIGITS = frozenset(b"0123456789")
_LARGEST_REAL = {sign + b"3.4028235e+38": sign + b"3.4028234663852886e+38" for sign in (b"", b"-")}
_DASH, _C_OF_BC = ord("-"), ord("C")


@dataclass(frozen=True, slots=True)
class Tokens:
    """JSON tokens of a column. `quoted`: each of them belongs between quotes, which the writer of the row adds.

    `changed`: values that a declared policy has changed on their way.
    """

    texts: Sequence[bytes]
    quoted: bool = False
    changed: int = 0


def column_tokens(cells: Sequence[bytes | None], any_null: bool, kind: ValueType) -> Tokens:
    """The tokens of a column, None being NULL. ValueError, KeyError or IndexError when a value is not of its type."""
    if not any_null:
        return _encode(cells, kind)
    tokens = _encode([cell for cell in cells if cell is not None], kind)
    supply = iter(tokens.texts)
    if tokens.quoted:
        texts = [NULL if cell is None else b'"%b"' % next(supply) for cell in cells]
    else:
        texts = [NULL if cell is None else next(supply) for cell in cells]
    return Tokens(texts, changed=tokens.changed)


def _encode(cells: Sequence[bytes], kind: ValueType) -> Tokens:
    if kind.codec is Codec.ARRAY:
        return _array(cells, kind)
    return _CODECS[kind.codec](cells) if cells else Tokens(())


def _number(cells: Sequence[bytes]) -> Tokens:
    return Tokens(cells)


def _finite(cells: Sequence[bytes]) -> Tokens:
    """numeric and floats. Policy: NaN, Infinity and -Infinity become NULL; JSON and DECIMAL have no place for them."""
    if _DIGITS.issuperset(map(itemgetter(-1), cells)):
        return Tokens(cells)
    texts = [cell if cell[-1] in _DIGITS else NULL for cell in cells]
    return Tokens(texts, changed=texts.count(NULL))


def _real(cells: Sequence[bytes]) -> Tokens:
    """float4: as `_finite`, and the largest number with the digits of a double, else it is one too large for a FLOAT."""
    if not _LARGEST_REAL.keys().isdisjoint(cells):
        cells = [_LARGEST_REAL.get(cell, cell) for cell in cells]
    return _finite(cells)


def _bool(cells: Sequence[bytes]) -> Tokens:
    return Tokens([_BOOLS[cell] for cell in cells])


def _text(cells: Sequence[bytes]) -> Tokens:
    return Tokens([escape(cell) for cell in cells], quoted=True)


def _json(cells: Sequence[bytes]) -> Tokens:
    """The document as it is. Inside strings a newline is escaped, so a bare one is whitespace, and would end the row."""
    return Tokens([cell.replace(b"\n", b" ") for cell in cells])


def _bytea(cells: Sequence[bytes]) -> Tokens:
    r"""`\x...` to base64."""
    return Tokens([b2a_base64(_hex_digits(cell), newline=False) for cell in cells], quoted=True)


def _hex_digits(cell: bytes) -> bytes:
    if not cell.startswith(b"\\x"):
        raise ValueError("bytea that is not in hex form")
    return a2b_hex(memoryview(cell)[2:])


def _date(cells: Sequence[bytes]) -> Tokens:
    """Policy: BC, infinity and years beyond 9999 become NULL. All of them differ in length from YYYY-MM-DD."""
    if {10}.issuperset(map(len, cells)):
        return Tokens(cells, quoted=True)
    return _with_policy([cell if len(cell) == 10 else None for cell in cells])


def _timestamp(cells: Sequence[bytes]) -> Tokens:
    """As `_date`; a fifth character other than `-` tells infinity and five-digit years, a last `C` tells BC."""
    if {_DASH}.issuperset(map(itemgetter(4), cells)) and _C_OF_BC not in map(itemgetter(-1), cells):
        return Tokens(cells, quoted=True)
    return _with_policy([cell if _plain_timestamp(cell) else None for cell in cells])


def _timestamptz(cells: Sequence[bytes]) -> Tokens:
    """As `_timestamp`, in UTC and without zone. Sessions are fixed to UTC; another offset is converted all the same."""
    if {_DASH}.issuperset(map(itemgetter(4), cells)) and all(cell.endswith(b"+00") for cell in cells):
        return Tokens([cell[:-3] for cell in cells], quoted=True)
    return _with_policy([_to_utc(cell) if _plain_timestamp(cell) else None for cell in cells])


def _plain_timestamp(cell: bytes) -> bool:
    return cell[4] == _DASH and cell[-1] != _C_OF_BC


def _to_utc(cell: bytes) -> bytes | None:
    if cell.endswith(b"+00"):
        return cell[:-3]
    try:
        moment = datetime.fromisoformat(cell.decode()).astimezone(UTC)
    except OverflowError:  # 0001-01-01 east of Greenwich
        return None
    return moment.replace(tzinfo=None).isoformat(" ").encode()


def _with_policy(texts: list[bytes | None]) -> Tokens:
    """Quoted tokens, with NULL for what the policy has taken out."""
    return Tokens([NULL if text is None else b'"%b"' % text for text in texts], changed=texts.count(None))


def _array(cells: Sequence[bytes], kind: ValueType) -> Tokens:
    """Policy: what is not an array literal (int2vector, say) travels as a JSON string of its text, so nothing is lost."""
    literals = [parse_array(cell, kind.delimiter) for cell in cells]
    elements = [element for literal in literals if literal for element in literal.elements]
    tokens = _encode(elements, ValueType(kind.element or Codec.TEXT))
    supply = iter([b'"%b"' % text for text in tokens.texts] if tokens.quoted else tokens.texts)
    texts = [
        b'"%b"' % escape(cell) if literal is None else literal.to_json(supply)
        for cell, literal in zip(cells, literals, strict=True)
    ]
    return Tokens(texts, changed=tokens.changed + literals.count(None))


_CODECS: dict[Codec, Callable[[Sequence[bytes]], Tokens]] = {
    Codec.NUMBER: _number,
    Codec.DECIMAL: _finite,
    Codec.FLOAT: _finite,
    Codec.REAL: _real,
    Codec.BOOL: _bool,
    Codec.TEXT: _text,
    Codec.JSON: _json,
    Codec.BYTEA: _bytea,
    Codec.DATE: _date,
    Codec.TIMESTAMP: _timestamp,
    Codec.TIMESTAMPTZ: _timestamptz,
}

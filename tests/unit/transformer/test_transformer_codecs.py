"""Codecs: PostgreSQL's text on the left, the JSON value on the right, by table; declared policies are counted.

All of it is asked of the kernel and of the reference.
"""

import json
from collections.abc import Callable

import orjson
import pytest
from dbmazz.relation import Column, TypeFamily
from dbmazz.target import Codec, target_type
from dbmazz_transformer.protocol.kernel import Rows, Writer, fold
from dbmazz_transformer.protocol.layout import JsonColumn, ValueType
from dbmazz_transformer.protocol.malformed import EncodeError

from tests.reference.transformer.codecs import column_tokens
from tests.unit.transformer.transformer_world import INSERT, INT4, TEXT, Event, EventBatch, relation, to_proto

Encode = Callable[[list[bytes | None], ValueType], tuple[list[str], int]]


def by_reference(cells: list[bytes | None], kind: ValueType) -> tuple[list[str], int]:
    """The tokens of a column, and how many values a policy has changed."""
    tokens = column_tokens(cells, None in cells, kind)
    return [(b'"%b"' % text if tokens.quoted else text).decode() for text in tokens.texts], tokens.changed


def by_kernel(cells: list[bytes | None], kind: ValueType) -> tuple[list[str], int]:
    """The same, taken out of the rows that it writes."""
    if not cells:
        return [], 0
    events = tuple(Event(INSERT, (b"%d" % number, cell), 1) for number, cell in enumerate(cells))
    rows = Rows(to_proto(relation(("id", INT4), ("v", TEXT)), EventBatch(1, events)), 2)
    (group,) = fold([rows], [0], non_key_bitmap=2, soft_delete=True).groups
    columns = [
        JsonColumn(0, "id", b'"id":', ValueType(Codec.NUMBER), ()),
        JsonColumn(1, "v", b'"v":', kind, ()),
    ]
    body, changed = Writer(columns).encode(group, (b',"end":',) * 3)
    lines = body.decode().split("\n")
    assert lines.pop() == ""
    beginnings = [f'{{"id":{number},"v":' for number in range(len(cells))]
    assert [line.startswith(beginning) for line, beginning in zip(lines, beginnings, strict=True)] == [True] * len(
        lines
    )
    ending = ',"end":1}'
    tokens = [line.removeprefix(start).removesuffix(ending) for line, start in zip(lines, beginnings, strict=True)]
    assert [len(line) for line in lines] == [
        len(start + token + ending) for start, token in zip(beginnings, tokens, strict=True)
    ]
    return tokens, changed


@pytest.fixture(params=[by_kernel, by_reference], ids=["kernel", "reference"])
def encode(request: pytest.FixtureRequest) -> Encode:
    return request.param


# codec, text, JSON token, and whether a policy has changed the value
SCALARS = [
    (Codec.NUMBER, "0", "0", 0),
    (Codec.NUMBER, "-9223372036854775808", "-9223372036854775808", 0),
    (Codec.NUMBER, "4294967295", "4294967295", 0),
    (Codec.DECIMAL, "1.50", "1.50", 0),
    (Codec.DECIMAL, "-0.00000000000000000000000000000000000001", "-0.00000000000000000000000000000000000001", 0),
    (Codec.DECIMAL, "9" * 38, "9" * 38, 0),
    (Codec.DECIMAL, "NaN", "null", 1),
    (Codec.DECIMAL, "Infinity", "null", 1),
    (Codec.DECIMAL, "-Infinity", "null", 1),
    (Codec.FLOAT, "1e+308", "1e+308", 0),
    (Codec.FLOAT, "4.9406564584124654e-324", "4.9406564584124654e-324", 0),
    (Codec.FLOAT, "-0", "-0", 0),
    (Codec.FLOAT, "NaN", "null", 1),
    (Codec.FLOAT, "Infinity", "null", 1),
    (Codec.FLOAT, "-Infinity", "null", 1),
    (Codec.REAL, "3.14", "3.14", 0),
    (Codec.REAL, "3.4028235e+38", "3.4028234663852886e+38", 0),
    (Codec.REAL, "-3.4028235e+38", "-3.4028234663852886e+38", 0),
    (Codec.REAL, "NaN", "null", 1),
    (Codec.BOOL, "t", "true", 0),
    (Codec.BOOL, "f", "false", 0),
    (Codec.TEXT, "", '""', 0),
    (Codec.TEXT, "NaN", '"NaN"', 0),
    (Codec.JSON, '{"b": 1, "a": [1e400, 12345678901234567890]}', '{"b": 1, "a": [1e400, 12345678901234567890]}', 0),
    (Codec.JSON, "null", "null", 0),
    (Codec.JSON, '"a string"', '"a string"', 0),
    (Codec.JSON, '{\n  "a": "x\\ny"\r\n}', '{   "a": "x\\ny"\r }', 0),
    (Codec.BYTEA, "\\x00ff10", '"AP8Q"', 0),
    (Codec.BYTEA, "\\x", '""', 0),
    (Codec.DATE, "0001-01-01", '"0001-01-01"', 0),
    (Codec.DATE, "9999-12-31", '"9999-12-31"', 0),
    (Codec.DATE, "10000-01-01", "null", 1),
    (Codec.DATE, "0044-03-15 BC", "null", 1),
    (Codec.DATE, "infinity", "null", 1),
    (Codec.DATE, "-infinity", "null", 1),
    (Codec.TIMESTAMP, "2024-02-29 23:59:59.999999", '"2024-02-29 23:59:59.999999"', 0),
    (Codec.TIMESTAMP, "0001-01-01 00:00:00", '"0001-01-01 00:00:00"', 0),
    (Codec.TIMESTAMP, "0044-03-15 10:00:00 BC", "null", 1),
    (Codec.TIMESTAMP, "294276-12-31 23:59:59.999999", "null", 1),
    (Codec.TIMESTAMP, "10000-01-01 00:00:00", "null", 1),
    (Codec.TIMESTAMP, "infinity", "null", 1),
    (Codec.TIMESTAMP, "-infinity", "null", 1),
    (Codec.TIMESTAMPTZ, "2024-02-29 23:59:59.5+00", '"2024-02-29 23:59:59.5"', 0),
    (Codec.TIMESTAMPTZ, "2024-02-29 23:59:59+05:45", '"2024-02-29 18:14:59"', 0),
    (Codec.TIMESTAMPTZ, "2024-02-29 23:59:59.25-03", '"2024-03-01 02:59:59.250000"', 0),
    (Codec.TIMESTAMPTZ, "0044-03-15 10:00:00+00 BC", "null", 1),
    (Codec.TIMESTAMPTZ, "10000-01-01 00:00:00+00", "null", 1),
    (Codec.TIMESTAMPTZ, "0001-01-01 00:00:00+14", "null", 1),
    (Codec.TIMESTAMPTZ, "infinity", "null", 1),
    (Codec.TIMESTAMPTZ, "-infinity", "null", 1),
]


@pytest.mark.parametrize(("codec", "text", "token", "changed"), SCALARS)
def test_scalar(encode, codec, text, token, changed):
    kind = ValueType(codec)
    assert encode([text.encode()], kind) == ([token], changed)
    # In a column with NULL the same value keeps its form.
    assert encode([None, text.encode(), None], kind) == (["null", token, "null"], changed)


@pytest.mark.parametrize("codec", [codec for codec in Codec if codec is not Codec.ARRAY])
def test_a_whole_column_at_once(encode, codec):
    rows = [(text.encode(), token, changed) for kind, text, token, changed in SCALARS if kind is codec]
    cells, tokens, changed = zip(*rows, strict=True)
    assert encode(list(cells), ValueType(codec)) == (list(tokens), sum(changed))
    assert encode([None, None], ValueType(codec)) == (["null", "null"], 0)
    assert encode([], ValueType(codec)) == ([], 0)


TEXTS = [
    "",
    "plain",
    'a "quote"',
    "back\\slash",
    "\\u0000",
    "".join(map(chr, range(1, 32))),
    "\x7f\x80\x9f",
    "\u2028\u2029",
    "é combining e\u0301",
    "漢字 😀 \U0010ffff",
    "trailing \\",
    "x" * 100_000 + '"',
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_survives(encode, text):
    ((token,), _) = encode([text.encode()], ValueType(Codec.TEXT))
    assert json.loads(token) == text
    assert orjson.loads(token) == text


@pytest.mark.parametrize("repeat", [1, 200])
def test_text_columns_survive(encode, repeat):
    texts = TEXTS[:-1] * repeat + TEXTS[-1:]
    tokens, _ = encode([text.encode() for text in texts], ValueType(Codec.TEXT))
    assert [json.loads(token) for token in tokens] == texts


@pytest.mark.parametrize("size", range(18))
def test_every_byte_at_every_place(encode, size):
    """Texts are copied eight bytes at a time; what needs an escape is seen wherever it stands among them."""
    texts = ["x" * at + chr(code) + "y" * (size - at) for code in (*range(1, 128), 233) for at in range(size + 1)]
    tokens, _ = encode([text.encode() for text in texts], ValueType(Codec.TEXT))
    assert [json.loads(token) for token in tokens] == texts


def test_a_zero_byte_is_escaped(encode):
    """PostgreSQL never sends one; if a peer did, the row must still be JSON."""
    tokens, _ = encode([b"a\0b", b"c", b'"'], ValueType(Codec.TEXT))
    assert tokens == ['"a\\u0000b"', '"c"', '"\\""']


ARRAYS = [
    (Codec.NUMBER, "{}", []),
    (Codec.NUMBER, "{1,-2,NULL}", [1, -2, None]),
    (Codec.NUMBER, "{{1,2},{3,NULL}}", [[1, 2], [3, None]]),
    (Codec.NUMBER, "{{{1}},{{2}}}", [[[1]], [[2]]]),
    (Codec.NUMBER, "[0:2]={7,8,9}", [7, 8, 9]),
    (Codec.NUMBER, "[-1:0][2:3]={{1,2},{3,4}}", [[1, 2], [3, 4]]),
    (Codec.BOOL, "{t,f,NULL}", [True, False, None]),
    (Codec.FLOAT, "{1.5,1e-05}", [1.5, 1e-05]),
    (Codec.TEXT, '{a,NULL,"NULL",null}', ["a", None, "NULL", "null"]),
    (Codec.TEXT, '{"",",","{","}","a b"}', ["", ",", "{", "}", "a b"]),
    (Codec.TEXT, '{"a\\"b","c\\\\d","\\\\x00"}', ['a"b', "c\\d", "\\x00"]),
    (Codec.TEXT, '{"line\nbreak","tab\t"}', ["line\nbreak", "tab\t"]),
    (Codec.TEXT, "{é,漢,😀}", ["é", "漢", "😀"]),
    (Codec.TEXT, "{2024-01-01,infinity}", ["2024-01-01", "infinity"]),
    (Codec.TEXT, '{{"a,b",c},{d,"e}"}}', [["a,b", "c"], ["d", "e}"]]),
    (Codec.JSON, '{"{\\"a\\": [1, \\"x,y\\"]}",NULL,3}', [{"a": [1, "x,y"]}, None, 3]),
    (Codec.TEXT, '{"' + "z" * 200_000 + '",y}', ["z" * 200_000, "y"]),
]


@pytest.mark.parametrize(("element", "literal", "expected"), ARRAYS)
def test_array(encode, element, literal, expected):
    kind = ValueType(Codec.ARRAY, element)
    ((token,), changed) = encode([literal.encode()], kind)
    assert json.loads(token) == expected
    assert changed == 0
    assert "\n" not in token


def test_arrays_of_a_column_keep_their_elements(encode):
    kind = ValueType(Codec.ARRAY, Codec.TEXT)
    tokens, _ = encode([b"{a,b}", None, b"{}", b"{c}", b"{{d},{e}}"], kind)
    assert [json.loads(token) for token in tokens] == [["a", "b"], None, [], ["c"], [["d"], ["e"]]]


def test_array_policies_are_counted(encode):
    assert encode([b"{1,NaN,Infinity}"], ValueType(Codec.ARRAY, Codec.FLOAT)) == (["[1,null,null]"], 2)


@pytest.mark.parametrize(
    "literal",
    [
        "1 2 3",
        "",
        "{",
        "}",
        "{1",
        "{1}}",
        "{1,}",
        "{,1}",
        "{1}{2}",
        '{"a}',
        "{1 2}x",
        "[0:1]=",
        "{{1}",
        '{"a"b}',
        "{,}",
    ],
)
def test_what_is_no_array_literal_travels_as_text(encode, literal):
    ((token,), changed) = encode([literal.encode()], ValueType(Codec.ARRAY, Codec.NUMBER))
    assert (json.loads(token), changed) == (literal, 1)


def test_box_arrays_are_separated_by_semicolons(encode):
    kind = ValueType(Codec.ARRAY, Codec.TEXT, b";")
    ((token,), _) = encode([b"{(1,1),(0,0);(2,2),(1,1)}"], kind)
    assert json.loads(token) == ["(1,1),(0,0)", "(2,2),(1,1)"]


@pytest.mark.parametrize(
    ("codec", "text"),
    [(Codec.BOOL, "maybe"), (Codec.BYTEA, "abc"), (Codec.BYTEA, "\\x0g"), (Codec.TIMESTAMP, ""), (Codec.FLOAT, "")],
)
def test_what_is_not_of_its_type_is_an_error(encode, codec, text):
    with pytest.raises((EncodeError, ValueError, KeyError, IndexError)):
        encode([text.encode()], ValueType(codec))


@pytest.mark.parametrize(
    ("oid", "modifier", "text", "value"),
    [
        (21, -1, "-32768", -32768),
        (23, -1, "2147483647", 2147483647),
        (20, -1, "9223372036854775807", 9223372036854775807),
        (1700, (10 << 16 | 2) + 4, "1.25", 1.25),
        (1700, -1, "3." + "1" * 50, "3." + "1" * 50),
        (1700, -1, "NaN", "NaN"),
        (25, -1, "x", "x"),
        (1042, 8, "ab  ", "ab  "),
        (1043, 8, "ab", "ab"),
        (2950, -1, "5f3b2c1a-0000-4000-8000-000000000001", "5f3b2c1a-0000-4000-8000-000000000001"),
        (1083, -1, "24:00:00", "24:00:00"),
        (1266, -1, "10:00:00+02", "10:00:00+02"),
        (1186, -1, "1 mon -3 days -00:00:01.5", "1 mon -3 days -00:00:01.5"),
        (869, -1, "10.0.0.0/8", "10.0.0.0/8"),
        (790, -1, "$1.00", "$1.00"),
        (1560, -1, "0101", "0101"),
        (999_999, -1, "anything", "anything"),
    ],
)
def test_column_types_end_to_end(encode, oid, modifier, text, value):
    kind = target_type(Column("c", oid, modifier))
    ((token,), changed) = encode([text.encode()], ValueType(kind.codec, kind.element))
    assert (json.loads(token), changed) == (value, 0)


@pytest.mark.parametrize(
    ("element_oid", "literal", "value"),
    [
        (23, "{1,2}", [1, 2]),
        (1700, "{1.50,NaN}", ["1.50", "NaN"]),
        (1114, '{"2024-01-01 00:00:00"}', ["2024-01-01 00:00:00"]),
        (17, '{"\\\\x00ff"}', ["\\x00ff"]),
        (3802, '{"{\\"a\\": 1}"}', [{"a": 1}]),
        (999_999, "{happy}", ["happy"]),
    ],
)
def test_array_types_end_to_end(encode, element_oid, literal, value):
    kind = target_type(Column("c", 1, family=TypeFamily.ARRAY, element_type_oid=element_oid))
    ((token,), _) = encode([literal.encode()], ValueType(kind.codec, kind.element))
    assert json.loads(token) == value


@pytest.mark.parametrize("oid", [17, 700, 701, 1700, 3802])
def test_keys_that_the_target_cannot_have_as_such_are_text(oid):
    assert target_type(Column("c", oid, key_position=1)).codec is Codec.TEXT

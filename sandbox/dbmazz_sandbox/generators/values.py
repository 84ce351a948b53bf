"""Values that are hard on a pipeline, rendered once as SQL literals and then drawn from.

Left out on purpose, because no exact target value exists for them: NaN and infinities, BC dates, a jsonb document
that is `null` as a whole, JSON numbers beyond 64 bits.
"""

from __future__ import annotations

import base64
import random
import uuid
from datetime import date, datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from dbmazz_sandbox.generators.schema import STATUSES

POOL_ROWS = 2048
WORDS = [
    "alder",
    "birch",
    "cedar",
    "elm",
    "fir",
    "hazel",
    "larch",
    "maple",
    "oak",
    "pine",
    "rowan",
    "spruce",
    "willow",
    "yew",
]
TEXTS = (
    "",
    " ",
    "it's",
    'she said "yes"',
    "back\\slash \\n \\u0041 \\",
    "two\nlines",
    "tab\tcarriage return\r\n",
    "party 🎉 family 👩‍👩‍👧‍👦",
    "ünïcödé 漢字 العربية e\u0301 \u2028",
    "control \u0001 \u007f",
    "NULL",
    "null",
    "\\N",
    "{a,b}",
    "[1, 2]",
    "100% $1 ?",
    "'; --",
    "</script>&amp;",
    "x" * 400,
)
AMOUNTS = ("0.00", "-0.01", "9999999999.99", "-9999999999.99", "1.10")
CUSTOMERS = ("-1", "0", "9007199254740993", "9223372036854775807")
PRIORITIES = (-32768, -1, 0, 1, 32767, None)
FLOATS = (0.1, 1 / 3, -0.5, 1e-300, 2.2250738585072014e-308, -1.7976931348623157e308, 1e16, None)
REALS = (0.1, 3.4028235e38, -1.1754944e-38, 16777217.0, 2.5, None)
DATES = (date(1, 1, 1), date(1582, 10, 10), date(1970, 1, 1), date(2024, 2, 29), date(9999, 12, 31), None)
TIMESTAMPS = (
    datetime(1, 1, 1),  # noqa: DTZ001 - a timestamp without time zone
    datetime(1969, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
    datetime(2026, 3, 29, 2, 30, 0, 1),  # noqa: DTZ001 - a local time that does not exist in much of Europe
    datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
)
MOMENTS = ("1969-12-31 23:59:59.999999+05:30", "2026-10-25 00:30:00.000001-11", "9999-12-31 23:59:59.999999+00")
DOCUMENTS: tuple[Any, ...] = (
    {},
    [],
    "a string",
    42,
    False,
    [1, "two", None, [3.5, {"deep": [True]}]],
    {"a": {"b": {"c": {"d": [None, -1, 1.5e-07]}}}, 'quote"key': "back\\slash", "": "empty key"},
    {"int": 9223372036854775807, "negative": -9007199254740993, "float": 0.1, "none": None},
    {"unicode": "漢字 🎉", "text": "two\nlines\ttab", "html": "</b>", "a.b": 1, "a b": 2},
)


def literal(value: Any) -> str:
    """`value` as PostgreSQL writes it in a statement."""
    return sql.Literal(value).as_string(None)


def text(rng: random.Random) -> str:
    """A special text, a sentence, or both."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(TEXTS)
    sentence = " ".join(rng.choices(WORDS, k=rng.randint(2, 12)))
    return sentence if kind < 0.9 else f"{sentence} {rng.choice(TEXTS)}"


def document(rng: random.Random) -> Any:
    if rng.random() < 0.3:
        return rng.choice(DOCUMENTS)
    return {
        "channel": rng.choice(WORDS),
        "score": round(rng.uniform(-100, 100), 3),
        "visits": rng.randint(-(2**31), 2**53),
        "comment": text(rng),
        "steps": [{"n": n, "ok": rng.random() < 0.5} for n in range(rng.randint(0, 3))],
    }


def tags(rng: random.Random) -> list[str | None]:
    return [maybe(rng, text(rng)) for _ in range(rng.randint(0, 4))]


def maybe(rng: random.Random, value: Any, null_share: float = 0.1) -> Any:
    return None if rng.random() < null_share else value


class OrderValues:
    """Pools of column values for orders and order_items, each a piece of SQL; the same for the same seed."""

    def __init__(self, rng: random.Random) -> None:
        self.tags = [f"{literal(maybe(rng, tags(rng)))}::text[]" for _ in range(POOL_ROWS)]
        self.attributes = [literal(maybe(rng, Jsonb(document(rng)))) for _ in range(POOL_ROWS)]
        self.notes = [literal(maybe(rng, text(rng))) for _ in range(POOL_ROWS)]
        self.statuses = [literal(status) for status in STATUSES]
        self.order_rests = [self._order_rest(rng, i) for i in range(POOL_ROWS)]
        self.item_rests = [self._item_rest(rng) for _ in range(POOL_ROWS)]

    def _order_rest(self, rng: random.Random, index: int) -> str:
        """status, currency, priority, paid, tags, attributes, note, external_ref, created_at, updated_at"""
        moment = literal(rng.choice(MOMENTS)) if rng.random() < 0.05 else "clock_timestamp()"
        updated = literal(rng.choice(TIMESTAMPS)) if rng.random() < 0.05 else "localtimestamp"
        return ", ".join((
            rng.choice(self.statuses),
            literal(maybe(rng, rng.choice(("EUR", "USD", "CZK", "JPY")))),
            literal(rng.choice(PRIORITIES)),
            literal(maybe(rng, rng.random() < 0.5)),
            self.tags[index],
            self.attributes[index],
            self.notes[index],
            literal(maybe(rng, str(uuid.UUID(int=rng.getrandbits(128), version=4)))),
            moment,
            literal(None) if rng.random() < 0.3 else updated,
        ))  # fmt: skip

    def _item_rest(self, rng: random.Random) -> str:
        """sku, quantity, price, discount, weight, shipped_on, gift_note"""
        return ", ".join(literal(value) for value in (
            f"{rng.choice(WORDS)}-{rng.randint(1, 9999):04d}",
            rng.choice((1, 2, 3, 12, 0, -1, 2147483647)),
            maybe(rng, rng.randint(-(10**7), 10**9) / 10**4),
            rng.choice(FLOATS) if rng.random() < 0.3 else rng.uniform(0, 1),
            rng.choice(REALS) if rng.random() < 0.3 else round(rng.uniform(0, 500), 3),
            rng.choice(DATES) if rng.random() < 0.3 else date.fromordinal(rng.randint(735000, 741000)),
            maybe(rng, text(rng), 0.7),
        ))  # fmt: skip


def incompressible_text(rng: random.Random, size: int) -> str:
    """`size` characters that neither pglz nor lz4 can shrink: they look for repeats, and base64 of noise has none."""
    return base64.b64encode(rng.randbytes(size * 3 // 4 + 3)).decode("ascii")[:size]


def large_document(rng: random.Random, size: int) -> dict[str, Any]:
    """A JSON document of about `size` characters in several parts, all noise but for its edges."""
    parts = 8
    return {
        "kind": "large",
        "special": rng.choice(TEXTS),
        "parts": [{"n": n, "noise": incompressible_text(rng, size // parts)} for n in range(parts)],
    }

"""LSNs as PostgreSQL writes them."""

import random

import pytest
from dbmazz.lsn import Lsn


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0/0", 0),
        ("0/1", 1),
        ("16/B374D848", 0x16_B374D848),
        ("16/b374d848", 0x16_B374D848),
        ("1/00000002", 0x1_0000_0002),
        ("FFFFFFFF/FFFFFFFF", 2**64 - 1),
    ],
)
def test_parse(text, number):
    assert Lsn.parse(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "/", "16", "16/", "/16", "16/G", "-1/0", "1/2/3", " 1/2", "1/2\n", "123456789/0", "0/123456789", "0x1/2"],
)
def test_anything_else_is_no_lsn(text):
    with pytest.raises(ValueError, match="not an LSN"):
        Lsn.parse(text)


def test_printed_as_postgres_prints_it():
    lsn = Lsn(0x16_0374D848)
    assert (str(lsn), f"{lsn}", repr(lsn)) == ("16/374D848", "16/374D848", "Lsn('16/374D848')")
    assert lsn == 0x16_0374D848 and lsn < Lsn(0x17_0000_0000)


def test_text_and_back(seed: int):
    rng = random.Random(seed)
    for _ in range(1000):
        lsn = Lsn(rng.getrandbits(rng.randint(1, 64)))
        assert Lsn.parse(str(lsn)) == lsn

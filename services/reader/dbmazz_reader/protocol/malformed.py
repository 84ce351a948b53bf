"""The error for bytes that are no pgoutput message."""

from __future__ import annotations

from dbmazz.errors import WireError


class MalformedMessage(WireError):
    """Names the message by its letter, and where in it decoding stopped; never holds values of rows."""

    reason = "MALFORMED_PGOUTPUT"

    def __init__(self, letter: str, offset: int, problem: str) -> None:
        shown = letter if letter.isascii() and letter.isprintable() and letter else f"0x{ord(letter or chr(0)):02x}"
        super().__init__(
            f"PostgreSQL sent a message that cannot be read: kind {shown!r}, offset {offset}: {problem}",
            "Nothing was skipped or confirmed; check what stands between the reader and PostgreSQL 14 to 18",
        )
        self.letter = letter
        self.offset = offset
        self.problem = problem

"""What is wrong with what came: a batch whose fields do not fit together, a value that is not of its type."""

from __future__ import annotations

from dbmazz.errors import DbmazzError, WireError


class MalformedBatch(WireError):
    """A field of a batch does not fit the others; `field` and `offset` (a byte in it) tell where."""

    def __init__(self, field: str, offset: int, what: str) -> None:
        super().__init__(f"change batch: {field} at byte {offset} {what}")
        self.field = field
        self.offset = offset


class WrongSize(MalformedBatch):
    """A field of a batch has another size, or another sum, than the rest of the batch asks for."""

    def __init__(self, field: str, found: int, wanted: int) -> None:
        WireError.__init__(self, f"change batch: {field} is {found}, expected {wanted}")
        self.field = field
        self.offset = min(found, wanted)


class EncodeError(DbmazzError):
    """A value is not in the text form of its type."""

    reason = "BAD_WIRE"

    def __init__(self, column: str, kind: str) -> None:
        # The value itself stays out of it.
        super().__init__(
            f"column {column} holds a value that is not PostgreSQL's text form of a {kind}",
            "The reader's session must have DateStyle ISO and bytea_output hex",
        )

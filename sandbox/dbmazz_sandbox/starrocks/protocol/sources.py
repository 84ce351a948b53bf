"""Where the values of a load come from: JSON documents, documents by jsonpaths, or CSV fields. All by column."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from dbmazz_sandbox.starrocks.catalog import Column
from dbmazz_sandbox.starrocks.protocol import fields
from dbmazz_sandbox.starrocks.protocol.coerce import text_of
from dbmazz_sandbox.starrocks.protocol.coerce_columns import coerce_column
from dbmazz_sandbox.starrocks.protocol.delimited import NULL, Fields
from dbmazz_sandbox.starrocks.protocol.documents import Documents
from dbmazz_sandbox.starrocks.protocol.jsonpath import BadPath, NotFound, Path, follow, is_whole_row
from dbmazz_sandbox.starrocks.types import NESTED, Kind

OP = "__op"
_CONTAINERS = {dict, list}
Stored = tuple[Sequence[Any], dict[int, str]]


class JsonSource:
    """Members of the documents by their keys. `bad` holds rows that cannot be read at all, with the reason."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.bad: dict[int, str] = {}
        self.rejected: list[tuple[str, str]] = []  # rows that never became any, as (text, reason)

    @property
    def count(self) -> int:
        return len(self.documents.rows)

    def row(self, position: int) -> str:
        return self.documents.text(position)

    def values(self, name: str) -> list[Any]:
        """As parsed; None where the key is missing, 0 for a missing `__op`."""
        try:
            return list(map(itemgetter(name), self.documents.rows))
        except KeyError:
            absent = 0 if name == OP else None
            return [row.get(name, absent) for row in self.documents.rows]

    def _member_text(self, position: int, name: str) -> str:
        return self.documents.member_text(position, name)

    def _without_containers(self, name: str) -> list[Any]:
        values = self.values(name)
        if _CONTAINERS & set(map(type, values)):
            for position, value in enumerate(values):
                if type(value) in _CONTAINERS:
                    values[position] = self._member_text(position, name)
        return values

    def stored(self, name: str, column: Column) -> Stored:
        """The values as the column stores them, and by row why one does not fit. Raises NeedsTokens."""
        nested = column.type.kind is Kind.JSON or column.type.kind in NESTED
        values = self.values(name) if nested or _takes_no_text(column) else self._without_containers(name)
        return coerce_column(column.type, values, exact=self.documents.exact)

    def texts(self, name: str) -> list[str | None]:
        return [None if value is None else text_of(value) for value in self._without_containers(name)]


def _takes_no_text(column: Column) -> bool:
    """Numbers and booleans refuse arrays and objects by their type; every other column reads them as text."""
    return column.type.kind in _STRICT_SCALARS


_STRICT_SCALARS = frozenset({Kind.BOOLEAN, Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.FLOAT, Kind.DOUBLE})


class PathSource(JsonSource):
    """The i-th path feeds the i-th source column; columns beyond the paths are NULL."""

    def __init__(self, documents: Documents, names: Sequence[str], paths: Sequence[Path]) -> None:
        super().__init__(documents)
        self._paths = dict(zip(names, paths, strict=False))

    def values(self, name: str) -> list[Any]:
        rows, path = self.documents.rows, self._paths.get(name)
        absent = 0 if name == OP else None
        if path is None:
            return [absent] * len(rows)
        if is_whole_row(path):
            return list(rows)
        out: list[Any] = []
        for position, row in enumerate(rows):
            try:
                out.append(follow(row, path))
            except NotFound:
                out.append(absent)
            except BadPath as error:
                out.append(absent)
                self.bad.setdefault(position, str(error))
        return out

    def stored(self, name: str, column: Column) -> Stored:
        path = self._paths.get(name)
        if path is None or not is_whole_row(path) or column.type.kind is Kind.JSON:
            return super().stored(name, column)
        if column.type.kind not in (Kind.VARCHAR, Kind.CHAR):
            return [None] * self.count, dict.fromkeys(range(self.count), _ONLY_TEXT)
        texts: list[Any] = [self.documents.text(position) for position in range(self.count)]
        bad = {}
        for position, text in enumerate(texts):
            if (size := len(text.encode("utf-8", "surrogatepass"))) > column.type.length:
                texts[position] = None
                bad[position] = f"Value length {size} exceed the column length {{c}}({column.type.length})"
        return texts, bad

    def _member_text(self, position: int, name: str) -> str:
        path = self._paths[name]
        if is_whole_row(path):
            return self.documents.text(position)
        return self.documents.path_text(position, path)


_ONLY_TEXT = "json object could only load into JSON/VARCHAR column"


class CsvSource:
    """The fields of a CSV row by their place in the column list."""

    def __init__(self, cut: Fields, names: Sequence[str]) -> None:
        self._cut, self._positions = cut, {name: position for position, name in enumerate(names)}
        self.bad: dict[int, str] = {}
        self.rejected = cut.bad

    @property
    def count(self) -> int:
        return self._cut.count

    def row(self, position: int) -> str:
        return self._cut.texts[position]

    def stored(self, name: str, column: Column) -> Stored:
        fields.check_column(column.type)
        position = self._positions[name]
        return fields.convert(column.type, self._cut.columns[position], position)

    def values(self, name: str) -> list[Any]:
        return self.texts(name)

    def texts(self, name: str) -> list[str | None]:
        return [None if field == NULL else field for field in self._cut.columns[self._positions[name]]]


Source = JsonSource | CsvSource

r"""The CSV body of a load, cut into rows and fields (starrocks.md 2.5; CSVReader).

Without `enclose` and `escape` a row is split at the separator and nothing is a quote. With either, StarRocks has
another reader, a machine of states: fields may hold separators and row delimiters, `""` inside quotes is one `"`,
and the spaces that `trim_space` takes away are those before a field and after a closing quote. NULL is `\N`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dbmazz_sandbox.starrocks.errors import LoadError
from dbmazz_sandbox.starrocks.protocol.headers import Delimited

NULL = "\\N"


class Fields:
    """The rows of a CSV body with the wanted number of fields, by column. `bad` tells of the others: (row, reason)."""

    def __init__(self, body: bytes, form: Delimited, width: int) -> None:
        """Raises LoadError when `skip_header` skips more than there is."""
        self._form = form
        raw, self._undecodable = _decoded(body)
        rows, self.texts = self._cut(raw)
        self.bad: list[tuple[str, str]] = []
        if any(len(row) != width for row in rows) or self._undecodable:
            rows = self._sort_out(rows, width)
        self.count = len(rows)
        self.columns: Sequence[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * width

    def _sort_out(self, rows: Sequence[Sequence[str]], width: int) -> list[Sequence[str]]:
        good, texts = [], []
        for row, text in zip(rows, self.texts, strict=True):
            if len(row) != width:
                self.bad.append((text, f"Value count does not match column count. Expect {width}, but got {len(row)}"))
            elif self._undecodable and not _is_text(text):
                self.bad.append((text, "Invalid UTF-8 row"))
            else:
                good.append(row)
                texts.append(text)
        self.texts = texts
        return good

    def _cut(self, raw: str) -> tuple[list[Sequence[str]], list[str]]:
        form = self._form
        if form.enclose or form.escape:
            return self._skip_quoted(list(_quoted_rows(raw, form)))
        lines = raw.split(form.row_delimiter)
        if lines[-1] == "":
            lines.pop()  # the delimiter at the end is optional
        if form.skip_header:
            if len(lines) < form.skip_header:
                raise self._too_short(len(lines))
            del lines[: form.skip_header]
        texts = [line for line in lines if line]
        separator = form.column_separator
        if form.trim_space:
            return [[_trim(field) for field in line.split(separator)] for line in texts], texts
        return [line.split(separator) for line in texts], texts

    def _skip_quoted(self, found: list[tuple[list[str], str]]) -> tuple[list[Sequence[str]], list[str]]:
        skipped = self._form.skip_header
        if skipped and len(found) < skipped:
            raise self._too_short(len(found))
        return [row for row, _ in found[skipped:]], [text for _, text in found[skipped:]]

    def _too_short(self, there: int) -> LoadError:
        return LoadError(f"The parameter 'skip_header' is set to {self._form.skip_header}, but there are only {there} "
                         "rows in the csv file")  # fmt: skip


def _decoded(body: bytes) -> tuple[str, bool]:
    try:
        return body.decode("utf-8"), False
    except UnicodeDecodeError:
        return body.decode("utf-8", "surrogateescape"), True


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _trim(field: str) -> str:
    return field.strip(" ")


def _quoted_rows(raw: str, form: Delimited) -> Iterator[tuple[list[str], str]]:
    """Fields and text of each row that is not empty."""
    reader = _Machine(raw, form)
    while reader.at < len(raw):
        start = reader.at
        row = reader.row()
        if row is not None:
            end = reader.at - len(form.row_delimiter) * reader.ended
            yield row, raw[start:end]


class _Machine:
    """The states START, ORDINARY, ENCLOSE of CSVReader::more_rows, a run of plain characters at a time."""

    def __init__(self, raw: str, form: Delimited) -> None:
        self._raw, self._form, self.at = raw, form, 0
        self.ended = False  # by a row delimiter, not by the end of the body
        special = [form.column_separator, form.row_delimiter, form.escape, form.enclose]
        self._special = re.compile("|".join(re.escape(text) for text in special if text))
        inside = [text for text in (form.escape, form.enclose) if text]
        self._inside = re.compile("|".join(re.escape(text) for text in inside))

    def row(self) -> list[str] | None:
        fields: list[str] = []
        self.ended = False
        while True:
            field, more = self._field()
            if not more and not fields and field == "" and not self._was_quoted:
                return None
            fields.append(field)
            if not more:
                return fields

    def _field(self) -> tuple[str, bool]:
        """One field, and whether another follows in the row."""
        raw, form = self._raw, self._form
        if form.trim_space:
            while raw[self.at : self.at + 1] == " ":
                self.at += 1
        self._was_quoted = bool(form.enclose) and raw.startswith(form.enclose, self.at) and form.enclose != form.escape
        quoted = self._was_quoted
        field = ""
        if quoted:
            self.at += 1
            field = self._enclosed()
        rest, more = self._ordinary(after_quote=quoted and form.trim_space)
        return field + rest, more

    def _enclosed(self) -> str:
        raw, form, out = self._raw, self._form, ""
        while (found := self._inside.search(raw, self.at)) is not None:
            out += raw[self.at : found.start()]
            self.at = found.end()
            if found[0] == form.escape:
                out += self._escaped()
            elif raw.startswith(form.enclose, self.at):
                out += form.enclose
                self.at += 1
            else:
                return out
        out += raw[self.at :]
        self.at = len(raw)
        return out

    def _escaped(self) -> str:
        """What follows an escape is taken as it is when it means something, else it is ordinary."""
        for text in (self._form.enclose, self._form.escape, self._form.row_delimiter, self._form.column_separator):
            if text and self._raw.startswith(text, self.at):
                self.at += len(text)
                return text
        return ""

    def _ordinary(self, *, after_quote: bool) -> tuple[str, bool]:
        raw, form, out = self._raw, self._form, ""
        while (found := self._special.search(raw, self.at)) is not None:
            out += raw[self.at : found.start()]
            self.at = found.end()
            if found[0] == form.row_delimiter:
                self.ended = True
                return ("" if after_quote and out.isspace() else out), False
            if found[0] == form.column_separator:
                return ("" if after_quote and out.isspace() else out), True
            if found[0] == form.escape:
                out += self._escaped()
                continue
            # A quote in the middle of a field escapes the character behind it.
            out += raw[self.at : self.at + 1]
            self.at += 1
        out += raw[self.at :]
        self.at = len(raw)
        return ("" if after_quote and out.isspace() else out), False

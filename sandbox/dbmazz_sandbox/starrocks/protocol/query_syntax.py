"""Which queries, INSERTs, UPDATEs and DELETEs StarRocks' grammar has (StarRocks.g4, `queryStatement` and DML)."""

from __future__ import annotations

from itertools import pairwise

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.protocol.syntax_cursor import NAME
from dbmazz_sandbox.starrocks.protocol.word_syntax import Words

_END = "<EOF>, ';'"
_SETS = ("UNION", "INTERSECT", "EXCEPT", "MINUS")


class Statement(Words):
    """One statement. `edits` are (start, end, text) of what other readers of it take for something else."""

    def __init__(self, sql: str) -> None:
        super().__init__(sql)
        self.edits = [
            (token.start, token.end, f"`{token.text}`")
            for token in self._tokens
            if token.kind == "word" and "$" in token.text and "@" not in token.text
        ]
        self.edits += [
            (two.start, two.end, f"'{two.text}'")
            for one, two in pairwise(self._tokens)
            if self._binary(one, two) and two.text.isalnum()
        ]

    def check(self) -> str:
        """The statement as sqlglot reads it the way StarRocks does. Raises SqlError where StarRocks' grammar ends."""
        if self.at("INSERT"):
            self._insert()
        elif self.at("WITH"):
            self._with()
            if not self._change():
                self._query_without_with()
        elif not self._change():
            self._query_without_with()
        if self.accept("INTO"):
            self.expect("OUTFILE")
            raise SqlError.not_emulated("SELECT … INTO OUTFILE")
        if self.at(";"):
            raise SqlError.not_emulated("several statements in one query")
        if not self.done:
            raise self.unexpected(_END)
        sql = self.sql
        for start, end, text in sorted(self.edits, reverse=True):
            sql = sql[:start] + text + sql[end:]
        return sql

    # -- changes ------------------------------------------------------------------------------------------------------

    def _change(self) -> bool:
        if self.accept("UPDATE"):
            self._qualified()
            self.expect("SET")
            while True:
                self.name()
                self.expect("=")
                self._expression_or_default()
                if not self.accept(","):
                    break
            self._from()
        elif self.accept("DELETE"):
            self.expect("FROM")
            self._qualified()
            self._partition("DELETE")
            if self.accept("USING"):
                self._relations()
        else:
            return False
        if self.accept("WHERE"):
            self.expression()
        return True

    def _insert(self) -> None:
        self.expect("INSERT")
        if not self.any_of("INTO", "OVERWRITE"):
            raise self.unexpected("'INTO', 'OVERWRITE'")
        if self.at("FILES", "(") or self.at("BLACKHOLE", "("):
            raise SqlError.not_emulated(f"INSERT INTO {self.peek().text.upper()}")
        self._qualified()
        self._partition("INSERT")
        self.accept("BY", "NAME")  # from 3.4 on
        if self.at("(") and not self.at_query():
            self._names()
        if not self.accept("VALUES"):
            if not (self.at("SELECT") or self.at("WITH") or self.at("(")):
                raise self.unexpected("'SELECT', 'VALUES', 'WITH', '('")
            self.query()
            return
        while True:
            self.expect("(")
            self._expression_or_default()
            while self.accept(","):
                self._expression_or_default()
            self.expect(")")
            if not self.accept(","):
                return

    def _expression_or_default(self) -> None:
        if self.at("DEFAULT"):
            raise SqlError.not_emulated("DEFAULT as a value")
        self.expression()

    def _partition(self, where: str) -> None:
        word = self.peek().text.upper() if self.peek().kind == "word" else ""
        after = self.peek(1)
        if word == "PARTITION" or (word in ("PARTITIONS", "TABLET", "REPLICA") and after.text == "("):
            raise SqlError.not_emulated(f"{where} … {word}")
        if word == "TEMPORARY" and after.text.upper().startswith("PARTITION"):
            raise SqlError.not_emulated(f"{where} … TEMPORARY PARTITION")
        if word == "FOR" and after.text.upper() in ("SYSTEM_TIME", "VERSION", "TIMESTAMP"):
            raise SqlError.not_emulated(f"{where} … FOR {after.text.upper()}")

    def _qualified(self) -> None:
        self.name()
        while self.accept("."):
            if self.peek().kind not in ("word", "quoted"):
                raise self.unexpected(NAME)
            self.next()

    def _names(self) -> None:
        self.expect("(")
        self.name()
        while self.accept(","):
            self.name()
        self.expect(")")

    # -- queries ------------------------------------------------------------------------------------------------------

    def query(self) -> None:
        if self.at("WITH"):
            self._with()
        self._query_without_with()

    def subquery(self) -> None:
        self.expect("(")
        self.query()
        self.expect(")")

    def _with(self) -> None:
        self.expect("WITH")
        if self.at("RECURSIVE") and self.is_name(self.peek(1)):
            raise SqlError.not_emulated("WITH RECURSIVE")
        while True:
            self.name()
            if self.at("("):
                self._names()
            self.expect("AS")
            self.subquery()
            if not self.accept(","):
                return

    def _query_without_with(self) -> None:
        self._select()
        while self.any_of(*_SETS):
            self.any_of("DISTINCT", "ALL")
            self._select()
        if self.accept("ORDER", "BY"):
            self.sorts()
        if self.accept("LIMIT"):
            self._count()
            if self.any_of("OFFSET", ","):
                self._count()

    def _count(self) -> None:
        if not self.accept("?"):
            self.number()

    def _select(self) -> None:
        if self.at("("):
            self.subquery()
            return
        if not self.accept("SELECT"):
            raise self.unexpected("'SELECT', '('")
        self.any_of("DISTINCT", "ALL")
        self._item()
        while self.accept(","):
            self._item()
        self._from()
        if self.accept("WHERE"):
            self.expression()
        if self.accept("GROUP"):
            self.expect("BY")
            self._grouping()
        if self.accept("HAVING"):
            self.expression()
        if self.accept("QUALIFY"):
            self.expression()

    def _item(self) -> None:
        if self.accept("*") or self._star():
            return
        self.expression()
        explicit = self.accept("AS")
        token = self.peek()
        if token.kind == "string":
            self.next()
            quoted = token.text.replace("`", "``")
            self.edits.append((token.start, token.end, f"{'' if explicit else 'AS '}`{quoted}`"))
        else:
            self._alias(explicit=explicit)

    def _star(self) -> bool:
        """`name.*` and `name.name.*`."""
        ahead = 0
        while self.peek(ahead).kind in ("word", "quoted") and self.peek(ahead + 1).text == ".":
            ahead += 2
        if not ahead or self.peek(ahead).text != "*" or not self.is_name(self.peek()):
            return False
        self._at += ahead + 1
        return True

    def _alias(self, *, explicit: bool = False) -> bool:
        token, after = self.peek(), self.peek(1).text.upper()
        word = token.text.upper() if token.kind == "word" else ""
        if explicit or self.accept("AS"):
            self.name()
            return True
        clause = word == "QUALIFY" or (word == "MINUS" and after in ("SELECT", "(", "ALL", "DISTINCT"))
        if clause or not self.is_name(token) or (word == "PIVOT" and after == "("):
            self._no_alias_at = self._at
            return False
        self.next()
        return True

    def _grouping(self) -> None:
        if (self.at("ROLLUP") or self.at("CUBE")) and self.peek(1).text == "(":
            self.next(), self.next()
            if not self.at(")"):
                self.listed()
            self.expect(")")
        elif self.accept("GROUPING", "SETS"):
            raise SqlError.not_emulated("GROUPING SETS")
        else:
            self.listed()

    # -- relations ----------------------------------------------------------------------------------------------------

    def _from(self) -> None:
        if not self.accept("FROM"):
            return
        if not self.accept("DUAL"):
            self._relations()
        if self.at("PIVOT", "("):
            raise SqlError.not_emulated("PIVOT")

    def _relations(self) -> None:
        self._relation()
        while self.accept(","):
            self.accept("LATERAL")
            self._relation()

    def _relation(self) -> None:
        self._table()
        while (wanted := self._join()) is not None:
            self._hint()
            self.accept("LATERAL")
            self._table()
            if self.accept("ON"):
                self.expression()
            elif self.accept("USING"):
                self._names()
            elif wanted:
                raise self.unexpected("'ON', 'USING'")

    def _join(self) -> bool | None:
        """Whether the join needs a condition; None when there is no join."""
        if self.accept("JOIN") or self.accept("INNER", "JOIN") or self.accept("CROSS", "JOIN") or self.accept("CROSS"):
            return False
        if self.at("LEFT") or self.at("RIGHT"):
            self.next()
            self.any_of("OUTER", "SEMI", "ANTI")
        elif self.accept("FULL"):
            self.accept("OUTER")
        else:
            return None
        self.expect("JOIN")
        return True

    def _hint(self) -> None:
        if self.accept("["):
            self.name()
            self.expect("]")

    def _table(self) -> None:
        if self.at("("):
            self._parenthesised()
        elif self.at("FILES", "(") or self.at("TABLE", "("):
            raise SqlError.not_emulated(f"table function {self.peek().text.lower()}")
        else:
            self._qualified()
            self._partition("FROM")
            if self.accept("("):
                self.listed()
                self.expect(")")
            aliased = self._alias()
            self._hint()
            if aliased and self.at("("):
                self._names()

    def _parenthesised(self) -> None:
        if self.at_query():
            self.subquery()
        else:
            self.next()
            if self.accept("VALUES"):
                self._in_parentheses()
                while self.accept(","):
                    self._in_parentheses()
            else:
                self._relations()
                self.expect(")")
                return
            self.expect(")")
        if self._alias() and self.at("("):
            self._names()

"""A cursor over a statement's tokens that knows StarRocks' reserved words and the errors of its parser."""

from __future__ import annotations

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.protocol.tokens import Token, Tokens

RESERVED = frozenset({
    "ADD", "ALL", "ALTER", "ANALYZE", "AND", "ARRAY", "AS", "ASC", "BETWEEN", "BIGINT", "BITMAP", "BITSHIFTLEFT",
    "BITSHIFTRIGHT", "BITSHIFTRIGHTLOGICAL", "BOTH", "BY", "CASE", "CHAR", "CHARACTER", "CHECK", "COLLATE", "COLUMN",
    "COMPACTION", "CONVERT", "CREATE", "CROSS", "CUBE", "CURRENT_DATE", "CURRENT_ROLE", "CURRENT_TIME",
    "CURRENT_TIMESTAMP", "CURRENT_USER", "DATABASE", "DATABASES", "DECIMAL", "DEFAULT", "DEFERRED", "DELETE",
    "DENSE_RANK", "DESC", "DESCRIBE", "DISTINCT", "DIV", "DOUBLE", "DROP", "DUAL", "ELSE", "EXCEPT", "EXISTS",
    "EXPLAIN", "FALSE", "FILES", "FIRST_VALUE", "FLOAT", "FOR", "FORCE", "FROM", "FULL", "FUNCTION", "GIN", "GRANT",
    "GROUP", "GROUPING", "GROUPING_ID", "GROUPS", "HAVING", "HLL", "IF", "IGNORE", "IMMEDIATE", "IN", "INDEX",
    "INFILE", "INNER", "INSERT", "INT", "INTEGER", "INTERSECT", "INTO", "IS", "JOIN", "JSON", "KEY", "KEYS", "KILL",
    "LAG", "LARGEINT", "LAST_VALUE", "LATERAL", "LEAD", "LEFT", "LIKE", "LIMIT", "LOAD", "LOCALTIME",
    "LOCALTIMESTAMP", "MAXVALUE", "MICROSECOND", "MILLISECOND", "MOD", "NOT", "NTILE", "NULL", "ON", "OPTIMIZE", "OR",
    "ORDER", "OUTER", "OUTFILE", "OVER", "PARTITION", "PERCENTILE", "PREPARE", "PRIMARY", "PROCEDURE", "RANGE",
    "READ", "REGEXP", "RELEASE", "RENAME", "REPLACE", "REVOKE", "RIGHT", "RLIKE", "ROWS", "ROW_NUMBER", "SCHEMA",
    "SCHEMAS", "SELECT", "SET", "SET_VAR", "SHOW", "SMALLINT", "SYSTEM", "TABLE", "TERMINATED", "TEXT", "THEN",
    "TINYINT", "TO", "TRUE", "UNION", "UNIQUE", "UNSIGNED", "UPDATE", "USE", "USING", "VALUES", "VARCHAR", "WHEN",
    "WHERE", "WITH",
})  # fmt: skip
NAME = "a legal identifier"
_AFTER_QUERY = frozenset({")", "UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "LIMIT"})


class Cursor(Tokens):
    """`unexpected` names the offending token as the client wrote it, with its line and column."""

    def __init__(self, sql: str) -> None:
        super().__init__(sql)
        # What words and symbols are compared by; an INSERT of a hundred thousand rows passes here token by token.
        self._keys = [t.text.upper() if t.kind in ("word", "symbol") else "" for t in self._tokens] + [""] * 4
        self._closing = self._pairs()
        self._no_alias_at = -1  # where a name could have stood: StarRocks then asks for nothing but one

    def _pairs(self) -> dict[int, int]:
        """Positions of opening parentheses to those of their closing ones."""
        out, opened = {}, []
        for position, token in enumerate(self._tokens):
            if token.kind == "symbol" and token.text == "(":
                opened.append(position)
            elif token.kind == "symbol" and token.text == ")" and opened:
                out[opened.pop()] = position
        return out

    def unexpected(self, wanted: str) -> SqlError:
        token = self.peek()
        found = self.sql[token.start : token.end] or "<EOF>"
        wanted = NAME if self._at == self._no_alias_at else wanted
        detail = f"Unexpected input '{found}', the most similar input is {{{wanted}}}"
        return SqlError.syntax(token.start, detail, self.sql)

    def at(self, *words: str) -> bool:
        return self._keys[self._at] == words[0] and (
            len(words) == 1 or all(self._keys[self._at + i] == word for i, word in enumerate(words))
        )

    def any_of(self, *words: str) -> bool:
        if self._keys[self._at] not in words:
            return False
        self._at += 1
        return True

    def literal(self) -> bool:
        """A number or a text that is a whole expression of a list: most of what there is to read."""
        token = self.peek()
        if token.kind not in ("number", "string") or self._keys[self._at + 1] not in (",", ")"):
            return False
        self._at += 1
        return True

    def is_name(self, token: Token) -> bool:
        if token.kind == "word":
            return not token.text.startswith("@") and token.text.upper() not in RESERVED
        return token.kind == "quoted"

    def name(self) -> str:
        if not self.is_name(self.peek()):
            raise self.unexpected(NAME)
        return self.next().text

    def at_query(self) -> bool:
        """A parenthesis that opens a query, rather than an expression or relations that begin with one."""
        at = self._at
        while True:
            token = self.peek(at + 1 - self._at)
            if token.kind == "word" and token.text.upper() in ("SELECT", "WITH"):
                break
            if not self.at("(") or token.kind != "symbol" or token.text != "(":
                return False
            at += 1
        for opened in range(self._at + 1, at + 1):
            closing = self._closing.get(opened)
            if closing is not None and self.peek(closing + 1 - self._at).text.upper() not in _AFTER_QUERY:
                return False
        return True

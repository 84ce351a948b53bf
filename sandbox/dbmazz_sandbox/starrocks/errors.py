"""The ways a statement or a load is refused."""

from __future__ import annotations


class SandboxError(Exception):
    """The sandbox itself cannot do something (port in use, data directory locked)."""


class SqlError(Exception):
    """An error packet of the MySQL port: code, SQLSTATE and message as StarRocks sends them."""

    def __init__(self, message: str, code: int = 1064, state: str = "HY000") -> None:
        super().__init__(message)
        self.message, self.code, self.state = message, code, state

    @classmethod
    def analysis(cls, detail: str) -> SqlError:
        return cls(f"Getting analyzing error. Detail message: {detail}.")

    @classmethod
    def analyzed(cls, detail: str, code: int, state: str) -> SqlError:
        """An analyzer's error that has a code of its own."""
        return cls(f"Getting analyzing error. Detail message: {detail}.", code, state)

    @classmethod
    def ddl(cls, detail: str) -> SqlError:
        """A DdlException: the bare text."""
        return cls(detail)

    @classmethod
    def syntax(cls, position: int, detail: str, sql: str = "") -> SqlError:
        """`position` is an offset in `sql`; StarRocks counts lines from one and columns from zero."""
        before = sql[:position]
        line, column = before.count("\n") + 1, position - before.rfind("\n") - 1
        return cls(f"Getting syntax error at line {line}, column {column}. Detail message: {detail}.")

    @classmethod
    def not_emulated(cls, feature: str) -> SqlError:
        return cls(f"not emulated: {feature}", code=1235, state="42000")

    @classmethod
    def unknown_database(cls, name: str) -> SqlError:
        return cls.analyzed(f"Unknown database '{name}'", 5501, "3F000")

    @classmethod
    def unknown_table(cls, name: str) -> SqlError:
        return cls.analyzed(f"Unknown table '{name}'", 5502, "42602")

    @classmethod
    def no_database(cls) -> SqlError:
        return cls("No database selected", code=1046, state="3D000")


class LoadError(Exception):
    """A Stream Load that fails as a whole; the message goes into the reply as it is, what is no text in it replaced."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message.encode("utf-8", "replace").decode()


class LabelExists(LoadError):
    """`existing` is ExistingJobStatus: RUNNING or FINISHED."""

    def __init__(self, label: str, existing: str) -> None:
        super().__init__(f"Label [{label}] has already been used.")
        self.existing = existing


def not_emulated(feature: str) -> LoadError:
    return LoadError(f"not emulated: {feature}")

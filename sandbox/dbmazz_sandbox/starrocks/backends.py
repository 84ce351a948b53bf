"""The BEs that one FE knows: which are alive, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.errors import SqlError

FIRST_IDENT = 10001


@dataclass(slots=True)
class BackendNode:
    """`ident` is the BackendId of SHOW BACKENDS. `host` and `port` are what clients reach it by, known once it listens."""

    ident: int
    host: str = ""
    port: int = 0
    alive: bool = True

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Backends:
    """In the order of their idents."""

    def __init__(self, count: int) -> None:
        if not 1 <= count <= 32:
            raise ValueError(f"backends={count}: use 1 to 32")
        self._nodes = [BackendNode(FIRST_IDENT + n) for n in range(count)]
        self._turn = 0

    def __iter__(self) -> Iterator[BackendNode]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, position: int) -> BackendNode:
        return self._nodes[position]

    def numbered(self, number: int) -> BackendNode:
        """1 is the first, as in `POST /backends/1` of the control port. Raises ValueError."""
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(self._nodes):
            raise no_backend(number, len(self._nodes))
        return self._nodes[number - 1]

    @property
    def alive(self) -> list[BackendNode]:
        return [node for node in self._nodes if node.alive]

    def find(self, ident: int) -> BackendNode | None:
        return next((node for node in self._nodes if node.ident == ident), None)

    def pick(self) -> BackendNode | None:
        """The next alive one, in turn; None when all are down."""
        for _ in self._nodes:
            node = self._nodes[self._turn % len(self._nodes)]
            self._turn += 1
            if node.alive:
                return node
        return None

    def placed(self, table: Table, settings: Mapping[str, str]) -> Table:
        """A new table with its number of replicas. Raises SqlError when there are not enough BEs: asked for, in the words
        of PropertyAnalyzer; by default, in those of LocalMetastore."""
        alive = ",".join(str(node.ident) for node in self.alive)
        asked = table.properties.get("replication_num")
        number = int(asked if asked is not None else settings["default_replication_num"])
        if number < 1:
            raise SqlError.analysis("Replication num should larger than 0")
        if number <= len(self.alive):
            return replace(table, properties={**table.properties, "replication_num": str(number)})
        way_out = (
            "the number of available BE nodes. You can change this default by setting the replication_num table "
            f"properties. Current alive backend is [{alive}]."
        )
        if asked is not None:
            raise SqlError.analysis(f"Table replication num should be less than of equal to {way_out}")
        if number > 1:
            raise SqlError(f"Table replication num should be less than or equal to {way_out} ", state="HY000")
        raise SqlError("No alive nodes", state="HY000")


def no_backend(number: object, count: int) -> ValueError:
    return ValueError(f"there is no BE {number}: use 1 to {count}")

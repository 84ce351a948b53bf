"""The BEs that one FE knows: which are alive, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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

"""Readings: what a service tells about itself for its metrics, as plain values. What each means is in `metrics.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbmazz.telemetry import LatencyHistogram
from dbmazz.v1 import types_pb2

Reading = tuple[str, tuple[str, ...], float | LatencyHistogram]
"""Name, values of its labels in their order, and the value at this moment."""

_STATE = "SERVICE_STATE_"
_STATES = [name.removeprefix(_STATE).lower() for name, number in types_pb2.ServiceState.items() if number]


def one_of(name: str, labels: tuple[str, ...], chosen: str, known: Iterable[str]) -> Iterator[Reading]:
    """1 for the chosen one, 0 for the other ones known; which one it is goes last among the labels."""
    for value in dict.fromkeys([*known, chosen]):
        yield name, (*labels, value), int(value == chosen)


def service_state(state: types_pb2.ServiceState) -> Iterator[Reading]:
    """dbmazz_service_state."""
    return one_of("dbmazz_service_state", (), types_pb2.ServiceState.Name(state).removeprefix(_STATE).lower(), _STATES)

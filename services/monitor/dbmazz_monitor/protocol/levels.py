"""How good a state is, in four words that the page also has colours and icons for: ok, idle, warn, bad."""

from __future__ import annotations

from collections.abc import Iterable

from dbmazz_monitor.protocol.sample import Replica, State

_RANK = {"ok": 0, "idle": 1, "warn": 2, "bad": 3}
_LEVELS = {
    State.RUNNING: "ok",
    State.PAUSED: "warn",
    State.STARTING: "warn",
    State.RETRYING: "warn",
    State.DRAINING: "warn",
    State.UNKNOWN: "warn",
    State.STOPPED: "bad",
    State.DOWN: "bad",
}


def worst(levels: Iterable[str]) -> str:
    """The worst of them; `ok` when there is none."""
    return max(levels, key=_RANK.__getitem__, default="ok")


def level_of(replica: Replica) -> str:
    """Level of one replica."""
    return _LEVELS[replica.state]


def service_level(replicas: list[Replica]) -> str:
    """Level of a service: some replicas down are a warning as long as one of them works."""
    levels = [level_of(replica) for replica in replicas]
    if not levels:
        return "bad"
    if "bad" in levels and any(level != "bad" for level in levels):
        return "warn"
    return worst(levels)


def service_state(replicas: list[Replica]) -> str:
    """One word, or how many of several replicas run."""
    states = {replica.state for replica in replicas}
    if len(replicas) > 1 and (len(states) > 1 or states == {State.RUNNING}):
        running = sum(replica.state is State.RUNNING for replica in replicas)
        return f"{running} of {len(replicas)} running"
    return str(next(iter(states), State.DOWN))

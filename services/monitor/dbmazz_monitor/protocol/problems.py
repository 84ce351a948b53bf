"""What a person should know now, worst first, each in one sentence that names the part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbmazz_monitor.protocol.levels import service_level, service_state, worst
from dbmazz_monitor.protocol.progress import pause_of
from dbmazz_monitor.protocol.sample import (
    SERVICES,
    LoaderFacts,
    Pause,
    ReaderFacts,
    RingSample,
    Slot,
    SourceCounts,
    State,
    TargetCounts,
    TransformerFacts,
)
from dbmazz_monitor.protocol.slot import Trend

_NO_TREND = Trend()


@dataclass(frozen=True, slots=True)
class Problem:
    """`level` is bad, warn or idle (a remark)."""

    level: str
    text: str


# A slot that is lost within this time is bad news, within the longer one a warning.
LOST_SOON_S, LOST_LATER_S = 3600, 24 * 3600


def problems(
    sample: RingSample, source: SourceCounts, target: TargetCounts, slot: Slot | None = None, trend: Trend = _NO_TREND
) -> list[Problem]:
    """All of them, worst first. `slot` and `trend`: as last seen, by the reader or otherwise."""
    found = [
        *_services(sample),
        *_slot(slot, trend),
        *_reader(sample),
        *_lanes(sample),
        *_rows(sample),
        *(Problem("idle", note) for note in sample.notes),
        *_counting(source, target),
    ]
    order = {"bad": 0, "warn": 1, "idle": 2}
    return sorted(dict.fromkeys(found), key=lambda problem: order[problem.level])


def headline(sample: RingSample, found: list[Problem]) -> dict[str, str]:
    """One line over everything: which part is down comes first."""
    down = [name for name in SERVICES if service_level(sample.of(name)) == "bad"]
    if down:
        parts = " and ".join([", ".join(down[:-1]), down[-1]] if len(down) > 1 else down)
        return {"level": "bad", "text": f"Down: {parts}"}
    pause = pause_of(sample)
    halting = [
        f"{name} {service_state(sample.of(name))}"
        for name in SERVICES
        if service_level(sample.of(name)) != "ok"
        and not (pause and name == "reader" and service_state(sample.of(name)) == State.PAUSED)
    ]
    level = worst(problem.level for problem in found)
    if pause and not halting:
        return {"level": worst([level, "warn"]), "text": f"Paused: the reader reads nothing{_because(pause)}"}
    if halting:
        return {"level": worst([level, "warn"]), "text": f"Degraded: {', '.join(halting)}"}
    texts = {"bad": "All services are running, but something needs a person", "warn": "Running, with warnings"}
    return {"level": level, "text": texts[level]} if level in texts else {"level": "ok", "text": "All is well"}


def _counting(*sides: SourceCounts | TargetCounts) -> Iterator[Problem]:
    for side in sides:
        if side.problem:
            yield Problem("warn" if side.configured else "idle", f"Rows are not counted. {side.problem}")


def _services(sample: RingSample) -> Iterator[Problem]:
    for service in SERVICES:
        replicas = sample.of(service)
        level = service_level(replicas)
        for replica in replicas:
            if replica.state is State.DOWN:
                yield Problem(level, f"{service} is down: {replica.error}")
            elif replica.state in (State.RETRYING, State.STOPPED):
                what = "has stopped" if replica.state is State.STOPPED else "retries"
                yield Problem(level, f"{service} {what}: {replica.error or 'it does not say why'}")
            elif replica.state is State.PAUSED:
                continue  # told with its reason
            elif replica.state is not State.RUNNING:
                yield Problem(level, f"{service} is {replica.state}")


def _slot(slot: Slot | None, trend: Trend) -> Iterator[Problem]:
    if slot is None:
        return
    if slot.wal_status == "lost":
        yield Problem("bad", f"slot {slot.name} is lost: PostgreSQL has removed WAL that was not confirmed")
    elif slot.wal_status == "unreserved":
        yield Problem(
            "bad", f"slot {slot.name} is about to be lost: its WAL goes with the next checkpoint of PostgreSQL"
        )
    elif slot.wal_status == "extended":
        yield Problem("warn", f"slot {slot.name} keeps more WAL than max_wal_size")
    if trend.loss_in_s is not None and trend.loss_in_s < LOST_LATER_S and slot.wal_status in ("reserved", "extended"):
        minutes = trend.loss_in_s // 60
        when = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        level = "bad" if trend.loss_in_s < LOST_SOON_S else "warn"
        yield Problem(level, f"slot {slot.name} is lost in {when} if the WAL it keeps goes on growing as it does")


def _reader(sample: RingSample) -> Iterator[Problem]:
    for facts in (replica.facts for replica in sample.of("reader")):
        if not isinstance(facts, ReaderFacts):
            continue
        if facts.retained_bytes_limit and facts.retained_bytes >= facts.retained_bytes_limit:
            yield Problem("warn", "reader holds all it may retain and waits for what is behind it")
        if facts.pause:
            said = f"the reader is paused{_because(facts.pause)}: PostgreSQL keeps the WAL for it until `dbmazz resume`"
            yield Problem("warn", said)
        yield from (Problem("warn", warning) for warning in facts.warnings)


def _because(pause: Pause) -> str:
    return f" ({pause.reason})" if pause.reason else ""


def _lanes(sample: RingSample) -> Iterator[Problem]:
    for facts in (replica.facts for replica in sample.of("transformer")):
        for lane in facts.lanes if isinstance(facts, TransformerFacts) else ():
            table = lane.table or f"lane {lane.lane}"
            if lane.state == "parked":
                yield Problem("bad", f"{table} is parked: {lane.message or 'no reason given'}")
            elif lane.state == "retrying":
                yield Problem("warn", f"{table} is being retried: {lane.message or 'no reason given'}")


def _rows(sample: RingSample) -> Iterator[Problem]:
    loaders = [replica.facts for replica in sample.of("loader") if isinstance(replica.facts, LoaderFacts)]
    if unaccounted := sum(facts.rows_unaccounted for facts in loaders):
        yield Problem("bad", f"{unaccounted} rows are neither loaded nor dead-lettered")
    if dead := sum(facts.dead_lettered_row_count for facts in loaders):
        yield Problem("warn", f"{dead} rows are in the dead-letter table")

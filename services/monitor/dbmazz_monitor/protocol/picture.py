"""The ring as nodes and links. The page lays them out; here they only get their words and levels."""

from __future__ import annotations

from typing import Any

from dbmazz_monitor.protocol.history import Measures
from dbmazz_monitor.protocol.levels import level_of, service_level, service_state
from dbmazz_monitor.protocol.sample import (
    SERVICES,
    CheckpointFacts,
    LoaderFacts,
    ReaderFacts,
    Replica,
    RingSample,
    SourceCounts,
    State,
    TargetCounts,
    TransformerFacts,
)


def picture(sample: RingSample, measures: Measures, source: SourceCounts, target: TargetCounts) -> dict[str, Any]:
    """`nodes` by id with level, state and one detail; `links` with whether data moves along them now."""
    nodes = [_service(service, sample, measures) for service in SERVICES]
    nodes.insert(0, _postgres(sample, source))
    nodes.append(_starrocks(sample, target))
    alive = {node["id"]: node["level"] != "bad" for node in nodes}
    events, loaded = bool(measures.events), bool(measures.loaded)
    links = [
        ("postgres", "reader", events, "pgoutput"),
        ("reader", "transformer", events, "batches"),
        ("transformer", "loader", loaded, "loads"),
        ("loader", "starrocks", loaded, "Stream Load"),
        ("loader", "checkpoint", loaded, "loaded"),
        ("checkpoint", "reader", loaded, "confirmed LSN"),
    ]
    return {
        "nodes": nodes,
        "links": [
            {"from": a, "to": b, "label": label, "moves": moves and alive[a] and alive[b], "ok": alive[a] and alive[b]}
            for a, b, moves, label in links
        ],
    }


def _service(service: str, sample: RingSample, measures: Measures) -> dict[str, Any]:
    replicas = sample.of(service)
    facts = [replica.facts for replica in replicas if replica.facts is not None]
    return {
        "id": service,
        "level": service_level(replicas),
        "state": service_state(replicas),
        "detail": _DETAILS[service](facts) if facts else "",
        "replicas": [_replica(replica, measures) for replica in replicas],
    }


def _replica(replica: Replica, measures: Measures) -> dict[str, Any]:
    return {
        "name": replica.name or None,
        "address": replica.address,
        "level": level_of(replica),
        "state": str(replica.state),
        **flow(replica, measures),
    }


def flow(replica: Replica, measures: Measures) -> dict[str, Any]:
    """`rate` and `queue` of a replica."""
    return {
        "rate": {"value": measures.rates.get(replica.key), "unit": "rows/s"},
        "queue": _queue(replica),
    }


def _queue(replica: Replica) -> dict[str, Any]:
    """How much waits in a replica, against its bound where it has one."""
    match replica.facts:
        case ReaderFacts(retained_bytes=value, retained_bytes_limit=limit):
            return {"value": value, "limit": limit or None, "unit": "bytes"}
        case TransformerFacts(lanes=lanes, pending_bytes_limit=limit):
            return {"value": sum(lane.pending_bytes for lane in lanes), "limit": limit or None, "unit": "bytes"}
        case LoaderFacts(running_load_count=value, running_load_limit=limit):
            return {"value": value, "limit": limit or None, "unit": "loads"}
        case CheckpointFacts(waiting_batch_count=value):
            return {"value": value, "limit": None, "unit": "batches"}
    units = {"loader": "loads", "checkpoint": "batches"}
    return {"value": None, "limit": None, "unit": units.get(replica.service, "bytes")}


def _reader(facts: list[ReaderFacts]) -> str:
    return f"slot {facts[0].slot_name}"


def _transformer(facts: list[TransformerFacts]) -> str:
    lanes = sum(len(one.lanes) for one in facts)
    return f"{lanes} lane{'' if lanes == 1 else 's'}"


def _loader(facts: list[LoaderFacts]) -> str:
    running = sum(one.running_load_count for one in facts)
    return f"{running} load{'' if running == 1 else 's'} under way"


def _checkpoint(facts: list[CheckpointFacts]) -> str:
    return facts[0].stored[0][1] if facts[0].stored else "nothing stored yet"


_DETAILS = {"reader": _reader, "transformer": _transformer, "loader": _loader, "checkpoint": _checkpoint}


def _postgres(sample: RingSample, counts: SourceCounts) -> dict[str, Any]:
    """PostgreSQL as the reader knows it; the detail is the end of its WAL."""
    running = any(replica.state in (State.RUNNING, State.PAUSED) for replica in sample.of("reader"))
    facts = [replica.facts for replica in sample.of("reader") if isinstance(replica.facts, ReaderFacts)]
    return _database("postgres", running, counts, facts[0].server_lsn if facts else "")


def _starrocks(sample: RingSample, counts: TargetCounts) -> dict[str, Any]:
    """StarRocks as the loaders know it; the detail is its version."""
    facts = [replica.facts for replica in sample.of("loader") if isinstance(replica.facts, LoaderFacts)]
    running = any(replica.state is State.RUNNING for replica in sample.of("loader"))
    version = next((one.target_version for one in facts if one.target_version), "")
    return _database("starrocks", running, counts, version)


def _database(name: str, running: bool, counts: SourceCounts | TargetCounts, detail: str) -> dict[str, Any]:
    """Counting is the second witness, where it is set up; it also works while the ring is down."""
    failed = counts.configured and counts.problem
    if running or ((counts.by_table or counts.seen) and not counts.problem):
        level, state = "ok", "reached"
    else:
        level, state = ("warn", "not reached") if failed else ("idle", "unknown")
    return {"id": name, "level": level, "state": state, "detail": detail, "replicas": []}

"""What a lane does: states, events, and the table that joins them."""

from __future__ import annotations

from enum import Enum, IntEnum


class LaneState(IntEnum):
    """Numbers are those of the proto enum."""

    IDLE = 1
    COLLECTING = 2
    LOADING = 3
    RETRYING = 4
    PARKED = 5


class LaneEvent(Enum):
    """What happens to a lane."""

    COLLECT = "a batch came"
    SEND = "a window or barrier is sent, for the first time or again"
    RETRY = "the target is away or overloaded"
    PARK = "the target refuses the table, or the window cannot be made"
    DONE = "it is durable and more waits"
    DRAINED = "it is durable and nothing waits"
    DROP = "a newer reader has taken over"


_STATES, _EVENTS = LaneState, LaneEvent
TRANSITIONS: dict[tuple[LaneState, LaneEvent], LaneState] = {
    (_STATES.IDLE, _EVENTS.COLLECT): _STATES.COLLECTING,
    (_STATES.COLLECTING, _EVENTS.COLLECT): _STATES.COLLECTING,
    (_STATES.COLLECTING, _EVENTS.SEND): _STATES.LOADING,
    (_STATES.COLLECTING, _EVENTS.PARK): _STATES.PARKED,
    (_STATES.LOADING, _EVENTS.COLLECT): _STATES.LOADING,
    (_STATES.LOADING, _EVENTS.RETRY): _STATES.RETRYING,
    (_STATES.LOADING, _EVENTS.PARK): _STATES.PARKED,
    (_STATES.LOADING, _EVENTS.DONE): _STATES.COLLECTING,
    (_STATES.LOADING, _EVENTS.DRAINED): _STATES.IDLE,
    (_STATES.RETRYING, _EVENTS.COLLECT): _STATES.RETRYING,
    (_STATES.RETRYING, _EVENTS.SEND): _STATES.LOADING,
    (_STATES.PARKED, _EVENTS.COLLECT): _STATES.PARKED,
    (_STATES.PARKED, _EVENTS.SEND): _STATES.LOADING,
    **{(state, _EVENTS.DROP): _STATES.IDLE for state in _STATES},
}


def next_state(state: LaneState, event: LaneEvent) -> LaneState:
    """The state after the event; KeyError for one that cannot happen, which is a defect of the caller."""
    return TRANSITIONS[state, event]

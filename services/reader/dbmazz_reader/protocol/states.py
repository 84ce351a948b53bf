"""Life of the reader, as one enum and one table."""

from __future__ import annotations

from enum import Enum

from dbmazz.v1 import types_pb2


class SessionState(Enum):
    """Where the reader stands."""

    # Dialling PostgreSQL and the checkpoint, checking, acquiring the slot.
    CONNECTING = "connecting"
    # The slot is ours and changes flow.
    STREAMING = "streaming"
    # The slot is ours, but a caller of Pause or Drain wants nothing read.
    PAUSED = "paused"
    # PostgreSQL or the checkpoint is away, or the slot is held by somebody else; trying again after a pause.
    RETRYING = "retrying"
    # SIGTERM: nothing more is read; what was read is waited for.
    DRAINING = "draining"
    # Ended, or a person is needed.
    STOPPED = "stopped"


# From streaming and paused to connecting: a reload of the tables wants another session.
_NEXT = {
    SessionState.CONNECTING: {
        SessionState.STREAMING,
        SessionState.PAUSED,
        SessionState.RETRYING,
        SessionState.STOPPED,
    },
    SessionState.STREAMING: {
        SessionState.PAUSED,
        SessionState.CONNECTING,
        SessionState.RETRYING,
        SessionState.DRAINING,
        SessionState.STOPPED,
    },
    SessionState.PAUSED: {
        SessionState.STREAMING,
        SessionState.CONNECTING,
        SessionState.RETRYING,
        SessionState.DRAINING,
        SessionState.STOPPED,
    },
    SessionState.RETRYING: {SessionState.CONNECTING, SessionState.STOPPED},
    SessionState.DRAINING: {SessionState.STOPPED},
    SessionState.STOPPED: set(),
}

_SERVICE_STATES = {
    SessionState.CONNECTING: types_pb2.SERVICE_STATE_STARTING,
    SessionState.STREAMING: types_pb2.SERVICE_STATE_RUNNING,
    SessionState.PAUSED: types_pb2.SERVICE_STATE_PAUSED,
    SessionState.RETRYING: types_pb2.SERVICE_STATE_RETRYING,
    SessionState.DRAINING: types_pb2.SERVICE_STATE_DRAINING,
    SessionState.STOPPED: types_pb2.SERVICE_STATE_STOPPED,
}


def advance(state: SessionState, following: SessionState) -> SessionState:
    """The next state; ValueError for a step that the table does not have."""
    if following not in _NEXT[state]:
        raise ValueError(f"the reader cannot go from {state.value} to {following.value}")
    return following


def service_state(state: SessionState) -> types_pb2.ServiceState:
    """The same for GetStatus."""
    return _SERVICE_STATES[state]

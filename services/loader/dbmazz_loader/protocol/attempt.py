"""One load from the first send to its verdict: what to do next, decided from what is known.

Theory of operation. A load is sent under a label that StarRocks accepts once. While nothing was applied it may be sent
again; when the answer is missing it must not be, until the label's state says that nothing was applied. Rows that are
committed only wait to become visible. All of that is in TRANSITIONS; `Attempt` adds the pauses and the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from dbmazz.backoff import Backoff

from dbmazz_loader.protocol.verdicts import Judgement, Outcome


class State(Enum):
    """What is to be done next, or how it ended."""

    SEND = "send"
    # The outcome of a send is open: get_load_state.
    ASK_STATE = "ask_state"
    # Another transaction under the label is under way: get_load_state until it has ended.
    WAIT_RUNNING = "wait_running"
    # Committed: get_load_state until visible.
    WAIT_PUBLISH = "wait_publish"
    LOADED = "loaded"
    GAVE_UP = "gave_up"
    PARKED = "parked"
    STOPPED = "stopped"

    @property
    def final(self) -> bool:
        return self in (State.LOADED, State.GAVE_UP, State.PARKED, State.STOPPED)


_ASKED = {
    Outcome.LOADED: State.LOADED,
    Outcome.COMMITTED: State.WAIT_PUBLISH,
    Outcome.RUNNING: State.WAIT_RUNNING,
    Outcome.ABSENT: State.SEND,
    Outcome.ABORTED: State.SEND,
    Outcome.UNKNOWN: State.ASK_STATE,
    Outcome.RETRY: State.ASK_STATE,
    Outcome.PARK: State.ASK_STATE,
    Outcome.STOP: State.STOPPED,
}

TRANSITIONS: dict[State, dict[Outcome, State]] = {
    State.SEND: {
        Outcome.LOADED: State.LOADED,
        Outcome.COMMITTED: State.WAIT_PUBLISH,
        Outcome.RUNNING: State.WAIT_RUNNING,
        Outcome.ABSENT: State.SEND,
        Outcome.ABORTED: State.SEND,
        Outcome.UNKNOWN: State.ASK_STATE,
        Outcome.RETRY: State.SEND,
        Outcome.PARK: State.PARKED,
        Outcome.STOP: State.STOPPED,
    },
    State.ASK_STATE: _ASKED,
    State.WAIT_RUNNING: _ASKED,
    State.WAIT_PUBLISH: {
        **_ASKED,
        # A committed transaction is only forgotten after it was published.
        Outcome.ABSENT: State.LOADED,
        # ... and stays committed while nobody can be asked.
        Outcome.RUNNING: State.WAIT_PUBLISH,
        Outcome.UNKNOWN: State.WAIT_PUBLISH,
        Outcome.RETRY: State.WAIT_PUBLISH,
        Outcome.PARK: State.WAIT_PUBLISH,
    },
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a load is tried here before its sender hears RETRY. Times in seconds."""

    sends: int = 5
    sending_s: float = 30.0
    asking_s: float = 120.0


@dataclass
class Attempt:
    """The state of one load. `started` and every `now` are seconds of the same monotonic clock."""

    started: float
    bounds: Bounds = Bounds()
    state: State = State.SEND
    sends: int = 0
    # Why the last step did not bring the load further.
    reason: str = ""
    _sending: Backoff = field(default_factory=lambda: Backoff(first_s=0.2, cap_s=5.0))
    _asking: Backoff = field(default_factory=lambda: Backoff(first_s=0.05, cap_s=2.0))

    def sent(self) -> None:
        """To be called before each send."""
        self.sends += 1

    def judge(self, judgement: Judgement, now: float, deadline: float) -> float:
        """Takes what the last step brought, moves to the next state, and returns the pause before it in seconds.

        `deadline` is when the sender stops listening: nothing new is begun that could not be answered before it.
        """
        previous, self.state = self.state, TRANSITIONS[self.state][judgement.outcome]
        self.reason = judgement.reason or self.reason
        if self.state.final:
            return 0.0
        pause = self._pause(previous, judgement)
        if self._is_too_late(now + pause, deadline):
            self.reason = self.reason or _WAITING.get(self.state, "StarRocks does not answer")
            self.state = State.GAVE_UP
            return 0.0
        return pause

    def resume(self, now: float, deadline: float) -> None:
        """To be called after the pause: whoever waited may have hung up meanwhile."""
        if not self.state.final and now >= deadline:
            self.state = State.GAVE_UP

    def _pause(self, previous: State, judgement: Judgement) -> float:
        if self.state is State.SEND:
            return max(judgement.pause_s, self._sending.next_delay())
        if previous is State.SEND and judgement.outcome in (Outcome.UNKNOWN, Outcome.COMMITTED):
            return 0.0
        return max(judgement.pause_s, self._asking.next_delay())

    def _is_too_late(self, then: float, deadline: float) -> bool:
        if then >= deadline:
            return True
        if self.state is State.SEND:
            return self.sends >= self.bounds.sends or then - self.started >= self.bounds.sending_s
        return then - self.started >= self.bounds.asking_s


_WAITING = {
    State.WAIT_RUNNING: "an earlier transaction under this label is still under way",
    State.WAIT_PUBLISH: "the load is committed and not visible yet",
    State.ASK_STATE: "the outcome of the load is not known yet",
}

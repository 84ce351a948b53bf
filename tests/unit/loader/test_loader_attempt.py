"""The state machine of one load, without a clock or a socket."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from dbmazz_loader.protocol.attempt import TRANSITIONS, Attempt, Bounds, State
from dbmazz_loader.protocol.verdicts import Judgement, Outcome

NEVER = math.inf
OUTCOMES = list(Outcome)


def walk(*outcomes: Outcome, bounds: Bounds | None = None) -> Attempt:
    """Judges each outcome at the moment it is due."""
    attempt, now = Attempt(0.0, bounds or Bounds()), 0.0
    for outcome in outcomes:
        assert not attempt.state.final, outcome
        if attempt.state is State.SEND:
            attempt.sent()
        now += attempt.judge(Judgement(outcome, f"because {outcome.value}"), now, NEVER)
    return attempt


def test_every_open_state_knows_every_outcome():
    assert {state for state in State if not state.final} == set(TRANSITIONS)
    assert all(set(outcomes) == set(Outcome) for outcomes in TRANSITIONS.values())


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([Outcome.LOADED], State.LOADED),
        ([Outcome.PARK], State.PARKED),
        ([Outcome.STOP], State.STOPPED),
        ([Outcome.RETRY, Outcome.LOADED], State.LOADED),
        ([Outcome.UNKNOWN], State.ASK_STATE),
        ([Outcome.UNKNOWN, Outcome.LOADED], State.LOADED),
        ([Outcome.UNKNOWN, Outcome.ABSENT], State.SEND),
        ([Outcome.UNKNOWN, Outcome.ABORTED], State.SEND),
        ([Outcome.UNKNOWN, Outcome.RUNNING, Outcome.LOADED], State.LOADED),
        ([Outcome.UNKNOWN, Outcome.UNKNOWN], State.ASK_STATE),
        ([Outcome.RUNNING, Outcome.ABORTED], State.SEND),
        ([Outcome.COMMITTED, Outcome.UNKNOWN], State.WAIT_PUBLISH),
        # Forgotten after it was committed: it was published.
        ([Outcome.COMMITTED, Outcome.ABSENT], State.LOADED),
        ([Outcome.COMMITTED, Outcome.ABORTED], State.SEND),
    ],
)
def test_paths(outcomes, state):
    assert walk(*outcomes).state is state


def test_never_sends_while_the_outcome_is_open(seed):
    """Over random answers: between a send without an answer and the next send lies a state that says nothing was applied."""
    rng = random.Random(seed)
    for _ in range(2000):
        attempt, now, open_outcome = Attempt(0.0, Bounds(sends=20, sending_s=1e9, asking_s=1e9)), 0.0, False
        for outcome in rng.choices(OUTCOMES, k=12):
            if attempt.state.final:
                break
            if attempt.state is State.SEND:
                assert not open_outcome
                attempt.sent()
            asked = attempt.state is not State.SEND
            now += attempt.judge(Judgement(outcome), now, NEVER)
            if outcome in (Outcome.ABSENT, Outcome.ABORTED, Outcome.RETRY, Outcome.LOADED) and not (
                asked and outcome is Outcome.RETRY
            ):
                open_outcome = False
            elif outcome in (Outcome.UNKNOWN, Outcome.RUNNING, Outcome.COMMITTED):
                open_outcome = True


def test_gives_up_after_so_many_sends():
    attempt = walk(*itertools.repeat(Outcome.RETRY, 3), bounds=Bounds(sends=3))
    assert (attempt.state, attempt.sends, attempt.reason) == (State.GAVE_UP, 3, "because retry")


def test_gives_up_after_so_long():
    attempt = Attempt(0.0, Bounds(sends=100, sending_s=30.0))
    attempt.sent()
    attempt.judge(Judgement(Outcome.RETRY), 29.99, NEVER)
    assert attempt.state is State.GAVE_UP


def test_begins_nothing_that_its_caller_would_not_hear_of():
    attempt = Attempt(0.0)
    attempt.sent()
    attempt.judge(Judgement(Outcome.RETRY, pause_s=5.0), 1.0, deadline=5.5)
    assert attempt.state is State.GAVE_UP


def test_success_counts_even_after_the_deadline():
    attempt = Attempt(0.0)
    attempt.sent()
    attempt.judge(Judgement(Outcome.LOADED), 10.0, deadline=5.0)
    assert attempt.state is State.LOADED


def test_a_caller_that_hung_up_during_the_pause_gets_no_further_send():
    attempt = Attempt(0.0)
    attempt.sent()
    attempt.judge(Judgement(Outcome.RETRY), 0.0, NEVER)
    assert attempt.state is State.SEND
    attempt.resume(1.0, deadline=-math.inf)
    assert attempt.state is State.GAVE_UP


def test_pauses_grow_and_heed_the_hint():
    attempt = Attempt(0.0, Bounds(sends=9, sending_s=1e9))
    pauses = [attempt.judge(Judgement(Outcome.RETRY), 0.0, NEVER) for _ in range(5)]
    assert pauses[0] <= 0.2
    assert pauses[4] >= 1.6
    assert attempt.judge(Judgement(Outcome.RETRY, pause_s=60.0), 0.0, NEVER) == 60.0


def test_the_first_question_is_asked_at_once():
    attempt = Attempt(0.0)
    assert attempt.judge(Judgement(Outcome.UNKNOWN), 0.0, NEVER) == 0.0
    assert attempt.judge(Judgement(Outcome.RUNNING), 0.0, NEVER) > 0.0


def test_waiting_without_an_answer_says_what_for():
    attempt = Attempt(0.0, Bounds(asking_s=0.0))
    attempt.judge(Judgement(Outcome.COMMITTED), 0.0, NEVER)
    assert (attempt.state, attempt.reason) == (State.GAVE_UP, "the load is committed and not visible yet")

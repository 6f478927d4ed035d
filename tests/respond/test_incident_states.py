"""The incident life cycle, alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from thap.respond.incidents.states import LIVE, IncidentAction, IncidentLife, IncidentState, Refused

LIFE = IncidentLife()
S, A = IncidentState, IncidentAction
MOVES = (A.ACKNOWLEDGE, A.START, A.WAIT, A.RESUME, A.RESOLVE, A.CLOSE, A.REOPEN, A.REJECT, A.MERGE)


def after(*actions: str) -> IncidentState:
    now = S.OPEN
    for action in actions:
        step = LIFE.step(now, action)
        assert not isinstance(step, Refused), (now, action, step)
        now = step
    return now


def why(now: IncidentState, action: str) -> str:
    step = LIFE.step(now, action)
    assert isinstance(step, Refused), (now, action)
    return step.reason


def test_the_plain_way_leads_from_open_to_closed() -> None:
    assert after(A.ACKNOWLEDGE, A.START, A.WAIT, A.RESUME, A.RESOLVE, A.CLOSE) is S.CLOSED


def test_what_is_over_comes_back_as_open_whoever_had_it() -> None:
    assert after(A.START, A.RESOLVE, A.REOPEN) is S.OPEN
    assert after(A.START, A.RESOLVE, A.CLOSE, A.REOPEN) is S.OPEN
    assert after(A.REJECT, A.REOPEN) is S.OPEN


def test_what_was_merged_never_comes_back() -> None:
    assert all(isinstance(LIFE.step(S.MERGED, move), Refused) for move in MOVES)
    assert why(S.MERGED, A.REOPEN) == "it is merged into another: act on that one"


@pytest.mark.parametrize("state", sorted(set(S) - LIVE))
def test_what_is_not_live_takes_nothing_in(state: IncidentState) -> None:
    for action in (A.JOIN, A.ABSORB, A.SPLIT, A.ASSIGN, A.SEVERITY, A.EDIT, A.MERGE):
        assert isinstance(LIFE.step(state, action), Refused)
    assert LIFE.step(state, A.COMMENT) is state


def test_a_refusal_says_what_is_and_what_would_have_to_be() -> None:
    assert why(S.ACKNOWLEDGED, A.ACKNOWLEDGE) == "it is acknowledged already"
    assert why(S.RESOLVED, A.START) == "it is resolved: reopen it first"
    assert why(S.OPEN, A.CLOSE) == "it is open, and only what is resolved allows to close"
    assert why(S.IN_PROGRESS, A.REJECT) == "it is in progress, and only what is acknowledged or open allows to reject"


@given(st.sampled_from(S), st.sampled_from(A))
def test_every_action_in_every_state_is_decided(state: IncidentState, action: IncidentAction) -> None:
    step = LIFE.step(state, action)
    assert step.reason if isinstance(step, Refused) else step in S
    if action not in MOVES and not isinstance(step, Refused):
        assert step is state


def test_an_event_of_another_part_moves_nothing() -> None:
    assert LIFE.step(S.CLOSED, "task_late") is S.CLOSED


class Life(RuleBasedStateMachine):
    """Whatever is tried in whatever order, only the drawn ways are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.before, self.merged = S.OPEN, S.OPEN, False

    @rule(action=st.sampled_from(MOVES))
    def move(self, action: IncidentAction) -> None:
        step = LIFE.step(self.now, action)
        if not isinstance(step, Refused):
            assert step is not self.now
            self.before, self.now = self.now, step
            self.merged = self.merged or step is S.MERGED

    @invariant()
    def closed_only_after_resolved(self) -> None:
        assert self.now is not S.CLOSED or self.before is S.RESOLVED

    @invariant()
    def merged_for_good(self) -> None:
        assert not self.merged or self.now is S.MERGED

    @invariant()
    def there_is_a_way_out_of_every_live_state(self) -> None:
        assert self.now not in LIVE or LIFE.step(self.now, A.RESOLVE) is S.RESOLVED


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)

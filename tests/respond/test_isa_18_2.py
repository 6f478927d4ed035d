"""The alarm life cycle, alone."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from thap.respond.isa_18_2 import AlarmAction, Event, Isa182, Refusal, Standing, State, Step

LIFE = Isa182()
HIDDEN = {State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE}
A = AlarmAction


def after(*events: Event) -> Standing:
    now = Standing()
    for event in events:
        step = LIFE.step(now, event)
        assert isinstance(step, Step), (now, event, step)
        now = step.standing
    return now


def ev(action: AlarmAction, severity: int = 0, *, time: int = 10, until: int | None = None) -> Event:
    return Event(action, time, severity, until)


def test_a_raised_alarm_calls_until_it_is_acknowledged_and_ends_when_it_clears() -> None:
    raised = after(ev(A.RAISE, 2))
    assert raised == Standing(State.UNACKNOWLEDGED, True, 2)
    acknowledged = after(ev(A.RAISE, 2), ev(A.ACKNOWLEDGE))
    assert acknowledged.state is State.ACKNOWLEDGED
    assert after(ev(A.RAISE, 2), ev(A.ACKNOWLEDGE), ev(A.CLEAR)) == Standing(State.NORMAL, False, 2)


def test_an_alarm_that_clears_unseen_still_asks_to_be_acknowledged() -> None:
    assert after(ev(A.RAISE, 2), ev(A.CLEAR)).state is State.RETURNED_UNACKNOWLEDGED
    assert after(ev(A.RAISE, 2), ev(A.CLEAR), ev(A.ACKNOWLEDGE)).state is State.NORMAL
    assert after(ev(A.RAISE, 2), ev(A.CLEAR), ev(A.RAISE, 1)) == Standing(State.UNACKNOWLEDGED, True, 1)


def test_escalation_calls_again_and_downgrade_does_not() -> None:
    seen = after(ev(A.RAISE, 2), ev(A.ACKNOWLEDGE))
    worse = LIFE.step(seen, ev(A.ESCALATE, 3))
    assert isinstance(worse, Step)
    assert worse.standing == Standing(State.UNACKNOWLEDGED, True, 3)
    assert LIFE.annunciates(seen, worse)
    milder = LIFE.step(seen, ev(A.DOWNGRADE, 1))
    assert isinstance(milder, Step)
    assert milder.standing == Standing(State.ACKNOWLEDGED, True, 1)
    assert not LIFE.annunciates(seen, milder)


def test_a_more_severe_repeated_raise_is_an_escalation() -> None:
    step = LIFE.step(after(ev(A.RAISE, 2)), ev(A.RAISE, 4))
    assert isinstance(step, Step)
    assert step.action is A.ESCALATE
    assert isinstance(LIFE.step(after(ev(A.RAISE, 2)), ev(A.RAISE, 1)), Refusal)


def test_an_escalation_whose_raise_was_lost_raises() -> None:
    step = LIFE.step(Standing(), ev(A.ESCALATE, 3))
    assert step == Step(Standing(State.UNACKNOWLEDGED, True, 3), A.RAISE)


@pytest.mark.parametrize(
    ("hide", "show"),
    [
        (ev(A.SHELVE, until=20), ev(A.UNSHELVE)),
        (ev(A.SHELVE, until=20), ev(A.EXPIRE, time=20)),
        (ev(A.SUPPRESS), ev(A.UNSUPPRESS)),
        (ev(A.OUT_OF_SERVICE), ev(A.IN_SERVICE)),
    ],
)
def test_what_happened_while_hidden_decides_what_is_shown_afterwards(hide: Event, show: Event) -> None:
    assert after(hide, ev(A.RAISE, 3), show) == Standing(State.UNACKNOWLEDGED, True, 3)
    assert after(ev(A.RAISE, 3), hide, ev(A.CLEAR), show) == Standing(State.NORMAL, False, 3)
    assert after(ev(A.RAISE, 3), ev(A.ACKNOWLEDGE), hide, show).state is State.UNACKNOWLEDGED


def test_a_shelving_ends_in_the_future_and_not_before_its_time() -> None:
    assert isinstance(LIFE.step(Standing(), ev(A.SHELVE, until=10)), Refusal)
    assert isinstance(LIFE.step(Standing(), ev(A.SHELVE)), Refusal)
    shelved = after(ev(A.SHELVE, until=20))
    assert isinstance(LIFE.step(shelved, ev(A.EXPIRE, time=19)), Refusal)
    assert after(ev(A.SHELVE, until=20), ev(A.SHELVE, until=30)).shelved_until == 30


def test_a_higher_hiding_state_takes_over_and_a_lower_one_is_refused() -> None:
    taken = after(ev(A.SHELVE, until=20), ev(A.SUPPRESS), ev(A.OUT_OF_SERVICE))
    assert taken == Standing(State.OUT_OF_SERVICE)
    for lower in (ev(A.SHELVE, until=20), ev(A.SUPPRESS)):
        refused = LIFE.step(taken, lower)
        assert isinstance(refused, Refusal)
        assert "out of service" in refused.reason


class Life(RuleBasedStateMachine):
    """Any sequence of events keeps the promises of the life cycle."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Standing()
        self.time = 1_000
        self.truth = False

    @rule(
        action=st.sampled_from(sorted(AlarmAction)),
        severity=st.integers(1, 4),
        wait=st.integers(0, 50),
        until=st.none() | st.integers(-20, 100),
    )
    def happen(self, action: AlarmAction, severity: int, wait: int, until: int | None) -> None:
        self.time += wait
        before = self.now
        event = Event(action, self.time, severity, None if until is None else self.time + until)
        step = LIFE.step(before, event)
        assert LIFE.step(before, event) == step, "a pure function"
        if action in (A.RAISE, A.ESCALATE, A.DOWNGRADE):
            self.truth = True
        elif action is A.CLEAR:
            self.truth = False
        if isinstance(step, Refusal):
            assert step.reason
            return
        self.now = step.standing
        detector = action in (A.RAISE, A.ESCALATE, A.DOWNGRADE, A.CLEAR)
        if before.state in HIDDEN and detector:
            assert self.now.state is before.state, "detectors do not end hiding"
            assert not LIFE.annunciates(before, step)
        if not detector:
            facts = self.now.active, self.now.severity
            assert facts == (before.active, before.severity), "people do not change facts"
        if before.active and action in (A.RAISE, A.ESCALATE):
            assert self.now.severity > before.severity
        if action is A.COMMENT:
            assert self.now == before
        else:
            assert self.now != before, "a transition changes something"
        if not isinstance(LIFE.step(self.now, event), Refusal):
            assert action is A.COMMENT, "saying it twice changes nothing"

    @invariant()
    def the_condition_is_never_forgotten(self) -> None:
        assert self.now.active == self.truth

    @invariant()
    def states_mean_what_they_say(self) -> None:
        state = self.now.state
        assert (self.now.shelved_until is not None) == (state is State.SHELVED)
        if state in (State.UNACKNOWLEDGED, State.ACKNOWLEDGED):
            assert self.now.active
        if state in (State.NORMAL, State.RETURNED_UNACKNOWLEDGED):
            assert not self.now.active


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

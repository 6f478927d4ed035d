"""What every kind of rule promises: the fused, vectorised way says exactly what stepping through every row one by
one would say, however rows are cut into batches, and with state saved and loaded at any point."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rule_world import EVERY_FENCE, EVERY_KIND, START, observations, positions, rule_set

from thap.detect.detector import Outcome
from thap.detect.fused import Fused
from thap.detect.geofence import Geofences
from thap.detect.rate import Rates
from thap.detect.rules import Rule
from thap.detect.ruleset import RuleSet
from thap.detect.ruletext import read_rules
from thap.kernel.clock import SECOND_US

RULES = read_rules(EVERY_KIND)
FENCES = read_rules(EVERY_FENCE)
_SCANS = {kind: kind.scan for kind in (Fused, Rates, Geofences)}


@dataclass(frozen=True)
class Tick:
    """Time passes."""

    seconds: float


Row = tuple[Any, ...]
_door = st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 3.0, 7.0])
_lag = st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 5.0, 40.0, -3.0])
_values = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 2.9, 3.0, 3.05, 3.5, 3.9, 4.0, 4.5, 5.0, 6.0, -1.0])
_lons = st.sampled_from([105.605, 105.605, 105.599, 105.5995, 105.5985, 105.6105, 105.613, 105.59, 105.70])
_lats = st.sampled_from([10.405, 10.405, 10.405, 10.4105, 10.4095, 10.42])
_speeds = st.sampled_from([0.5, 1.0, 2.5, 4.0, 12.0, float("nan")])


@st.composite
def stories(draw: st.DrawFn, row: st.SearchStrategy[tuple[Any, ...]]) -> list[Row | Tick]:
    """Rows and ticks along one clock of the doors; event times mostly rise with it."""
    door, story = 0.0, []
    for _ in range(draw(st.integers(1, 60))):
        door += draw(_door)
        if draw(st.integers(0, 7)) == 0:
            story.append(Tick(door))
        else:
            series, *rest = draw(row)
            story.append((series, door - draw(_lag), door, *rest))
    return story


observed = stories(st.tuples(st.integers(1, 6), _values))
moved = stories(st.tuples(st.integers(1, 2), _lons, _lats, _speeds))


@contextmanager
def _every_row_stepped() -> Any:
    """No row is quiet: the plain meaning of the rules."""
    for kind in _SCANS:
        kind.scan = lambda self, groups, group, seat: np.ones(len(seat), bool)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for kind, scan in _SCANS.items():
            kind.scan = scan  # type: ignore[method-assign]


def _feed(rules: RuleSet, rows: list[Row], seq: int) -> Outcome:
    door = [row[2] for row in rows]
    if len(rows[0]) == 4:
        return rules.update(observations([(r[0], r[1], r[3]) for r in rows], received=door, seq=seq))
    return rules.update(positions([(r[0], r[1], *r[3:]) for r in rows], received=door, seq=seq))


def _tell(
    rules: list[Rule], story: list[Row | Tick], cuts: set[int], lateness: float, reload: set[int] | None = None
) -> list[Any]:
    """Everything a story leads to when rows are cut into batches at `cuts` (and at ticks)."""
    made = rule_set(rules, allowed_lateness_s=lateness)
    said: list[Any] = []
    faults: list[Any] = []
    waiting: list[Row] = []
    seq = 1
    door = 0.0
    for number, item in enumerate([*story, Tick(-1)]):
        if waiting and (isinstance(item, Tick) or number in cuts or number in (reload or ())):
            outcome = _feed(made, waiting, seq)
            said += outcome.changes
            faults += [(fault.condition, fault.reason) for fault in outcome.faults]
            seq += len(waiting)
            waiting = []
        if number in (reload or ()):
            state = made.dump()
            made = rule_set(rules, allowed_lateness_s=lateness)
            assert made.load(state) == Outcome()
        if not isinstance(item, Tick):
            waiting.append(item)
            door = item[2]
        elif item.seconds >= 0:
            said += made.tick(START + round(item.seconds * SECOND_US)).changes
    for later in (5, 30, 100):
        said += made.tick(START + round((door + later) * SECOND_US)).changes
    return [said, sorted(faults)]


def _check(rules: list[Rule], story: list[Row | Tick], cuts: set[int], lateness: float, reload: set[int]) -> None:
    with _every_row_stepped():
        plain = _tell(rules, story, set(range(len(story))), lateness)
    assert _tell(rules, story, set(range(len(story))), lateness) == plain, "quiet rows are no-ops"
    assert _tell(rules, story, cuts, lateness) == plain, "cutting into batches changes nothing"
    assert _tell(rules, story, cuts, lateness, reload) == plain, "saving and loading changes nothing"


_cuts = st.sets(st.integers(0, 60), max_size=8)
_settings = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("lateness", [0.0, 3.0])
@_settings
@given(observed, _cuts, st.sets(st.integers(0, 60), max_size=2))
def test_batches_and_checkpoints_do_not_change_what_observations_lead_to(
    lateness: float, story: list[Row | Tick], cuts: set[int], reload: set[int]
) -> None:
    _check(RULES, story, cuts, lateness, reload)


@pytest.mark.parametrize("lateness", [0.0, 3.0])
@_settings
@given(moved, _cuts, st.sets(st.integers(0, 60), max_size=2))
def test_batches_and_checkpoints_do_not_change_what_positions_lead_to(
    lateness: float, story: list[Row | Tick], cuts: set[int], reload: set[int]
) -> None:
    _check(FENCES, story, cuts, lateness, reload)

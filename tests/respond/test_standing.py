"""Alarms kept by comparison: what stands is made what should stand, and nothing else is touched."""

from __future__ import annotations

from thap.detect.detector import Action, Severity
from thap.respond.standing import Standing, changes_to

LOW, MEDIUM, HIGH = Severity.LOW, Severity.MEDIUM, Severity.HIGH


def mine(_source: str, condition: str) -> bool:
    return condition == "a.b"


def done(wanted: list[Standing], active: dict[tuple[str, str], int]) -> list[tuple[str, Action, Severity]]:
    return [(one.source, one.action, one.severity) for one in changes_to(wanted, active, mine, "a", 7)]


def test_what_should_stand_is_raised_once_and_what_should_not_is_cleared() -> None:
    assert done([Standing("x", "a.b", LOW)], {}) == [("x", Action.RAISE, LOW)]
    assert done([Standing("x", "a.b", LOW)], {("x", "a.b"): LOW}) == []
    assert done([], {("x", "a.b"): HIGH}) == [("x", Action.CLEAR, HIGH)]


def test_a_severity_moves_either_way() -> None:
    assert done([Standing("x", "a.b", HIGH)], {("x", "a.b"): LOW}) == [("x", Action.ESCALATE, HIGH)]
    assert done([Standing("x", "a.b", LOW)], {("x", "a.b"): HIGH}) == [("x", Action.DOWNGRADE, LOW)]


def test_others_alarms_are_left_and_of_two_the_severer_counts() -> None:
    assert done([], {("x", "c.d"): HIGH}) == []
    both = [Standing("x", "a.b", MEDIUM), Standing("x", "a.b", HIGH), Standing("x", "a.b", LOW)]
    assert done(both, {}) == [("x", Action.RAISE, HIGH)]

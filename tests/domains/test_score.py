"""The score counts what it says it counts."""

from __future__ import annotations

from thap.detect.detector import Action, Severity
from thap.domains.offline import gather
from thap.domains.score import Raised, Segment, compare, event_time
from thap.domains.world import Truth
from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US

M = MINUTE_US


def event(start: int, end: int, **more: object) -> Truth:
    return Truth(
        **{
            "condition": "c",
            "source": "s",
            "start": start * M,
            "end": end * M,  # type: ignore[arg-type]
            "severity": Severity.LOW,
            **more,
        }
    )


def alarm(begin: int, end: int | None = None, source: str = "s") -> Raised:
    return Raised(source, "c", begin * M, None if end is None else end * M)


def test_an_alarm_within_its_event_is_right_and_its_delay_counts_from_the_rules_delay() -> None:
    score = compare([event(10, 60, on_delay=15 * M)], [alarm(27, 70)], 0, 200 * M, 5 * M)
    assert (score.precision, score.recall, score.delays_s) == (1.0, 1.0, [120.0])


def test_an_alarm_on_another_source_is_wrong_and_the_event_missed() -> None:
    score = compare([event(10, 60)], [alarm(12, source="t")], 0, 200 * M, 5 * M)
    assert (score.precision, score.recall) == (0.0, 0.0)
    assert len(score.missed) == len(score.false) == 1


def test_a_second_alarm_in_one_event_is_wrong() -> None:
    score = compare([event(10, 60)], [alarm(11, 20), alarm(30, 60)], 0, 200 * M, 5 * M)
    assert (score.precision, score.recall) == (0.5, 1.0)


def test_what_is_not_certain_counts_neither_way() -> None:
    score = compare([event(10, 60, certain=False), event(100, 120, certain=False)], [alarm(11)], 0, 200 * M, 5 * M)
    assert (score.precision, score.recall, score.events, score.alarms) == (None, None, 0, 0)


def test_an_event_that_is_not_due_yet_is_not_missed() -> None:
    score = compare([event(10, 60), event(190, 300, on_delay=15 * M)], [alarm(10)], 0, 200 * M, 5 * M)
    assert (score.events, score.recall) == (1, 1.0)


def test_an_alarm_long_before_or_after_its_event_is_wrong() -> None:
    score = compare([event(100, 160)], [alarm(90), alarm(170)], 0, 500 * M, 5 * M)
    assert (score.precision, score.recall) == (0.0, 0.0)


def test_nothing_planted_and_nothing_raised_is_no_score() -> None:
    body = compare([], [], 0, HOUR_US, M).as_dict()
    assert body["precision"] is None and body["recall"] is None and body["delay_p95_s"] is None


def test_wall_time_is_turned_into_event_time_by_the_pace_of_its_segment() -> None:
    segments = [
        Segment(1000 * SECOND_US, 0, 60.0, 1010 * SECOND_US),
        Segment(2000 * SECOND_US, 600 * SECOND_US, 1.0, 2100 * SECOND_US),
    ]
    assert event_time(segments, 1005 * SECOND_US) == 300 * SECOND_US
    assert event_time(segments, 2050 * SECOND_US) == 650 * SECOND_US
    assert event_time(segments, 1500 * SECOND_US, 5 * SECOND_US) is None
    assert event_time(segments, 1012 * SECOND_US, 5 * SECOND_US) == 720 * SECOND_US


def test_alarms_are_gathered_from_raise_to_clear_with_the_highest_severity() -> None:
    made = gather(
        [
            (1, "s", "c", Action.RAISE, 2),
            (2, "s", "c", Action.ESCALATE, 4),
            (3, "s", "c", "acknowledge", 4),
            (4, "s", "c", Action.DOWNGRADE, 2),
            (5, "s", "c", Action.CLEAR, 2),
            (6, "s", "c", Action.RAISE, 2),
        ]
    )
    assert [(one.begin, one.end, one.severity) for one in made] == [
        (1, 5, Severity.CRITICAL),
        (6, None, Severity.MEDIUM),
    ]

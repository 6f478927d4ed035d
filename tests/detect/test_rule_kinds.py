"""What each kind of rule says, in the words of a duty officer."""

from __future__ import annotations

import numpy as np
import pytest
from rule_world import (
    EVERY_FENCE,
    EVERY_KIND,
    REGISTRY,
    SQUARE,
    START,
    observations,
    positions,
    rule_set,
    rule_text,
    rules_of,
)

from thap.detect.detector import Action, Change, Outcome, Severity
from thap.detect.rules import Rule
from thap.detect.ruleset import STANDSTILL_US, RuleSet
from thap.detect.ruletext import read_rules
from thap.kernel.clock import SECOND_US
from thap.kernel.settings import EngineSettings
from thap.observe.registry import MoverInfo, Registry

LEVEL, RAIN, SALT = 1, 2, 3
SELECT = 'select = { datastream = "north/level" }\n'
BOAT = 'select = { mover = "boat-a" }\n'
IN, NEAR, OUT = 105.605, 105.6103, 105.63  # inside the square, some 33 m beyond it, far away


def told(outcome: Outcome) -> list[tuple[str, str, float]]:
    """(action, severity, seconds after START) of each change."""
    return [(str(c.action), c.severity.name.lower(), (c.time - START) / SECOND_US) for c in outcome.changes]


def level(rules: RuleSet, *rows: tuple[float, float], series: int = LEVEL, seq: int = 1) -> Outcome:
    return rules.update(observations([(series, *row) for row in rows], seq=seq))


def boat(rules: RuleSet, *rows: tuple[float, float], speed: float = 1.0) -> Outcome:
    return rules.update(positions([(1, time, lon, 10.405, speed) for time, lon in rows]))


# ---- thresholds


def test_a_value_at_the_limit_raises_and_clears_only_beyond_the_deadband() -> None:
    rules = rule_set(rules_of("threshold", SELECT + "above = 3\ndeadband = 1"))
    assert told(level(rules, (0, 2.9), (1, 3), (2, 2), (3, 3), (4, 1.9))) == [("raise", "low", 1), ("clear", "low", 4)]


def test_a_change_names_its_source_place_row_and_reason() -> None:
    rules = rule_set(rules_of("threshold", SELECT + "above = 3"))
    change = level(rules, (0, 1), (1, 4), seq=70).changes[0]
    assert (change.source, change.condition, change.seq, change.received, change.value) == (
        "north/level",
        "r",
        71,
        START + SECOND_US,
        4.0,
    )
    assert (change.domain, change.lon, change.lat, change.commune) == ("water", 105.6, 10.4, "29869")
    assert change.evidence["above"] == 3.0


def test_a_limit_passed_for_less_than_the_delay_raises_nothing() -> None:
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\non_delay = "10s"'))
    assert not level(rules, (0, 4), (5, 4), (9, 1), (10, 4), (19, 4)).changes


def test_a_delay_ends_at_its_own_time_whichever_row_shows_it() -> None:
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\non_delay = "10s"\noff_delay = "20s"'))
    outcome = level(rules, (0, 4), (60, 1), (75, 4), (76, 1), (200, 1))
    assert told(outcome) == [("raise", "low", 10), ("clear", "low", 96)]
    assert [change.value for change in outcome.changes] == [4.0, 1.0]


def test_a_timer_ends_a_delay_without_a_row() -> None:
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\non_delay = "10s"'))
    assert not level(rules, (0, 4)).changes
    assert not rules.tick(START + 9 * SECOND_US).changes
    outcome = rules.tick(START + 30 * SECOND_US)
    assert told(outcome) == [("raise", "low", 10)]
    assert outcome.changes[0].seq == 0


def test_an_old_file_replayed_now_is_not_hurried_by_the_clock_on_the_wall() -> None:
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\non_delay = "10s"'))
    years = 10 * 365 * 86400.0
    assert not rules.update(observations([(LEVEL, 0, 4)], received=[years])).changes
    assert not rules.tick(START + round((years + 5) * SECOND_US)).changes
    assert told(rules.tick(START + round((years + 10) * SECOND_US))) == [("raise", "low", 10)]


def test_severity_climbs_with_the_limit_and_with_time_and_comes_down() -> None:
    rules = rule_set(
        rules_of(
            "threshold",
            SELECT + "above = 3\ndeadband = 0.5\nlevels = ["
            '{ severity = "medium", above = 4 }, { severity = "critical", after = "1m" }]',
        )
    )
    assert told(level(rules, (0, 3.2), (10, 4.5), (20, 3.4), (30, 4.1), (80, 4.0), (90, 2))) == [
        ("raise", "low", 0),
        ("escalate", "medium", 10),
        ("downgrade", "low", 20),
        ("escalate", "medium", 30),
        ("escalate", "critical", 60),
        ("clear", "critical", 90),
    ]


def test_a_jump_over_several_levels_is_one_raise() -> None:
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\nlevels = [{ severity = "high", above = 5 }]'))
    assert told(level(rules, (0, 9))) == [("raise", "high", 0)]


def test_outside_its_hours_a_rule_clears_and_within_them_it_raises_again() -> None:
    # START is 21:13:20 in Việt Nam.
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\nschedule = { hours = ["21:00-21:14", "21:15-22:00"] }'))
    outcome = level(rules, (0, 4), (50, 4), (90, 4), (130, 4))
    assert told(outcome) == [("raise", "low", 0), ("clear", "low", 40), ("raise", "low", 100)]
    assert outcome.changes[1].evidence["by"] == "schedule"


def test_peaks_between_raise_and_clear_are_in_the_evidence() -> None:
    rules = rule_set(rules_of("threshold", SELECT + "above = 3"))
    level(rules, (0, 4))
    level(rules, (1, 8), (2, 5))
    assert level(rules, (3, 1)).changes[0].evidence["highest"] == 8.0


# ---- order


def test_late_rows_and_duplicates_are_counted_and_not_judged() -> None:
    rules = rule_set(rules_of("threshold", SELECT + "above = 3"))
    assert not level(rules, (10, 1), (5, 9), (10, 9)).changes
    assert (rules.late, rules.duplicates) == (1, 1)


def test_with_a_lateness_rows_out_of_order_are_judged_in_order() -> None:
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\nlateness = "10s"'))
    assert not level(rules, (10, 1), (6, 9), (8, 1)).changes
    assert told(level(rules, (30, 1))) == [("raise", "low", 6), ("clear", "low", 8)]
    assert rules.late == 0


def test_a_row_that_waits_for_others_waits_no_longer_than_the_lateness() -> None:
    rules = rule_set(rules_of("threshold", SELECT + 'above = 3\nlateness = "10s"'))
    level(rules, (10, 9))
    assert not rules.tick(START + 19 * SECOND_US).changes
    assert told(rules.tick(START + 20 * SECOND_US)) == [("raise", "low", 10)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_a_fault_and_the_rest_is_judged(value: float) -> None:
    rules = rule_set(rules_of("threshold", SELECT + "above = 3"))
    outcome = level(rules, (0, value), (1, 4))
    assert [fault.row for fault in outcome.faults] == [0]
    assert told(outcome) == [("raise", "low", 1)]


def test_rows_of_series_that_the_registry_does_not_know_yet_are_passed_over() -> None:
    rules = rule_set(rules_of("threshold", SELECT + "above = 3"))
    assert told(rules.update(observations([(999, 0, 9), (LEVEL, 0, 4), (-1, 0, 9)]))) == [("raise", "low", 0)]


def test_an_empty_batch_and_an_empty_set_of_rules_do_nothing() -> None:
    assert rule_set(rules_of("threshold", SELECT + "above = 3")).update(observations([])) == Outcome()
    assert rule_set([]).update(observations([(LEVEL, 0, 4)])) == Outcome()
    assert RuleSet(rules_of("threshold", SELECT + "above = 3"), Registry(), EngineSettings()).watched == 0


# ---- rate, silence, n of m, combined


def test_a_fast_rise_raises_and_a_slow_one_does_not() -> None:
    rules = rule_set(rules_of("rate", SELECT + 'rise = 1\nwindow = "60s"'))
    assert not level(rules, *((t, t / 100) for t in range(0, 500, 5))).changes
    assert told(level(rules, (500, 5.2), (510, 6.0))) == [("raise", "low", 510)]


def test_a_value_older_than_the_window_is_not_compared() -> None:
    rules = rule_set(rules_of("rate", SELECT + 'change = 1\nwindow = "60s"'))
    assert not level(rules, (0, 1), (61, 9), (122, 1)).changes
    assert told(level(rules, (170, 3), (240, 3))) == [("raise", "low", 170), ("clear", "low", 240)]


def test_a_source_that_falls_silent_is_noticed_and_its_next_row_clears_it() -> None:
    rules = rule_set(
        rules_of("silence", SELECT + 'no_data_for = "60s"\nlevels = [{ severity = "high", no_data_for = "120s" }]')
    )
    level(rules, (0, 1))
    assert not rules.tick(START + 59 * SECOND_US).changes
    assert told(rules.tick(START + 61 * SECOND_US)) == [("raise", "low", 60)]
    assert told(rules.tick(START + 150 * SECOND_US)) == [("escalate", "high", 120)]
    assert told(level(rules, (160, 1))) == [("clear", "high", 160)]


def test_silence_goes_by_arrival_so_a_device_clock_seven_hours_wrong_is_not_silent() -> None:
    rules = rule_set(rules_of("silence", SELECT + 'no_data_for = "60s"'))
    for minute in range(5):
        rules.update(observations([(LEVEL, -7 * 3600 + minute * 50, 1)], received=[minute * 50]))
        assert not rules.tick(START + (minute * 50 + 40) * SECOND_US).changes


def test_a_source_never_heard_is_silent_from_the_first_tick_on() -> None:
    rules = rule_set(rules_of("silence", SELECT + 'no_data_for = "60s"'))
    rules.tick(START)
    assert told(rules.tick(START + 61 * SECOND_US)) == [("raise", "low", 60)]


def test_the_centre_standing_still_makes_nobody_silent() -> None:
    rules = rule_set(rules_of("silence", SELECT + 'no_data_for = "60s"'))
    level(rules, (0, 1))
    rules.tick(START)
    saved = rules.dump()
    rules = rule_set(rules_of("silence", SELECT + 'no_data_for = "60s"'))
    rules.load(saved)
    after = START + STANDSTILL_US + SECOND_US
    assert not rules.tick(after).changes
    assert [c.time for c in rules.tick(after + 61 * SECOND_US).changes] == [after + 60 * SECOND_US]


def test_one_outlier_in_five_raises_nothing_and_three_do() -> None:
    rules = rule_set(rules_of("n_of_m", SELECT + "above = 3\nn = 3\nm = 5"))
    assert told(level(rules, (0, 9), (1, 1), (2, 1), (3, 9), (4, 1), (5, 9), (6, 9), (7, 1), (8, 1))) == [
        ("raise", "low", 6),
        ("clear", "low", 8),
    ]


def test_two_stations_must_agree_and_their_votes_grow_old() -> None:
    rules = rule_set(
        rules_of("n_of_m", 'select = { property = "level" }\nabove = 3\nn = 2\ngroup = "all"\nmax_age = "60s"')
    )
    assert not rules.update(observations([(1, 0, 5), (4, 61, 5)])).changes
    outcome = rules.update(observations([(1, 70, 5)]))
    assert told(outcome) == [("raise", "low", 70)]
    assert outcome.changes[0].source == "rule:r"
    assert told(rules.tick(START + 125 * SECOND_US)) == [("clear", "low", 121.000001)]


def test_a_condition_over_two_datastreams_of_one_thing() -> None:
    rules = rule_set(
        rules_of("combined", 'select = { thing = "*" }\nwhen = "level > 1.8 and rain > 20"\nmax_age = "30s"')
    )
    outcome = rules.update(observations([(LEVEL, 0, 2), (5, 1, 25), (RAIN, 5, 25), (RAIN, 10, 3)]))
    assert told(outcome) == [("raise", "low", 5), ("clear", "low", 10)]
    assert {change.source for change in outcome.changes} == {"north"}


def test_a_value_too_old_makes_the_condition_untrue_by_time_alone() -> None:
    rules = rule_set(
        rules_of(
            "combined",
            'select = { thing = "*" }\nwhen = "level > 1.8 and rain > 20"\nmax_age = { level = "30s", rain = "60s" }',
        )
    )
    rules.update(observations([(LEVEL, 0, 2), (RAIN, 5, 25)]))
    assert told(rules.tick(START + 40 * SECOND_US)) == [("clear", "low", 30.000001)]


def test_a_row_that_cannot_be_judged_is_a_fault_and_the_next_is_judged() -> None:
    rules = rule_set(rules_of("combined", 'select = { thing = "*" }\nwhen = "level / rain > 2"'))
    outcome = rules.update(observations([(LEVEL, 0, 6), (RAIN, 1, 0), (RAIN, 2, 2)]))
    assert [(fault.row, fault.condition) for fault in outcome.faults] == [(1, "r")]
    assert told(outcome) == [("raise", "low", 2)]


# ---- geofences


def test_a_mover_that_enters_raises_and_one_at_the_edge_changes_nothing() -> None:
    rules = rule_set(rules_of("geofence", f'{BOAT}mode = "inside"\nhysteresis_m = 50\n{SQUARE}'))
    assert told(boat(rules, (0, NEAR), (1, IN), (2, NEAR), (3, IN), (4, NEAR), (5, OUT), (6, NEAR))) == [
        ("raise", "low", 1),
        ("clear", "low", 5),
    ]


def test_a_jump_of_the_gps_for_one_row_does_not_end_a_stay() -> None:
    rules = rule_set(rules_of("geofence", f'{BOAT}mode = "inside"\noff_delay = "30s"\n{SQUARE}'))
    assert told(boat(rules, (0, IN), (10, OUT), (20, IN), (300, IN))) == [("raise", "low", 0)]


def test_outside_means_beyond_the_hysteresis() -> None:
    rules = rule_set(rules_of("geofence", f'{BOAT}mode = "outside"\nhysteresis_m = 50\n{SQUARE}'))
    assert told(boat(rules, (0, NEAR), (1, OUT), (2, NEAR), (3, IN))) == [("raise", "low", 1), ("clear", "low", 3)]


def test_a_slow_stay_raises_after_the_dwell_and_a_fast_passage_does_not() -> None:
    rules = rule_set(rules_of("geofence", f'{BOAT}mode = "dwell"\ndwell = "60s"\nbelow_kn = 2\n{SQUARE}'))
    assert not boat(rules, *((t, IN) for t in range(0, 100, 10)), speed=8.0).changes
    assert told(boat(rules, *((t, IN) for t in range(100, 200, 10)))) == [("raise", "low", 160)]


def test_an_unknown_speed_changes_nothing() -> None:
    rules = rule_set(rules_of("geofence", f'{BOAT}mode = "inside"\nbelow_kn = 2\n{SQUARE}'))
    boat(rules, (0, IN))
    assert not boat(rules, (1, IN), (2, IN), speed=float("nan")).changes


def test_a_place_nobody_knows_stops_its_rule_alone() -> None:
    text = rule_text("geofence", BOAT + 'mode = "inside"\narea = "Atlantis"', "lost") + rule_text(
        "geofence", f'{BOAT}mode = "inside"\n{SQUARE}', "found"
    )
    rules = rule_set(read_rules(text))
    assert rules.problems == {"lost": "no place is called 'Atlantis'"}
    assert [c.condition for c in boat(rules, (0, IN)).changes] == ["found"]
    named = RuleSet(
        read_rules(text),
        REGISTRY,
        EngineSettings(),
        lambda name: {
            "type": "Polygon",
            "coordinates": [[[105.6, 10.4], [105.61, 10.4], [105.61, 10.41], [105.6, 10.4]]],
        },
    )
    assert not named.problems


# ---- a set of rules that changes


def test_rules_that_stay_keep_their_state_and_rules_that_go_clear_their_alarms() -> None:
    keep = rule_text("threshold", SELECT + "above = 3", "keep")
    drop = rule_text("threshold", SELECT + "above = 2", "drop")
    silent = rule_text("silence", SELECT + 'no_data_for = "60s"', "silent")
    rules = rule_set(read_rules(keep + drop + silent))
    level(rules, (0, 4))
    rules.tick(START + 70 * SECOND_US)
    changed = rules.rebind(read_rules(keep.replace("Trial", "Other title")), REGISTRY)
    assert [(c.condition, c.action) for c in changed.changes] == [("drop", Action.CLEAR), ("silent", Action.CLEAR)]
    assert rules.rule_count == 1
    assert not level(rules, (100, 5)).changes, "still active"
    assert told(level(rules, (101, 1))) == [("clear", "low", 101)]


def test_disabling_or_changing_a_rule_clears_what_it_had_raised() -> None:
    text = rule_text("threshold", SELECT + "above = 3")
    rules = rule_set(read_rules(text))
    level(rules, (0, 4))
    assert [c.action for c in rules.rebind(read_rules(text + "enabled = false\n"), REGISTRY).changes] == [Action.CLEAR]
    rules.rebind(read_rules(text), REGISTRY)
    level(rules, (1, 4))
    changed = rules.rebind(read_rules(text.replace("= 3", "= 3.5")), REGISTRY)
    assert [c.action for c in changed.changes] == [Action.CLEAR]
    assert told(level(rules, (2, 4))) == [("raise", "low", 2)]


def test_a_new_registry_keeps_the_state_of_sources_that_remain() -> None:
    rules = rule_set(rules_of("threshold", 'select = { property = "level" }\nabove = 3'))
    rules.update(observations([(1, 0, 4), (4, 0, 4)]))
    smaller = Registry(REGISTRY.datastreams[:3], REGISTRY.movers, REGISTRY.datastream_id, REGISTRY.mover_id)
    gone = rules.rebind(rules_of("threshold", 'select = { property = "level" }\nabove = 3'), smaller)
    assert [c.source for c in gone.changes] == ["south/level"]
    assert told(level(rules, (5, 1))) == [("clear", "low", 5)]


def test_an_admitted_vessel_disturbs_neither_timers_nor_positions_before() -> None:
    text = rule_text("threshold", SELECT + 'above = 3\non_delay = "10s"', "level") + rule_text(
        "geofence", f'select = {{ mover = "*" }}\nmode = "dwell"\ndwell = "10s"\n{SQUARE}', "stay"
    )
    rules = rule_set(read_rules(text))
    level(rules, (0, 4))
    boat(rules, (0, IN))
    movers = (*REGISTRY.movers, MoverInfo(3, "boat-c", "", "vessel", "", {}))
    wider = Registry(REGISTRY.datastreams, movers, REGISTRY.datastream_id, {m.key: m.id for m in movers})
    assert rules.rebind(read_rules(text), wider) == Outcome()
    rules.update(positions([(3, 0, IN, 10.405, 1.0)]))
    assert sorted((c.condition, c.source) for c in rules.tick(START + 11 * SECOND_US).changes) == [
        ("level", "north/level"),
        ("stay", "boat-a"),
        ("stay", "boat-c"),
    ]


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"nonsense", b"\x80", b"\x81\xa7version\x01"])
def test_a_damaged_state_is_refused_and_leaves_the_rules_as_new(damage: bytes) -> None:
    rules = rule_set(rules_of("threshold", SELECT + "above = 3"))
    with pytest.raises(ValueError, match="not a state of rules"):
        rules.load(damage)
    assert told(level(rules, (0, 4))) == [("raise", "low", 0)]


def test_half_a_state_is_refused() -> None:
    rules: list[Rule] = read_rules(EVERY_KIND) + read_rules(EVERY_FENCE.replace("above = 3\n", ""))
    made = rule_set([rule for rule in rules if rule.name != "inside"])
    level(made, (0, 4))
    state = made.dump()
    for length in range(0, len(state), max(1, len(state) // 40)):
        with pytest.raises(ValueError, match="not a state of rules"):
            made.load(state[:length])
    made.load(state)


def test_a_rule_that_selects_a_hundred_thousand_movers_is_bound_within_a_second_or_two() -> None:
    movers = tuple(MoverInfo(n, f"mmsi-{n}", "", "", "", {}) for n in range(1, 100_001))
    registry = Registry((), movers, {}, {m.key: m.id for m in movers})
    rules = RuleSet(
        rules_of("geofence", f'select = {{ mover = "mmsi-*" }}\nmode = "inside"\n{SQUARE}'), registry, EngineSettings()
    )
    assert rules.watched == 100_000
    count = 50_000
    batch = positions([(1, 0, 0, 0, 0)])
    lon = np.random.default_rng(1).uniform(105.5, 105.7, count)
    batch = type(batch)(
        np.arange(1, count + 1, dtype=np.int32),
        np.full(count, START),
        lon,
        np.full(count, 10.405),
        np.zeros(count, np.float32),
        np.zeros(count, np.float32),
        np.full(count, START),
        np.ones(count, np.int64),
    )
    raised = rules.update(batch).changes
    assert len(raised) == int(((lon >= 105.60) & (lon <= 105.61)).sum())
    assert all(isinstance(change, Change) and change.severity is Severity.LOW for change in raised)

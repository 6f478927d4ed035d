"""Rules from TOML: what is taken, and where a mistake is shown."""

from __future__ import annotations

import tomllib

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from rule_world import rule_text

from thap.detect.detector import Severity
from thap.detect.positions import positions
from thap.detect.rules import Combined, Geofence, Silence, Threshold
from thap.detect.ruletext import bodies_of, examples, parse_rules, read_rules
from thap.kernel.clock import MINUTE_US
from thap.kernel.errors import RuleError
from thap.observe.kinds import Kind

LEVEL = 'select = { property = "level" }\n'


def problem(text: str) -> tuple[int, int, str, str]:
    found = parse_rules(text, "r.toml").problems
    assert len(found) == 1, found
    return found[0].line, found[0].column, found[0].field, f"{found[0].message}; {found[0].hint}"


def test_a_rule_is_read_with_its_lengths_of_time_and_severities() -> None:
    rule = read_rules(
        rule_text("threshold", LEVEL + 'above = 2\non_delay = "1h30m"\nlevels = [{ severity = "critical", above = 3 }]')
    )[0]
    assert isinstance(rule, Threshold)
    assert (rule.above, rule.on_delay, rule.severity) == (2.0, 90 * MINUTE_US, Severity.LOW)
    assert rule.levels[0].severity is Severity.CRITICAL
    assert rule.watches is Kind.OBSERVATION


def test_a_typo_in_a_field_is_shown_with_line_column_and_the_field_meant() -> None:
    text = "# two lines\n\n" + rule_text("threshold", LEVEL + "abvoe = 2")
    found = parse_rules(text, "r.toml").problems
    assert [(p.line, p.column, p.field) for p in found] == [(9, 1, "abvoe")]
    error = found[0].error()
    assert isinstance(error, RuleError)
    assert error.where == "r.toml:9:1 `abvoe`"
    assert "unknown field `abvoe`" in str(error)
    assert "did you mean `above`?" in str(error)


def test_a_typo_inside_an_inline_table_is_shown_where_it_stands() -> None:
    assert problem(rule_text("threshold", 'select = { property = "level", tihng = "a" }\nabove = 1')) == (
        6,
        32,
        "select.tihng",
        "unknown field `tihng`; did you mean `thing`? allowed: datastream, mover, property, "
        "thing, kind, domain, commune",
    )


def test_a_typo_in_a_word_is_shown_with_what_is_allowed() -> None:
    line, _, field, text = problem(rule_text("treshold", LEVEL + "above = 1"))
    assert (line, field) == (3, "kind")
    assert "did you mean `threshold`?" in text
    line, _, field, text = problem(rule_text("threshold", LEVEL + "above = 1", severity="hihg"))
    assert (line, field) == (5, "severity")
    assert "did you mean `high`? allowed: low, medium, high, critical" in text


def test_a_mistake_in_a_level_is_shown_at_that_level() -> None:
    body = LEVEL + (
        'above = 2\nlevels = [\n  { severity = "high", above = 3 },\n  { severity = "critical", above = 2.5 },\n]'
    )
    assert problem(rule_text("threshold", body))[:3] == (10, 28, "levels.1.above")
    tables = LEVEL + 'above = 2\n[[rule.levels]]\nseverity = "high"\nbelow = 1'
    assert problem(rule_text("threshold", tables))[:3] == (10, 1, "levels.0.below")


def test_toml_that_cannot_be_read_is_shown_with_line_and_column() -> None:
    assert problem("[[rule]]\nname = \n")[:2] == (2, 8)
    assert problem("[[rule]\n")[:2] == (1, 7)
    assert problem('[[rule]]\nname = "')[0] == 2


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("threshold", LEVEL, ""),
        ("threshold", LEVEL + "above = 1\nbelow = 0", "below"),
        ("threshold", LEVEL + "above = nan", "above"),
        ("threshold", LEVEL + "above = inf", "above"),
        ("threshold", LEVEL + 'above = "1"', "above"),
        ("threshold", LEVEL + "above = true", "above"),
        ("threshold", LEVEL + "above = 1\ndeadband = -1", "deadband"),
        ("threshold", LEVEL + "outside = [2, 1]", "outside"),
        ("threshold", LEVEL + "outside = [1, 2]\ndeadband = 0.5", "deadband"),
        ("threshold", LEVEL + "inside = 3", "inside"),
        ("threshold", "above = 1", "select"),
        ("threshold", "select = {}\nabove = 1", "select"),
        ("threshold", 'select = { property = "" }\nabove = 1', "select.property"),
        ("threshold", 'select = { mover = "*" }\nabove = 1', "select.mover"),
        ("threshold", LEVEL + 'above = 1\non_delay = "soon"', "on_delay"),
        ("threshold", LEVEL + "above = 1\non_delay = 5", "on_delay"),
        ("threshold", LEVEL + 'above = 1\nschedule = { hours = ["7-9"] }', "schedule.hours"),
        ("threshold", LEVEL + 'above = 1\nschedule = { weekdays = ["monday"] }', "schedule.weekdays"),
        ("threshold", LEVEL + "above = 1\nschedule = { months = [13] }", "schedule.months.0"),
        ("threshold", LEVEL + 'above = 1\nschedule = { season = "02-30..03-01" }', "schedule.season"),
        ("rate", LEVEL + "rise = 1", "window"),
        ("rate", LEVEL + 'rise = 0\nwindow = "1h"', "rise"),
        ("rate", LEVEL + 'rise = 1\nwindow = "1h"\ndeadband = 1', "deadband"),
        ("rate", LEVEL + 'rise = 1\nwindow = "0s"', "window"),
        ("silence", LEVEL + 'no_data_for = "1h"\non_delay = "1m"', "on_delay"),
        ("geofence", 'select = { mover = "*" }\nmode = "inside"', "area"),
        ("geofence", 'select = { mover = "*" }\nmode = "around"\narea = "x"', "mode"),
        ("geofence", 'select = { mover = "*" }\nmode = "dwell"\narea = "x"', "dwell"),
        ("geofence", 'select = { thing = "a" }\nmode = "inside"\narea = "x"', "select.thing"),
        (
            "geofence",
            'select = { mover = "*" }\nmode = "inside"\narea = { type = "Point", coordinates = [1, 2] }',
            "area",
        ),
        ("geofence", 'select = { mover = "*" }\nmode = "inside"\narea = { lon = 200, lat = 1, radius_m = 5 }', "area"),
        (
            "geofence",
            'select = { mover = "*" }\nmode = "inside"\narea = { type = "Polygon", '
            "coordinates = [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]] }",
            "area",
        ),
        ("n_of_m", LEVEL + "above = 1\nn = 2", ""),
        ("n_of_m", LEVEL + "above = 1\nn = 4\nm = 3", "n"),
        ("n_of_m", LEVEL + "above = 1\nn = 1\nm = 63", "m"),
        ("n_of_m", LEVEL + 'above = 1\nn = 1\nm = 3\ngroup = "thing"', "group"),
        ("combined", 'select = { thing = "*" }\nwhen = "level"', "when"),
        ("combined", 'select = { thing = "*" }\nwhen = "1 < 2"', "when"),
        ("combined", "select = { thing = \"*\" }\nwhen = \"__import__('os').system('x') > 1\"", "when"),
        ("combined", 'select = { thing = "*" }\nwhen = "level.real > 1"', "when"),
        ("combined", 'select = { thing = "*" }\nwhen = "level > 1"\nmax_age = { rain = "1h" }', "max_age"),
        ("combined", LEVEL + 'when = "level > 1"', "select.property"),
    ],
)
def test_a_rule_that_does_not_hold_together_is_refused_at_its_field(kind: str, body: str, field: str) -> None:
    assert problem(rule_text(kind, body))[2] == field


def test_names_are_checked_and_unique_within_a_file() -> None:
    assert problem(rule_text("threshold", LEVEL + "above = 1", name="Über"))[2] == "name"
    twice = rule_text("threshold", LEVEL + "above = 1") * 2
    line, column, field, text = problem(twice)
    assert (line, column, field) == (9, 1, "name")
    assert "line 2" in text


def test_a_mistake_in_one_rule_leaves_the_others_standing() -> None:
    parsed = parse_rules(
        rule_text("threshold", LEVEL + "above = x").replace("x\n", "1\nboo = 1\n")
        + rule_text("threshold", LEVEL + "above = 1", name="good")
    )
    assert [rule.name for rule in parsed.rules] == ["good"]
    assert [p.rule for p in parsed.problems] == ["r"]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "rules = []\n", "rule = 3\n", "[rule]\nname = 'a'\n", "\x00", "a" * 1_000_001]
)
def test_text_without_a_rule_is_refused(text: str) -> None:
    assert parse_rules(text).problems


def test_one_rule_is_cut_out_of_a_file_with_its_comments() -> None:
    text = (
        "# all\n"
        + rule_text("threshold", LEVEL + "above = 1  # metres", name="a")
        + rule_text("threshold", LEVEL + "above = 2", name="b")
    )
    part = bodies_of(text)["a"]
    assert "# metres" in part
    assert [rule.name for rule in read_rules(part)] == ["a"]


def test_silence_watches_what_it_selects() -> None:
    assert read_rules(rule_text("silence", LEVEL + 'no_data_for = "1h"'))[0].watches is Kind.OBSERVATION
    rule = read_rules(rule_text("silence", 'select = { mover = "*" }\nno_data_for = "1h"'))[0]
    assert isinstance(rule, Silence)
    assert rule.watches is Kind.POSITION


def test_what_does_not_change_the_judgement_does_not_change_the_fingerprint() -> None:
    base = rule_text("threshold", LEVEL + 'above = 1\nsource = "a"')
    one, other, third = (
        read_rules(text)[0]
        for text in (
            base,
            base.replace('"a"', '"b"').replace("Trial", "Other"),
            base.replace("above = 1", "above = 1.5"),
        )
    )
    assert one.fingerprint == other.fingerprint != third.fingerprint


def test_every_example_is_sound_and_names_its_source() -> None:
    names: set[str] = set()
    for file, text in examples().items():
        parsed = parse_rules(text, file)
        assert not parsed.problems
        for rule in parsed.rules:
            assert rule.source
            assert rule.name not in names
            names.add(rule.name)
    kinds = {type(rule) for text in examples().values() for rule in read_rules(text)}
    assert {Threshold, Silence, Geofence, Combined} <= kinds


_keys = st.text("abcdef-_", min_size=1, max_size=5) | st.text("aå .'\"\\\n", min_size=1, max_size=4)
_leaves = st.integers() | st.booleans() | st.text("ab'\"\\]}=#,\n ", max_size=8) | st.dates()
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3), max_leaves=8
)


@given(st.lists(st.dictionaries(_keys, _values, max_size=4), max_size=3), st.dictionaries(_keys, _values, max_size=3))
def test_every_key_of_a_text_has_a_position_at_which_it_stands(
    tables: list[dict[str, object]], other: dict[str, object]
) -> None:
    text = tomlkit.dumps({"other": other, "rule": tables}) if tables else tomlkit.dumps({"other": other})
    body = tomllib.loads(text)
    found = positions(text)
    lines = text.split("\n")

    def walk(value: object, path: tuple[str | int, ...]) -> None:
        if path:
            line, column = found[path]
            here = lines[line - 1][column - 1 :]
            if isinstance(path[-1], str) and not here.startswith("["):
                assert here.startswith((path[-1], '"', "'"))
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*path, key))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                walk(item, (*path, number))

    walk(body, ())

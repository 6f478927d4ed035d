"""Procedures as text: what may stand in a file, which one fits, what comes with Tháp."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thap.cli.app import build
from thap.domains.domain import domains
from thap.kernel.errors import InputError
from thap.respond.notify.wording import has, render
from thap.respond.procedures.model import Procedure
from thap.respond.procedures.templates import choose, read_procedures, shipped

GOOD = """
[[procedure]]
name = "flood"
title = { vi = "Lũ", en = "Flood" }

[[procedure.step]]
key = "look"
title = { vi = "Xem", en = "Look" }
role = "operator"
within = "1h"
"""
SHIPPED = {name: one for package in shipped().values() for name, one in package.items()}


def test_every_domain_brings_procedures_in_both_languages_with_a_source() -> None:
    assert set(shipped()) == {"thap.respond.procedures", *(one.package for one in domains().values())}
    for name, one in SHIPPED.items():
        assert one.source and one.steps, name
        assert one.domain in domains() or name.startswith("general"), name
        assert any(step.done_when == "acknowledged" for step in one.steps) or name == "water.squall"


def test_every_rule_of_a_domain_has_a_procedure_of_the_domain() -> None:
    for domain in domains().values():
        for rule in domain.read_rules():
            for severity in (1, 2, 3, 4):
                found = choose(SHIPPED.values(), domain=domain.name, severity=severity, cause=rule)
                assert found is not None and found.domain == domain.name, (rule, severity)


@pytest.mark.parametrize(
    ("domain", "severity", "cause", "name"),
    [
        ("sand", 3, "sand.dredging_at_night", "sand.dredging"),
        ("sand", 2, "sand.dredger_silent", "sand.silent"),
        ("sand", 2, "", "sand.other"),
        ("water", 3, "water.flood_my_tho", "water.flood"),
        ("water", 1, "water.flood_my_tho", "water.flood_watch"),
        ("forest", 2, "", "general"),
        ("forest", 4, "", "general.critical"),
        ("", 1, "x", "general"),
    ],
)
def test_the_one_that_says_most_precisely_what_it_is_for_is_chosen(
    domain: str, severity: int, cause: str, name: str
) -> None:
    found = choose(SHIPPED.values(), domain=domain, severity=severity, cause=cause)
    assert found is not None and found.name == name


def test_one_that_is_switched_off_is_not_chosen() -> None:
    [one] = read_procedures(GOOD.replace("[[procedure.step]]", "enabled = false\n[[procedure.step]]"), "x").values()
    assert isinstance(one, Procedure) and choose([one], domain="", severity=1, cause="") is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[[procedure]]", "[[procedure", "not valid TOML"),
        (GOOD, "", "there is no procedure in it"),
        (GOOD, "procedure = 3", r"written as \[\[procedure\]\]"),
        (GOOD, GOOD + GOOD, "two procedures are called 'flood'"),
        ('"flood"', '"Flood one"', "not a name for a procedure"),
        (', en = "Flood"', "", "both languages"),
        ('en = "Flood"', 'en = " "', "1 to 200 letters"),
        ('role = "operator"', 'role = "boss"', "'boss' is not a role"),
        ('within = "1h"', "", "is not a length"),
        ('within = "1h"', 'within = "1h"\nclock = "sun"', "'sun' is not a clock"),
        ('within = "1h"', 'within = "0h"\nclock = "working"', "not more than nothing"),
        ('within = "1h"', 'within = "1h"\nunit = "Sở"', "is not a unit"),
        ('within = "1h"', 'within = "1h"\nafter = ["later"]', "comes after 'later', which is no step before it"),
        ('within = "1h"', 'within = "1h"\nafter = "look"', "list of texts"),
        ('within = "1h"', 'within = "1h"\ndone_when = "closed"', "does no step"),
        ('within = "1h"', 'within = "1h"\nattach = ["photo"]', "not an attachment"),
        ('within = "1h"', 'within = "1h"\ndeadline = "1h"', "'deadline' is not known here"),
        ('key = "look"', "", "not a key for a step"),
        ("[[procedure.step]]", 'severity = ["huge"]\n[[procedure.step]]', "'huge' is not a severity"),
        ("[[procedure.step]]", "steps = 1\n[[procedure.step]]", "'steps' is not known here"),
    ],
)
def test_a_file_that_does_not_hold_together_says_where(old: str, new: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as raised:
        read_procedures(GOOD.replace(old, new), "flood.toml")
    assert str(raised.value.where).startswith("flood.toml")


def test_the_check_of_a_file_tells_the_first_mistake(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("1h", "soon"))
    run = CliRunner()
    answer = run.invoke(build("procedures"), ["procedures", "check", str(good), "--json"])
    assert json.loads(answer.stdout) == {"ok": True, "procedures": {"flood": 1}}
    answer = run.invoke(build("procedures"), ["procedures", "check", str(bad)])
    assert answer.exit_code == 1 and isinstance(answer.exception, InputError)
    assert "procedure flood: step look: within" in str(answer.exception.where)


@pytest.mark.parametrize("template", ["task.new", "task.assigned", "task.late"])
def test_notices_about_tasks_have_words_in_both_languages(template: str) -> None:
    assert has(template)
    said = {"task": 3, "task_vi": "Xác minh", "task_en": "Verify", "title": "Ngập", "incident": 7, "severity": 3}
    said |= {
        "commune": "",
        "due": 1_800_000_000_000_000,
        "late": 1_800_000_000_000_000,
        "url": "/incidents/7",
    }
    for language, word in (("vi", "Xác minh"), ("en", "Verify")):
        title, body = render(template, language, {**said, "centre": "", "ack": ""})
        assert word in title and "15:00" in body and "7" in body, body

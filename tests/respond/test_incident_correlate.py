"""Correlation alone: what belongs together by domain, cause, place and time."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.clock import HOUR_US, MINUTE_US
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.kernel.store import Transaction, open_store
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.correlate import Found, Sign, Target, look_up, plan
from thap.respond.incidents.correlate_records import Candidate, CandidateRows
from thap.respond.incidents.model import Draft
from thap.respond.incidents.records import cell_of
from thap.respond.incidents.rules import OpeningRule, OpeningRules, Title, check_rule, packaged, read_rules

T = 1_700_000_000_000_000
RULE = OpeningRule(name="r", title=Title("{what}", "{what}"), window="1h")
NEAR = OpeningRule(name="near", title=Title("{what}", "{what}"), place="near", metres=1000.0, window="1h")


def sign(alarm: int, minutes: float = 0, **more: Any) -> Sign:
    known: dict[str, Any] = {"rule": RULE, "cause": "water.high", "place": "c:29869", **more}
    return Sign(alarm, "water", T + int(minutes * MINUTE_US), known.pop("calls", True), **known)


def groups(*signs: Sign, found: Found | None = None) -> list[int | None]:
    """Of each sign, the place of the first sign of its incident."""
    targets = plan(signs, found or Found({}, {}, {}))
    first: dict[int, int] = {}
    return [None if one is None else first.setdefault(id(one), n) for n, one in enumerate(targets)]


def candidate(number: int, minutes: float = 0, **more: Any) -> Candidate:
    at = T + int(minutes * MINUTE_US)
    return Candidate(
        **{
            **{"id": number, "began": at, "latest": at, "lon": None, "lat": None, "domain": "water"},
            **{"cause": "water.high", "place": "c:29869", "cell": None, **more},
        }
    )


def found(*candidates: Candidate, **linked: Candidate) -> Found:
    places: dict[Any, list[Candidate]] = {}
    cells: dict[Any, list[Candidate]] = {}
    for one in candidates:
        places.setdefault((one.domain, one.cause, one.place), []).append(one)
        cells.setdefault((one.domain, one.cause, one.cell), []).append(one)
    return Found({int(name[1:]): one for name, one in linked.items()}, places, cells)


def joined(one: Sign, there: Found) -> int | None:
    (target,) = plan([one], there)
    assert isinstance(target, Target)
    return target.id


def test_the_same_cause_at_the_same_place_within_the_window_belongs_together() -> None:
    assert groups(sign(1), sign(2, 30), sign(3, 89), sign(4, 150)) == [0, 0, 0, 3]


def test_another_place_cause_or_domain_is_another_incident() -> None:
    other = [sign(2, place="c:30259"), sign(3, cause="water.salt"), replace(sign(4), domain="rice")]
    assert groups(sign(1), *other) == [0, 1, 2, 3]


def test_an_alarm_raised_again_stays_where_it_belongs_however_late() -> None:
    assert groups(sign(1), sign(1, 500)) == [0, 0]
    assert joined(sign(1, 500), found(a1=candidate(9))) == 9


def test_what_comes_out_of_order_still_belongs() -> None:
    assert groups(sign(1, 100), sign(2, 50), sign(3, 160)) == [0, 0, 0]


def test_a_clear_reaches_the_incident_of_its_alarm_and_opens_none() -> None:
    clear = sign(1, 5, calls=False, rule=None)
    assert groups(sign(1), clear, sign(1, 6)) == [0, 0, 0]
    assert groups(clear) == [None]
    assert groups(sign(1, rule=None)) == [None]


def test_an_incident_of_a_cause_nobody_knows_takes_in_but_the_same_cause_goes_first() -> None:
    assert joined(sign(1), found(candidate(3, cause=""))) == 3
    assert joined(sign(1), found(candidate(3, 5, cause=""), candidate(2, -5))) == 2


def test_of_several_the_latest() -> None:
    assert joined(sign(1), found(candidate(1, -5), candidate(2, -3), candidate(3, -9))) == 2


def test_what_was_resolved_meanwhile_is_left_and_another_chosen() -> None:
    there = found(candidate(2, -5), candidate(3, -1))
    there.gone.add(3)
    assert joined(sign(1), there) == 2
    there.gone.add(2)
    assert joined(sign(1), there) is None
    linked = found(a1=candidate(7))
    linked.gone.add(7)
    assert joined(sign(1), linked) is None


def near(alarm: int, lon: float, lat: float, minutes: float = 0) -> Sign:
    return sign(alarm, minutes, rule=NEAR, lon=lon, lat=lat)


def test_by_distance_the_nearest_within_reach() -> None:
    metre = 1 / 111_320
    assert groups(near(1, 105.6, 10.4), near(2, 105.6, 10.4 + 900 * metre), near(3, 105.6, 10.4 - 1100 * metre)) == [
        *(0, 0, 2),
    ]
    close, far = ({"lon": 105.6, "lat": 10.4 + n * metre, "cell": cell_of(105.6, 10.4)} for n in (100, 800))
    assert joined(near(1, 105.6, 10.4), found(candidate(1, -30, **close), candidate(2, -1, **far))) == 1


def test_distance_looks_across_communes_and_a_border_of_cells() -> None:
    lon = math.floor(105.6 / 0.02) * 0.02
    one, other = near(1, lon - 0.001, 10.4), replace(near(2, lon + 0.001, 10.4), place="c:30259")
    assert cell_of(one.lon or 0, 10.4) != cell_of(other.lon or 0, 10.4)
    assert groups(one, other) == [0, 0]


@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 300), st.sampled_from(("c:1", "c:2")), st.booleans()), max_size=25
    )
)
def test_every_alarm_that_calls_gets_exactly_one_incident(steps: list[tuple[int, int, str, bool]]) -> None:
    signs = [sign(alarm, at, place=place, calls=calls) for alarm, at, place, calls in steps]
    targets = plan(signs, Found({}, {}, {}))
    for one, target in zip(signs, targets, strict=True):
        assert not one.calls or target is not None
        assert target is None or not one.calls or target.began <= one.time <= target.latest
    by_alarm: dict[int, set[int]] = {}
    for one, target in zip(signs, targets, strict=True):
        if target is not None:
            by_alarm.setdefault(one.alarm, set()).add(id(target))
    assert all(len(its) == 1 for its in by_alarm.values())


# Looking up, by index.


async def test_what_is_looked_up_is_what_may_be_joined(either: Records) -> None:
    store = open_store(either)
    book = IncidentBook(either, store, followers=())
    place = {"domain": "water", "commune": "29869", "lon": 105.6, "lat": 10.4, "time": T}
    for draft in (
        Draft("gần", cause="water.high", **place),  # type: ignore[arg-type]
        Draft("bằng tay", **place),  # type: ignore[arg-type]
        Draft("lâu rồi", cause="water.high", **{**place, "time": T - 3 * HOUR_US}),  # type: ignore[arg-type]
        Draft("miền khác", cause="water.high", **{**place, "domain": "rice"}),  # type: ignore[arg-type]
        Draft("xong", cause="water.high", **place),  # type: ignore[arg-type]
    ):
        await book.open(draft, "truc-ban")
    await book.resolve(5, "truc-ban")

    def work(tx: Transaction) -> tuple[list[int], list[int]]:
        there = look_up(CandidateRows(tx), [sign(1), near(2, 105.605, 10.4)])
        both = (there.places, there.cells)
        ids = [sorted(one.id for its in keys.values() for one in its) for keys in both]
        return ids[0], ids[1]

    assert await store.transact(work) == ([1, 2], [1, 2])
    await store.close()


# Rules.


def test_the_rules_that_come_with_the_program_hold_together() -> None:
    rules = OpeningRules(packaged())
    serious = rules.find("water", "water.high", 3)
    assert serious is not None
    assert serious.name == "serious"
    assert rules.find("water", "water.high", 2) is None
    centre = rules.find("", "system.unreachable", 2)
    assert centre is not None
    assert centre.unit_of("29869") == ""


def test_a_title_names_what_and_where_in_both_languages() -> None:
    rule = next(rule for rule in packaged() if rule.name == "serious")
    what = {"vi": "Mực nước vượt báo động", "en": "Water above alarm level"}
    assert rule.titles("my-thuan/level", "water.high", "29869", what) == {
        "vi": "Mực nước vượt báo động – Phường Cao Lãnh",
        "en": "Water above alarm level – Phường Cao Lãnh",
    }
    assert rule.titles("x", "water.high", "", {})["vi"] == "water.high"
    assert rule.titles("x", "water.high", "99999", {})["vi"] == "water.high – 99999"


TEXT = """
[[rule]]
name = "nuoc"
domains = ["water"]
conditions = ["water.*"]
cause = "flood"
unit = "so-nong-nghiep"
title.vi = "Ngập{where}"
title.en = "Flood{where}"
"""


def test_a_file_of_ones_own_goes_before_and_a_broken_one_stops_nobody(tmp_path: Path) -> None:
    file = tmp_path / "opening.toml"
    file.write_text(TEXT)
    rule = OpeningRules.gather(file, []).find("water", "water.high", 4)
    assert rule is not None
    assert (rule.name, rule.cause_of("water.high"), rule.unit_of("29869")) == ("nuoc", "flood", "so-nong-nghiep")
    file.write_text(TEXT[:60])
    rules = OpeningRules.gather(file, [{"name": "x", "enabled": True, "body": "{"}])
    assert [one.name for one in rules.rules] == [one.name for one in packaged()]


@pytest.mark.parametrize(
    "line",
    [
        'name = "A B"',
        "severity = 9",
        'place = "moon"',
        'place = "near"',
        "metres = 5",
        'place = "near"\nmetres = 20000',
        'window = "soon"',
        'window = "1000d"',
        'unit = "Sở"',
        'cause = "{source}"',
        'cause = "{condition.__class__}"',
        'cause = "{"',
        "conditions = []",
        "colour = 1",
    ],
)
def test_a_rule_that_does_not_hold_together_is_refused(line: str) -> None:
    name = line.partition(" ")[0]
    kept = [one for one in TEXT.splitlines() if not one.startswith(f"{name} ")]
    with pytest.raises(InputError):
        read_rules("\n".join([*kept, line]), "mine")


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="two rules"):
        read_rules(TEXT + TEXT, "mine")
    assert check_rule(read_rules(TEXT, "mine")[0]).name == "nuoc"

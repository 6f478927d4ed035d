"""The sowing window after a flight: its days, what stands against it, and its reason in both languages."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from thap.domains.domain import domain
from thap.domains.parameters import shipped_parameters
from thap.domains.rice.risk import risks_of
from thap.domains.rice.sowing import Level, plan_sowing
from thap.domains.rice.steps import Act, State, allowed

PARAMETERS = shipped_parameters(domain("rice"))
PEAK = date(2026, 4, 20)
ZONE: dict[str, Any] = {"name": "Tiểu vùng Một", "saline_from": "", "saline_to": "", "flood_from": "", "flood_to": ""}
NEXT = (date(2026, 5, 12), date(2026, 5, 14), date(2026, 5, 18))


def plan(**more: Any) -> Any:
    given = {"today": PEAK, **more}
    return plan_sowing({**ZONE, **given.pop("zone", {})}, PEAK, PARAMETERS, **given)


def test_the_window_is_the_peak_and_five_to_seven_nights() -> None:
    found = plan(highest=81, next_flight=NEXT)
    assert (found.sow_from, found.sow_to, found.conflicts) == (date(2026, 4, 25), date(2026, 4, 27), ())
    assert "đỉnh đêm 20/04 (cao nhất 81 con/bẫy/đêm)" in found.reason["vi"] and "17 ngày tuổi" in found.reason["vi"]
    assert "25/04 to 27/04/2026" in found.reason["en"]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"zone": {"saline_from": "02-15", "saline_to": "05-31"}}, "salinity_calendar"),
        ({"zone": {"flood_from": "11-01", "flood_to": "04-26"}}, "flood_calendar"),  # across New Year
        ({"levels": [Level("a", "Cống A", "salinity", 1.4, PEAK)]}, "salinity"),
        ({"levels": [Level("a", "Trạm A", "water_level", 1.75, PEAK, True, 1.9)]}, "water"),
        ({"crops": [{"sown": "2026-02-10", "days": 95, "area_ha": 100.0}]}, "crop"),
        ({"today": date(2026, 5, 1)}, "past"),
        ({"window": (date(2026, 5, 4), date(2026, 5, 6)), "next_flight": NEXT}, "next_flight"),
        ({"window": (PEAK, PEAK + timedelta(days=1))}, "next_flight"),
    ],
)
def test_what_stands_against_a_window_is_said_in_both_languages(more: dict[str, Any], kind: str) -> None:
    found = plan(**more)
    assert [one.kind for one in found.conflicts] == [kind]
    assert found.conflicts[0].text["vi"] in found.reason["vi"] and found.conflicts[0].text["en"] in found.reason["en"]


@pytest.mark.parametrize(
    "level",
    [Level("a", "A", "salinity", 0.9, PEAK), Level("a", "A", "water_level", 1.6, PEAK, False, 1.9),
     Level("a", "A", "water_level", 9.0, PEAK)],
)  # fmt: skip
def test_water_that_is_sweet_low_or_of_unknown_alarm_says_nothing(level: Level) -> None:
    assert plan(levels=[level]).conflicts == ()


def test_nothing_is_published_that_was_not_approved_and_what_is_published_is_not_edited() -> None:
    assert allowed(State.DRAFT, Act.PUBLISH) is None and allowed(State.PUBLISHED, Act.EDIT) is None
    assert allowed(State.APPROVED, Act.EDIT) is None and allowed(State.WITHDRAWN, Act.APPROVE) is None
    assert [allowed(State.DRAFT, act) for act in (Act.APPROVE, Act.WITHDRAW)] == [State.APPROVED, State.WITHDRAWN]


@pytest.mark.parametrize(
    ("catch", "age", "level"), [(1500, 30, 3), (500, 30, 2), (250, 30, 1), (249, 30, 0), (1500, 85, 2), (500, 85, 1)]
)
def test_the_risk_follows_the_catch_and_is_lessened_where_rice_ripens(catch: float, age: int, level: int) -> None:
    zone = {"id": 1, "communes": ["29869"]}
    crop = {"zone_id": 1, "sown": (PEAK - timedelta(days=age)).isoformat(), "days": 95, "area_ha": 10.0}
    (found,) = risks_of([zone], [crop], [], {1: catch}, PARAMETERS, PEAK)
    assert found.level == level

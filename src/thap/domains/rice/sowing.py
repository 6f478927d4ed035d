"""When a zone should sow after a flight ("gieo sạ né rầy"), what stands against it, and why, in plain words.

The window is the peak night plus `sow_from_nights` to `sow_until_nights` (parameters), one for the whole irrigation
zone: what sprouts then meets neither the adults that flew in nor, while it is very young, their offspring. Nothing here
reads records: `thap.domains.rice.advice` hands in what is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

__all__ = ["Conflict", "Level", "Plan", "plan_sowing"]

Text = Mapping[str, str]
_PARAMETERS = ("sow_from_nights", "sow_until_nights", "sow_salinity_g_l", "sow_water_margin_m")
_YOUNG_DAYS = 20
"""Rice younger than this cannot make up for what planthoppers suck. Recalled from practice of the delta."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a water station says that speaks for a zone: measured, or expected."""

    station: str
    title: str
    what: str
    """salinity (g/l) or water_level (m)."""
    value: float
    day: date
    expected: bool = False
    """Whether it is a forecast."""
    alarm: float | None = None
    """Of a water level: the station's alarm I, m, where known."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something that stands against sowing in the window."""

    kind: str
    """salinity_calendar, salinity, flood_calendar, water, crop, past or next_flight."""
    severity: str
    """stop, or mind: the officer decides either way."""
    text: Text

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "severity": self.severity, "text": dict(self.text)}


@dataclass(frozen=True, slots=True)
class Plan:
    """A window and what is to be known of it."""

    peak: date
    sow_from: date
    sow_to: date
    conflicts: tuple[Conflict, ...]
    reason: Text
    parameters: Mapping[str, float]
    """Those it was reckoned with."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "peak": self.peak.isoformat(),
            "sow_from": self.sow_from.isoformat(),
            "sow_to": self.sow_to.isoformat(),
            "conflicts": [one.as_dict() for one in self.conflicts],
            "reason": dict(self.reason),
            "parameters": dict(self.parameters),
        }


def plan_sowing(
    zone: Mapping[str, Any],
    peak: date,
    parameters: Mapping[str, float],
    *,
    today: date,
    window: tuple[date, date] | None = None,
    highest: float | None = None,
    next_flight: tuple[date, date, date] | None = None,
    crops: Iterable[Mapping[str, Any]] = (),
    levels: Iterable[Level] = (),
) -> Plan:
    """The sowing window of a zone after a flight.

    Args:
        zone: row of `rice_zones`.
        peak: night of the flight's peak.
        parameters: of the domain.
        today: to tell what is over.
        window: first and last day, where a person tries others (what-if); else peak + the nights of the parameters.
        highest: the most a trap caught in a night of the flight.
        next_flight: early, expected and late day of the next flight.
        crops: of the zone that still stand.
        levels: what water stations say.
    """
    begin = peak + timedelta(days=round(parameters["sow_from_nights"]))
    end = peak + timedelta(days=round(max(parameters["sow_until_nights"], parameters["sow_from_nights"])))
    if window is not None:
        begin, end = min(window), max(window)
    found = [
        *_calendar(zone, begin, end),
        *_measured(levels, parameters, begin),
        *_standing(crops, begin),
        *_insects(peak, begin, end, next_flight, parameters, moved=window is not None),
    ]
    if end < today:
        found.append(_conflict("past", "stop", "thời gian này đã qua", "these days are over"))
    reason = _reason(zone, peak, begin, end, highest, next_flight, found)
    return Plan(peak, begin, end, tuple(found), reason, {name: parameters[name] for name in _PARAMETERS})


def _conflict(kind: str, severity: str, vi: str, en: str) -> Conflict:
    return Conflict(kind, severity, {"vi": vi, "en": en})


def _calendar(zone: Mapping[str, Any], begin: date, end: date) -> Iterable[Conflict]:
    for kind, vi, en in (("saline", "mùa xâm nhập mặn", "salt water"), ("flood", "mùa lũ", "flood")):
        first, last = zone[f"{kind}_from"], zone[f"{kind}_to"]
        if first and last and any(_within(day, first, last) for day in _days(begin, end)):
            said = f"{_md(first)}–{_md(last)}"
            name = "salinity_calendar" if kind == "saline" else "flood_calendar"
            yield _conflict(
                name, "stop", f"trùng {vi} của tiểu vùng ({said})", f"falls into the zone's season of {en} ({said})"
            )


def _measured(levels: Iterable[Level], parameters: Mapping[str, float], begin: date) -> Iterable[Conflict]:
    line = parameters["sow_salinity_g_l"]
    for one in levels:
        day = f"{one.day:%d/%m}"
        vi = ("dự báo " if one.expected else "") + ("độ mặn" if one.what == "salinity" else "mực nước")
        en = ("expected " if one.expected else "") + ("salinity" if one.what == "salinity" else "water")
        if one.what == "salinity" and one.value >= line:
            yield _conflict(
                "salinity",
                "stop",
                f"{vi} tại {one.title} {_number(one.value)} g/l ({day}), từ {_number(line)} g/l không gieo sạ được",
                f"{en} at {one.title} {one.value:g} g/l ({day}); from {line:g} g/l on nothing is sown",
            )
        margin = parameters["sow_water_margin_m"]
        if one.what == "water_level" and one.alarm is not None and one.value >= one.alarm - margin:
            yield _conflict(
                "water",
                "stop" if one.value >= one.alarm else "mind",
                f"{vi} tại {one.title} {_number(one.value)} m ({day}), báo động I là {_number(one.alarm)} m",
                f"{en} at {one.title} {one.value:g} m ({day}); alarm I is {one.alarm:g} m",
            )


def _standing(crops: Iterable[Mapping[str, Any]], begin: date) -> Iterable[Conflict]:
    late = []
    for crop in crops:
        ready = date.fromisoformat(crop["sown"]) + timedelta(days=crop["days"])
        if date.fromisoformat(crop["sown"]) < begin < ready + timedelta(days=14):
            late.append((ready, float(crop["area_ha"])))
    if late:
        area, ready = sum(area for _, area in late), max(ready for ready, _ in late)
        yield _conflict(
            "crop",
            "mind",
            f"{_number(area)} ha lúa vụ trước thu hoạch đến {ready:%d/%m}, đất cần ít nhất 2 tuần cách ly",
            f"{area:g} ha of the crop before are harvested until {ready:%d/%m}; the soil needs two weeks of rest",
        )


def _insects(
    peak: date,
    begin: date,
    end: date,
    next_flight: tuple[date, date, date] | None,
    parameters: Mapping[str, float],
    *,
    moved: bool,
) -> Iterable[Conflict]:
    if next_flight is not None:
        early, expected, _ = next_flight
        age = (early - end).days
        if age < _YOUNG_DAYS and moved:
            yield _conflict(
                "next_flight",
                "stop" if age < _YOUNG_DAYS // 2 else "mind",
                f"đợt rầy kế tiếp có thể đến từ {early:%d/%m} (dự kiến {expected:%d/%m}), lúa gieo ngày {end:%d/%m} "
                f"mới {max(0, age)} ngày tuổi",
                f"the next flight may come from {early:%d/%m} on (expected {expected:%d/%m}), when rice sown on "
                f"{end:%d/%m} is {max(0, age)} days old",
            )
    if moved and begin < peak + timedelta(days=round(parameters["sow_from_nights"])):
        yield _conflict(
            "next_flight",
            "mind",
            "sớm hơn thời gian khuyến cáo: rầy trưởng thành của đợt này còn đẻ trứng trên lúa mới mọc",
            "earlier than advised: adults of this flight still lay eggs on what sprouts",
        )


def _reason(
    zone: Mapping[str, Any],
    peak: date,
    begin: date,
    end: date,
    highest: float | None,
    next_flight: tuple[date, date, date] | None,
    conflicts: Sequence[Conflict],
) -> Text:
    vi = [f"Rầy nâu vào đèn rộ tại {zone['name']}, đỉnh đêm {peak:%d/%m}"]
    en = [f"Planthoppers came to the light in numbers at {zone['name']}, most in the night of {peak:%d/%m}"]
    if highest is not None:
        vi[0] += f" (cao nhất {_number(highest)} con/bẫy/đêm)"
        en[0] += f" (at most {highest:,.0f} a trap and night)"
    vi.append(
        f"Gieo sạ đồng loạt từ {begin:%d/%m} đến {end:%d/%m/%Y}: lúa mọc sau khi rầy trưởng thành của đợt này đã tàn, "
        "nên không bị chích hút, truyền bệnh vàng lùn – lùn xoắn lá khi còn non"
    )
    en.append(
        f"Sow all at once from {begin:%d/%m} to {end:%d/%m/%Y}: the rice sprouts when the adults of this flight are "
        "gone, so none suck on it, or bring grassy and ragged stunt, while it is young"
    )
    if next_flight is not None:
        age = max(0, (next_flight[1] - end).days)
        vi.append(f"Đợt rầy kế tiếp dự kiến khoảng {next_flight[1]:%d/%m}, khi đó lúa được chừng {age} ngày tuổi")
        en.append(f"The next flight is expected about {next_flight[1]:%d/%m}, when the rice is some {age} days old")
    if conflicts:
        vi.append("Cần cân nhắc: " + "; ".join(one.text["vi"] for one in conflicts))
        en.append("To be weighed: " + "; ".join(one.text["en"] for one in conflicts))
    return {"vi": ". ".join(vi) + ".", "en": ". ".join(en) + "."}


def _days(begin: date, end: date) -> Iterable[date]:
    for n in range(min(60, (end - begin).days + 1)):
        yield begin + timedelta(days=n)


def _within(day: date, first: str, last: str) -> bool:
    at = f"{day:%m-%d}"
    return first <= at <= last if first <= last else at >= first or at <= last


def _md(text: str) -> str:
    month, day = text.split("-")
    return f"{day}/{month}"


def _number(value: float) -> str:
    """As Vietnamese write it: 1.200,5."""
    text = f"{value:,.1f}".removesuffix(".0") if value < 100 else f"{value:,.0f}"
    return text.replace(",", " ").replace(".", ",").replace(" ", ".")

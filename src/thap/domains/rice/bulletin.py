"""What the weekly bulletin says: tables drawn from the records, and sentences that a person then edits.

`gather` gives plain values (they are archived as they are), `draft` the sentences. The wording follows the province's
own bulletins: "rầy nâu vào đèn phổ biến 02–81 con/bẫy/đêm, cao nhất 81 con đêm 20/4".
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import sqlalchemy as sa

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.rice.advice import advice_of, flights_of
from thap.domains.rice.pests import PESTS, STAGES
from thap.domains.rice.records import DOMAIN_NAME, advice, predictions, surveys, zones
from thap.domains.rice.registers import crops_of, weather_of, zones_of
from thap.domains.rice.risk import risks_of
from thap.domains.rice.seasons import cohorts_of, stages_on
from thap.domains.rice.surveys import surveys_of, week_of
from thap.domains.rice.traps import counts_of, load_traps, nights_of, read_series, traps_by_zone
from thap.kernel.history.lake import Lake
from thap.kernel.records import Records

__all__ = ["SECTIONS", "draft", "gather", "number_vi", "words"]

Data = dict[str, Any]
SECTIONS = ("weather", "crops", "traps", "pests", "forecast", "advice")
"""Those that have words of their own; the map has none."""
_WHOLE = "Toàn tỉnh"
_FEW = 3
"""So many zones are named one by one; of more the table tells."""


@cache
def words() -> Data:
    """The fixed words."""
    text = resources.files("thap.domains.rice").joinpath("messages/bulletin.vi.toml").read_text("utf-8")
    return tomllib.loads(text)


def number_vi(value: float | None, digits: int = 0) -> str:
    """A number as Vietnamese write it: 1.200,5; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}"
    if digits and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", " ").replace(".", ",").replace(" ", ".")


def day_vi(text: str, *, year: bool = False) -> str:
    """20/4 of 2026-04-20; 20/04/2026 with the year."""
    day = date.fromisoformat(text)
    return f"{day:%d/%m/%Y}" if year else f"{day.day}/{day.month}"


async def gather(records: Records, lake: Lake | None, week: date, *, pest: str = "bph") -> Data:
    """What the records say of a week, as plain values.

    Args:
        records: of the centre.
        lake: its history; None where there is none yet.
        week: its Monday.
        pest: that of the traps.
    """
    end = week + timedelta(days=6)
    async with records.read() as connection:
        parameters = await load_parameters(connection, domain(DOMAIN_NAME))
        every = await zones_of(connection)
        standing = await crops_of(connection, standing=end)
        pests = await week_of(connection, week)
        planthoppers = await surveys_of(
            connection,
            sa.and_(surveys.c.pest.in_(["bph", "wbph"]), surveys.c.surveyed >= (end - timedelta(days=13)).isoformat()),
            limit=5000,
        )
        planthoppers = [row for row in planthoppers if row["surveyed"] <= end.isoformat()]
        traps = await load_traps(connection)
        counts = await counts_of(connection, since=week - timedelta(days=7))
        flights = [
            row
            for row in await flights_of(connection, since=week - timedelta(days=35))
            if row["peak"] <= end.isoformat()
        ]
        windows = []
        for zone in every:
            own = [row for row in flights if row["zone_id"] == zone["id"]][:1]
            for flight, cohort in await cohorts_of(connection, zone["code"], own, parameters):
                windows.append(_window(zone, flight, cohort))
        rows = await connection.execute(
            sa.select(predictions, zones.c.code.label("zone"))
            .join_from(predictions, zones)
            .where(predictions.c.pest == pest)
        )
        expected = [dict(row) for row in rows.mappings()]
        advised = await advice_of(connection, advice.c.state.in_(["approved", "published"]))
        weather = await _weather(connection, every, week, end)
    mine = traps_by_zone(every, traps)
    nights = [] if lake is None else await asyncio.to_thread(_nights, lake, traps, counts, pest, week, end)
    caught = {
        zone["id"]: max((row["value"] for row in nights if row["trap"] in {trap.name for trap in mine[zone["id"]]}
                         and row["night"] >= week.isoformat()), default=None)
        for zone in every
    }  # fmt: skip
    catches = {number: value for number, value in caught.items() if value is not None}
    return {
        "week": week.isoformat(),
        "end": end.isoformat(),
        "weather": weather,
        "stages": _stages(standing, end),
        "traps": _traps(nights, week, len(traps)),
        "pests": [_pest_row(key, row) for key, row in pests.items()],
        "windows": windows,
        "predictions": _predictions(expected, end),
        "advice": [
            {key: row[key] for key in ("id", "zone", "zone_name", "peak", "sow_from", "sow_to", "state")}
            for row in advised
            if row["sow_to"] >= week.isoformat()
        ],
        "risks": [one.as_dict() for one in risks_of(every, standing, planthoppers, catches, parameters, end)],
        "places": [{"name": trap.name, "lon": trap.lon, "lat": trap.lat} for trap in traps if trap.lon is not None],
        "parameters": {name: parameters[name] for name in sorted(parameters)},
        "parameters_version": parameters.version,
    }


async def _weather(connection: Any, every: Sequence[Data], week: date, end: date) -> list[Data]:
    found = []
    seen: set[tuple[Any, ...]] = set()
    for place, name in [("", _WHOLE), *((zone["code"], zone["name"]) for zone in every)]:
        rows = await weather_of(connection, place, week, end, kinds=("observed",))
        rows = [row for row in rows if row["place"] == place]
        if not rows:
            continue
        one = {
            "place": name,
            "low_c": _of(min, rows, "low_c"),
            "high_c": _of(max, rows, "high_c"),
            "rain_mm": _of(sum, rows, "rain_mm"),
            "humidity": _of(lambda values: sum(values) / len(values), rows, "humidity"),
            "days": len(rows),
        }
        key = tuple(one[name] for name in ("low_c", "high_c", "rain_mm", "humidity"))
        if key not in seen:
            seen.add(key)
            found.append(one)
    return found


def _of(reduce: Any, rows: Sequence[Data], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return round(float(reduce(values)), 1) if values else None


def _stages(standing: Sequence[Data], day: date) -> list[Data]:
    found = []
    for season in sorted({row["season"] for row in standing}):
        stages = stages_on([row for row in standing if row["season"] == season], day)
        found += [{"season": season, "stage": key, "ha": stages[key]} for key in STAGES if stages.get(key)]
    return found


def _nights(lake: Lake, traps: Sequence[Any], counts: Sequence[Data], pest: str, week: date, end: date) -> list[Data]:
    """Nights counted in the week and the one before."""
    since = week - timedelta(days=7)
    series = read_series(lake, [trap.species[pest] for trap in traps if pest in trap.species], since, end)
    return [
        {"trap": trap.name, "title": trap.title, "night": one.night.isoformat(), "value": one.value}
        for trap in traps
        if pest in trap.species
        for one in nights_of(trap, pest, series, counts, since, end)
        if one.value is not None
    ]


def _traps(nights: Sequence[Data], week: date, traps: int) -> Data:
    now = [row for row in nights if row["night"] >= week.isoformat()]
    before = [row["value"] for row in nights if row["night"] < week.isoformat()]
    if not now:
        return {"counted": 0, "traps": traps}
    values = np.array([row["value"] for row in now])
    highest = max(now, key=lambda row: (row["value"], row["night"]))
    return {
        "counted": len({row["trap"] for row in now}),
        "traps": traps,
        "nights": len(now),
        "low": float(np.quantile(values, 0.1)),
        "high": float(np.quantile(values, 0.9)),
        "mean": float(values.mean()),
        "mean_before": float(np.mean(before)) if before else None,
        "highest": highest["value"],
        "highest_night": highest["night"],
        "highest_trap": highest["title"],
    }


def _pest_row(key: str, row: Data) -> Data:
    pest = PESTS[key]
    return {"pest": key, "title": pest.title["vi"], "unit": pest.unit, **row}


def _window(zone: Data, flight: Data, cohort: Any) -> Data:
    told = {event: (one.early.isoformat(), one.late.isoformat()) for event, one in cohort.windows.items()}
    return {
        "zone": zone["code"],
        "zone_name": zone["name"],
        "peak": flight["peak"],
        "highest": flight["highest"],
        "origin": flight["origin"],
        "nymph": told["spray"],
        "next": told["next_flight"],
    }


def _predictions(rows: Sequence[Data], end: date) -> list[Data]:
    """The province's: the mean over zones, week by week."""
    weeks: dict[str, list[Data]] = {}
    for row in rows:
        if row["target"] > end.isoformat():
            weeks.setdefault(row["target"], []).append(row)
    return [
        {
            "target": target,
            **{name: float(np.mean([row[name] for row in found])) for name in ("value", "low", "high")},
            "zones": len(found),
        }
        for target, found in sorted(weeks.items())
    ]


def draft(data: Data) -> dict[str, str]:
    """The sentences of each section, for a person to edit."""
    said = words()["sentence"]
    return {
        "weather": _say_weather(data["weather"], said),
        "crops": _say_crops(data["stages"], said),
        "traps": _say_traps(data["traps"], said),
        "pests": _say_pests(data["pests"], said),
        "forecast": _say_forecast(data, said),
        "advice": _say_advice(data, said),
    }


def _say_weather(rows: Sequence[Data], said: Mapping[str, str]) -> str:
    if not rows:
        return said["weather_none"]
    first = rows[0]
    return said["weather"].format(
        low=number_vi(first["low_c"], 1),
        high=number_vi(first["high_c"], 1),
        rain=number_vi(first["rain_mm"], 1),
        humidity=number_vi(first["humidity"]),
    )


def _say_crops(rows: Sequence[Data], said: Mapping[str, str]) -> str:
    if not rows:
        return said["crops_none"]
    stages: dict[str, float] = {}
    for row in rows:
        stages[row["stage"]] = stages.get(row["stage"], 0.0) + row["ha"]
    parts = [f"{STAGES[key][0].lower()} {number_vi(stages[key])} ha" for key in STAGES if key in stages]
    return said["crops"].format(area=number_vi(sum(stages.values())), stages=", ".join(parts))


def _say_traps(told: Data, said: Mapping[str, str]) -> str:
    if not told["counted"]:
        return said["traps_none"]
    text = said["traps"].format(
        low=f"{round(told['low']):02d}",
        high=number_vi(told["high"]),
        highest=number_vi(told["highest"]),
        night=day_vi(told["highest_night"]),
        trap=told["highest_trap"],
    )
    if told["mean_before"]:
        share = 100 * (told["mean"] / told["mean_before"] - 1)
        word = said["more"] if share >= 0.5 else said["less"] if share <= -0.5 else said["same"]
        text += " " + said["traps_change"].format(word=word, share=number_vi(abs(share)))
    return text


def _say_pests(rows: Sequence[Data], said: Mapping[str, str]) -> str:
    total = sum(row["total_ha"] for row in rows)
    if not rows or not (total or any(row["total_before"] for row in rows)):
        return said["pests_none"]
    known = [row["change_ha"] for row in rows if row["change_ha"] is not None]
    change = sum(known)
    told = said["change_none"] if not known else (said["change_up"] if change >= 0 else said["change_down"])
    parts = [
        (said["pest_heavy"] if row["heavy_ha"] else said["pest"]).format(
            title=row["title"].lower(), area=number_vi(row["total_ha"], 1), heavy=number_vi(row["heavy_ha"], 1)
        )
        for row in rows
        if row["total_ha"]
    ]
    return said["pests"].format(
        total=number_vi(total, 1), change=told.format(area=number_vi(abs(change), 1)), list="; ".join(parts) or "–"
    )


def _say_forecast(data: Data, said: Mapping[str, str]) -> str:
    coming = [row for row in data["windows"] if row["next"][1] > data["end"]]
    parts = [
        said["forecast_flight"].format(
            zone=row["zone_name"],
            nymph_from=day_vi(row["nymph"][0]),
            nymph_to=day_vi(row["nymph"][1]),
            next_from=day_vi(row["next"][0]),
            next_to=day_vi(row["next"][1]),
        )
        for row in coming
    ]
    text = ". ".join(parts) + "." if parts else ""
    if len(coming) > _FEW:
        text = said["forecast_zones"].format(
            nymph_from=day_vi(min(row["nymph"][0] for row in coming)),
            nymph_to=day_vi(max(row["nymph"][1] for row in coming)),
            next_from=day_vi(min(row["next"][0] for row in coming)),
            next_to=day_vi(max(row["next"][1] for row in coming)),
        )
    for row in data["predictions"][:1]:
        text += " " + said["forecast_count"].format(
            week=day_vi(row["target"]), value=number_vi(row["value"]), low=number_vi(row["low"]),
            high=number_vi(row["high"]),
        )  # fmt: skip
    return text.strip() or said["forecast_none"]


def _say_advice(data: Data, said: Mapping[str, str]) -> str:
    parts = [
        said["advice"].format(zone=row["zone_name"], begin=day_vi(row["sow_from"]), end=day_vi(row["sow_to"]))
        for row in data["advice"]
    ] or [said["advice_none"]]
    until = (date.fromisoformat(data["end"]) + timedelta(days=7)).isoformat()
    spraying = [
        f"{row['zone_name']} ({day_vi(row['nymph'][0])}–{day_vi(row['nymph'][1])})"
        for row in data["windows"]
        if row["nymph"][0] <= until and row["nymph"][1] > data["end"]
    ]
    if spraying:
        light = number_vi(data["parameters"]["class_planthopper_light"])
        parts.append(said["advice_spray"].format(light=light, zones=", ".join(spraying)))
    return " ".join(parts)

"""What the office's first screen shows: each zone with its flights, catches, windows, forecast and advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.advice import advice_of, flights_of
from thap.domains.rice.records import predictions, surveys
from thap.domains.rice.registers import crops_of, zones_of
from thap.domains.rice.risk import LEVELS, risks_of
from thap.domains.rice.seasons import cohorts_of, stages_on
from thap.domains.rice.surveys import surveys_of
from thap.domains.rice.traps import Trap
from thap.kernel.places_records import polygons

__all__ = ["overview_of", "risk_geojson", "zone_risks"]

Row = dict[str, Any]
_FLIGHTS = 3
_ZONE = ("code", "name", "commune", "communes", "lon", "lat", "area_ha", "version")
_FLIGHT = ("id", "peak", "first", "last", "highest", "common", "origin", "confounders", "traps", "counted")
_ADVICE = ("id", "state", "peak", "sow_from", "sow_to", "conflicts", "version")


async def overview_of(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool],
    traps: Mapping[int, Sequence[Trap]],
    caught: Mapping[str, Row],
    parameters: Mapping[str, float],
    day: date,
    survey_where: sa.ColumnElement[bool],
) -> list[Row]:
    """Zones that the reader may see, by code.

    Args:
        connection: to the records.
        where: on zones.
        traps: by zone.
        caught: by trap: value and night of the newest count.
        parameters: of the domain.
        day: today.
        survey_where: on surveys.
    """
    every = await zones_of(connection, where)
    standing = await crops_of(connection, where, standing=day)
    flights = await flights_of(connection, where, since=day - timedelta(days=120))
    advised = await advice_of(connection, where)
    rows = await connection.execute(sa.select(predictions).order_by(predictions.c.target))
    expected = [dict(row) for row in rows.mappings()]
    risks = {
        one["commune"]: one
        for one in await zone_risks(connection, where, traps, caught, parameters, day, "", survey_where)
    }
    found = []
    for zone in every:
        number = zone["id"]
        own = [row for row in flights if row["zone_id"] == number][:_FLIGHTS]
        cohorts = await cohorts_of(connection, zone["code"], own, parameters)
        crops = [row for row in standing if row["zone_id"] == number]
        values = [caught[trap.name]["value"] for trap in traps.get(number, ()) if trap.name in caught]
        current = next((row for row in advised if row["zone_id"] == number and row["state"] != "withdrawn"), None)
        levels = [risks[code]["level"] for code in zone["communes"] if code in risks]
        found.append(
            {
                **{key: zone[key] for key in _ZONE},
                "traps": [
                    {"name": trap.name, "title": trap.title, **caught.get(trap.name, {"value": None, "night": None})}
                    for trap in traps.get(number, ())
                ],
                "catch": max(values, default=None),
                "risk": max(levels, key=LEVELS.index, default="none"),
                "stages": stages_on(crops, day),
                "crops_ha": sum(row["area_ha"] for row in crops),
                "flights": [
                    {**{key: flight[key] for key in _FLIGHT}, **cohort.as_dict(), "stage": cohort.stage_on(day)}
                    for flight, cohort in cohorts
                ],
                "predictions": [
                    {key: row[key] for key in ("target", "horizon_weeks", "value", "low", "high")}
                    for row in expected
                    if row["zone_id"] == number
                ],
                "advice": None if current is None else {key: current[key] for key in _ADVICE},
            }
        )
    return found


async def zone_risks(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool],
    traps: Mapping[int, Sequence[Trap]],
    caught: Mapping[str, Row],
    parameters: Mapping[str, float],
    day: date,
    stage: str,
    survey_where: sa.ColumnElement[bool],
) -> list[Row]:
    """The risk of every commune with a zone that the reader may see."""
    every = await zones_of(connection, where)
    standing = await crops_of(connection, where, standing=day)
    recent = sa.and_(
        surveys.c.pest.in_(["bph", "wbph"]),
        surveys.c.surveyed >= (day - timedelta(days=14)).isoformat(),
        survey_where,
    )
    said = await surveys_of(connection, recent, limit=5000)
    catches = {}
    for zone in every:
        values = [
            caught[trap.name]["week"]
            for trap in traps.get(zone["id"], ())
            if caught.get(trap.name, {}).get("week") is not None
        ]
        if values:
            catches[zone["id"]] = max(values)
    return [one.as_dict() for one in risks_of(every, standing, said, catches, parameters, day, stage)]


async def risk_geojson(connection: AsyncConnection, risks: Sequence[Row], titles: Mapping[str, str]) -> Row:
    """Risks as outlines of communes: a FeatureCollection. Communes without an outline are left out."""
    import shapely

    outlines = await polygons(connection)
    features = []
    for one in risks:
        wkb = outlines.get(one["commune"])
        if wkb is None:
            continue
        shape = shapely.simplify(shapely.from_wkb(wkb), 0.0005)
        features.append(
            {
                "type": "Feature",
                "properties": {**one, "title": titles.get(one["commune"], one["commune"])},
                "geometry": shapely.geometry.mapping(shape),
            }
        )
    return {"type": "FeatureCollection", "features": features}

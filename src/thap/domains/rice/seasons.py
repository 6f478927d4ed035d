"""What the records say of temperatures, crops and flights of a zone: the dated windows of its cohorts, its stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.biology import Biology, Cohort, Temperatures, cohort
from thap.domains.rice.pests import stage_on
from thap.domains.rice.registers import weather_of
from thap.kernel.errors import InputError

__all__ = ["cohorts_of", "stages_on", "temperatures_of"]

Row = dict[str, Any]
_BEFORE, _AFTER = 30, 60


async def temperatures_of(
    connection: AsyncConnection, zone: str, around: date, parameters: Mapping[str, float]
) -> Temperatures:
    """Temperatures of a zone about a day: observed, then forecast; where none are known, the parameters' for all days.

    Args:
        connection: to the records.
        zone: its code.
        around: from a month before to two months after.
        parameters: of the domain.
    """
    first, last = around - timedelta(days=_BEFORE), around + timedelta(days=_AFTER)
    known = {row["day"]: row for row in await weather_of(connection, zone, first, last)}
    low, high = np.full((last - first).days + 1, math.nan), np.full((last - first).days + 1, math.nan)
    for at in range(len(low)):
        row = known.get((first + timedelta(days=at)).isoformat())
        if row is not None and (row["low_c"] is not None or row["high_c"] is not None):
            low[at] = row["low_c"] if row["low_c"] is not None else row["high_c"]
            high[at] = row["high_c"] if row["high_c"] is not None else row["low_c"]
    if not np.isfinite(low).any():  # nothing is known: the delta's usual day, before all that is asked for
        return Temperatures(
            first - timedelta(days=1), np.array([parameters["usual_low_c"]]), np.array([parameters["usual_high_c"]])
        )
    return Temperatures(first, low, high)


async def cohorts_of(
    connection: AsyncConnection, zone: str, flights: Sequence[Row], parameters: Mapping[str, float]
) -> list[tuple[Row, Cohort]]:
    """Each of a zone's flights with the windows of its offspring; one that cannot be reckoned is left out."""
    biology = Biology.of(parameters)
    found = []
    for flight in flights:
        peak = date.fromisoformat(flight["peak"])
        try:
            found.append((flight, cohort(peak, await temperatures_of(connection, zone, peak, parameters), biology)))
        except InputError:
            continue
    return found


def stages_on(crops: Sequence[Row], day: date) -> dict[str, float]:
    """Hectares by stage of crops that stand on a day."""
    found: dict[str, float] = {}
    for crop in crops:
        stage = stage_on(date.fromisoformat(crop["sown"]), day, crop["days"])
        if stage and stage != "harvested":
            found[stage] = found.get(stage, 0.0) + crop["area_ha"]
    return found

"""The index of the air of each station, out of hours of its pollutants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thap.domains.water.aqi import Daily, Hourly, class_of, daily, hourly
from thap.domains.water.history import Hours
from thap.kernel.clock import HOUR_US

__all__ = ["air_rows"]

_MILLIGRAMS = ("mg/m³", "mg/m3")
_SHOWN_H = 48


def air_rows(rows: Sequence[Any], series: Mapping[int, Hours]) -> list[dict[str, Any]]:
    """What is kept of each station: its newest index, and those of two days.

    Args:
        rows: datastreams of pollutants, with their things.
        series: their hours, which begin at whole hours.
    """
    things: dict[str, list[Any]] = {}
    for row in rows:
        if row.id in series:
            things.setdefault(row.thing, []).append(row)
    made = []
    for thing, mine in things.items():
        first = min(int(series[row.id].number[0]) for row in mine)
        count = max(int(series[row.id].number[-1]) for row in mine) - first + 1
        columns = {}
        for row in mine:
            values = np.full(count, np.nan)
            scale = 1000.0 if row.unit in _MILLIGRAMS else 1.0
            values[series[row.id].number - first] = series[row.id].value * scale
            columns[row.property] = values
        hours, days = hourly(first, columns), daily(first, columns)
        now = next((one for one in reversed(hours) if one.aqi is not None), hours[-1])
        made.append(
            {
                "thing": thing,
                "hour": now.hour * HOUR_US,
                "aqi": now.aqi,
                "pollutant": now.pollutant,
                "level": 0 if now.aqi is None else class_of(now.aqi).level,
                "body": {
                    "parts": dict(now.parts),
                    "complete": now.complete,
                    "hours": [_told(one) for one in hours[-_SHOWN_H:]],
                    "days": [_told(one) for one in days[-4:]],
                },
            }
        )
    return made


def _told(one: Hourly | Daily) -> dict[str, Any]:
    at = {"hour": one.hour * HOUR_US} if isinstance(one, Hourly) else {"day": one.day, "hours": one.hours}
    return {**at, "aqi": one.aqi, "pollutant": one.pollutant, "complete": one.complete}

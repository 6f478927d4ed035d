"""Alarms of what is to come: a forecast that crosses a flood alarm level or a line of salinity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thap.detect.detector import Severity
from thap.domains.parameters import Parameters
from thap.domains.water.forecast import Forecast
from thap.domains.water.stations import Station
from thap.kernel.bus import Bus
from thap.kernel.clock import HOUR_US
from thap.kernel.records import Records
from thap.respond.alarm import AlarmEvent
from thap.respond.standing import Standing, StandingAlarms

__all__ = ["LEVEL", "SALINITY", "Crossings", "crossing"]

LEVEL, SALINITY = "water.forecast_level", "water.forecast_salinity"
_COMING = (Severity.LOW, Severity.MEDIUM, Severity.HIGH)
"""One step below what the level itself will be: there is time left."""


_STALE_US = 6 * HOUR_US
"""A station that has said nothing for so long is one that nothing is known of."""


def crossing(made: Forecast, limits: Sequence[float | None], now: float, after_us: int = 0) -> tuple[int, int] | None:
    """The highest limit that a forecast will cross, and when.

    Args:
        made: the forecast.
        limits: rising; None is left out.
        now: the newest value; what it has reached already is not to come.
        after_us: the moment; what was expected before it is not to come either.

    Gives the limit's place from one, and the time in µs; None where none is crossed.
    """
    found = None
    for number, limit in enumerate(limits, 1):
        if limit is None or now >= limit:
            continue
        over = np.flatnonzero((made.mean >= limit) & (made.hours * HOUR_US >= after_us))
        if len(over):
            found = (number, round(float(made.hours[over[0]]) * HOUR_US))
    return found


class Crossings:
    """Keeps the alarms what the forecasts say. It compares the two each time, so nothing is forgotten by a restart."""

    def __init__(self, records: Records, bus: Bus) -> None:
        self._alarms = StandingAlarms(records, bus, "water")

    async def settle(
        self,
        made: Mapping[int, Forecast],
        rows: Mapping[int, Any],
        latest: Mapping[int, float],
        stations: Mapping[str, Station],
        parameters: Parameters,
        heard: Mapping[int, int],
        moment: int,
    ) -> Sequence[AlarmEvent]:
        """Raise, escalate and clear what has changed; announces what it led to.

        Of a station that fell silent, or whose record is too short, nothing is raised and nothing cleared: its alarm
        stands until its values say otherwise.

        Args:
            made: forecasts by datastream number.
            rows: the datastreams with their things.
            latest: the newest value of each.
            stations: limits by thing.
            parameters: the lines of salinity.
            heard: when each said its newest value, µs.
            moment: when the newest value of any station is from, µs.

        Raises:
            BusyError, UnavailableError: nothing was changed.
        """
        lines = (parameters["salinity_low_g_l"], parameters["salinity_high_g_l"])
        wanted = []
        judged: set[str] = set()
        for number, one in made.items():
            row = rows[number]
            salty = row.property == "salinity"
            if one.span_h < parameters["advise_days"] * 24 or moment - heard[number] > _STALE_US:
                continue  # tide and flood cannot be told apart yet; or what it says is of long ago
            judged.add(row.key)
            station = stations.get(row.thing)
            limits: Sequence[float | None] = lines if salty else station.levels if station else ()
            crossed = crossing(one, limits, latest[number], moment)
            if crossed is None:
                continue
            place, when = crossed
            told = {"limit": limits[place - 1], "expected": when, "highest": round(float(one.mean.max()), 3)}
            wanted.append(
                Standing(
                    row.key,
                    SALINITY if salty else LEVEL,
                    _COMING[place - 1],
                    told["highest"],
                    row.domain,
                    row.lon,
                    row.lat,
                    row.commune,
                    told,
                )
            )
        return await self._alarms.settle(
            wanted, lambda source, condition: condition in (LEVEL, SALINITY) and source in judged
        )

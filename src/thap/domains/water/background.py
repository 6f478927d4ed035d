"""Work in the background: levels and salinity are forecast anew, the index of the air is kept, and what a forecast will
cross is raised as an alarm before it does.

What is new is told by the newest value, not by the clock, so that a centre that replays the past forecasts it too.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import structlog

from thap.detect.catalogue import Catalogue
from thap.detect.records import load_rules
from thap.detect.rules import Threshold
from thap.domains.parameter_records import load_parameters
from thap.domains.parameters import Parameters
from thap.domains.water.air import air_rows
from thap.domains.water.crossings import Crossings
from thap.domains.water.forecast import Forecast
from thap.domains.water.harmonic import constants
from thap.domains.water.history import forecasts_of, hours_of, newest_of
from thap.domains.water.records import (
    Kept,
    drop_forecasts,
    keep_air,
    keep_forecasts,
    keep_ruled,
    keep_tides,
    load_stations,
    load_tides,
    series_of,
)
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.history import Lake
from thap.observe.registry import load_registry
from thap.respond.parts import Context

__all__ = ["Forecasts", "forecast_body", "part"]

_log = structlog.get_logger(__name__)
_ROUND_S, _AGAIN_S = 15.0, 30.0
_LONGEST_PAST_US = 45 * DAY_US
_KEEP_US = 9 * DAY_US
_REFIT_US = 6 * HOUR_US
LEVELS, SALT = "water_level", "salinity"
AIR = ("pm25", "pm10", "o3", "no2", "so2", "co")


def forecast_body(made: Forecast) -> dict[str, Any]:
    """As it is kept: hours since 1970 UTC, values rounded to a millimetre or a milligram."""

    def rounded(part: np.ndarray[Any, Any]) -> list[float]:
        return [round(one, 3) for one in part.tolist()]

    return {
        "first": round(float(made.hours[0])),
        "mean": rounded(made.mean),
        "low": rounded(made.low),
        "high": rounded(made.high),
        "tide": rounded(made.tide),
        "errors": {str(lead): round(error, 4) for lead, error in made.errors.items()},
        "range": round(made.fit.range, 3),
        "span_h": made.span_h,
    }


class Forecasts:
    """Looks every few seconds whether there are values that no forecast knows."""

    name = "water"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lake: Lake | None = None
        self._crossings = Crossings(context.records, context.bus)
        self._until: dict[str, int] = {}
        self._total = self._lag = self._made = 0

    async def run(self) -> None:
        """Until cancelled; a lake or store that is away is waited for."""
        while True:
            try:
                await self.round()
                await asyncio.sleep(_ROUND_S)
            except (BusyError, UnavailableError) as error:
                _log.info("water is forecast later", until=error.message)
                await asyncio.sleep(_AGAIN_S)

    async def round(self, now: int | None = None) -> int:
        """Do what is due; gives how many forecasts were made."""
        from thap.domains.water import DOMAIN

        moment = now_us() if now is None else now
        async with self._context.records.read() as connection:
            parameters = await load_parameters(connection, DOMAIN)
            rows = await series_of(connection, (LEVELS, SALT, *AIR))
        await self._rules()
        lake = await self._open()
        made = await self._water(lake, [row for row in rows if row.property in (LEVELS, SALT)], parameters, moment)
        await self._air(lake, [row for row in rows if row.property in AIR], moment)
        self._total += made
        return made

    async def _open(self) -> Lake:
        if self._lake is None:
            self._lake = await asyncio.to_thread(Lake.open, self._context.settings, True)
        return self._lake

    async def _rules(self) -> None:
        """Note which levels rules in force watch, so that the domain's own detector leaves them to those."""
        context = self._context
        async with context.records.read() as connection:
            rules = await load_rules(context.settings, connection)
            registry = await load_registry(connection)
        catalogue = Catalogue(registry)
        keys = {
            info.key
            for rule in rules
            if isinstance(rule, Threshold) and rule.enabled and rule.way == "above" and rule.domain in ("water", "")
            for info in catalogue.select_datastreams(rule.select)
            if info.property == LEVELS
        }
        async with context.records.write() as connection:
            changed = await keep_ruled(connection, keys, registry.max_datastream)
        if changed:
            await context.bus.announce("centre.live.rules", {"water": "ruled"})

    async def _fresh(self, lake: Lake, kind: str, ids: list[int], every: int, now: int) -> int | None:
        """The newest value's time, where it is later by `every` than what was worked on; None else."""
        newest = await asyncio.to_thread(newest_of, lake, ids, now - _LONGEST_PAST_US)
        if newest is None or newest < self._until.get(kind, -every) + every:
            return None
        return newest

    async def _water(self, lake: Lake, rows: list[Any], parameters: Parameters, now: int) -> int:
        every = round(parameters["forecast_every_min"] * MINUTE_US)
        newest = await self._fresh(lake, "water", [row.id for row in rows], every, now)
        if newest is None:
            return 0
        self._lag = len(rows)
        since = newest - round(parameters["forecast_days"] * DAY_US)
        salty = frozenset(row.id for row in rows if row.property == SALT)
        ids = [row.id for row in rows]
        ahead = round(parameters["forecast_hours"])
        hours = await asyncio.to_thread(hours_of, lake, ids, since, newest + 1)
        made = await asyncio.to_thread(forecasts_of, hours, salty, ahead)
        by_id = {row.id: row for row in rows}
        kept = [
            Kept(
                by_id[number].key,
                by_id[number].property,
                now,
                hours[number].last,
                forecast_body(one),
                parameters.version,
            )
            for number, one in made.items()
        ]
        async with self._context.records.read() as connection:
            stations = await load_stations(connection)
            before = await load_tides(connection)
        tides = self._tides(made, by_id, before, newest)
        async with self._context.records.write() as connection:
            await keep_forecasts(connection, kept)
            await keep_tides(connection, tides)
            await drop_forecasts(connection, newest - _KEEP_US)
        if tides:
            await self._context.bus.announce("centre.live.rules", {"water": "tides"})
        latest = {number: float(one.value[-1]) for number, one in hours.items()}
        heard = {number: one.last for number, one in hours.items()}
        await self._crossings.settle(made, by_id, latest, stations, parameters, heard, newest)
        await self._context.bus.announce("centre.live.water", {"forecasts": len(kept)})
        self._until["water"], self._made, self._lag = newest, newest, 0
        return len(kept)

    @staticmethod
    def _tides(
        made: dict[int, Forecast], by_id: dict[int, Any], before: dict[str, dict[str, Any]], newest: int
    ) -> list[dict[str, Any]]:
        """Constants to be kept: those of places whose last are older than six hours."""
        found = []
        for number, one in made.items():
            row = by_id[number]
            old = before.get(row.key)
            if row.property == LEVELS and (old is None or abs(newest - old["fitted"]) >= _REFIT_US):
                origin, terms = constants(one.fit)
                found.append(
                    {
                        "datastream": row.key,
                        "fitted": newest,
                        "origin_h": origin,
                        "stage": round(one.stage, 4),
                        "sigma": round(one.sigma, 4),
                        "terms": terms,
                    }
                )
        return found

    async def _air(self, lake: Lake, rows: list[Any], now: int) -> None:
        newest = await self._fresh(lake, "air", [row.id for row in rows], HOUR_US // 6, now)
        if newest is None:
            return
        series = await asyncio.to_thread(
            hours_of, lake, [row.id for row in rows], newest - 4 * DAY_US, newest + 1, centred=False
        )
        async with self._context.records.write() as connection:
            await keep_air(connection, air_rows(rows, series))
        self._until["air"] = newest

    def stats(self) -> dict[str, Any]:
        """`seq`: time of the newest value that forecasts know, `lag`: how many are being made, `total`: made."""
        return {"seq": self._made, "lag": self._lag, "total": self._total}


def part(context: Context) -> Forecasts:
    """The part."""
    return Forecasts(context)

"""Work in the background: corridors are forecast anew, congestion that is expected is raised as an advisory, and plates
are forgotten when their days are over, whether or not one is being read.

What is new is told by the newest value, not by the clock, so that a centre that replays the past forecasts it too. A
centre without a corridor, or without enough history, does nothing and loads nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import structlog

from thap.detect.detector import Action, Change, Severity
from thap.domains.parameter_records import load_parameters
from thap.domains.parameters import Parameters
from thap.domains.traffic.corridors import (
    Corridor,
    KeptForecast,
    drop_forecasts,
    keep_forecast,
    load_corridors,
    members_of,
)
from thap.domains.traffic.plates import forget_old
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import BusyError, InputError, UnavailableError
from thap.kernel.history import Lake
from thap.respond.book import AlarmBook
from thap.respond.parts import Context

if TYPE_CHECKING:
    from thap.domains.traffic.forecast import SpeedModel

__all__ = ["EXPECTED", "Corridors", "part", "rows_of", "source_of"]

_log = structlog.get_logger(__name__)
_ROUND_S, _AGAIN_S, _FORGET_S = 20.0, 60.0, 300.0
_SILENT_S = 3600.0
_LONGEST_PAST_US = 45 * DAY_US
_ROW_US = 5 * MINUTE_US
_STEPS = (3, 6, 9, 12)
_SPEED = "mean_speed"
EXPECTED = "traffic.congestion_expected"
Doubles = npt.NDArray[np.float64]


def source_of(corridor: str, thing: str) -> str:
    """What an advisory of a corridor names as its source: a part of its first thing, which it is shown with."""
    return f"{thing}/corridor.{corridor}"


def rows_of(lake: Lake, ids: Sequence[int], since: int, until: int) -> Doubles:
    """Means of datastreams by five minutes.

    Args:
        lake: to read.
        ids: registry numbers, the columns.
        since: µs, a whole five minutes; the first row begins here.
        until: µs, a whole five minutes, not included.

    Returns:
        rows × datastreams; NaN where nothing came.
    """
    values = np.full(((until - since) // _ROW_US, len(ids)), np.nan)
    found = lake.rows(f"""
        SELECT datastream, (epoch_us(time) - {int(since)}) // {_ROW_US} AS row, avg(result)
        FROM lake.observation
        WHERE datastream IN ({", ".join(str(int(one)) for one in ids)})
          AND time >= make_timestamptz({int(since)}::BIGINT) AND time < make_timestamptz({int(until)}::BIGINT)
        GROUP BY ALL""")
    column = {number: at for at, number in enumerate(ids)}
    for number, row, mean in found:
        values[int(row), column[number]] = mean
    return values


def _newest(lake: Lake, ids: Sequence[int], since: int) -> int | None:
    rows = lake.rows(
        "SELECT epoch_us(max(time)) FROM lake.observation "
        f"WHERE datastream IN ({', '.join(str(int(one)) for one in ids)}) "
        f"AND time >= make_timestamptz({int(since)}::BIGINT)"
    )
    return rows[0][0] if rows else None


@dataclass(slots=True)
class _Fitted:
    """A model, and from which row on its history is."""

    model: SpeedModel
    since: int
    until: int
    keys: tuple[str, ...]
    parameters: int


class Corridors:
    """Looks every few seconds whether there are five minutes that no forecast knows."""

    name = "traffic"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lake: Lake | None = None
        self._book: AlarmBook | None = None
        self._fitted: dict[str, _Fitted] = {}
        self._until: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        """When a corridor last had anything new, monotonic."""
        self._forgot = -_FORGET_S
        self._total = self._lag = self._made = 0

    async def run(self) -> None:
        """Until cancelled; a lake or store that is away is waited for."""
        while True:
            try:
                await self.forget()
                await self.round()
                await asyncio.sleep(_ROUND_S)
            except (BusyError, UnavailableError) as error:
                _log.info("corridors are forecast later", error=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def forget(self) -> None:
        """Every few minutes: erase readings of plates, and entries of the watch list, whose time is over."""
        if time.monotonic() - self._forgot < _FORGET_S:
            return
        async with self._context.records.write() as connection:
            await forget_old(connection, self._context.settings)
        self._forgot = time.monotonic()

    async def round(self) -> int:
        """Do what is due; gives how many forecasts were made."""
        from thap.domains.traffic import DOMAIN

        async with self._context.records.read() as connection:
            corridors = {name: one for name, one in (await load_corridors(connection)).items() if one.enabled}
            keys = sorted({key for one in corridors.values() for key in one.datastreams})
            rows = {row.key: row for row in await members_of(connection, keys)} if keys else {}
            parameters = await load_parameters(connection, DOMAIN)
        present = {
            name: [rows[key] for key in one.datastreams]
            for name, one in corridors.items()
            if all(key in rows for key in one.datastreams)
        }
        for name in set(self._fitted) - set(present):
            del self._fitted[name]
        made, expected = 0, dict[str, tuple[dict[str, Any], Any]]()
        self._lag = len(present)
        for name, members in present.items():
            kept = await self._one(corridors[name], members, parameters)
            self._lag -= 1
            if kept is not None:
                made += 1
                limit, ahead = kept.body["limit"], kept.body["value"][1]
                if limit is not None and kept.body["now"] >= limit > ahead:
                    expected[name] = (kept.body, members[0])
            await self._settle(source_of(name, members[0].thing), kept, expected.get(name))
        await self._end_others(present)
        if made:
            async with self._context.records.write() as connection:
                await drop_forecasts(connection, self._made - round(parameters["forecast_keep_days"] * DAY_US))
            await self._context.bus.announce("centre.live.traffic", {"forecasts": made})
        self._total += made
        return made

    async def _one(self, corridor: Corridor, members: Sequence[Any], parameters: Parameters) -> KeptForecast | None:
        """A forecast where there are five minutes more than the last one knew, and enough history."""
        ids = [row.id for row in members]
        if self._lake is None:
            self._lake = await asyncio.to_thread(Lake.open, self._context.settings, True)
        since = self._until.get(corridor.name, now_us() - _LONGEST_PAST_US)
        newest = await asyncio.to_thread(_newest, self._lake, ids, since)
        if newest is None:
            return None
        until = newest // _ROW_US * _ROW_US
        if until <= self._until.get(corridor.name, 0):
            return None
        self._until[corridor.name], self._heard[corridor.name] = until, time.monotonic()
        fitted = self._usable(corridor, parameters, until)
        since = fitted.since if fitted else until - round(parameters["forecast_days"] * DAY_US) // _ROW_US * _ROW_US
        values = await asyncio.to_thread(rows_of, self._lake, ids, since, until)
        if fitted is None:
            fitted, values = await self._fit(corridor, values, parameters, since, until)
        known = np.isfinite(values[-12:])
        if fitted is None or not known.any(axis=0).mean() >= 0.5:
            return None
        body = await asyncio.to_thread(_body, fitted.model, values, members[0], parameters["congested_share"])
        made = KeptForecast(corridor.name, now_us(), until, parameters.version, corridor.version, body)
        async with self._context.records.write() as connection:
            await keep_forecast(connection, made)
        self._made = max(self._made, until)
        return made

    def _usable(self, corridor: Corridor, parameters: Parameters, until: int) -> _Fitted | None:
        fitted = self._fitted.get(corridor.name)
        if fitted is None or fitted.keys != corridor.datastreams or fitted.parameters != parameters.version:
            return None
        return fitted if until - fitted.until < parameters["forecast_refit_h"] * HOUR_US else None

    async def _fit(
        self, corridor: Corridor, values: Doubles, parameters: Parameters, since: int, until: int
    ) -> tuple[_Fitted | None, Doubles]:
        """A model of what there is, from the first row with a value on; None where that is too little."""
        heard = np.flatnonzero(np.isfinite(values).any(axis=1))
        first = int(heard[0]) if len(heard) else 0
        if len(heard) * _ROW_US < parameters["forecast_least_h"] * HOUR_US:
            return None, values
        from thap.domains.traffic.forecast import fit

        values, since = values[first:], since + first * _ROW_US
        try:
            model = await asyncio.to_thread(fit, values, _STEPS)
        except (InputError, np.linalg.LinAlgError) as error:
            _log.warning("a corridor cannot be forecast", corridor=corridor.name, reason=str(error))
            return None, values
        made = _Fitted(model, since, until, corridor.datastreams, parameters.version)
        self._fitted[corridor.name] = made
        return made, values

    async def _settle(self, source: str, kept: KeptForecast | None, told: tuple[dict[str, Any], Any] | None) -> None:
        """Raise the advisory of a corridor, or end it; without a new forecast what stands, stands."""
        if kept is None:
            return
        if self._book is None:
            self._book = AlarmBook(self._context.records)
        standing = (source, EXPECTED) in await self._book.active()
        if standing == (told is not None):
            return
        now = now_us()
        if told is None:
            change = Change(source, EXPECTED, Action.CLEAR, Severity.LOW, now, 0, domain="traffic")
        else:
            body, row = told
            evidence = {
                "limit": body["limit"],
                "now": body["now"],
                "expected": body["value"][1],
                "low": body["low"][1],
                "minutes": body["minutes"][1],
                "inputs_until": kept.inputs_until,
                "parameters": kept.parameters,
            }
            change = Change(
                source,
                EXPECTED,
                Action.RAISE,
                Severity.LOW,
                now,
                0,
                value=body["value"][1],
                domain="traffic",
                lon=row.lon,
                lat=row.lat,
                commune=row.commune,
                evidence=evidence,
            )
        await self._apply([change])

    async def _end_others(self, present: Mapping[str, Sequence[Any]]) -> None:
        """Advisories of corridors that are gone or switched off, or of which nothing came for an hour, end."""
        if self._book is None:
            self._book = AlarmBook(self._context.records)
        now = time.monotonic()
        mine = {
            source_of(name, members[0].thing)
            for name, members in present.items()
            if now - self._heard.setdefault(name, now) < _SILENT_S
        }
        gone = [key for key in await self._book.active() if key[1] == EXPECTED and key[0] not in mine]
        if gone:
            at = now_us()
            await self._apply(
                [Change(source, one, Action.CLEAR, Severity.LOW, at, 0, domain="traffic") for source, one in gone]
            )

    async def _apply(self, changes: Sequence[Change]) -> None:
        assert self._book is not None
        for event in await self._book.apply(changes):
            await self._context.bus.announce("centre.live.alarm", event)

    def stats(self) -> dict[str, Any]:
        """`seq`: end of what forecasts know, `lag`: how many are being made, `total`: made."""
        return {"seq": self._made, "lag": self._lag, "total": self._total}


def _body(model: SpeedModel, values: Doubles, row: Any, share: float) -> dict[str, Any]:
    """A forecast of the mean of the corridor, as it is kept."""
    from thap.domains.traffic.forecast import corridor, filled

    rows = filled(values)
    members = range(rows.shape[1])
    told = [model.expect(rows, steps) for steps in _STEPS]
    ahead = [corridor(one, members) for one in told]
    free = float(model.free.mean())
    return {
        "minutes": [steps * _ROW_US // MINUTE_US for steps in _STEPS],
        "value": [round(one[0], 2) for one in ahead],
        "low": [round(one[1], 2) for one in ahead],
        "high": [round(one[2], 2) for one in ahead],
        "persistence": [round(float(one.persistence.mean()), 2) for one in told],
        "usual": [round(float(one.usual.mean()), 2) for one in told],
        "now": round(float(rows[-1].mean()), 2),
        "free": round(free, 2),
        "limit": round(share * free, 2) if row.property == _SPEED else None,
        "property": row.property,
        "unit": row.unit,
        "days": round(len(model.history) * _ROW_US / DAY_US, 2),
    }


def part(context: Context) -> Corridors:
    """The part."""
    return Corridors(context)

"""Dredgers of the demo province: in their mine by day, at their berth by night, and now and then elsewhere.

What ought to be noticed is worked out from where they are without noise and from the register the demo imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from thap.domains.parameters import shipped_parameters
from thap.domains.paths import Visits
from thap.domains.river import along
from thap.domains.sand.demo_register import demo_book
from thap.domains.sand.detectors import SEVERITY
from thap.domains.sand.model import Kind
from thap.domains.truth import Limit, Quiet, depth_m, local_hour, slower_than, when
from thap.domains.world import Doubles, Longs, Mover, Path, Plan, Signal, Truth, World, bump
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

__all__ = ["contribute"]

_GPS_M = 6.0
_PERIOD = 60 * SECOND_US
_RAMP = 25 * MINUTE_US


class _Dredger(NamedTuple):
    name: str
    mine: tuple[float, float]
    """Kilometre of the river and metres to the right of its middle."""
    berth: tuple[float, float]
    outside: tuple[float, float]
    """Where it goes when it leaves the mine to dredge."""
    fence: tuple[float, float]
    """Just outside the mine: what is allowed."""


_DREDGERS = (
    _Dredger("Sà lan hút TTĐ 01", (70.10, -40), (68.20, 320), (71.40, 60), (71.05, -30)),
    _Dredger("Sà lan hút TTĐ 02", (70.35, 10), (68.30, 300), (72.20, 40), (69.25, 0)),
    _Dredger("Sà lan hút TL 01", (18.70, -30), (17.40, 320), (20.20, 0), (19.15, 10)),
    _Dredger("Sà lan hút TL 02", (18.80, 20), (17.30, 300), (20.80, -60), (18.15, -20)),
)

_NIGHT_HOURS = (19.3, 21.4, 25.0, 27.0)
"""When each begins its night work, hours after midnight."""
_NEAR_MISS_HOURS = (24.4, 24.6, 22.8, 23.2)
"""When each passes by its mine at night, clear of its night work."""


@dataclass(frozen=True)
class _Working:
    """A path that drifts to and fro while work goes on, as the pipe is drawn over the bed."""

    path: Path
    works: Sequence[Plan]
    phase: float

    def __call__(self, times: Longs) -> tuple[Doubles, Doubles]:
        lon, lat = self.path(times)
        begin, end = int(times.min()), int(times.max()) + 1
        share = np.max([bump(times, plan.between(begin, end), _RAMP) for plan in self.works], axis=0)
        # Only where it has arrived; on the way it sails straight.
        here = np.clip((share - 0.97) / 0.03, 0, 1)
        turn = 2 * np.pi * times / MINUTE_US
        east = 14 * np.sin(turn / 8.3 + self.phase) + 6 * np.sin(turn / 5.1 + 2 * self.phase)
        north = 12 * np.cos(turn / 9.1 + self.phase) + 7 * np.sin(turn / 6.7)
        return lon + here * east / 109_460.0, lat + here * north / 110_600.0


def contribute(world: World) -> None:
    """Add the dredgers and their days."""
    from thap.domains.sand import DOMAIN

    rules, bounds = DOMAIN.read_rules(), shipped_parameters(DOMAIN)
    book = demo_book(world.start)
    mines = shapely.union_all([one.polygon for one in book.licences])
    wharves = shapely.union_all([one.polygon for one in book.wharves])
    for number, dredger in enumerate(_DREDGERS):
        mover, gaps = _mover(world, number, dredger)
        world.add(mover)
        _expect(world, mover, gaps, (mines, wharves), bounds)
        world.expect(Quiet(rules["sand.dredger_silent"], world, mover, "tracking unit off for hours"))


def _mover(world: World, number: int, dredger: _Dredger) -> tuple[Mover, tuple[Plan, ...]]:
    def daily(name: str, hour: float, shortest: int, longest: int, jitter: float = 0.02) -> Plan:
        return Plan(
            world,
            f"{name}-{number}",
            DAY_US,
            (shortest * MINUTE_US, longest * MINUTE_US),
            first=round(hour * 60) * MINUTE_US,
            jitter=jitter,
            midnight=True,
        )

    work = daily("work", 5.5, 765, 765, 0)  # 05:30 to 18:15
    night = daily("night-work", _NIGHT_HOURS[number], 85, 105, 0.01)
    brief = daily("brief", _NEAR_MISS_HOURS[number], 46, 48, 0.01)
    out = daily("outside", 7.5 + 2.4 * number, 80, 110)
    mine, place, fence = along(*dredger.mine), along(*dredger.outside), along(*dredger.fence)
    visits: Path = Visits(
        along(*dredger.berth),
        ((mine, work, _RAMP), (mine, night, _RAMP), (fence, brief, 23 * MINUTE_US), (place, out, _RAMP)),
        origin=(None, None, None, 0),
    )
    path = _Working(visits, (work, night), 1.7 * number)
    gaps = (
        Plan(
            world,
            "dredger-gap",
            5 * HOUR_US,
            (25 * MINUTE_US, 60 * MINUTE_US),
            first=3 * HOUR_US,
            turn=(number, len(_DREDGERS)),
        ),
        Plan(world, f"dredger-hiccup-{number}", 6 * HOUR_US, (5 * MINUTE_US, 8 * MINUTE_US)),
        # Once in four days each switches its unit off at the berth.
        Plan(
            world,
            "dredger-off",
            DAY_US,
            (400 * MINUTE_US, 460 * MINUTE_US),
            first=22 * HOUR_US,
            jitter=0.01,
            turn=(number, len(_DREDGERS)),
            midnight=True,
        ),
    )
    key = f"mmsi-{574_000_101 + number:09d}"
    return Mover(key, dredger.name, "dredger", "sand", _PERIOD, path, "ais", _GPS_M, 33, gaps), gaps


def _expect(
    world: World, mover: Mover, gaps: tuple[Plan, ...], places: tuple[Any, Any], bounds: Mapping[str, float]
) -> None:
    """What its dredging breaks, and where its silence matters."""
    mines, wharves = places
    tolerance = bounds["outside_tolerance_m"]
    dwell = round(bounds["dredge_dwell_min"] * MINUTE_US)

    def act(kind: Kind, signal: Signal, note: str) -> Limit:
        return Limit(
            str(kind),
            mover.key,
            signal,
            [(tolerance if kind is Kind.OUTSIDE else -tolerance, SEVERITY[kind])],
            3 * _GPS_M + 3,
            dwell,
            5 * MINUTE_US,
            0.0,
            _PERIOD,
            gaps,
            note=note,
        )

    slow = slower_than(mover.path, bounds["dredge_speed_kn"])
    inside = depth_m(mover.path, mines)
    afloat = _negative(depth_m(mover.path, wharves))

    def out(times: Longs) -> npt.NDArray[np.bool_]:
        return np.asarray(slow(times) & (afloat(times) > 0))

    world.expect(act(Kind.HOURS, when(when(inside, _closed), slow), "dredging at night"))
    world.expect(act(Kind.OUTSIDE, when(_negative(inside), out), "dredging outside the mine"))
    world.expect(_lost(world, mover, inside, bounds))


def _lost(
    world: World, mover: Mover, inside: Signal, bounds: Mapping[str, float]
) -> Callable[[int, int], Iterable[Truth]]:
    """Silences that begin near a mine."""
    limit, near = round(bounds["silence_min"] * MINUTE_US), bounds["near_m"]

    def truth(begin: int, end: int) -> Iterable[Truth]:
        times = world.due(mover, max(begin - DAY_US, world.start), end + DAY_US)
        for at in np.flatnonzero(np.diff(times) > 0.9 * limit).tolist():
            last, first = int(times[at]), int(times[at + 1])
            away = -float(inside(times[at : at + 1])[0])
            if away <= near + 50:
                sure = first - last > 1.25 * limit and away < near - 50
                yield Truth(
                    str(Kind.SILENT), mover.key, last, first, SEVERITY[Kind.SILENT], limit, sure, "silent in its mine"
                )

    return truth


def _closed(times: Longs) -> npt.NDArray[np.bool_]:
    hour = local_hour(times)
    return np.asarray((hour >= 19) | (hour < 5))


def _negative(signal: Signal) -> Signal:
    def negative(times: Longs) -> Doubles:
        return -signal(times)

    return negative

"""Dredgers of the demo province: in their mine by day, at their berth by night, and now and then elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from thap.detect.areas import Area
from thap.detect.rules import Geofence, Rule
from thap.domains.paths import Visits
from thap.domains.river import along
from thap.domains.truth import Limit, Quiet, depth_m, local_hour, slower_than, when
from thap.domains.world import Doubles, Longs, Mover, Path, Plan, Signal, World
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

__all__ = ["contribute"]

_GPS_M = 6.0
_PERIOD = 60 * SECOND_US


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


def contribute(world: World) -> None:
    """Add the dredgers and their days."""
    from thap.domains.sand import DOMAIN

    rules = DOMAIN.read_rules()
    for number, dredger in enumerate(_DREDGERS):
        _add(world, rules, number, dredger)


def _add(world: World, rules: dict[str, Rule], number: int, dredger: _Dredger) -> None:
    night_rule, outside_rule = rules["sand.dredging_at_night"], rules["sand.dredging_outside"]
    assert isinstance(night_rule, Geofence) and isinstance(outside_rule, Geofence)

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
    night = daily("night-work", _NIGHT_HOURS[number], 75, 95, 0.01)
    brief = daily("brief", 22.2 + 0.4 * number if number % 2 else 24.2, 46, 48, 0.01)
    out = daily("outside", 7.5 + 2.4 * number, 70, 100)
    mine, place, fence = along(*dredger.mine), along(*dredger.outside), along(*dredger.fence)
    ramp = 25 * MINUTE_US
    path: Path = Visits(
        along(*dredger.berth),
        ((mine, work, ramp), (mine, night, ramp), (fence, brief, 23 * MINUTE_US), (place, out, ramp)),
        origin=(None, None, None, 0),
    )
    key = f"mmsi-{574_000_101 + number:09d}"
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
    )
    mover = Mover(key, dredger.name, "dredger", "sand", _PERIOD, path, "ais", _GPS_M, 33, gaps)
    world.add(mover)
    margin = 3 * _GPS_M + 3
    inside = depth_m(path, shapely.union_all([area.geometry for area in night_rule.area]))
    world.expect(
        Limit(
            night_rule.name,
            key,
            when(inside, _closed),
            [(0.0, night_rule.severity)],
            margin,
            night_rule.dwell or 0,
            night_rule.off_delay,
            night_rule.hysteresis_m,
            _PERIOD,
            gaps,
            night_rule.plan().afters,
            "dredging at night",
        )
    )
    allowed = shapely.union_all([_shape(area) for area in outside_rule.area])
    world.expect(
        Limit(
            outside_rule.name,
            key,
            when(_negative(depth_m(path, allowed)), slower_than(path, outside_rule.below_kn or 1.0)),
            [(outside_rule.hysteresis_m, outside_rule.severity)],
            margin,
            outside_rule.on_delay,
            outside_rule.off_delay,
            outside_rule.hysteresis_m,
            _PERIOD,
            gaps,
            outside_rule.plan().afters,
            "dredging outside the mine",
        )
    )
    world.expect(Quiet(rules["sand.dredger_silent"], world, mover, "transponder off"))


def _closed(times: Longs) -> npt.NDArray[np.bool_]:
    hour = local_hour(times)
    return np.asarray((hour >= 19) | (hour < 5))


def _negative(signal: Signal) -> Signal:
    def negative(times: Longs) -> Doubles:
        return -signal(times)

    return negative


def _shape(area: Area) -> Any:
    if area.circle is None:
        return area.geometry
    lon, lat, radius_m = area.circle
    return shapely.transform(
        shapely.Point(0, 0).buffer(radius_m, quad_segs=32), lambda points: points / (109_460.0, 110_600.0) + (lon, lat)
    )

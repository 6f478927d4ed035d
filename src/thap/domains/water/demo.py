"""Water, air and weather of the demo province: stations, and what happens to them.

Levels follow the four strongest tides, weaker and later up the river, under a slow river stage. Places, alarm
levels and the line of the river are real; amplitudes and events are made up, and seasons that exclude each other
in nature, flood and salt, come side by side, as in a drill.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thap.detect.rules import Rule
from thap.domains.truth import Limit, Quiet, limit_of, local_hour, rise_within
from thap.domains.world import Doubles, Longs, Plan, Series, Signal, Thing, World, bump
from thap.kernel.clock import HOUR_US, MINUTE_US

__all__ = ["GAUGES", "Gauge", "contribute", "tide_signal"]


class Gauge(NamedTuple):
    name: str
    title: str
    lon: float
    lat: float
    stage: float
    """Mean level, m."""
    tide: float
    """Highest tide above it, m."""
    lag_h: float
    """Hours after the tide at the mouth."""


GAUGES = (
    Gauge("tan-chau", "Trạm thủy văn Tân Châu", 105.243, 10.802, 2.60, 0.14, 7.5),
    Gauge("hong-ngu", "Trạm thủy văn Hồng Ngự", 105.339, 10.806, 2.30, 0.16, 7.0),
    Gauge("cao-lanh", "Trạm thủy văn Cao Lãnh", 105.640, 10.418, 1.05, 0.40, 5.0),
    Gauge("my-thuan", "Trạm thủy văn Mỹ Thuận", 105.903, 10.276, 0.70, 0.52, 3.8),
    Gauge("my-tho", "Trạm thủy văn Mỹ Tho", 106.365, 10.346, 0.42, 0.68, 1.6),
    Gauge("vam-kenh", "Trạm thủy văn Vàm Kênh", 106.735, 10.272, 0.10, 0.98, 0.0),
)
_SALT = (
    ("xuan-hoa", "Trạm đo mặn Xuân Hòa", 106.455, 10.326, 0.45),
    ("xoai-hot", "Trạm đo mặn Xoài Hột", 106.305, 10.345, 0.20),
)
_AIR = (
    ("kk-cao-lanh", "Trạm không khí Cao Lãnh", 105.632, 10.460),
    ("kk-sa-dec", "Trạm không khí Sa Đéc", 105.757, 10.291),
    ("kk-my-tho", "Trạm không khí Mỹ Tho", 106.362, 10.357),
)
_WEATHER = (
    ("tt-hong-ngu", "Trạm thời tiết Hồng Ngự", 105.345, 10.812),
    ("tt-cao-lanh", "Trạm thời tiết Cao Lãnh", 105.635, 10.455),
    ("tt-cai-lay", "Trạm thời tiết Cai Lậy", 106.113, 10.408),
    ("tt-my-tho", "Trạm thời tiết Mỹ Tho", 106.355, 10.362),
)
_TIDES = ((0.46, 12.4206), (0.15, 12.0), (0.24, 23.9345), (0.15, 25.8193))
"""Share of the highest tide and period in hours of M2, S2, K1, O1."""
_LEVEL_NOISE, _SALT_NOISE, _DUST_NOISE = 0.012, 0.03, 2.0


def contribute(world: World) -> None:
    """Add the stations and their events."""
    from thap.domains.water import DOMAIN

    rules = DOMAIN.read_rules()
    _levels(world, rules)
    _salinity(world, rules)
    _air(world, rules)
    _weather(world, rules)


def _tide(times: Longs, gauge: Gauge, phases: Doubles) -> Doubles:
    hours = times / HOUR_US - gauge.lag_h
    parts = sum(
        share * np.cos(2 * np.pi * hours / period - phase)
        for (share, period), phase in zip(_TIDES, phases, strict=True)
    )
    return gauge.stage + gauge.tide * np.asarray(parts, np.float64)


def tide_signal(world: World, gauge: Gauge) -> Signal:
    """The level of a gauge by tides alone: no floods, no noise."""
    phases = _phases(world)
    return lambda times: _tide(times, gauge, phases)


def _phases(world: World) -> Doubles:
    return np.asarray(world.random("tide").uniform(0, 2 * np.pi, len(_TIDES)))


def _levels(world: World, rules: dict[str, Rule]) -> None:
    phases = _phases(world)
    flooded = [gauge for gauge in GAUGES if f"water.flood_{gauge.name.replace('-', '_')}" in rules]
    for number, gauge in enumerate(GAUGES):
        world.add(Thing(gauge.name, gauge.title, "hydrology", "water", gauge.lon, gauge.lat))
        turn = flooded.index(gauge) if gauge in flooded else -1
        rule = rules.get(f"water.flood_{gauge.name.replace('-', '_')}")
        signal = _level(world, gauge, phases, turn, rule)
        gaps = (
            Plan(
                world,
                "level-gap",
                5 * HOUR_US,
                (90 * MINUTE_US, 200 * MINUTE_US),
                first=2 * HOUR_US,
                turn=(number, len(GAUGES)),
            ),
            Plan(world, f"level-hiccup-{gauge.name}", 9 * HOUR_US, (12 * MINUTE_US, 20 * MINUTE_US)),
        )
        spikes = ((Plan(world, f"level-spike-{gauge.name}", 7 * HOUR_US, (MINUTE_US, MINUTE_US)), 1.4),)
        series = Series(
            gauge.name,
            "water_level",
            "water_level",
            "m",
            5 * MINUTE_US,
            signal,
            _LEVEL_NOISE,
            3,
            gaps=gaps,
            spikes=spikes,
        )
        world.add(series)
        if rule is not None:
            world.expect(
                limit_of(
                    rule,
                    series.key,
                    signal,
                    noise=_LEVEL_NOISE,
                    period=series.period,
                    gaps=gaps,
                    note="flood wave on the tide",
                )
            )
        if gauge.name in ("tan-chau", "hong-ngu"):
            world.expect(
                limit_of(
                    rules["water.fast_rise"],
                    series.key,
                    rise_within(signal, HOUR_US),
                    noise=2 * _LEVEL_NOISE,
                    period=series.period,
                    gaps=gaps,
                    note="water rising fast",
                )
            )
        world.expect(Quiet(rules["water.station_silent"], world, series, "station stops sending"))


def _level(world: World, gauge: Gauge, phases: Doubles, turn: int, rule: Rule | None) -> Signal:
    """Tide and stage, with floods to a level of the alarm ladder, waves that stay just under it, and rises."""
    if rule is None:
        rise = Plan(world, f"rise-{gauge.name}", 10 * HOUR_US, (4 * HOUR_US, 6 * HOUR_US), first=30 * MINUTE_US)
        slow = Plan(world, f"slow-rise-{gauge.name}", 13 * HOUR_US, (5 * HOUR_US, 7 * HOUR_US), first=9 * HOUR_US)
        if gauge.name != "hong-ngu":
            return lambda times: _tide(times, gauge, phases)
        return lambda times: (
            _tide(times, gauge, phases)
            + 0.95 * bump(times, rise.between(int(times[0]), int(times[-1]) + 1), 50 * MINUTE_US)
            + 0.45 * bump(times, slow.between(int(times[0]), int(times[-1]) + 1), 130 * MINUTE_US)
        )
    floods = Plan(
        world, "flood", 6 * HOUR_US, (4 * HOUR_US, 320 * MINUTE_US), first=10 * MINUTE_US, jitter=0.6, turn=(turn, 4)
    )
    nearly = Plan(
        world,
        f"flood-nearly-{gauge.name}",
        24 * HOUR_US,
        (4 * HOUR_US, 5 * HOUR_US),
        first=(6 * turn + 9) * HOUR_US,
        jitter=0.3,
    )
    steps = [float(rule.limit), *(float(level.above or 0) for level in rule.limit_levels())]

    def signal(times: Longs) -> Doubles:
        values = _tide(times, gauge, phases)
        begin, end = int(times[0]), int(times[-1]) + 1
        for flood in floods.between(begin, end):
            middle = np.array([(flood.begin + flood.end) // 2])
            step = min(2, int(flood.strength * 3))
            top = steps[step] + (0.09 if step == 2 else 0.6 * (steps[step + 1] - steps[step]))
            values = _towards(values, times, flood.begin, flood.end, top, middle)
        for wave in nearly.between(begin, end):
            middle = np.array([(wave.begin + wave.end) // 2])
            values = _towards(values, times, wave.begin, wave.end, steps[0] - 0.06, middle)
        return values

    return signal


def _towards(values: Doubles, times: Longs, begin: int, end: int, top: float, middle: Longs) -> Doubles:
    """Lets a level go over to `top` and back, smoothly, whatever the tide does meanwhile."""
    ramp = min(100 * MINUTE_US, (end - begin) // 3)
    depth = np.clip(np.minimum(times - begin, end - times) / ramp, 0, 1)
    share = 0.5 - 0.5 * np.cos(np.pi * depth)
    # A crest that is a little round, so that the highest level is reached once.
    crest = top - 0.03 * ((times - middle[0]) / (end - begin) * 2) ** 2
    return np.asarray(values + share * (crest - values))


def _salinity(world: World, rules: dict[str, Rule]) -> None:
    rule = rules["water.salinity"]
    stations = (*_SALT, ("my-tho", "", 0.0, 0.0, 0.32))
    for number, (name, title, lon, lat, fresh) in enumerate(stations):
        if title:
            world.add(Thing(name, title, "hydrology", "water", lon, lat))
        salt = Plan(world, "salt", 8 * HOUR_US, (5 * HOUR_US, 7 * HOUR_US), first=HOUR_US, turn=(number, 3))
        nearly = Plan(
            world,
            f"salt-nearly-{name}",
            24 * HOUR_US,
            (4 * HOUR_US, 5 * HOUR_US),
            first=(9 + 8 * number) * HOUR_US,
            jitter=0.2,
        )
        shift = float(world.random("salt-tide", name).uniform(0, 12.42))

        def signal(
            times: Longs, salt: Plan = salt, nearly: Plan = nearly, fresh: float = fresh, shift: float = shift
        ) -> Doubles:
            begin, end = int(times[0]), int(times[-1]) + 1
            values = fresh * (1 + 0.3 * np.cos(2 * np.pi * (times / HOUR_US - shift) / 12.4206))
            for one in salt.between(begin, end):
                top = 1.7 + one.strength if one.strength < 0.5 else 4.6 + one.strength
                values = _over(values, times, one.begin, one.end, top)
            for one in nearly.between(begin, end):
                values = _over(values, times, one.begin, one.end, 0.86)
            return values

        gaps = (Plan(world, "salt-gap", 16 * HOUR_US, (2 * HOUR_US, 3 * HOUR_US), first=7 * HOUR_US, turn=(number, 3)),)
        series = Series(
            name, "salinity", "salinity", "g/l", 10 * MINUTE_US, signal, _SALT_NOISE, 2, least=0.0, gaps=gaps
        )
        world.add(series)
        world.expect(
            limit_of(
                rule,
                series.key,
                signal,
                noise=_SALT_NOISE,
                period=series.period,
                gaps=gaps,
                note="salt water coming up the river",
            )
        )
        world.expect(Quiet(rules["water.station_silent"], world, series, "station stops sending"))


def _over(values: Doubles, times: Longs, begin: int, end: int, top: float) -> Doubles:
    ramp = (end - begin) // 3
    depth = np.clip(np.minimum(times - begin, end - times) / ramp, 0, 1)
    share = 0.5 - 0.5 * np.cos(np.pi * depth)
    return np.asarray(values + share * (top - values))


def _air(world: World, rules: dict[str, Rule]) -> None:
    for number, (name, title, lon, lat) in enumerate(_AIR):
        world.add(Thing(name, title, "air", "water", lon, lat))
        smoke = Plan(
            world, "smoke", 7 * HOUR_US, (3 * HOUR_US, 5 * HOUR_US), first=5 * MINUTE_US, jitter=0.4, turn=(number, 3)
        )
        nearly = Plan(
            world,
            f"smoke-nearly-{name}",
            21 * HOUR_US,
            (3 * HOUR_US, 4 * HOUR_US),
            first=(7 * number + 12) * HOUR_US,
            jitter=0.2,
        )

        def dust(times: Longs, smoke: Plan = smoke, nearly: Plan = nearly) -> Doubles:
            begin, end = int(times[0]), int(times[-1]) + 1
            values = 20 + 7 * np.cos(2 * np.pi * (local_hour(times) - 7) / 12)
            for one in smoke.between(begin, end):
                top = 95 + 30 * one.strength if one.strength < 0.6 else 165 + 30 * one.strength
                values = _over(values, times, one.begin, one.end, top)
            for one in nearly.between(begin, end):
                values = _over(values, times, one.begin, one.end, 70.0)
            return values

        spikes = ((Plan(world, f"dust-spike-{name}", 6 * HOUR_US, (MINUTE_US, MINUTE_US)), 120.0),)
        pm25 = Series(name, "pm25", "pm25", "µg/m³", 10 * MINUTE_US, dust, _DUST_NOISE, 1, least=1.0, spikes=spikes)
        world.add(pm25, Series(name, "pm10", "pm10", "µg/m³", 10 * MINUTE_US, _line(8, 1.4, dust), 4.0, 1, least=1.0))
        world.expect(
            limit_of(
                rules["water.pm25"],
                pm25.key,
                dust,
                noise=_DUST_NOISE,
                period=pm25.period,
                note="smoke from burning straw",
            )
        )


def _line(base: float, slope: float, signal: Signal) -> Signal:
    """A signal that follows another in a straight line."""

    def follow(times: Longs) -> Doubles:
        return base + slope * signal(times)

    return follow


def _weather(world: World, rules: dict[str, Rule]) -> None:
    rule = rules["water.squall"]
    for number, (name, title, lon, lat) in enumerate(_WEATHER):
        world.add(Thing(name, title, "weather", "water", lon, lat))
        squall = Plan(
            world, "squall", 6 * HOUR_US, (70 * MINUTE_US, 110 * MINUTE_US), first=90 * MINUTE_US, turn=(number, 4)
        )
        shower = Plan(world, f"shower-{name}", 15 * HOUR_US, (60 * MINUTE_US, 90 * MINUTE_US), first=3 * HOUR_US)
        gale = Plan(world, f"gale-{name}", 20 * HOUR_US, (60 * MINUTE_US, 90 * MINUTE_US), first=4 * HOUR_US)

        def rain(times: Longs, squall: Plan = squall, shower: Plan = shower) -> Doubles:
            begin, end = int(times[0]), int(times[-1]) + 1
            return 14 * bump(times, squall.between(begin, end), 20 * MINUTE_US) + 12 * bump(
                times, shower.between(begin, end), 20 * MINUTE_US
            )

        def wind(times: Longs, squall: Plan = squall, gale: Plan = gale) -> Doubles:
            begin, end = int(times[0]), int(times[-1]) + 1
            return (
                2.5
                + 1.2 * np.cos(2 * np.pi * (local_hour(times) - 15) / 24)
                + 15 * bump(times, squall.between(begin, end), 20 * MINUTE_US)
                + 12 * bump(times, gale.between(begin, end), 20 * MINUTE_US)
            )

        def heat(times: Longs, squall: Plan = squall) -> Doubles:
            begin, end = int(times[0]), int(times[-1]) + 1
            return (
                28
                + 4 * np.cos(2 * np.pi * (local_hour(times) - 14) / 24)
                - 4 * bump(times, squall.between(begin, end), 20 * MINUTE_US)
            )

        period = 10 * MINUTE_US
        world.add(
            Series(name, "rain_10m", "rain_10m", "mm", period, rain, 0.0, 1, least=0.0),
            Series(name, "wind", "wind_speed", "m/s", period, wind, 0.4, 1, least=0.0),
            Series(name, "temperature", "air_temperature", "°C", period, heat, 0.2, 1),
            Series(name, "humidity", "relative_humidity", "%", period, _line(145, -2.3, heat), 1.5, 0, least=0.0),
        )

        def both(times: Longs, rain: Signal = rain, wind: Signal = wind) -> Doubles:
            return np.minimum(rain(times) / 8, wind(times) / 12)

        world.expect(
            Limit(
                rule.name,
                name,
                both,
                [(1.0, rule.severity)],
                0.12,
                rule.on_delay,
                rule.off_delay,
                period=period,
                note="squall",
            )
        )

"""Flights of planthoppers in light-trap catches: peaks told from moonlight, harvest, lamp outages and missing nights.

The peak rule of the domain (`parameters.toml`): the mean of `flight_mean_nights` is at least `flight_factor` times the
median of the `flight_median_nights` before them, then a night falls. What keeps it from firing at everything else:

- nights on which the lamp burnt less than `flight_part_of_catch` of its usual hours are missing, other short nights are
  scaled to a full one; a night of (nearly) nothing among ordinary ones is a failed lamp too, reported or not;
- what moonlight adds is taken out: each trap's own effect of the lit share, drawn to `moon_effect`;
- during a harvest and `harvest_days` after it, `harvest_factor` times as much is asked for;
- the rise must stand out of the trap's own noise by `flight_sure` standard errors, and not rest on a single night.

Weekly counts: the mean is of one week, the median of eight, and one standard error is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from thap.domains.rice.moon import moon_lit

__all__ = [
    "Alert",
    "Catches",
    "Flight",
    "Wind",
    "ZoneFlight",
    "alert_level",
    "find_flights",
    "find_flights_many",
    "zone_flights",
]

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Origin = Literal["immigration", "local", "unknown"]
Alert = Literal["none", "watch", "high"]
_WEEKS_OF_MEDIAN = 8
_LUNATION = 29
_FEWEST_BEFORE = 5
_GENERATION = (20, 31)
"""Nights after a flight in which its offspring fly, in the Mekong Delta: 25-28 days a cycle, 22-25 between peaks."""
_PRIOR_NIGHTS = 20.0
"""Weight of the shipped effect of the moon, in nights of full contrast."""


@dataclass(frozen=True, slots=True)
class Catches:
    """Counts of one pest in one trap, evenly spaced; NaN where a night (or week) was not counted."""

    first: date
    counts: Doubles
    step_days: int = 1
    """1: nightly; 7: weekly, each count dated by the first day of its week."""
    lamp_hours: Doubles | None = None
    """Hours the lamp burnt, by night; NaN where unknown."""
    harvest: Flags | None = None
    """Nights of harvest near by."""

    def day(self, index: int) -> date:
        """The date of a count."""
        return self.first + timedelta(days=index * self.step_days)


@dataclass(frozen=True, slots=True)
class Wind:
    """Wind of the nights of a trap, on the same days as its `Catches`; NaN where unknown."""

    from_deg: Doubles
    """Direction it blows from, degrees clockwise of north."""
    speed_kmh: Doubles


@dataclass(frozen=True, slots=True)
class Flight:
    """One flight seen by one trap."""

    peak: date
    first: date
    last: date
    catch: float
    """The catch of the peak night (or week), as counted."""
    background: float
    """The median before, as on a night of half a moon."""
    ratio: float
    """How many times the background the mean of the highest nights was."""
    confirmed: bool
    """False while no night has fallen since: the peak may still be ahead."""
    origin: Origin = "unknown"
    confounders: tuple[str, ...] = ()
    """Of `moon`, `harvest`, `missing`, `lamp`: what was near, and does not explain the rise alone."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: dates as ISO 8601."""
        return {
            "peak": self.peak.isoformat(),
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "catch": round(self.catch, 2),
            "background": round(self.background, 2),
            "ratio": round(self.ratio, 2),
            "confirmed": self.confirmed,
            "origin": self.origin,
            "confounders": list(self.confounders),
        }


@dataclass(frozen=True, slots=True)
class ZoneFlight:
    """One flight seen across a zone."""

    peak: date
    """Median of the traps' peaks."""
    first: date
    last: date
    traps: tuple[str, ...]
    """Keys of the traps that saw it."""
    counted: int
    """Traps that counted in those nights."""
    highest: float
    common: float
    """Median of the catches at the traps' peaks."""
    origin: Origin = "unknown"
    evidence: Mapping[str, Flight] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: dates as ISO 8601."""
        return {
            "peak": self.peak.isoformat(),
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "traps": list(self.traps),
            "counted": self.counted,
            "highest": round(self.highest, 2),
            "common": round(self.common, 2),
            "origin": self.origin,
        }


def find_flights(
    catches: Catches,
    parameters: Mapping[str, float],
    wind: Wind | None = None,
    due: Sequence[tuple[date, date]] = (),
) -> list[Flight]:
    """The flights of a trap, in order.

    Args:
        catches: its nights or weeks.
        parameters: the domain's.
        wind: where known, tells immigration from local emergence: a flight that rose on winds from where immigrants
            come, and that no local generation explains, is immigration.
        due: when offspring of known cohorts fly (`biology.Cohort`, `next_flight`); the trap's own earlier flights
            20 to 31 nights before are known without.
    """
    if len(catches.counts) < 3:
        return []
    seen = _clean(catches, parameters)
    flights: list[Flight] = []
    for begin, end, base in _rises(seen, catches, parameters):
        one = _flight(seen, catches, begin, end, base)
        if one is None:
            continue
        if flights and (one.peak - flights[-1].peak).days < max(8, catches.step_days + 1):
            kept = max(flights[-1], one, key=lambda flight: flight.catch)
            flights[-1] = replace(kept, first=flights[-1].first, last=one.last, confirmed=one.confirmed)
        else:
            flights.append(one)
    if wind is None:
        return flights
    return [replace(one, origin=_origin(one, flights, catches, wind, parameters, due)) for one in flights]


def alert_level(catch: float, parameters: Mapping[str, float]) -> Alert:
    """What a catch of a trap and night calls for: `catch_watch` and `catch_high` of the parameters, both reached at
    equality; NaN calls for nothing."""
    if catch >= parameters["catch_high"]:
        return "high"
    return "watch" if catch >= parameters["catch_watch"] else "none"


def find_flights_many(
    traps: Mapping[str, Catches], parameters: Mapping[str, float], winds: Mapping[str, Wind] | None = None
) -> dict[str, list[Flight]]:
    """`find_flights` of many traps; key → flights."""
    winds = winds or {}
    return {key: find_flights(catches, parameters, winds.get(key)) for key, catches in traps.items()}


def zone_flights(
    traps: Mapping[str, Catches],
    parameters: Mapping[str, float],
    flights: Mapping[str, Sequence[Flight]] | None = None,
) -> list[ZoneFlight]:
    """Flights that at least `zone_share` of a zone's counting traps saw within a few nights of each other.

    Args:
        traps: the zone's, by key.
        parameters: the domain's.
        flights: what `find_flights` found, by key; found here where None.
    """
    found = flights if flights is not None else find_flights_many(traps, parameters)
    every = sorted(((one, key) for key, many in found.items() for one in many), key=lambda pair: pair[0].peak)
    steps = max((catches.step_days for catches in traps.values()), default=1)
    groups: list[dict[str, Flight]] = []
    for one, key in every:
        if groups and key not in groups[-1] and (one.peak - _middle(groups[-1])).days <= max(4, steps):
            groups[-1][key] = one
        else:
            groups.append({key: one})
    made = []
    for group in groups:
        peak = _middle(group)
        counted = sum(_counted_near(catches, peak) for catches in traps.values())
        if len(group) < max(1.0, parameters["zone_share"] * counted):
            continue
        catches_ = [one.catch for one in group.values()]
        origins: list[Origin] = [one.origin for one in group.values() if one.origin != "unknown"]
        made.append(
            ZoneFlight(
                peak,
                min(one.first for one in group.values()),
                max(one.last for one in group.values()),
                tuple(sorted(group)),
                counted,
                max(catches_),
                float(np.median(catches_)),
                max(origins, key=origins.count) if origins else "unknown",
                group,
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class _Seen:
    """A trap's counts made comparable."""

    level: Doubles
    """Natural logarithm of count + 1, moonlight taken out; NaN where missing."""
    lit: Doubles
    lamp: Flags
    """Nights taken as missing because the lamp failed."""
    harvest: Flags
    """Nights of harvest and those after in which it is felt."""
    noise: float
    """Standard deviation of a night's level around its neighbours'."""


def _clean(catches: Catches, parameters: Mapping[str, float]) -> _Seen:
    counts = np.array(catches.counts, np.float64)
    counts[counts < 0] = np.nan
    size, step = len(counts), catches.step_days
    lamp = np.zeros(size, bool)
    if catches.lamp_hours is not None:
        hours = np.asarray(catches.lamp_hours, np.float64)
        full = float(np.nanmedian(hours)) if np.isfinite(hours).any() else np.nan
        share = np.where(np.isfinite(hours) & (full > 0), hours / full, 1.0)
        lamp = share < parameters["flight_part_of_catch"]
        counts = np.where(lamp, np.nan, counts / np.clip(share, parameters["flight_part_of_catch"], 1.0))
    if step == 1:
        # The wider look is for outages so long that they are most of what is near.
        usual = np.fmax(_median_around(counts, 7), _median_around(counts, _LUNATION))
        failed = (counts <= 0.05 * usual) & (usual >= parameters["flight_least_catch"])
        counts, lamp = np.where(failed, np.nan, counts), lamp | failed
    level = np.log1p(counts)
    lit = moon_lit(catches.first, size, step)
    effect = _moon_effect(level, lit, step, parameters["moon_effect"])
    level = level - effect * (lit - 0.5)
    around = level - _median_around(level, 3)
    near = around[np.isfinite(around)]
    noise = 1.4826 * float(np.median(np.abs(near))) * 1.1 if len(near) else 0.5
    harvest = np.zeros(size, bool)
    if catches.harvest is not None:
        after = max(1, round(parameters["harvest_days"] / step))
        for shift in range(after + 1):
            harvest[shift:] |= np.asarray(catches.harvest, bool)[: size - shift]
    return _Seen(level, lit, lamp, harvest, min(max(noise, 0.15), 1.0))


def _rises(seen: _Seen, catches: Catches, parameters: Mapping[str, float]) -> list[tuple[int, int, float]]:
    """First and last index of every stretch in which the rule holds, and the background before it."""
    nightly = catches.step_days == 1
    short = round(parameters["flight_mean_nights"]) if nightly else 1
    before = _before(seen.level, short, round(parameters["flight_median_nights"]) if nightly else _WEEKS_OF_MEDIAN)
    catch = np.expm1(seen.level)
    mean, middle, known = _recent(catch, short)
    with np.errstate(invalid="ignore", divide="ignore"):
        base = np.maximum(np.expm1(before), 1.0)
        sure = parameters["flight_sure"] if nightly else 1.0
        noise = np.exp(sure * seen.noise / np.sqrt(np.maximum(known, 1)))
        factor = np.maximum(parameters["flight_factor"], noise)
        factor = factor * np.where(seen.harvest, parameters["harvest_factor"], 1.0)
        enough = known >= min(2, short)
        high = enough & (mean >= factor * base) & (mean >= parameters["flight_least_catch"])
        high &= middle >= parameters["flight_factor"] * 0.75 * base
    stretches: list[tuple[int, int]] = []
    for index in np.flatnonzero(high).tolist():
        if stretches and index - stretches[-1][1] <= 2:
            stretches[-1] = (stretches[-1][0], index)
        else:
            stretches.append((index, index))
    return [(max(0, begin - short + 1), end, float(base[begin])) for begin, end in stretches]


def _flight(seen: _Seen, catches: Catches, begin: int, end: int, base: float) -> Flight | None:
    """The flight of a stretch; None where no night of it was counted."""
    level = seen.level
    inside = level[begin : end + 1]
    if not np.isfinite(inside).any():
        return None
    top = begin + int(np.nanargmax(inside))
    nightly = catches.step_days == 1
    later = level[top + 1 :]
    fell = bool((later[np.isfinite(later)][:3] < level[top]).any())
    reach = 2 if nightly else 0
    crest = np.expm1(level[max(0, top - 1) : top + reach])
    missing = np.isnan(catches.counts[max(0, begin - 3) : end + 2])
    near = {
        "moon": bool(nightly and seen.lit[top] > 0.8),
        "harvest": bool(seen.harvest[top]),
        "missing": bool(missing.any()),
        "lamp": bool(seen.lamp[max(0, begin - 3) : end + 2].any()),
    }
    last = end if not fell else max(top, end - 1)
    return Flight(
        catches.day(top),
        catches.day(begin),
        catches.day(last),
        float(catches.counts[top]),
        base,
        float(np.nanmean(crest)) / max(base, 1.0),
        fell,
        confounders=tuple(name for name, there in near.items() if there),
    )


def _origin(
    one: Flight,
    flights: Sequence[Flight],
    catches: Catches,
    wind: Wind,
    parameters: Mapping[str, float],
    due: Sequence[tuple[date, date]],
) -> Origin:
    low, high = ((day - catches.first).days // catches.step_days for day in (one.first, one.peak))
    nights = slice(max(0, low - 1), high + 1)
    direction, speed = wind.from_deg[nights], wind.speed_kmh[nights]
    known = np.isfinite(direction) & np.isfinite(speed)
    if not known.any():
        return "unknown"
    off = np.abs((direction[known] - parameters["wind_from_deg"] + 180) % 360 - 180)
    carried = (off <= parameters["wind_sector_deg"]) & (speed[known] >= parameters["wind_least_kmh"])
    home = any(_GENERATION[0] <= (one.peak - other.peak).days <= _GENERATION[1] for other in flights)
    home = home or any(early <= one.peak <= late for early, late in due)
    if float(carried.mean()) >= 0.5:
        return "unknown" if home else "immigration"
    return "local"


def _moon_effect(level: Doubles, lit: Doubles, step: int, prior: float) -> float:
    """How much a full moon adds to the logarithm of a catch: least absolute error, drawn to the prior.

    Each night is set against the median of a lunation around it, so that seasons do not count as moonlight, and a
    flight is one of few nights that least absolute error leaves aside.
    """
    half = max(2, _LUNATION // (2 * step))
    around, light = level - _median_around(level, half), lit - _median_around(lit, half)
    use = np.isfinite(around) & np.isfinite(light)
    around, light = around[use] - np.median(around[use]) if use.any() else around[use], light[use]
    effect, towards = prior, _PRIOR_NIGHTS / step * 0.25
    for _ in range(8):
        weight = 1 / np.maximum(np.abs(around - effect * light), 0.2)
        effect = float(((weight * light * around).sum() + towards * prior) / ((weight * light**2).sum() + towards))
    return min(max(effect, -1.5), 1.5)


def _windows(values: Doubles, length: int, before: int) -> Doubles:
    """Rows of `length` values that end `before` positions before each position; NaN beyond the begin."""
    padded = np.concatenate([np.full(length + before - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, length)[: len(values)]


def _median(rows: Doubles) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """Median of each row without NaN, and how many values it has."""
    known = np.isfinite(rows).sum(axis=1)
    ordered = np.sort(rows, axis=1)
    at = np.arange(len(rows))
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, rows.shape[1] - 1)
    return np.where(known > 0, (ordered[at, low] + ordered[at, high]) / 2, np.nan), known


def _before(level: Doubles, gap: int, length: int) -> Doubles:
    """Median of the nights before the last `gap`; of twice as many where few of them were counted."""
    middle, known = _median(_windows(level, length, gap))
    longer, more = _median(_windows(level, 2 * length, gap))
    few = known < _FEWEST_BEFORE
    return np.where(few, np.where(more >= _FEWEST_BEFORE, longer, np.nan), middle)


def _recent(catch: Doubles, length: int) -> tuple[Doubles, Doubles, npt.NDArray[np.int64]]:
    """Mean and median of the last nights that were counted, and their number; only where the night itself was."""
    rows = _windows(catch, length, 0)
    middle, known = _median(rows)
    mean = np.where(known > 0, np.nansum(rows, axis=1) / np.maximum(known, 1), np.nan)
    counted = np.isfinite(catch)
    return np.where(counted, mean, np.nan), np.where(counted, middle, np.nan), known


def _median_around(values: Doubles, half: int) -> Doubles:
    padded = np.concatenate([np.full(half, np.nan), values, np.full(half, np.nan)])
    return _median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1))[0]


def _middle(group: Mapping[str, Flight]) -> date:
    days = sorted(one.peak for one in group.values())
    return days[len(days) // 2]


def _counted_near(catches: Catches, day: date) -> bool:
    at = (day - catches.first).days // catches.step_days
    near = catches.counts[max(0, at - 2) : max(0, at + 3)]
    return bool(np.isfinite(near).any())

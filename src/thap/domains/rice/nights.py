"""Nights of a light trap with planted flights and everything that looks like one: for the demo, tests and benchmarks.

A trap's background drifts over weeks between some twenty and a hundred and fifty planthoppers a night. Flights come
22 to 30 nights apart, rise within two or three nights to 5 to 25 times the background and fall. Confounders: moonlight
(1.3 to 2.2 times as many on the brightest night as on the darkest), harvests (1.6 to 2.4 times as many for four to six
nights, known of the crop calendar), lamp outages of one to four nights (half of them reported as lamp hours, half seen
only by the count), nights that nobody sent, noise of a third to a half from night to night.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from thap.domains.rice.flights import Catches, Flight, Wind
from thap.domains.rice.moon import moon_lit

__all__ = ["Planted", "Scored", "plant", "score"]


@dataclass(frozen=True, slots=True)
class Planted:
    """A trap's nights and what was planted in them."""

    catches: Catches
    wind: Wind
    peaks: tuple[date, ...]
    """Flights that the counts show: the peak night and one neighbour counted, two weeks of nights before."""
    doubtful: tuple[date, ...]
    """Flights that fell into an outage, missing nights or the first or last nights: found or not, both are right."""
    carried: tuple[bool, ...]
    """For each of `peaks`, whether it came on the wind."""


@dataclass(slots=True)
class Scored:
    """Flights found against flights planted."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    def add(self, planted: Planted, found: list[Flight], tolerance_nights: int = 3) -> None:
        """Take a trap in: a flight is right if its peak is within the tolerance of a planted one."""
        left = list(found)
        for peak in planted.peaks:
            near = [one for one in left if abs((one.peak - peak).days) <= tolerance_nights]
            if near:
                left.remove(min(near, key=lambda one: abs((one.peak - peak).days)))
                self.right += 1
            else:
                self.missed += 1
        self.wrong += sum(
            not any(abs((one.peak - day).days) <= tolerance_nights + 2 for day in planted.doubtful) for one in left
        )


def plant(seed: int, nights: int = 180, first: date = date(2026, 1, 1)) -> Planted:
    """A trap's nights, a function of the seed alone."""
    random = np.random.default_rng([seed, 20])
    at = np.arange(nights)
    drift = np.cumsum(random.normal(0, 0.04, nights))
    background = np.clip(np.exp(random.uniform(3.3, 4.6) + drift - drift.mean()), 15, 150)
    moon = np.exp(random.uniform(0.25, 0.8) * (moon_lit(first, nights) - 0.5))
    harvest = np.zeros(nights, bool)
    for begin in _spaced(random, nights, 70, 100):
        harvest[begin : begin + int(random.integers(4, 7))] = True
    extra = np.where(harvest, random.uniform(1.6, 2.4), 1.0)
    flights = _spaced(random, nights, 22, 30)
    rise = np.zeros(nights)
    carried = []
    direction, speed = random.uniform(90, 330, nights), random.gamma(4, 1.5, nights)
    for number, peak in enumerate(flights):
        height, width = float(np.exp(random.uniform(np.log(5), np.log(25)))), float(random.uniform(1.2, 2.2))
        rise += (height - 1) * np.exp(-0.5 * ((at - peak) / width) ** 2)
        came = number == 0 or bool(random.random() < 0.2)
        carried.append(came)
        if came:
            near = slice(max(0, peak - 4), peak + 1)
            direction[near], speed[near] = random.uniform(20, 70, nights)[near], random.uniform(8, 20, nights)[near]
    noise = random.normal(0, random.uniform(0.3, 0.45), nights)
    counts = random.poisson(background * moon * extra * (1 + rise) * np.exp(noise)).astype(np.float64)
    hours = np.clip(random.normal(3.0, 0.1, nights), 2.4, 3.0)
    dark = np.zeros(nights, bool)
    for begin in _spaced(random, nights, 35, 70):
        end = begin + int(random.integers(1, 5))
        part = random.uniform(0.0, 0.4) if random.random() < 0.5 else None
        dark[begin:end] = True
        if part is not None:
            hours[begin:end] = 3.0 * part
            counts[begin:end] = np.round(counts[begin:end] * part)
        else:
            counts[begin:end] = np.round(counts[begin:end] * 0.01)
    missing = random.random(nights) < 0.04
    counts[missing] = np.nan
    hours[missing] = np.nan
    clear = ~(dark | missing)
    sure = [
        14 <= peak < nights - 2
        and bool(clear[peak])
        and bool(clear[peak - 1 : peak + 2].sum() >= 2)
        and bool(clear[peak - 13 : peak - 3].sum() >= 6)
        for peak in flights
    ]
    days = [first + timedelta(days=int(peak)) for peak in flights]
    return Planted(
        Catches(first, counts, 1, hours, harvest),
        Wind(direction, speed),
        tuple(day for day, known in zip(days, sure, strict=True) if known),
        tuple(day for day, known in zip(days, sure, strict=True) if not known),
        tuple(came for came, known in zip(carried, sure, strict=True) if known),
    )


def score(seeds: range, parameters: dict[str, float], nights: int = 180) -> Scored:
    """Precision and recall of `find_flights` on planted traps."""
    from thap.domains.rice.flights import find_flights

    made = Scored()
    for seed in seeds:
        planted = plant(seed, nights)
        made.add(planted, find_flights(planted.catches, parameters))
    return made


def _spaced(random: np.random.Generator, nights: int, least: int, most: int) -> npt.NDArray[np.int64]:
    """Moments from a random first one, each `least` to `most` nights after the one before."""
    made, day = [], int(random.integers(3, most))
    while day < nights:
        made.append(day)
        day += int(random.integers(least, most + 1))
    return np.array(made, np.int64)

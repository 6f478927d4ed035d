"""The demo world: a province whose every value is a function of a seed and the time.

Domains add things, series of observations and movers, and plan *episodes*: stretches in which something
happens. From the same plans, without noise, the world says what ought to be noticed: its *truth*. Asking for
the records of ten minutes at once or second by second gives the same records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from thap.detect.detector import Severity
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

__all__ = ["Episode", "Mover", "Observations", "Path", "Plan", "Positions", "Series", "Thing", "Truth", "World", "bump"]

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Signal = Callable[[Longs], Doubles]
Door = Literal["mqtt", "http", "ais", "osmand"]
_OFFSET_US = 7 * HOUR_US
_DEG_M = 110_600.0


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of simulated time in which something happens."""

    index: int
    begin: int
    """µs."""
    end: int
    strength: float
    """0…1, evenly drawn: how strong it is, within what its kind allows."""

    @property
    def hours(self) -> float:
        return (self.end - self.begin) / HOUR_US


class Plan:
    """Episodes of one kind, one in every period, at a moment and of a length that the seed decides.

    Args:
        world: whose seed counts.
        name: tells plans apart; the same name gives the same episodes.
        every: period, µs.
        length: shortest and longest episode, µs; shorter than the period.
        first: begin of the first period, µs after the world's start.
        jitter: share of what the period leaves free within which the begin is drawn.
        turn: of `turn[1]` sources that take turns, this is number `turn[0]`.
        midnight: periods count from Vietnamese midnight before the start instead of from the start.
    """

    def __init__(
        self,
        world: World,
        name: str,
        every: int,
        length: tuple[int, int],
        *,
        first: int = 0,
        jitter: float = 1.0,
        turn: tuple[int, int] = (0, 1),
        midnight: bool = False,
    ) -> None:
        self._world, self._name, self._every, self._length = world, name, every, length
        self._first = (world.midnight if midnight else world.start) + first
        self._jitter, self._turn = jitter, turn
        self._known: dict[int, Episode] = {}

    def between(self, begin: int, end: int) -> list[Episode]:
        """Episodes that overlap a stretch of time, in order."""
        lowest = max(0, (begin - self._first) // self._every - 1)
        highest = (end - self._first) // self._every
        found = (self._episode(k) for k in range(lowest, highest + 1) if k % self._turn[1] == self._turn[0])
        return [episode for episode in found if episode.begin < end and episode.end > begin]

    def _episode(self, k: int) -> Episode:
        known = self._known.get(k)
        if known is None:
            if len(self._known) > 1000:
                self._known.clear()
            known = self._known[k] = self._draw(k)
        return known

    def _draw(self, k: int) -> Episode:
        where, size, strength = self._world.random(self._name, k).random(3)
        length = round(self._length[0] + size * (self._length[1] - self._length[0]))
        begin = self._first + k * self._every + round(where * self._jitter * (self._every - length))
        begin -= begin % MINUTE_US
        return Episode(k, begin, begin + length - length % MINUTE_US, float(strength))


def bump(times: Longs, episodes: Iterable[Episode], ramp: int) -> Doubles:
    """1 within episodes and 0 outside, with half-cosine ramps of `ramp` µs inside either end."""
    total = np.zeros(len(times))
    for episode in episodes:
        edge = max(1, min(ramp, (episode.end - episode.begin) // 2))
        depth = np.minimum(times - episode.begin, episode.end - times) / edge
        total = np.maximum(total, 0.5 - 0.5 * np.cos(np.pi * np.clip(depth, 0, 1)))
    return total


@dataclass(frozen=True, slots=True)
class Truth:
    """Something that ought to be noticed, or (where not `certain`) that may or may not be."""

    condition: str
    """Name of the rule."""
    source: str
    """Key of the datastream, thing or mover."""
    start: int
    """When the condition becomes true, µs."""
    end: int
    """When it ceases."""
    severity: Severity
    """The highest step it reaches."""
    on_delay: int = 0
    """How long it must hold before the rule may raise, µs."""
    certain: bool = True
    """False where it lies within the noise of the limit: an alarm is neither right nor wrong."""
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As in the truth file."""
        return {
            "condition": self.condition,
            "source": self.source,
            "start": self.start,
            "end": self.end,
            "severity": self.severity.name.lower(),
            "on_delay": self.on_delay,
            "certain": self.certain,
            "note": self.note,
        }

    @classmethod
    def of(cls, body: dict[str, Any]) -> Truth:
        """Inverse of `as_dict`."""
        return cls(**{**body, "severity": Severity[body["severity"].upper()]})


@dataclass(frozen=True, slots=True)
class Thing:
    """A station, trap or camera."""

    name: str
    title: str
    kind: str
    domain: str
    lon: float
    lat: float


@dataclass(frozen=True, slots=True)
class Series:
    """One datastream."""

    thing: str
    name: str
    observes: str
    """Observed property."""
    unit: str
    period: int
    """µs between two observations."""
    signal: Signal
    """The value without noise."""
    noise: float = 0.0
    """Standard deviation."""
    decimals: int = 2
    least: float = -math.inf
    """No value is lower."""
    phase: int = 0
    """µs after whole periods at which it measures."""
    door: Door = "mqtt"
    gaps: tuple[Plan, ...] = ()
    """In their episodes it sends nothing."""
    spikes: tuple[tuple[Plan, float], ...] = ()
    """A single observation, the first in each episode, is off by this much."""

    @property
    def key(self) -> str:
        return f"{self.thing}/{self.name}"


class Path(Protocol):
    """Where a mover is, without noise."""

    def __call__(self, times: Longs) -> tuple[Doubles, Doubles]:
        """Longitudes and latitudes."""
        ...


@dataclass(frozen=True, slots=True)
class Mover:
    """A vessel or vehicle."""

    key: str
    name: str
    kind: str
    domain: str
    period: int
    """µs between two positions."""
    path: Path
    door: Door
    noise_m: float = 5.0
    """Standard deviation of each coordinate."""
    ship_type: int = 0
    """As in AIS message 24."""
    gaps: tuple[Plan, ...] = ()


@dataclass(slots=True)
class Observations:
    """Observations of a stretch of time for one door, ordered by time."""

    keys: list[str] = field(default_factory=list)
    times: Longs = field(default_factory=lambda: np.empty(0, np.int64))
    results: Doubles = field(default_factory=lambda: np.empty(0))


@dataclass(slots=True)
class Positions:
    """Positions of a stretch of time for one door, ordered by time."""

    keys: list[str] = field(default_factory=list)
    times: Longs = field(default_factory=lambda: np.empty(0, np.int64))
    lons: Doubles = field(default_factory=lambda: np.empty(0))
    lats: Doubles = field(default_factory=lambda: np.empty(0))
    speeds_kn: Doubles = field(default_factory=lambda: np.empty(0))
    courses_deg: Doubles = field(default_factory=lambda: np.empty(0))


class World:
    """All that is simulated.

    Args:
        seed: decides every draw.
        start: begin of simulated time, µs.
    """

    def __init__(self, seed: int, start: int) -> None:
        self.seed, self.start = seed, start
        self.midnight = start - (start + _OFFSET_US) % DAY_US
        """The latest Vietnamese midnight at the start."""
        self.things: dict[str, Thing] = {}
        self.series: dict[str, Series] = {}
        self.movers: dict[str, Mover] = {}
        self._truths: list[Callable[[int, int], Iterable[Truth]]] = []
        self._noise = lru_cache(maxsize=512)(self._draw_noise)

    def random(self, *name: object) -> np.random.Generator:
        """A generator of its own for a name."""
        return np.random.default_rng([self.seed, crc32("/".join(map(str, name)).encode())])

    def add(self, *parts: Thing | Series | Mover) -> None:
        """Add parts; a name may be added once."""
        for part in parts:
            shelf: dict[str, Any] = (
                self.things if isinstance(part, Thing) else self.series if isinstance(part, Series) else self.movers
            )
            key = part.name if isinstance(part, Thing) else part.key
            if key in shelf:
                raise ValueError(f"{key} is in the world already")
            shelf[key] = part

    def expect(self, truth: Callable[[int, int], Iterable[Truth]]) -> None:
        """Add what ought to be noticed: a function of a stretch of time."""
        self._truths.append(truth)

    def truth(self, begin: int, end: int) -> list[Truth]:
        """Everything to be noticed that starts in a stretch of time, by start."""
        found = [self._clipped(one) for part in self._truths for one in part(begin, end)]
        found = [one for one in found if begin <= one.start < end]
        return sorted(found, key=lambda one: (one.start, one.condition, one.source))

    def _clipped(self, one: Truth) -> Truth:
        """Of something that had begun before the world did, the part that can be seen."""
        return replace(one, start=self.start, certain=False) if one.start < self.start < one.end else one

    def observations(self, after: int, upto: int, door: Door | None = None) -> Observations:
        """Observations with after < time ≤ upto, of one door or all."""
        keys: list[str] = []
        times: list[Longs] = []
        results: list[Doubles] = []
        for series in self.series.values():
            if door in (None, series.door) and len(at := self.due(series, after, upto)):
                keys += [series.key] * len(at)
                times.append(at)
                results.append(self._values(series, at))
        if not keys:
            return Observations()
        time, result = np.concatenate(times), np.concatenate(results)
        order = np.argsort(time, kind="stable")
        return Observations([keys[i] for i in order.tolist()], time[order], result[order])

    def positions(self, after: int, upto: int, door: Door | None = None) -> Positions:
        """Positions with after < time ≤ upto, of one door or all."""
        keys: list[str] = []
        columns: list[tuple[Any, ...]] = []
        for mover in self.movers.values():
            if door in (None, mover.door) and len(at := self.due(mover, after, upto)):
                keys += [mover.key] * len(at)
                columns.append((at, *self._fixes(mover, at)))
        if not keys:
            return Positions()
        time, *rest = (np.concatenate(column) for column in zip(*columns, strict=True))
        order = np.argsort(time, kind="stable")
        return Positions([keys[i] for i in order.tolist()], time[order], *(column[order] for column in rest))

    def due(self, part: Series | Mover, after: int, upto: int) -> Longs:
        """When a part speaks in (after, upto], µs; movers are spread evenly over their period."""
        key = part.key
        phase = part.phase if isinstance(part, Series) else crc32(key.encode()) % (part.period // SECOND_US) * SECOND_US
        first = (after - phase) // part.period + 1
        times = np.arange(first, (upto - phase) // part.period + 1, dtype=np.int64) * part.period + phase
        for plan in part.gaps if len(times) else ():
            for gap in plan.between(after - DAY_US, upto + 1):
                times = times[(times < gap.begin) | (times >= gap.end)]
        return times

    def _values(self, series: Series, times: Longs) -> Doubles:
        values = series.signal(times) + series.noise * self._normal(series.key, series.period, times)
        for plan, size in series.spikes:
            for one in plan.between(int(times[0]) - series.period, int(times[-1]) + 1):
                values[(times >= one.begin) & (times < one.begin + series.period)] += size
        # Adding nothing turns a negative zero into zero.
        return np.maximum(np.round(values, series.decimals), series.least) + 0.0

    def _fixes(self, mover: Mover, times: Longs) -> tuple[Doubles, Doubles, Doubles, Doubles]:
        step = 5 * SECOND_US
        (x0, lon, x1), (y0, lat, y1) = (
            np.split(part, 3) for part in mover.path(np.concatenate([times - step, times, times + step]))
        )
        shrink = np.cos(np.radians(lat))
        east, north = (x1 - x0) * shrink * _DEG_M / 10, (y1 - y0) * _DEG_M / 10  # metres a second
        speed = np.hypot(east, north) * 3600 / 1852
        course = np.degrees(np.arctan2(east, north)) % 360
        metre = mover.noise_m / _DEG_M
        lon = lon + metre * self._normal(mover.key + "/x", mover.period, times) / shrink
        lat = lat + metre * self._normal(mover.key + "/y", mover.period, times)
        speed = np.abs(speed + 0.1 * self._normal(mover.key + "/v", mover.period, times))
        return np.round(lon, 6), np.round(lat, 6), np.round(speed, 1), np.round(course, 1) % 360

    def _normal(self, name: str, period: int, times: Longs) -> Doubles:
        """Standard normal noise that belongs to each moment of a part, however the moments are asked for."""
        index = times // period
        size = 4096
        out = np.empty(len(times))
        for chunk in np.unique(index // size).tolist():
            mine = index // size == chunk
            out[mine] = self._noise(name, chunk)[index[mine] % size]
        return out

    def _draw_noise(self, name: str, chunk: int) -> Doubles:
        return np.asarray(self.random(name, chunk).standard_normal(4096))

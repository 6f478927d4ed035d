"""A day on the river with truth: boats that work, rest, sail and cheat, at the edges of what is allowed.

Each boat follows a script of activities in continuous motion: it drifts while it dredges, swings at anchor with the
tide, sails along the river. What the centre would hear of it is sampled with the faults of real devices: noise of GPS,
gaps, wrong clocks, rows twice and out of order, wild fixes, boats that tell no speed.

The truth is worked out from the motion without noise and from the book, by the words of the rules and without any of
the detectors' code. What lies within the noise of a limit is marked as not certain: an alarm there is neither right
nor wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from thap.detect.detector import Severity
from thap.domains.river import along, reach
from thap.domains.sand.model import Banks, Book, Capacity, Kind, Licence, Vessel, Wharf, Zone
from thap.domains.world import Truth
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

__all__ = ["Boat", "Day", "Heard", "simulate"]

Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

_STEP_S = 10
_KX, _KY = 109_500.0, 110_600.0
_TOLERANCE_M = 30.0
_LAW_BANK_M = 100.0
_BANK_TOLERANCE_M = 15.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of the whole day, in the order it came."""

    keys: list[str]
    kinds: list[str]
    names: list[str]
    vessel: npt.NDArray[np.int64]
    time: Longs
    lon: Doubles
    lat: Doubles
    sog: Doubles


@dataclass(slots=True)
class Boat:
    """A boat and what it did, on a grid of ten seconds from the beginning of the day."""

    key: str
    kind: str
    noise_m: float
    period_s: float
    tells_speed: bool
    x: list[Doubles] = field(default_factory=list)
    """Metres east of the plane's origin, by activity."""
    y: list[Doubles] = field(default_factory=list)
    acts: list[tuple[str, int, int]] = field(default_factory=list)
    """Activity, first and last+1 step."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Steps in which it sends nothing."""
    steps: int = 0
    gives: bool = False
    """Barges load beside it."""
    ghost: tuple[int, int, float] | None = None
    """Steps in which another boat, so many metres away, uses its number."""


@dataclass(slots=True)
class Day:
    """A simulated day."""

    book: Book
    heard: Heard
    truth: list[Truth]
    trips: int
    """Loads put ashore, at wharves or elsewhere."""
    begin: int
    end: int
    stays: list[tuple[str, int, int]] = field(default_factory=list)
    """Vessel, begin and end of everything it did without getting anywhere: rest, anchor, work."""


class _River:
    """A stretch of the Tiền, as metres on a plane: along it and to its right."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        lon, lat = along(70.0)
        self.lon, self.lat = float(lon), float(lat)

    def at(self, km: float, right_m: float) -> tuple[float, float]:
        lon, lat = along(km, right_m)
        return (float(lon) - self.lon) * _KX, (float(lat) - self.lat) * _KY

    def degrees(self, x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
        return x / _KX + self.lon, y / _KY + self.lat


def _book(river: _River, midnight: int) -> Book:
    """Six mines, three wharves, a forbidden zone, and the banks 400 m to either side of the middle."""

    def block(a: float, b: float, left: float, right: float) -> shapely.Polygon:
        return shapely.Polygon(reach(a, b, left, right))

    names = frozenset(f"mmsi-5740002{number:02d}" for number in range(40))
    licences = (
        Licence(1, "01/GP-UBND", "Mỏ 1", block(70.0, 71.0, 130, 130), midnight - 90 * DAY_US, midnight + 90 * DAY_US,
                vessels=names, capacity=Capacity(day_m3=100_000)),
        Licence(2, "02/GP-UBND", "Mỏ 2", block(73.0, 73.8, 130, 130), midnight - 90 * DAY_US, midnight + 90 * DAY_US,
                7 * 60, 17 * 60, vessels=names),
        Licence(3, "03/GP-UBND", "Mỏ 3", block(76.0, 76.7, 130, 130), midnight - 300 * DAY_US, midnight - DAY_US,
                vessels=names),
        Licence(4, "04/GP-UBND", "Mỏ 4", block(79.0, 79.7, 130, 130), midnight + 5 * DAY_US, midnight + 90 * DAY_US,
                vessels=names),
    )  # fmt: skip
    wharves = tuple(
        Wharf(10 + n, f"Bến {n}", block(km, km + 0.15, -330, 420)) for n, km in enumerate((66.0, 82.0, 85.0))
    )
    zones = (Zone(20, "Kè chống sạt lở", block(74.6, 75.3, 120, 120), "sạt lở"),)
    banks = (Banks(30, "Sông Tiền", block(60.0, 92.0, 400, 400), _LAW_BANK_M),)
    vessels = {
        f"mmsi-5740003{n:02d}": Vessel(f"mmsi-5740003{n:02d}", f"SL {n}", "", 300.0 + 20 * n, "barge")
        for n in range(30)
    }
    return Book(licences, vessels, wharves, zones, banks, 1)


class _Script:
    """Writes what one boat does."""

    def __init__(self, river: _River, boat: Boat) -> None:
        self.river, self.boat, self.rng = river, boat, river.rng
        self.place: tuple[float, float] = (68.0, 0.0)

    def _put(self, name: str, x: Doubles, y: Doubles) -> None:
        boat = self.boat
        boat.x.append(x)
        boat.y.append(y)
        boat.acts.append((name, boat.steps, boat.steps + len(x)))
        boat.steps += len(x)

    def _count(self, minutes: float) -> int:
        return max(1, round(minutes * 60 / _STEP_S))

    def begin(self, km: float, right_m: float) -> _Script:
        self.place = (km, right_m)
        return self

    def rest(self, minutes: float, name: str = "rest") -> _Script:
        """Made fast."""
        n = self._count(minutes)
        x, y = self.river.at(*self.place)
        self._put(name, np.full(n, x), np.full(n, y))
        return self

    def anchor(self, minutes: float) -> _Script:
        """At anchor: swinging with the tide, and yawing a little."""
        n = self._count(minutes)
        x, y = self.river.at(*self.place)
        t = (self.boat.steps + np.arange(n)) * _STEP_S
        radius = self.rng.uniform(15, 35)
        tide = np.pi * np.tanh(np.sin(2 * np.pi * t / 44_700 + self.rng.uniform(0, 6)) * 3)
        yaw = np.radians(self.rng.uniform(3, 9)) * np.sin(2 * np.pi * t / self.rng.uniform(400, 800))
        angle = tide + yaw + self.rng.uniform(0, 6)
        self._put("anchor", x + radius * np.cos(angle), y + radius * np.sin(angle))
        return self

    def dredge(self, minutes: float, extent_m: float = 20.0, name: str = "dredge") -> _Script:
        """At work: drifting to and fro about the place, smoothly, within `extent_m`."""
        n = self._count(minutes)
        x, y = self.river.at(*self.place)
        self._put(name, x + self._wander(n, extent_m), y + self._wander(n, extent_m))
        return self

    def _wander(self, n: int, extent_m: float) -> Doubles:
        t = np.arange(n) * _STEP_S
        pace = self.rng.uniform(0.22, 0.5) * 0.514  # metres a second
        total = np.zeros(n)
        for share in (0.6, 0.3, 0.15):
            period = 2 * np.pi * extent_m * share / pace * self.rng.uniform(0.8, 1.3)
            total += extent_m * share * np.sin(2 * np.pi * t / period + self.rng.uniform(0, 6.3))
        ease = np.minimum(1.0, np.arange(n) / max(1, min(6, n // 4)))
        return np.asarray(np.clip(total, -extent_m, extent_m) * ease)

    def sail(self, km: float, right_m: float, speed_kn: float | None = None) -> _Script:
        """Along the river to another place."""
        speed = (speed_kn or float(self.rng.uniform(4.5, 8.0))) * 1.852 / 3600
        a, b = self.place, (km, right_m)
        way = max(abs(b[0] - a[0]), abs(b[1] - a[1]) / 1000, 0.01)
        seconds = way / speed
        n = max(3, round(seconds / _STEP_S))
        share = np.linspace(0, 1, n + 1)[1:]
        share = np.where(share < 0.5, share, share)
        kms, rights = a[0] + share * (b[0] - a[0]), a[1] + np.clip(share * 1.0, 0, 1) * (b[1] - a[1])
        lon, lat = along(kms, rights)
        self._put("sail", (lon - self.river.lon) * _KX, (lat - self.river.lat) * _KY)
        self.place = b
        return self

    def until(self, hour: float, how: Callable[[float], object]) -> _Script:
        """Go on with something until an hour of the day."""
        left = hour * 60 - self.boat.steps * _STEP_S / 60
        if left > 0.5:
            how(left)
        return self

    def gap(self, minutes: float) -> _Script:
        """Sends nothing for the next minutes."""
        self.boat.gaps.append((self.boat.steps, self.boat.steps + self._count(minutes)))
        return self


def simulate(seed: int, begin: int) -> Day:
    """Make a day.

    Args:
        seed: decides every draw.
        begin: Vietnamese midnight, µs.
    """
    rng = np.random.default_rng([seed, 5])
    river = _River(rng)
    book = _book(river, begin)
    boats, trips, told = _boats(river, rng)
    heard = _hear(river, boats, rng, begin)
    truth = [event for boat in boats for event in _acts(river, book, boat, begin)]
    truth += [event for boat in boats for event in _silences(river, book, boat, begin)]
    truth += [event for boat in boats for event in _unloadings(river, book, boat, begin)]
    truth += [_event(kind, key, begin + a * _STEP_S * SECOND_US, begin + b * _STEP_S * SECOND_US, wait)
              for kind, key, a, b, wait in told]  # fmt: skip
    truth.sort(key=lambda one: (one.start, one.source))
    stays = [
        (boat.key, begin + a * _STEP_S * SECOND_US, begin + b * _STEP_S * SECOND_US)
        for boat in boats
        for name, a, b in boat.acts
        if name != "sail"
    ]
    return Day(book, heard, truth, trips, begin, begin + DAY_US, stays)


def _boats(river: _River, rng: np.random.Generator) -> tuple[list[Boat], int, list[tuple[Kind, str, int, int, int]]]:
    """All boats, how many loads they put ashore, and what of it is known by the script alone."""
    boats: list[Boat] = []
    told: list[tuple[Kind, str, int, int, int]] = []

    def new(key: str, kind: str) -> _Script:
        boat = Boat(
            key,
            kind,
            float(rng.uniform(5, 15) / 1.5),
            float(rng.choice([30, 30, 60])),
            bool(rng.random() > 0.12),
        )
        boats.append(boat)
        return _Script(river, boat)

    listed, others = iter(range(40)), iter(range(500))

    def named(kind: str | None = None) -> _Script:
        return new(f"mmsi-574000{200 + next(listed):03d}", kind or str(rng.choice(["dredger", "dredger", "", "cargo"])))

    def stranger(kind: str = "") -> _Script:
        key = f"mmsi-57400{400 + next(others):04d}"
        return new(key, kind or str(rng.choice(["dredger", "dredger", "", "cargo"])))

    u = rng.uniform

    def berth() -> tuple[float, float]:
        return 66.05 + float(u(0, 0.08)), 370.0

    taken: list[tuple[float, float]] = []

    def in_mine(mine: int) -> tuple[float, float]:
        """A place apart from all others: no two boats work in one."""
        a, b = {1: (70.12, 70.88), 2: (73.12, 73.68), 3: (76.15, 76.55), 4: (79.15, 79.55)}[mine]
        for _ in range(1000):
            km, right = float(u(a, b)), float(u(-85, 85))
            if all(np.hypot((km - k) * 1000, right - r) > 105 for k, r in taken):
                break
        taken.append((km, right))
        return km, right

    # Work as it should be, with a break.
    for mine in (1, 2, 1):
        opens, closes = {1: (5.0, 19.0), 2: (7.0, 17.0)}[mine]
        s = named("dredger").begin(*berth())
        s.until(opens + u(0.2, 0.6), s.rest).sail(*in_mine(mine)).until(11.5, s.dredge)
        s.anchor(60).until(closes - u(0.03, 0.3), s.dredge).sail(*berth()).until(24, s.rest)
    # Hours: four to seven minutes over, a minute over, before opening, at night.
    for over in (float(u(4.6, 7.0)), -1.0, float(u(0.2, 1.0))):
        s = named("dredger").begin(*berth())
        s.until(15.5, s.rest).sail(*in_mine(1)).until(19 + over / 60, s.dredge).sail(*berth()).until(24, s.rest)
    s = named().begin(*berth())
    s.until(3.0, s.rest).sail(*in_mine(1)).until(5 - u(15, 40) / 60, s.anchor).until(7.5, s.dredge)
    s.sail(*berth()).until(24, s.rest)
    for _ in range(2):
        s = named().begin(*berth())
        s.until(u(0.2, 2), s.rest).sail(*in_mine(int(rng.integers(1, 3)))).dredge(u(25, 90)).sail(*berth())
        s.until(24, s.rest)
    # Lying in the mine all night, at anchor or made fast, is no work.
    s = named("dredger").begin(*in_mine(1))
    s.until(6, s.anchor).until(17, s.dredge).until(24, s.anchor)
    # The boundary: far outside, just outside, just inside the tolerance.
    for away, extent in ((u(120, 240), 20), (u(66, 78), 18), (u(-4, 5), 18), (u(66, 76), 16)):
        s = named().begin(*berth())
        s.until(u(7.5, 9), s.rest).sail(float(u(70.3, 70.7)), 130 + float(away)).dredge(u(35, 80), extent)
        s.sail(*berth()).until(24, s.rest)
    # Outside, but too short; and a passage through the mine, slow.
    s = named().begin(*berth())
    s.until(8, s.rest).sail(70.5, 330).dredge(8).sail(*berth()).until(24, s.rest)
    s = stranger("cargo").begin(68.0, 60.0)
    s.until(u(9, 14), s.anchor).sail(74.0, 30.0, 2.6).sail(81.0, 50.0).until(24, s.anchor)
    # Strangers in the mine: at work, at anchor, made fast for a while.
    for _ in range(2):
        s = stranger().begin(81.0, 330.0)
        s.until(u(8, 12), s.rest).sail(*in_mine(int(rng.integers(1, 3)))).dredge(u(30, 70)).sail(81.0, 330.0)
        s.until(24, s.rest)
    s = stranger("cargo").begin(81.2, 320.0)
    s.until(u(8, 12), s.rest).sail(70.95, 105.0).anchor(u(60, 90)).sail(81.2, 320.0).until(24, s.rest)
    s = stranger().begin(81.3, 320.0)
    s.until(u(8, 12), s.rest).sail(*in_mine(2)).dredge(u(7, 9)).sail(81.3, 320.0).until(24, s.rest)
    # Licences that have ended or not begun.
    for mine in (3, 4):
        s = named("dredger").begin(*berth())
        s.until(u(7, 10), s.rest).sail(*in_mine(mine)).dredge(u(35, 90)).sail(*berth()).until(24, s.rest)
    # The forbidden zone: at work, and at anchor.
    s = stranger("dredger").begin(81.4, 320.0)
    s.until(u(9, 13), s.rest).sail(75.0, float(u(-50, 50))).dredge(u(30, 60)).sail(81.4, 320.0).until(24, s.rest)
    s = named("dredger").begin(81.5, 320.0)
    s.until(u(9, 13), s.rest).sail(74.9, float(u(-50, 50))).anchor(u(50, 80)).sail(81.5, 320.0).until(24, s.rest)
    # The bank: too near, and near enough.
    s = named("dredger").begin(*berth())
    s.until(u(8, 12), s.rest).sail(70.5, 400 - float(u(40, 62))).dredge(u(30, 60), 14).sail(*berth()).until(24, s.rest)
    s = named("dredger").begin(*berth())
    s.until(u(8, 12), s.rest).sail(70.6, 400 - float(u(112, 125))).dredge(u(30, 60), 14).sail(*berth())
    s.until(24, s.rest)
    # Silence in the mine, too short a silence, silence at the berth.
    for minutes in (float(u(22, 60)), float(u(7, 11))):
        s = named("dredger").begin(*berth())
        s.until(7.6, s.rest).sail(*in_mine(1)).dredge(u(40, 60)).gap(minutes).until(16, s.dredge)
        s.sail(*berth()).until(24, s.rest)
    s = named("dredger").begin(*berth())
    s.until(3, s.rest).gap(90).until(24, s.rest)
    # Barges: load beside a dredger, carry, unload.
    trips = 0
    s = named("dredger").begin(*in_mine(1))
    s.until(5.3, s.anchor)
    dredger = s.boat
    dredger.gives = True
    s.until(17.5, s.dredge).until(24, s.anchor)
    for barge, where in enumerate(((82.07, 370.0), (85.07, 370.0), (88.0, 355.0), (87.5, -360.0), (82.06, 375.0))):
        b = _Script(river, Boat(f"mmsi-5740003{barge:02d}", str(rng.choice(["", "cargo"])), float(u(4, 9)), 30, True))
        boats.append(b.boat)
        start = 6.0 + 2.1 * barge
        b.begin(68.0 + 0.1 * barge, 330.0)
        b.until(start, b.rest)
        b.sail(*_km_right(river, dredger, b.boat.steps + 90))
        _beside(b, dredger, float(u(25, 45)), 12.0 + float(u(8, 16)))
        if barge == 4:  # waits at anchor in the river, laden, before it goes on to the wharf
            b.sail(78.0, 150.0).anchor(u(60, 80))
        b.sail(*where)
        b.rest(u(45, 70))
        trips += 1
        b.sail(68.0 + 0.1 * barge, 330.0).until(24, b.rest)
    # One number in two places; and a single wild fix (in `_hear`) on others.
    s = stranger("cargo").begin(68.5, 310.0)
    s.until(24, s.rest)
    first = round(u(9, 15) * 360)
    last = first + round(u(30, 60) * 6)
    s.boat.ghost = (first, last, float(u(4_000, 15_000)))
    told.append((Kind.TWO_PLACES, s.boat.key, first, last, 3 * MINUTE_US))
    # A boat that falls silent in a mine, and another number that begins there.
    s = named("dredger").begin(*berth())
    s.until(8, s.rest).sail(*in_mine(2)).dredge(u(40, 70))
    end = s.boat.steps
    s.gap(24 * 60).dredge(10)
    place = s.place
    after = round(u(5, 12) * 6)
    n = stranger("dredger").begin(*place)
    n.gap((end + after) * _STEP_S / 60).until((end + after) / 360, n.rest).dredge(u(45, 80)).sail(*berth())
    n.until(24, n.rest)
    told.append((Kind.RENAMED, n.boat.key, end + after, end + after + 360 * 6, 15 * MINUTE_US))
    # Others on the river: fishing, a ferry, cargo at anchor and passing, a tug made fast.
    for km in (69.5, 72.3):
        s = stranger("fishing").begin(km, 200.0)
        s.until(u(4, 8), s.rest)
        for _ in range(14):
            s.sail(km + float(u(-0.6, 0.6)), float(u(-250, 250)), float(u(1.6, 3.2)))
        s.until(24, s.anchor)
    s = stranger("passenger").begin(71.6, -380.0)
    for _ in range(40):
        s.sail(71.6, -s.place[1], 5.0).rest(7)
    s.until(24, s.rest)
    for _ in range(3):
        s = stranger("cargo").begin(float(u(71.3, 72.8)), float(u(-200, 200)))
        s.until(u(6, 12), s.anchor).sail(float(u(80, 88)), float(u(-200, 200))).until(24, s.anchor)
    for _ in range(3):
        s = stranger("cargo").begin(62.0, 40.0)
        s.until(u(2, 18), s.rest).sail(90.0, 60.0).until(24, s.anchor)
    s = stranger("tug").begin(69.8, 350.0)
    s.until(24, s.rest)
    return boats, trips, told


def _km_right(river: _River, dredger: Boat, step: int) -> tuple[float, float]:
    """Where a boat of whole tracks is at a step, along the river."""
    x, y = np.concatenate(dredger.x), np.concatenate(dredger.y)
    at = min(step, len(x) - 1)
    kms = np.linspace(69.5, 71.5, 2001)
    lon, lat = along(kms)
    px, py = (lon - river.lon) * _KX, (lat - river.lat) * _KY
    near = int(np.argmin((px - x[at]) ** 2 + (py - y[at]) ** 2))
    lon1, lat1 = along(float(kms[near]), 1.0)
    ex, ey = (float(lon1) - river.lon) * _KX - px[near], (float(lat1) - river.lat) * _KY - py[near]
    return float(kms[near]), float(((x[at] - px[near]) * ex + (y[at] - py[near]) * ey) / np.hypot(ex, ey))


def _beside(barge: _Script, dredger: Boat, minutes: float, away_m: float) -> None:
    """Lie beside a dredger, drifting with it."""
    n = barge._count(minutes)
    begin = barge.boat.steps
    x, y = np.concatenate(dredger.x), np.concatenate(dredger.y)
    angle = barge.rng.uniform(0, 6.3)
    barge._put("load", x[begin : begin + n] + away_m * np.cos(angle), y[begin : begin + n] + away_m * np.sin(angle))


# ---- what is heard


def _hear(river: _River, boats: list[Boat], rng: np.random.Generator, begin: int) -> Heard:
    parts: list[tuple[Longs, Longs, Doubles, Doubles, Doubles, Doubles]] = []
    for number, boat in enumerate(boats):
        x, y = np.concatenate(boat.x), np.concatenate(boat.y)
        steps = min(len(x), 24 * 360)
        x, y = x[:steps], y[:steps]
        speed = np.hypot(np.gradient(x), np.gradient(y)) / _STEP_S / 0.5144
        at_s = _moments(boat, speed, rng)
        step = np.minimum((at_s / _STEP_S).astype(int), steps - 1)
        keep = np.ones(len(step), bool)
        for first, last in boat.gaps:
            keep &= ~((step >= first) & (step < last))
        at_s, step = at_s[keep], step[keep]
        px = np.interp(at_s, np.arange(steps) * _STEP_S, x) + _errors(rng, len(step), boat.noise_m)
        py = np.interp(at_s, np.arange(steps) * _STEP_S, y) + _errors(rng, len(step), boat.noise_m)
        sog = np.round(np.abs(speed[step] + rng.normal(0, 0.08, len(step))), 1)
        if not boat.tells_speed:
            sog = np.full(len(step), np.nan)
        wild = rng.random(len(step)) < 0.0004
        px = np.where(wild, px + rng.uniform(2_000, 30_000, len(step)), px)
        clock = rng.choice([0, 0, 0, rng.uniform(-15, 15)])
        time = ((at_s + clock) * SECOND_US).astype(np.int64) + begin
        broken = rng.random(len(step)) < 0.0003  # one row with a clock that is minutes wrong
        time = time + np.where(broken, (rng.uniform(-200, 200, len(step)) * SECOND_US).astype(np.int64), 0)
        order = at_s + rng.uniform(0, 4, len(step)) + np.where(rng.random(len(step)) < 0.003, 45.0, 0.0)
        twice = np.flatnonzero(rng.random(len(step)) < 0.01)
        pick = np.concatenate([np.arange(len(step)), twice])
        come = np.concatenate([order, order[twice] + 1.0])
        lon, lat = river.degrees(px, py)
        parts.append((np.full(len(pick), number), time[pick], lon[pick], lat[pick], sog[pick], come))
        if boat.ghost is not None:
            parts.append(_ghost(river, boat, number, x, y, rng, begin))
    columns = [np.concatenate([part[i] for part in parts]) for i in range(6)]
    came = np.argsort(columns[5], kind="stable")
    vessel, time, lon, lat, sog = (column[came] for column in columns[:5])
    return Heard(
        [boat.key for boat in boats],
        [boat.kind for boat in boats],
        ["" for _ in boats],
        vessel.astype(np.int64),
        time.astype(np.int64),
        lon,
        lat,
        sog,
    )


def _errors(rng: np.random.Generator, count: int, noise_m: float) -> Doubles:
    """Noise of GPS: mostly from fix to fix, a little that lasts for minutes."""
    white = rng.normal(0, noise_m, count)
    slow = np.convolve(rng.normal(0, 1, count + 9), np.ones(10) / np.sqrt(10), "valid") if count else white
    return np.asarray(white + 0.15 * noise_m * slow[:count])


def _moments(boat: Boat, speed: Doubles, rng: np.random.Generator) -> Doubles:
    """Seconds at which it sends: its period, three times as long while it hardly moves (class B)."""
    count = round(86_400 / boat.period_s)
    at = (np.arange(count) + rng.uniform(0, 1)) * boat.period_s + rng.uniform(-2, 2, count)
    at = np.sort(at[(at >= 0) & (at < len(speed) * _STEP_S)])
    if boat.period_s >= 60:
        return at
    step = np.minimum((at / _STEP_S).astype(int), len(speed) - 1)
    lazy = (speed[step] < 0.05) & (np.arange(len(at)) % 4 != 0)
    lost = rng.random(len(at)) < 0.05
    return np.asarray(at[~lazy & ~lost])


def _ghost(
    river: _River, boat: Boat, number: int, x: Doubles, y: Doubles, rng: np.random.Generator, begin: int
) -> tuple[Longs, Longs, Doubles, Doubles, Doubles, Doubles]:
    assert boat.ghost is not None
    first, last, away = boat.ghost
    at = np.arange(first * _STEP_S, last * _STEP_S, 40.0) + rng.uniform(0, 20)
    step = (at / _STEP_S).astype(int)
    lon, lat = river.degrees(x[step] + away + rng.normal(0, 5, len(at)), y[step] + rng.normal(0, 5, len(at)))
    time = (at * SECOND_US).astype(np.int64) + begin
    return np.full(len(at), number), time, lon, lat, np.zeros(len(at)), at + 2.0


# ---- truth


def _event(kind: Kind, key: str, start: int, end: int, wait: int, certain: bool = True) -> Truth:
    return Truth(str(kind), key, start, end, Severity.HIGH, wait, certain)


def _runs(mask: npt.NDArray[np.bool_], bridge: int = 0) -> list[tuple[int, int]]:
    """First and last+1 of each run of true; holes up to `bridge` long count as true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    runs: list[tuple[int, int]] = []
    for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and a - runs[-1][1] <= bridge:
            runs[-1] = (runs[-1][0], b)
        else:
            runs.append((a, b))
    return runs


def _acts(river: _River, book: Book, boat: Boat, begin: int) -> list[Truth]:
    """What its dredging broke: by where it really was."""
    found: list[Truth] = []
    x, y = np.concatenate(boat.x), np.concatenate(boat.y)
    for name, first, whole in boat.acts:
        last = min(whole, 24 * 360)
        if name != "dredge" or last - first < 13 * 6:
            continue
        lost = sum(max(0, min(last, b) - max(first, a)) for a, b in boat.gaps)
        if lost >= last - first - 60:
            continue
        steps = np.arange(first, last)
        lon, lat = river.degrees(x[steps], y[steps])
        time = begin + steps * _STEP_S * SECOND_US
        sure = last - first >= 18 * 6 and not any(a < last and b > first for a, b in boat.gaps)
        known = 15 * 6
        for kind, sign, least, margin in _judged(book, boat.key, lon, lat, time):
            for a, b in _runs(sign > 0, 18):
                if b - a < (least * 6 if kind is not Kind.HOURS else 3 * 6):
                    continue
                # Longer than the dwell by more than sampling can hide, and deeper than the noise of GPS.
                deep = np.mean(sign[a:b] > margin) > 0.9
                long = b - a >= (least + 3) * 6 if kind is not Kind.HOURS else b - a >= 4.4 * 6
                wait = max(known - a, round(least * 6)) * _STEP_S * SECOND_US
                # What lasts less than its dwell after work can be known is told when it is known.
                found.append(
                    _event(kind, boat.key, int(time[a]), int(time[b - 1]) + 6 * MINUTE_US, wait,
                           bool(sure and deep and long))
                )  # fmt: skip
    return found


def _judged(book: Book, key: str, lon: Doubles, lat: Doubles, time: Longs) -> list[tuple[Kind, Doubles, float, float]]:
    """Acts as signals that are above 0 where they are committed, with their dwell and the noise of the signal."""
    points = shapely.points(lon * _KX, lat * _KY)

    def metres(shape: shapely.Geometry) -> shapely.Geometry:
        return shapely.transform(shape, lambda p: p * (_KX, _KY))

    away = np.stack([shapely.distance(metres(one.polygon), points) for one in book.licences])
    nearest = away.argmin(axis=0)
    distance = away.min(axis=0)
    inside = distance <= _TOLERANCE_M
    valid = np.array([book.licences[n].valid_at(int(t)) for n, t in zip(nearest, time, strict=True)])
    is_open = np.array([book.licences[n].open_at(int(t)) for n, t in zip(nearest, time, strict=True)])
    listed = np.array([key in book.licences[n].vessels for n in nearest])
    deep = np.where(inside, 50.0 - distance, -50.0)
    zone = np.max([_depth(metres(one.polygon), points) for one in book.zones], axis=0)
    bank = np.min([shapely.distance(metres(one.geometry).boundary, points) for one in book.banks], axis=0)
    return [
        (Kind.OUTSIDE, distance - _TOLERANCE_M, 10, 10.0),
        (Kind.HOURS, np.where(valid & ~is_open, deep, -50.0), 3, 10.0),
        (Kind.UNLISTED, np.where(valid & ~listed, deep, -50.0), 5, 10.0),
        (Kind.EXPIRED, np.where(~valid, deep, -50.0), 5, 10.0),
        (Kind.FORBIDDEN, zone, 5, 8.0),
        (Kind.BANK, _LAW_BANK_M - _BANK_TOLERANCE_M - bank, 10, 10.0),
    ]


def _depth(shape: shapely.Geometry, points: npt.NDArray[np.object_]) -> Doubles:
    edge = shapely.distance(shapely.boundary(shape), points)
    return np.asarray(np.where(shapely.contains(shape, points), edge, -edge))


def _unloadings(river: _River, book: Book, boat: Boat, begin: int) -> list[Truth]:
    """Rests of a laden boat at the bank, at no wharf."""
    found, laden = [], False
    x, y = np.concatenate(boat.x), np.concatenate(boat.y)
    for name, first, last in boat.acts:
        if name in ("dredge", "load") and last - first >= 12 * 6 and boat.steps:
            laden = name == "load" or not boat.gives
        if name != "rest" or not laden or first >= 24 * 360:
            continue
        lon, lat = river.degrees(x[first : first + 1], y[first : first + 1])
        point = shapely.Point(float(lon[0]) * _KX, float(lat[0]) * _KY)

        def away(shape: shapely.Geometry, point: shapely.Point = point) -> float:
            return float(shapely.transform(shape, lambda p: p * (_KX, _KY)).distance(point))

        minutes = (last - first) / 6
        if min(away(one.polygon) for one in book.wharves) <= 60:
            laden = laden and minutes < 10
        elif minutes >= 28 and min(away(one.geometry.boundary) for one in book.banks) <= 150:
            start, end = begin + first * _STEP_S * SECOND_US, begin + last * _STEP_S * SECOND_US
            lost = any(a < last and b > first for a, b in boat.gaps)
            found.append(_event(Kind.UNLOADING, boat.key, start, end, 30 * MINUTE_US, minutes >= 40 and not lost))
            laden = False
    return found


def _silences(river: _River, book: Book, boat: Boat, begin: int) -> list[Truth]:
    found = []
    named = any(boat.key in licence.vessels for licence in book.licences)
    if boat.kind != "dredger" and not named:
        return []
    x, y = np.concatenate(boat.x), np.concatenate(boat.y)
    for first, last in boat.gaps:
        if first == 0 or last - first < 13 * 6:
            continue
        lon, lat = river.degrees(x[first - 1 : first], y[first - 1 : first])
        point = shapely.Point(float(lon[0]) * _KX, float(lat[0]) * _KY)
        away = min(
            float(shapely.transform(one.polygon, lambda p: p * (_KX, _KY)).distance(point)) for one in book.licences
        )
        if away <= 300:
            start = begin + first * _STEP_S * SECOND_US
            end = min(begin + last * _STEP_S * SECOND_US, begin + DAY_US + HOUR_US)
            sure = (last - first) >= 18 * 6 and away < 250
            found.append(_event(Kind.SILENT, boat.key, start, end, 15 * MINUTE_US, sure))
    return found

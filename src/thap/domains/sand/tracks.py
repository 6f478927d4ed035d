"""Positions of vessels as they come, made into minutes: the noise filter and what is kept of each track.

What is kept of a vessel has one size, however long its track: its last position, a second place where an impossible
jump led to, the running minute, and the means of the last minutes heard. All vessels of a batch are taken together:
their first rows, then their second rows and so on, so that each vessel's rows are judged strictly in order.

The filter drops what cannot be (a jump faster than any vessel, a row again, a row from the past) and counts it. It
hides nothing: a jump that persists becomes the track, and one that keeps going to and fro is told as one identity in
two places.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.domains.sand.ground import LAT_M, lon_m
from thap.domains.sand.room import grown, kept, restored
from thap.kernel.clock import MINUTE_US, SECOND_US

__all__ = ["LONG_AGO", "RING", "Closed", "Jump", "Tracks", "Window"]

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Slots = npt.NDArray[np.intp]

LONG_AGO = -(2**62)
RING = 24
"""Minutes heard that are kept of each vessel."""
KNOT = 1852 / 3600
"""Metres a second in a knot."""
_NOISE_START_M = 6.0
_NOISE_MOST_M = 20.0
_REWIND = 5
"""So many rows from the past in a row, rising, and the vessel's clock is taken to have been wrong before."""
_FORGET_US = 10 * MINUTE_US
_FINE = 1e7
"""Parts of a degree in the ring."""
_MOST = 65_000
"""More positions of one vessel in a minute are not counted."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Minutes that ended: those of these slots, by the row at this index of what was pushed."""

    slots: Slots
    rows: Slots


@dataclass(frozen=True, slots=True)
class Jump:
    """One identity was heard in two places at once."""

    slot: int
    row: int
    begin: int
    """When it first jumped, µs."""
    here: tuple[float, float]
    there: tuple[float, float]
    turns: int
    distance_m: float
    speed_kn: float
    """That one vessel would need."""


@dataclass(frozen=True, slots=True)
class Window:
    """The last minutes heard of some vessels, the newest first: arrays of vessels by minutes."""

    time: Longs
    """Mean time of the minute's rows, µs."""
    start: Longs
    """Begin of the minute, µs."""
    lon: Doubles
    lat: Doubles
    x: Doubles
    """Metres east of the newest."""
    y: Doubles
    sog: Doubles
    """Mean reported speed, knots; NaN where none was reported."""
    rows: Doubles
    """How many positions; 0 where there is no such minute."""
    age: Doubles
    """Minutes before the newest."""
    noise2: Doubles
    """Variance of one coordinate of one position, m²; one for each vessel."""


class Tracks:
    """What is kept of each vessel, by slot.

    Args:
        jump_speed_kn: faster than this between two positions is impossible.
        jump_m: shorter jumps are noise.
        turns: so often to and fro is one identity in two places.
    """

    ARRAYS: dict[str, tuple[Any, Any, int]] = {  # noqa: RUF012  name → dtype, value at first, columns
        "first_t": (np.int64, LONG_AGO, 0),
        "last_t": (np.int64, LONG_AGO, 0),
        "lon": (np.float64, 0.0, 0),
        "lat": (np.float64, 0.0, 0),
        "step_s": (np.float32, 0.0, 0),
        "step_x": (np.float32, 0.0, 0),
        "step_y": (np.float32, 0.0, 0),
        "noise2": (np.float32, _NOISE_START_M**2, 0),
        "block": (np.int32, -1, 0),
        "sum_n": (np.uint16, 0, 0),
        "sum_t": (np.float32, 0.0, 0),
        "sum_lon": (np.float64, 0.0, 0),
        "sum_lat": (np.float64, 0.0, 0),
        "sum_sog": (np.float32, 0.0, 0),
        "sog_n": (np.uint16, 0, 0),
        "cand_t": (np.int64, 0, 0),
        "cand_from": (np.int64, 0, 0),
        "cand_lon": (np.float64, 0.0, 0),
        "cand_lat": (np.float64, 0.0, 0),
        "cand_n": (np.int32, 0, 0),
        "turns": (np.int32, 0, 0),
        "there": (np.int8, 0, 0),
        "turned": (np.int64, 0, 0),
        "late_n": (np.int32, 0, 0),
        "late_t": (np.int64, 0, 0),
        "head": (np.int8, 0, 0),
        # The ring is most of all state: whole minutes, milliseconds in them, 1e-7 degrees (about 1 cm), and speeds to
        # three digits are what it needs.
        "ring_block": (np.int32, -1, RING),
        "ring_ms": (np.uint16, 0, RING),
        "ring_lon": (np.int32, 0, RING),
        "ring_lat": (np.int32, 0, RING),
        "ring_sog": (np.float16, np.nan, RING),
        "ring_n": (np.uint16, 0, RING),
    }

    def __init__(self, jump_speed_kn: float, jump_m: float, turns: int) -> None:
        self.jump_ms, self.jump_m, self.turns_wanted = jump_speed_kn * KNOT, jump_m, turns
        self.size = 0
        self.dropped: Counter[str] = Counter()
        """Rows not used, by why: duplicate, late, jump; and `jump_taken`, `rewound`: new truths."""
        self.jumps: list[Jump] = []
        """Told since the owner last looked."""
        self.a: dict[str, npt.NDArray[Any]] = {
            name: np.zeros((0, columns) if columns else 0, dtype) for name, (dtype, _, columns) in self.ARRAYS.items()
        }

    def grow(self, size: int) -> None:
        """Make room for slots below `size`."""
        for name, (_, first, _) in self.ARRAYS.items():
            self.a[name] = grown(self.a[name], size, first)
        self.size = size

    def push(self, slot: Slots, time: Longs, lon: Doubles, lat: Doubles, sog: Doubles) -> Closed:
        """Take one row of each of some vessels.

        Args:
            slot: each vessel once.
            time: µs.
            lon: degrees.
            lat: degrees.
            sog: knots, NaN unknown.

        Returns:
            The minutes that ended by it.
        """
        a = self.a
        kx = lon_m(lat)
        seconds = (time - a["last_t"][slot]) / SECOND_US
        east, north = (lon - a["lon"][slot]) * kx, (lat - a["lat"][slot]) * LAT_M
        distance = np.hypot(east, north)
        new = a["last_t"][slot] == LONG_AGO
        good = new | ((seconds > 0) & ((distance <= self.jump_m) | (distance <= self.jump_ms * seconds)))
        rows = np.arange(len(slot))
        if not good.all():
            self._doubtful(slot, time, lon, lat, sog, seconds, distance, good)
            rows = np.flatnonzero(good)
            new = new | (a["last_t"][slot] == LONG_AGO)
            slot, time, lon, lat, sog = slot[rows], time[rows], lon[rows], lat[rows], sog[rows]
            seconds, east, north, new = seconds[rows], east[rows], north[rows], new[rows]
        if a["cand_n"][slot].any():
            self._returned(slot, time, lon, lat, rows)
        self._measure_noise(slot, seconds, east, north, new)
        minute = time // MINUTE_US
        ends = (a["block"][slot] != minute) & (a["sum_n"][slot] > 0)
        closed = Closed(slot[ends], rows[ends])
        if len(closed.slots):
            self._close(closed.slots)
        a["first_t"][slot[new]] = time[new]
        a["last_t"][slot], a["lon"][slot], a["lat"][slot] = time, lon, lat
        a["block"][slot] = minute
        if a["late_n"][slot].any():
            a["late_n"][slot] = 0
        self._add(slot, time, lon, lat, sog)
        return closed

    def _add(self, slot: Slots, time: Longs, lon: Doubles, lat: Doubles, sog: Doubles) -> None:
        a = self.a
        room = a["sum_n"][slot] <= _MOST
        if not room.all():  # thousands of positions tell where it was
            slot, time, lon, lat, sog = slot[room], time[room], lon[room], lat[room], sog[room]
        a["sum_n"][slot] += 1
        a["sum_t"][slot] += (time % MINUTE_US) / SECOND_US
        a["sum_lon"][slot] += lon
        a["sum_lat"][slot] += lat
        known = sog >= 0
        a["sum_sog"][slot] += np.where(known, sog, 0.0)
        a["sog_n"][slot] += known

    def _close(self, slot: Slots) -> None:
        """The minute becomes the newest of the ring."""
        a = self.a
        head = (a["head"][slot] + 1) % RING
        a["head"][slot] = head
        count = a["sum_n"][slot]
        a["ring_block"][slot, head] = a["block"][slot]
        a["ring_ms"][slot, head] = a["sum_t"][slot] / count * 1000.0
        a["ring_lon"][slot, head] = np.rint(a["sum_lon"][slot] / count * _FINE)
        a["ring_lat"][slot, head] = np.rint(a["sum_lat"][slot] / count * _FINE)
        told = a["sog_n"][slot]
        a["ring_sog"][slot, head] = np.where(told > 0, a["sum_sog"][slot] / np.maximum(told, 1), np.nan)
        a["ring_n"][slot, head] = count
        for name in ("sum_n", "sum_t", "sum_lon", "sum_lat", "sum_sog", "sog_n"):
            a[name][slot] = 0

    def _measure_noise(self, slot: Slots, seconds: Doubles, east: Doubles, north: Doubles, new: Bools) -> None:
        """The noise of positions, from how far each is off the line of the two before it."""
        a = self.a
        before = a["step_s"][slot]
        ratio = seconds / np.where(before > 0, before, 1.0)
        slow = np.hypot(east, north) < 1.5 * np.maximum(seconds, 10)
        fits = ~new & (before > 0) & (ratio > 0.3) & (ratio < 3) & (seconds < 400) & slow
        if fits.any():
            at, r = slot[fits], ratio[fits]
            off = (east[fits] - a["step_x"][at] * r) ** 2 + (north[fits] - a["step_y"][at] * r) ** 2
            one = off / 2 / (1 + (1 + r) ** 2 + r**2)
            held = a["noise2"][at]
            one = np.minimum(one, np.minimum(9 * held + 25, _NOISE_MOST_M**2))
            a["noise2"][at] = held + 0.08 * (one - held)
        a["step_s"][slot] = np.where(new, 0.0, seconds)
        a["step_x"][slot], a["step_y"][slot] = east, north

    # ---- what cannot be

    def _doubtful(
        self,
        slot: Slots,
        time: Longs,
        lon: Doubles,
        lat: Doubles,
        sog: Doubles,
        seconds: Doubles,
        distance: Doubles,
        good: Bools,
    ) -> None:
        """Judge the rows that are not plainly good, and mark in `good` those to be used after all."""
        a = self.a
        doubt = ~good
        again = doubt & (seconds == 0) & (distance <= self.jump_m)
        self.dropped["duplicate"] += int(again.sum())
        same = doubt & (seconds < 0) & (time // MINUTE_US == a["block"][slot]) & (distance <= self.jump_m)
        if same.any():  # out of order within the running minute: its mean does not care
            self._add(slot[same], time[same], lon[same], lat[same], sog[same])
        for row in np.flatnonzero(doubt & ~again & ~same).tolist():
            one = int(slot[row])
            if seconds[row] < 0:
                good[row] = self._late(one, int(time[row]))
            else:
                good[row] = self._jumped(one, row, int(time[row]), float(lon[row]), float(lat[row]))

    def _late(self, slot: int, time: int) -> bool:
        """A row from the past; whether it is taken to be the present."""
        a = self.a
        rising = a["late_n"][slot] and time > a["late_t"][slot]
        a["late_n"][slot] = a["late_n"][slot] + 1 if rising else 1
        a["late_t"][slot] = time
        if a["late_n"][slot] < _REWIND:
            self.dropped["late"] += 1
            return False
        self.dropped["rewound"] += 1
        self._forget(slot)
        return True

    def _jumped(self, slot: int, row: int, time: int, lon: float, lat: float) -> bool:
        """A row that is too far away; whether it is the new truth."""
        a = self.a
        away = self._apart(slot, lon, lat, "cand_lon", "cand_lat")
        passed = (time - int(a["cand_t"][slot])) / SECOND_US
        follows = a["cand_n"][slot] and 0 <= passed < 1800 and (away <= self.jump_m or away <= self.jump_ms * passed)
        if not follows:
            a["cand_n"][slot], a["cand_from"][slot] = 0, time
            if time - a["turned"][slot] > _FORGET_US * 3:
                a["turns"][slot] = 0
        a["cand_n"][slot] += 1
        a["cand_t"][slot], a["cand_lon"][slot], a["cand_lat"][slot] = time, lon, lat
        a["there"][slot] = 1
        if a["cand_n"][slot] >= 3 and a["last_t"][slot] < a["cand_from"][slot]:
            self.dropped["jump_taken"] += 1
            self._forget(slot)
            return True
        self.dropped["jump"] += 1
        return False

    def _returned(self, slot: Slots, time: Longs, lon: Doubles, lat: Doubles, rows: Slots) -> None:
        """Vessels heard here again after having been heard elsewhere."""
        a = self.a
        for at in np.flatnonzero(a["there"][slot] > 0).tolist():
            one = int(slot[at])
            a["there"][one] = 0
            if time[at] - a["cand_t"][one] > _FORGET_US:
                a["cand_n"][one] = a["turns"][one] = 0
                continue
            if a["turns"][one] and time[at] - a["turned"][one] > 3 * _FORGET_US:
                a["turns"][one] = 0
            a["turns"][one] += 1
            a["turned"][one] = time[at]
            if a["turns"][one] >= self.turns_wanted:
                away = self._apart(one, float(lon[at]), float(lat[at]), "cand_lon", "cand_lat")
                passed = max(1.0, (int(time[at]) - int(a["cand_t"][one])) / SECOND_US)
                self.jumps.append(
                    Jump(
                        one,
                        int(rows[at]),
                        int(a["cand_from"][one]),
                        (float(lon[at]), float(lat[at])),
                        (float(a["cand_lon"][one]), float(a["cand_lat"][one])),
                        int(a["turns"][one]),
                        away,
                        away / passed / KNOT,
                    )
                )

    def _apart(self, slot: int, lon: float, lat: float, lon_name: str, lat_name: str) -> float:
        east = (lon - float(self.a[lon_name][slot])) * float(lon_m(lat))
        return float(np.hypot(east, (lat - float(self.a[lat_name][slot])) * LAT_M))

    def _forget(self, slot: int) -> None:
        """The track begins anew here; its identity was known before."""
        for name, (_, first, _) in self.ARRAYS.items():
            if name not in ("first_t", "noise2", "turns", "turned"):
                self.a[name][slot] = first

    # ---- looking back

    def minute(self, slot: Slots, column: Slots) -> tuple[Longs, Longs, Doubles, Doubles]:
        """Begin and mean time, µs, and place, degrees, of minutes in the ring."""
        a = self.a
        start: Longs = a["ring_block"][slot, column].astype(np.int64) * MINUTE_US
        time: Longs = start + a["ring_ms"][slot, column].astype(np.int64) * 1000
        return start, time, a["ring_lon"][slot, column] / _FINE, a["ring_lat"][slot, column] / _FINE

    def window(self, slot: Slots) -> Window:
        """The last minutes heard of some vessels."""
        a = self.a
        column = (a["head"][slot][:, None] - np.arange(RING)) % RING
        at = slot[:, None]
        start, time, lon, lat = self.minute(at, column)
        rows = a["ring_n"][at, column].astype(np.float64)
        age = np.where(rows > 0, (time[:, :1] - time) / MINUTE_US, np.inf)
        return Window(
            time,
            start,
            lon,
            lat,
            (lon - lon[:, :1]) * lon_m(lat[:, :1]),
            (lat - lat[:, :1]) * LAT_M,
            a["ring_sog"][at, column].astype(np.float64),
            rows,
            age,
            a["noise2"][slot].astype(np.float64),
        )

    def dump(self, count: int) -> dict[str, Any]:
        """The state of the first `count` slots, msgpack-able."""
        return {
            "dropped": dict(self.dropped),
            "arrays": {name: kept(self.a[name], count, first) for name, (_, first, _) in self.ARRAYS.items()},
        }

    def load(self, state: dict[str, Any], size: int) -> None:
        """Take what `dump` gave, with room for `size` slots. Raises as `restored`."""
        arrays = state["arrays"]
        self.a = {
            name: restored(arrays[name], self.a[name], size, first) for name, (_, first, _) in self.ARRAYS.items()
        }
        self.size, self.dropped = size, Counter(state["dropped"])

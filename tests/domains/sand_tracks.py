"""Tracks written minute by minute, and what behaviour says of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import shapely

from thap.domains.domain import domain
from thap.domains.parameters import shipped_parameters
from thap.domains.sand.behaviour import Behaviour, Findings, Rows
from thap.domains.sand.model import Banks, Book, Capacity, Licence, Vessel, Wharf, Zone
from thap.kernel.clock import SECOND_US, parse_time_us

MIDNIGHT = parse_time_us("2026-11-19T17:00:00Z")
LON, LAT = 105.6, 10.45
KX, KY = 109_480.0, 110_600.0
PARAMETERS = dict(shipped_parameters(domain("sand")))
DREDGER, BARGE, STRANGER = "mmsi-574000001", "mmsi-574000002", "mmsi-574000003"


def box(west: float, south: float, east: float, north: float) -> Any:
    """A polygon of metres from the middle of the mine."""
    return shapely.box(LON + west / KX, LAT + south / KY, LON + east / KX, LAT + north / KY)


def book(**changes: Any) -> Book:
    """A mine of 400 m by 400 m, a wharf 3 km east, a zone 2 km north, a bank 900 m south."""
    licence = Licence(
        1, "12/GP-UBND", "Công ty Cát", box(-200, -200, 200, 200), MIDNIGHT - 10**13, MIDNIGHT + 10**13,
        vessels=frozenset({DREDGER}), capacity=Capacity(day_m3=500, total_m3=10_000),
    )  # fmt: skip
    given: dict[str, Any] = {
        "licences": (licence,),
        "vessels": {BARGE: Vessel(BARGE, "SL 2", "", 400.0, "barge")},
        "wharves": (Wharf(2, "Bến Bắc", box(2900, -100, 3100, 100)),),
        "zones": (Zone(3, "Cầu", box(-200, 1900, 200, 2200), "cầu"),),
        "banks": (
            Banks(4, "Bờ nam", shapely.LineString([(LON - 0.1, LAT - 900 / KY), (LON + 0.1, LAT - 900 / KY)]), 100),
        ),
    }
    return Book(**{**given, **changes})


@dataclass(repr=False)
class Track:
    """What one vessel sends: written activity after activity, from an hour of the day on."""

    key: str
    hour: float
    kind: str = ""
    noise_m: float = 4.0
    sog: bool = True
    rows: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Seconds after midnight, metres east and north, knots."""

    def __repr__(self) -> str:
        return f"Track({self.key}, {self.hour}, {len(self.rows)} rows)"

    def __post_init__(self) -> None:
        self.at = self.hour * 3600
        self.rng = np.random.default_rng(crc32(self.key.encode()))

    def _put(self, x: float, y: float, sog: float) -> None:
        east, north = self.rng.normal(0, self.noise_m, 2)
        speed = round(abs(sog + self.rng.normal(0, 0.04)), 1) if self.sog else float("nan")
        self.rows.append((self.at, x + east, y + north, speed))
        self.at += 30

    def still(self, minutes: float, x: float, y: float) -> Track:
        """Made fast."""
        for _ in range(round(minutes * 2)):
            self._put(x, y, 0.0)
        return self

    def swing(self, minutes: float, x: float, y: float) -> Track:
        """At anchor: round a circle of 25 m in an hour and a half."""
        for _ in range(round(minutes * 2)):
            angle = self.at / 5400 * 2 * np.pi
            self._put(x + 25 * np.cos(angle), y + 25 * np.sin(angle), 0.06)
        return self

    def work(self, minutes: float, x: float, y: float, reach_m: float = 20.0) -> Track:
        """At work: to and fro within `reach_m`, at some 0.4 knots."""
        for _ in range(round(minutes * 2)):
            self._put(x + reach_m * np.sin(self.at / reach_m / 5.2), y + reach_m * np.cos(self.at / reach_m / 6.4), 0.4)
        return self

    def go(self, x: float, y: float, knots: float = 6.0) -> Track:
        """Straight to a place."""
        last = self.rows[-1]
        way = float(np.hypot(x - last[1], y - last[2]))
        steps = max(1, round(way / (knots * 0.514 * 30)))
        for step in range(1, steps + 1):
            self._put(last[1] + (x - last[1]) * step / steps, last[2] + (y - last[2]) * step / steps, knots)
        return self

    def quiet(self, minutes: float) -> Track:
        """Sends nothing."""
        self.at += minutes * 60
        return self


def rows_of(behaviour: Behaviour, tracks: Sequence[Track]) -> Rows:
    """All rows in the order of time."""
    slots = {track.key: behaviour.slot_of(track.key, track.kind) for track in tracks}
    every = sorted((at, slots[track.key], x, y, sog) for track in tracks for at, x, y, sog in track.rows)
    at = np.array([row[0] for row in every])
    time = MIDNIGHT + (at * SECOND_US).astype(np.int64)
    return Rows(
        np.array([row[1] for row in every], np.intp),
        time,
        LON + np.array([row[2] for row in every]) / KX,
        LAT + np.array([row[3] for row in every]) / KY,
        np.array([row[4] for row in every]),
        time,
        np.arange(1, len(every) + 1),
    )


def run(
    tracks: Sequence[Track],
    what: Book | None = None,
    *,
    cuts: Sequence[int] = (),
    reload_at: Sequence[int] = (),
    parameters: Mapping[str, float] = PARAMETERS,
) -> Findings:
    """What behaviour finds, with rows cut into batches, and its state packed and unpacked where wanted."""
    behaviour = Behaviour(what or book(), parameters)
    rows = rows_of(behaviour, tracks)
    found = Findings()
    edges = sorted({0, *(cut for cut in (*cuts, *reload_at) if cut < len(rows)), len(rows)})
    for begin, end in itertools.pairwise(edges):
        if begin in reload_at:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(behaviour.dump()))
            behaviour = Behaviour(what or book(), parameters)
            behaviour.load(state)
        part = behaviour.update(rows.part(begin, end))
        found.stays += part.stays
        found.trips += part.trips
        found.changes += part.changes
    last = behaviour.finish()
    found.stays += last.stays
    found.trips += last.trips
    return found


def raised(found: Findings) -> list[tuple[str, str]]:
    """(condition, vessel) of every violation, in the order they were found."""
    return [(str(told.violation.kind), told.violation.vessel) for told in found.changes if told.violation.end is None]

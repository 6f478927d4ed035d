"""`sand_speed`: positions a second through the river-sand behaviour, its memory, and MovingPandas' stops on one file.

*Streaming*: 5,000 vessels (a tenth at work, half of the rest lying, the others sailing) that report every half minute,
50 mines, batches of a minute. What is counted is the processor time of one process, so that other work on the machine
does not show; the wall clock beside it. Memory is the growth of the process's resident set between the tenth part of
the run and its end.

*Peer*: the same positions as a table for MovingPandas (`TrajectoryStopDetector.get_stop_points`, 10 minutes within
100 m) and for ours (all of it: stays, dredging, trips, violations), each from columns in memory to its result. A
minute of a vessel agrees with the truth of the simulator where both say that it stayed or both say that it moved;
stays shorter than 10 minutes are left out, and so are minutes around which a vessel sent nothing for ten. Both run
in one process, one after the other, in processor time.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import shapely

from thap.domains.domain import domain
from thap.domains.parameters import shipped_parameters
from thap.domains.sand.behaviour import Behaviour, Rows
from thap.domains.sand.files import PositionFile
from thap.domains.sand.model import Book, Licence
from thap.domains.sand.offline import detect
from thap.domains.sand.simulator import simulate
from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, parse_time_us

__all__ = ["run"]

_VESSELS, _MINES = 5000, 50
_MIDNIGHT = "2026-11-19T17:00:00Z"
_STAY_US = 10 * MINUTE_US


def run(argv: list[str]) -> dict[str, Any]:
    """Stream, then compare."""
    parser = argparse.ArgumentParser(prog="bench sand_speed")
    parser.add_argument("--positions", type=int, default=5_000_000, help="streamed; 50,000,000 for the whole claim")
    parser.add_argument("--fleets", type=int, default=12, help="simulated fleets in the peer's file")
    parser.add_argument("--hours", type=float, default=4.0, help="of their day, from 07:30, in the peer's file")
    parser.add_argument("--no-peer", action="store_true")
    options = parser.parse_args(argv)
    parameters = dict(shipped_parameters(domain("sand")))
    figures = _stream(options.positions, parameters)
    peer: dict[str, Any] | None = None
    if not options.no_peer:
        compared, peer = _compare(options.fleets, options.hours, parameters)
        figures |= compared
    return {
        "bench": "sand_speed",
        "figures": figures,
        "input": f"{_VESSELS} vessels, {_MINES} mines, {options.positions:,} positions; peer: {options.fleets} "
        f"simulated fleets, {options.hours:g} hours",
        "peer": peer,
    }


# ---- streaming


def _stream(positions: int, parameters: dict[str, float]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    mines = tuple(
        Licence(n + 1, f"{n + 1:02d}/GP", "", shapely.box(105 + 0.02 * n, 10.4, 105.01 + 0.02 * n, 10.41),
                vessels=frozenset(f"v{v}" for v in range(10 * n, 10 * n + 10)))
        for n in range(_MINES)
    )  # fmt: skip
    behaviour = Behaviour(Book(mines), parameters)
    kinds = ["dredger" if n < 500 else "cargo" for n in range(_VESSELS)]
    slots = np.array([behaviour.slot_of(f"v{n}", kind) for n, kind in enumerate(kinds)])
    home = np.where(np.arange(_VESSELS) < 500, np.arange(_VESSELS) // 10, rng.integers(0, _MINES, _VESSELS))
    fleet = _Fleet(
        slots,
        105.005 + 0.02 * home + rng.normal(0, 0.002, _VESSELS),
        10.405 + rng.normal(0, 0.002, _VESSELS) + np.where(np.arange(_VESSELS) < 500, 0, 0.05),
        np.where(np.arange(_VESSELS) < 500, 2, (rng.random(_VESSELS) < 0.5).astype(int)),
        rng,
    )
    process = psutil.Process()
    minutes = max(20, positions // (2 * _VESSELS))
    spent = wall = 0.0
    found = 0
    early: float | None = None
    for minute in range(minutes):
        rows = fleet.minute(minute)
        cpu, clock = time.process_time(), time.perf_counter()
        result = behaviour.update(rows)
        spent += time.process_time() - cpu
        wall += time.perf_counter() - clock
        found += len(result.stays) + len(result.trips) + len(result.changes)
        if early is None and minute >= minutes // 10:
            early = process.memory_info().rss / 2**20
    rows_done = minutes * 2 * _VESSELS
    return {
        "positions_per_second": round(rows_done / spent),
        "positions_per_wall_second": round(rows_done / wall),
        "positions": rows_done,
        "findings": found,
        "rss_growth_mib": round(process.memory_info().rss / 2**20 - (early or 0.0), 1),
        "state_kib_per_vessel": round(_state_bytes(behaviour) / _VESSELS / 1024, 2),
    }


def _state_bytes(behaviour: Behaviour) -> int:
    arrays = [*behaviour.a.values(), *behaviour.tracks.a.values(), *behaviour.company.a.values()]
    return sum(values.nbytes for values in arrays) * _VESSELS // max(1, behaviour.size)


class _Fleet:
    """Vessels that lie (0), sail (1) or work (2), each heard twice a minute."""

    def __init__(
        self,
        slots: npt.NDArray[np.intp],
        lon: npt.NDArray[np.float64],
        lat: npt.NDArray[np.float64],
        mode: npt.NDArray[np.intp],
        rng: np.random.Generator,
    ) -> None:
        self.slots, self.lon, self.lat, self.mode, self.rng = slots, lon, lat, mode, rng
        self.start = parse_time_us(_MIDNIGHT)

    def minute(self, number: int) -> Rows:
        rng, count = self.rng, len(self.slots)
        at = number * 60 + np.concatenate([rng.uniform(0, 30, count), rng.uniform(30, 60, count)])
        who = np.tile(np.arange(count), 2)
        order = np.argsort(at, kind="stable")
        at, who = at[order], who[order]
        mode = self.mode[who]
        lon = self.lon[who] + np.where(mode == 1, 0.05 * np.sin(at / 3000 + who), 0.0)
        lon += np.where(mode == 2, 25 * np.sin(at / 200 + who) / 109_500, 0.0) + rng.normal(0, 5e-5, len(at))
        lat = self.lat[who] + np.where(mode == 2, 25 * np.cos(at / 260 + who) / 110_600, 0.0)
        lat += rng.normal(0, 5e-5, len(at))
        sog = np.choose(mode, [0.05, 6.0, 0.4]) + np.abs(rng.normal(0, 0.05, len(at)))
        moment = self.start + (at * SECOND_US).astype(np.int64)
        return Rows(self.slots[who], moment, lon, lat, sog, moment, np.full(len(at), number + 1))


# ---- the peer


def _compare(fleets: int, hours: float, parameters: dict[str, float]) -> tuple[dict[str, Any], dict[str, Any]]:
    file, book, truth, begin, end = _joined(fleets, hours)
    cpu = time.process_time()
    report = detect(file, book, parameters)
    ours_s = time.process_time() - cpu
    ours = [(stay.vessel, stay.begin, stay.end) for stay in report.stays]
    theirs, theirs_s, version = _movingpandas(file)
    minutes = np.arange(begin // MINUTE_US + 15, end // MINUTE_US - 15)
    says = {name: _by_minute(found, file.keys, minutes) for name, found in
            (("truth", truth), ("ours", ours), ("theirs", theirs))}  # fmt: skip
    unsure = _by_minute([one for one in truth if one[2] - one[1] < _STAY_US], file.keys, minutes)
    heard = np.zeros_like(unsure)
    at = np.searchsorted(minutes, file.time // MINUTE_US)
    for minute in range(-5, 6):
        near = (at + minute >= 0) & (at + minute < len(minutes))
        heard[file.vessel[near], at[near] + minute] = True
    judged = heard & ~unsure

    def agreement(name: str) -> float:
        return round(float((says[name] == says["truth"])[judged].mean()), 4)

    return (
        {
            "ratio_to_movingpandas": round(theirs_s / ours_s, 1),
            "file_positions": len(file),
            "file_vessels": len(file.keys),
            "seconds": round(ours_s, 2),
            "agreement": agreement("ours"),
        },
        {
            "name": f"MovingPandas {version}, TrajectoryStopDetector",
            "seconds": round(theirs_s, 2),
            "agreement": agreement("theirs"),
            "stops": len(theirs),
        },
    )


def _joined(fleets: int, hours: float) -> tuple[PositionFile, Book, list[tuple[str, int, int]], int, int]:
    """Some hours of several simulated fleets in one file, sorted by time; and where their boats stayed."""
    midnight = parse_time_us(_MIDNIGHT)
    begin = midnight + round(7.5 * HOUR_US)
    end = begin + round(hours * HOUR_US)
    keys: list[str] = []
    kinds: list[str] = []
    parts, truth = [], []
    book = Book()
    for fleet in range(fleets):
        day = simulate(201 + fleet, midnight)
        book, heard = day.book, day.heard
        kept = (heard.time >= begin) & (heard.time < end)
        parts.append((heard.vessel[kept] + len(keys), heard.time[kept], heard.lon[kept], heard.lat[kept],
                      heard.sog[kept]))  # fmt: skip
        keys += [f"{key}-{fleet}" for key in heard.keys]
        kinds += heard.kinds
        truth += [(f"{key}-{fleet}", a, b) for key, a, b in day.stays]
    columns = [np.concatenate([part[n] for part in parts]) for n in range(5)]
    order = np.argsort(columns[1], kind="stable")
    vessel, moment, lon, lat, sog = (column[order] for column in columns)
    file = PositionFile(keys, kinds, [""] * len(keys), vessel, moment, lon, lat, sog, np.arange(len(moment)))
    return file, book, truth, begin, end


def _movingpandas(file: PositionFile) -> tuple[list[tuple[str, int, int]], float, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import movingpandas
        import pandas

        frame = pandas.DataFrame(
            {
                "vessel": np.array(file.keys)[file.vessel],
                "t": pandas.to_datetime(file.time // 1000, unit="ms"),
                "lon": file.lon,
                "lat": file.lat,
            }
        )
        cpu = time.process_time()
        tracks = movingpandas.TrajectoryCollection(frame, "vessel", t="t", x="lon", y="lat", crs="EPSG:4326")
        stops = movingpandas.TrajectoryStopDetector(tracks).get_stop_points(
            min_duration=pandas.Timedelta(minutes=10), max_diameter=100
        )
        spent = time.process_time() - cpu
    found = [(str(row.traj_id), _us(row.start_time), _us(row.end_time)) for row in stops.itertuples()]
    return found, spent, str(movingpandas.__version__)


def _us(moment: Any) -> int:
    return int(moment.value // 1000)


def _by_minute(
    found: list[tuple[str, int, int]], keys: list[str], minutes: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """For each vessel and minute, whether its middle lies in something found."""
    number = {key: n for n, key in enumerate(keys)}
    said = np.zeros((len(keys), len(minutes)), bool)
    middle = minutes * MINUTE_US + MINUTE_US // 2
    for key, begin, end in found:
        if key in number:
            said[number[key], np.searchsorted(middle, begin) : np.searchsorted(middle, end)] = True
    return said

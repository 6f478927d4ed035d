"""What vessels do, minute by minute: stays, dredging, loading side by side, trips, and what of it is not allowed.

One state serves live engine, backtest and files. Each vessel is judged on its own clock, when a minute of its own
track ends; what concerns several vessels (side by side, silence, changed identities) is looked at whenever the clock
of the whole stream passes a minute. Where that happens is decided by the rows alone, so how they are cut into batches
changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.domains.sand.acts import Acts
from thap.domains.sand.company import Company
from thap.domains.sand.fleet import Fleet, Role
from thap.domains.sand.ground import FAR_M, LAT_M, Ground, lon_m
from thap.domains.sand.loads import Loads
from thap.domains.sand.model import Book, Fix, Stay, StayKind, Trip, Violation
from thap.domains.sand.motion import Motion, motion_of
from thap.domains.sand.room import grown, kept, restored, room_for
from thap.domains.sand.tracks import LONG_AGO, RING, Closed, Tracks, Window
from thap.kernel.clock import HOUR_US, MINUTE_US

__all__ = ["Behaviour", "Findings", "Rows", "Told"]

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Slots = npt.NDArray[np.intp]

STILL, WORK = 1, 2
_WAKE_US = 4 * MINUTE_US
"""A boat at rest that moves for so long is at work."""
_CALM_US = 8 * MINUTE_US
"""A boat at work that rests for so long is at rest."""
_GAP_US = 20 * MINUTE_US
"""A track with a longer gap is two."""
_FLICKER_US = 3 * MINUTE_US
_AHEAD_US = 6 * HOUR_US
"""A row so far ahead of all others waits until others agree."""
_LAYOUT = 2
"""Of the state: another one is not read."""
_STAY_US = 10 * MINUTE_US
"""Shorter stays are not told."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Positions in the order they came; slots as `Fleet` gave them."""

    slot: Slots
    time: Longs
    lon: Doubles
    lat: Doubles
    sog: Doubles
    received: Longs
    seq: Longs

    def __len__(self) -> int:
        return len(self.slot)

    def part(self, begin: int, end: int) -> Rows:
        """Rows begin ≤ n < end."""
        return Rows(*(getattr(self, name)[begin:end] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Told:
    """A violation that began or ended, with the record that decided it."""

    violation: Violation
    seq: int
    received: int


@dataclass(slots=True)
class Findings:
    """What rows led to, each in the order it was found."""

    stays: list[Stay] = field(default_factory=list)
    trips: list[Trip] = field(default_factory=list)
    changes: list[Told] = field(default_factory=list)
    """Violations: once without an end when they are found, and once with it."""
    order: list[tuple[int, Stay | Trip | Violation]] = field(default_factory=list)
    """All of these in the order they were found, each with the clock of the stream then: µs, whole minutes."""

    def __bool__(self) -> bool:
        return bool(self.stays or self.trips or self.changes)


class Behaviour:
    """The state of all vessels under one book.

    Args:
        book: licences and registers.
        parameters: by name, as in `parameters.toml`.
    """

    ARRAYS: dict[str, tuple[Any, Any, int]] = {  # noqa: RUF012  as in Tracks
        "run": (np.int8, 0, 0),
        "begin": (np.int64, 0, 0),
        "end": (np.int64, 0, 0),
        "wake": (np.int64, 0, 0),
        "active": (np.int64, 0, 0),
        "dredging": (np.int8, 0, 0),
        "gave": (np.int8, 0, 0),
        "at_lon": (np.float64, 0.0, 0),
        "at_lat": (np.float64, 0.0, 0),
        "n": (np.float32, 0.0, 0),
        "positions": (np.float32, 0.0, 0),
        "x": (np.float64, 0.0, 0),
        "y": (np.float64, 0.0, 0),
        "r2": (np.float64, 0.0, 0),
        "noise": (np.float32, 0.0, 0),
        "sog": (np.float32, 0.0, 0),
        "drift": (np.float32, 0.0, 0),
        "licence": (np.int32, -1, 0),
        "distance": (np.float32, FAR_M, 0),
        "zone": (np.int32, -1, 0),
        "wharf": (np.int32, -1, 0),
        "bank": (np.int32, -1, 0),
        "bank_m": (np.float32, FAR_M, 0),
        "river": (np.int8, 1, 0),
        "placed": (np.int8, 0, 0),
        "lon": (np.float64, 0.0, 0),
        "lat": (np.float64, 0.0, 0),
    }

    def __init__(self, book: Book, parameters: Mapping[str, float]) -> None:
        self.p = dict(parameters)
        self.fleet = Fleet()
        self.tracks = Tracks(self.p["jump_speed_kn"], self.p["jump_m"], int(self.p["two_places_turns"]))
        self.a: dict[str, npt.NDArray[Any]] = {name: np.zeros(0, dtype) for name, (dtype, _, _) in self.ARRAYS.items()}
        self.size = 0
        self.now = LONG_AGO
        """The latest event time that can be believed, µs."""
        self._ahead: tuple[int, int] = (LONG_AGO, 0)
        self.found = Findings()
        self.acts = Acts(self)
        self.loads = Loads(self)
        self.company = Company(self)
        self.take_book(book, parameters)

    def take_book(self, book: Book, parameters: Mapping[str, float] | None = None) -> None:
        """Judge by another book, or by other parameters, from now on."""
        if parameters is not None:
            self.p = dict(parameters)
        self.book = book
        self.ground = Ground(book, max(2000.0, self.p["watch_radius_m"], self.p["near_m"]), self.p["wharf_reach_m"])
        self.fleet.take_book(book)
        if self.size:
            self._unplace()
        self.acts.take_book()

    def _unplace(self) -> None:
        """Where vessels lie is to be asked again."""
        for name in ("licence", "distance", "zone", "wharf", "bank", "bank_m", "river", "placed"):
            self.a[name][:] = self.ARRAYS[name][1]

    # ---- vessels

    def slot_of(self, key: str, kind: str = "", name: str = "") -> int:
        """The slot of a vessel, made where it is new.

        Args:
            key: of its mover.
            kind: what its ship type says, as `thap.observe.ships` words it.
            name: as it calls itself.
        """
        slot = self.fleet.slot_of(key, kind, name)
        if slot >= self.size:
            self._grow(room_for(slot + 1))
        return slot

    def _grow(self, size: int) -> None:
        for name, (_, first, _) in self.ARRAYS.items():
            self.a[name] = grown(self.a[name], size, first)
        self.size = size
        self.tracks.grow(size)
        self.acts.grow(size)
        self.company.grow(size)

    # ---- rows

    def update(self, rows: Rows) -> Findings:
        """Take rows; gives what they led to."""
        self.found = Findings()
        count = len(rows)
        if not count:
            return self.found
        reached = self._clock(rows)
        if self.now == LONG_AGO:
            self.now = int(reached[0])
        minute = reached // MINUTE_US
        before = np.empty_like(minute)
        before[0], before[1:] = self.now // MINUTE_US, minute[:-1]
        start = 0
        for at in [*np.flatnonzero(minute > before).tolist(), count]:
            self._part(rows.part(start, at))
            if at < count:
                self.now = int(reached[at])
                self.company.look(self.now, int(rows.seq[at]), int(rows.received[at]))
            start = at
        self.now = int(reached[-1])
        return self.found

    def _clock(self, rows: Rows) -> Longs:
        """The latest event time that can be believed, at each row."""
        time = np.minimum(rows.time, rows.received + 5 * MINUTE_US)
        begin = self.now if self.now > LONG_AGO else int(time[0])
        reached: Longs = np.maximum(np.maximum.accumulate(time), begin)
        if int(reached[0]) - begin <= _AHEAD_US and (np.diff(reached) <= _AHEAD_US).all():
            self._ahead = (LONG_AGO, 0)
            return reached
        now, (last, times) = begin, self._ahead
        for row, moment in enumerate(time.tolist()):
            if moment <= now + _AHEAD_US:
                now, last, times = max(now, moment), LONG_AGO, 0
            else:
                times = times + 1 if moment >= last else 1
                last = moment
                if times >= 3:
                    now, last, times = moment, LONG_AGO, 0
            reached[row] = now
        self._ahead = (last, times)
        return reached

    def _part(self, rows: Rows) -> None:
        """Rows between two looks: first rows of all vessels, then second rows, and so on."""
        count = len(rows)
        if not count:
            return
        order = np.argsort(rows.slot, kind="stable")
        slot = rows.slot[order]
        head = np.flatnonzero(np.append(True, slot[1:] != slot[:-1]))
        size = np.diff(np.append(head, count))
        for turn in range(int(size.max())):
            mine = order[head[size > turn] + turn]
            self._turn(rows, np.sort(mine))

    def _turn(self, rows: Rows, mine: Slots) -> None:
        slot = rows.slot[mine]
        self.company.hear(slot, rows, mine)
        closed = self.tracks.push(slot, rows.time[mine], rows.lon[mine], rows.lat[mine], rows.sog[mine])
        for jump in self.tracks.jumps:
            row = int(mine[jump.row])
            self.company.two_places(jump, int(rows.time[row]), int(rows.seq[row]), int(rows.received[row]))
        self.tracks.jumps.clear()
        if len(closed.slots):
            at = mine[closed.rows]
            self._minutes(closed, rows.seq[at], rows.received[at])

    # ---- minutes

    def _minutes(self, closed: Closed, seq: Longs, received: Longs) -> None:
        """Judge vessels whose minute ended."""
        a, slot = self.a, closed.slots
        ring = self.tracks.a
        head = ring["head"][slot]
        speed = ring["ring_sog"][slot, head].astype(np.float64)
        start, time, lon, lat = self.tracks.minute(slot, head)
        _, time_before, lon_before, lat_before = self.tracks.minute(slot, (head - 1) % RING)
        hours = (time - time_before) / HOUR_US
        way = np.hypot((lon - lon_before) * lon_m(lat), (lat - lat_before) * LAT_M)
        covered = way / np.maximum(hours, 1e-6) / 1852
        brisk = np.where(np.isfinite(speed), np.maximum(speed, np.minimum(covered, 4.1)), covered)
        wanted = (a["run"][slot] > 0) | (brisk < 2.0 * self.p["dredge_speed_kn"])
        noise = ring["noise2"][slot] / np.maximum(ring["ring_n"][slot, head], 1)
        still = (a["run"][slot] == STILL) & ~(speed > 0.2) & (way < 3 * np.sqrt(noise) + 8) & (hours < 0.3)
        # Who lies still is looked at every third minute only.
        quiet = wanted & still & ((start // MINUTE_US + slot) % 3 != 0)
        if quiet.any():
            self._lie(slot[quiet], start[quiet], lon[quiet], lat[quiet], head[quiet], seq[quiet], received[quiet])
            wanted &= ~quiet
        if not wanted.any():
            return
        slot, seq, received = slot[wanted], seq[wanted], received[wanted]
        window = self.tracks.window(slot)
        self._gaps(slot, window, seq, received)
        motion = motion_of(window, a["begin"][slot], self.p["dredge_speed_kn"])
        slow_kn = self.p["dredge_speed_kn"]
        slow = motion.speed_kn <= slow_kn
        leaves = (a["run"][slot] > 0) & (motion.speed_kn > 1.5 * slow_kn)
        for at in np.flatnonzero(leaves).tolist():
            self._leave(int(slot[at]), window, at, seq, received)
        kept = (a["run"][slot] > 0) | slow
        if not kept.any():
            return
        rows = np.flatnonzero(kept)
        self._place(slot[rows], motion, rows)
        active = self._active(slot, motion, slow)
        self._enter(slot, window, motion, slow, active)
        self._change_run(slot, window, active, seq, received)
        self._gather(slot[rows], window, motion, rows)
        working = np.flatnonzero(a["run"][slot] == WORK)
        if len(working):
            self.acts.judge(
                slot[working],
                _rows(window, working),
                _some(motion, working),
                active[working],
                seq[working],
                received[working],
            )
        still = np.flatnonzero(a["run"][slot] > 0)
        self.loads.lie(slot[still], window.start[still, 0] + MINUTE_US, seq[still], received[still])

    def _lie(
        self, slot: Slots, start: Longs, lon: Doubles, lat: Doubles, head: Slots, seq: Longs, received: Longs
    ) -> None:
        """A minute of vessels that plainly lie still."""
        ring = self.tracks.a
        speed = np.nan_to_num(ring["ring_sog"][slot, head].astype(np.float64))
        end = start + MINUTE_US
        self._sum(slot, lon, lat, ring["ring_n"][slot, head].astype(np.float64), ring["noise2"][slot], speed, end)
        self.loads.lie(slot, end, seq, received)

    def _gaps(self, slot: Slots, window: Window, seq: Longs, received: Longs) -> None:
        """A run does not last over a long gap."""
        gap = (self.a["run"][slot] > 0) & (window.rows[:, 1] > 0) & (window.time[:, 0] - window.time[:, 1] > _GAP_US)
        for at in np.flatnonzero(gap).tolist():
            self.end_run(int(slot[at]), int(window.start[at, 1]) + MINUTE_US, int(seq[at]), int(received[at]))

    def _leave(self, slot: int, window: Window, at: int, seq: Longs, received: Longs) -> None:
        """A run ended by speed; its last minute is the newest that was slow."""
        slow_kn = 1.25 * self.p["dredge_speed_kn"]
        speeds, starts = window.sog[at], window.start[at]
        end = int(starts[min(2, len(starts) - 1)]) + MINUTE_US
        for column in range(min(6, len(starts))):
            if window.rows[at, column] > 0 and speeds[column] <= slow_kn:
                end = int(starts[column]) + MINUTE_US
                break
        end = max(end, int(self.a["begin"][slot]))
        self.end_run(slot, end, int(seq[at]), int(received[at]))

    def _place(self, slot: Slots, motion: Motion, rows: Slots) -> None:
        """Where they lie; asked again only of those that moved."""
        a = self.a
        lon, lat = motion.lon[rows], motion.lat[rows]
        away = np.hypot((lon - a["lon"][slot]) * lon_m(lat), (lat - a["lat"][slot]) * LAT_M)
        nearest = np.minimum(a["distance"][slot], a["bank_m"][slot])
        stale = (a["placed"][slot] == 0) | (away > np.clip(0.05 * nearest, 4.0, 25.0))
        if not stale.any():
            return
        who = slot[stale]
        found = self.ground.places(lon[stale], lat[stale])
        a["licence"][who], a["distance"][who], a["zone"][who] = found.licence, found.distance_m, found.zone
        a["wharf"][who], a["bank"][who], a["bank_m"][who] = found.wharf, found.bank, found.bank_m
        a["river"][who], a["placed"][who] = found.river, 1
        a["lon"][who], a["lat"][who] = lon[stale], lat[stale]

    def _active(self, slot: Slots, motion: Motion, slow: Bools) -> Bools:
        """Whether each works rather than lies still: by the speed it reports, else by how it drifts."""
        told = np.isfinite(motion.recent_kn)
        # Less than half of its pace is rest; but the pace of an arrival says nothing of that of the work after it.
        least = np.clip(0.4 * np.nan_to_num(motion.sog_kn), 0.14, 0.25)
        dredger = self.fleet.role[slot] == Role.DREDGER
        drifts = (motion.drift_kn >= np.where(dredger, self.p["drift_kn"], self.p["drift_other_kn"])) & (
            motion.spread_m >= np.where(dredger, self.p["spread_m"], self.p["spread_other_m"])
        )
        by_speed = (np.nan_to_num(motion.recent_kn) >= least) | motion.moved
        return slow & np.where(told, by_speed, motion.moved | drifts)

    def _enter(self, slot: Slots, window: Window, motion: Motion, slow: Bools, active: Bools) -> None:
        a = self.a
        new = (a["run"][slot] == 0) & slow
        if not new.any():
            return
        at, who = np.flatnonzero(new), slot[new]
        back = np.clip(motion.slow_minutes[new] - 1, 0, 6)
        begin = window.start[at, back]
        fresh = window.age[at, back] > 12  # the gap before it is no stay
        begin = np.where(fresh, window.start[at, 0], begin)
        a["begin"][who] = np.maximum(begin, a["end"][who])
        a["run"][who] = np.where(active[new], WORK, STILL)
        a["active"][who] = window.start[at, 0] + MINUTE_US
        self._reset(who, window.lon[at, 0], window.lat[at, 0])

    def _reset(self, who: Slots, lon: Doubles, lat: Doubles) -> None:
        a = self.a
        a["at_lon"][who], a["at_lat"][who] = lon, lat
        for name in ("n", "positions", "x", "y", "r2", "noise", "sog", "drift", "dredging", "gave", "wake"):
            a[name][who] = 0

    def _change_run(self, slot: Slots, window: Window, active: Bools, seq: Longs, received: Longs) -> None:
        """Between rest and work."""
        a = self.a
        now = window.start[:, 0] + MINUTE_US
        run = a["run"][slot]
        moving = (run > 0) & active
        waking = moving & (run == STILL)
        fresh = waking & (a["wake"][slot] == 0)
        a["wake"][slot[fresh]] = window.start[fresh, 0]
        idle = now - a["active"][slot]
        asleep = (run == STILL) & ~active & (idle > _FLICKER_US)
        a["wake"][slot[asleep]] = 0
        a["active"][slot[moving]] = now[moving]
        wakes = waking & (now - a["wake"][slot] >= _WAKE_US)
        calms = (run == WORK) & ~active & (idle >= _CALM_US)
        for at in np.flatnonzero(wakes | calms).tolist():
            one = int(slot[at])
            begin = int(a["wake"][one]) if wakes[at] else int(a["active"][one])
            begin = max(begin, int(a["begin"][one]))
            if begin - int(a["begin"][one]) < _STAY_US and not a["dredging"][one]:
                a["run"][one] = WORK if wakes[at] else STILL  # too short to be a stay of its own
                a["wake"][one] = 0
                continue
            self.end_run(one, begin, int(seq[at]), int(received[at]))
            who = np.array([one])
            a["run"][one], a["begin"][one] = (WORK if wakes[at] else STILL), begin
            self._reset(who, window.lon[at, :1], window.lat[at, :1])
            if not wakes[at]:
                a["active"][one] = begin

    def _gather(self, slot: Slots, window: Window, motion: Motion, rows: Slots) -> None:
        """Sums over a run, for the middle and spread of its stay."""
        self.a["drift"][slot] = motion.drift_kn[rows]
        self._sum(
            slot,
            window.lon[rows, 0],
            window.lat[rows, 0],
            window.rows[rows, 0],
            window.noise2[rows],
            motion.speed_kn[rows],
            window.start[rows, 0] + MINUTE_US,
        )

    def _sum(
        self, slot: Slots, lon: Doubles, lat: Doubles, count: Doubles, noise2: Doubles, speed: Doubles, end: Longs
    ) -> None:
        a = self.a
        x, y = (lon - a["at_lon"][slot]) * lon_m(lat), (lat - a["at_lat"][slot]) * LAT_M
        a["n"][slot] += 1
        a["positions"][slot] += count
        a["x"][slot] += x
        a["y"][slot] += y
        a["r2"][slot] += x * x + y * y
        a["noise"][slot] += 2 * noise2 / np.maximum(count, 1)
        a["sog"][slot] += speed
        a["end"][slot] = end

    # ---- ends

    def end_run(self, slot: int, end: int, seq: int, received: int, *, still_open: bool = False) -> None:
        """A vessel's run ended: tell its stay, end what it did wrong, remember its load."""
        a = self.a
        if not a["run"][slot]:
            return
        stay = self._stay(slot, end, still_open)
        if not still_open:
            self.acts.end(slot, end, seq, received)
        if stay is not None and not (stay.kind is StayKind.UNCLEAR and stay.end - stay.begin < _STAY_US):
            self.tell_stay(stay)
            self.loads.stayed(slot, stay, bool(a["gave"][slot]))
        self.loads.rise(slot, end, seq, received, still_open=still_open)
        if not still_open:
            a["run"][slot] = a["dredging"][slot] = 0
            a["end"][slot] = end

    def _stay(self, slot: int, end: int, still_open: bool) -> Stay | None:
        a = {name: values[slot] for name, values in self.a.items()}
        n, begin = float(a["n"]), int(a["begin"])
        if n < 1 or end - begin < (_STAY_US if not a["dredging"] else 0):
            return None
        x, y = float(a["x"]) / n, float(a["y"]) / n
        seen2 = max(0.0, float(a["r2"]) / n - x * x - y * y)
        spread = float(np.sqrt(max(0.0, seen2 - float(a["noise"]) / n)))
        speed = float(a["sog"]) / n
        if a["dredging"]:
            kind = StayKind.DREDGING
        elif n < 4:
            kind = StayKind.UNCLEAR
        elif spread <= self.p["rest_spread_m"] or a["wharf"] >= 0:
            kind = StayKind.MOORED
        elif a["run"] == STILL or speed < 0.3:
            kind = StayKind.ANCHORED
        else:
            kind = StayKind.WORK
        licence = int(a["licence"])
        distance = float(a["distance"])
        inside = licence >= 0 and distance <= self.p["outside_tolerance_m"]
        wharf = int(a["wharf"])
        lat = float(a["at_lat"]) + y / LAT_M
        return Stay(
            self.fleet.keys[slot],
            kind,
            begin,
            end,
            float(a["at_lon"]) + x / float(lon_m(lat)),
            lat,
            round(spread, 1),
            int(a["positions"]),
            self.book.licences[licence].id if inside else None,
            self.book.wharves[wharf].id if wharf >= 0 else None,
            self.company.beside_key(slot),
            None if distance >= FAR_M else round(distance, 1),
            {"speed_kn": round(speed, 2), "drift_kn": round(float(a["drift"]), 2), "seen_m": round(seen2**0.5, 1)},
            still_open,
        )

    def tell(self, violation: Violation, seq: int, received: int) -> None:
        """A violation began, or (with its end) ended."""
        self.found.changes.append(Told(violation, seq, received))
        self._order(violation)

    def tell_stay(self, stay: Stay) -> None:
        """A stay ended."""
        self.found.stays.append(stay)
        self._order(stay)

    def tell_trip(self, trip: Trip) -> None:
        """A load was put ashore."""
        self.found.trips.append(trip)
        self._order(trip)

    def _order(self, one: Stay | Trip | Violation) -> None:
        # Whole minutes: within one, the clock depends on how rows are cut into batches.
        self.found.order.append((self.now - self.now % MINUTE_US, one))

    def evidence(self, slot: int) -> tuple[Fix, ...]:
        """The last minutes heard of a vessel, the oldest first: means of each minute."""
        window = self.tracks.window(np.array([slot]))
        fixes = []
        for column in range(window.rows.shape[1] - 1, -1, -1):
            if window.rows[0, column] > 0:
                sog = float(window.sog[0, column])
                fixes.append(
                    Fix(
                        int(window.time[0, column]),
                        float(window.lon[0, column]),
                        float(window.lat[0, column]),
                        None if np.isnan(sog) else round(sog, 2),
                    )
                )
        return tuple(fixes)

    # ---- time, end, state

    def tick(self, now: int) -> Findings:
        """The clock of the stream where no rows come: see `Company.look`."""
        self.found = Findings()
        if now > self.now > LONG_AGO:
            self.company.look(now, 0, 0)
        return self.found

    def heard_lately(self) -> int:
        """How many vessels were heard within half an hour of the newest position."""
        return int((self.tracks.a["last_t"] > self.now - HOUR_US // 2).sum())

    def finish(self) -> Findings:
        """The input ended: tell stays and trips that had not."""
        self.found = Findings()
        slots = np.flatnonzero(self.a["run"] > 0).tolist() if self.size else []
        for slot in slots:
            self.end_run(slot, int(self.a["end"][slot]), 0, 0, still_open=True)
        self.company.finish()
        return self.found

    def dump(self) -> dict[str, Any]:
        """Its state, msgpack-able; inverse of `load`."""
        count = len(self.fleet)
        return {
            "layout": _LAYOUT,
            "now": self.now,
            "ahead": list(self._ahead),
            "ground": self.ground.fingerprint,
            "arrays": {name: kept(self.a[name], count, first) for name, (_, first, _) in self.ARRAYS.items()},
            "fleet": self.fleet.dump(),
            "tracks": self.tracks.dump(count),
            "acts": self.acts.dump(count),
            "loads": self.loads.dump(),
            "company": self.company.dump(count),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take what `dump` gave, under the book in force now.

        Raises:
            KeyError: it is not such a state.
            ValueError: it is damaged, or was written by another version.
        """
        if state.get("layout") != _LAYOUT:
            raise ValueError(f"a state of layout {state.get('layout')}, not {_LAYOUT}")
        self.fleet.load(state["fleet"], self.book)
        self.now, self._ahead = state["now"], (state["ahead"][0], state["ahead"][1])
        size = room_for(len(self.fleet))
        arrays = state["arrays"]
        self.a = {
            name: restored(arrays[name], self.a[name], size, first) for name, (_, first, _) in self.ARRAYS.items()
        }
        self.size = size
        self.tracks.load(state["tracks"], size)
        self.acts.load(state["acts"], size)
        self.loads.load(state["loads"])
        self.company.load(state["company"], size)
        if self.size and state["ground"] != self.ground.fingerprint:
            self._unplace()


def _rows(window: Window, rows: Slots) -> Window:
    return Window(*(getattr(window, name)[rows] for name in window.__slots__))


def _some(motion: Motion, rows: Slots) -> Motion:
    return Motion(*(getattr(motion, name)[rows] for name in motion.__slots__))

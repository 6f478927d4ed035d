"""What concerns several vessels, or the want of one: side by side, silence, one identity in two places, a changed one.

Looked at whenever the clock of the stream passes a minute. That clock is the time of the third-latest vessel (of few
vessels, the second or the latest), so that one wrong clock makes nobody silent; and it stands still when the stream
does, so that a broken receiver is not taken for the silence of a fleet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thap.domains.sand.fleet import Role
from thap.domains.sand.ground import LAT_M, lon_m
from thap.domains.sand.model import Kind, Stay, StayKind, Violation
from thap.domains.sand.room import grown, kept, restored
from thap.domains.sand.tracks import LONG_AGO, Jump
from thap.kernel.clock import HOUR_US, MINUTE_US

if TYPE_CHECKING:
    from thap.domains.sand.behaviour import Behaviour, Rows

__all__ = ["Company"]

Bools = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]
Slots = npt.NDArray[np.intp]

_APART_US = 4 * MINUTE_US
_FRESH_US = 6 * MINUTE_US
_GAP_US = 20 * MINUTE_US
_RECENT_US = 30 * MINUTE_US
_RENAME_LEAST_US = 2 * MINUTE_US
_RENAME_MOST_US = 60 * MINUTE_US
_RENAME_OVER_US = 6 * HOUR_US
_TWO_OVER_US = 30 * MINUTE_US
_STANDSTILL_US = 5 * MINUTE_US
"""Nobody heard for so long, of several vessels: the receiver stood still, and nobody is called silent for it."""
_FEW = 3
_QUIET, _ASKED = 1, 2


class Company:
    """State by slot of what several vessels do together."""

    ARRAYS: dict[str, tuple[Any, Any]] = {  # noqa: RUF012
        "mate": (np.int32, -1),
        "since": (np.int64, 0),
        "last": (np.int64, 0),
        "loading": (np.int8, 0),
        "silent": (np.int8, 0),
    }

    def __init__(self, owner: Behaviour) -> None:
        self._owner = owner
        self.a: dict[str, npt.NDArray[Any]] = {name: np.zeros(0, kind) for name, (kind, _) in self.ARRAYS.items()}
        self._began = LONG_AGO
        self._looked = self._floor = LONG_AGO
        """When the stream was looked at last, and since when it has gone on without standing still."""
        self._told: dict[tuple[int, str], Violation] = {}
        self._two: dict[int, int] = {}
        """Slot → when it last went to and fro."""
        self._suspects: dict[int, tuple[int, int]] = {}
        """Slot of a new vessel → the slot that fell silent at its spot, and when the new one was first heard."""

    def grow(self, size: int) -> None:
        """Make room."""
        for name, (_, first) in self.ARRAYS.items():
            self.a[name] = grown(self.a[name], size, first)

    def aside(self, slot: Slots) -> Bools:
        """Whether each lies beside a dredger."""
        return np.asarray(self.a["mate"][slot] >= 0)

    def beside_key(self, slot: int) -> str:
        """Key of the vessel it lies beside, or empty."""
        mate = int(self.a["mate"][slot])
        return self._owner.fleet.keys[mate] if mate >= 0 else ""

    # ---- each row

    def hear(self, slot: Slots, rows: Rows, mine: Slots) -> None:
        """Vessels are about to be heard."""
        tracks = self._owner.tracks.a
        quiet = self.a["silent"][slot] > 0
        if quiet.any():
            for at in np.flatnonzero(quiet).tolist():
                one, row = int(slot[at]), int(mine[at])
                if rows.time[row] > tracks["last_t"][one]:
                    self.a["silent"][one] = 0
                    self._end(one, Kind.SILENT, int(rows.time[row]), int(rows.seq[row]), int(rows.received[row]))
        new = tracks["first_t"][slot] == LONG_AGO
        if new.any():
            if self._began == LONG_AGO:
                self._began = int(rows.time[mine[new]].min())
            for at in np.flatnonzero(new).tolist():
                row = int(mine[at])
                self._first(int(slot[at]), int(rows.time[row]), float(rows.lon[row]), float(rows.lat[row]))

    def _first(self, slot: int, time: int, lon: float, lat: float) -> None:
        """A vessel heard for the first time: where another fell silent in a mine, it may be that one."""
        owner = self._owner
        if time - self._began < _RECENT_US:
            return
        tracks, a = owner.tracks.a, owner.a
        quiet = time - tracks["last_t"]
        there = (quiet >= _RENAME_LEAST_US) & (quiet <= _RENAME_MOST_US) & (a["run"] > 0)
        there &= a["distance"] <= owner.p["near_m"]
        for other in np.flatnonzero(there).tolist():
            east = (float(tracks["lon"][other]) - lon) * float(lon_m(lat))
            away = np.hypot(east, (float(tracks["lat"][other]) - lat) * LAT_M)
            if other != slot and away <= owner.p["renamed_m"]:
                self._suspects[slot] = (other, time)
                return

    def two_places(self, jump: Jump, time: int, seq: int, received: int) -> None:
        """One identity goes to and fro between two places."""
        owner = self._owner
        self._two[jump.slot] = time
        if (jump.slot, Kind.TWO_PLACES) in self._told:
            return
        self._tell(
            Violation(
                Kind.TWO_PLACES,
                owner.fleet.keys[jump.slot],
                jump.begin,
                None,
                time,
                *jump.here,
                numbers={
                    "distance_m": round(jump.distance_m, 1),
                    "speed_kn": round(jump.speed_kn, 1),
                    "turns": float(jump.turns),
                    "other_lon": round(jump.there[0], 6),
                    "other_lat": round(jump.there[1], 6),
                },
                positions=owner.evidence(jump.slot),
            ),
            jump.slot,
            seq,
            received,
        )

    # ---- each minute of the stream

    def look(self, now: int, seq: int, received: int) -> None:
        """The clock of the stream passed a minute, or time passed without rows (`seq` 0)."""
        owner = self._owner
        if not owner.size:
            return
        heard = owner.tracks.a["last_t"]
        if seq:
            now = min(now, self._agreed(heard, now))
            gap = now - self._looked > _STANDSTILL_US and self._looked > LONG_AGO
            if gap and int((heard > self._looked - _RECENT_US).sum()) >= _FEW:
                self._floor = now
            self._looked = now
        self._side_by_side(now, seq, received)
        quiet = now - heard
        waited = now - np.maximum(heard, self._floor)
        for slot in np.flatnonzero((owner.a["run"] > 0) & (quiet > _GAP_US)).tolist():
            owner.end_run(slot, int(owner.a["end"][slot]), seq, received)
        self._silences(now, np.where(heard > LONG_AGO, waited, 0), seq, received)
        self._identities(now, seq, received)

    def _agreed(self, heard: Longs, now: int) -> int:
        recent = heard[heard > now - _RECENT_US]
        rank = 1 if len(recent) < 5 else 2 if len(recent) < 10 else 3
        return int(np.partition(recent, len(recent) - rank)[len(recent) - rank]) if len(recent) else now

    def _side_by_side(self, now: int, seq: int, received: int) -> None:
        owner, a, mine = self._owner, self._owner.a, self.a
        there = (a["run"] > 0) & (a["placed"] > 0) & (now - owner.tracks.a["last_t"] <= _FRESH_US)
        role = owner.fleet.role
        dredger = np.zeros(len(there), bool)
        dredger[: len(role)] = role[: len(there)] == Role.DREDGER
        gives = np.flatnonzero(there & ((a["dredging"] > 0) | (dredger & (a["distance"] <= owner.p["near_m"]))))
        takes = np.flatnonzero(there & ~dredger & (a["dredging"] == 0))
        if len(gives) and len(takes):
            scale = float(lon_m(float(a["lat"][gives[0]])))
            from scipy.spatial import cKDTree

            tree = cKDTree(np.column_stack([a["lon"][gives] * scale, a["lat"][gives] * LAT_M]))
            away, nearest = tree.query(
                np.column_stack([a["lon"][takes] * scale, a["lat"][takes] * LAT_M]),
                distance_upper_bound=owner.p["beside_m"],
            )
            found = np.isfinite(away)
            who, mate = takes[found], gives[nearest[found]]
            # Where two dredgers are near, which of them is nearest goes to and fro; the time beside them goes on.
            mine["since"][who[mine["mate"][who] < 0]] = now - MINUTE_US
            anew = (mine["mate"][who] != mate) & (mine["loading"][who] == 0)
            mine["mate"][who[anew]] = mate[anew]
            mine["last"][who] = now
            long = mine["last"][who] - mine["since"][who] >= owner.p["beside_min"] * MINUTE_US
            mine["loading"][who[long]] = 1
            a["gave"][mine["mate"][who[long]]] = 1
        for slot in np.flatnonzero((mine["mate"] >= 0) & (now - mine["last"] > _APART_US)).tolist():
            self._apart(slot, seq, received, still_open=False)

    def _apart(self, slot: int, seq: int, received: int, *, still_open: bool) -> None:
        """A vessel no longer lies beside a dredger."""
        owner, mine = self._owner, self.a
        mate, loaded = int(mine["mate"][slot]), mine["loading"][slot] > 0
        begin, end = int(mine["since"][slot]), int(mine["last"][slot])
        if loaded:
            stay = self._loading(slot, mate, begin, end, still_open)
            owner.tell_stay(stay)
            owner.loads.loaded(slot, stay)
        mine["mate"][slot], mine["loading"][slot] = -1, 0
        if loaded and owner.a["run"][slot] and not still_open:
            owner.end_run(slot, int(owner.a["begin"][slot]), seq, received)

    def _loading(self, slot: int, mate: int, begin: int, end: int, still_open: bool) -> Stay:
        owner, a = self._owner, self._owner.a
        licence, distance = int(a["licence"][slot]), float(a["distance"][slot])
        inside = licence >= 0 and distance <= owner.p["outside_tolerance_m"]
        return Stay(
            owner.fleet.keys[slot],
            StayKind.LOADING,
            begin,
            end,
            float(a["lon"][slot]),
            float(a["lat"][slot]),
            0.0,
            int(a["positions"][slot]),
            owner.book.licences[licence].id if inside else None,
            None,
            owner.fleet.keys[mate],
            None if distance > owner.ground.reach_m else round(distance, 1),
            {},
            still_open,
        )

    def _silences(self, now: int, quiet: Longs, seq: int, received: int) -> None:
        """Dredgers and named vessels not heard for too long, last heard in or near a mine."""
        owner, a = self._owner, self._owner.a
        limit = int(owner.p["silence_min"] * MINUTE_US)
        watched = np.zeros(owner.size, bool)
        watched[: len(owner.fleet.watched)] = owner.fleet.watched[: owner.size]
        watched |= a["dredging"] > 0
        late = np.flatnonzero(watched & (self.a["silent"] == 0) & (quiet > limit) & (quiet < 2**61))
        if not len(late):
            return
        tracks = owner.tracks.a
        where = owner.ground.places(tracks["lon"][late], tracks["lat"][late])
        for at, slot in enumerate(late.tolist()):
            near = where.licence[at] >= 0 and where.distance_m[at] <= owner.p["near_m"] and where.wharf[at] < 0
            self.a["silent"][slot] = _QUIET if near else _ASKED
            if not near:
                continue
            licence = owner.book.licences[int(where.licence[at])]
            begin = int(tracks["last_t"][slot])
            self._tell(
                Violation(
                    Kind.SILENT,
                    owner.fleet.keys[slot],
                    begin,
                    None,
                    begin + limit,
                    float(tracks["lon"][slot]),
                    float(tracks["lat"][slot]),
                    licence.id,
                    {
                        "distance_m": round(float(where.distance_m[at]), 1),
                        "silent_min": round((now - begin) / MINUTE_US, 1),
                        "limit_min": owner.p["silence_min"],
                    },
                    {"licence": licence.number, "holder": licence.holder},
                    owner.evidence(slot),
                ),
                slot,
                seq,
                received,
            )

    def _identities(self, now: int, seq: int, received: int) -> None:
        owner = self._owner
        heard = owner.tracks.a["last_t"]
        for slot, time in list(self._two.items()):
            if now - time > _TWO_OVER_US:
                del self._two[slot]
                self._end(slot, Kind.TWO_PLACES, time, seq, received)
        for slot, (other, time) in list(self._suspects.items()):
            back = int(heard[other]) > time
            if (slot, Kind.RENAMED) in self._told:
                if back or now - time > _RENAME_OVER_US:
                    del self._suspects[slot]
                    self._end(slot, Kind.RENAMED, now, seq, received)
            elif back:
                del self._suspects[slot]
            elif now - int(heard[other]) >= owner.p["silence_min"] * MINUTE_US:
                self._renamed(slot, other, time, now, seq, received)

    def _renamed(self, slot: int, other: int, time: int, now: int, seq: int, received: int) -> None:
        owner, tracks = self._owner, self._owner.tracks.a
        lon, lat = float(tracks["lon"][other]), float(tracks["lat"][other])
        self._tell(
            Violation(
                Kind.RENAMED,
                owner.fleet.keys[slot],
                time,
                None,
                now,
                lon,
                lat,
                numbers={"silent_before_min": round((time - int(tracks["last_t"][other])) / MINUTE_US, 1)},
                detail={"before": owner.fleet.keys[other]},
                positions=owner.evidence(other),
            ),
            slot,
            seq,
            received,
        )

    # ---- telling, end, state

    def _tell(self, violation: Violation, slot: int, seq: int, received: int) -> None:
        self._told[slot, violation.kind] = violation
        self._owner.tell(violation, seq, received)

    def _end(self, slot: int, kind: Kind, end: int, seq: int, received: int) -> None:
        violation = self._told.pop((slot, kind), None)
        if violation is not None:
            self._owner.tell(replace(violation, end=max(end, violation.begin)), seq, received)

    def finish(self) -> None:
        """The input ended: tell the loading that had not."""
        for slot in np.flatnonzero(self.a["mate"] >= 0).tolist():
            self._apart(slot, 0, 0, still_open=True)

    def dump(self, count: int) -> dict[str, Any]:
        """Its state, of the first `count` slots, msgpack-able."""
        return {
            "arrays": {name: kept(self.a[name], count, first) for name, (_, first) in self.ARRAYS.items()},
            "began": self._began,
            "looked": [self._looked, self._floor],
            "told": [[slot, kind, violation.as_state()] for (slot, kind), violation in self._told.items()],
            "two": list(self._two.items()),
            "suspects": [[slot, *value] for slot, value in self._suspects.items()],
        }

    def load(self, state: dict[str, Any], size: int) -> None:
        """Take what `dump` gave, with room for `size` slots. Raises as `restored`."""
        arrays = state["arrays"]
        self.a = {name: restored(arrays[name], self.a[name], size, first) for name, (_, first) in self.ARRAYS.items()}
        self._began = state["began"]
        self._looked, self._floor = state["looked"]
        self._told = {(slot, Kind(kind)): Violation.of_state(body) for slot, kind, body in state["told"]}
        self._two = dict(tuple(item) for item in state["two"])
        self._suspects = {slot: (other, time) for slot, other, time in state["suspects"]}

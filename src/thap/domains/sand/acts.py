"""Is it dredging, and does a licence let it? Judged every minute of a vessel at work.

An act (dredging outside, out of hours …) is counted from the first minute it was seen to the last, whether or not the
work was known to be dredging yet; it is told once the work is known as dredging and the act has lasted longer than its
dwell. So what began before it could be known counts from its beginning.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thap.domains.sand.fleet import Role
from thap.domains.sand.ground import FAR_M
from thap.domains.sand.model import Kind, Violation
from thap.domains.sand.motion import Motion
from thap.domains.sand.room import grown, kept, restored
from thap.domains.sand.tracks import Window
from thap.kernel.clock import MINUTE_US

if TYPE_CHECKING:
    from thap.domains.sand.behaviour import Behaviour

__all__ = ["ACTS", "Acts"]

Bools = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]
Minutes = npt.NDArray[np.int32]
Slots = npt.NDArray[np.intp]

ACTS = (Kind.OUTSIDE, Kind.HOURS, Kind.UNLISTED, Kind.EXPIRED, Kind.FORBIDDEN, Kind.BANK)
_HOURS = ACTS.index(Kind.HOURS)
_DWELL = (
    "outside_dwell_min",
    "hours_grace_min",
    "area_dwell_min",
    "area_dwell_min",
    "area_dwell_min",
    "bank_dwell_min",
)
_OVER_US = 5 * MINUTE_US
"""An act not seen for so long is over."""
_BREAK_US = 4 * MINUTE_US
_LATE_US = 6 * MINUTE_US
"""A vessel that arrives is seen at work so long after it began, at most: speeds are means of five minutes."""
_SOG_KN = 0.25
"""A boat that reports at least this while it lies in a mine is at work."""
_REST_KN = 0.14
"""A boat that reports less on the average lies still, whatever its positions do."""
_SEEN_M = 5.0
_LOCAL = 7 * 60
_DAY = 24 * 60
_ARRAYS = ("since", "last", "up")


class Acts:
    """What vessels at work do against licences, by slot and act."""

    def __init__(self, owner: Behaviour) -> None:
        self._owner = owner
        shape = (0, len(ACTS))
        self.since: Minutes = np.zeros(shape, np.int32)
        """First minute an act was seen, minutes since 1970; 0 for none."""
        self.last: Minutes = np.zeros(shape, np.int32)
        """End of the last minute it was seen, minutes since 1970."""
        self.up: Bools = np.zeros(shape, bool)
        """It was told."""
        self.told: dict[tuple[int, int], Violation] = {}

    def grow(self, size: int) -> None:
        """Make room."""
        for name in _ARRAYS:
            setattr(self, name, grown(getattr(self, name), size))

    def take_book(self) -> None:
        """Prepare what is asked of the book every minute."""
        book, p = self._owner.book, self._owner.p
        far = 2**62
        self._from = np.array([-far if x.valid_from is None else x.valid_from for x in book.licences] or [0], np.int64)
        self._to = np.array([far if x.valid_to is None else x.valid_to for x in book.licences] or [0], np.int64)
        self._opens = np.array([x.opens for x in book.licences] or [0], np.int64)
        self._closes = np.array([x.closes for x in book.licences] or [0], np.int64)
        self._zone_from = np.array([-far if x.valid_from is None else x.valid_from for x in book.zones] or [0])
        self._zone_to = np.array([far if x.valid_to is None else x.valid_to for x in book.zones] or [0])
        self._bank_least = np.array([x.min_distance_m for x in book.banks] or [0.0])
        self._dwell = np.array([p[name] * MINUTE_US for name in _DWELL], np.int64)
        trees = [one.polygon for one in book.licences]
        self._shared = np.array(
            [any(i != j and one.intersects(other) for j, other in enumerate(trees)) for i, one in enumerate(trees)]
            or [False]
        )

    # ---- each minute

    def judge(self, slot: Slots, window: Window, motion: Motion, active: Bools, seq: Longs, received: Longs) -> None:
        """Vessels at work whose minute ended."""
        a = self._owner.a
        start = window.start[:, 0]
        end = start + MINUTE_US
        licence = self._licence(slot, start)
        # Who has just arrived and lies still moved within the window, but works no more.
        fresh = ~(a["dredging"][slot] > 0) & self._is_dredging(slot, motion, end, licence)
        a["dredging"][slot[fresh]] = 1
        there = self._seen(slot, start, licence)
        seen = there & active[:, None]
        since, last = self.since[slot] * np.int64(MINUTE_US), self.last[slot] * np.int64(MINUTE_US)
        early = active & (since[:, _HOURS] == 0) & self._before_opening(slot, start, licence)
        since = np.where(seen & (since == 0), start[:, None], since)
        last = np.where(seen, end[:, None], last)
        since[early, _HOURS] = a["begin"][slot[early]]
        last[early, _HOURS] = np.where(seen[early, _HOURS], end[early], self._opening(start[early], licence[early]))
        known = a["dredging"][slot] > 0
        long = (since > 0) & (last - since > self._dwell)
        raises = known[:, None] & long & ~self.up[slot]
        away = end[:, None] - last
        gone = (since > 0) & ~seen & ~self.up[slot] & (away > _BREAK_US) & ~(raises | (long & ~known[:, None]))
        since = np.where(gone, 0, since)
        self.since[slot], self.last[slot] = since // MINUTE_US, last // MINUTE_US
        for row, act in np.argwhere(raises).tolist():
            self._raise(int(slot[row]), act, int(end[row]), int(licence[row]), int(seq[row]), int(received[row]))
        over = self.up[slot] & ~there & (away > _OVER_US)
        for row, act in np.argwhere(over).tolist():
            self._end(int(slot[row]), act, int(last[row, act]), int(seq[row]), int(received[row]))

    def _before_opening(self, slot: Slots, start: Longs, licence: Slots) -> Bools:
        """Who is just seen at work where its track shows that it began earlier, out of hours."""
        begin = self._owner.a["begin"][slot]
        found = (begin < start) & (start - begin <= _LATE_US)
        if found.any():
            found[found] = self._seen(slot[found], begin[found], licence[found])[:, _HOURS]
        return np.asarray(found)

    def _opening(self, start: Longs, licence: Slots) -> Longs:
        """When the hours of licences last began."""
        passed = (start // MINUTE_US + _LOCAL - self._opens[np.maximum(licence, 0)]) % _DAY
        return np.asarray((start // MINUTE_US - passed) * MINUTE_US)

    def _licence(self, slot: Slots, start: Longs) -> Slots:
        """The licence each is judged by: the nearest, or of several over one place the one that lets most."""
        owner, a = self._owner, self._owner.a
        licence = a["licence"][slot].astype(np.intp)
        inside = (licence >= 0) & (a["distance"][slot] <= owner.p["outside_tolerance_m"])
        for row in np.flatnonzero(inside & self._shared[np.maximum(licence, 0)]).tolist():
            licence[row] = self._kindest(int(slot[row]), int(start[row]), int(licence[row]))
        return licence

    def _kindest(self, slot: int, time: int, nearest: int) -> int:
        """Of several licences over one place (an old one and its renewal, say) the one that lets most."""
        owner, a = self._owner, self._owner.a
        book, listed = owner.book, owner.fleet.listed[slot]
        found = owner.ground.holders(float(a["lon"][slot]), float(a["lat"][slot])) or [nearest]
        return max(
            found, key=lambda one: (book.licences[one].valid_at(time), listed[one], book.licences[one].open_at(time))
        )

    def _is_dredging(self, slot: Slots, motion: Motion, end: Longs, licence: Slots) -> Bools:
        """Whether work is dredging: long, slow, with the movement of work, where sand may be."""
        owner, p, a = self._owner, self._owner.p, self._owner.a
        role = owner.fleet.role[slot]
        minutes = (end - a["begin"][slot]) / MINUTE_US
        dwell = p["dredge_dwell_min"]
        sog, drift, spread = motion.sog_kn, motion.drift_kn, motion.spread_m
        slow = ~(sog > p["dredge_speed_kn"])
        long = (minutes >= dwell) & (motion.span_min >= 0.6 * dwell) & slow
        near_m = a["distance"][slot]
        mine = (licence >= 0) & (near_m <= p["outside_tolerance_m"])
        area = mine | (a["zone"][slot] >= 0)
        near = area | (near_m <= p["watch_radius_m"])
        by_speed = (sog >= _SOG_KN) & (motion.seen_m >= _SEEN_M)
        works = (drift >= p["drift_other_kn"]) & (spread >= p["spread_other_m"])
        own = ((drift >= p["drift_kn"]) & (spread >= p["spread_m"]) & ~(sog < _REST_KN)) | (by_speed & near)
        berth = a["wharf"][slot] >= 0
        dredger = (role == Role.DREDGER) & np.where(berth, works & (spread >= 2 * p["spread_other_m"]), own)
        crooked = motion.straight <= p["straightness"]
        other = (role == Role.OPEN) & ~berth & ((area & (works | by_speed)) | (near & works & crooked))
        typed = (role == Role.OTHER) & ~berth & area & works & crooked & (minutes >= 2 * dwell)
        aside = owner.company.aside(slot) & (role < Role.DREDGER)
        wet = (a["river"][slot] > 0) | area
        return np.asarray(long & wet & ~aside & (dredger | other | typed))

    def _seen(self, slot: Slots, start: Longs, licence: Slots) -> Bools:
        """Which acts each would commit if what it does is dredging."""
        owner, a = self._owner, self._owner.a
        near_m, tolerance = a["distance"][slot], owner.p["outside_tolerance_m"]
        inside = (licence >= 0) & (near_m <= tolerance)
        one = np.maximum(licence, 0)
        valid = (start >= self._from[one]) & (start < self._to[one])
        minute = (start // MINUTE_US + _LOCAL) % _DAY
        opens, closes = self._opens[one], self._closes[one]
        is_open = np.where(
            opens < closes, (minute >= opens) & (minute < closes), (minute >= opens) | (minute < closes)
        ) | (opens == closes)
        listed = owner.fleet.listed[slot, one] if len(owner.book.licences) else np.ones(len(slot), bool)
        zone = a["zone"][slot]
        at_zone = np.maximum(zone, 0)
        forbidden = (zone >= 0) & (start >= self._zone_from[at_zone]) & (start < self._zone_to[at_zone])
        bank = a["bank"][slot]
        least = self._bank_least[np.maximum(bank, 0)] - owner.p["bank_tolerance_m"]
        return np.stack(
            [
                ~inside & bool(len(owner.book.licences)),
                inside & valid & ~is_open,
                inside & valid & ~listed,
                inside & ~valid,
                forbidden,
                (bank >= 0) & (a["bank_m"][slot] < least),
            ],
            axis=1,
        )

    # ---- telling

    def _raise(self, slot: int, act: int, noticed: int, licence: int, seq: int, received: int) -> None:
        owner, a = self._owner, self._owner.a
        book = owner.book
        distance = float(a["distance"][slot])
        numbers: dict[str, float] = {
            "minutes": float(self.last[slot, act] - self.since[slot, act]),
            "worked_min": round((noticed - int(a["begin"][slot])) / MINUTE_US, 1),
        }
        detail: dict[str, str] = {}
        if licence >= 0 and distance < FAR_M:
            numbers["distance_m"] = round(distance, 1)
            detail["licence"] = book.licences[licence].number
            detail["holder"] = book.licences[licence].holder
        kind = ACTS[act]
        if kind is Kind.OUTSIDE:
            numbers["tolerance_m"] = owner.p["outside_tolerance_m"]
        elif kind is Kind.HOURS:
            numbers["opens_min"], numbers["closes_min"] = (
                float(book.licences[licence].opens),
                float(book.licences[licence].closes),
            )
        elif kind is Kind.FORBIDDEN:
            zone = book.zones[int(a["zone"][slot])] if a["zone"][slot] >= 0 else None
            detail |= {"zone": zone.name, "reason": zone.reason} if zone else {}
        elif kind is Kind.BANK and a["bank"][slot] >= 0:
            bank = book.banks[int(a["bank"][slot])]
            numbers["bank_m"] = round(float(a["bank_m"][slot]), 1)
            numbers["least_m"] = bank.min_distance_m
            detail["bank"] = bank.name
        known = licence >= 0 and distance < FAR_M
        violation = Violation(
            kind,
            owner.fleet.keys[slot],
            self._began(slot, act),
            None,
            noticed,
            float(a["lon"][slot]),
            float(a["lat"][slot]),
            book.licences[licence].id if known else None,
            numbers,
            detail,
            owner.evidence(slot),
        )
        self.up[slot, act] = True
        self.told[slot, act] = violation
        owner.tell(violation, seq, received)

    def _began(self, slot: int, act: int) -> int:
        """When an act began: with the work, where it was seen as soon as the work could be."""
        since, begin = int(self.since[slot, act]) * MINUTE_US, int(self._owner.a["begin"][slot])
        return begin if ACTS[act] is not Kind.HOURS and 0 <= since - begin <= _LATE_US else since

    def _end(self, slot: int, act: int, end: int, seq: int, received: int) -> None:
        violation = self.told.pop((slot, act), None)
        self.up[slot, act] = False
        self.since[slot, act] = 0
        if violation is not None:
            self._owner.tell(ended(violation, end), seq, received)

    def end(self, slot: int, end: int, seq: int, received: int) -> None:
        """The vessel's work ended, and with it whatever it did wrong."""
        for act in np.flatnonzero(self.up[slot]).tolist():
            self._end(slot, act, min(end, int(self.last[slot, act]) * MINUTE_US), seq, received)
        self.since[slot] = 0

    def dump(self, count: int) -> dict[str, Any]:
        """Its state, of the first `count` slots, msgpack-able."""
        return {
            **{name: kept(getattr(self, name), count) for name in _ARRAYS},
            "told": [[slot, act, violation.as_state()] for (slot, act), violation in self.told.items()],
        }

    def load(self, state: dict[str, Any], size: int) -> None:
        """Take what `dump` gave, with room for `size` slots. Raises as `restored`."""
        for name in _ARRAYS:
            setattr(self, name, restored(state[name], getattr(self, name), size))
        self.told = {(slot, act): Violation.of_state(body) for slot, act, body in state["told"]}


def ended(violation: Violation, end: int) -> Violation:
    """The same violation with its end."""
    return replace(violation, end=max(end, violation.begin))

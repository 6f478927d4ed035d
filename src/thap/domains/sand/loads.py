"""Loads and trips: sand taken somewhere, carried, and put ashore.

A vessel is laden after it dredged for itself, or lay beside a dredger long enough. It unloads where it next lies long
enough: at a wharf soon, elsewhere only after it has been made fast for longer than most waits. A dredger that barges
lay beside gave its sand away, and carries none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thap.domains.sand.ground import LAT_M, lon_m
from thap.domains.sand.model import Kind, Stay, StayKind, Trip, Violation
from thap.kernel.clock import MINUTE_US

if TYPE_CHECKING:
    from thap.domains.sand.behaviour import Behaviour

__all__ = ["Loads"]

Longs = npt.NDArray[np.int64]
Slots = npt.NDArray[np.intp]

_STILL = 1
_SURE_MIN = 20.0


@dataclass(slots=True)
class _Load:
    """What a vessel carries."""

    licence: int | None
    begin: int
    end: int
    lon: float
    lat: float
    dredger: str


class Loads:
    """Who is laden, and who unloads."""

    def __init__(self, owner: Behaviour) -> None:
        self._owner = owner
        self._laden: dict[int, _Load] = {}
        self._open: dict[int, Trip] = {}
        """Slot → the trip that is being unloaded."""
        self._told: dict[int, Violation] = {}

    def stayed(self, slot: int, stay: Stay, gave: bool) -> None:
        """A stay ended: a vessel that dredged for itself carries what it took."""
        if stay.kind is StayKind.DREDGING and not gave and not stay.open:
            self._take(slot, stay, "")

    def loaded(self, slot: int, stay: Stay) -> None:
        """A vessel lay beside a dredger."""
        if not stay.open:
            self._take(slot, stay, stay.beside)

    def _take(self, slot: int, stay: Stay, dredger: str) -> None:
        held = self._laden.get(slot)
        begin = held.begin if held is not None else stay.begin
        self._laden[slot] = _Load(stay.licence, begin, stay.end, stay.lon, stay.lat, dredger)

    def lie(self, slot: Slots, now: Longs, seq: Longs, received: Longs) -> None:
        """Vessels that lie somewhere: does one of them unload?"""
        if not self._laden:
            return
        owner, a, p = self._owner, self._owner.a, self._owner.p
        for at, one in enumerate(slot.tolist()):
            load = self._laden.get(one)
            if load is None or one in self._open or a["dredging"][one] or owner.company.a["mate"][one] >= 0:
                continue
            lay = (int(now[at]) - int(a["begin"][one])) / MINUTE_US
            lon, lat = float(a["lon"][one]), float(a["lat"][one])
            away = float(np.hypot((lon - load.lon) * float(lon_m(lat)), (lat - load.lat) * LAT_M))
            if away < p["leave_m"]:
                continue
            wharf = int(a["wharf"][one])
            if wharf >= 0 and lay >= p["unload_min"]:
                self._unload(one, load, owner.book.wharves[wharf].id, lon, lat)
            elif wharf < 0 and lay >= p["unregistered_min"] and self._ashore(one):
                self._unload(one, load, None, lon, lat)
                if owner.book.wharves:
                    self._unregistered(one, load, int(now[at]), away, int(seq[at]), int(received[at]))

    def _ashore(self, slot: int) -> bool:
        """Whether a vessel at no wharf may be unloading: made fast, at the bank where banks are known, in no mine."""
        owner, a = self._owner, self._owner.a
        fast = a["run"][slot] == _STILL or a["drift"][slot] < owner.p["drift_kn"]
        if not fast or a["distance"][slot] <= owner.p["near_m"]:
            return False
        return not owner.book.banks or bool(a["bank_m"][slot] <= owner.p["shore_m"])

    def _unload(self, slot: int, load: _Load, wharf: int | None, lon: float, lat: float) -> None:
        owner = self._owner
        key = owner.fleet.keys[slot]
        took = (load.end - load.begin) / MINUTE_US
        self._open[slot] = Trip(
            key,
            load.licence,
            load.begin,
            load.end,
            int(owner.a["begin"][slot]),
            None,
            wharf,
            lon,
            lat,
            load.dredger,
            owner.book.hold_m3(key),
            round((1.0 if took >= _SURE_MIN else 0.8) * (1.0 if wharf is not None else 0.7), 2),
        )

    def _unregistered(self, slot: int, load: _Load, now: int, away: float, seq: int, received: int) -> None:
        owner, trip = self._owner, self._open[slot]
        self._told[slot] = violation = Violation(
            Kind.UNLOADING,
            trip.vessel,
            trip.unload_begin,
            None,
            now,
            trip.lon,
            trip.lat,
            load.licence,
            {
                "lay_min": round((now - trip.unload_begin) / MINUTE_US, 1),
                "from_loading_m": round(away, 1),
                "loaded_min": round((load.end - load.begin) / MINUTE_US, 1),
            },
            {"dredger": load.dredger} if load.dredger else {},
            owner.evidence(slot),
        )
        owner.tell(violation, seq, received)

    def rise(self, slot: int, end: int, seq: int, received: int, *, still_open: bool) -> None:
        """A vessel's run ended: a trip that was being unloaded is done."""
        trip = self._open.pop(slot, None)
        if trip is None:
            return
        self._owner.tell_trip(replace(trip, unload_end=None if still_open else max(end, trip.unload_begin)))
        self._laden.pop(slot, None)
        violation = self._told.pop(slot, None)
        if violation is not None and not still_open:
            self._owner.tell(replace(violation, end=max(end, violation.begin)), seq, received)

    def dump(self) -> dict[str, Any]:
        """Its state, msgpack-able."""
        return {
            "laden": [[slot, asdict(load)] for slot, load in self._laden.items()],
            "open": [[slot, asdict(trip)] for slot, trip in self._open.items()],
            "told": [[slot, violation.as_state()] for slot, violation in self._told.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take what `dump` gave."""
        self._laden = {slot: _Load(**body) for slot, body in state["laden"]}
        self._open = {slot: Trip(**body) for slot, body in state["open"]}
        self._told = {slot: Violation.of_state(body) for slot, body in state["told"]}

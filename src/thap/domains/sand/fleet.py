"""Vessels by slot: who they are, and what that makes likely."""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.domains.sand.model import Book
from thap.domains.sand.room import grown, room_for

__all__ = ["Fleet", "Role"]


class Role(IntEnum):
    """How far a vessel is known to be able to dredge."""

    NEVER = -1
    """Its type is that of a service or of passengers, which work slowly in front of quays all day."""
    OTHER = 0
    """Its type says that it does something else: fishing, towing, pleasure …"""
    OPEN = 1
    """Nothing is known, or it is a type that sand boats give: cargo, other, barge."""
    DREDGER = 2
    """By its type, by the register, or because a licence names it."""


_OPEN = {"", "cargo", "other", "barge", "vessel", "ship", "boat", "towing", "unknown"}
_NEVER = {
    "passenger",
    "high_speed",
    "pilot",
    "rescue",
    "medical",
    "law_enforcement",
    "military",
    "wing_in_ground",
}
_CLUTTER = re.compile(r"[^0-9a-z]+")


class Fleet:
    """Slots are given in the order in which vessels are first heard, and kept."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.kinds: list[str] = []
        self.names: list[str] = []
        self.slots: dict[str, int] = {}
        self.role: npt.NDArray[np.int8] = np.zeros(0, np.int8)
        self.watched: npt.NDArray[np.bool_] = np.zeros(0, bool)
        """A dredger, or named by a licence or register: its silence matters."""
        self.listed: npt.NDArray[np.bool_] = np.zeros((0, 0), bool)
        """Vessels by licences: whether the licence lets it work."""
        self._book = Book()
        self._named: list[set[str]] = []

    def __len__(self) -> int:
        return len(self.keys)

    def slot_of(self, key: str, kind: str = "", name: str = "") -> int:
        """The slot of a vessel, made where it is new; what is told of it is kept."""
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = len(self.keys)
            self.keys.append(key)
            self.kinds.append(kind)
            self.names.append(name)
            if slot >= len(self.role):
                self._grow(room_for(slot + 1))
            self._judge(slot)
        elif (kind and kind != self.kinds[slot]) or (name and name != self.names[slot]):
            self.kinds[slot] = kind or self.kinds[slot]
            self.names[slot] = name or self.names[slot]
            self._judge(slot)
        return slot

    def take_book(self, book: Book) -> None:
        """Judge everyone by another book."""
        self._book = book
        self._named = [{_plain(name) for name in licence.vessels} for licence in book.licences]
        self.listed = np.zeros((len(self.role), len(book.licences)), bool)
        for slot in range(len(self.keys)):
            self._judge(slot)

    def _grow(self, size: int) -> None:
        for name in ("role", "watched", "listed"):
            setattr(self, name, grown(getattr(self, name), size))

    def _judge(self, slot: int) -> None:
        key, kind = self.keys[slot], self.kinds[slot]
        registered = self._book.vessels.get(key)
        known_as = {_plain(key), _plain(key.removeprefix("mmsi-")), _plain(self.names[slot])}
        if registered is not None:
            known_as.add(_plain(registered.name))
        known_as.discard("")
        named = False
        for number, names in enumerate(self._named):
            found = bool(names & known_as)
            named |= found
            self.listed[slot, number] = found or not names
        what = registered.kind if registered is not None else ""
        if what == "dredger" or kind == "dredger" or (named and what != "barge"):
            self.role[slot] = Role.DREDGER
        elif what == "barge" or kind in _OPEN:
            self.role[slot] = Role.OPEN
        else:
            self.role[slot] = Role.NEVER if kind in _NEVER else Role.OTHER
        self.watched[slot] = self.role[slot] == Role.DREDGER or named or what == "barge"

    def dump(self) -> dict[str, Any]:
        """Its state, msgpack-able."""
        return {"keys": self.keys, "kinds": self.kinds, "names": self.names}

    def load(self, state: dict[str, Any], book: Book) -> None:
        """Take what `dump` gave."""
        self.keys, self.kinds, self.names = list(state["keys"]), list(state["kinds"]), list(state["names"])
        self.slots = {key: slot for slot, key in enumerate(self.keys)}
        size = room_for(len(self.keys))
        self.role, self.watched = np.zeros(size, np.int8), np.zeros(size, bool)
        self.take_book(book)


def _plain(name: str) -> str:
    """A name or number as everybody writes it: `ĐT-12 345` is `dt12345`."""
    text = unicodedata.normalize("NFD", name.lower().replace("đ", "d"))
    return _CLUTTER.sub("", "".join(char for char in text if not unicodedata.combining(char)))

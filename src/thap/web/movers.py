"""Movers of one map as binary batches: what changed since the last one, in the visible area only.

A frame, little-endian, every part aligned to 4 bytes:

    ========  =====================  ==================================================================
    bytes     what
    ========  =====================  ==================================================================
    0         uint32 magic           0x314D4854, "THM1"
    4         uint32 flags           1: what was known before is forgotten
    8         uint32 rows            n
    12        uint32 removed         r
    16        uint32 names           length of the JSON, padded with spaces to a multiple of 4
    20        uint32 hidden          movers in view beyond the most that are shown
    24        names                  UTF-8 JSON: [[index, key, name, kind, domain], …], new indices only
    …         uint32[n] index        dense; an index that was removed may name another mover later
    …         int32[n] lon, lat      1e-7 degrees
    …         uint32[n] time         seconds since 1970 UTC
    …         uint16[n] speed        0.1 knots; 65535 unknown
    …         uint16[n] course       0.1 degrees; 65535 unknown
    …         uint32[r] removed      indices that left the view, or may be seen no longer
    ========  =====================  ==================================================================

Everything is done on columns: a frame of 10,000 movers is a few array operations.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.web.answers import to_json
from thap.web.directory import Directory, Filter, Mask
from thap.web.latest import Mirror, Rows

__all__ = ["MAGIC", "MOST", "View"]

MAGIC = 0x314D4854
MOST = 20_000
"""Movers one map shows."""
_UNKNOWN = 65_535
_HEAD = struct.Struct("<6I")
_NONE: Rows = np.zeros(0, np.int64)

Ints = npt.NDArray[np.int64]


@dataclass(eq=False)
class View:
    """What one map shows, and which number each mover has there."""

    wanted: Filter = field(default_factory=Filter)
    version: int = 0
    """The version of latest values it has."""
    anew: bool = True
    """Whether the next frame begins anew."""
    turned: bool = True
    """Whether the view has changed since the last frame, so that what stands still may come into it."""
    generation: int = 0
    """How often the view was turned or forgotten: a frame of an earlier one is not sent."""
    _looked: int = 0
    """The generation that `candidates` looked at."""
    _slot: Ints = field(default_factory=lambda: np.full(0, -1, np.int64))
    """By registry number, the index on this map; -1 for not shown."""
    _free: list[int] = field(default_factory=list)
    _used: int = 0

    def forget(self) -> None:
        """What may be seen has changed: begin anew."""
        self.version, self.anew, self.turned = 0, True, True
        self.generation += 1
        self._slot[:] = -1
        self._free.clear()
        self._used = 0

    def turn(self, wanted: Filter) -> None:
        """Another view, from the next frame on."""
        before, self.wanted = self.wanted, wanted
        if (before.domains, before.kinds) != (wanted.domains, wanted.kinds):
            self.forget()
        self.turned = True
        self.generation += 1

    def shown(self) -> Rows:
        """Registry numbers of the movers on the map."""
        return np.flatnonzero(self._slot >= 0)

    def candidates(self, mirror: Mirror, mask: Mask) -> Rows:
        """Registry numbers in view of what is new on the map or has changed; to be narrowed to what may be seen."""
        self._looked = self.generation
        size = min(len(mask), len(mirror.changed))
        self._grow(size)
        fresh = mirror.changed[:size] > self.version
        if self.turned:
            fresh |= (mirror.changed[:size] > 0) & (self._slot[:size] < 0)
        rows: Rows = np.flatnonzero(mask[:size] & fresh)
        return rows[self.wanted.inside(mirror["lon"][rows], mirror["lat"][rows])]

    def frame(self, mirror: Mirror, directory: Directory, candidates: Rows, seen: Rows, version: int) -> bytes | None:
        """The next frame, or None where there is nothing to say, or the view was turned since `candidates`.

        Args:
            mirror: positions.
            directory: what movers are called.
            candidates: what `candidates` gave.
            seen: those of them that may be seen.
            version: of the latest values looked at.
        """
        if self._looked != self.generation:
            return None  # what stands still in the new view is not among these candidates
        shown = self.shown()
        away = ~self.wanted.inside(mirror["lon"][shown], mirror["lat"][shown])
        away |= ~directory.known_mover[np.minimum(shown, len(directory.known_mover) - 1)]
        away |= np.isin(shown, np.setdiff1d(candidates, seen, assume_unique=True), assume_unique=True)
        removed = self._slot[shown[away]]
        self._slot[shown[away]] = -1
        self._free.extend(removed.tolist())
        new = seen[self._slot[seen] < 0]
        room = MOST - int(np.count_nonzero(self._slot >= 0))
        hidden = max(0, len(new) - room)
        if hidden:
            seen = np.setdiff1d(seen, new[room:], assume_unique=True)
            new = new[:room]
        reused = self._number(new)
        # An index that is used again at once is not removed: the new row replaces it.
        removed = removed[~np.isin(removed, reused)] if len(reused) else removed
        self.version, self.turned = version, False
        if not (self.anew or len(seen) or len(removed)):
            return None
        flags, self.anew = int(self.anew), False
        return _encode(mirror, directory, self._slot, seen, new, removed, flags, hidden)

    def _number(self, new: Rows) -> Ints:
        count = len(new)
        again = self._free[:count]
        del self._free[:count]
        fresh = np.arange(self._used, self._used + count - len(again), dtype=np.int64)
        self._used += len(fresh)
        self._slot[new] = np.concatenate([np.array(again, np.int64), fresh])
        return np.array(again, np.int64)

    def _grow(self, size: int) -> None:
        if size > len(self._slot):
            self._slot = np.concatenate([self._slot, np.full(size - len(self._slot), -1, np.int64)])


def _encode(
    mirror: Mirror, directory: Directory, slot: Ints, rows: Rows, new: Rows, removed: Ints, flags: int, hidden: int
) -> bytes:
    infos = directory.movers
    names: list[list[Any]] = []
    for number in new.tolist():
        info = infos[number]
        names.append([int(slot[number]), info.key, info.name, info.kind, info.domain])
    text = to_json(names) if names else b""
    text += b" " * (-len(text) % 4)
    columns = (
        slot[rows].astype("<u4"),
        _scaled(mirror["lon"][rows], 1e7, "<i4"),
        _scaled(mirror["lat"][rows], 1e7, "<i4"),
        (mirror["time"][rows] // 1_000_000).clip(0, 2**32 - 1).astype("<u4"),
        _small(mirror["speed_kn"][rows]),
        _small(mirror["course_deg"][rows]),
        removed.astype("<u4"),
    )
    head = _HEAD.pack(MAGIC, flags, len(rows), len(removed), len(text), hidden)
    return b"".join((head, text, *(column.tobytes() for column in columns)))


def _scaled(values: npt.NDArray[Any], factor: float, dtype: str) -> npt.NDArray[Any]:
    scaled: npt.NDArray[Any] = np.rint(np.nan_to_num(values) * factor).astype(dtype)
    return scaled


def _small(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Tenths in 16 bits; what is unknown or beyond them is 65535."""
    tenths = np.rint(values.astype(np.float64) * 10)
    known = (tenths >= 0) & (tenths < _UNKNOWN)
    return np.where(known, tenths, _UNKNOWN).astype("<u2")

"""Which records are new: duplicates collapse exactly, and the usual record costs almost nothing.

For each series (datastream or mover) the newest time is known, so a record later than that is new.
The others are either found among the keys of the last few flushes, or looked for in the lake.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thap.kernel.errors import InputError

__all__ = ["MAX_SERIES", "Novelty", "first_of_each"]

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_SERIES = 2**24
"""Registry numbers stay below this; a larger one is a damaged record, not a series."""
_RECENT_ROWS = 4_000_000
_CHUNK_ROWS = 100_000
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_NEVER = np.iinfo(np.int64).min


def _keys(series: Ints, time: Longs) -> npt.NDArray[np.uint64]:
    """A number for each (series, time): the same for the same, nearly always different for different."""
    return (series.astype(np.uint64) * _SPREAD) ^ time.view(np.uint64)


def first_of_each(columns: list[npt.NDArray[Any]]) -> Mask:
    """Marks, of the rows that agree in all columns, the first."""
    order = np.lexsort(columns[::-1])
    same = np.ones(len(order) - 1, np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    keep = np.ones(len(order), np.bool_)
    keep[order[1:][same]] = False  # lexsort is stable: the first of equals comes first
    return keep


class Novelty:
    """What is known of the series of one table. Times before `floor` of a series are known from the lake only.

    `newest[s]`: no record of series s in the lake is later. `floor[s]`: the same, before the oldest of the
    flushes whose keys are still held; so a record later than `floor` can only repeat one of those.
    """

    def __init__(self, numbers: Longs, times: Longs, unseen: int | None) -> None:
        """Take what the lake says.

        Args:
            numbers: series.
            times: their newest times, µs.
            unseen: no record of any other series is at or after this; None when there is no other series.
        """
        self._unseen = _NEVER if unseen is None else unseen - 1
        size = int(numbers.max()) + 1 if len(numbers) else 0
        self.newest = np.full(size, self._unseen, np.int64)
        self.newest[numbers] = times
        self.floor = self.newest.copy()
        self._recent: deque[tuple[Ints, Longs, npt.NDArray[np.uint64]]] = deque()  # series, newest, sorted keys
        self._held = 0

    def _grow(self, size: int) -> None:
        missing = size - len(self.newest)
        if missing > 0:
            tail = np.full(missing + size // 8, self._unseen, np.int64)
            self.newest, self.floor = np.concatenate([self.newest, tail]), np.concatenate([self.floor, tail])

    def sift(self, series: Ints, time: Longs) -> tuple[Mask, npt.NDArray[np.int64]]:
        """Sort out the rows of one flush.

        Returns:
            A mask without the rows that repeat an earlier one of the flush, and the indices of those rows
            in it that must be looked for in the lake; all others are new.

        Raises:
            InputError: a series number is out of range.
        """
        if len(series) == 0:
            return np.ones(0, np.bool_), np.empty(0, np.int64)
        low, high = int(series.min()), int(series.max())
        if low < 0 or high >= MAX_SERIES:
            raise InputError(f"{low if low < 0 else high} is not a number of the registry")
        self._grow(high + 1)
        keys = _keys(series, time)
        ordered = np.sort(keys)
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        keep = np.ones(len(series), np.bool_)
        if len(twice):
            rows = np.flatnonzero(np.isin(keys, twice))
            keep[rows] = first_of_each([series[rows], time[rows]])
        old = np.flatnonzero(keep & (time <= self.newest[series]))
        if len(old) == 0:
            return keep, old
        suspect = time[old] <= self.floor[series[old]]
        wanted = keys[old]
        for _, _, held in self._recent:
            at = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
            suspect |= held[at] == wanted
        return keep, old[suspect]

    def took(self, series: Ints, time: Longs) -> None:
        """The lake has these rows now."""
        if len(series) == 0:
            return
        self._grow(int(series.max()) + 1)
        np.maximum.at(self.newest, series, time)
        keys, touched = _keys(series, time), np.unique(series)
        self._held += len(keys)
        if self._recent and len(self._recent[-1][2]) + len(keys) < _CHUNK_ROWS:
            before, _, held = self._recent.pop()
            keys, touched = np.concatenate([held, keys]), np.union1d(before, touched)
        keys.sort()
        self._recent.append((touched, self.newest[touched], keys))
        while self._held > _RECENT_ROWS:
            gone, newest, held = self._recent.popleft()
            self.floor[gone] = np.maximum(self.floor[gone], newest)
            self._held -= len(held)


def distinct_rows(table: pa.Table, identity: tuple[str, ...]) -> Mask:
    """As `first_of_each`, for columns of any type."""
    columns = []
    for name in identity:
        codes = table.column(name).combine_chunks().dictionary_encode()
        codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
        columns.append(codes.indices.to_numpy(zero_copy_only=False))
    return first_of_each(columns)

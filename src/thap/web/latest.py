"""Latest values, mirrored from the engine as arrays by registry number."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thap.kernel.errors import CorruptError

__all__ = ["COLUMNS", "Delta", "Mirror", "read_delta", "tidy"]

Rows = npt.NDArray[np.int64]

COLUMNS: dict[str, dict[str, type[np.generic]]] = {
    "observation": {"time": np.int64, "result": np.float64, "received": np.int64},
    "position": {"time": np.int64, "lon": np.float64, "lat": np.float64, "speed_kn": np.float32,
                 "course_deg": np.float32, "received": np.int64},
}
"""By kind of record, the columns kept of each latest value."""

_NUMBER = {"observation": "datastream", "position": "mover"}


@dataclass(frozen=True, slots=True)
class Delta:
    """Latest values as the engine sends them: all of a kind, or those that changed."""

    kind: str
    version: int
    """The engine's count of announcements; a step of more than one means that one was missed."""
    number: npt.NDArray[np.int32]
    columns: dict[str, npt.NDArray[Any]]


def read_delta(payload: bytes, kind: str | None = None) -> Delta:
    """Decode an Arrow IPC stream of latest values.

    Args:
        kind: of the record, where the stream's metadata does not say it.

    Raises:
        CorruptError: it is not one.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            table = reader.read_all()
        metadata = table.schema.metadata or {}
        found = metadata.get(b"kind", (kind or "").encode()).decode()
        version = int(metadata.get(b"version", b"0"))
        columns = {name: table.column(name).combine_chunks().cast(pa.from_numpy_dtype(dtype)).to_numpy(
            zero_copy_only=False) for name, dtype in COLUMNS[found].items()}
        number = table.column(_NUMBER[found]).combine_chunks().to_numpy(zero_copy_only=False)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CorruptError(f"not latest values: {error}", where="centre.live.latest") from None
    return Delta(found, version, number, columns)


class Mirror:
    """The latest value of every source of one kind.

    Each row carries the *version* at which it last changed here. Versions are taken from the wall clock
    (milliseconds, always rising), so that one given to a console before a restart still orders before those
    after it.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.version = 0
        self.rows = 0
        """How many sources have a value."""
        self._columns = {name: np.zeros(0, dtype) for name, dtype in COLUMNS[kind].items()}
        self.changed: Rows = np.zeros(0, np.int64)
        """By registry number, the version at which the row changed; 0 where there is no value."""

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A column by registry number; meaningful where `changed` is not 0."""
        return self._columns[name]

    def apply(self, delta: Delta, *, whole: bool = False) -> bool:
        """Take values; whether anything changed.

        Args:
            delta: the values.
            whole: it holds every value there is, so only rows newer than those here count as changed.
        """
        number = delta.number
        if len(number) == 0:
            return False
        self._grow(int(number.max()) + 1)
        if whole:
            # What was asked for may be older than an announcement that overtook it.
            newer = delta.columns["received"] > self._columns["received"][number]
            moved = delta.columns["time"] > self._columns["time"][number]
            fresh = (self.changed[number] == 0) | newer | moved
            picked = np.flatnonzero(fresh)
            if len(picked) == 0:
                return False
            number = number[picked]
            for name, column in self._columns.items():
                column[number] = delta.columns[name][picked]
        else:
            for name, column in self._columns.items():
                column[number] = delta.columns[name]
        self.version = max(self.version + 1, time.time_ns() // 1_000_000)
        self.changed[number] = self.version
        self.rows = int(np.count_nonzero(self.changed))
        return True

    def since(self, version: int) -> Rows:
        """Registry numbers of rows that changed after a version."""
        return np.flatnonzero(self.changed > version)

    def _grow(self, size: int) -> None:
        if size <= len(self.changed):
            return
        room = max(size, len(self.changed) * 3 // 2, 1024)
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.zeros(room - len(column), column.dtype)])
        self.changed = np.concatenate([self.changed, np.zeros(room - len(self.changed), np.int64)])


def tidy(values: npt.NDArray[Any]) -> npt.NDArray[Any] | list[Any]:
    """A column as it goes into JSON: floats of 32 bits at the digits they have."""
    if values.dtype == np.float32:
        return np.round(values.astype(np.float64), 2)
    return np.ascontiguousarray(values)

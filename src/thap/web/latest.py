"""Latest values, mirrored from the engine as arrays by registry number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thap.kernel.errors import CorruptError

__all__ = ["COLUMNS", "Delta", "Mirror", "read_delta"]

Rows = npt.NDArray[np.int64]

COLUMNS: dict[str, dict[str, type[np.generic]]] = {
    "observation": {"time": np.int64, "result": np.float64, "received": np.int64},
    "position": {
        "time": np.int64,
        "lon": np.float64,
        "lat": np.float64,
        "speed_kn": np.float32,
        "course_deg": np.float32,
        "received": np.int64,
    },
}
"""By kind of record, the columns kept of each latest value."""

_NUMBER = {"observation": "datastream", "position": "mover"}


@dataclass(frozen=True, slots=True)
class Delta:
    """Latest values as the engine sends them: all of a kind, or those that changed."""

    kind: str
    since: int
    """The engine's version after which these values changed; 0 for all there are."""
    version: int
    """The engine's version they lead to; it starts anew with the engine."""
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
        since, version = int(metadata.get(b"since", b"0")), int(metadata.get(b"version", b"0"))
        columns = {
            name: table.column(name).combine_chunks().cast(pa.from_numpy_dtype(dtype)).to_numpy(zero_copy_only=False)
            for name, dtype in COLUMNS[found].items()
        }
        number = table.column(_NUMBER[found]).combine_chunks().to_numpy(zero_copy_only=False)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CorruptError(f"not latest values: {error}", where="centre.live.latest") from None
    return Delta(found, since, version, number, columns)


class Mirror:
    """The latest value of every source of one kind.

    Each row carries the *version* at which it last changed here; see `Live.version`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rows = 0
        """How many sources have a value."""
        self._columns = {name: np.zeros(0, dtype) for name, dtype in COLUMNS[kind].items()}
        self.changed: Rows = np.zeros(0, np.int64)
        """By registry number, the version at which the row changed; 0 where there is no value."""

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A column by registry number; meaningful where `changed` is not 0."""
        return self._columns[name]

    def apply(self, delta: Delta, version: int, *, whole: bool = False) -> bool:
        """Take values; whether anything changed.

        Args:
            delta: the values.
            version: given to the rows that change.
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
        self.changed[number] = version
        self.rows = int(np.count_nonzero(self.changed))
        return True

    def _grow(self, size: int) -> None:
        if size <= len(self.changed):
            return
        room = max(size, len(self.changed) * 3 // 2, 1024)
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.zeros(room - len(column), column.dtype)])
        self.changed = np.concatenate([self.changed, np.zeros(room - len(self.changed), np.int64)])

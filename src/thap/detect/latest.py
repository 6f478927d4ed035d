"""Latest values of every series and mover, in NumPy arrays indexed by registry number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thap.observe.kinds import Kind, Longs, ObservationBatch, PositionBatch

__all__ = ["Latest"]

_NEVER = np.iinfo(np.int64).min
_COLUMNS: dict[Kind, dict[str, Any]] = {
    Kind.OBSERVATION: {"result": np.float64},
    Kind.POSITION: {"lon": np.float64, "lat": np.float64, "speed_kn": np.float32, "course_deg": np.float32},
}


class Latest:
    """The newest row, by phenomenon time, of each series of one kind.

    A version counts the batches taken; each row carries the version that last changed it, so that whoever
    saw version v asks for the rows changed since.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.key = "datastream" if kind is Kind.OBSERVATION else "mover"
        self.version = 0
        self._time: Longs = np.full(1024, _NEVER, np.int64)
        self._received: Longs = np.zeros(1024, np.int64)
        self._changed: Longs = np.zeros(1024, np.int64)
        self._columns: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(1024, type_) for name, type_ in _COLUMNS[kind].items()
        }

    def _reserve(self, largest: int) -> None:
        size = len(self._time)
        if largest < size:
            return
        grown = max(largest + 1, 2 * size) - size
        self._time = np.concatenate([self._time, np.full(grown, _NEVER, np.int64)])
        self._received = np.concatenate([self._received, np.zeros(grown, np.int64)])
        self._changed = np.concatenate([self._changed, np.zeros(grown, np.int64)])
        self._columns = {n: np.concatenate([c, np.zeros(grown, c.dtype)]) for n, c in self._columns.items()}

    def update(self, batch: ObservationBatch | PositionBatch) -> None:
        """Take a batch; rows not newer than what is known change nothing."""
        if not len(batch):
            return
        ids: npt.NDArray[np.int32] = getattr(batch, self.key)
        self._reserve(int(ids.max()))
        self.version += 1
        rows = np.flatnonzero(batch.time > self._time[ids])
        while len(rows):
            # With one series twice in `rows` the last assignment stands; go again for any it should not have beaten.
            at = ids[rows]
            self._time[at] = batch.time[rows]
            self._received[at] = batch.received[rows]
            self._changed[at] = self.version
            for name, column in self._columns.items():
                column[at] = getattr(batch, name)[rows]
            rows = rows[batch.time[rows] > self._time[at]]

    def table(self, since: int = 0) -> pa.Table:
        """Rows changed after version `since`: number, time, values, received; times as int64 µs."""
        rows = np.flatnonzero((self._changed > since) & (self._time != _NEVER))
        columns: dict[str, Any] = {self.key: rows.astype(np.int32), "time": self._time[rows]}
        columns |= {name: column[rows] for name, column in self._columns.items()}
        columns["received"] = self._received[rows]
        return pa.table(columns).replace_schema_metadata(
            {"kind": str(self.kind), "version": str(self.version), "since": str(since)}
        )

    def ipc(self, since: int = 0) -> bytes:
        """`table` as an Arrow IPC stream."""
        table = self.table(since)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    def place(self, number: int) -> tuple[float, float] | None:
        """Longitude and latitude of a mover, if it has been heard."""
        if number >= len(self._time) or self._time[number] == _NEVER:
            return None
        return float(self._columns["lon"][number]), float(self._columns["lat"][number])

    @property
    def count(self) -> int:
        """How many series have a value."""
        return int((self._time != _NEVER).sum())

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """State for a checkpoint."""
        rows = np.flatnonzero(self._time != _NEVER)
        return {
            "rows": rows,
            "time": self._time[rows],
            "received": self._received[rows],
            **{name: column[rows] for name, column in self._columns.items()},
        }

    def load(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Take the state that `dump` gave."""
        rows = state["rows"]
        if not len(rows):
            return
        self._reserve(int(rows.max()))
        self.version += 1
        self._time[rows], self._received[rows] = state["time"], state["received"]
        self._changed[rows] = self.version
        for name, column in self._columns.items():
            column[rows] = state[name]

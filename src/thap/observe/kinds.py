"""The five kinds of record, as Arrow schemas, and the block: the unit of journal and acknowledgement.

A block is one Arrow record batch of one kind, serialised without its schema, appended to the journal
under `journal.<kind>` with the header `Thap-Block` (this module's version) and `Thap-Received`
(microseconds). Its rows name things by the whole numbers the registry gave them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thap.kernel.errors import CorruptError

__all__ = [
    "BLOCK_VERSION",
    "SCHEMAS",
    "Floats",
    "Ints",
    "Kind",
    "Longs",
    "ObservationBatch",
    "PositionBatch",
    "decode_block",
    "encode_block",
]

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BLOCK_VERSION = "1"
_TIME = pa.timestamp("us", tz="UTC")


class Kind(StrEnum):
    """A kind of record."""

    OBSERVATION = "observation"
    POSITION = "position"
    SIGHTING = "sighting"
    ARTICLE = "article"
    REPORT = "report"


SCHEMAS: dict[Kind, pa.Schema] = {
    Kind.OBSERVATION: pa.schema(
        [
            pa.field("datastream", pa.int32(), nullable=False),  # registry number
            pa.field("time", _TIME, nullable=False),  # phenomenon time
            pa.field("result", pa.float64(), nullable=False),  # in the datastream's unit
        ]
    ),
    Kind.POSITION: pa.schema(
        [
            pa.field("mover", pa.int32(), nullable=False),  # registry number
            pa.field("time", _TIME, nullable=False),
            pa.field("lon", pa.float64(), nullable=False),  # degrees, WGS 84
            pa.field("lat", pa.float64(), nullable=False),
            pa.field("speed_kn", pa.float32()),  # over ground, knots; NaN unknown
            pa.field("course_deg", pa.float32()),  # over ground, from north; NaN unknown
        ]
    ),
    Kind.SIGHTING: pa.schema(
        [
            pa.field("camera", pa.int32(), nullable=False),
            pa.field("time", _TIME, nullable=False),
            pa.field("track", pa.int64(), nullable=False),
            pa.field("label", pa.string(), nullable=False),  # class of the thing seen
            pa.field("action", pa.string(), nullable=False),  # what it did: crossed, stopped, …
            pa.field("detail", pa.string()),  # JSON
        ]
    ),
    Kind.ARTICLE: pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("time", _TIME, nullable=False),
            pa.field("url", pa.string(), nullable=False),
            pa.field("title", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
        ]
    ),
    Kind.REPORT: pa.schema(
        [
            pa.field("report", pa.string(), nullable=False),  # receipt number
            pa.field("time", _TIME, nullable=False),
            pa.field("lon", pa.float64()),
            pa.field("lat", pa.float64()),
            pa.field("text", pa.string(), nullable=False),
            pa.field("media", pa.string()),  # JSON list of attachment hashes
        ]
    ),
}


def encode_block(kind: Kind, columns: dict[str, Any]) -> bytes:
    """Serialise columns (NumPy arrays; times as int64 microseconds, or anything Arrow takes) as a block."""
    schema = SCHEMAS[kind]
    arrays = []
    for field in schema:
        values = columns[field.name]
        if pa.types.is_timestamp(field.type) and isinstance(values, np.ndarray):
            arrays.append(pa.array(values.view("datetime64[us]"), pa.timestamp("us")).cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    batch = pa.record_batch(arrays, schema=schema)
    return bytes(batch.serialize())


def decode_block(kind: Kind, payload: bytes) -> pa.RecordBatch:
    """The record batch in a block, without copying its columns.

    Raises:
        CorruptError: the bytes are not a block of this kind.
    """
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(payload), SCHEMAS[kind])
        batch.validate()
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        raise CorruptError(f"not a block of kind {kind}: {error}") from None
    return batch


@dataclass(frozen=True, slots=True)
class ObservationBatch:
    """Observations as columns of equal length, in journal order."""

    datastream: Ints
    time: Longs
    """Phenomenon time, µs."""
    result: Floats
    received: Longs
    """When the door took the record, µs."""
    seq: Longs
    """Journal sequence of the block the row came in."""

    def __len__(self) -> int:
        return len(self.datastream)

    def take(self, rows: npt.NDArray[Any]) -> ObservationBatch:
        """The rows with these indices, or where this mask is true."""
        return ObservationBatch(
            self.datastream[rows], self.time[rows], self.result[rows], self.received[rows], self.seq[rows]
        )

    @classmethod
    def of(cls, batch: pa.RecordBatch, received: int, seq: int) -> ObservationBatch:
        """A decoded block with its door time and journal sequence."""
        rows = batch.num_rows
        return cls(
            batch.column(0).to_numpy(),
            batch.column(1).cast(pa.int64()).to_numpy(),
            batch.column(2).to_numpy(),
            np.full(rows, received, np.int64),
            np.full(rows, seq, np.int64),
        )

    @classmethod
    def join(cls, batches: list[ObservationBatch]) -> ObservationBatch:
        """One batch out of several, in order."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return cls(
                np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)
            )
        return cls(*(np.concatenate([getattr(b, name) for b in batches]) for name in cls.__slots__))


@dataclass(frozen=True, slots=True)
class PositionBatch:
    """Positions as columns of equal length, in journal order."""

    mover: Ints
    time: Longs
    lon: Floats
    lat: Floats
    speed_kn: npt.NDArray[np.float32]
    course_deg: npt.NDArray[np.float32]
    received: Longs
    seq: Longs

    def __len__(self) -> int:
        return len(self.mover)

    def take(self, rows: npt.NDArray[Any]) -> PositionBatch:
        """The rows with these indices, or where this mask is true."""
        return PositionBatch(*(getattr(self, name)[rows] for name in self.__slots__))

    @classmethod
    def of(cls, batch: pa.RecordBatch, received: int, seq: int) -> PositionBatch:
        """A decoded block with its door time and journal sequence."""
        rows = batch.num_rows
        return cls(
            batch.column(0).to_numpy(),
            batch.column(1).cast(pa.int64()).to_numpy(),
            batch.column(2).to_numpy(),
            batch.column(3).to_numpy(),
            batch.column(4).to_numpy(zero_copy_only=False),
            batch.column(5).to_numpy(zero_copy_only=False),
            np.full(rows, received, np.int64),
            np.full(rows, seq, np.int64),
        )

    @classmethod
    def join(cls, batches: list[PositionBatch]) -> PositionBatch:
        """One batch out of several, in order."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return cls(
                np.empty(0, np.int32),
                np.empty(0, np.int64),
                np.empty(0),
                np.empty(0),
                np.empty(0, np.float32),
                np.empty(0, np.float32),
                np.empty(0, np.int64),
                np.empty(0, np.int64),
            )
        return cls(*(np.concatenate([getattr(b, name) for b in batches]) for name in cls.__slots__))

"""NumPy arrays in msgpack: kind, shape and raw bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["pack", "unpack"]


def pack(array: npt.NDArray[Any]) -> list[Any]:
    """An array as msgpack-able values."""
    return [array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()]


def unpack(packed: list[Any]) -> npt.NDArray[Any]:
    """The array again, writable.

    Raises:
        ValueError: it is damaged.
    """
    dtype, shape, data = packed
    return np.frombuffer(data, np.dtype(dtype)).reshape(shape).copy()

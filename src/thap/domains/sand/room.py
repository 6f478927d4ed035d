"""Arrays by slot: how they grow, and how they are kept.

An array is the front of a larger one whose rest was never written to, so room for vessels to come costs addresses and
no memory. What is kept of an array are the rows of vessels that exist; where nearly all of them are as at first, only
the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from thap.detect.packing import pack, unpack

__all__ = ["grown", "kept", "restored", "room_for"]

Array = npt.NDArray[Any]
_BLOCK = 4096
_FEW = 8
"""Where fewer than one row in so many differs from the first value, only those are kept."""


def room_for(count: int) -> int:
    """For how many slots to make room where there are `count`: a few more, so that arrays seldom grow."""
    return max(64, count + count // 16)


def grown(old: Array, size: int, first: Any = 0) -> Array:
    """The array with `size` rows; the new ones are `first`."""
    had = len(old)
    if size <= had:
        return old
    whole: Any = old.base
    if whole is None or len(whole) < size:
        whole = np.zeros((max(size, 2 * had), *old.shape[1:]), old.dtype)
        for begin in range(0, had, _BLOCK):
            part = old[begin : begin + _BLOCK]
            if part.any():  # pages of zeros are not written, and take no memory
                whole[begin : begin + len(part)] = part
    made: Array = whole[:size]
    if first != 0:  # true of NaN
        made[had:] = first
    return made


def kept(array: Array, count: int, first: Any = 0) -> list[Any]:
    """The first `count` rows, msgpack-able; inverse of `restored`."""
    used = array[:count]
    other = ~np.isnan(used) if np.isnan(first) else used != first
    rows = np.flatnonzero(other.any(axis=1) if used.ndim > 1 else other)
    if len(rows) * _FEW > count:
        return [count, None, pack(used)]
    return [count, pack(rows.astype(np.uint32)), pack(used[rows])]


def restored(state: list[Any], like: Array, size: int, first: Any = 0) -> Array:
    """The array that `kept` was given, with `size` rows.

    Args:
        state: what `kept` gave.
        like: an array of the same columns and type.
        size: at least as many as were kept.
        first: value of rows that were not.

    Raises:
        ValueError: it is damaged, or of another kind of array.
    """
    try:
        count, rows, packed = state
        values, at = unpack(packed), None if rows is None else unpack(rows)
    except TypeError as error:
        raise ValueError(f"no array: {error}") from None
    if values.dtype != like.dtype or values.shape[1:] != like.shape[1:] or count > size:
        raise ValueError(f"an array of {values.dtype} {values.shape} where {like.dtype} {like.shape} was expected")
    if len(values) != (count if at is None else len(at)) or (at is not None and len(at) and int(at.max()) >= count):
        raise ValueError(f"{len(values)} rows where {count} were expected")
    made = grown(np.zeros((0, *like.shape[1:]), like.dtype), size, first)
    made[slice(count) if at is None else at] = values
    return made

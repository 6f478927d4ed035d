"""Rows for tests of history."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from thap.kernel.clock import DAY_US, parse_time_us
from thap.kernel.history import TABLES

MIDNIGHT = parse_time_us("2026-03-10T00:00:00Z")


def times(values: Sequence[int]) -> pa.Array:
    return pa.array(np.array(values, np.int64).view("datetime64[us]"), pa.timestamp("us")).cast(
        pa.timestamp("us", tz="UTC")
    )


def observations(ids: Sequence[int], at: Sequence[int], results: Sequence[float] | None = None) -> pa.Table:
    """Observations; `at` in µs. Without results, each is its row number."""
    shown = np.arange(len(ids), dtype=float) if results is None else np.array(results, float)
    return pa.table(
        [pa.array(ids, pa.int32()), times(at), pa.array(shown), times(list(at))], schema=TABLES["observation"].schema
    )


def positions(ids: Sequence[int], at: Sequence[int], lon: float = 105.6, lat: float = 10.4) -> pa.Table:
    n = len(ids)
    return pa.table(
        [
            pa.array(ids, pa.int32()),
            times(at),
            pa.array([lon] * n),
            pa.array([lat] * n),
            pa.array([5.0] * n, pa.float32()),
            pa.array([float("nan")] * n, pa.float32()),
            times(list(at)),
        ],
        schema=TABLES["position"].schema,
    )


def day(series: int, rows: int, start: int = MIDNIGHT, seed: int = 0) -> pa.Table:
    """A day of `series` datastreams, `rows` in all, in order of time."""
    made = np.random.default_rng(seed)
    at = start + np.arange(rows, dtype=np.int64) * (DAY_US // rows)
    ids = np.arange(rows) % series + 1
    return observations(ids.tolist(), at.tolist(), np.round(made.normal(2, 1, rows), 2).tolist())


class SmallDisk:
    """A file system of a few MiB in `folder`, as a context; the test is skipped where it may not be mounted."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder, self._mib = folder, mib

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir()
        if shutil.which("mount") is None or self._mount(f"size={self._mib}m"):
            pytest.skip("this user may not mount a small file system")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)

    def grow(self, mib: int) -> None:
        """Make room."""
        assert self._mount(f"remount,size={mib}m") == 0

    def _mount(self, options: str) -> int:
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)], capture_output=True, check=False
        ).returncode

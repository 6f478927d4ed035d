"""Tides as the demo makes them, with noise and gaps, for tests and the benchmark."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US

START = 1_764_547_200_000_000
PERIODS_H = {"M2": 12.4206, "S2": 12.0, "K1": 23.9345, "O1": 25.8193}
SHARES = {"M2": 0.46, "S2": 0.15, "K1": 0.24, "O1": 0.15}


def tide(times: npt.NDArray[np.int64], seed: int = 1, size: float = 0.7, stage: float = 0.5) -> npt.NDArray[np.float64]:
    """A level without noise, m, at moments in µs."""
    phases = np.random.default_rng([seed, 7]).uniform(0, 2 * np.pi, len(PERIODS_H))
    hours = times / HOUR_US
    parts = sum(
        SHARES[name] * np.cos(2 * np.pi * hours / period - phase)
        for (name, period), phase in zip(PERIODS_H.items(), phases, strict=True)
    )
    return stage + size * np.asarray(parts, np.float64)


def measured(
    days: float = 30, seed: int = 1, *, noise: float = 0.05, every_min: int = 10, gaps: int = 10
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Times and noisy values with gaps of up to eight hours."""
    random = np.random.default_rng([seed, 11])
    times = START + np.arange(0, round(days * DAY_US), every_min * MINUTE_US, dtype=np.int64)
    values = tide(times, seed) + noise * random.standard_normal(len(times))
    keep = np.ones(len(times), bool)
    for _ in range(gaps):
        begin = int(random.integers(0, len(times)))
        keep[begin : begin + int(random.integers(1, 8 * 60 // every_min))] = False
    keep[-1] = True
    return times[keep], values[keep]

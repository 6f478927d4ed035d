"""How well levels are forecast, and how long it takes to forecast them all anew.

Levels are the demo's tides at its six gauges with 5 cm noise and gaps, thirty days of ten-minute values, for seeds that
nothing was tuned on; the error is against the level without noise. In the same run: utide fitted on the same values,
the level one tidal day before, and the demo's levels with its floods, which nobody can foresee. Then 500 stations of
thirty days, ten-minute values, are read from a lake and forecast as the background work does it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import utide

from thap.domains.water.demo import GAUGES, contribute, tide_signal
from thap.domains.water.forecast import forecast, gather
from thap.domains.water.history import forecasts_of, hours_of
from thap.domains.world import Signal, World
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US
from thap.kernel.history import TABLES, Lake
from thap.kernel.settings import load_settings

__all__ = ["run"]

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

START = 1_764_547_200_000_000
SEEDS = range(100, 104)
ORIGINS = 3
DAYS, EVERY_US, NOISE_M = 30, 10 * MINUTE_US, 0.05
STATIONS = 500
TIDAL_DAY_H = 25  # of whole hours the nearest to 24 h 50 min


def _observed(signal: Signal, end: int, random: np.random.Generator) -> tuple[Longs, Doubles]:
    times = np.arange(end - DAYS * DAY_US, end, EVERY_US, dtype=np.int64)
    values = signal(times) + NOISE_M * random.standard_normal(len(times))
    keep = np.ones(len(times), bool)
    for _ in range(DAYS // 2):
        begin = int(random.integers(0, len(times)))
        keep[begin : begin + int(random.integers(3, 48))] = False  # half an hour to eight hours
    begin = int(random.integers(0, len(times) - 144))
    keep[begin : begin + 120] = False  # and once twenty hours
    return times[keep], values[keep]


def _by_utide(times: Longs, values: Doubles, hours: Doubles) -> Doubles:
    coef = utide.solve(
        times / DAY_US, values, lat=10.35, epoch="1970-01-01", method="ols", conf_int="none", verbose=False
    )
    return np.asarray(utide.reconstruct(hours / 24, coef, epoch="1970-01-01", verbose=False).h)


def _errors(flooded: bool) -> dict[str, list[float]]:
    """Errors by what made the forecast and lead, m."""
    wrong: dict[str, list[float]] = {}
    for seed in SEEDS:
        world = World(seed, START)
        if flooded:
            contribute(world)
        for number, gauge in enumerate(GAUGES):
            signal = world.series[f"{gauge.name}/water_level"].signal if flooded else tide_signal(world, gauge)
            for origin in range(ORIGINS):
                random = np.random.default_rng([seed, number, origin])
                end = START + (45 * 24 + 37 * origin + int(random.integers(0, 24))) * HOUR_US
                times, values = _observed(signal, end, random)
                made = forecast(gather(times, values), 48)
                truth = signal((made.hours * HOUR_US).astype(np.int64))
                measured = truth + NOISE_M / 6**0.5 * random.standard_normal(len(truth))  # means of an hour
                for lead in (1, 6, 12, 24, 48):
                    wrong.setdefault(f"ours_{lead}h", []).append(float(made.mean[lead - 1] - truth[lead - 1]))
                inside = (measured >= made.low) & (measured <= made.high)
                wrong.setdefault("covered", []).append(float(inside.mean()))
                before = signal(((made.hours[23:24] - TIDAL_DAY_H) * HOUR_US).astype(np.int64))
                wrong.setdefault("tidal_day_24h", []).append(float(before[0] - truth[23]))
                if not flooded and origin == 0:
                    theirs = _by_utide(times, values, made.hours[23:24])
                    wrong.setdefault("utide_24h", []).append(float(theirs[0] - truth[23]))
    return wrong


def _rmse_cm(errors: list[float]) -> float:
    return round(100 * float(np.sqrt(np.mean(np.square(errors)))), 2)


def _fill(lake: Lake, folder: Path) -> int:
    """Thirty days of 500 stations; gives the time of the newest value."""
    times = START + np.arange(DAYS * 144, dtype=np.int64) * EVERY_US
    world, random = World(200, START), np.random.default_rng(1)
    signals = [tide_signal(world, gauge)(times) for gauge in GAUGES]
    for first in range(0, STATIONS, 100):
        numbers = np.arange(first + 1, first + 101)
        results = np.concatenate(
            [signals[n % len(signals)] + NOISE_M * random.standard_normal(len(times)) for n in numbers.tolist()]
        )
        moments = pa.array(np.tile(times, 100).view("datetime64[us]"), pa.timestamp("us")).cast(
            pa.timestamp("us", tz="UTC")
        )
        table = pa.table(
            [pa.array(np.repeat(numbers, len(times)), pa.int32()), moments, pa.array(results), moments],
            schema=TABLES["observation"].schema,
        )
        lake.append({"observation": table}, first + 100)
    del folder
    return int(times[-1])


def _recompute() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(Path(folder) / "centre", port=0, mqtt_port=0)
        settings.data.mkdir(parents=True)
        lake = Lake.open(settings)
        newest = _fill(lake, settings.data)
        found = []
        for _ in range(3):
            began, used = time.perf_counter(), time.process_time()
            hours = hours_of(lake, range(1, STATIONS + 1), newest - DAYS * DAY_US, newest + 1)
            read = time.perf_counter()
            made = forecasts_of(hours, frozenset(), 48)
            found.append((time.perf_counter() - began, time.process_time() - used, read - began))
            if len(made) != STATIONS:
                raise RuntimeError(f"{len(made)} of {STATIONS} stations were forecast")
        lake.close()
    whole, used, read = min(found)
    return {
        "water.recompute_500_s": round(whole, 2),
        "water.recompute_500_cpu_s": round(used, 2),
        "water.recompute_500_read_s": round(read, 2),
    }


def run(_words: list[str]) -> dict[str, Any]:
    """Measure."""
    tides, floods = _errors(flooded=False), _errors(flooded=True)
    figures: dict[str, Any] = {
        "water.rmse_24h_cm": _rmse_cm(tides["ours_24h"]),
        **{f"water.rmse_{lead}h_cm": _rmse_cm(tides[f"ours_{lead}h"]) for lead in (1, 6, 12, 48)},
        "water.coverage80": round(float(np.mean(tides["covered"])), 3),
        "water.utide_24h_cm": _rmse_cm(tides["utide_24h"]),
        "water.tidal_day_before_24h_cm": _rmse_cm(tides["tidal_day_24h"]),
        "water.flooded_rmse_24h_cm": _rmse_cm(floods["ours_24h"]),
        "water.flooded_median_24h_cm": round(100 * float(np.median(np.abs(floods["ours_24h"]))), 2),
        "water.flooded_tidal_day_before_24h_cm": _rmse_cm(floods["tidal_day_24h"]),
        **_recompute(),
    }
    return {
        "bench": "water",
        "figures": figures,
        "input": f"the demo's tides, {len(GAUGES)} gauges, seeds {SEEDS.start}-{SEEDS.stop - 1}, {ORIGINS} origins "
        f"each (utide: one), {DAYS} days of 10-minute values, {NOISE_M * 100:g} cm noise, gaps of up to 20 h; "
        f"{STATIONS} stations of {DAYS} days from a lake",
        "peer": "utide (ordinary least squares) on the same values; the level one tidal day before",
    }

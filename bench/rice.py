"""`rice`: weekly light-trap counts of brown planthoppers forecast 1 and 4 weeks ahead, rolling origin by year."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.domains.rice.forecast import fit
from thap.domains.rice.sheets import choose, read_catches, series_of
from thap.domains.rice.weeks import WeeklySeries

__all__ = ["run"]

Doubles = npt.NDArray[np.float64]
FILE = Path("pests") / "rice_pests_weather_1959_2006.csv"


def run(argv: list[str]) -> dict[str, Any]:
    """Each year forecast by a model fitted on the years before it; errors are |log1p(forecast) - log1p(count)|.

    Scored are target weeks of the year that were counted and whose origin was counted. Persistence is the count of the
    origin, climatology the mean of log1p of the same week in all earlier years.

    Raises:
        SystemExit: the counts are not there.
    """
    parser = argparse.ArgumentParser(prog="bench rice")
    parser.add_argument("--pest", default="Brownplanthopper")
    parser.add_argument("--location", default="Maruteru")
    parser.add_argument("--years", default="1999-2006")
    options = parser.parse_args(argv)
    first, _, last = options.years.partition("-")
    data = Path(os.environ.get("THAP_DATA") or Path(__file__).parents[2] / "shared" / "data")
    path = data / FILE
    if not path.exists():
        raise SystemExit(f"no counts at {path} (set THAP_DATA)")
    series = series_of(choose(read_catches(path), options.pest, options.location))
    years = range(int(first), int(last or first) + 1)
    figures: dict[str, Any] = {}
    inside: list[Doubles] = []
    climatology: dict[int, float] = {}
    for horizon in (1, 4):
        scored = {year: one for year in years if (one := score_year(series, year, horizon)) is not None}
        every = np.concatenate(list(scored.values()), axis=1)
        figures[f"mae_{horizon}w"] = round(float(every[0].mean()), 4)
        figures[f"persistence_{horizon}w"] = round(float(every[1].mean()), 4)
        climatology[horizon] = round(float(np.nanmean(every[2])), 4)
        figures[f"coverage80_{horizon}w"] = round(float(every[3].mean()), 4)
        inside.append(every[3])
        for year, one in scored.items():
            names = ("mae", "persistence", "climatology", "coverage80")
            values = [round(float(np.nanmean(row)), 3) for row in one]
            figures.setdefault("years", {}).setdefault(str(year), {})[f"{horizon}w"] = dict(
                zip(names, values, strict=True)
            )
    figures["climatology"] = climatology[4]
    figures["climatology_1w"] = climatology[1]
    figures["coverage80"] = round(float(np.concatenate(inside).mean()), 4)
    figures["under_persistence_1w_percent"] = round(100 * (1 - figures["mae_1w"] / figures["persistence_1w"]), 1)
    better = min(figures["persistence_4w"], figures["climatology"])
    figures["under_better_baseline_4w_percent"] = round(100 * (1 - figures["mae_4w"] / better), 1)
    return {
        "bench": "rice",
        "figures": figures,
        "input": f"{FILE.name}: {series.pest}, {series.location}, {series.collection}; years {options.years}, each"
        " forecast by a fit on the years before it",
        "peer": {
            "name": "persistence and weekly climatology, same weeks",
            "persistence_1w": figures["persistence_1w"],
            "persistence_4w": figures["persistence_4w"],
            "climatology_4w": figures["climatology"],
        },
    }


def score_year(series: WeeklySeries, year: int, horizon: int) -> Doubles | None:
    """Rows of error, persistence's error, climatology's error, inside the band; a column for each target week of the
    year. None where the year, or what lies before it, has nothing to score."""
    known = np.isfinite(series.counts)
    target = np.flatnonzero((series.years == year) & known)
    target = target[target >= horizon]
    target = target[known[target - horizon]]
    before = series.until(year * 52 - 1)
    if not len(target) or int(np.isfinite(before.counts).sum()) < 52:
        return None
    origin = target - horizon
    model = fit(series, year * 52 - 1, [horizon])
    level = model.levels(series, horizon, origin)
    low, high = model.bands(series, horizon, origin)
    actual = np.log1p(series.counts)
    past = known & (series.years < year)
    usual = np.array([_mean(actual[past & (series.weeks == week)]) for week in series.weeks[target].tolist()])
    now = actual[target]
    inside = (now >= np.maximum(level + low, 0) - 1e-9) & (now <= level + high + 1e-9)
    return np.stack([np.abs(now - level), np.abs(now - actual[origin]), np.abs(now - usual), inside])


def _mean(values: Doubles) -> float:
    return float(values.mean()) if len(values) else float("nan")

"""`forecast`: speeds of the Los-loop week 15 to 60 minutes ahead, the set-up of the T-GCN paper."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from thap.domains.traffic.forecast import fit
from thap.domains.traffic.speeds import read_adjacency, read_speeds

__all__ = ["run"]

_PAPER = {15: 5.1264, 30: 6.0598, 45: 6.7065, 60: 7.2677}


def run(argv: list[str]) -> dict[str, Any]:
    """Fit on the first 80 % of the rows, test on windows that lie wholly in the last 20 %: 12 rows in, 3 to 12 out.

    `rmse_N` is over all sensors and all steps up to N minutes, as the paper's own code evaluates; `at_N` over the last
    step alone. A window's forecast sees the training part and the window's 12 rows, nothing else. Persistence is the
    window's last row, the historical average the mean of the same time on the training days.

    Raises:
        SystemExit: the speeds are not there.
    """
    parser = argparse.ArgumentParser(prog="bench forecast")
    parser.add_argument("--no-adjacency", action="store_true")
    options = parser.parse_args(argv)
    data = Path(os.environ.get("THAP_DATA") or Path(__file__).parents[2] / "shared" / "data") / "traffic"
    path = data / "tgcn_los_speed.csv.gz"
    if not path.exists():
        raise SystemExit(f"no speeds at {path} (set THAP_DATA)")
    speeds = read_speeds(path)
    near = None if options.no_adjacency else read_adjacency(data / "tgcn_los_adj.csv.gz", len(speeds.names))
    split = int(len(speeds.values) * 0.8)
    began = time.process_time()
    model = fit(speeds.values[:split], range(1, 13), near, speeds.step_minutes)
    fit_s = time.process_time() - began
    squares: dict[int, list[Any]] = {}
    inside: dict[int, float] = {}
    actual = speeds.values
    for ahead in range(1, 13):
        origins = np.arange(split + 11, len(actual) - ahead)
        made = model.expect_many(actual, origins, ahead)
        true = actual[origins + ahead]
        squares[ahead] = [
            ((np.stack([getattr(one, name) for one in made]) - true) ** 2) for name in ("value", "persistence", "usual")
        ]
        low, high = (np.stack([getattr(one, name) for one in made]) for name in ("low", "high"))
        inside[ahead] = float(((true >= low) & (true <= high)).mean())
    figures: dict[str, Any] = {}
    for minutes, paper in _PAPER.items():
        last = minutes // 5
        windows = len(squares[last][0])
        for number, name in enumerate(("", "persistence_", "average_")):
            up = np.mean([squares[ahead][number][:windows].mean() for ahead in range(1, last + 1)])
            figures[f"{name}rmse_{minutes}"] = round(float(np.sqrt(up)), 4)
            figures[f"{name}at_{minutes}"] = round(float(np.sqrt(squares[last][number].mean())), 4)
        figures[f"coverage80_{minutes}"] = round(inside[last], 4)
        figures[f"paper_{minutes}"] = paper
    figures["fit_cpu_s"] = round(fit_s, 1)
    return {
        "bench": "forecast",
        "figures": figures,
        "input": f"{path.name}: {actual.shape[1]} sensors, {actual.shape[0]} rows of 5 minutes, last 20 % as test",
        "peer": {"name": "T-GCN, Los-loop, RMSE as published", **{f"rmse_{m}": v for m, v in _PAPER.items()}},
    }

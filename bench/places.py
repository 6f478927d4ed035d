"""`places`: point → commune on one core, the grid against a plain shapely STRtree."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from thap.kernel.places import Locator, communes, read_polygons

__all__ = ["run"]


def run(argv: list[str]) -> dict[str, Any]:
    """Points uniform over the province's outlines; the best of three rounds each, results compared.

    Raises:
        SystemExit: the outlines are not there, or the two do not agree.
    """
    parser = argparse.ArgumentParser(prog="bench places")
    parser.add_argument("--points", type=int, default=2_000_000)
    parser.add_argument("--peer-points", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    data = Path(os.environ.get("THAP_DATA") or Path(__file__).parents[2] / "shared" / "data")
    path = data / "places" / "dong_thap_102_simplified.geojson"
    if not path.exists():
        raise SystemExit(f"no outlines at {path} (set THAP_DATA)")
    shapes = {code: shapely.from_wkb(shape) for code, shape in read_polygons(path).wkb.items()}
    started = time.perf_counter()
    locator = Locator(communes(), shapes)
    build_s = time.perf_counter() - started

    lon, lat = _points(locator, shapes, options.points, options.seed)
    ours_s = _best(lambda: locator.commune_of(lon, lat))
    few = slice(0, options.peer_points)
    tree = shapely.STRtree([shapes[unit.code] for unit in communes()])
    peer_s = _best(lambda: tree.query(shapely.points(lon[few], lat[few]), predicate="intersects"))
    point, polygon = tree.query(shapely.points(lon[few], lat[few]), predicate="intersects")
    expected = np.full(options.peer_points, len(shapes))
    np.minimum.at(expected, point, polygon)
    differ = int((np.where(expected == len(shapes), -1, expected) != locator.commune_of(lon[few], lat[few])).sum())
    if differ:
        raise SystemExit(f"{differ} of {options.peer_points} points differ from shapely")
    return {
        "bench": "places",
        "figures": {
            "points_per_second": round(options.points / ours_s),
            "build_s": round(build_s, 3),
            "differing_points": differ,
        },
        "input": f"{options.points} points uniform over the outlines in {path.name}, seed {options.seed}",
        "peer": {
            "name": f"shapely {shapely.__version__} STRtree.query(predicate='intersects')",
            "points_per_second": round(options.peer_points / peer_s),
            "points": options.peer_points,
        },
    }


def _points(locator: Locator, shapes: dict[str, Any], count: int, seed: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Points inside the outlines, drawn from their bounds until there are enough."""
    random = np.random.default_rng(seed)
    west, south, east, north = shapely.total_bounds(list(shapes.values()))
    kept: list[npt.NDArray[np.float64]] = []
    while sum(len(part) for part in kept) < count:
        drawn = np.stack([random.uniform(west, east, count), random.uniform(south, north, count)], axis=1)
        kept.append(drawn[locator.commune_of(drawn[:, 0], drawn[:, 1]) >= 0])
    points = np.concatenate(kept)[:count]
    return points[:, 0].copy(), points[:, 1].copy()


def _best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)

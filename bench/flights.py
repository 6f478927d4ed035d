"""`flights`: planted flights of planthoppers found among moonlight, harvests, outages and missing nights; speed."""

from __future__ import annotations

import argparse
import time
from datetime import timedelta
from typing import Any

import numpy as np

from thap.domains.parameters import shipped_parameters
from thap.domains.rice import DOMAIN
from thap.domains.rice.biology import Biology, Temperatures, cohort
from thap.domains.rice.flights import find_flights, find_flights_many, zone_flights
from thap.domains.rice.nights import Scored, plant

__all__ = ["run"]


def run(argv: list[str]) -> dict[str, Any]:
    """Precision and recall over planted traps, and the time to recompute 2,000 traps: flights, zones, cohorts."""
    parser = argparse.ArgumentParser(prog="bench flights")
    parser.add_argument("--seeds", type=int, default=300, help="traps scored, from seed 10,000")
    parser.add_argument("--traps", type=int, default=2000)
    parser.add_argument("--nights", type=int, default=120, help="nights that are recomputed of each trap")
    options = parser.parse_args(argv)
    parameters = shipped_parameters(DOMAIN)
    scored = Scored()
    origins = [0, 0, 0]
    for seed in range(10_000, 10_000 + options.seeds):
        planted = plant(seed)
        found = find_flights(planted.catches, parameters, planted.wind)
        scored.add(planted, found)
        for peak, carried in zip(planted.peaks, planted.carried, strict=True):
            near = [one.origin for one in found if abs((one.peak - peak).days) <= 3]
            right = "immigration" if carried else "local"
            origins[0 if near[:1] == [right] else 1 if near[:1] == ["unknown"] else 2] += bool(near)
    traps = {f"t{seed}": plant(seed, options.nights).catches for seed in range(20_000, 20_000 + options.traps)}
    biology = Biology.of(parameters)
    warm = np.full(options.nights + 60, 28.0)
    begin, cpu = time.perf_counter(), time.process_time()
    flights = find_flights_many(traps, parameters)
    keys = list(traps)
    for zone in range(0, len(keys), 20):
        few = keys[zone : zone + 20]
        zone_flights({key: traps[key] for key in few}, parameters, {key: flights[key] for key in few})
    first = next(iter(traps.values())).first
    # One weather series here; a cohort of each flight night and zone is computed once.
    weather = Temperatures(first, warm - 4, warm + 4)
    nights = {one.peak for many in flights.values() for one in many if one.peak > first + timedelta(days=60)}
    for night in nights:
        cohort(night, weather, biology)
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    return {
        "bench": "flights",
        "figures": {
            "precision": round(scored.precision, 4),
            "recall": round(scored.recall, 4),
            "planted": scored.right + scored.missed,
            "found": scored.right + scored.wrong,
            "origin_right": round(origins[0] / max(1, sum(origins)), 4),
            "origin_unknown": round(origins[1] / max(1, sum(origins)), 4),
            "recompute_s": round(wall_s, 2),
            "recompute_cpu_s": round(cpu_s, 2),
        },
        "input": f"{options.seeds} planted traps of 180 nights, seeds from 10000; {options.traps} traps of "
        f"{options.nights} nights recomputed on one core",
        "peer": None,
    }

"""Hours of many series out of the lake, and forecasts of them: what the background work and the benchmark share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from thap.domains.water.forecast import LEAST_HOURS, Forecast, Record, forecast
from thap.domains.water.salinity import forecast_salinity
from thap.kernel.clock import HOUR_US
from thap.kernel.history import Lake

__all__ = ["Hours", "forecasts_of", "hours_of", "newest_of", "record_of"]

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hours:
    """What one series said, by the hour around each whole hour."""

    number: npt.NDArray[np.int64]
    """Hours since 1970 UTC, rising."""
    value: Doubles
    offset: Doubles
    """Hours from the whole hour to the mean time of its values."""
    many: npt.NDArray[np.int64]
    """How many values."""
    last: int
    """Time of the newest value, µs."""


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(str(int(one)) for one in ids)


def newest_of(lake: Lake, ids: Sequence[int], since: int) -> int | None:
    """Time of the newest value of any of these datastreams since a moment, µs."""
    if not ids:
        return None
    rows = lake.rows(
        f"SELECT epoch_us(max(time)) FROM lake.observation WHERE datastream IN ({_listed(ids)}) "
        f"AND time >= make_timestamptz({int(since)}::BIGINT)"
    )
    return rows[0][0] if rows else None


def hours_of(lake: Lake, ids: Sequence[int], since: int, until: int, *, centred: bool = True) -> dict[int, Hours]:
    """Each datastream by the hour.

    Args:
        lake: to read.
        ids: registry numbers.
        since: µs.
        until: µs, not included.
        centred: hours lie around whole hours, as tides want them; else they begin at them, as means of the air do.
    """
    if not ids:
        return {}
    shift = HOUR_US // 2 if centred else 0
    rows = lake.rows(f"""
        SELECT datastream, (epoch_us(time) + {shift}) // {HOUR_US} AS hour, avg(result), median(result),
               avg(epoch_us(time)), count(*), max(epoch_us(time))
        FROM lake.observation
        WHERE datastream IN ({_listed(ids)}) AND time >= make_timestamptz({int(since)}::BIGINT)
          AND time < make_timestamptz({int(until)}::BIGINT)
        GROUP BY ALL ORDER BY datastream, hour""")
    if not rows:
        return {}
    series = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    number = np.fromiter((row[1] for row in rows), np.int64, len(rows))
    mean, middle, when = (np.fromiter((row[at] for row in rows), np.float64, len(rows)) for at in (2, 3, 4))
    many, last = (np.fromiter((row[at] for row in rows), np.int64, len(rows)) for at in (5, 6))
    made = {}
    edges = [0, *(np.flatnonzero(np.diff(series)) + 1).tolist(), len(series)]
    for begin, end in pairwise(edges):
        part = slice(begin, end)
        value = mean[part]
        if centred:  # a single spike moves a mean, not a median, which knows less where nothing is wrong
            apart = np.abs(mean[part] - middle[part])
            value = np.where(apart > 3 * np.median(apart) + 1e-9, middle[part], mean[part])
        made[int(series[begin])] = Hours(
            number[part], value, when[part] / HOUR_US - number[part], many[part], int(last[part].max())
        )
    return made


def record_of(hours: Hours) -> Record | None:
    """As forecasts take it; None where there is too little."""
    if len(hours.number) < LEAST_HOURS:
        return None
    first, count = int(hours.number[0]), int(hours.number[-1] - hours.number[0]) + 1
    values, offsets = np.full(count, np.nan), np.zeros(count)
    values[hours.number - first] = hours.value
    offsets[hours.number - first] = hours.offset
    return Record(float(first), values, offsets, bool(np.median(hours.many) > 2))


def forecasts_of(series: Mapping[int, Hours], salty: frozenset[int], ahead_h: int) -> dict[int, Forecast]:
    """Forecasts of all series that have enough values; one that cannot be solved is left out."""
    made = {}
    for number, hours in series.items():
        record = record_of(hours)
        if record is None:
            continue
        try:
            made[number] = (forecast_salinity if number in salty else forecast)(record, ahead_h)
        except np.linalg.LinAlgError:
            continue
    return made

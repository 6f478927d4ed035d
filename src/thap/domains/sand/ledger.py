"""How much sand left each mine: trips × hold × fill factor, with its uncertainty, against licence and declared book.

For a set of trips i with holds H_i, confidences p_i that the hold was filled, and fill factor f:

    estimate   Σ p_i f H_i
    variance   Σ (p_i H_i s)²              s: how much one load differs from the next
             + Σ p_i (1 − p_i) (f H_i)²    whether it was filled at all
             + Σ_vessels (e Σ p_i f H_i)²  a hold measured wrong is wrong on every trip of its vessel
             + (b Σ p_i H_i)²              the mean fill factor may be wrong for all

The band is the estimate ± 1.645 standard deviations: the truth lies in it nine times in ten, if errors are normal and
the parameters are right. A vessel whose hold nobody measured counts with a typical hold and a wide error.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from thap.domains.sand.model import Capacity

__all__ = [
    "Amount",
    "Compared",
    "Declared",
    "Factors",
    "Forecast",
    "Load",
    "compare",
    "estimate",
    "forecast",
    "limits_of",
    "used_by_period",
]

_Z = 1.645
"""Of a two-sided band of 90 %."""
_RATE_DAYS, _LEAST_DAYS = 28, 3
_LONGEST = timedelta(days=20 * 365)


@dataclass(frozen=True, slots=True)
class Factors:
    """What a trip is multiplied by. Each is a parameter of the domain, with its source."""

    fill: float = 1.0
    """Mean share of the measured hold that is filled."""
    fill_spread: float = 0.08
    """Standard deviation from load to load."""
    fill_error: float = 0.05
    """Standard error of the mean."""
    hold_error: float = 0.05
    """Relative standard error of a measured hold."""
    unmeasured_m3: float = 300.0
    """Hold of a vessel that nobody measured."""
    unmeasured_error: float = 0.5
    """Its relative standard error."""

    @classmethod
    def of(cls, parameters: Mapping[str, float]) -> Factors:
        """From the parameters in force."""
        return cls(
            fill=parameters["fill_factor"],
            fill_spread=parameters["fill_spread"],
            fill_error=parameters["fill_error"],
            hold_error=parameters["hold_error"],
            unmeasured_m3=parameters["unmeasured_hold_m3"],
            unmeasured_error=parameters["unmeasured_error"],
        )


@dataclass(frozen=True, slots=True)
class Load:
    """A trip, as far as quantities go."""

    vessel: str
    day: str
    """Day in Việt Nam on which loading ended, as 2026-11-30."""
    hold_m3: float | None = None
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity with its band, m³."""

    m3: float = 0.0
    low_m3: float = 0.0
    high_m3: float = 0.0
    trips: int = 0
    unmeasured: int = 0
    """How many of the trips were made by vessels whose hold nobody measured."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "m3": round(self.m3, 1),
            "low_m3": round(self.low_m3, 1),
            "high_m3": round(self.high_m3, 1),
            "trips": self.trips,
            "unmeasured": self.unmeasured,
        }


@dataclass(frozen=True, slots=True)
class Declared:
    """What the miner's book says of a day or a month."""

    period: str
    """2026-11-30, or 2026-11."""
    m3: float
    trips: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a licence will be used up at the pace of the latest days; None where that cannot be told."""

    day: str | None
    early: str | None
    """If more left than estimated."""
    late: str | None
    """If less did; None: perhaps never within twenty years."""
    rate_m3: float
    """A day, mean over the days looked at."""
    days: int
    """How many days the pace was taken from."""
    left_m3: float


def estimate(loads: Iterable[Load], factors: Factors, *, before_m3: float = 0.0) -> Amount:
    """The quantity of some trips, with its band.

    Args:
        loads: the trips.
        factors: what they are multiplied by.
        before_m3: taken before the centre watched; taken as exact.
    """
    total = spread = 0.0
    holds = 0.0
    systematic: dict[str, float] = defaultdict(float)
    count = unmeasured = 0
    for load in loads:
        hold = factors.unmeasured_m3 if load.hold_m3 is None else load.hold_m3
        error = factors.unmeasured_error if load.hold_m3 is None else factors.hold_error
        sure = min(max(load.confidence, 0.0), 1.0)
        volume = factors.fill * hold
        total += sure * volume
        holds += sure * hold
        spread += (sure * hold * factors.fill_spread) ** 2 + sure * (1 - sure) * volume**2
        systematic[load.vessel] += error * sure * volume
        count += 1
        unmeasured += load.hold_m3 is None
    variance = spread + sum(value**2 for value in systematic.values()) + (factors.fill_error * holds) ** 2
    half = _Z * math.sqrt(variance)
    return Amount(before_m3 + total, before_m3 + max(0.0, total - half), before_m3 + total + half, count, unmeasured)


def used_by_period(loads: Sequence[Load], factors: Factors, today: str, *, before_m3: float = 0.0) -> dict[str, Amount]:
    """What a licence let out today, this month, this year, and in all.

    Args:
        loads: all trips under the licence.
        factors: what they are multiplied by.
        today: as 2026-11-30.
        before_m3: taken before the centre watched.
    """
    return {
        "day": estimate((one for one in loads if one.day == today), factors),
        "month": estimate((one for one in loads if one.day[:7] == today[:7] and one.day <= today), factors),
        "year": estimate((one for one in loads if one.day[:4] == today[:4] and one.day <= today), factors),
        "total": estimate((one for one in loads if one.day <= today), factors, before_m3=before_m3),
    }


def limits_of(capacity: Capacity) -> dict[str, float | None]:
    """What the licence lets out, by the same periods."""
    return {
        "day": capacity.day_m3,
        "month": capacity.month_m3,
        "year": capacity.year_m3,
        "total": capacity.total_m3,
    }


def forecast(
    loads: Sequence[Load], factors: Factors, today: str, limit_m3: float | None, *, before_m3: float = 0.0
) -> Forecast | None:
    """When the total of a licence will be used up, at the mean pace of the latest 28 full days (fewer, where it was
    watched for fewer). The early and late dates take the band of what is used and of the pace together.

    Returns:
        None where the licence has no total.
    """
    if limit_m3 is None:
        return None
    used = estimate((one for one in loads if one.day <= today), factors, before_m3=before_m3)
    now = date.fromisoformat(today)
    first = min((one.day for one in loads), default=today)
    days = min(_RATE_DAYS, (now - date.fromisoformat(first)).days)
    left = limit_m3 - used.m3
    if left <= 0:
        return Forecast(today, today, today if used.low_m3 >= limit_m3 else None, 0.0, days, left)
    if days < _LEAST_DAYS:
        return Forecast(None, None, None, 0.0, days, left)
    since = (now - timedelta(days=days)).isoformat()
    recent = [one for one in loads if since <= one.day < today]
    pace = estimate(recent, factors)
    each_day: dict[str, float] = defaultdict(float)
    for one in recent:
        each_day[one.day] += estimate([one], factors).m3
    mean = pace.m3 / days
    amounts = [each_day.get((now - timedelta(days=back)).isoformat(), 0.0) for back in range(1, days + 1)]
    varies = math.sqrt(sum((amount - mean) ** 2 for amount in amounts) / max(1, days - 1)) / math.sqrt(days)
    half = math.hypot((pace.high_m3 - pace.low_m3) / 2 / days, _Z * varies)

    def when(remaining: float, rate: float) -> str | None:
        if remaining <= 0:
            return today
        length = remaining / rate if rate > 0 else math.inf
        return (now + timedelta(days=math.ceil(length))).isoformat() if length <= _LONGEST.days else None

    return Forecast(
        when(left, mean),
        when(limit_m3 - used.high_m3, mean + half),
        when(limit_m3 - used.low_m3, mean - half),
        mean,
        days,
        left,
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """A day or month of the miner's book beside the estimate."""

    period: str
    estimated: Amount
    declared_m3: float | None
    declared_trips: int | None = None

    @property
    def difference_m3(self) -> float | None:
        """Estimated less declared; None where nothing was declared."""
        return None if self.declared_m3 is None else self.estimated.m3 - self.declared_m3

    @property
    def beyond_doubt(self) -> bool:
        """Whether the declared quantity lies outside the band."""
        if self.declared_m3 is None:
            return False
        return not self.estimated.low_m3 <= self.declared_m3 <= self.estimated.high_m3

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "period": self.period,
            **self.estimated.as_dict(),
            "declared_m3": self.declared_m3,
            "declared_trips": self.declared_trips,
            "difference_m3": None if self.difference_m3 is None else round(self.difference_m3, 1),
            "beyond_doubt": self.beyond_doubt,
        }


def compare(
    loads: Sequence[Load], factors: Factors, declared: Sequence[Declared], *, by: str = "day"
) -> list[Compared]:
    """Each day (or month) with trips or a declaration, in order.

    A declaration of a whole month counts among days not at all, and among months with what was declared day by day in
    months that have no declaration of their own.

    Args:
        by: `day` or `month`.
    """
    length = 10 if by == "day" else 7
    grouped: dict[str, list[Load]] = defaultdict(list)
    for load in loads:
        grouped[load.day[:length]].append(load)
    said: dict[str, tuple[float, int | None]] = {}
    whole = {one.period for one in declared if len(one.period) == 7}
    for one in declared:
        if len(one.period) == 7 and by == "day":
            continue
        if len(one.period) == 10 and by == "month" and one.period[:7] in whole:
            continue
        period = one.period[:length]
        m3, trips = said.get(period, (0.0, 0))
        said[period] = (m3 + one.m3, None if one.trips is None or trips is None else trips + one.trips)
    found = []
    for period in sorted(grouped.keys() | said.keys()):
        m3_trips = said.get(period)
        found.append(
            Compared(
                period,
                estimate(grouped.get(period, ()), factors),
                None if m3_trips is None else m3_trips[0],
                None if m3_trips is None else m3_trips[1],
            )
        )
    return found

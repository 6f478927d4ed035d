"""How good a series' data is: its rhythm, its gaps, how long records took to arrive, which came late or twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thap.kernel.errors import InputError
from thap.kernel.history.tables import TABLES

if TYPE_CHECKING:
    from thap.kernel.history.lake import Lake

__all__ = ["GAP_STEPS", "Gap", "Quality", "quality"]

GAP_STEPS = 3
"""A pause longer than so many usual steps is a gap."""
_GAPS = 200
_SAME = {"observation": ("result",), "position": ("lon", "lat")}


@dataclass(frozen=True, slots=True)
class Gap:
    """A pause. Times in µs."""

    start: int
    """The last record before it."""
    end: int
    """The first record after it, or the end of the time asked about."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The data of one series within a time. Times and lengths in µs; None where there is too little to say."""

    count: int
    """How many records happened in it. A record sent again with the same time is kept once, so it counts once."""
    first: int | None
    last: int | None
    step: int | None
    """The usual time from one to the next: the median."""
    gap_count: int
    gap_total: int
    """How long the gaps are together, beyond the one step each of them would have been."""
    coverage: float | None
    """Share of the time, 0 to 1, that is no gap; the time before a series ever began does not count."""
    gaps: list[Gap]
    """The longest, in order of time."""
    delay_median: int | None
    """From when it happened to when a door took it. Below zero: the device's clock is ahead."""
    delay_p95: int | None
    delay_max: int | None
    late: int
    """Records that came after one that happened later."""
    doubled: int
    """Records that say the same as the one before within a quarter of the usual step: sent twice, with another time."""


def quality(lake: Lake, name: str, number: int, since: int, until: int) -> Quality:
    """How good the data of a datastream or mover is within `since` ≤ time < `until`.

    Args:
        lake: to read.
        name: `observation` or `position`.
        number: of the series in the registry.
        since: µs.
        until: µs; give no time in the future, for it would count as a gap.

    Raises:
        InputError: `since` after `until`.
    """
    if since > until:
        raise InputError("since lies after until", where="since")
    series = f"{TABLES[name].series} = {int(number)}"
    same = " AND ".join(f"{column} = lag({column}) OVER ordered" for column in _SAME[name])
    within = f"time >= make_timestamptz({int(since)}::BIGINT) AND time < make_timestamptz({int(until)}::BIGINT)"
    seen = f"""
        WITH seen AS (
            SELECT epoch_us(time) AS us, epoch_us(received) AS got, us - lag(us) OVER ordered AS step,
                   {same} AS same,
                   got > min(got) OVER (ORDER BY time ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS late
            FROM lake.{name} WHERE {series} AND {within} WINDOW ordered AS (ORDER BY time)),
        usual AS (SELECT median(step) AS step FROM seen)"""
    count, first, last, step, half, most, longest, late, doubled = lake.rows(
        f"""{seen}
        SELECT count(*), min(us), max(us), any_value(usual.step)::BIGINT,
               quantile_cont(got - us, 0.5)::BIGINT, quantile_cont(got - us, 0.95)::BIGINT, max(got - us),
               count(*) FILTER (WHERE late),
               count(*) FILTER (WHERE same AND seen.step < usual.step / 4)
        FROM seen, usual"""
    )[0]
    before = lake.rows(
        f"SELECT epoch_us(max(time)) FROM lake.{name} WHERE {series} AND time < make_timestamptz({int(since)}::BIGINT)"
    )[0][0]
    gaps: list[Gap] = []
    number_of, total, coverage = 0, 0, None
    begin = since if before is not None else first
    if step:
        found = lake.rows(
            f"""{seen}
            SELECT us - seen.step, us, count(*) OVER (), sum(seen.step - usual.step) OVER ()
            FROM seen, usual WHERE seen.step > {GAP_STEPS} * usual.step ORDER BY seen.step DESC LIMIT {_GAPS}"""
        )
        gaps = [Gap(int(start), int(end)) for start, end, *_ in found]
        number_of, total = (int(found[0][2]), int(found[0][3])) if found else (0, 0)
        edges = [Gap(last, until)] if until - last > GAP_STEPS * step else []
        if before is not None and first - since > GAP_STEPS * step:
            edges.append(Gap(since, first))
        number_of += len(edges)
        total += sum(gap.end - gap.start - step for gap in edges)
        gaps = sorted([*gaps, *edges], key=lambda gap: gap.start)
    elif before is not None and not count:
        gaps, number_of, total = [Gap(since, until)], 1, until - since
    if begin is not None and until > begin and (step or not count):
        coverage = min(1.0, max(0.0, 1 - total / (until - begin)))
    return Quality(
        count=int(count),
        first=first,
        last=last,
        step=step,
        gap_count=number_of,
        gap_total=total,
        coverage=coverage,
        gaps=gaps,
        delay_median=half,
        delay_p95=most,
        delay_max=longest,
        late=int(late),
        doubled=int(doubled),
    )

"""How well the alarm system serves its operator: the performance figures of ISA-18.2 and EEMUA 191.

Load (rates, floods, the most frequent) is counted by the time an alarm was announced to the operator;
how a signal behaves (chattering, fleeting) by event time, so that records which arrive late and all at
once do not look like a nervous sensor.

Every figure carries the numbers of the rows it was computed from: of transitions, or of alarms where it says so.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement

from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, now_us
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.respond.records import alarm_keys, figures_rows, stale_rows

__all__ = ["Figure", "Figures", "Flood", "Frequent", "Limits", "Moment", "assess", "read_figures"]

SHOWN = 1000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as what, and how much of it is acceptable. Defaults are those of ANSI/ISA-18.2-2016, clause 16
    (monitoring and assessment, table of recommended metrics), and EEMUA publication 191, unless it says otherwise."""

    operators: int = 1
    """Positions the alarms are shared by; every rate is per position."""
    period_us: int = 10 * MINUTE_US
    """Length of the periods that rates are counted in (both: ten minutes)."""
    flood_begins_above: int = 10
    """Alarms in a period, per operator, above which a flood begins (ISA-18.2; EEMUA 191: more than 10 in 10 min)."""
    flood_ends_below: int = 5
    """Alarms in a period, per operator, below which it ends (ISA-18.2)."""
    average_acceptable: float = 1.0
    """Alarms per period, long-term average: very likely acceptable (EEMUA 191: fewer than one in 10 min;
    ISA-18.2: about 6 an hour)."""
    peak_acceptable: int = 10
    """Alarms in the worst period (ISA-18.2: at most 10)."""
    flood_share: float = 0.01
    """Share of time in flood, and of periods above the flood's beginning (ISA-18.2: less than 1 %)."""
    chatter_count: int = 3
    """Raises within `chatter_window_us` that make an alarm chatter (ISA-18.2, EEMUA 191: three in a minute)."""
    chatter_window_us: int = MINUTE_US
    fleeting_us: int = 10 * SECOND_US
    """A raise that clears sooner leaves no time to respond. The standards give no number; ten seconds is our
    choice."""
    stale_us: int = 24 * HOUR_US
    """An alarm that stands longer is stale (ISA-18.2: 24 hours)."""
    stale_acceptable: int = 5
    """Stale alarms at once (ISA-18.2: fewer than 5 on any day)."""
    top: int = 10
    """How many of the most frequent alarms are shown (both: ten)."""
    top_share: float = 0.05
    """Share of the load they may make up (ISA-18.2: 1 % to 5 %)."""
    priorities: tuple[float, float, float, float] = (0.80, 0.15, 0.05, 0.01)
    """Share of low, medium, high, critical (ISA-18.2, four priorities: 80 %, 15 %, 5 %, under 1 %)."""


class Moment(NamedTuple):
    """A transition, as far as the figures need it."""

    id: int
    alarm: int
    action: str
    """raise, escalate or clear."""
    annunciated: bool
    severity: int
    time: int
    recorded: int


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number that opens to its rows."""

    value: float
    limit: float
    """The most (or the usual share) that is acceptable."""
    ok: bool | None
    """Whether it is within the limit; None where nothing can be said."""
    rows: list[int]
    """Numbers of the rows behind it, at most a thousand, oldest first."""
    total: int
    """How many rows are behind it."""
    of: str = "transitions"
    """What the rows are: transitions or alarms."""


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of periods in which alarms come faster than they can be handled. Times µs."""

    begin: int
    end: int
    alarms: int
    peak: int
    """Alarms in its worst period."""
    rows: list[int]


class Frequent(msgspec.Struct, frozen=True, kw_only=True):
    """One of the most frequent alarms."""

    alarm: int
    source: str
    condition: str
    count: int
    share: float
    rows: list[int]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Performance of the alarm system from `since` to `until`, µs."""

    since: int
    until: int
    limits: Limits
    alarms: int
    """Annunciations in the time: raises shown to the operator, and re-alarms by escalation."""
    periods: int
    average: Figure
    """Per period and operator; judged by the acceptable average."""
    peak: Figure
    """The worst period, per operator."""
    busy_share: Figure
    """Share of periods with more than the flood's beginning."""
    flood_share: Figure
    """Share of periods in flood."""
    floods: list[Flood]
    rates: list[tuple[int, int]]
    """Begin (µs) and annunciations of each period that had any, in order."""
    chattering: Figure
    """Alarms that chatter; rows are the raises."""
    fleeting: Figure
    """Raises that cleared too soon to respond to; rows are their clears."""
    stale: Figure
    """Alarms that have stood too long, at the time of asking; rows are alarms."""
    top: list[Frequent]
    top_share: Figure
    priorities: dict[str, Figure]
    """Share of each severity: low, medium, high, critical."""


def _figure(value: float, limit: float, rows: Sequence[int], *, judged: bool = True, of: str = "transitions") -> Figure:
    return Figure(
        value=value, limit=limit, ok=value <= limit if judged else None, rows=list(rows[:SHOWN]), total=len(rows), of=of
    )


def assess(
    moments: Iterable[Moment],
    stale: Sequence[int],
    since: int,
    until: int,
    limits: Limits,
    names: dict[int, tuple[str, str]],
) -> Figures:
    """Compute the figures.

    Args:
        moments: transitions by detectors recorded in [since, until), in order.
        stale: numbers of the alarms stale now.
        since: begin, µs; periods are counted from here, the last one may be cut short.
        until: end, µs.
        limits: what counts as what.
        names: (source, condition) of alarms, for the most frequent.

    Raises:
        InputError: the time is empty, or longer than a million periods.
    """
    every = list(moments)
    called = [m for m in every if m.annunciated]
    count = -(-(until - since) // limits.period_us)
    if not 0 < count <= 1_000_000:
        raise InputError("figures need a time of at least a moment and at most a million periods", where="since")
    periods: dict[int, list[int]] = defaultdict(list)
    for m in called:
        periods[(m.recorded - since) // limits.period_us].append(m.id)
    share = {index: len(rows) / limits.operators for index, rows in periods.items()}
    average = len(called) * limits.period_us / (until - since) / limits.operators
    worst = max(share, key=lambda index: share[index], default=0)
    crowded = sorted(index for index, rate in share.items() if rate > limits.flood_begins_above)
    floods = _floods(periods, crowded, since, until, limits)
    flooded = sum(-(-(flood.end - flood.begin) // limits.period_us) for flood in floods)
    chatter = _chattering(every, limits)
    fleeting = _fleeting(every, limits)
    by_alarm: dict[int, list[int]] = defaultdict(list)
    for m in called:
        by_alarm[m.alarm].append(m.id)
    most = [(alarm, by_alarm[alarm]) for alarm in _most({a: len(ids) for a, ids in by_alarm.items()}, limits.top)]
    top = [
        Frequent(
            alarm=alarm,
            source=names.get(alarm, ("", ""))[0],
            condition=names.get(alarm, ("", ""))[1],
            count=len(rows),
            share=len(rows) / len(called),
            rows=rows[:SHOWN],
        )
        for alarm, rows in most
    ]
    top_rows = sorted(row for _, rows in most for row in rows)
    return Figures(
        since=since,
        until=until,
        limits=limits,
        alarms=len(called),
        periods=count,
        average=_figure(average, limits.average_acceptable, [m.id for m in called]),
        peak=_figure(share.get(worst, 0.0), limits.peak_acceptable, periods.get(worst, [])),
        busy_share=_figure(len(crowded) / count, limits.flood_share, [row for i in crowded for row in periods[i]]),
        flood_share=_figure(flooded / count, limits.flood_share, [row for flood in floods for row in flood.rows]),
        floods=[msgspec.structs.replace(flood, rows=flood.rows[:SHOWN]) for flood in floods],
        rates=[(since + index * limits.period_us, len(rows)) for index, rows in sorted(periods.items())],
        chattering=_figure(len(chatter), 0, sorted(row for rows in chatter.values() for row in rows)),
        fleeting=_figure(len(fleeting), 0, fleeting),
        stale=_figure(len(stale), limits.stale_acceptable - 1, stale, of="alarms"),
        top=top,
        # Among ten alarms or fewer the most frequent ten are all of them, which says nothing.
        top_share=_figure(
            len(top_rows) / max(len(called), 1), limits.top_share, top_rows, judged=len(by_alarm) > limits.top
        ),
        priorities=_priorities(called, limits),
    )


def _floods(
    periods: dict[int, list[int]], crowded: Sequence[int], since: int, until: int, limits: Limits
) -> list[Flood]:
    """Floods begin in a crowded period and go on until one below the lower limit."""
    floods: list[Flood] = []
    index = 0
    for begin in crowded:
        if begin < index:  # inside the flood before
            continue
        index = begin
        while index in periods and len(periods[index]) / limits.operators >= limits.flood_ends_below:
            index += 1
        inside = [periods[i] for i in range(begin, index)]
        floods.append(
            Flood(
                begin=since + begin * limits.period_us,
                end=min(since + index * limits.period_us, until),
                alarms=sum(map(len, inside)),
                peak=max(map(len, inside)),
                rows=[row for rows in inside for row in rows],
            )
        )
    return floods


def _most(counts: Mapping[int, int], top: int) -> list[int]:
    return heapq.nsmallest(top, counts, key=lambda alarm: (-counts[alarm], alarm))


def _chattering(every: Sequence[Moment], limits: Limits) -> dict[int, set[int]]:
    """Alarm → the raises that came so close together."""
    found: dict[int, set[int]] = defaultdict(set)
    recent: dict[int, deque[Moment]] = defaultdict(deque)
    for m in sorted((m for m in every if m.action == "raise"), key=lambda m: (m.time, m.id)):
        window = recent[m.alarm]
        window.append(m)
        while m.time - window[0].time >= limits.chatter_window_us:
            window.popleft()
        if len(window) >= limits.chatter_count:
            found[m.alarm].update(one.id for one in window)
    return found


def _fleeting(every: Sequence[Moment], limits: Limits) -> list[int]:
    """Clears that came too soon after their raise."""
    raised: dict[int, int] = {}
    found = []
    for m in every:
        if m.action == "raise":
            raised[m.alarm] = m.time
        elif m.action == "clear" and m.alarm in raised and 0 <= m.time - raised.pop(m.alarm) < limits.fleeting_us:
            found.append(m.id)
    return found


def _priorities(called: Sequence[Moment], limits: Limits) -> dict[str, Figure]:
    counts = Counter(m.severity for m in called)
    figures = {}
    names = ("low", "medium", "high", "critical")
    for level, (name, usual) in enumerate(zip(names, limits.priorities, strict=True), 1):
        share = counts[level] / len(called) if called else 0.0
        # The lowest should make up most; of the others there should be no more than usual.
        ok = None if not called else share >= usual if level == 1 else share <= usual
        rows = [m.id for m in called if m.severity == level]
        figures[name] = Figure(value=share, limit=usual, ok=ok, rows=rows[:SHOWN], total=len(rows))
    return figures


async def read_figures(
    records: Records,
    since: int,
    until: int | None = None,
    *,
    limits: Limits | None = None,
    domain: str = "",
    within: ColumnElement[bool] | None = None,
) -> Figures:
    """The figures of a centre from `since` until `until` (µs; by default now), of one domain or of all; with
    `within`, of the alarms that meet it.

    Raises:
        InputError: the time is empty or too long, or a limit is out of bounds.
    """
    chosen = limits or Limits()
    if chosen.operators < 1 or chosen.period_us < SECOND_US:
        raise InputError("figures need at least one operator, and periods of a second or more", where="limits")
    now = now_us()
    end = now if until is None else until
    async with records.read() as connection:
        rows: list[tuple[Any, ...]] = await figures_rows(connection, since, end, domain, within)
        stale = await stale_rows(connection, now - chosen.stale_us, domain, within)
        names = await alarm_keys(connection, _most(Counter(row[1] for row in rows if row[3]), chosen.top))
    return await asyncio.to_thread(lambda: assess([Moment(*row) for row in rows], stale, since, end, chosen, names))

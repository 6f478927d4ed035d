"""Figures of response: how soon incidents are acknowledged and resolved, what is late, what piles up.

Every figure is a condition over incidents, so each opens to the incidents behind it (`incidents_behind`). An
incident that was merged counts with the one that took it over. An incident is *late* when one of its tasks missed
its deadline, *on time* when it was resolved, had tasks with deadlines, and none was missed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import sqlalchemy as sa

from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.respond.incidents.model import Incident
from thap.respond.incidents.records import incident_of, incidents
from thap.respond.incidents.states import LIVE, IncidentState
from thap.respond.procedures.records import tasks

__all__ = [
    "Behind",
    "By",
    "Figure",
    "Group",
    "ResponseFigures",
    "Span",
    "incidents_behind",
    "read_response",
]

By = Literal["unit", "domain", "commune", "severity"]
Figure = Literal[
    "opened",
    "acknowledged",
    "unacknowledged",
    "resolved",
    "on_time",
    "late",
    "reopened",
    "rejected",
    "backlog",
    "backlog_1d",
    "backlog_3d",
    "backlog_7d",
    "backlog_30d",
    "backlog_older",
]
"""What can be counted. `backlog…` are the incidents that are live now, by age; all others are of those opened in the
period."""

_AGES = (("backlog_1d", 0, 1), ("backlog_3d", 1, 3), ("backlog_7d", 3, 7), ("backlog_30d", 7, 30))
_MOST_ROWS = 1_000_000
_I, _T = incidents.c, tasks.c
_LATE = sa.exists().where(_T.incident_id == _I.id, _T.late.is_not(None))
_TIMED = sa.exists().where(_T.incident_id == _I.id, _T.within > 0)
_COUNTED = _I.state != IncidentState.MERGED
_LIVE = _I.state.in_(sorted(LIVE))
_RESOLVED = sa.and_(_I.resolved.is_not(None), _I.state.in_((IncidentState.RESOLVED, IncidentState.CLOSED)))


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Lengths of time, in seconds."""

    count: int
    median_s: float | None
    """Half took no longer; None where there is none."""
    p90_s: float | None
    """Nine of ten took no longer."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one unit, domain, commune or severity; of all of them together where `key` is None."""

    key: str | None
    opened: int
    acknowledged: Span
    """From opening to acknowledgement."""
    unacknowledged: int
    resolved: Span
    """From opening to resolution."""
    on_time: int
    late: int
    reopened: int
    rejected: int
    backlog: dict[str, int]
    """Live now: `backlog` in all, and by age in days (`backlog_1d` under a day, `backlog_3d` one to three, …)."""
    oldest_s: float | None
    """Age of the oldest live one, seconds."""


class ResponseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of response over a period."""

    since: int
    until: int
    by: By
    total: Group
    groups: Sequence[Group]
    """Most opened first."""


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the incidents behind a figure, the newest first."""

    items: Sequence[Incident]
    total: int
    next: int | None
    """Give it as `after` for the next page."""


def _condition(figure: Figure, since: int, until: int, now: int) -> sa.ColumnElement[bool]:
    within = sa.and_(_COUNTED, _I.opened >= since, _I.opened < until)
    if figure == "backlog":
        return _LIVE
    for name, least, most in _AGES:
        if figure == name:
            younger = _I.opened > now - most * DAY_US
            return sa.and_(_LIVE, younger, _I.opened <= now - least * DAY_US if least else sa.true())
    narrower: dict[str, sa.ColumnElement[bool]] = {
        "opened": sa.true(),
        "acknowledged": _I.acknowledged.is_not(None),
        "unacknowledged": sa.and_(_I.acknowledged.is_(None), _LIVE),
        "resolved": _RESOLVED,
        "on_time": sa.and_(_RESOLVED, _TIMED, sa.not_(_LATE)),
        "late": _LATE,
        "reopened": _I.reopened > 0,
        "rejected": _I.state == IncidentState.REJECTED,
    }
    if figure == "backlog_older":
        return sa.and_(_LIVE, _I.opened <= now - _AGES[-1][2] * DAY_US)
    return sa.and_(within, narrower[figure])


async def read_response(
    records: Records, since: int, until: int, where: sa.ColumnElement[bool], by: By = "unit", now: int | None = None
) -> ResponseFigures:
    """The figures of the incidents opened in a period, and of what is live now.

    Args:
        records: where incidents are.
        since, until: the period, µs, its end excluded.
        where: the incidents this person may see (of `Policy.where`).
        by: what they are grouped by.
        now: what ages are counted to, µs; by default the clock's.

    Raises:
        InputError: the period is empty, or has more than a million incidents.
    """
    if by not in get_args(By):
        raise InputError(f"{by!r} is no group", where="by", hint=f"one of {', '.join(get_args(By))}")
    if since >= until:
        raise InputError("the period ends before it begins", where="since")
    moment = now_us() if now is None else now
    key = _I[by]
    flags = [
        sa.case((_condition(figure, since, until, moment), 1), else_=0).label(figure)
        for figure in ("on_time", "late", "rejected", "unacknowledged")
    ]
    opened = _condition("opened", since, until, moment)
    statement = sa.select(key, _I.opened, _I.acknowledged, _I.resolved, _I.reopened, _I.state, *flags)
    async with records.read() as connection:
        found = await connection.execute(statement.where(where, opened).limit(_MOST_ROWS + 1))
        rows = found.all()
        waiting = (await connection.execute(sa.select(key, _I.opened).where(where, _LIVE))).all()
    if len(rows) > _MOST_ROWS:
        raise InputError(
            f"more than {_MOST_ROWS:,} incidents were opened in this period", where="since", hint="choose a shorter one"
        )
    apart: dict[str, tuple[list[Any], list[int]]] = defaultdict(lambda: ([], []))
    for row in rows:
        apart[str(row[0])][0].append(row)
    for row in waiting:
        apart[str(row[0])][1].append(row[1])
    groups = [_group(name, its, live, moment) for name, (its, live) in apart.items()]
    groups.sort(key=lambda group: (-group.opened, -group.backlog["backlog"], group.key or ""))
    total = _group(None, rows, [row[1] for row in waiting], moment)
    return ResponseFigures(since=since, until=until, by=by, total=total, groups=groups)


def _group(key: str | None, rows: Sequence[Any], waiting: Sequence[int], now: int) -> Group:
    ages = [now - opened for opened in waiting]
    backlog = {"backlog": len(ages)}
    for name, least, most in _AGES:
        backlog[name] = sum(age < most * DAY_US and (age >= least * DAY_US or least == 0) for age in ages)
    backlog["backlog_older"] = sum(age >= _AGES[-1][2] * DAY_US for age in ages)
    done = (IncidentState.RESOLVED, IncidentState.CLOSED)
    return Group(
        key=key,
        opened=len(rows),
        acknowledged=_span([row.acknowledged - row.opened for row in rows if row.acknowledged is not None]),
        unacknowledged=sum(row.unacknowledged for row in rows),
        resolved=_span([row.resolved - row.opened for row in rows if row.resolved is not None and row.state in done]),
        on_time=sum(row.on_time for row in rows),
        late=sum(row.late for row in rows),
        reopened=sum(row.reopened > 0 for row in rows),
        rejected=sum(row.rejected for row in rows),
        backlog=backlog,
        oldest_s=round(max(ages) / 1e6, 1) if ages else None,
    )


def _span(lengths: Sequence[int]) -> Span:
    if not lengths:
        return Span(count=0, median_s=None, p90_s=None)
    seconds = np.array(lengths, np.float64) / 1e6
    half, most = np.percentile(seconds, [50, 90])
    return Span(count=len(lengths), median_s=round(float(half), 1), p90_s=round(float(most), 1))


async def incidents_behind(
    records: Records,
    figure: Figure,
    since: int,
    until: int,
    where: sa.ColumnElement[bool],
    *,
    by: By = "unit",
    key: str | None = None,
    limit: int = 100,
    after: int | None = None,
    now: int | None = None,
) -> Behind:
    """The incidents a figure counts.

    Args:
        records: where incidents are.
        figure: which.
        since, until: the period, as given to `read_response`.
        where: the incidents this person may see.
        by, key: the group; None for all together.
        limit: of a page, 1 to 1,000.
        after: `next` of the page before.
        now: as given to `read_response`.

    Raises:
        InputError: there is no such figure, or an argument is out of bounds.
    """
    if figure not in get_args(Figure):
        raise InputError(f"{figure!r} is no figure", where="figure", hint=f"one of {', '.join(get_args(Figure))}")
    if not 1 <= limit <= 1000:
        raise InputError("a page has 1 to 1000 incidents", where="limit")
    tests = [where, _condition(figure, since, until, now_us() if now is None else now)]
    if key is not None:
        column = _I[by]
        if by == "severity" and not key.isdigit():
            raise InputError(f"{key!r} is not a severity", where="key", hint="1 to 4")
        tests.append(column == (int(key) if by == "severity" else key))
    async with records.read() as connection:
        total = await connection.scalar(sa.select(sa.func.count()).select_from(incidents).where(*tests))
        if after is not None:
            tests.append(_I.id < after)
        found = await connection.execute(sa.select(incidents).where(*tests).order_by(_I.id.desc()).limit(limit + 1))
        rows = [dict(row) for row in found.mappings()]
    items = [incident_of(row) for row in rows[:limit]]
    return Behind(items=items, total=int(total or 0), next=items[-1].id if len(rows) > limit else None)

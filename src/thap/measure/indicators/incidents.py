"""Indicators of incidents and tasks; `of_domain` makes those that every domain has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from thap.kernel.clock import DAY_US
from thap.measure.indicators.model import Column, Indicator, Target, quantile, share
from thap.measure.indicators.sources import Selected
from thap.respond.incidents.listing import RESOURCE
from thap.respond.incidents.records import incidents
from thap.respond.incidents.states import LIVE, IncidentState
from thap.respond.procedures.model import TaskState
from thap.respond.procedures.records import RESOURCE as TASK_RESOURCE
from thap.respond.procedures.records import tasks

__all__ = ["INDICATORS", "of_domain"]

_I, _T = incidents.c, tasks.c
_LIVE = _I.state.in_(sorted(LIVE))
_LATE = sa.exists().where(_T.incident_id == _I.id, _T.late.is_not(None))
_LATE_NOW = sa.exists().where(
    _T.incident_id == _I.id, _T.late.is_not(None), _T.state.in_((TaskState.OPEN, TaskState.PAUSED))
)
_TIMED = sa.exists().where(_T.incident_id == _I.id, _T.within > 0)
_RESOLVED = sa.and_(_I.resolved.is_not(None), _I.state.in_((IncidentState.RESOLVED, IncidentState.CLOSED)))
_BOOK = {"vi": "Sổ vụ việc của trung tâm", "en": "The centre's incident book"}
_DEADLINES = "Thời hạn trong quy trình đang có hiệu lực: quá hạn là không đạt"

_COLUMNS = (
    Column("incident", {"vi": "Vụ việc", "en": "Incident"}, "incident"),
    Column("title", {"vi": "Nội dung", "en": "Title"}),
    Column("severity", {"vi": "Mức", "en": "Severity"}, "severity"),
    Column("state", {"vi": "Trạng thái", "en": "State"}, "state"),
    Column("domain", {"vi": "Lĩnh vực", "en": "Domain"}, "domain"),
    Column("unit", {"vi": "Đơn vị", "en": "Unit"}, "commune"),
    Column("opened", {"vi": "Mở lúc", "en": "Opened"}, "time"),
)
_ON_TIME = Column("on_time", {"vi": "Đúng hạn", "en": "On time"}, "yes")
_AGE = Column("age_s", {"vi": "Đã mở", "en": "Age"}, "length")
_TOOK = Column("took_s", {"vi": "Mất", "en": "Took"}, "length")
_TASKS = (
    Column("task", {"vi": "Việc", "en": "Task"}, "task"),
    Column("incident", {"vi": "Vụ việc", "en": "Incident"}, "incident"),
    Column("step", {"vi": "Bước", "en": "Step"}),
    Column("domain", {"vi": "Lĩnh vực", "en": "Domain"}, "domain"),
    Column("unit", {"vi": "Đơn vị", "en": "Unit"}, "commune"),
    Column("due", {"vi": "Hạn", "en": "Due"}, "time"),
)


def _rows(tests: Callable[[int], sa.ColumnElement[bool]], *more: Column, domain: str = "") -> Selected:
    """Incidents that meet a test, with columns beyond the usual ones."""

    def select(now: int) -> sa.Select[Any]:
        made = {
            "on_time": sa.not_(_LATE),
            "age_s": (sa.literal(now) - _I.opened) / sa.literal(1e6),
            "took_s": (_I.acknowledged - _I.opened) / sa.literal(1e6),
        }
        chosen = sa.select(
            _I.id,
            _I.id.label("incident"),
            _I.title,
            _I.severity,
            _I.state,
            _I.domain,
            _I.unit,
            _I.opened,
            *(made[column.name].label(column.name) for column in more),
        ).where(_I.state != IncidentState.MERGED, tests(now))
        return chosen.where(_I.domain == domain) if domain else chosen

    return Selected((*_COLUMNS, *more), select, RESOURCE)


def _done(now: int) -> sa.ColumnElement[bool]:
    """Resolved within thirty days, and with deadlines."""
    return sa.and_(_RESOLVED, _I.resolved >= now - 30 * DAY_US, _TIMED)


def _late_tasks(_now: int) -> sa.Select[Any]:
    return sa.select(
        _T.id, _T.id.label("task"), _T.incident_id.label("incident"), _T.step, _T.domain, _T.unit, _T.due
    ).where(_T.late.is_not(None), _T.state.in_((TaskState.OPEN, TaskState.PAUSED)))


def of_domain(domain: str) -> tuple[Indicator, ...]:
    """What every domain shows of its incidents: how many are open, how many of them late, the share done on time."""
    return (
        Indicator(
            id=f"{domain}.incidents_open",
            title={"vi": "Vụ việc đang mở", "en": "Open incidents"},
            meaning={
                "vi": "Số vụ việc của lĩnh vực này chưa giải quyết xong.",
                "en": "Incidents of this domain that are not resolved yet.",
            },
            rows=_rows(lambda _now: _LIVE, domain=domain),
            action="incident.read",
            source=_BOOK,
            domain=domain,
        ),
        Indicator(
            id=f"{domain}.incidents_on_time",
            title={"vi": "Giải quyết đúng hạn", "en": "Resolved on time"},
            meaning={
                "vi": "Trong các vụ việc của lĩnh vực đã giải quyết 30 ngày qua, có thời hạn: phần không trễ hạn nào.",
                "en": "Of this domain's incidents resolved in 30 days that had deadlines: the share that missed none.",
            },
            rows=_rows(_done, _ON_TIME, domain=domain),
            action="incident.read",
            source=_BOOK,
            reduce=share("on_time"),
            unit="%",
            digits=1,
            direction="higher",
            domain=domain,
            every_s=300,
        ),
    )


INDICATORS = (
    Indicator(
        id="incidents.open",
        title={"vi": "Vụ việc đang mở", "en": "Open incidents"},
        meaning={"vi": "Số vụ việc chưa giải quyết xong.", "en": "Incidents that are not resolved yet."},
        rows=_rows(lambda _now: _LIVE),
        action="incident.read",
        source=_BOOK,
        every_s=30,
    ),
    Indicator(
        id="incidents.unacknowledged",
        title={"vi": "Chưa ai nhận", "en": "Nobody has taken"},
        meaning={
            "vi": "Số vụ việc đang mở mà chưa đơn vị nào xác nhận đã nhận.",
            "en": "Open incidents that no unit has acknowledged.",
        },
        rows=_rows(lambda _now: sa.and_(_LIVE, _I.acknowledged.is_(None)), _AGE),
        action="incident.read",
        source=_BOOK,
        every_s=30,
    ),
    Indicator(
        id="incidents.late",
        title={"vi": "Vụ việc đang trễ hạn", "en": "Incidents late now"},
        meaning={
            "vi": "Số vụ việc đang mở có việc đã quá hạn mà chưa xong.",
            "en": "Open incidents with a task that is past its deadline and not done.",
        },
        rows=_rows(lambda _now: sa.and_(_LIVE, _LATE_NOW)),
        action="incident.read",
        source=_BOOK,
        target=Target(high=0, source=_DEADLINES),
    ),
    Indicator(
        id="incidents.tasks_late",
        title={"vi": "Việc quá hạn", "en": "Tasks late"},
        meaning={
            "vi": "Số việc chưa xong đã quá hạn, tính theo giờ làm việc.",
            "en": "Tasks not done that are past their deadline, counted in working hours.",
        },
        rows=Selected(_TASKS, _late_tasks, TASK_RESOURCE),
        action="incident.read",
        source={"vi": "Việc của các vụ việc", "en": "Tasks of incidents"},
        target=Target(high=0, source=_DEADLINES),
    ),
    Indicator(
        id="incidents.on_time",
        title={"vi": "Giải quyết đúng hạn", "en": "Resolved on time"},
        meaning={
            "vi": "Trong các vụ việc đã giải quyết 30 ngày qua và có thời hạn: phần không trễ hạn nào.",
            "en": "Of the incidents resolved in 30 days that had deadlines: the share that missed none.",
        },
        rows=_rows(_done, _ON_TIME),
        action="incident.read",
        source=_BOOK,
        reduce=share("on_time"),
        unit="%",
        digits=1,
        direction="higher",
        every_s=300,
    ),
    Indicator(
        id="incidents.backlog_age",
        title={"vi": "Tuổi vụ việc tồn, trung vị", "en": "Age of the backlog, median"},
        meaning={
            "vi": "Một nửa số vụ việc đang mở đã mở không lâu hơn thế.",
            "en": "Half of the open incidents have been open no longer.",
        },
        rows=_rows(lambda _now: _LIVE, _AGE),
        action="incident.read",
        source=_BOOK,
        reduce=quantile("age_s", 0.5),
        unit="s",
    ),
    Indicator(
        id="incidents.acknowledged_p50",
        title={"vi": "Thời gian nhận việc, trung vị", "en": "Time to take, median"},
        meaning={
            "vi": "Một nửa số vụ việc mở trong 30 ngày qua được xác nhận không lâu hơn thế.",
            "en": "Half of the incidents opened in 30 days were acknowledged no later.",
        },
        rows=_rows(lambda now: sa.and_(_I.opened >= now - 30 * DAY_US, _I.acknowledged.is_not(None)), _TOOK),
        action="incident.read",
        source=_BOOK,
        reduce=quantile("took_s", 0.5),
        unit="s",
        every_s=300,
    ),
    Indicator(
        id="incidents.reopened",
        title={"vi": "Bị mở lại", "en": "Reopened"},
        meaning={
            "vi": "Số vụ việc mở trong 30 ngày qua đã phải mở lại ít nhất một lần.",
            "en": "Incidents opened in 30 days that had to be reopened at least once.",
        },
        rows=_rows(lambda now: sa.and_(_I.opened >= now - 30 * DAY_US, _I.reopened > 0)),
        action="incident.read",
        source=_BOOK,
        every_s=300,
    ),
)

"""Indicators of citizens' reports. Who sent a report, and what it says, is in none of their rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from thap.kernel.clock import DAY_US
from thap.kernel.policy import Resource
from thap.measure.indicators.model import Column, Indicator, quantile, share
from thap.measure.indicators.sources import Selected
from thap.services.reports.life import OPEN, State
from thap.services.reports.records import reports

__all__ = ["INDICATORS"]

_R = reports.c
_RESOURCE = Resource((_R.unit, _R.commune), _R.domain)
_BOOK = {"vi": "Phản ánh hiện trường của người dân", "en": "Citizens' reports"}
_COLUMNS = (
    Column("report", {"vi": "Phản ánh", "en": "Report"}, "report"),
    Column("service", {"vi": "Loại việc", "en": "Service"}),
    Column("state", {"vi": "Trạng thái", "en": "State"}, "state"),
    Column("domain", {"vi": "Lĩnh vực", "en": "Domain"}, "domain"),
    Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
    Column("received", {"vi": "Nhận lúc", "en": "Received"}, "time"),
)
_EXPECTED = Column("expected", {"vi": "Hẹn trả lời", "en": "Promised for"}, "time")
_ON_TIME = Column("on_time", {"vi": "Đúng hẹn", "en": "On time"}, "yes")
_STARS = Column("satisfaction", {"vi": "Hài lòng", "en": "Satisfaction"}, "number")
_CONTENT = Column("content", {"vi": "Hài lòng (4–5)", "en": "Satisfied (4–5)"}, "yes")


def _rows(tests: Callable[[int], sa.ColumnElement[bool]], *more: Column) -> Selected:
    made = {
        "expected": _R.expected,
        "on_time": _R.closed <= _R.expected,
        "satisfaction": _R.satisfaction,
        "content": _R.satisfaction >= 4,
    }

    def select(now: int) -> sa.Select[Any]:
        columns = (_R.id, _R.id.label("report"), _R.service, _R.state, _R.domain, _R.commune, _R.received)
        return sa.select(*columns, *(made[one.name].label(one.name) for one in more)).where(tests(now))

    return Selected((*_COLUMNS, *more), select, _RESOURCE)


def _answered(now: int) -> sa.ColumnElement[bool]:
    return sa.and_(_R.state == State.DONE, _R.closed >= now - 30 * DAY_US, _R.expected.is_not(None))


def _rated(now: int) -> sa.ColumnElement[bool]:
    return sa.and_(_R.satisfaction.is_not(None), _R.closed >= now - 30 * DAY_US)


INDICATORS = (
    Indicator(
        id="reports.waiting",
        title={"vi": "Phản ánh chờ xem", "en": "Reports nobody has looked at"},
        meaning={
            "vi": "Số phản ánh vừa nhận, chưa ai xem.",
            "en": "Reports received that nobody has looked at yet.",
        },
        rows=_rows(lambda _now: _R.state == State.RECEIVED),
        action="report.read",
        source=_BOOK,
    ),
    Indicator(
        id="reports.open",
        title={"vi": "Phản ánh chưa trả lời", "en": "Reports not answered"},
        meaning={
            "vi": "Số phản ánh đã nhận hoặc đang xử lý, chưa trả lời người gửi.",
            "en": "Reports received or being worked on that are not answered yet.",
        },
        rows=_rows(lambda _now: _R.state.in_(sorted(OPEN)), _EXPECTED),
        action="report.read",
        source=_BOOK,
    ),
    Indicator(
        id="reports.overdue",
        title={"vi": "Quá hẹn trả lời", "en": "Promise broken"},
        meaning={
            "vi": "Số phản ánh chưa trả lời mà thời điểm đã hẹn với người gửi đã qua.",
            "en": "Reports not answered although the time promised to the sender has passed.",
        },
        rows=_rows(lambda now: sa.and_(_R.state.in_(sorted(OPEN)), _R.expected < now), _EXPECTED),
        action="report.read",
        source=_BOOK,
    ),
    Indicator(
        id="reports.on_time",
        title={"vi": "Trả lời đúng hẹn", "en": "Answered on time"},
        meaning={
            "vi": "Trong các phản ánh đã trả lời 30 ngày qua và có hẹn: phần trả lời không muộn hơn hẹn.",
            "en": "Of the reports answered in 30 days that had a promised time: the share answered by then.",
        },
        rows=_rows(_answered, _EXPECTED, _ON_TIME),
        action="report.read",
        source=_BOOK,
        reduce=share("on_time"),
        unit="%",
        digits=1,
        direction="higher",
        every_s=300,
    ),
    Indicator(
        id="reports.satisfied",
        title={"vi": "Người dân hài lòng", "en": "Citizens satisfied"},
        meaning={
            "vi": "Trong các phản ánh được người gửi đánh giá, đã đóng 30 ngày qua: phần cho 4 hoặc 5 trên 5.",
            "en": "Of the reports closed in 30 days that their senders rated: the share rated 4 or 5 of 5.",
        },
        rows=_rows(_rated, _STARS, _CONTENT),
        action="report.read",
        source=_BOOK,
        reduce=share("content"),
        unit="%",
        digits=1,
        direction="higher",
        every_s=300,
    ),
    Indicator(
        id="reports.satisfaction",
        title={"vi": "Điểm hài lòng, trung vị", "en": "Satisfaction, median"},
        meaning={
            "vi": "Trung vị điểm người gửi cho (1 đến 5), các phản ánh đóng trong 30 ngày qua.",
            "en": "Median of the marks (1 to 5) that senders gave, of reports closed in 30 days.",
        },
        rows=_rows(_rated, _STARS),
        action="report.read",
        source=_BOOK,
        reduce=quantile("satisfaction", 0.5),
        digits=1,
        direction="higher",
        every_s=300,
    ),
)

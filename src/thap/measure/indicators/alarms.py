"""Indicators of the alarm system: what calls, how fast it is answered, whether it floods its operator."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from thap.kernel.clock import DAY_US, HOUR_US
from thap.kernel.policy import Resource
from thap.measure.indicators.model import Column, Indicator, Target, quantile
from thap.measure.indicators.sources import Selected
from thap.respond.figures import Limits
from thap.respond.isa_18_2 import State
from thap.respond.records import alarm_transitions, alarms

__all__ = ["ALARM_COLUMNS", "ALARM_RESOURCE", "INDICATORS", "alarm_rows"]

_A, _T = alarms.c, alarm_transitions.c
ALARM_RESOURCE = Resource((_A.commune,), _A.domain, _A.source)
"""What policy looks at."""
_LIMITS = Limits()
_CALLING = (State.UNACKNOWLEDGED, State.RETURNED_UNACKNOWLEDGED)
_STANDING = (*_CALLING, State.ACKNOWLEDGED)
_BOOK = {"vi": "Sổ báo động của trung tâm", "en": "The centre's alarm book"}
_ISA = "ANSI/ISA-18.2-2016, điều 16; EEMUA 191"

ALARM_COLUMNS = (
    Column("alarm", {"vi": "Báo động", "en": "Alarm"}, "alarm"),
    Column("condition", {"vi": "Điều kiện", "en": "Condition"}),
    Column("severity", {"vi": "Mức", "en": "Severity"}, "severity"),
    Column("source", {"vi": "Nguồn", "en": "Source"}, "thing"),
    Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
    Column("time", {"vi": "Từ lúc", "en": "Since"}, "time"),
)
_CALLED = (
    Column("alarm", {"vi": "Báo động", "en": "Alarm"}, "alarm"),
    Column("condition", {"vi": "Điều kiện", "en": "Condition"}),
    Column("severity", {"vi": "Mức", "en": "Severity"}, "severity"),
    Column("source", {"vi": "Nguồn", "en": "Source"}, "thing"),
    Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
    Column("time", {"vi": "Lúc", "en": "At"}, "time"),
)
_ANSWERED = (
    *_CALLED[:-1],
    Column("time", {"vi": "Xác nhận lúc", "en": "Acknowledged at"}, "time"),
    Column("by", {"vi": "Người xác nhận", "en": "By"}),
    Column("took_s", {"vi": "Mất", "en": "Took"}, "length"),
)


def alarm_rows(*tests: sa.ColumnElement[bool]) -> Selected:
    """Alarms that meet all tests, as rows of an indicator."""
    statement = sa.select(
        _A.id, _A.id.label("alarm"), _A.condition, _A.severity, _A.source, _A.commune, _A.raised.label("time")
    ).where(*tests)
    return Selected(ALARM_COLUMNS, lambda _now: statement, ALARM_RESOURCE)


def _stale(now: int) -> sa.Select[Any]:
    return sa.select(
        _A.id, _A.id.label("alarm"), _A.condition, _A.severity, _A.source, _A.commune, _A.announced.label("time")
    ).where(_A.state.in_(_STANDING), _A.announced < now - _LIMITS.stale_us)


def _called(length_us: int) -> Selected:
    """Calls on the operator in the latest stretch of time."""

    def select(now: int) -> sa.Select[Any]:
        return (
            sa.select(
                _T.id,
                _A.id.label("alarm"),
                _A.condition,
                _T.severity,
                _A.source,
                _A.commune,
                _T.recorded_at.label("time"),
            )
            .join_from(alarm_transitions, alarms)
            .where(_T.recorded_at >= now - length_us, _T.annunciated, _T.action.in_(("raise", "escalate")))
        )

    return Selected(_CALLED, select, ALARM_RESOURCE)


def _acknowledged(now: int) -> sa.Select[Any]:
    """Acknowledgements of thirty days, each with the time since the call before it."""
    call = alarm_transitions.alias("call")
    called = (
        sa.select(sa.func.max(call.c.recorded_at))
        .where(
            call.c.alarm_id == _T.alarm_id,
            call.c.id < _T.id,
            call.c.annunciated,
            call.c.action.in_(("raise", "escalate")),
        )
        .correlate(alarm_transitions)
        .scalar_subquery()
    )
    return (
        sa.select(
            _T.id,
            _A.id.label("alarm"),
            _A.condition,
            _T.severity,
            _A.source,
            _A.commune,
            _T.recorded_at.label("time"),
            _T.by,
            ((_T.recorded_at - called) / sa.literal(1e6)).label("took_s"),
        )
        .join_from(alarm_transitions, alarms)
        .where(_T.action == "acknowledge", _T.recorded_at >= now - 30 * DAY_US)
    )


_ANSWERS = Selected(_ANSWERED, _acknowledged, ALARM_RESOURCE)

INDICATORS = (
    Indicator(
        id="alarms.open",
        title={"vi": "Báo động đang mở", "en": "Open alarms"},
        meaning={
            "vi": "Số báo động đang gọi trực ban hoặc đã xác nhận mà điều kiện còn đúng.",
            "en": "Alarms that call the operator, or are acknowledged while their condition still holds.",
        },
        rows=alarm_rows(_A.state.in_(_STANDING)),
        action="alarm.read",
        source=_BOOK,
        every_s=30,
    ),
    Indicator(
        id="alarms.unacknowledged",
        title={"vi": "Chưa xác nhận", "en": "Unacknowledged"},
        meaning={
            "vi": "Số báo động đang chờ trực ban xác nhận.",
            "en": "Alarms that wait for the operator's acknowledgement.",
        },
        rows=alarm_rows(_A.state.in_(_CALLING)),
        action="alarm.read",
        source=_BOOK,
        every_s=30,
    ),
    Indicator(
        id="alarms.critical",
        title={"vi": "Nghiêm trọng, chưa xác nhận", "en": "Critical and unacknowledged"},
        meaning={
            "vi": "Số báo động mức nghiêm trọng đang chờ xác nhận.",
            "en": "Alarms of the highest severity that wait for acknowledgement.",
        },
        rows=alarm_rows(_A.state.in_(_CALLING), _A.severity == 4),
        action="alarm.read",
        source=_BOOK,
        every_s=30,
    ),
    Indicator(
        id="alarms.stale",
        title={"vi": "Tồn quá 24 giờ", "en": "Standing over 24 hours"},
        meaning={
            "vi": "Số báo động đã đứng yên hơn 24 giờ: việc cần xử lý gốc, không phải việc cần nhìn.",
            "en": "Alarms that have stood for more than 24 hours: a cause to be mended, not a sight to get used to.",
        },
        rows=Selected(ALARM_COLUMNS, _stale, ALARM_RESOURCE),
        action="alarm.read",
        source=_BOOK,
        target=Target(high=_LIMITS.stale_acceptable - 1, source=_ISA),
        every_s=300,
    ),
    Indicator(
        id="alarms.in_10_min",
        title={"vi": "Báo trong 10 phút qua", "en": "Calls in the last 10 minutes"},
        meaning={
            "vi": "Số lần trực ban bị gọi trong mười phút vừa qua. Trên 10 là lũ báo động: không ai theo kịp.",
            "en": "Calls on the operator in the last ten minutes. Above 10 it is a flood nobody keeps up with.",
        },
        rows=_called(_LIMITS.period_us),
        action="alarm.read",
        source=_BOOK,
        target=Target(high=_LIMITS.peak_acceptable, source=_ISA),
        every_s=30,
    ),
    Indicator(
        id="alarms.in_hour",
        title={"vi": "Báo trong một giờ qua", "en": "Calls in the last hour"},
        meaning={
            "vi": "Số lần trực ban bị gọi trong một giờ vừa qua; khoảng 6 lần mỗi giờ là mức chấp nhận được lâu dài.",
            "en": "How often the operator was called in the last hour; about 6 is acceptable in the long run.",
        },
        rows=_called(HOUR_US),
        action="alarm.read",
        source=_BOOK,
        target=Target(high=6 * _LIMITS.average_acceptable, source=_ISA),
    ),
    Indicator(
        id="alarms.acknowledged_p50",
        title={"vi": "Thời gian xác nhận, trung vị", "en": "Time to acknowledge, median"},
        meaning={
            "vi": "Trong 30 ngày qua, một nửa số lần xác nhận không lâu hơn thế, tính từ lúc trực ban bị gọi.",
            "en": "Over 30 days, half of all acknowledgements took no longer, from the call on the operator.",
        },
        rows=_ANSWERS,
        action="alarm.read",
        source=_BOOK,
        reduce=quantile("took_s", 0.5),
        unit="s",
        every_s=300,
    ),
    Indicator(
        id="alarms.acknowledged_p95",
        title={"vi": "Thời gian xác nhận, 95 %", "en": "Time to acknowledge, 95 %"},
        meaning={
            "vi": "Trong 30 ngày qua, 95 % số lần xác nhận không lâu hơn thế, tính từ lúc trực ban bị gọi.",
            "en": "Over 30 days, 95 % of all acknowledgements took no longer, from the call on the operator.",
        },
        rows=_ANSWERS,
        action="alarm.read",
        source=_BOOK,
        reduce=quantile("took_s", 0.95),
        unit="s",
        every_s=300,
    ),
)

"""River sand on the wall: dredgers heard, and what they did against their licence."""

from __future__ import annotations

from thap.measure.indicators.alarms import alarm_rows
from thap.measure.indicators.incidents import of_domain
from thap.measure.indicators.latest import movers_heard
from thap.measure.indicators.model import Indicator, share
from thap.respond.records import alarms

__all__ = ["INDICATORS"]

_A = alarms.c
_POSITIONS = {"vi": "Thiết bị giám sát hành trình và AIS", "en": "Trackers and AIS"}
_RULES = {"vi": "Báo động của luật cát sông", "en": "Alarms of the river-sand rules"}

INDICATORS = (
    Indicator(
        id="sand.dredgers_reporting",
        title={"vi": "Tàu hút cát đang gửi vị trí", "en": "Dredgers reporting"},
        meaning={
            "vi": "Trong các tàu hút cát được canh mất tin: phần đã gửi vị trí trong thời gian luật cho phép im lặng.",
            "en": "Of the dredgers that a silence rule watches: the share heard within what the rule allows.",
        },
        rows=movers_heard("dredger"),
        action="thing.read",
        source=_POSITIONS,
        reduce=share("reporting"),
        unit="%",
        digits=0,
        direction="higher",
        domain="sand",
    ),
    Indicator(
        id="sand.outside",
        title={"vi": "Đang nghi khai thác sai chỗ", "en": "Dredging out of place now"},
        meaning={
            "vi": "Số báo động đang đúng về tàu hút cát dừng ngoài khu mỏ và bến đậu.",
            "en": "Active alarms of dredgers at rest outside mine and berth.",
        },
        rows=alarm_rows(_A.condition == "sand.dredging_outside", _A.active),
        action="alarm.read",
        source=_RULES,
        domain="sand",
    ),
    Indicator(
        id="sand.at_night",
        title={"vi": "Đang nghi khai thác ngoài giờ", "en": "Dredging out of hours now"},
        meaning={
            "vi": "Số báo động đang đúng về khai thác cát ngoài giờ cho phép (05:00–19:00, NĐ 10/2025).",
            "en": "Active alarms of dredging outside the allowed hours (05:00–19:00, NĐ 10/2025).",
        },
        rows=alarm_rows(_A.condition == "sand.dredging_at_night", _A.active),
        action="alarm.read",
        source=_RULES,
        domain="sand",
    ),
    *of_domain("sand"),
)

"""Traffic on the wall: the slowest road, ferries heard, vessels where none may be."""

from __future__ import annotations

from thap.kernel.clock import HOUR_US
from thap.measure.indicators.alarms import alarm_rows
from thap.measure.indicators.incidents import of_domain
from thap.measure.indicators.latest import movers_heard, values_now
from thap.measure.indicators.model import Indicator, lowest, share
from thap.respond.records import alarms

__all__ = ["INDICATORS"]

_A = alarms.c

INDICATORS = (
    Indicator(
        id="traffic.slowest",
        title={"vi": "Tốc độ dòng xe thấp nhất", "en": "Slowest traffic"},
        meaning={
            "vi": "Tốc độ trung bình thấp nhất trong các điểm đếm có số đo trong một giờ qua.",
            "en": "The lowest mean speed of the counting points heard within an hour.",
        },
        rows=values_now("mean_speed", unit="km/h", within_us=HOUR_US),
        action="thing.read",
        source={"vi": "Camera đếm xe", "en": "Counting cameras"},
        reduce=lowest("value"),
        unit="km/h",
        digits=0,
        direction="higher",
        domain="traffic",
    ),
    Indicator(
        id="traffic.congested",
        title={"vi": "Điểm đang ùn tắc", "en": "Places congested"},
        meaning={
            "vi": "Số điểm đang có báo động dòng xe gần như đứng yên.",
            "en": "Places with an active alarm of traffic nearly at a standstill.",
        },
        rows=alarm_rows(_A.condition == "traffic.congestion", _A.active),
        action="alarm.read",
        source={"vi": "Báo động của luật giao thông", "en": "Alarms of the traffic rules"},
        domain="traffic",
    ),
    Indicator(
        id="traffic.ferries_reporting",
        title={"vi": "Phà đang gửi vị trí", "en": "Ferries reporting"},
        meaning={
            "vi": "Trong các phà được canh mất tin: phần đã gửi vị trí trong thời gian luật cho phép im lặng.",
            "en": "Of the ferries that a silence rule watches: the share heard within what the rule allows.",
        },
        rows=movers_heard("ferry"),
        action="thing.read",
        source={"vi": "Thiết bị giám sát hành trình", "en": "Trackers"},
        reduce=share("reporting"),
        unit="%",
        digits=0,
        direction="higher",
        domain="traffic",
    ),
    Indicator(
        id="traffic.restricted_zone",
        title={"vi": "Phương tiện trong vùng cấm", "en": "Vessels in a closed zone"},
        meaning={
            "vi": "Số báo động đang đúng về phương tiện trong vùng cấm quanh trụ cầu.",
            "en": "Active alarms of vessels in the closed zone around bridge piers.",
        },
        rows=alarm_rows(_A.condition == "traffic.restricted_zone", _A.active),
        action="alarm.read",
        source={"vi": "Báo động của luật giao thông", "en": "Alarms of the traffic rules"},
        domain="traffic",
    ),
    *of_domain("traffic"),
)

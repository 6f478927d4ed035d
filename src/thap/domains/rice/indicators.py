"""Rice pests on the wall: what light traps caught last night, and which traps counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from thap.domains.rice.records import ADVICE, SURVEY, advice, surveys, zones
from thap.kernel.clock import HOUR_US, VIETNAM, from_us
from thap.measure.indicators.incidents import of_domain
from thap.measure.indicators.latest import values_now
from thap.measure.indicators.model import COUNT, Column, Indicator, Target, highest, quantile
from thap.measure.indicators.sources import Selected

__all__ = ["INDICATORS"]

_TRAPS = {"vi": "Bẫy đèn", "en": "Light traps"}
_NIGHT = values_now("planthopper_catch", unit="con", within_us=30 * HOUR_US)
"""One count a night, and six hours of grace."""

_ADVICE = (
    Column("zone", {"vi": "Tiểu vùng", "en": "Zone"}),
    Column("peak", {"vi": "Đỉnh bẫy", "en": "Peak"}),
    Column("sow_from", {"vi": "Gieo từ", "en": "Sow from"}),
    Column("sow_to", {"vi": "Gieo đến", "en": "Sow until"}),
)
_SURVEYS = (
    Column("surveyed", {"vi": "Ngày", "en": "Day"}),
    Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
    Column("pest", {"vi": "Đối tượng", "en": "Pest"}),
    Column("created_by", {"vi": "Người báo", "en": "By"}),
)


def _drafts(_now: int) -> sa.Select[Any]:
    a = advice.c
    return (
        sa.select(a.id, zones.c.name.label("zone"), a.peak, a.sow_from, a.sow_to)
        .join_from(advice, zones)
        .where(a.state == "draft")
    )


def _surveyed(now: int) -> sa.Select[Any]:
    s = surveys.c
    since = (from_us(now).astimezone(VIETNAM).date() - timedelta(days=6)).isoformat()
    return sa.select(s.id, s.surveyed, s.commune, s.pest, s.created_by).where(
        s.surveyed >= since, s.replaced_by.is_(None)
    )


INDICATORS = (
    Indicator(
        id="rice.catch_highest",
        title={"vi": "Rầy nâu vào đèn, cao nhất", "en": "Planthoppers in a trap, most"},
        meaning={
            "vi": "Số rầy nâu nhiều nhất ở một bẫy đèn đêm qua (số liệu không cũ hơn 30 giờ).",
            "en": "The most brown planthoppers in one light trap last night (at most 30 hours old).",
        },
        rows=_NIGHT,
        action="thing.read",
        source=_TRAPS,
        reduce=highest("value"),
        unit="con",
        target=Target(
            high=500, warn_high=1500, source="500 và 1.500 con mỗi bẫy mỗi đêm: đề xuất, cơ quan BVTV điều chỉnh"
        ),
        domain="rice",
        every_s=300,
    ),
    Indicator(
        id="rice.catch_common",
        title={"vi": "Rầy nâu vào đèn, phổ biến", "en": "Planthoppers in a trap, median"},
        meaning={
            "vi": "Trung vị số rầy nâu ở các bẫy đèn đêm qua (số liệu không cũ hơn 30 giờ).",
            "en": "Median of brown planthoppers in the light traps last night (at most 30 hours old).",
        },
        rows=_NIGHT,
        action="thing.read",
        source=_TRAPS,
        reduce=quantile("value", 0.5),
        unit="con",
        direction="none",
        domain="rice",
        every_s=300,
    ),
    Indicator(
        id="rice.traps_counted",
        title={"vi": "Bẫy đèn có số liệu", "en": "Traps that counted"},
        meaning={
            "vi": "Số bẫy đèn đã gửi số đếm trong 30 giờ qua.",
            "en": "Light traps that sent a count within 30 hours.",
        },
        rows=_NIGHT,
        action="thing.read",
        source=_TRAPS,
        reduce=COUNT,
        direction="higher",
        domain="rice",
        every_s=300,
    ),
    Indicator(
        id="rice.advice_waiting",
        title={"vi": "Khuyến cáo gieo sạ chờ duyệt", "en": "Sowing advice to approve"},
        meaning={
            "vi": "Khuyến cáo gieo sạ né rầy hệ thống đã soạn mà cán bộ bảo vệ thực vật chưa duyệt.",
            "en": "Sowing advice that was drafted and that the plant-protection officer has not approved yet.",
        },
        rows=Selected(_ADVICE, _drafts, ADVICE),
        action="register.read",
        source={"vi": "Sổ khuyến cáo", "en": "Register of advice"},
        reduce=COUNT,
        domain="rice",
        every_s=300,
    ),
    Indicator(
        id="rice.surveys_week",
        title={"vi": "Phiếu điều tra 7 ngày", "en": "Surveys of 7 days"},
        meaning={
            "vi": "Số phiếu điều tra đồng ruộng có ngày điều tra trong 7 ngày qua, phiếu đã sửa không tính.",
            "en": "Field surveys of the last 7 days; those that were corrected are not counted.",
        },
        rows=Selected(_SURVEYS, _surveyed, SURVEY),
        action="register.read",
        source={"vi": "Phiếu điều tra, BC7N", "en": "Field surveys, weekly reports"},
        reduce=COUNT,
        direction="higher",
        domain="rice",
        every_s=300,
    ),
    *of_domain("rice"),
)

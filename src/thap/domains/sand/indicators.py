"""River sand on the wall: dredgers heard, and what they did against their licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.sand.evidence import words_of
from thap.domains.sand.ledger import Factors
from thap.domains.sand.ledger_records import VIOLATION_RESOURCE, accounts
from thap.domains.sand.model import Kind, StayKind
from thap.domains.sand.records import DOMAIN, ENTRY_RESOURCE, sand_stays, sand_violations
from thap.kernel.clock import DAY_US, HOUR_US
from thap.kernel.policy import Resource
from thap.measure.indicators.alarms import alarm_rows
from thap.measure.indicators.incidents import of_domain
from thap.measure.indicators.latest import movers_heard
from thap.measure.indicators.model import Column, Indicator, Target, highest, share, total
from thap.measure.indicators.sources import Asked, Listed, Selected
from thap.respond.records import alarms

__all__ = ["INDICATORS"]

_A = alarms.c
_POSITIONS = {"vi": "Thiết bị giám sát hành trình và AIS", "en": "Trackers and AIS"}
_RULES = {"vi": "Báo động của luật cát sông", "en": "Alarms of the river-sand rules"}

_W, _S = sand_violations.c, sand_stays.c
_LEDGER = {"vi": "Sổ khối lượng: chuyến × dung tích × hệ số đầy khoang", "en": "Ledger: trips × hold × fill factor"}
_TRACKS = {"vi": "Hành vi suy từ vết đi", "en": "Behaviour found in tracks"}
_WEEK_US = 7 * DAY_US


class _Ledger(Listed):
    """Licences in force, with what left each mine this month and in all."""

    def __init__(self) -> None:
        columns = (
            Column("licence", {"vi": "Giấy phép", "en": "Licence"}),
            Column("name", {"vi": "Khu mỏ", "en": "Mine"}),
            Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
            Column("month_m3", {"vi": "Trong tháng", "en": "This month"}, "number", "m³"),
            Column("month_limit", {"vi": "Giới hạn tháng", "en": "Limit of the month"}, "number", "m³"),
            Column("month_share", {"vi": "So với tháng", "en": "Of the month"}, "number", "%"),
            Column("total_m3", {"vi": "Tổng đã lấy", "en": "Taken in all"}, "number", "m³"),
            Column("total_share", {"vi": "So với tổng", "en": "Of the total"}, "number", "%"),
            Column("used_up", {"vi": "Dự kiến hết", "en": "Used up"}),
        )
        super().__init__(columns, lambda _moment, _seen: ())

    async def _list(self, asked: Asked) -> Sequence[Mapping[str, Any]]:
        within = asked.policy.where(asked.who, asked.action, ENTRY_RESOURCE)
        async with asked.records.read() as connection:
            factors = Factors.of(await load_parameters(connection, domain(DOMAIN)))
            found = await accounts(connection, factors, within=within, now=asked.now, days=1)
        rows = []
        for one in found:
            month, whole = one.used["month"].m3, one.used["total"].m3
            limit, licensed = one.limits["month"], one.limits["total"]
            rows.append(
                {
                    "key": one.licence.key,
                    "licence": one.licence.body["number"],
                    "name": one.licence.body.get("name", ""),
                    "commune": one.licence.commune,
                    "month_m3": round(month, 1),
                    "month_limit": limit,
                    "month_share": round(100 * month / limit, 1) if limit else None,
                    "total_m3": round(whole, 1),
                    "total_share": round(100 * whole / licensed, 1) if licensed else None,
                    "used_up": (one.forecast.day if one.forecast else None) or "",
                }
            )
        return sorted(rows, key=lambda row: (-row["month_m3"], row["key"]))


def _violations(*kinds: Kind) -> Selected:
    """Violations that began in the last seven days."""
    columns = (
        Column("kind", {"vi": "Loại", "en": "Kind"}),
        Column("vessel", {"vi": "Phương tiện", "en": "Vessel"}, "mover"),
        Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
        Column("time", {"vi": "Bắt đầu", "en": "Began"}, "time"),
    )

    def select(now: int) -> sa.Select[Any]:
        statement = sa.select(_W.id, _W.kind, _W.vessel, _W.commune, _W.begin.label("time")).where(
            _W.begin >= now - _WEEK_US
        )
        return statement.where(_W.kind.in_([str(kind) for kind in kinds])) if kinds else statement

    return Selected(columns, select, VIOLATION_RESOURCE)


def _watched(now: int) -> sa.Select[Any]:
    hours = (_S.end - _S.begin) / sa.literal(float(HOUR_US))
    return sa.select(_S.id, _S.vessel, _S.commune, _S.begin.label("time"), hours.label("hours")).where(
        _S.kind == str(StayKind.DREDGING), _S.end >= now - _WEEK_US
    )


_WATCHED = Selected(
    (
        Column("vessel", {"vi": "Phương tiện", "en": "Vessel"}, "mover"),
        Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
        Column("time", {"vi": "Bắt đầu", "en": "Began"}, "time"),
        Column("hours", {"vi": "Số giờ", "en": "Hours"}, "number", "h"),
    ),
    _watched,
    Resource(units=(_S.commune,), domain=sa.literal(DOMAIN), thing=_S.vessel),
)
_BY_KIND = (
    ("outside_week", (Kind.OUTSIDE, Kind.FORBIDDEN, Kind.BANK), "sand.dredging_outside"),
    ("hours_week", (Kind.HOURS,), "sand.dredging_at_night"),
    ("unlisted_week", (Kind.UNLISTED, Kind.EXPIRED), "sand.dredging_unlisted"),
    ("silent_week", (Kind.SILENT, Kind.TWO_PLACES, Kind.RENAMED), "sand.mine_silent"),
    ("unloading_week", (Kind.UNLOADING,), "sand.unloading_unregistered"),
)
"""Id, kinds counted, and the kind whose name it has; near kinds are counted together."""


def _kind_indicator(name: str, kinds: tuple[Kind, ...], named: str) -> Indicator:
    vi, en = (words_of(language)["kinds"] for language in ("vi", "en"))
    listed = {
        "vi": "; ".join(vi[str(kind)].lower() for kind in kinds),
        "en": "; ".join(en[str(kind)].lower() for kind in kinds),
    }
    return Indicator(
        id=f"sand.{name}",
        title={"vi": f"{vi[named]}, 7 ngày", "en": f"{en[named]}, 7 days"},
        meaning={
            "vi": f"Số vi phạm bắt đầu trong bảy ngày qua: {listed['vi']}.",
            "en": f"Violations that began in the last seven days: {listed['en']}.",
        },
        rows=_violations(*kinds),
        action="register.read",
        source=_TRACKS,
        domain="sand",
        every_s=300,
    )


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
            "vi": "Số báo động đang đúng về tàu hút cát ngoài ranh giới mọi giấy phép.",
            "en": "Active alarms of dredging outside the boundary of every licence.",
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
            "vi": "Số báo động đang đúng về khai thác cát ngoài giờ ghi trong giấy phép (05:00–19:00 theo NĐ 10/2025).",
            "en": "Active alarms of dredging outside the hours of the licence (05:00–19:00 by NĐ 10/2025).",
        },
        rows=alarm_rows(_A.condition == "sand.dredging_at_night", _A.active),
        action="alarm.read",
        source=_RULES,
        domain="sand",
    ),
    Indicator(
        id="sand.month_m3",
        title={"vi": "Cát rời các mỏ trong tháng", "en": "Sand that left the mines this month"},
        meaning={
            "vi": "Tổng khối lượng ước tính trong tháng, mọi giấy phép còn hiệu lực; mỗi dòng so với giới hạn tháng.",
            "en": "Estimated quantity this month over all licences in force; each row against its month's limit.",
        },
        rows=_Ledger(),
        action="register.read",
        source=_LEDGER,
        reduce=total("month_m3"),
        unit="m³",
        direction="none",
        domain="sand",
        every_s=300,
    ),
    Indicator(
        id="sand.month_share",
        title={"vi": "Mỏ gần giới hạn tháng nhất", "en": "Nearest to its month's limit"},
        meaning={
            "vi": "Phần giới hạn tháng đã dùng của giấy phép dùng nhiều nhất.",
            "en": "Share of the month's limit used by the licence that used most of its own.",
        },
        rows=_Ledger(),
        action="register.read",
        source=_LEDGER,
        reduce=highest("month_share"),
        unit="%",
        target=Target(high=90, warn_high=100, source="giới hạn tháng ghi trong giấy phép; cảnh báo từ 90 %"),
        domain="sand",
        every_s=300,
    ),
    Indicator(
        id="sand.hours_watched",
        title={"vi": "Giờ hút cát theo dõi được, 7 ngày", "en": "Hours of dredging watched, 7 days"},
        meaning={
            "vi": "Tổng thời gian các tàu hút cát mà trung tâm nhìn thấy trong bảy ngày qua.",
            "en": "Time that vessels dredged within sight of the centre in the last seven days.",
        },
        rows=_WATCHED,
        action="register.read",
        source=_TRACKS,
        reduce=total("hours"),
        unit="h",
        digits=1,
        direction="none",
        domain="sand",
        every_s=300,
    ),
    *(_kind_indicator(*one) for one in _BY_KIND),
    *of_domain("sand"),
)

"""Water, air and weather on the wall: levels against the flood alarm levels, salinity, fine dust, rain and wind."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from thap.domains.water.records import water_air
from thap.kernel.clock import HOUR_US
from thap.kernel.policy import Resource
from thap.measure.indicators.incidents import of_domain
from thap.measure.indicators.latest import values_now
from thap.measure.indicators.model import Column, Direction, Indicator, Target, highest
from thap.measure.indicators.sources import Selected
from thap.observe.registry import things

__all__ = ["INDICATORS"]

_H = "công bố"
_L = "cấp III công bố; cấp I, II theo trí nhớ: đối chiếu trước khi dùng"
_STATIONS = (
    ("tan_chau", "tan-chau", "Tân Châu", 3.5, 4.0, 4.5, _H),
    ("cao_lanh", "cao-lanh", "Cao Lãnh", 1.9, 2.1, 2.3, _L),
    ("my_thuan", "my-thuan", "Mỹ Thuận", 1.6, 1.7, 1.8, _L),
    ("my_tho", "my-tho", "Mỹ Tho", 1.4, 1.5, 1.6, _L),
)
"""Station, its name, flood alarm levels I, II and III in metres, and how well they are known."""
_SENSORS = {"vi": "Trạm thủy văn và môi trường", "en": "Water and air stations"}


def _level(number: str, thing: str, name: str, one: float, two: float, three: float, known: str) -> Indicator:
    source = f"Báo động I {one:.2f} m, II {two:.2f} m, III {three:.2f} m tại {name} ({known})".replace(".", ",")
    return Indicator(
        id=f"water.level_{number}",
        title={"vi": f"Mực nước {name}", "en": f"Water level, {name}"},
        meaning={
            "vi": "Mực nước đo được mới nhất, không cũ hơn 24 giờ. Vàng từ báo động I, đỏ trên báo động II.",
            "en": "The newest water level, at most 24 hours old. Yellow from flood alarm I, red above II.",
        },
        rows=values_now("water_level", unit="m", datastream=f"{thing}/water_level"),
        action="thing.read",
        source=_SENSORS,
        reduce=highest("value"),
        unit="m",
        digits=2,
        target=Target(high=one, warn_high=two, source=source),
        domain="water",
    )


def _now(
    id: str, title: dict[str, str], meaning: dict[str, str], of: str, unit: str, digits: int, target: Target | None
) -> Indicator:
    direction: Direction = "lower" if target else "none"
    return Indicator(
        id=id,
        title=title,
        meaning=meaning,
        rows=values_now(of, unit=unit, within_us=6 * HOUR_US),
        action="thing.read",
        source=_SENSORS,
        reduce=highest("value"),
        unit=unit,
        digits=digits,
        direction=direction,
        target=target or Target(),
        domain="water",
    )


def _air_now(now: int) -> sa.Select[Any]:
    """The newest index of each station of the air, unless it is older than six hours."""
    return (
        sa.select(
            things.c.id,
            things.c.title,
            things.c.commune,
            water_air.c.aqi,
            water_air.c.pollutant,
            water_air.c.hour.label("time"),
        )
        .join(things, things.c.name == water_air.c.thing)
        .where(water_air.c.hour > now - 7 * HOUR_US, water_air.c.aqi.is_not(None))
    )


INDICATORS = (
    *(_level(*station) for station in _STATIONS),
    _now(
        "water.salinity",
        {"vi": "Độ mặn cao nhất", "en": "Highest salinity"},
        {
            "vi": "Độ mặn cao nhất trong các trạm có số đo trong 6 giờ qua. Vàng trên 1 g/l, đỏ trên 4 g/l.",
            "en": "The highest salinity of stations heard within 6 hours. Yellow above 1 g/l, red above 4 g/l.",
        },
        "salinity",
        "g/l",
        2,
        Target(high=1.0, warn_high=4.0, source="Ranh mặn 1 và 4 g/l của bản tin dự báo"),
    ),
    _now(
        "water.pm25",
        {"vi": "Bụi mịn PM2.5 cao nhất", "en": "Highest PM2.5"},
        {
            "vi": "Nồng độ PM2.5 cao nhất trong các trạm có số đo trong 6 giờ qua. Vàng từ mức Kém, đỏ từ mức Xấu.",
            "en": "The highest PM2.5 of stations heard within 6 hours. Yellow from VN_AQI 100, red from 150.",
        },
        "pm25",
        "µg/m³",
        0,
        Target(high=50, warn_high=80, source="VN_AQI 100 và 150 của QĐ 1459/QĐ-TCMT: 50 và 80 µg/m³"),
    ),
    _now(
        "water.rain",
        {"vi": "Mưa 10 phút lớn nhất", "en": "Heaviest rain in 10 minutes"},
        {
            "vi": "Lượng mưa mười phút lớn nhất trong các trạm có số đo trong 6 giờ qua.",
            "en": "The most rain in ten minutes at any station, newest values within 6 hours.",
        },
        "rain_10m",
        "mm",
        1,
        None,
    ),
    _now(
        "water.wind",
        {"vi": "Gió mạnh nhất", "en": "Strongest wind"},
        {
            "vi": "Tốc độ gió lớn nhất trong các trạm có số đo trong 6 giờ qua.",
            "en": "The strongest wind at any station, newest values within 6 hours.",
        },
        "wind",
        "m/s",
        1,
        None,
    ),
    Indicator(
        id="water.aqi",
        title={"vi": "VN_AQI xấu nhất", "en": "Worst VN_AQI"},
        meaning={
            "vi": "Chỉ số VN_AQI theo giờ cao nhất của các trạm, 6 giờ qua. Vàng từ mức Kém, đỏ từ mức Xấu.",
            "en": "The highest hourly VN_AQI of any station within 6 hours. Yellow from Poor, red from Bad.",
        },
        rows=Selected(
            (
                Column("title", {"vi": "Trạm", "en": "Station"}),
                Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune"),
                Column("aqi", {"vi": "VN_AQI", "en": "VN_AQI"}, "number"),
                Column("pollutant", {"vi": "Do chất", "en": "By"}),
                Column("time", {"vi": "Giờ", "en": "Hour"}, "time"),
            ),
            _air_now,
            Resource((things.c.commune,), domain=things.c.domain, thing=things.c.name),
        ),
        action="thing.read",
        source=_SENSORS,
        reduce=highest("aqi"),
        digits=0,
        direction="lower",
        target=Target(high=100, warn_high=150, source="QĐ 1459/QĐ-TCMT: trên 100 là Kém, trên 150 là Xấu"),
        domain="water",
    ),
    *of_domain("water"),
)

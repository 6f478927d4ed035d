"""Files of the demo's rice office, as offices write them: zones, crops, two weekly reports, weather with a forecast.

And the nights that its traps counted before the demo began. Files go through the import route that real files go
through, nights through a door. Every number follows from the seed and the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from thap.domains.rice.moon import moon_lit
from thap.domains.world import World
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, VIETNAM, from_us
from thap.kernel.places import communes

__all__ = ["PastTrap", "files", "past_nights", "past_traps"]

_NIGHTS = 120
_CYCLE = 25
"""Nights from flight to flight: about one light-trap peak a month, each 5 to 6 days earlier."""
_COUNTED_AT = 5 * HOUR_US + 30 * MINUTE_US - 7 * HOUR_US
"""Half past five in Việt Nam, µs after midnight UTC of the morning after."""

_ZONES = (
    # Code, name, where, area, water stations, saline from and to, flood from and to.
    ("TH-01", "Tiểu vùng Tân Hồng", "Xã Tân Hồng; Xã Tân Hộ Cơ", "6.450", "", "", "", "15/8", "31/10"),
    ("TN-02", "Tiểu vùng Tam Nông", "Xã Tam Nông; Xã Tràm Chim", "7.820,5", "", "", "", "20/8", "5/11"),
    ("TM-03", "Tiểu vùng Tháp Mười", "Xã Tháp Mười; Xã Thanh Mỹ", "8.130", "", "", "", "1/9", "5/11"),
    ("CL-04", "Tiểu vùng Mỹ Thọ", "Xã Mỹ Thọ; Xã Bình Hàng Trung", "4.210", "", "", "", "10/9", "31/10"),
    ("LV-05", "Tiểu vùng Lai Vung", "Xã Lai Vung; Xã Hòa Long", "3.960,5", "", "", "", "", ""),
    ("CB-06", "Tiểu vùng Cái Bè", "Xã Cái Bè; Xã Hậu Mỹ", "5.340", "", "", "", "", ""),
    ("GC-07", "Tiểu vùng Gò Công", "Xã Gò Công Đông; Xã Tân Hòa", "4.725", "", "15/1", "31/5", "", ""),
)
_VARIETIES = ("OM 5451", "OM 18", "Đài Thơm 8", "IR 50404", "Nàng Hoa 9")
_PESTS = (
    ("Rầy nâu", "Đẻ nhánh", 500, 2200, 0.9),
    ("Sâu cuốn lá nhỏ", "Đẻ nhánh", 12, 45, 0.7),
    ("Đạo ôn lá", "Đẻ nhánh", 3, 16, 0.8),
    ("Bọ xít dài", "Trổ", 2, 7, 0.4),
    ("Ốc bươu vàng", "Mạ", 1, 6, 0.6),
)


def files(world: World) -> Iterator[tuple[str, str, str]]:
    """Kind, name and content of each file, in the order they are to be imported."""
    day = from_us(world.start).astimezone(VIETNAM).date()
    known = {one.title for one in communes()}
    zones = [(*row[:2], "; ".join(part for part in row[2].split("; ") if part in known), *row[3:]) for row in _ZONES]
    zones = [row for row in zones if row[2]]
    yield "zones", "tieu-vung.csv", _zones(zones)
    yield "crops", "lich-thoi-vu.csv", _crops(world, zones, day)
    begin = day - timedelta(days=day.weekday())
    for week in (begin - timedelta(days=14), begin - timedelta(days=7)):
        yield "surveys", f"bc7n-{week:%d-%m-%Y}.csv", _report(world, zones, week)
    yield "weather", "thoi-tiet.csv", _weather(world, day)


def past_nights(world: World) -> Iterator[tuple[str, int, float]]:
    """Datastream, time (µs) and count of every night that traps counted before the start, see `past_traps`."""
    morning = (world.start - _COUNTED_AT) // DAY_US * DAY_US + _COUNTED_AT
    for one in past_traps(world):
        for number, count in enumerate(one.counts.tolist()):
            if np.isfinite(count):
                yield one.key, morning - (_NIGHTS - 1 - number) * DAY_US, count


@dataclass(frozen=True, slots=True)
class PastTrap:
    """A trap's nights before the start, and what was planted in them."""

    key: str
    """Of the datastream."""
    first: date
    """The evening of the first night."""
    counts: npt.NDArray[np.float64]
    """By night; NaN where nobody sent it."""
    peaks: tuple[date, ...]
    """Nights of flights."""


def past_traps(world: World) -> Iterator[PastTrap]:
    """Flights some 25 nights apart, the latest a few nights ago, below the bounds of alarms, which are the demo's own
    affair; among moonlight, two nights of a dead lamp and nights nobody sent, which look like flights or hide them."""
    keys = [series.key for series in world.series.values() if series.observes == "planthopper_catch"]
    morning = (world.start - _COUNTED_AT) // DAY_US * DAY_US + _COUNTED_AT
    first = from_us(morning).astimezone(VIETNAM).date() - timedelta(days=_NIGHTS)
    lit = moon_lit(first, _NIGHTS)
    back = np.arange(_NIGHTS, 0, -1)
    for number, key in enumerate(sorted(keys)):
        random = world.random("rice-past", number)
        background = float(random.uniform(25, 55))
        latest = int(random.integers(4, 10))
        near = np.minimum((back - latest) % _CYCLE, (latest - back) % _CYCLE)
        rise = np.select([near == 0, near == 1, near == 2], [6.0, 3.2, 1.3], 0.0)
        moon = np.exp(float(random.uniform(0.25, 0.6)) * (lit - 0.5))
        counts = np.clip(random.lognormal(np.log(background * moon * (1 + rise)), 0.22), 1, 480)
        dark = np.flatnonzero((near >= 8) & (back > 30))
        begin = int(dark[int(random.integers(len(dark)))])
        counts[begin : begin + 2] *= 0.02
        counts = np.round(counts)
        counts[(random.random(_NIGHTS) < 0.03) & (near > 0)] = np.nan
        peaks = tuple(first + timedelta(days=int(at)) for at in np.flatnonzero(near == 0))
        yield PastTrap(key, first, counts, peaks)


def _zones(zones: Sequence[tuple[str, ...]]) -> str:
    head = "Mã vùng|Tên vùng|Xã, phường|Diện tích (ha)|Trạm đo mặn|Mặn từ|Mặn đến|Lũ từ|Lũ đến"
    return "\n".join([head, *("|".join(row) for row in zones)]) + "\n"


def _crops(world: World, zones: Sequence[tuple[str, ...]], day: date) -> str:
    rows = ["Mã vùng;Vụ;Giống;Ngày gieo sạ;Diện tích (ha);TGST"]
    for number, zone in enumerate(zones):
        random = world.random("rice-crops", number)
        area = float(zone[3].replace(".", "").replace(",", "."))
        for part, variety in enumerate(random.permutation(_VARIETIES)[:2].tolist()):
            sown = day - timedelta(days=int(random.integers(8, 80)))
            share = area * float(random.uniform(0.3, 0.45))
            rows.append(f"{zone[0]};;{variety};{sown:%d/%m/%Y};{_number(share)};{int(random.integers(90, 101))}")
            if part and number % 3 == 0:
                rows.append(f"{zone[0]};;{variety};{sown - timedelta(days=9):%d/%m/%Y};{_number(share / 5)};95")
    return "\n".join(rows) + "\n"


def _report(world: World, zones: Sequence[tuple[str, ...]], week: date) -> str:
    rows = [
        "BÁO CÁO TÌNH HÌNH SINH VẬT GÂY HẠI 7 NGÀY;;;;;;;;",
        f"(Từ ngày {week:%d/%m} đến ngày {week + timedelta(days=6):%d/%m/%Y});;;;;;;;",
        "Xã, phường;Đối tượng;Giai đoạn sinh trưởng;Mật độ/tỷ lệ;;;Diện tích nhiễm (ha);;",
        ";;;Phổ biến;Cao;Cá biệt;Nhẹ;Trung bình;Nặng",
    ]
    for number, zone in enumerate(zones):
        random = world.random("rice-report", week.toordinal(), number)
        place = zone[2].split("; ")[0]
        for pest, stage, low, high, likely in _PESTS:
            if random.random() > likely:
                continue
            common = float(random.uniform(low, (low + high) / 2))
            most = float(random.uniform(common, high))
            light = float(random.uniform(5, 160))
            medium = light * float(random.uniform(0, 0.35)) if most > (low + high) / 2 else 0.0
            heavy = medium * 0.1 if most > 0.92 * high else 0.0
            figures = (common, most, most * 1.3, light, medium, heavy)
            rows.append(";".join([place, pest, stage, *(_number(value) for value in figures)]))
    return "\n".join(rows) + "\n"


def _weather(world: World, day: date) -> str:
    rows = ["Ngày;Nhiệt độ thấp nhất;Nhiệt độ cao nhất;Lượng mưa (mm);Độ ẩm;Tốc độ gió (km/h);Hướng gió;Loại"]
    for n in range(-75, 11):
        at = day + timedelta(days=n)
        random = world.random("rice-weather", at.toordinal())
        warm = 1.2 * float(np.sin(2 * np.pi * (at.timetuple().tm_yday - 60) / 365))
        low = 23.6 + warm + float(random.normal(0, 0.6))
        high = 31.4 + warm + float(random.normal(0, 0.9))
        rain = float(random.exponential(9)) if random.random() < 0.35 else 0.0
        wind, origin = float(random.uniform(4, 16)), int(random.normal(55, 30)) % 360
        said = "dự báo" if n >= 0 else ""
        figures = ";".join(_number(value) for value in (low, high, rain, float(random.uniform(72, 90)), wind))
        rows.append(f"{at:%d/%m/%Y};{figures};{origin};{said}")
    return "\n".join(rows) + "\n"


def _number(value: float) -> str:
    """As offices write it: 1.200,5."""
    return f"{value:,.1f}".replace(",", " ").replace(".", ",").replace(" ", ".")

"""The register of the demo province, as files that are imported the way an office imports its own.

Size, quantities and length of the two licences are those of the real mines Tân Thuận Đông (25.31 ha, 1.2 million m³,
1 million m³ a year, 15 months) and Thường Lạc (12 ha, 530,000 m³, 10 months); their numbers, holders and corner points
are not: those are drawn for the demo, and so are vessels and wharves.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from thap.domains.river import along
from thap.domains.sand.entries import Noun
from thap.domains.sand.model import Book
from thap.domains.sand.reading import read_entries
from thap.domains.sand.records import book_of
from thap.domains.sand.vn2000 import from_wgs84
from thap.kernel.clock import HOUR_US, from_us, now_us

__all__ = ["demo_book", "register_files"]

_MINES: tuple[tuple[str, str, str, tuple[tuple[float, float], ...], dict[str, int], tuple[str, str], int], ...] = (
    (
        "01/GP-MAU",
        "Tân Thuận Đông",
        "Đơn vị khai thác mẫu A",
        (
            (105.60375, 10.45783), (105.60616, 10.45346), (105.60856, 10.44909), (105.60663, 10.44806),
            (105.60423, 10.45242), (105.60183, 10.45679),
        ),
        {"day": 3500, "month": 95_000, "year": 1_000_000, "total": 1_200_000},
        ("574000101", "574000102"),
        456,
    ),
    (
        "02/GP-MAU",
        "Thường Lạc",
        "Đơn vị khai thác mẫu B",
        ((105.28906, 10.78285), (105.29301, 10.78058), (105.29191, 10.77871), (105.28796, 10.78098)),
        {"day": 600, "month": 55_000, "year": 530_000, "total": 530_000},
        ("574000103", "574000104"),
        304,
    ),
)  # fmt: skip
_VESSELS = (
    ("574000101", "Sà lan hút TTĐ 01", "ĐT-0101", 650),
    ("574000102", "Sà lan hút TTĐ 02", "ĐT-0102", 480),
    ("574000103", "Sà lan hút TL 01", "ĐT-0103", 420),
    ("574000104", "Sà lan hút TL 02", "ĐT-0104", None),
)
_WHARVES = (("Bến Tân Thuận Đông", 105.59387, 10.46692), ("Bến Thường Lạc", 105.27821, 10.78417))
_STRETCHES = (("Tân Thuận Đông", 66.0, 74.0), ("Thường Lạc", 15.0, 23.0))
_BANK_M = 620.0
"""From the drawn middle of the river."""


def register_files(at: int | None = None) -> list[tuple[str, str, bytes]]:
    """Part of the register, name of the file, content; in the order in which they are to be imported.

    Args:
        at: a moment at which the licences are to be in force, µs; now if not given.
    """
    today = from_us((now_us() if at is None else at) + 7 * HOUR_US).date()
    return [
        ("vessels", "so-phuong-tien.csv", _vessels()),
        ("wharves", "ben-bai.csv", _wharves()),
        ("zones", "vung-cam.geojson", _zones()),
        ("licences", "giay-phep.csv", _licences(today)),
    ]


def demo_book(at: int | None = None) -> Book:
    """The same as detectors take it, read from the files.

    Args:
        at: as for `register_files`.
    """
    nouns: dict[str, Noun] = {"licences": "licence", "vessels": "vessel", "wharves": "wharf", "zones": "zone"}
    drafts = [
        draft for part, name, content in register_files(at) for draft in read_entries(nouns[part], content, name).drafts
    ]
    return book_of([(number, draft.entry) for number, draft in enumerate(drafts, 1)])


def _licences(today: date) -> bytes:
    """A table of corners in VN-2000 metres, central meridian of the old Đồng Tháp, as licences print them."""
    lines = [
        "Số giấy phép;Tên mỏ;Chủ giấy phép;Hiệu lực từ;Hiệu lực đến;Giờ khai thác;Độ sâu;Công suất ngày;"
        "Công suất tháng;Công suất năm;Trữ lượng;Phương tiện;Điểm góc;X (m);Y (m);Kinh tuyến trục"
    ]
    for number, name, holder, ring, limits, vessels, days in _MINES:
        begin = date(today.year, today.month, 1) - timedelta(days=90)
        until = begin + timedelta(days=days)
        head = [
            number, name, holder, f"{begin:%d/%m/%Y}", f"{until:%d/%m/%Y}", "05:00-19:00", "-16",
            *(f"{value:,}".replace(",", ".") for value in limits.values()), ", ".join(vessels),
        ]  # fmt: skip
        for at, (lon, lat) in enumerate(ring, 1):
            x, y = (f"{float(value):.2f}".replace(".", ",") for value in from_wgs84(lon, lat, 105.0))
            cells = head if at == 1 else [""] * len(head)
            lines.append(";".join([*cells, str(at), x, y, "105°00′" if at == 1 else ""]))
    return ("\n".join(lines) + "\n").encode()


def _vessels() -> bytes:
    lines = ["MMSI;Tên tàu;Số đăng ký;Loại;Dung tích hầm (m³)"]
    lines += [f"{mmsi};{name};{plate};tàu hút cát;{hold or ''}" for mmsi, name, plate, hold in _VESSELS]
    return ("\n".join(lines) + "\n").encode()


def _wharves() -> bytes:
    lines = ["Tên bến;Loại;Kinh độ;Vĩ độ;Bán kính (m)"]
    lines += [f"{name};bến;{lon};{lat};300" for name, lon, lat in _WHARVES]
    return ("\n".join(lines) + "\n").encode()


def _zones() -> bytes:
    def line(from_km: float, to_km: float, right_m: float) -> dict[str, Any]:
        steps = [from_km + (to_km - from_km) * at / 16 for at in range(17)]
        lon, lat = along(steps, right_m)
        pairs = zip(lon.tolist(), lat.tolist(), strict=True)
        return {"type": "LineString", "coordinates": [[round(x, 6), round(y, 6)] for x, y in pairs]}

    features: list[dict[str, Any]] = [
        {
            "type": "Feature",
            "properties": {"name": f"Bờ {side} {name}", "min_distance_m": 100, "source": "100 m: thông lệ An Giang"},
            "geometry": line(begin, end, right),
        }
        for name, begin, end in _STRETCHES
        for side, right in (("trái", -_BANK_M), ("phải", _BANK_M))
    ]
    features.append(
        {
            "type": "Feature",
            "properties": {"name": "Hành lang cầu Mỹ Thuận", "reason": "bảo vệ cầu", "radius_m": 500},
            "geometry": {"type": "Point", "coordinates": [105.905, 10.275]},
        }
    )
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False).encode()

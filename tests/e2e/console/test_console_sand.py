"""River sand on the console: a corner table is pasted, looked at and kept; a file shows what it would change first."""

from __future__ import annotations

import json
import time
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect

TABLE = """Kinh tuyến trục 105°00′, múi chiếu 3°
Điểm\tX (m)\tY (m)
1\t1156554,26\t565898,69
2\t1156071,42\t566163,46
3\t1155588,57\t566427,28
4\t1155474,04\t566216,11
5\t1155955,90\t565951,29"""


def test_a_pasted_corner_table_becomes_a_licence_once_it_was_looked_at(desk: Any) -> None:
    made = time.time_ns()
    login, number = f"chuyen-vien-{made}", f"{made % 10**6}/GP-THU"
    desk.person(login, "domain_expert", domain="sand")
    page = desk.open("/sand/corners", login=login)
    page.get_by_label("Bảng tọa độ góc").fill(TABLE.replace("105°00′", "105°45′"))
    page.get_by_role("button", name="Vẽ", exact=True).click()
    expect(page.get_by_role("list", name="Lỗi")).to_contain_text("với 105°00′ mỏ nằm trên sông")
    expect(page.get_by_role("button", name="Lưu giấy phép")).to_have_count(0)
    page.get_by_label("Bảng tọa độ góc").fill(TABLE)
    page.get_by_role("button", name="Vẽ", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="5 điểm")).to_contain_text("105°00′")
    expect(page.get_by_role("img", name="Hình ranh giới")).to_be_visible()
    bars_nobody(page)
    page.get_by_label("Số giấy phép").fill(number)
    page.get_by_label("Tôi đã so hình với giấy phép").check()
    page.get_by_role("button", name="Lưu giấy phép").click()
    page.get_by_role("link", name=number).click()
    expect(page.get_by_role("heading", level=1, name=number)).to_be_visible()
    expect(page.get_by_role("img", name=f"Hình ranh giới {number}")).to_be_visible()
    bars_nobody(page)


def test_a_file_shows_what_it_would_change_and_why_rows_cannot_be_taken(desk: Any) -> None:
    number = f"{time.time_ns() % 10**6}/GP-TEP"
    polygon = {"type": "Polygon", "coordinates": [[[105.6, 10.45], [105.61, 10.45], [105.61, 10.46], [105.6, 10.45]]]}
    good = {"type": "Feature", "properties": {"number": number, "day_m3": 500}, "geometry": polygon}
    bad = {"type": "Feature", "properties": {"number": "x", "valid_to": "32/13/2026"}, "geometry": polygon}
    body = json.dumps({"type": "FeatureCollection", "features": [good, bad]}).encode()
    page = desk.open("/sand/import/licences", width=390)
    page.set_input_files("input[type=file]", {"name": "mo.geojson", "mimeType": "application/json", "buffer": body})
    expect(page.get_by_role("status").filter(has_text="Thêm 1")).to_be_visible()
    expect(page.get_by_role("list", name="Lỗi")).to_contain_text("dòng 2, cột valid_to")
    keep = page.get_by_role("button", name="Nhập", exact=True)
    expect(keep).to_be_disabled()
    bars_nobody(page)
    page.get_by_label("Bỏ qua các dòng lỗi").check()
    keep.click()
    expect(page.get_by_role("link", name=number)).to_be_visible()
    for tab in ("", "?tab=vessels", "?tab=places", "?tab=violations", "?tab=week"):
        page.goto(f"{desk.http}/sand{tab}")
        expect(page.get_by_role("heading", level=1, name="Cát sông")).to_be_visible()
        page.wait_for_selector("[aria-busy=true]", state="detached")
        bars_nobody(page)

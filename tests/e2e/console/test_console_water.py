"""Stations against their limits, sheets of salinity, the board of the air, and parameters with their sources."""

from __future__ import annotations

import time
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import Page, expect

SHEET = "station,river,province,km_to_mouth,year,p0101_0110,p0111_0120\nBến Thử,Tien,Tien Giang,40,2024,1.5,x\n"


def shown(page: Page) -> None:
    """Until a screen has its title and what it asked for."""
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#content [aria-busy=true]")).to_have_count(0)


def test_limits_of_a_station_are_set_and_its_level_stands_against_them(desk: Any) -> None:
    name = f"song-{time.time_ns()}"
    desk.station(name)
    answer = desk.api.post("/api/v1/observations", json=[{"datastream": f"{name}/level", "result": 1.25}])
    assert answer.is_success
    page = desk.open(f"/water?q={name}")
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("1,25")
    expect(row).to_contain_text("Chưa có mức báo động")
    row.get_by_role("link").click()
    expect(page.get_by_text("Chưa có dự báo: cần ít nhất 36 giờ số liệu.")).to_be_visible()
    desk.provokes(page, "status of 404")  # there is no forecast yet
    page.get_by_role("button", name="Sửa mức báo động").click()
    for label, value in (("Báo động I (m)", "1.2"), ("Báo động II (m)", "1.5"), ("Báo động III (m)", "1.9")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Nguồn", exact=True).fill("QĐ 12/2026")
    page.get_by_role("button", name="Đặt mức báo động").click()
    question = page.get_by_role("alertdialog").or_(page.get_by_role("dialog")).filter(has_text="– / – / –")
    expect(question).to_contain_text("1,2 / 1,5 / 1,9")
    question.get_by_role("button", name="Đặt mức báo động").click()
    expect(page.get_by_role("table")).to_contain_text("QĐ 12/2026")
    expect(page.get_by_text("Báo động I", exact=True)).to_be_visible()
    shown(page)
    bars_nobody(page)


def test_a_sheet_is_seen_before_it_is_imported(desk: Any) -> None:
    page = desk.open("/water/salinity")
    page.locator("input[type=file]").set_input_files(
        files=[{"name": "man-2024.csv", "mimeType": "text/csv", "buffer": SHEET.encode()}]
    )
    expect(page.get_by_text("1 giá trị của 1 trạm, 0 ô trống.")).to_be_visible()
    expect(page.get_by_text("dòng 2, p0111_0120:")).to_be_visible()
    bars_nobody(page)
    page.get_by_role("button", name="Bỏ ô hỏng, nhập 1 giá trị").click()
    expect(page.get_by_role("cell", name="Bến Thử")).to_be_visible()


def test_a_parameter_is_set_with_a_source_and_shown_with_its_history(desk: Any) -> None:
    page = desk.open("/parameters/water?q=surge_m")
    page.get_by_role("button", name="Đặt Nước dâng trên thủy triều dự tính").click()
    page.get_by_label("Giá trị (m)").fill("0.4")
    page.get_by_label("Nguồn", exact=True).fill("QĐ 13/2026")
    page.get_by_role("button", name="Đặt", exact=True).last.click()
    question = page.get_by_role("alertdialog").or_(page.get_by_role("dialog")).filter(has_text="0,35 m thành 0,4 m")
    question.get_by_role("button", name="Đặt", exact=True).click()
    expect(page.get_by_text("phiên bản 1")).to_be_visible()
    expect(page.get_by_text("Các lần đã đặt: 1")).to_be_visible()
    bars_nobody(page)
    expect(page.get_by_text("QĐ 13/2026").first).to_be_visible()


def test_nobody_is_barred_from_the_air_and_the_phone_has_no_scroll_aside(desk: Any) -> None:
    page = desk.open("/water/air", width=390, height=844)
    for path in ("/water/air", "/water", "/parameters"):
        page.goto(desk.http + path)
        shown(page)
        bars_nobody(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

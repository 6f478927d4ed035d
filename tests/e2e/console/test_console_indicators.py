"""The wall of indicators: numbers, their rows, targets, the slide show."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect

from thap.kernel.places import communes

HERE = communes()[40].code
"""A commune in which no other test of this folder opens anything."""


def _counted(desk: Any, until: Callable[..., None]) -> None:
    until(lambda: any(one["value"] is not None for one in desk.api.get("/api/v1/indicators").json()["items"]), 30)


def test_the_wall_leads_to_the_rows_behind_a_number_and_to_a_target(desk: Any, until: Callable[..., None]) -> None:
    _counted(desk, until)
    desk.api.post("/api/v1/incidents", json={"title": "Việc của bảng chỉ số", "domain": "rice"}).raise_for_status()
    page = desk.open("/indicators?theme=rice")
    expect(page.get_by_role("heading", level=1)).to_have_text("Chỉ số")
    tile = page.locator("a.tile[href='/indicators/rice.incidents_open']")
    expect(tile).to_contain_text("Vụ việc đang mở")
    expect(page.locator("a.tile[href='/indicators/alarms.open']")).to_have_count(0)
    bars_nobody(page)

    tile.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vụ việc đang mở")
    expect(page.get_by_role("grid")).to_contain_text("Việc của bảng chỉ số")
    rows = page.get_by_role("row").count() - 1
    expect(page.locator("#value")).to_have_text(str(rows))
    bars_nobody(page)

    page.get_by_role("button", name="Thay đổi").click()
    page.get_by_label("Đạt khi không quá").fill("0")
    page.get_by_label("Căn cứ").fill("QĐ 12, điều 3")
    bars_nobody(page)
    page.get_by_role("dialog").get_by_role("button", name="Lưu").click()
    expect(page.locator(".card.bad")).to_contain_text("không đạt")
    expect(page.locator("#content")).to_contain_text("QĐ 12, điều 3")
    page.get_by_role("link", name=re.compile(r"^Vụ việc \d+$")).first.click()
    expect(page).to_have_url(re.compile(r"/incidents/\d+$"))


def test_a_commune_official_sees_their_own_numbers_on_a_phone(desk: Any, until: Callable[..., None]) -> None:
    _counted(desk, until)
    login = f"can-bo-{time.time_ns()}"
    desk.person(login, "commune_official", unit=HERE)
    page = desk.open("/indicators", login=login, width=390, height=844)
    expect(page.locator("a.tile[href='/indicators/incidents.open'] .value")).to_have_text("0")
    expect(page.locator("a.tile[href='/indicators/system.disk_free']")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    bars_nobody(page)
    page.get_by_role("button", name="Xuất").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Ảnh (PNG)"])
    page.keyboard.press("Escape")
    page.goto(f"{desk.http}/indicators/incidents.open")
    expect(page.locator("#rows")).to_have_text("0 dòng tạo nên con số này")
    expect(page.get_by_role("button", name="Thay đổi")).to_have_count(0)
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_slide_show_goes_by_keys_and_the_picture_is_made(desk: Any, until: Callable[..., None]) -> None:
    _counted(desk, until)
    page = desk.open("/indicators/show", width=1920, height=1080)
    place = page.locator(".place")
    expect(place).to_have_text(re.compile(r"^1/\d+$"))
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="chạy tiếp", exact=True)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text(re.compile(r"^2/"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Báo động")
    assert page.locator("article h2").first.evaluate("one => parseFloat(getComputedStyle(one).fontSize)") >= 32
    bars_nobody(page)
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{desk.http}/indicators")
    with page.expect_download() as made:
        page.get_by_role("button", name="Xuất").click()
        page.get_by_role("menuitem", name="Ảnh (PNG)").click()
    assert made.value.path().read_bytes().startswith(b"\x89PNG")

"""The rice office on the console: a survey filled in without a line is at the centre once; files, advice, bulletin."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from browsing import CUT, bars_nobody
from playwright.sync_api import Page, expect

from thap.domains.rice.traps import today
from thap.kernel.units import communes

HERE = communes()[7]
PHONE = {"viewport": {"width": 390, "height": 844}, "locale": "vi-VN", "has_touch": True, "is_mobile": True}
API = "/api/v1/rice"


def surveys(desk: Any, note: str) -> list[dict[str, Any]]:
    items = desk.api.get(f"{API}/surveys", params={"commune": HERE.code, "limit": 1000}).json()["items"]
    return [one for one in items if one["note"] == note]


@pytest.fixture(scope="module")
def zone() -> tuple[str, bytes, date]:
    code = f"TV-{time.time_ns() % 10**9}"
    text = f"Mã vùng;Tên vùng;Xã, phường;Diện tích (ha)\n{code};Tiểu vùng {code};{HERE.title};1.200,5\n"
    return code, text.encode(), today() - timedelta(days=1)


def test_a_survey_filled_in_without_a_line_is_there_once_when_it_is_back(desk: Any, until: Callable[..., None]) -> None:
    login, note = f"dieu-tra-{time.time_ns()}", f"ruộng đầu kênh {time.time_ns()}"
    desk.person(login, "commune_official", unit=HERE.code)
    page: Page = desk.open("/rice/survey", login=login, context=desk.browser.new_context(**PHONE))
    desk.provokes(page, *CUT)
    expect(page.get_by_label("Xã, phường")).to_have_value(HERE.code)
    bars_nobody(page)
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    page.context.set_offline(True)
    page.reload()  # the page comes from the service worker, what forms choose from comes from the device
    page.get_by_label("Giai đoạn lúa").select_option("tillering")
    page.get_by_label("Phổ biến").fill("1.200,5")
    page.get_by_label("Nhẹ", exact=True).fill("12,5")
    page.get_by_label("Ghi chú").fill(note)
    page.get_by_role("button", name="Gửi phiếu").click()
    expect(page.locator("#content")).to_contain_text("1 phiếu đang chờ gửi")
    page.reload()  # the program was closed, and is opened again
    expect(page.locator("#content")).to_contain_text("1 phiếu đang chờ gửi")
    bars_nobody(page)
    assert surveys(desk, note) == []
    page.context.set_offline(False)
    expect(page.get_by_text("phiếu đang chờ gửi")).to_have_count(0, timeout=40_000)
    until(lambda: len(surveys(desk, note)) == 1)
    (kept,) = surveys(desk, note)
    assert (kept["common"], kept["light_ha"], kept["created_by"]) == (1200.5, 12.5, login)


def test_a_file_is_looked_at_then_kept_and_advice_is_approved_and_published(
    desk: Any, zone: tuple[str, bytes, date]
) -> None:
    code, content, peak = zone
    login = f"bvtv-{time.time_ns()}"
    desk.person(login, "domain_expert", domain="rice")
    page = desk.open("/rice", login=login)
    page.get_by_role("button", name="Nhập tiểu vùng").first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(
        [{"name": "vung.csv", "mimeType": "text/csv", "buffer": content + b"TV-X;Sai;;abc\n"}]
    )
    expect(dialog).to_contain_text("2 dòng, 1 dòng dùng được")
    expect(dialog).to_contain_text("'abc' is not a number")
    bars_nobody(page)
    dialog.get_by_role("button", name="Lưu 1 dòng").click()
    expect(page.get_by_role("heading", name=f"Tiểu vùng {code}")).to_be_visible()
    bars_nobody(page)
    page.goto(f"{desk.http}/rice/advice/new?zone={code}&peak={peak.isoformat()}")
    page.get_by_role("button", name="Soạn khuyến cáo").click()
    for act in ("Duyệt", "Công bố"):
        page.get_by_role("button", name=act, exact=True).click()
        page.get_by_role("alertdialog").get_by_role("button", name=act, exact=True).click()
    expect(page.get_by_text("đã công bố").first).to_be_visible()
    bars_nobody(page)
    (made,) = desk.api.get(f"{API}/advice", params={"zone": code}).json()["items"]
    assert (made["state"], made["approved_by"]) == ("published", login)


def test_a_bulletin_is_drafted_edited_seen_and_approved(desk: Any) -> None:
    login = f"bvtv-{time.time_ns()}"
    desk.person(login, "domain_expert", domain="rice")
    page = desk.open("/rice?tab=bulletins", login=login)
    page.get_by_role("button", name="Soạn thông báo tuần").click()
    page.get_by_role("dialog").get_by_role("button", name="Soạn", exact=True).click()
    advice = page.get_by_label("VII. Khuyến cáo")
    advice.fill("Thăm đồng thường xuyên.")
    page.get_by_role("button", name="Lưu", exact=True).click()
    page.get_by_role("button", name="Duyệt", exact=True).click()
    page.get_by_role("alertdialog").get_by_role("button", name="Duyệt", exact=True).click()
    expect(page.locator(".digest")).to_contain_text("SHA-256")
    expect(advice).to_have_attribute("readonly", "")
    bars_nobody(page)
    for tab in ("", "?tab=surveys", "?tab=crops", "?tab=traps"):
        page.goto(f"{desk.http}/rice{tab}")
        expect(page.get_by_role("heading", name="Lúa và sâu bệnh")).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        bars_nobody(page)

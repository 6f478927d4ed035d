"""Warnings on the console: composed by one, approved by another, never by who wrote it."""

from __future__ import annotations

import time
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect


def test_a_warning_is_composed_by_one_and_approved_by_another(desk: Any) -> None:
    made = time.time_ns()
    both, leader = f"vua-soan-{made}", f"lanh-dao-{made}"
    desk.person(both, "operator")
    grant = {"role": "leader", "unit": "", "domain": ""}
    desk.api.put(f"/api/v1/people/{both}/grants", json=grant).raise_for_status()
    desk.person(leader, "leader")
    page = desk.open("/warnings/new", login=both)
    headline = f"Triều cường {made}"
    for language, number in (("vi", 0), ("en", 1)):
        page.get_by_role("group", name="Sự kiện").get_by_role("textbox").nth(number).fill("Triều cường")
        page.get_by_role("group", name="Tiêu đề").get_by_role("textbox").nth(number).fill(f"{headline} {language}")
    page.get_by_label("Tìm xã, phường").fill("cao lanh")
    page.get_by_role("checkbox", name="Phường Cao Lãnh").check()
    page.get_by_role("button", name="Lưu bản soạn").first.click()
    expect(page.get_by_role("heading", level=1, name=headline)).to_be_visible()
    page.get_by_role("button", name="Gửi duyệt").click()  # refused: it says what is missing, at the fields
    described = page.get_by_role("group", name="Diễn biến")
    expect(described).to_contain_text("còn trống")
    desk.provokes(page, "status of 400")
    bars_nobody(page)
    for number in (0, 1):
        described.get_by_role("textbox").nth(number).fill("Nước lên nhanh.")
    page.get_by_label("Mức nghiêm trọng").select_option("Severe")
    page.get_by_label("Mức khẩn cấp").select_option("Expected")
    page.get_by_label("Độ chắc chắn").select_option("Likely")
    page.get_by_label("khí tượng, thủy văn").check()
    page.get_by_role("button", name="Gửi duyệt").click()
    expect(page.get_by_text("một người khác phải duyệt")).to_be_visible()
    expect(page.get_by_role("button", name="Duyệt và phát")).to_have_count(0)

    approver = desk.open(page.url.removeprefix(desk.http), login=leader)
    approver.get_by_role("button", name="Duyệt và phát").click()
    approver.get_by_role("alertdialog").get_by_role("button", name="Duyệt và phát").click()
    expect(approver.get_by_role("link", name="Tài liệu CAP", exact=True)).to_be_visible()
    bars_nobody(approver)
    expect(page.get_by_role("button", name="Hủy cảnh báo")).to_be_visible()  # told by the stream


def test_the_list_and_its_parts_bar_nobody_on_a_phone(desk: Any) -> None:
    page = desk.open("/warnings", width=390)
    for tab in ("", "?tab=received", "?tab=feeds", "?tab=subscribers"):
        page.goto(f"{desk.http}/warnings{tab}")
        expect(page.get_by_role("heading", name="Cảnh báo", exact=True)).to_be_visible()
        bars_nobody(page)

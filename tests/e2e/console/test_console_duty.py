"""Duty on the console: who is on, a shift put and taken back, hand-over, whom a chain would reach."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect


def test_somebody_is_put_on_duty_and_taken_back(desk: Any) -> None:
    login = f"truc-{time.time_ns()}"
    desk.person(login, "shift_lead")
    page = desk.open("/duty", login=login)
    page.get_by_role("button", name="Cử người trực").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Người", exact=True).select_option(login)
    now_there = datetime.now(timezone(timedelta(hours=7)))
    dialog.get_by_label("Từ", exact=True).fill(f"{now_there - timedelta(hours=1):%Y-%m-%dT%H:%M}")
    dialog.get_by_label("Đến", exact=True).fill(f"{now_there + timedelta(hours=1):%Y-%m-%dT%H:%M}")
    bars_nobody(page)
    dialog.get_by_role("button", name="Cử trực").click()
    now = page.get_by_role("region", name="Đang trực lúc này")
    expect(now).to_contain_text(login)
    bars_nobody(page)
    page.get_by_role("button", name=f"Rút ca cử riêng của {login}").locator("visible=true").first.click()
    page.get_by_role("alertdialog").get_by_role("button", name="Bỏ", exact=True).click()
    expect(now).not_to_contain_text(login)


def test_a_hand_over_is_written_by_one_and_taken_by_another(desk: Any) -> None:
    one, other = f"ca-truoc-{time.time_ns()}", f"ca-sau-{time.time_ns()}"
    desk.person(one)
    desk.person(other)
    page = desk.open("/duty?tab=handovers", login=one)
    page.get_by_label("Nội dung bàn giao").fill(f"Trạm chập chờn, {one}")
    page.get_by_role("button", name="Bàn giao", exact=True).click()
    note = page.locator("article", has_text=f"Trạm chập chờn, {one}")
    expect(note).to_contain_text("chờ nhận")
    later = desk.open("/duty?tab=handovers", login=other, width=390)
    taken = later.locator("article", has_text=f"Trạm chập chờn, {one}")
    taken.get_by_role("button", name="Nhận bàn giao").click()
    expect(taken).to_contain_text(f"{other} đã nhận")
    expect(note).to_contain_text(f"{other} đã nhận")  # told by the stream
    bars_nobody(later)


def test_a_chain_says_whom_it_would_reach_before_anything_happens(desk: Any) -> None:
    page = desk.open("/duty?tab=chains")
    page.get_by_role("button", name="Xem", exact=True).click()
    expect(page.get_by_role("region", name="Nếu có vụ việc")).to_contain_text("Không có tin nào được gửi")
    bars_nobody(page)


def test_who_may_only_look_is_offered_no_change(desk: Any) -> None:
    login = f"nguoi-xem-{time.time_ns()}"
    desk.person(login, "viewer")
    page = desk.open("/duty?tab=rotas", login=login)
    expect(page.get_by_role("heading", name="Lịch trực")).to_be_visible()
    expect(page.get_by_role("button", name="Lập lịch trực")).to_have_count(0)
    expect(page.get_by_text("Chưa có lịch trực.")).to_be_visible()

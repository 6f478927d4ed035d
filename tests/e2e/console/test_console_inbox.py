"""Citizens' reports on the console: they arrive, are moderated with the original kept, and lead to an incident."""

from __future__ import annotations

import time
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect


def reported(desk: Any, text: str) -> int:
    told = {"service": "rac-thai", "text": text, "lon": 105.63, "lat": 10.455, "phone": "0912345678"}
    answer = desk.api.post("/api/v1/reports", json=told)
    assert answer.is_success, answer.text
    return int(answer.json()["report"]["id"])


def test_a_report_arrives_is_accepted_with_its_original_kept_and_opens_an_incident(desk: Any) -> None:
    login = f"tiep-nhan-{time.time_ns()}"
    desk.person(login)
    page = desk.open("/inbox", login=login)
    text = f"Rác đổ đầy đường {time.time_ns()}, gọi 0912345678"
    number = reported(desk, text)
    page.locator(f"a[href^='/inbox/{number}']").click()  # told by the stream
    expect(page.locator("del")).to_contain_text("0912345678")
    bars_nobody(page)
    page.get_by_role("button", name="Tiếp nhận", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Lời công khai")).not_to_have_value(text)
    bars_nobody(page)
    dialog.get_by_role("button", name="Tiếp nhận").click()
    page.get_by_role("button", name="Mở vụ việc").click()
    page.get_by_role("dialog").get_by_role("button", name="Mở vụ việc").click()
    expect(page.get_by_role("link", name="Vụ việc #").last).to_be_visible()
    kept = desk.api.get(f"/api/v1/reports/{number}").json()["report"]
    assert kept["text"] == text and "0912345678" not in kept["public_text"]


def test_who_sent_it_is_masked_and_showing_it_says_that_it_is_kept(desk: Any) -> None:
    number = reported(desk, f"Đèn đường tắt {time.time_ns()}")
    page = desk.open(f"/inbox/{number}", width=390)
    sender = page.get_by_role("region", name="Người gửi")
    expect(sender).not_to_contain_text("0912345678")
    sender.get_by_role("button", name="Hiện đầy đủ").click()
    expect(sender).to_contain_text("0912345678")
    expect(sender).to_contain_text("Đã ghi vào nhật ký kiểm tra")
    bars_nobody(page)
    sender.get_by_role("button", name="Xóa thông tin người gửi").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Xóa thông tin").click()
    expect(sender).to_contain_text("đã được xóa")


def test_a_caller_is_told_the_receipt_code(desk: Any) -> None:
    page = desk.open("/inbox")
    page.get_by_role("button", name="Ghi phản ánh qua điện thoại").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Loại phản ánh").select_option("rac-thai")
    dialog.get_by_label("Người dân nói gì").fill("Rác trước cổng chợ")
    dialog.get_by_label("Xã, phường").select_option(label="Phường Cao Lãnh")
    bars_nobody(page)
    dialog.get_by_role("button", name="Ghi lại").click()
    expect(page.locator(".receipt")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Đóng").click()
    expect(page.get_by_role("heading", name="Phản ánh #")).to_be_visible()

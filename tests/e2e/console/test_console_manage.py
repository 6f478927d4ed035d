"""Managing the centre: the guided start, people, tokens, names that wait, dead letters, health, audit, settings."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from browsing import bars_nobody
from playwright.sync_api import Page, expect

SCREENS = (
    "/start",
    "/people",
    "/people/units",
    "/people/roles",
    "/people/restrictions",
    "/people/why",
    "/tokens",
    "/quarantine",
    "/dead-letters",
    "/health",
    "/audit",
    "/settings",
    "/settings/calendar",
    "/settings/procedures",
)


def shown(page: Page) -> None:
    """Until a screen has its title and what it asked for."""
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#content [aria-busy=true]")).to_have_count(0)


def test_a_device_is_connected_from_its_token_to_its_first_record(desk: Any) -> None:
    page = desk.open("/start")
    name = f"quan-tri-{time.time_ns()}"
    page.get_by_label("Tên thiết bị").fill(name)
    page.get_by_role("button", name="Cấp mã và xem lệnh gửi").click()
    command = page.locator("#start-command").inner_text()
    expect(page.locator("#start-arrived")).to_contain_text("Đang chờ bản ghi đầu tiên")
    secret = command.partition("Bearer ")[2].partition("'")[0]
    sent = httpx.post(
        f"{desk.http}/api/v1/observations",
        json=[{"datastream": f"{name}/level", "result": 1.42}],
        headers={"Authorization": f"Bearer {secret}"},
        trust_env=False,
    )
    assert sent.json()["quarantined"] == [0]
    expect(page.locator("#start-arrived")).to_contain_text("Đã nhận bản ghi đầu tiên")
    bars_nobody(page)
    page.get_by_role("button", name="Tiếp nhận").click()
    expect(page.locator("#start-arrived")).to_contain_text("dữ liệu đang vào")
    assert desk.api.get(f"/api/v1/things/{name}").is_success


def test_a_person_is_added_gets_a_role_and_a_link_and_is_barred(desk: Any) -> None:
    login = f"truc-{time.time_ns()}"
    page = desk.open("/people")
    page.get_by_role("button", name="Thêm người").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tên đăng nhập").fill("administrator")
    dialog.get_by_role("button", name="Thêm").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Đã có người thay đổi trước")
    desk.provokes(page, "status of 409")
    dialog.get_by_label("Tên đăng nhập").fill(login)
    dialog.get_by_role("button", name="Thêm").click()
    expect(page.locator("h1")).to_have_text(login)
    page.get_by_role("button", name="Giao vai trò").click()
    page.get_by_role("dialog").get_by_role("button", name="Giao vai trò").click()
    expect(page.get_by_role("button", name="Thu hồi vai trò trực ban")).to_be_visible()
    bars_nobody(page)
    page.get_by_role("button", name="Liên kết đặt mật khẩu").click()
    page.get_by_role("button", name="Tạo liên kết").click()
    expect(page.locator("#person-link")).to_contain_text("#link=")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Khóa tài khoản").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Khóa tài khoản").click()
    expect(page.locator("dd .pill.bad")).to_have_text("đã khóa")


def test_why_somebody_may_not_is_said_in_words(desk: Any) -> None:
    login = f"hoi-{time.time_ns()}"
    desk.person(login, "viewer")
    page = desk.open(f"/people/why?person={login}&action=incident.close&record=unit:29869")
    expect(page.locator("#content")).to_contain_text("Vai trò người xem (toàn tỉnh) không bao gồm: Đóng vụ việc.")
    bars_nobody(page)


def test_a_name_that_waits_appears_at_once_and_is_dropped_to_the_dead_letters(desk: Any) -> None:
    page = desk.open("/quarantine")
    shown(page)
    name = f"la-{time.time_ns()}"
    desk.api.post("/api/v1/observations", json=[{"datastream": f"{name}/level", "result": 2.5}]).raise_for_status()
    row = page.get_by_role("row").filter(has_text=name)
    row.click()
    expect(page.locator("section pre")).to_contain_text("2.5")
    bars_nobody(page)
    page.locator("section").get_by_role("button", name="Loại").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Loại").click()
    expect(row).to_have_count(0)
    page.goto(f"{desk.http}/dead-letters?q=dropped")
    letter = page.get_by_role("row").filter(has_text="dropped by").first
    letter.click()
    expect(page.locator("section pre")).to_contain_text(name)
    bars_nobody(page)
    page.locator("section").get_by_role("button", name="Thử lại").click()
    expect(page.locator(".said")).to_contain_text("đang chờ")


def test_a_token_is_made_with_what_to_send_and_revoked_by_name(desk: Any) -> None:
    name = f"ma-{time.time_ns()}"
    page = desk.open("/tokens")
    page.get_by_role("button", name="Cấp mã mới").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tên", exact=True).fill(name)
    dialog.get_by_role("button", name="Cấp mã mới").click()
    secret = page.locator("#token-secret").inner_text()
    expect(dialog).to_contain_text(f"Bearer {secret}")
    bars_nobody(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"Thu hồi mã {name}").click()
    question = page.get_by_role("alertdialog")
    expect(question).to_contain_text(f"Thu hồi mã {name}?")
    question.get_by_role("button", name="Thu hồi").click()
    expect(page.get_by_role("button", name=f"Thu hồi mã {name}")).to_have_count(0)


def test_the_audit_log_is_filtered_in_the_address_and_verified(desk: Any) -> None:
    page = desk.open("/audit?action=sign_in*&since=1d")
    expect(page.get_by_role("row").nth(1)).to_contain_text("đăng nhập")
    page.get_by_role("button", name="Kiểm tra toàn vẹn").click()
    page.get_by_role("button", name="Bắt đầu kiểm tra").click()
    expect(page.get_by_role("dialog")).to_contain_text("Nhật ký nguyên vẹn")
    bars_nobody(page)


def test_outlines_are_looked_at_before_they_are_imported(desk: Any) -> None:
    page = desk.open("/start")
    bad = b'{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "Atlantis"}}]}'
    page.locator("input[type=file]").set_input_files({"name": "xa.geojson", "mimeType": "", "buffer": bad})
    expect(page.locator("#content")).to_contain_text("1 đối tượng không dùng được")
    expect(page.locator("#content")).to_contain_text("Atlantis")


def test_who_may_not_manage_is_not_offered_it(desk: Any) -> None:
    login = f"xem-{time.time_ns()}"
    desk.person(login, "viewer")
    page = desk.open("/health", login=login)
    expect(page.locator("h1")).to_have_text("Tình trạng")
    rail = page.locator("nav.rail")
    expect(rail).to_contain_text("Người dùng")
    for title in ("Cấu hình", "Nhật ký kiểm tra", "Mã truy cập"):
        expect(rail).not_to_contain_text(title)
    assert "Thêm người" not in page.content()


@pytest.mark.parametrize("width", [390, 1440])
def test_every_screen_bars_nobody_at_any_width(desk: Any, width: int) -> None:
    page = desk.open("/start", width=width, theme="light" if width == 390 else "dark")
    for path in SCREENS:
        page.goto(desk.http + path)
        shown(page)
        bars_nobody(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path

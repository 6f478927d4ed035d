"""Incidents on the console: the queue, one incident worked on to its end, what others changed meanwhile, figures."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import Any

from browsing import CUT, bars_nobody
from PIL import Image
from playwright.sync_api import Page, Route, expect

PLACE = "29869"


def made(desk: Any, title: str, **more: Any) -> int:
    answer = desk.api.post("/api/v1/incidents", json={"title": title, "domain": "water", "commune": PLACE, **more})
    assert answer.is_success, answer.text
    return int(answer.json()["incident"]["id"])


def state(desk: Any, number: int) -> str:
    return str(desk.api.get(f"/api/v1/incidents/{number}").json()["incident"]["state"])


def fits(page: Page) -> None:
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, f"{width} px to the side"


def test_the_queue_hears_of_new_ones_and_is_worked_by_keys(desk: Any, until: Callable[..., None]) -> None:
    mark = f"hàng đợi {time.time_ns()}"
    page = desk.open(f"/incidents?text={mark}")
    expect(page.locator("#content")).to_contain_text("Không có vụ việc nào khớp")
    bars_nobody(page)
    first = made(desk, f"Một {mark}", severity="high")
    second = made(desk, f"Hai {mark}", severity="low")
    expect(page.get_by_role("row").filter(has_text=f"#{second}")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=f"#{first}")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("a")
    until(lambda: "acknowledged" in (state(desk, first), state(desk, second)))
    bars_nobody(page)
    page.get_by_role("button", name="Mức độ", exact=True).first.click()
    page.get_by_label("cao", exact=True).check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("row").filter(has_text=f"#{second}")).to_have_count(0)
    assert "severity=3" in page.url
    page.keyboard.press("k")
    page.get_by_role("row").filter(has_text=f"#{first}").focus()  # Enter on the button would open its menu again
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Một {mark}")


def test_one_opened_between_the_first_reading_and_the_line_is_not_missed(desk: Any) -> None:
    mark = f"giữa chừng {time.time_ns()}"
    page = desk.open("/tokens")  # there nobody listens for incidents
    made_here = []

    def hold(route: Route) -> None:
        expect(page.locator("#content")).to_contain_text("Không có vụ việc nào khớp")  # it was read
        made_here.append(made(desk, mark))
        route.continue_()

    page.route(re.compile(r"/api/v1/stream\?kinds=[^&]*incident"), hold, times=1)
    page.evaluate(
        "to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); }",
        f"/incidents?text={mark}",
    )
    expect(page.get_by_role("row").filter(has_text=mark)).to_be_visible()
    assert len(made_here) == 1, made_here


def test_one_is_opened_by_hand_and_those_alike_are_shown_before(desk: Any) -> None:
    there = made(desk, "Sạt lở bờ kênh thử nghiệm", lon=105.63, lat=10.46)
    page = desk.open("/incidents?new=true")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Việc gì", exact=True).fill("Sạt lở bờ kênh thử nghiệm")
    dialog.get_by_label("Lĩnh vực").select_option("water")
    dialog.get_by_label("vĩ độ").fill("21")
    dialog.get_by_label("kinh độ").fill("100")
    expect(dialog).to_contain_text("Nằm ngoài tỉnh")
    dialog.get_by_role("button", name="Mở vụ việc").click()
    expect(dialog.get_by_role("alert")).to_contain_text("outside the province")
    dialog.get_by_label("vĩ độ").fill("10.4601")
    dialog.get_by_label("kinh độ").fill("105.6301")
    expect(dialog).to_contain_text(f"#{there}")
    bars_nobody(page)
    dialog.get_by_role("button", name="Vẫn mở vụ việc mới").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sạt lở bờ kênh thử nghiệm")
    assert not page.url.endswith(f"/{there}")
    desk.provokes(page, "status of 400")


def test_an_incident_is_worked_on_to_its_end(desk: Any, until: Callable[..., None]) -> None:
    login = f"xu-ly-{time.time_ns()}"
    desk.person(login, "shift_lead")
    number = made(desk, "Nước tràn đê thử", severity="high")
    page = desk.open(f"/incidents/{number}", login=login)
    page.get_by_role("button", name="Nhận vụ việc", exact=True).click()
    expect(page.locator("#content .facts-of")).to_contain_text("đã nhận")

    page.get_by_placeholder("Viết ý kiến").type(f"nhờ @{login[:-2]}")
    page.get_by_role("option").first.click()
    expect(page.get_by_placeholder("Viết ý kiến")).to_have_value(f"nhờ @{login} ")
    page.reload()
    expect(page.get_by_placeholder("Viết ý kiến")).to_have_value(f"nhờ @{login} ")
    page.get_by_role("button", name="Gửi").click()
    expect(page.locator("li.comment")).to_contain_text(f"nhờ @{login}")

    picture = io.BytesIO()
    Image.new("RGB", (60, 40), "navy").save(picture, "JPEG")
    page.locator("input[type=file]").first.set_input_files(
        {"name": "hien-truong.jpg", "mimeType": "image/jpeg", "buffer": picture.getvalue()}
    )
    page.get_by_role("button", name="Xem hien-truong.jpg").click()
    expect(page.get_by_role("dialog").locator("img")).to_be_visible()
    expect(page.get_by_role("dialog")).to_contain_text("SHA-256")
    page.get_by_role("dialog").get_by_role("button", name="Đóng").click()

    page.get_by_role("button", name="Thêm việc").click()
    page.get_by_role("dialog").get_by_label("Việc gì", exact=True).fill("Gọi xã bên")
    page.get_by_role("dialog").get_by_role("button", name="Thêm", exact=True).click()
    page.get_by_role("button", name="Xong: Gọi xã bên").click()
    page.get_by_role("dialog").get_by_role("button", name="Xong", exact=True).click()
    expect(page.locator("li.done").filter(has_text="Gọi xã bên")).to_be_visible()
    bars_nobody(page)

    page.get_by_role("button", name="Đã giải quyết", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Đã giải quyết", exact=True).click()
    page.get_by_role("button", name="Đóng vụ việc", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Đóng vụ việc", exact=True).click()
    until(lambda: state(desk, number) == "closed")
    expect(page.get_by_role("button", name="Mở lại")).to_be_visible()
    fits(page)


def test_who_comes_second_is_told_what_changed_and_asked_again(desk: Any, until: Callable[..., None]) -> None:
    number = made(desk, "Hai người cùng sửa")
    page = desk.open(f"/incidents/{number}")
    expect(page.get_by_role("button", name="Bắt đầu xử lý")).to_be_visible()
    page.route("**/api/v1/stream*", lambda route: route.abort())
    page.route(f"**/api/v1/incidents/{number}/start", lambda route: (
        desk.api.post(f"/api/v1/incidents/{number}/severity", json={"severity": 4}) if state(desk, number) == "open"
        and desk.api.get(f"/api/v1/incidents/{number}").json()["incident"]["severity"] == 2 else None,
        route.continue_(),
    ))  # fmt: skip
    page.get_by_role("button", name="Bắt đầu xử lý").click()
    asked = page.get_by_role("alertdialog")
    expect(asked).to_contain_text("Vẫn làm: Bắt đầu xử lý?")
    assert state(desk, number) == "open"
    asked.get_by_role("button", name="Vẫn làm").click()
    until(lambda: state(desk, number) == "in_progress")
    desk.provokes(page, *CUT, "status of 409")


def test_two_become_one_and_a_part_becomes_its_own(desk: Any, until: Callable[..., None]) -> None:
    into, number = made(desk, "Kè nứt phía trên"), made(desk, "Kè nứt phía dưới", severity="critical")
    page = desk.open(f"/incidents/{number}")
    page.get_by_role("button", name="Việc khác").click()
    page.get_by_role("menuitem", name="Gộp vào vụ việc khác").click()
    page.get_by_label("Tìm vụ việc nhận gộp").fill("Kè nứt phía trên")
    page.get_by_role("radio").first.check()
    expect(page.get_by_role("dialog")).to_contain_text(f"#{number} kết thúc, #{into} đi tiếp")
    bars_nobody(page)
    page.get_by_role("button", name=f"Gộp vào #{into}").click()
    until(lambda: state(desk, number) == "merged")
    expect(page.get_by_role("heading", level=1)).to_have_text("Kè nứt phía trên")
    page.get_by_role("button", name="Việc khác").click()
    page.get_by_role("menuitem", name="Tách thành vụ việc mới").click()
    page.get_by_role("dialog").get_by_role("checkbox").first.check()
    page.get_by_label("Tên vụ việc mới").fill("Kè nứt, phần tách ra")
    page.get_by_role("button", name="Tách 1 mục").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kè nứt, phần tách ra")


def test_who_may_not_see_it_is_told_that_there_is_none(desk: Any) -> None:
    desk.person("xa-khac-vu-viec", "operator", unit="29926")
    number = made(desk, "Vụ của xã khác")
    page = desk.open(f"/incidents/{number}", login="xa-khac-vu-viec")
    expect(page.get_by_role("alert")).to_contain_text("Không còn nữa")
    desk.provokes(page, "status of 404")


def test_the_figures_open_to_their_incidents_and_the_phone_shows_all(desk: Any) -> None:
    number = made(desk, f"Cho số liệu {time.time_ns()}")
    page = desk.open("/incidents/figures?by=domain")
    page.locator(".tiles .figure").first.click()
    expect(page.get_by_role("dialog")).to_contain_text(f"#{number}")
    bars_nobody(page)
    phone = desk.open("/incidents", width=390, height=844)
    expect(phone.get_by_role("row").nth(1)).to_be_visible()
    bars_nobody(phone)
    fits(phone)
    phone.goto(f"{desk.http}/incidents/{number}")
    expect(phone.get_by_role("heading", level=1)).to_be_visible()
    expect(phone.get_by_role("button", name="Nhận vụ việc", exact=True)).to_be_visible()
    bars_nobody(phone)
    fits(phone)

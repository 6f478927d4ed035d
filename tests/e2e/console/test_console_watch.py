"""The desk: alarms come, are acted on and go; what others change is told; after a break nothing is missed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browsing import CUT, bars_nobody
from playwright.sync_api import Page, Route, expect

NAMES = ("truc-1", "truc-2", "truc-3")
Until = Callable[..., None]


@pytest.fixture(autouse=True)
def quiet(desk: Any, until: Until) -> Iterator[None]:
    """Our three stations are there, and none of their alarms is open when a test begins."""
    for name in NAMES:
        desk.station(name)

    def ours(states: str) -> list[dict[str, Any]]:
        items = desk.api.get("/api/v1/alarms", params={"state": states, "source": "truc-*", "limit": 100}).json()[
            "items"
        ]
        return [alarm for alarm in items if alarm["condition"] == "test.high_water"]

    desk.say(**{name.replace("-", "_"): 1.0 for name in NAMES})
    for alarm in ours("shelved"):
        desk.api.post(f"/api/v1/alarms/{alarm['id']}/unshelve", json={}).raise_for_status()
    until(
        lambda: not [alarm for alarm in ours("unacknowledged,acknowledged,returned_unacknowledged") if alarm["active"]]
    )
    for alarm in ours("returned_unacknowledged"):
        desk.api.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={}).raise_for_status()
    yield


def line(page: Page, source: str) -> Any:
    return page.get_by_role("grid", name="Báo động").get_by_role("row").filter(has_text=source)


def fits(page: Page) -> None:
    wide = page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`).slice(0, 8)"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), wide


def test_an_alarm_appears_live_is_acknowledged_and_goes(desk: Any) -> None:
    page = desk.open("/?q=truc-")
    began = time.monotonic()
    desk.say(truc_1=3.5)
    item = line(page, "truc-1/level")
    expect(item).to_be_visible(timeout=3000)
    assert time.monotonic() - began < 3
    expect(item).to_contain_text("Nước cao")
    expect(item).to_contain_text("nguy cấp")
    expect(item).to_contain_text("3,5")
    expect(page).to_have_title(re.compile(r"^\(\d+\) "))
    with page.expect_response("**/acknowledge"):  # what is shown at once is not yet what the centre knows
        item.get_by_role("button", name=re.compile("Xác nhận")).click()
        expect(item).to_contain_text("đã xác nhận")
    desk.say(truc_1=1.0)
    expect(item).to_have_count(0)


def test_the_details_of_an_alarm_tell_its_rule_and_its_evidence_in_words(desk: Any) -> None:
    page = desk.open("/?q=truc-")
    desk.say(truc_1=3.5)
    line(page, "truc-1/level").click()
    details = page.locator("section.panel").filter(has=page.get_by_role("heading", name="Chi tiết"))
    expect(details.get_by_role("link", name="Luật báo động")).to_have_attribute("href", "/rules/test.high_water")
    expect(details).to_contain_text("3,5 m")
    details.get_by_text("Chứng cứ").click()
    expect(details).to_contain_text(re.compile(r"Ngưỡng trên\s*2 m"))
    expect(details).to_contain_text(re.compile(r"Cách phát hiện\s*ngưỡng"))
    desk.say(truc_1=1.0)


def test_keys_select_shelve_comment_and_filter(desk: Any, until: Until) -> None:
    page = desk.open("/?q=truc-")
    desk.say(truc_2=4.0, truc_3=5.0)
    expect(line(page, "truc-")).to_have_count(2)
    page.keyboard.press("/")
    expect(page.locator("#alarms-filter")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("truc-3")
    expect(line(page, "truc-")).to_have_count(1)
    assert "q=truc-3" in page.url
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("section", has_text="Chi tiết").last).to_contain_text("truc-3/level")
    page.keyboard.press("c")
    page.get_by_role("dialog").locator("textarea").fill("đã gọi trạm")
    page.get_by_role("dialog").get_by_role("button", name="Lưu").click()
    expect(page.locator("section", has_text="Chi tiết").last).to_contain_text("đã gọi trạm")
    page.keyboard.press("s")
    page.get_by_role("dialog").get_by_role("button", name="Tạm gác").click()

    def shelved() -> list[str]:
        items = desk.api.get("/api/v1/alarms", params={"state": "shelved", "source": "truc-*"}).json()["items"]
        return [alarm["source"] for alarm in items]

    until(lambda: shelved() == ["truc-3/level"])
    expect(line(page, "truc-3")).to_have_count(0)
    page.locator("[data-sonner-toast]").get_by_role("button", name="Hoàn tác").click()
    until(lambda: shelved() == [])
    expect(line(page, "truc-3")).to_have_count(1)


def test_somebody_elses_change_is_told(desk: Any) -> None:
    page = desk.open("/?q=truc-1")
    desk.say(truc_1=4.0)
    item = line(page, "truc-1/level")
    expect(item).to_be_visible()
    found = desk.api.get("/api/v1/alarms", params={"state": "unacknowledged", "source": "truc-1/*"}).json()["items"]
    number = found[0]["id"]
    page.route(
        "**/acknowledge",
        lambda route: (desk.api.post(f"/api/v1/alarms/{number}/acknowledge", json={}), route.continue_()),
    )
    item.get_by_role("button", name=re.compile("Xác nhận")).click()
    expect(page.locator("[data-sonner-toast]").filter(has_text="Đã có người thay đổi trước")).to_be_visible()
    expect(item).to_contain_text("đã xác nhận")
    desk.provokes(page, "status of 409")


def test_an_alarm_that_comes_while_the_list_is_read_stays(desk: Any, until: Until) -> None:
    page = desk.open("/?q=truc-")
    desk.say(truc_1=9.0)
    item = line(page, "truc-1/level")
    expect(item).to_be_visible()

    def hold(route: Route) -> None:
        answer = route.fetch()  # from before the alarm, and it comes after it
        desk.say(truc_2=9.0)
        expect(line(page, "truc-2/level")).to_be_visible()
        route.fulfill(response=answer)

    page.route("**/api/v1/alarms?state=*", hold, times=1)
    page.route("**/acknowledge", lambda route: route.fulfill(status=409, json={"error": {"code": "conflict"}}))
    item.get_by_role("button", name=re.compile("Xác nhận")).click()  # refused: the list is read again
    expect(page.locator("[data-sonner-toast]").filter(has_text="thay đổi trước")).to_be_visible()
    expect(line(page, "truc-2/level")).to_be_visible()
    desk.provokes(page, "status of 409")


def test_rows_stay_under_the_hand_and_what_is_new_waits(desk: Any) -> None:
    page = desk.open("/?q=truc-")
    desk.say(truc_1=9.0, truc_3=9.0)
    rows = page.get_by_role("grid", name="Báo động").get_by_role("row").filter(has_text="truc-")
    expect(rows).to_have_count(2)
    first, second = (rows.nth(at).inner_text().splitlines() for at in (0, 1))
    source = next(word for word in first if word.startswith("truc-"))
    rows.nth(0).hover()
    desk.say(truc_2=9.0, **{source.split("/")[0].replace("-", "_"): 1.0})
    fresh = page.get_by_role("button", name="1 báo động mới")
    for _ in range(200):  # the hand does not rest
        page.mouse.move(*_inside(rows.nth(0)))
        if fresh.is_visible():
            break
        page.wait_for_timeout(50)
    rows.nth(0).hover()
    expect(fresh).to_be_visible()
    assert rows.nth(0).inner_text().splitlines()[:3] == first[:3]
    assert rows.nth(1).inner_text().splitlines()[:3] == second[:3]
    page.mouse.move(5, 5)
    expect(rows.nth(0)).to_contain_text("truc-2")
    expect(fresh).to_have_count(0)


def _inside(row: Any) -> tuple[float, float]:
    box = row.bounding_box()
    return box["x"] + 40 + time.time() % 1 * 20, box["y"] + box["height"] / 2


def test_an_answer_that_comes_after_the_end_brings_no_alarm_back(desk: Any) -> None:
    page = desk.open("/?q=truc-1")
    desk.say(truc_1=9.0)
    item = line(page, "truc-1/level")
    expect(item).to_be_visible()

    def hold(route: Route) -> None:
        answer = route.fetch()
        desk.say(truc_1=1.0)
        expect(item).to_have_count(0)
        route.fulfill(response=answer)

    page.route("**/acknowledge", hold, times=1)
    with page.expect_response("**/acknowledge"):
        item.get_by_role("button", name=re.compile("Xác nhận")).click()
    page.wait_for_timeout(1000)  # it is shown within half a second, if at all
    expect(item).to_have_count(0)


def test_an_incident_is_opened_from_an_alarm(desk: Any, until: Until) -> None:
    page = desk.open("/?q=truc-1")
    desk.say(truc_1=4.0)
    line(page, "truc-1/level").click()
    page.get_by_role("button", name="Mở vụ việc").click()
    title = f"Nước lên trạm {time.time_ns()}"
    page.get_by_role("dialog").locator("input").fill(title)
    page.keyboard.press("Enter")

    def opened() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = desk.api.get("/api/v1/incidents", params={"text": title}).json()["items"]
        return items

    until(lambda: len(opened()) == 1)
    number = opened()[0]["id"]
    until(
        lambda: [
            link["kind"]
            for link in desk.api.get(f"/api/v1/incidents/{number}").json()["links"]
            if link["kind"] == "alarm"
        ]
    )


def test_the_arrangement_is_kept(desk: Any) -> None:
    page = desk.open()
    page.get_by_role("button", name="Sắp xếp ô Vụ việc").click()
    page.get_by_role("menuitem", name="Ẩn ô này").click()
    expect(page.get_by_role("heading", name="Vụ việc")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name=re.compile("^Báo động"))).to_be_visible()
    expect(page.get_by_role("heading", name="Vụ việc")).to_have_count(0)
    page.get_by_role("button", name="Sắp xếp", exact=True).click()
    page.get_by_role("menuitem", name="Trở lại ban đầu").click()
    expect(page.get_by_role("heading", name="Vụ việc")).to_be_visible()


def test_a_lost_connection_is_told_and_nothing_is_missed_after_it(desk: Any, until: Until) -> None:
    page = desk.open("/?q=truc-")
    roles = desk.api.get("/api/v1/system").json()["roles"]
    gateway = int(next(found["pid"] for found in roles if found["role"] == "gateway"))
    os.kill(gateway, signal.SIGSTOP)
    try:
        expect(page.locator("#banner")).to_contain_text("Mất kết nối", timeout=25_000)
        expect(page.locator("#link")).to_have_text("mất kết nối")
    finally:
        os.kill(gateway, signal.SIGCONT)
    expect(page.locator("#link")).to_have_text("trực tiếp", timeout=20_000)
    expect(page.locator("#banner")).to_have_count(0)
    desk.say(truc_1=9.0)
    expect(line(page, "truc-1/level")).to_be_visible(timeout=10_000)
    desk.provokes(page, *CUT)


def test_the_gateway_killed_and_restarted_leaves_the_page_right(desk: Any, until: Until) -> None:
    page = desk.open("/?q=truc-")
    desk.say(truc_2=4.0)
    expect(line(page, "truc-2/level")).to_be_visible()
    expect(page.get_by_role("toolbar", name="Công cụ bản đồ")).to_be_visible()  # all of the page has come
    roles = desk.api.get("/api/v1/system").json()["roles"]
    os.kill(int(next(found["pid"] for found in roles if found["role"] == "gateway")), signal.SIGKILL)
    expect(page.locator("#link")).to_have_text("mất kết nối", timeout=15_000)

    def back() -> bool:
        with contextlib.suppress(Exception):
            return bool(desk.api.get("/readyz").status_code == 200)
        return False

    until(back, 40)
    desk.say(truc_2=1.0, truc_3=4.0)
    expect(page.locator("#link")).to_have_text("trực tiếp", timeout=15_000)
    expect(line(page, "truc-3/level")).to_be_visible(timeout=10_000)
    button = line(page, "truc-2/level").get_by_role("button")
    expect(button).to_have_attribute("title", re.compile("đã hết"), timeout=10_000)
    desk.provokes(page, *CUT)


@pytest.mark.parametrize(
    ("width", "theme", "language"), [(1440, "dark", "vi"), (390, "light", "en"), (320, "dark", "vi")]
)
def test_nothing_bars_people_with_disabilities(desk: Any, width: int, theme: str, language: str) -> None:
    desk.say(truc_1=4.0)
    page = desk.open("/?q=truc-", width=width, theme=theme, language=language)
    row = page.get_by_role("grid").first.get_by_role("row").nth(1)
    expect(row).to_be_visible()
    bars_nobody(page)
    fits(page)
    row.click()
    expect(page.locator("dl.facts").first).to_be_visible()
    bars_nobody(page)
    fits(page)

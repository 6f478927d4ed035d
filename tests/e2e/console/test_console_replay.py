"""Replay: an hour is played, marked as replay, and the live stores are left alone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect


def test_an_hour_is_played_again(desk: Any, until: Callable[..., None]) -> None:
    name = f"tram-phat-lai-{time.time_ns()}"
    desk.station(name)
    now = time.time()
    rows = [
        {"datastream": f"{name}/level", "at": now - 600 + n * 10, "result": 3.0 if n == 20 else 1.0} for n in range(50)
    ]
    assert desk.api.post("/api/v1/observations", json=rows).is_success
    asked = {"source": f"{name}/*"}
    until(lambda: desk.api.get("/api/v1/alarms", params=asked).json()["total"] == 1)
    since, stop = int((now - 900) * 1e6), int((now - 60) * 1e6)
    page = desk.open(f"/replay?from={since}&to={stop}&speed=60")
    expect(page.locator(".mark")).to_contain_text("PHÁT LẠI")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Phát lại")
    expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)
    page.locator(".map canvas").first.wait_for(timeout=20_000)
    bars_nobody(page)
    clock = page.locator("#replay-clock")
    before = clock.inner_text()
    page.locator("body").press("Space")
    expect(page.get_by_role("row").filter(has_text=name)).to_have_count(1, timeout=20_000)
    page.locator("body").press("Space")
    assert clock.inner_text() != before
    page.get_by_role("button", name="Diễn biến").click()
    expect(page.locator("ol")).to_contain_text(name)
    page.locator("body").press("ArrowRight")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_time_is_chosen_first(desk: Any) -> None:
    page = desk.open("/replay")
    expect(page.locator("#content")).to_contain_text("Chọn khoảng thời gian để phát lại")
    bars_nobody(page)
    page.get_by_role("button", name="1 giờ").click()
    page.wait_for_url(re.compile("from="))
    expect(page.locator(".mark")).to_be_visible()


def test_a_drill_hides_what_was_done_and_shows_it_at_the_end(desk: Any, until: Callable[..., None]) -> None:
    name = f"tram-dien-tap-{time.time_ns()}"
    desk.station(name)
    now = time.time()
    rows = [
        {"datastream": f"{name}/level", "at": now - 600 + n * 10, "result": 3.0 if n >= 20 else 1.0} for n in range(50)
    ]
    assert desk.api.post("/api/v1/observations", json=rows).is_success
    asked = {"source": f"{name}/*"}
    until(lambda: desk.api.get("/api/v1/alarms", params=asked).json()["total"] == 1)
    [alarm] = desk.api.get("/api/v1/alarms", params=asked).json()["items"]
    raised = alarm["raised"] / 1e6
    since, stop = int((raised - 30) * 1e6), int((raised + 380) * 1e6)
    page = desk.open(f"/replay?from={since}&to={stop}&speed=10&drill=1")
    expect(page.locator(".mark")).to_contain_text("DIỄN TẬP")
    expect(page.get_by_role("slider")).to_be_disabled()
    page.locator("#replay-play").click()
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_have_count(1)
    bars_nobody(page)
    row.click()
    page.keyboard.press("2")
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Kết thúc diễn tập").click()
    outcome = page.get_by_role("region", name="Kết quả diễn tập")
    expect(outcome.get_by_role("row").filter(has_text=name)).to_contain_text("Mở vụ việc")
    expect(outcome.get_by_role("row").filter(has_text=name)).to_contain_text("không ai xác nhận")
    bars_nobody(page)
    with page.expect_download() as kept:
        page.get_by_role("button", name="CSV").click()
    assert name in kept.value.path().read_text()
    state = desk.api.get("/api/v1/alarms", params=asked).json()["items"][0]["state"]
    assert state == "unacknowledged"  # nothing of it reached the centre
    page.goto(f"{desk.http}/replay")
    expect(page.get_by_role("region", name="Các buổi diễn tập trước")).to_contain_text("trả lời 1/")

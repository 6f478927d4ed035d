"""The map: what it shows, what is selected on it and through the search, who sees movers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect

MAP = "[role=toolbar]"


def sail(desk: Any, name: str, lon: float = 105.62, lat: float = 10.45) -> None:
    desk.api.post("/api/v1/things", json={"movers": [{"key": name, "name": f"Tàu {name}", "domain": "traffic"}]})
    row = {"mover": name, "lon": lon, "lat": lat, "speed_kn": 7.5, "course_deg": 45.0}
    answer = desk.api.post("/api/v1/positions", json=[row])
    assert answer.is_success, answer.text


def test_a_mover_appears_on_the_map_and_is_found_selected_and_followed(desk: Any, until: Callable[..., None]) -> None:
    sail(desk, "tau-tim")
    page = desk.open("/map")
    page.wait_for_selector(MAP, timeout=60_000)
    until(lambda: int(page.get_attribute("[data-movers]", "data-movers") or 0) > 0)
    page.fill("#search", "tau tim")
    expect(page.locator(".search-hit")).to_contain_text(["Tàu tau-tim"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    card = page.get_by_role("region", name="Đang chọn")
    expect(card).to_contain_text("7,5 hải lý/giờ")
    expect(card.get_by_role("link", name="Lịch sử")).to_have_attribute("href", "/movers/tau-tim")
    sail(desk, "tau-tim", lon=105.63)
    bars_nobody(page)


def test_places_are_found_by_their_old_names_and_incidents_by_their_number(desk: Any) -> None:
    made = desk.api.post("/api/v1/incidents", json={"title": "Sạt lở để tìm", "domain": "water", "severity": "high"})
    number = made.json()["incident"]["id"] if "incident" in made.json() else made.json()["id"]
    page = desk.open("/map", language="en")
    page.fill("#search", "gao giong")
    expect(page.locator(".search-hit").first).to_contain_text("formerly Xã Gáo Giồng, Huyện Cao Lãnh")
    page.fill("#search", f"#{number}")
    expect(page.locator(".search-hit").first).to_contain_text("Sạt lở để tìm")
    page.fill("#search", "khong dau co ten nay")
    expect(page.locator("header [role=status].remark")).to_contain_text("Nothing is called")
    bars_nobody(page)


def test_layers_are_turned_off_and_stay_off_on_a_phone(desk: Any) -> None:
    page = desk.open("/map", width=390, height=844, theme="light")
    page.wait_for_selector(MAP, timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Lớp và chú giải").click()
    page.get_by_label("Trạm, thiết bị").uncheck()
    bars_nobody(page)
    page.reload()
    page.wait_for_selector(MAP, timeout=60_000)
    page.get_by_role("button", name="Lớp và chú giải").click()
    expect(page.get_by_label("Trạm, thiết bị")).not_to_be_checked()


def test_a_drawn_area_lists_what_lies_inside(desk: Any) -> None:
    name = f"tram-ve-{time.time_ns()}"
    desk.station(name, lon=105.98, lat=10.55)
    page = desk.open("/map")
    page.wait_for_selector(MAP, timeout=60_000)
    page.get_by_role("button", name="Vẽ vùng").click()
    drawing = page.get_by_role("region", name="Vẽ vùng")
    expect(drawing).to_contain_text("Bấm để đặt từng góc")
    box = page.locator(".canvas canvas").bounding_box()
    assert box is not None
    middle_x, middle_y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for dx, dy in ((-120, -120), (120, -120), (120, 120), (-120, 120), (-120, 120)):
        page.mouse.move(middle_x + dx, middle_y + dy)
        page.mouse.click(middle_x + dx, middle_y + dy, delay=30)
        page.wait_for_timeout(350)  # two clicks at once would be a double click
    expect(drawing).to_contain_text(name)
    drawing.get_by_role("button", name=f"Trạm {name}").click()
    expect(drawing.get_by_role("button", name=f"Trạm {name}")).to_have_attribute("aria-pressed", "true")
    bars_nobody(page)

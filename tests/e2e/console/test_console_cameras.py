"""Cameras in the console: a moving picture, a line drawn on it, a test that says what is wrong, the wall."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import bars_nobody
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parents[2] / "observe"))

from camera_world import film


@pytest.fixture(scope="module")
def camera(desk_of_all: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A film as a camera, being read."""
    name = f"cam-phim-{time.time_ns()}"
    path = film(tmp_path_factory.mktemp("films") / "a.mp4", seconds=6)
    body = {"name": name, "title": "Camera thử", "address": str(path), "loop": True}
    desk_of_all.api.post("/api/v1/cameras", json=body).raise_for_status()
    return name


def _state(desk: Any, name: str) -> str:
    state = desk.api.get(f"/api/v1/cameras/{name}").json()["state"]
    return str(state["state"]) if state else ""


def _shown_s(page: Any) -> float:
    """How far the first picture of a page has played; asked from outside, for the page's policy allows no eval."""
    return float(page.evaluate("() => document.querySelector('video')?.currentTime ?? 0"))


def test_a_picture_moves_and_a_line_is_drawn_on_it(desk: Any, camera: str, until: Callable[..., None]) -> None:
    until(lambda: _state(desk, camera) == "live", limit_s=90)
    page = desk.open(f"/cameras/{camera}")
    video = page.locator("video").first
    expect(video).to_be_visible()
    until(lambda: _shown_s(page) > 0, limit_s=30)
    first = _shown_s(page)
    until(lambda: _shown_s(page) > first + 0.5)
    bars_nobody(page)
    page.get_by_role("link", name="Vạch và vùng").click()
    expect(page.get_by_role("button", name="Vạch đếm")).to_have_attribute("aria-pressed", "true")
    canvas = page.locator(".canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box is not None
    for share in (0.2, 0.8):
        page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
    expect(page.locator("line.line")).to_have_count(1)
    name = page.get_by_label("Tên vạch")
    name.fill("giữa cầu")
    bars_nobody(page)
    page.get_by_role("button", name="Lưu", exact=True).click()
    expect(page.get_by_role("button", name="Lưu", exact=True)).to_be_disabled()
    (line,) = desk.api.get(f"/api/v1/cameras/{camera}").json()["scene"]["lines"]
    assert line["name"] == "giữa cầu" and abs(line["start"][0] - 0.2) < 0.02 and abs(line["end"][0] - 0.8) < 0.02
    page.set_viewport_size({"width": 390, "height": 844})
    bars_nobody(page)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_list_the_wall_and_a_test_that_fails(desk: Any, camera: str, until: Callable[..., None]) -> None:
    until(lambda: _state(desk, camera) == "live", limit_s=90)
    page = desk.open("/cameras")
    expect(page.get_by_text("Camera thử")).to_be_visible()
    bars_nobody(page)
    page.get_by_role("button", name="Thêm camera").click()
    page.get_by_label("Địa chỉ").fill("http://127.0.0.1:9/khong-co")
    page.get_by_role("button", name="Thử kết nối").click()
    expect(page.get_by_role("dialog")).to_contain_text("nothing listens at this host and port", timeout=60_000)
    bars_nobody(page)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Tường hình").click()
    until(lambda: _shown_s(page) > 0, limit_s=30)
    page.keyboard.press("4")
    expect(page.locator(".tile")).to_have_count(16)
    bars_nobody(page)
    page.reload()
    expect(page.locator(".tile")).to_have_count(16)
    page.set_viewport_size({"width": 390, "height": 844})
    bars_nobody(page)
    page = desk.open("/cameras/forecast", width=390, height=844)
    expect(page.get_by_role("heading", name="Dự báo tuyến đường")).to_be_visible()
    bars_nobody(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

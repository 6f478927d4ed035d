"""Things, datastreams and movers: found in either spelling, with history, alarms, rules, quality of data."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from browsing import bars_nobody
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def station(desk_of_all: Any) -> str:
    """A station with an hour of values and a peak of 4 m in them."""
    desk = desk_of_all
    name = f"tram-dien-bien-{time.time_ns()}"
    desk.station(name)
    now = time.time()
    rows = [{"datastream": f"{name}/level", "at": now - 3600 + n * 30, "result": 1 + n / 200} for n in range(115)]
    rows[60]["result"] = 4.0
    answer = desk.api.post("/api/v1/observations", json=rows)
    assert answer.is_success, answer.text
    mover = {"key": f"tau-{name}", "name": f"Tàu {name}", "kind": "vessel", "domain": "sand"}
    desk.api.post("/api/v1/things", json={"movers": [mover]}).raise_for_status()
    track = [
        {"mover": mover["key"], "at": now - 1800 + n * 60, "lon": 105.6 + n / 1000, "lat": 10.4, "speed_kn": 5}
        for n in range(25)
    ]
    assert desk.api.post("/api/v1/positions", json=track).is_success
    return name


def test_a_thing_is_found_without_marks_and_shows_its_history(
    desk: Any, station: str, until: Callable[..., None]
) -> None:
    counted = {"key": f"{station}/level"}
    until(lambda: desk.api.get("/api/v1/sources/quality", params=counted).json()["quality"]["count"] >= 115)
    page = desk.open(f"/things?q=tram {station}")
    row = page.get_by_role("row").filter(has_text=station)
    expect(row).to_have_count(1)
    bars_nobody(page)
    row.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Trạm {station}")
    expect(page.locator(".chart .readout")).to_contain_text("lớn nhất 4 m", timeout=20_000)
    expect(page.locator(".chart canvas")).to_have_count(1)
    expect(page.get_by_role("heading", name="Chất lượng số liệu")).to_be_visible()
    expect(page.locator("#about-rules").locator("..")).to_contain_text("Nước cao")
    page.locator("#where").scroll_into_view_if_needed()
    page.locator(".map canvas").first.wait_for(timeout=20_000)
    bars_nobody(page)
    chart = page.locator(".field-of")
    chart.focus()
    chart.press("+")
    page.wait_for_url("**from=*")
    chart.press("Backspace")
    page.set_viewport_size({"width": 320, "height": 720})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_values_can_be_taken_home(desk: Any, station: str) -> None:
    page = desk.open(f"/datastreams?key={station}/level")
    expect(page.locator(".chart .readout")).to_contain_text("lần đo", timeout=20_000)
    with page.expect_download() as told:
        page.get_by_role("button", name="Tải số liệu (CSV)").click()
    text = told.value.path().read_text("utf-8-sig")
    assert text.splitlines()[0] == "datastream,time,result,unit"
    assert f"{station}/level" in text and ",4,m" in text
    bars_nobody(page)


def test_a_mover_shows_where_it_went(desk: Any, station: str) -> None:
    page = desk.open(f"/movers/tau-{station}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Tàu {station}")
    expect(page.locator("#trips").locator("..")).to_contain_text("di chuyển", timeout=20_000)
    bars_nobody(page)


def test_what_is_not_there_or_not_to_be_seen_says_so(desk: Any, station: str) -> None:
    page = desk.open("/things?q=khong-co-gi-het")
    expect(page.locator("#content")).to_contain_text("Không có gì phù hợp bộ lọc")
    login = f"xa-khac-{time.time_ns()}"
    desk.person(login, "commune_official", unit="28306")
    other = desk.open(f"/things/{station}", login=login)
    expect(other.locator("#content [role=alert]")).to_contain_text("Không còn nữa")
    desk.provokes(other, "status of 404")

"""The public form in a real browser: a phone, a keyboard, no scripts at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Running, until
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from thap.services.reports.receipts import clean_receipt

Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, running: Running) -> Iterator[Open]:
    """Opens a public page without a session; afterwards nothing may have gone wrong on it."""
    pages: list[Page] = []
    faults: list[str] = []

    def open_(path: str, *, width: int = 390, scripts: bool = True) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 844}, java_script_enabled=scripts)
        page = context.new_page()
        pages.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda said: (
                faults.append(said.text) if said.type in ("error", "warning") and "422" not in said.text else None
            ),
        )
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((running.http, "data:")) else faults.append(asked.url),
        )
        page.goto(running.http + path)
        return page

    yield open_
    for page in pages:
        page.context.close()
    assert faults == []


def proved(page: Page) -> None:
    """Waits for the proof of work."""
    until(lambda: page.locator("input[type=hidden][name=proof]").input_value())


def clean(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_report_is_sent_by_thumb_and_followed(visit: Open, running: Running, tmp_path: Path) -> None:
    page = visit("/reports")
    clean(page)
    page.get_by_role("link", name="Rác thải").click()
    expect(page.locator("#proof-sum")).to_be_hidden()
    clean(page)
    until(lambda: page.locator("#map").evaluate("canvas => canvas.width > 300"))
    page.select_option("#commune", label="Xã Tháp Mười")
    page.locator("#map").click()
    expect(page.locator("#point")).to_contain_text("Điểm đã đặt")
    page.fill("#text", "Rác trước cổng chợ")
    buffer = io.BytesIO()
    Image.new("RGB", (80, 60), (20, 120, 60)).save(buffer, "JPEG")
    page.set_input_files("#photo", [{"name": "anh.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}])
    expect(page.locator("#shots img")).to_have_count(1)
    proved(page)
    page.wait_for_timeout(4000)  # nobody writes faster than the form allows
    page.get_by_role("button", name="Gửi phản ánh").click()
    expect(page.locator(".receipt")).to_be_visible()
    code = page.locator(".receipt").inner_text()
    assert clean_receipt(code) == code
    clean(page)
    [report] = running.api.get("/api/v1/reports").json()["items"]
    assert report["lon"] is not None and report["source"] == "form"
    running.api.post(f"/api/v1/reports/{report['id']}/accept").raise_for_status()
    running.api.post(f"/api/v1/reports/{report['id']}/answer", json={"comment": "Đã dọn."}).raise_for_status()
    page.goto(running.http + "/reports")
    page.fill("#code", code.lower().replace("-", " "))
    page.get_by_role("button", name="Xem").click()
    expect(page.locator(".answer")).to_contain_text("Đã dọn.")
    clean(page)
    page.get_by_label("Rất hài lòng").check()
    page.get_by_role("button", name="Gửi đánh giá").click()
    expect(page.locator(".done")).to_contain_text("Rất hài lòng")


def test_the_point_is_set_by_keys_and_what_is_near_is_shown(visit: Open, running: Running) -> None:
    told = {"service": "ngap-ung", "text": "Nước vào nhà", "lon": 105.75, "lat": 10.5, "accept": True}
    running.api.post("/api/v1/reports", json=told).raise_for_status()
    page = visit("/reports/new/ngap-ung?lang=en", width=1100)
    canvas = page.locator("#map")
    until(lambda: page.evaluate("document.querySelector('#commune').options.length > 100"))
    canvas.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#point")).to_contain_text("Point set")
    first = page.locator("#point").inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#point")).not_to_have_text(first)
    page.get_by_role("button", name="Remove the point").click()
    expect(page.locator("#point")).to_have_text("No point set.")


def test_a_point_set_before_the_communes_are_there_is_judged_when_they_are(visit: Open) -> None:
    page = visit("/reports/new/ngap-ung?lang=en", width=1100)
    held: list[Route] = []
    page.route("**/reports/outlines.json", lambda route: held.append(route))  # noqa: PLW0108  Playwright marks what it calls
    page.reload()
    until(lambda: page.evaluate("1") and held)
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#point")).to_have_text("No point set.")
    held[0].continue_()
    expect(page.locator("#point")).to_contain_text("Point set")


def test_without_scripts_the_form_is_whole(visit: Open) -> None:
    page = visit("/reports/new/khac", scripts=False)
    page.select_option("#commune", label="Xã Tháp Mười")
    page.fill("#text", "Việc khác")
    sum_ = page.locator("label[for=sum]").inner_text()
    one, two = (int(word) for word in sum_.replace("?", "").split() if word.isdecimal())
    page.fill("#sum", str(one + two))
    page.wait_for_timeout(4000)
    page.get_by_role("button", name="Gửi phản ánh").click()
    expect(page.locator(".receipt")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_the_form_fits_every_width(visit: Open, width: int) -> None:
    for scripts in (True, False):
        page = visit("/reports/new/o-nhiem", width=width, scripts=scripts)
        for element in ("#commune", "#place", "#text", "button.main"):
            box = page.locator(element).bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width, (element, scripts)
            assert box["width"] > 200 and box["height"] >= 40, (element, scripts)

"""The console's shell: the way in, navigation, languages, what a lost line looks like, a session that ends."""

from __future__ import annotations

import time
from typing import Any

from browsing import bars_nobody
from playwright.sync_api import expect

from thap.kernel.clock import DAY_US, VIETNAM, from_us, now_us
from thap.kernel.simulated import Simulated


def test_the_printed_link_opens_the_console_without_showing_the_key(desk: Any) -> None:
    page = desk.open()
    assert page.url == f"{desk.http}/"
    expect(page.locator("#link")).to_have_text("trực tiếp")
    assert desk.token not in page.content()
    bars_nobody(page)


def test_the_language_and_the_colours_are_changed_and_kept(desk: Any) -> None:
    page = desk.open()
    page.keyboard.press("l")
    expect(page.locator("#link")).to_have_text("live")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    bars_nobody(page)


def test_a_screen_speaks_the_language_whenever_it_is_read(desk: Any) -> None:
    """Words come with the screen: those of one that is shown, of one shown before, and of one never shown yet."""
    page = desk.open("/sand")
    nav, shown = page.locator("nav.rail"), page.locator("#content")
    expect(shown.get_by_role("heading", level=1)).to_have_text("Cát sông")
    page.locator("#language").click()
    expect(shown.get_by_role("heading", level=1)).to_have_text("River sand")
    nav.get_by_role("link", name="Rice and pests").click()
    expect(shown.get_by_role("heading", level=1)).to_have_text("Rice and pests")
    expect(shown.get_by_role("link", name="Field survey")).to_be_visible()
    page.locator("#language").click()
    page.go_back()
    expect(shown.get_by_role("heading", level=1)).to_have_text("Cát sông")
    expect(shown).not_to_contain_text("sand:")
    bars_nobody(page)


def test_what_is_simulated_is_said_with_its_clock_and_explained(desk: Any) -> None:
    now = now_us()
    then = from_us(now - 3 * DAY_US).astimezone(VIETNAM)
    Simulated(at=now, until=now - 3 * DAY_US, speed=60).save(desk.data)
    try:
        for width in (1440, 390):
            page = desk.open(width=width)
            said = page.get_by_role("button", name="mô phỏng")
            expect(said).to_contain_text("×60")
            expect(said).to_contain_text(then.strftime("%d-%m"))
            said.click()
            expect(page.locator("[data-sonner-toast]")).to_contain_text("gấp 60 lần")
            bars_nobody(page)
    finally:
        (desk.data / "demo" / "now.json").unlink()


def test_the_question_mark_lists_the_keys(desk: Any) -> None:
    page = desk.open()
    page.keyboard.press("Shift+?")
    expect(page.get_by_role("dialog")).to_contain_text("đổi ngôn ngữ")
    bars_nobody(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_address_that_is_no_screen_says_so(desk: Any) -> None:
    page = desk.open("/khong-co")
    expect(page.locator("#content")).to_contain_text("Không có trang này")
    bars_nobody(page)


def test_a_session_that_ends_asks_again_and_the_page_stays(desk: Any) -> None:
    login = f"truc-ban-{time.time_ns()}"
    desk.person(login)
    page = desk.open("/", login=login)
    page.fill("#search", "đang gõ dở")
    desk.api.post(f"/api/v1/people/{login}/disable").raise_for_status()
    desk.api.post(f"/api/v1/people/{login}/enable").raise_for_status()
    dialog = page.locator(".door-over")  # the stream was refused: nobody needs to click
    expect(dialog).to_be_visible()
    dialog.locator("#sign-password").fill("mùa nước nổi về sớm")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator("#search")).to_have_value("đang gõ dở")
    desk.provokes(page, "status of 401", "HTTP Authentication failed")

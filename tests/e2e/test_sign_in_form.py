"""The sign-in form and the account menu in a real browser, before a real centre."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyotp
import pytest
from browsing import Running, Screen, bars_nobody
from playwright.sync_api import expect

Open = Callable[..., Screen]
GOOD = "mùa nước nổi về sớm"


def add(running: Running, login: str, role: str = "operator") -> str:
    """A new person; gives the path of their one-time link."""
    running.api.post("/api/v1/people", json={"login": login}).raise_for_status()
    running.api.put(f"/api/v1/people/{login}/grants", json={"role": role}).raise_for_status()
    answer = running.api.post(f"/api/v1/people/{login}/link", json={})
    answer.raise_for_status()
    return str(answer.json()["path"])


@pytest.mark.parametrize(
    ("width", "theme", "language"), [(1440, "dark", "vi"), (390, "light", "en"), (320, "dark", "vi")]
)
def test_a_link_a_second_factor_and_a_sign_in_by_keys_alone(
    open_page: Open, running: Running, width: int, theme: str, language: str
) -> None:
    login = f"truc-ban-{time.time_ns()}"
    link = add(running, login)
    screen = open_page(width=width, theme=theme, language=language, signed_in=False)
    page = screen.page
    page.goto(f"{running.http}{link}")
    expect(page.locator("#welcome-title")).to_contain_text(login)
    assert link not in page.url  # the secret stays in nobody's history
    bars_nobody(page)
    page.keyboard.type("password12")
    page.keyboard.press("Enter")
    expect(page.locator("#welcome-why")).to_be_visible()
    page.fill("#welcome-password", GOOD)
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_visible()
    wide = page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => `${e.tagName}#${e.id}.${e.className} ${e.textContent.slice(0, 40)}`).slice(0, 8)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width, wide

    page.locator("#account").click()
    page.locator("#me-sessions-part summary").click()
    expect(page.locator("#me-sessions li")).to_have_count(1)
    page.locator("#me-factor summary").click()
    page.fill("#me-prove", GOOD)
    page.keyboard.press("Enter")
    expect(page.locator("#me-confirm-form")).to_be_visible()
    assert page.evaluate("document.querySelector('#me-picture').naturalWidth") > 50
    bars_nobody(page)
    maker = pyotp.TOTP(page.locator("#me-secret").inner_text().replace(" ", ""))
    page.fill("#me-code", maker.at(int(time.time()) - 30))
    page.keyboard.press("Enter")
    expect(page.locator("#me-codes-list li")).to_have_count(10)
    bars_nobody(page)
    page.locator("#me-codes-done").click()
    page.locator("#me-out").click()

    expect(page.locator("#sign-login")).to_be_focused()
    bars_nobody(page)
    page.keyboard.type(login)
    page.keyboard.press("Tab")
    page.keyboard.type(GOOD)
    page.keyboard.press("Enter")
    expect(page.locator("#sign-code")).to_be_focused()
    bars_nobody(page)
    page.keyboard.type(maker.now())
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_visible()
    screen.provokes("400", "401")


def test_a_wrong_password_is_told_and_the_login_kept(open_page: Open, running: Running) -> None:
    screen = open_page(signed_in=False)
    page = screen.page
    page.fill("#sign-login", "nguoi-la")
    page.fill("#sign-password", "wrong password")
    page.get_by_role("button", name="Hiện mật khẩu").click()
    expect(page.locator("#sign-password")).to_have_attribute("type", "text")
    page.locator("#sign-password").press("Enter")
    expect(page.locator("#sign-why")).to_contain_text("không đúng")
    expect(page.locator("#sign-login")).to_have_value("nguoi-la")
    expect(page.locator("#sign-password")).to_have_value("")
    screen.provokes("401")


def test_a_session_ended_elsewhere_ends_the_page(open_page: Open, running: Running) -> None:
    login = f"truong-ca-{time.time_ns()}"
    link = add(running, login, "shift_lead")
    here, there = open_page(signed_in=False), open_page(signed_in=False)
    here.page.goto(f"{running.http}{link}")
    here.page.fill("#welcome-password", GOOD)
    here.page.keyboard.press("Enter")
    expect(here.page.locator("#link")).to_have_text("trực tiếp")
    there.page.fill("#sign-login", login)
    there.page.fill("#sign-password", GOOD)
    there.page.keyboard.press("Enter")
    expect(there.page.locator("#link")).to_have_text("trực tiếp")
    there.page.locator("#account").click()
    there.page.locator("#me-sessions-part summary").click()
    there.page.locator("#me-sessions button").click()
    there.page.get_by_role("alertdialog").get_by_role("button", name="Kết thúc").click()
    expect(here.page.locator("#sign-login")).to_be_visible(timeout=10_000)
    for screen in (here, there):
        # Whatever the page asks for between the end of its session and hearing of it is refused, its sockets too.
        screen.provokes("401", "HTTP Authentication failed")

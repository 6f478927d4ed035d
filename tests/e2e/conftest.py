"""A whole centre as `thap up` starts it, and Debian's Chromium before it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from bench.harness import centre
from browsing import Running, Screen
from playwright.sync_api import Browser, expect, sync_playwright

RULES = """
[[rule]]
name = "test.high_water"
kind = "threshold"
title = { vi = "Nước cao", en = "High water" }
select = { property = "water_level" }
above = 2.0
severity = "critical"
"""
# No incident here: it would begin a chain, and one that reaches nobody is an alarm beside those the tests count.
OPENING = """
[[rule]]
name = "serious"
conditions = ["nothing.at_all"]
title = { vi = "Không", en = "None" }
"""
# How long a page may take is measured by the benches; tests wait for a busy machine.
expect.set_options(timeout=20_000)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("e2e") / "centre"
    (data / "rules").mkdir(parents=True)
    (data / "rules" / "test.toml").write_text(RULES)
    (data / "opening.toml").write_text(OPENING)
    with centre("--durability", "process", data=data) as made, made.client() as api:
        assert made.run is not None
        api.post(
            "/api/v1/things",
            json={
                "things": [
                    {
                        "name": f"tram-{number}",
                        "title": f"Trạm {number}",
                        "domain": "water",
                        "lon": 105.4 + number / 10,
                        "lat": 10.4,
                        "datastreams": [{"name": "level", "property": "water_level", "unit": "m"}],
                    }
                    for number in range(1, 6)
                ]
            },
        ).raise_for_status()
        yield Running(made.run.http, made.run.token, api)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ended with the module: while it runs, no test of this thread can run an event loop."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: sh tests/e2e/need-chromium.sh")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser, running: Running) -> Iterator[Callable[..., Screen]]:
    """Opens the page, signed in unless told otherwise; afterwards nothing may have gone wrong on it."""
    opened: list[Screen] = []

    def open_(
        *, width: int = 1440, height: int = 900, theme: str = "dark", language: str = "vi", signed_in: bool = True
    ) -> Screen:
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        screen = Screen(page)
        opened.append(screen)
        page.on("pageerror", lambda error: screen.faults.append(str(error)))
        page.on(
            "console",
            lambda message: (
                screen.faults.append(message.text)
                if message.type in ("error", "warning") and "GPU stall" not in message.text
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                screen.faults.append(f"asked {request.url}") if not request.url.startswith(running.http) else None
            ),
        )
        page.add_init_script(
            f"localStorage.setItem('thap-theme', '{theme}');localStorage.setItem('thap-language', '{language}')"
        )
        page.goto(running.link if signed_in else running.http)
        if signed_in:
            page.wait_for_selector("#link.good")
        return screen

    yield open_
    for screen in opened:
        screen.page.context.close()
    assert [fault for screen in opened for fault in screen.unprovoked()] == []

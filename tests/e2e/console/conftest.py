"""One centre and one browser for all tests of the console; each test works on things of its own names."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from bench.harness import centre
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

PASSWORD = "mùa nước nổi về sớm"
# How long a page may take is measured by the benches; tests wait for a busy machine.
expect.set_options(timeout=20_000)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RULES = """
[[rule]]
name = "test.high_water"
kind = "threshold"
title = { vi = "Nước cao", en = "High water" }
select = { property = "water_level" }
above = 2.0
severity = "critical"
"""
OPENING = """
[[rule]]
name = "serious"
conditions = ["nothing.at_all"]
title = { vi = "Không", en = "None" }
"""


def _remark(said: ConsoleMessage, found: list[str]) -> None:
    """Keep errors and warnings; not that maps drawn without a graphics card are slow."""
    if said.type in ("error", "warning") and not any(word in said.text for word in ("GPU stall", "GL Driver Message")):
        where = str(said.location.get("url", ""))
        found.append(f"{said.text} {where}".rstrip())


@dataclass
class Desk:
    """A running centre, a browser before it."""

    http: str
    token: str
    api: httpx.Client
    """Signed in as the machine's owner."""
    browser: Browser
    data: Path
    opened: list[tuple[BrowserContext, list[str]]] = field(default_factory=list)
    provoked: dict[BrowserContext, set[str]] = field(default_factory=dict)

    def station(self, name: str, *, domain: str = "water", lon: float = 105.6, lat: float = 10.45) -> None:
        """Register a station with one datastream, `name/level`, of the property water_level (m)."""
        thing = {
            "name": name,
            "title": f"Trạm {name}",
            "domain": domain,
            "lon": lon,
            "lat": lat,
            "datastreams": [{"name": "level", "property": "water_level", "unit": "m"}],
        }
        self.api.post("/api/v1/things", json={"things": [thing]}).raise_for_status()

    def say(self, **results: float) -> None:
        """Send one observation of each station's level; `tram_1=3.0` is of tram-1. Over 2 m raises test.high_water."""
        rows = [{"datastream": f"{name.replace('_', '-')}/level", "result": result} for name, result in results.items()]
        answer = self.api.post("/api/v1/observations", json=rows)
        assert answer.is_success, answer.text

    def person(self, login: str, role: str = "operator", *, unit: str = "", domain: str = "") -> None:
        """A person with a role, who signs in with PASSWORD."""
        self.api.post("/api/v1/people", json={"login": login, "unit": unit}).raise_for_status()
        grant = {"role": role, "unit": unit, "domain": domain}
        self.api.put(f"/api/v1/people/{login}/grants", json=grant).raise_for_status()
        made = self.api.post(f"/api/v1/people/{login}/link", json={})
        made.raise_for_status()
        secret = made.json()["path"].partition("link=")[2]
        body = {"secret": secret, "password": PASSWORD}
        httpx.post(f"{self.http}/session/link", json=body, trust_env=False).raise_for_status()

    def open(
        self,
        path: str = "/",
        *,
        login: str | None = None,
        width: int = 1440,
        height: int = 900,
        theme: str = "dark",
        language: str = "vi",
        context: BrowserContext | None = None,
    ) -> Page:
        """A page of the console, signed in as `login`, as the machine's owner where that is None, as nobody if ''.

        What goes wrong on it (errors, requests to elsewhere) fails the test at its end, but for what the test says it
        `provokes`.
        """
        made = context or self.browser.new_context(viewport={"width": width, "height": height}, locale="vi-VN")
        page = made.new_page()
        found: list[str] = []
        self.opened.append((made, found))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("console", lambda said: _remark(said, found))
        page.on("request", lambda sent: self._judge(sent.url, found))
        page.add_init_script(
            f"localStorage.getItem('thap-theme') ?? localStorage.setItem('thap-theme', '{theme}');"
            f"localStorage.getItem('thap-language') ?? localStorage.setItem('thap-language', '{language}')"
        )
        if login is None:
            page.goto(f"{self.http}/?key={self.token}")
        elif login:
            body = {"login": login, "password": PASSWORD}
            # Again where the centre just closed the idle connection that was to be used.
            answer = made.request.post(f"{self.http}/session", data=body, max_retries=2)
            assert answer.ok, answer.text()
        if login is not None or path != "/":
            page.goto(self.http + path)
        if login != "":
            page.wait_for_selector("#link.good")
        return page

    def _judge(self, url: str, found: list[str]) -> None:
        if not url.startswith((self.http, self.http.replace("http", "ws", 1), "blob:", "data:")):
            found.append(f"asked {url}")

    def provokes(self, page: Page, *words: str) -> None:
        """What the test provokes on a page, whenever the browser remarks on it: remarks with one of these words are no
        faults. `browsing.CUT` are those on a line that is cut."""
        self.provoked.setdefault(page.context, set()).update(words)

    def faults(self) -> list[str]:
        """What went wrong on all pages so far, but for what was provoked."""
        return [
            fault
            for context, found in self.opened
            for fault in found
            if not any(word in fault for word in self.provoked.get(context, ()))
        ]


@pytest.fixture(scope="package")
def desk_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Ended with this folder's tests: while it runs, no test of this thread can run an event loop."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: sh tests/e2e/need-chromium.sh")
    data = tmp_path_factory.mktemp("console") / "centre"
    (data / "rules").mkdir(parents=True)
    (data / "rules" / "test.toml").write_text(RULES)
    (data / "opening.toml").write_text(OPENING)
    with (
        centre("--durability", "process", data=data) as made,
        made.client() as api,
        sync_playwright() as playwright,
    ):
        assert made.run is not None
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield Desk(made.run.http, made.run.token, api, browser, data)
        browser.close()


@pytest.fixture
def desk(desk_of_all: Desk) -> Iterator[Desk]:
    """The centre and the browser; afterwards nothing may have gone wrong on any page."""
    yield desk_of_all
    for context, _found in desk_of_all.opened:
        context.close()
    faults = desk_of_all.faults()
    desk_of_all.opened.clear()
    desk_of_all.provoked.clear()
    assert faults == []


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for something, at most so many seconds."""

    def wait(happened: Callable[[], Any], limit_s: float = 20) -> None:
        deadline = time.monotonic() + limit_s
        while not happened():
            assert time.monotonic() < deadline, "did not happen in time"
            time.sleep(0.05)

    return wait

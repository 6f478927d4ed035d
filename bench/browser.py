"""A real browser before a real centre, for the benchmarks of the console."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.harness import CentreProcess

__all__ = ["browser", "open_console", "register_stations"]

FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
    "--js-flags=--expose-gc",
]


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed: sh tests/e2e/need-chromium.sh")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


def open_console(
    started: Browser, up: CentreProcess, path: str = "/", *, context: BrowserContext | None = None
) -> Page:
    """A page of the console at desk size, signed in as the machine's owner, its line live."""
    assert up.run is not None
    made = context or started.new_context(viewport={"width": 1440, "height": 900})
    page = made.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{up.run.http}/?key={up.run.token}")
    page.goto(up.run.http + path)
    page.wait_for_selector("#link.good")
    return page


def register_stations(up: CentreProcess, number: int, *, prefix: str = "probe") -> None:
    """Register `probe-00000/level` and so on, and one rule of critical alarms above 5 over all of them."""
    from bench.rules import put_rule

    with up.client() as client:
        for start in range(0, number, 2000):
            things = [
                {
                    "name": f"{prefix}-{i:05d}",
                    "domain": "water",
                    "lon": 105.3 + i % 100 / 100,
                    "lat": 10.2 + i // 100 % 50 / 100,
                    "datastreams": [{"name": "level", "property": prefix, "unit": "m"}],
                }
                for i in range(start, min(start + 2000, number))
            ]
            client.post("/api/v1/things", json={"things": things}).raise_for_status()
    put_rule(
        up,
        f'[[rule]]\nname = "bench.{prefix}"\nkind = "threshold"\ntitle = {{ vi = "Thử", en = "Probe" }}\n'
        f'severity = "critical"\nselect = {{ property = "{prefix}" }}\nabove = 5.0\n',
    )

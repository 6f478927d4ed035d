"""What the browser tests share: a centre to look at, a page that looks, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

CUT = ("net::ERR_", "WebSocket", "EventSource", "Failed to load resource", "Failed to fetch", "Unable to preload")
"""What the browser remarks of a line that is cut."""

__all__ = ["CUT", "Running", "Screen", "bars_nobody", "until"]


@dataclass
class Running:
    """A running centre with five stations."""

    http: str
    token: str
    api: httpx.Client

    @property
    def link(self) -> str:
        """What `thap up` prints."""
        return f"{self.http}/?key={self.token}"

    def say(self, **results: float) -> None:
        """Send one observation of each station's water level."""
        answer = self.api.post(
            "/api/v1/observations",
            json=[
                {"datastream": f"{name.replace('_', '-')}/level", "result": result} for name, result in results.items()
            ],
        )
        assert answer.is_success, answer.text

    def alarms(self, state: str) -> list[dict[str, Any]]:
        """Alarms in a state."""
        items: list[dict[str, Any]] = self.api.get("/api/v1/alarms", params={"state": state}).json()["items"]
        return items

    def pid(self, role: str) -> int:
        """Process of a role."""
        roles = self.api.get("/api/v1/system").json()["roles"]
        return int(next(found["pid"] for found in roles if found["role"] == role))


@dataclass
class Screen:
    """A page, and what it did that it must not."""

    page: Page
    faults: list[str] = field(default_factory=list)
    provoked: set[str] = field(default_factory=set)

    def provokes(self, *words: str) -> None:
        """The test does what the browser remarks on in these words, whenever it comes to it."""
        self.provoked.update(words)

    def unprovoked(self) -> list[str]:
        """What the page did that it must not."""
        return [fault for fault in self.faults if not any(word in fault for word in self.provoked)]


def until(happened: Callable[[], Any], limit_s: float = 20) -> None:
    """Wait for something, at most so long."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


SETTLE_MS = 10_000
SETTLED = """() => {
  // What fades in or out has a contrast of its own for a moment; what runs for ever is judged as it is.
  const moving = document.getAnimations().filter(
    (found) => found.playState === "running" && Number.isFinite(found.effect?.getComputedTiming().endTime));
  return moving.length === 0;
}"""


def bars_nobody(page: Page) -> None:
    """axe-core finds nothing on the page as it stands once nothing moves any more."""
    page.wait_for_function(SETTLED, timeout=SETTLE_MS)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()

"""What `thap watch` shows, kept current from the API of a running centre."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from thap.cli.common import api_json, read_run_file
from thap.kernel.errors import ThapError
from thap.kernel.settings import load_settings

__all__ = ["OPEN_STATES", "Feed"]

OPEN_STATES = ("unacknowledged", "acknowledged", "returned_unacknowledged")
"""States in which an alarm calls for somebody."""

_HISTORY = 60
_QUIET_S = 25.0  # the stream beats every ten seconds


@dataclass
class Feed:
    """The state of a centre as last heard. Run it with `run()`; it reconnects by itself, also to a centre that
    was started anew at another port."""

    data: Path | None
    changed: Callable[[], None] = lambda: None
    """Called whenever something below changed."""
    system: dict[str, Any] | None = None
    """The latest answer of /api/v1/system."""
    alarms: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Open alarms by number."""
    rates: dict[tuple[str, str], deque[float]] = field(default_factory=dict)
    """By role and stage, its rate over the last minute."""
    address: str = ""
    heard: float = 0.0
    """Monotonic time of the last answer; 0 for never."""
    streaming: bool = False
    """Whether alarms come live."""
    trouble: str = ""
    """Why nothing comes, if nothing comes."""
    _event_id: str = ""

    @property
    def age_s(self) -> float:
        """Seconds since the last answer; infinite for never."""
        return time.monotonic() - self.heard if self.heard else float("inf")

    def client(self) -> httpx.AsyncClient:
        """A client signed in to the centre that runs now.

        Raises:
            UnavailableError: none runs.
        """
        run = read_run_file(load_settings(self.data))
        self.address = run.http
        return httpx.AsyncClient(
            base_url=run.http, headers={"Authorization": f"Bearer {run.token}"}, timeout=10, trust_env=False
        )

    async def once(self) -> None:
        """Ask once.

        Raises:
            ThapError: there is no centre, or what it answered.
        """
        async with self.client() as client:
            await self._ask_system(client)
            await self._ask_alarms(client)

    async def run(self) -> None:
        """Keep everything current until cancelled."""
        await asyncio.gather(self._follow_system(), self._follow_alarms())

    async def acknowledge(self, number: int) -> None:
        """Acknowledge an alarm.

        Raises:
            ThapError: what the centre answered.
        """
        async with self.client() as client:
            api_json(await client.post(f"/api/v1/alarms/{number}/acknowledge", json={}))

    async def _ask_system(self, client: httpx.AsyncClient) -> None:
        self.system = api_json(await client.get("/api/v1/system"))
        self.heard, self.trouble = time.monotonic(), ""
        for role in self.system["roles"]:
            for stage, figures in role["stages"].items():
                rates = self.rates.setdefault((role["role"], stage), deque(maxlen=_HISTORY))
                rates.append(float(figures.get("rate", 0)) if role["fresh"] else 0.0)

    async def _ask_alarms(self, client: httpx.AsyncClient) -> None:
        answer = api_json(
            await client.get(
                "/api/v1/alarms", params={"state": ",".join(OPEN_STATES), "sort": "-changed", "limit": 1000}
            )
        )
        self.alarms = {alarm["id"]: alarm for alarm in answer["items"]}

    async def _follow_system(self) -> None:
        while True:
            try:
                async with self.client() as client:
                    while True:
                        await self._ask_system(client)
                        self.changed()
                        await asyncio.sleep(1)
            except (httpx.HTTPError, ThapError, KeyError) as error:
                self.trouble = str(error) or type(error).__name__
                self.changed()
            await asyncio.sleep(1)

    async def _follow_alarms(self) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError, ThapError, ValueError, KeyError):
                async with self.client() as client:
                    await self._stream(client)
            self.streaming = False
            self.changed()
            await asyncio.sleep(1)

    async def _stream(self, client: httpx.AsyncClient) -> None:
        """Listen first, then list: what happens in between is heard, and hearing it twice does no harm."""
        headers = {"Last-Event-ID": self._event_id} if self._event_id else {}
        timeout = httpx.Timeout(10, read=_QUIET_S)
        async with client.stream(
            "GET", "/api/v1/stream", params={"kinds": "alarm"}, headers=headers, timeout=timeout
        ) as answer:
            if not answer.is_success:
                await answer.aread()
                api_json(answer)
            await self._ask_alarms(client)
            self.streaming = True
            self.changed()
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self._event_id = value
                elif name == "data":
                    self._take(orjson.loads(value))
                    self.changed()

    def _take(self, event: dict[str, Any]) -> None:
        """Change the alarm an event is about."""
        number = event["alarm"]
        known = self.alarms.get(number, {})
        if event["version"] < known.get("version", 0):
            return
        if event["to_state"] not in OPEN_STATES:
            self.alarms.pop(number, None)
            return
        kept = {
            name: event[name]
            for name in ("source", "condition", "severity", "domain", "commune", "active", "value", "version")
        }
        raised = event["time"] if event["action"] == "raise" else known.get("raised", event["time"])
        self.alarms.pop(number, None)  # the latest changed stands first
        self.alarms = {
            number: {
                **known,
                **kept,
                "id": number,
                "state": event["to_state"],
                "raised": raised,
                "changed": event["recorded_at"],
            },
            **self.alarms,
        }

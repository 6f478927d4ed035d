"""Whoever looks at a demo is told so."""

from __future__ import annotations

import httpx

from thap.kernel.clock import DAY_US, HOUR_US, now_us
from thap.kernel.settings import Settings
from thap.kernel.simulated import Simulated


async def test_a_stranger_is_told_nothing(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/api/v1/demo")).status_code == 401


async def test_whoever_reads_is_told_what_is_simulated(client: httpx.AsyncClient, settings: Settings) -> None:
    assert (await client.get("/api/v1/demo")).json()["running"] is False
    now = now_us()
    Simulated(at=now, until=now - DAY_US, speed=60).save(settings.data)
    told = (await client.get("/api/v1/demo")).json()
    assert (told["running"], told["speed"]) == (True, 60)
    assert now - DAY_US <= told["until"] <= now - DAY_US + 60 * (now_us() - now)
    Simulated(at=now, until=now, speed=60).save(settings.data)  # it cannot be ahead of the clock
    assert now <= (await client.get("/api/v1/demo")).json()["until"] <= now_us()
    Simulated(at=now - HOUR_US, until=now - DAY_US, speed=60).save(settings.data)  # it has ended without a word
    assert (await client.get("/api/v1/demo")).json()["running"] is False
    (settings.data / "demo" / "now.json").write_text("{")
    assert (await client.get("/api/v1/demo")).json()["running"] is False

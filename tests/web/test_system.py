"""Health, readiness, figures."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from thap.kernel.bus import Bus
from thap.kernel.metrics import Board, exposition
from thap.kernel.nats import NatsServer
from thap.web.deps import Centre


async def beat(bus: Bus, role: str, stages: dict[str, Any] | None = None, **counters: float) -> None:
    await bus.announce(
        f"centre.stats.{role}",
        {
            "role": role,
            "pid": os.getpid(),
            "time_us": time.time_ns() // 1000,
            "stages": stages or {},
            "counters": counters,
        },
    )


async def ready(client: httpx.AsyncClient, wanted: int, limit_s: float = 30) -> dict[str, str]:
    deadline = time.monotonic() + limit_s
    while True:
        answer = await client.get("/readyz")
        if answer.status_code == wanted or time.monotonic() > deadline:
            assert answer.status_code == wanted, answer.text
            assert answer.json()["ready"] == (wanted == 200)
            return {check["name"]: check.get("why", "") for check in answer.json()["checks"]}
        await asyncio.sleep(0.01)


async def test_the_process_says_that_it_lives_to_anybody(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/healthz")).json() == {"alive": True}


async def test_the_centre_is_ready_once_its_roles_are(stranger: httpx.AsyncClient, bus: Bus) -> None:
    assert (await ready(stranger, 503))["engine"] == "not heard yet"
    await beat(bus, "history")
    await beat(bus, "respond")
    await beat(bus, "engine", {"detect": {"seq": 0, "ready": False}})
    deadline = time.monotonic() + 30
    while (why := await ready(stranger, 503))["engine"] == "not heard yet":
        assert time.monotonic() < deadline
    assert why["engine"] == "detect is still starting"
    await beat(bus, "engine", {"detect": {"seq": 0, "ready": True}})
    assert set((await ready(stranger, 200)).values()) == {""}


async def test_a_centre_without_its_stream_is_not_ready_and_recovers(
    stranger: httpx.AsyncClient, bus: Bus, nats_server: NatsServer
) -> None:
    await beat(bus, "history")
    await beat(bus, "respond")
    await beat(bus, "engine")
    await ready(stranger, 200)
    nats_server.stop()
    assert "does not answer" in (await ready(stranger, 503))["journal"]
    nats_server.start()
    deadline = time.monotonic() + 30
    while True:
        await beat(bus, "history")
        await beat(bus, "respond")
        await beat(bus, "engine")
        if (await stranger.get("/readyz")).status_code == 200:
            break
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_full_disk_is_told(stranger: httpx.AsyncClient, bus: Bus, centre: Centre) -> None:
    await beat(bus, "history")
    await beat(bus, "respond")
    await beat(bus, "engine")
    centre.settings.journal.reserve_mib = 10**9
    assert "reserve" in (await ready(stranger, 503))["disk"]


async def test_figures_can_be_read_by_prometheus(client: httpx.AsyncClient, bus: Bus, centre: Centre) -> None:
    await beat(
        bus,
        "engine",
        {"detect": {"seq": 7, "lag": 3, "rate": 1.5, "total": 1000, "rules": 100, "ready": True}},
        faults=2,
    )
    await beat(bus, "gateway", {}, **{"http.accepted": 500, "ais.bad_checksum": 4})
    deadline = time.monotonic() + 30
    while len(centre.parts["live"].board.beats()) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    await client.get("/api/v1/nothing")
    families = {family.name: family for family in text_string_to_metric_families((await client.get("/metrics")).text)}

    def value(family: str, **labels: str) -> float:
        return next(s.value for s in families[family].samples if labels.items() <= s.labels.items())

    assert value("thap_stage_lag", role="engine", stage="detect") == 3
    assert value("thap_stage_records", role="engine", stage="detect") == 1000
    assert value("thap_stage_figure", role="engine", figure="rules") == 100
    assert value("thap_door_records", door="http", what="accepted") == 500
    assert value("thap_door_records", door="ais", what="bad_checksum") == 4
    assert value("thap_events", role="engine", name="faults") == 2
    assert value("thap_http_requests", method="GET", status="404") == 1
    assert value("thap_heartbeat_age_seconds", role="engine") < 5
    assert {"thap_stream_consoles", "thap_latest_values", "thap_disk_free_bytes", "thap_build"} <= set(families)


async def test_the_system_page_is_for_those_who_may_read(
    stranger: httpx.AsyncClient, client: httpx.AsyncClient, bus: Bus
) -> None:
    assert (await stranger.get("/api/v1/system")).status_code == 401
    await beat(bus, "engine", {"detect": {"seq": 7, "lag": 3}})
    deadline = time.monotonic() + 30
    while not (body := (await client.get("/api/v1/system")).json())["roles"]:
        assert time.monotonic() < deadline
    assert body["roles"][0]["stages"]["detect"]["lag"] == 3 and body["roles"][0]["fresh"]
    assert body["waiting"] == {"quarantine": 0, "dead_letters": 0}
    assert body["disk"]["free"] > 0 and body["journal"]["last_seq"] == 0 and body["versions"]["duckdb"]


@given(st.binary(max_size=200))
def test_what_is_no_heartbeat_is_ignored(payload: bytes) -> None:
    board = Board()
    if board.hear(payload) is None:
        assert board.ignored == 1
    exposition(board)


def test_a_restarted_process_replaces_the_one_before() -> None:
    board = Board()
    board.hear(b'{"role": "engine", "pid": 1}')
    first = board.beats()[0]
    object.__setattr__(first, "heard", first.heard - 60)
    board.hear(b'{"role": "engine", "pid": 2}')
    assert [beat.pid for beat in board.beats()] == [2]

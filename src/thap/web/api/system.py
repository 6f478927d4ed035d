"""/healthz, /readyz, /metrics and /api/v1/system: how the centre itself fares."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import version
from platform import python_version
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Response
from nats.errors import Error as NatsError
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from thap.kernel.bus import DEAD, JOURNAL
from thap.kernel.clock import now_us
from thap.kernel.metrics import FRESH_S, Board, exposition
from thap.observe.quarantine import list_waiting
from thap.web.answers import JsonAnswer
from thap.web.deps import CallerDep, Centre, CentreDep
from thap.web.live import Live
from thap.web.sse import Hub

__all__ = ["router"]

router = APIRouter(tags=["system"])
_STARTED = time.monotonic()
_PATIENCE_S = 2.0


@router.get("/healthz", summary="Whether this process answers", response_class=Response)
async def healthz() -> Response:
    """Asks nothing of anybody, so a yes says only that the process lives."""
    return JsonAnswer({"alive": True})


@router.get("/readyz", summary="Whether the centre can do its work", response_class=Response)
async def readyz(centre: CentreDep) -> Response:
    """503 while a part is missing; `checks` says which and why."""
    board: Board = centre.parts["live"].board
    checks = [
        await _records(centre),
        await _journal(centre),
        _stage(board, "engine"),
        _stage(board, "history"),
        _stage(board, "respond"),
        _disk(centre),
    ]
    ready = all(check["ok"] for check in checks)
    return JsonAnswer({"ready": ready, "checks": checks}, 200 if ready else 503)


def _check(name: str, why: str = "") -> dict[str, Any]:
    return {"name": name, "ok": not why, **({"why": why} if why else {})}


async def _records(centre: Centre) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_PATIENCE_S), centre.records.read() as connection:
            await connection.execute(sa.select(sa.literal(1)))
    except Exception as error:
        return _check("records", f"the database does not answer: {type(error).__name__}")
    return _check("records")


async def _journal(centre: Centre) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await centre.bus.last_seq(JOURNAL)
    except (NatsError, TimeoutError, OSError) as error:
        return _check("journal", f"the stream does not answer: {type(error).__name__}")
    return _check("journal")


def _stage(board: Board, role: str) -> dict[str, Any]:
    beats = [beat for beat in board.beats() if beat.role == role]
    if not beats:
        return _check(role, "not heard yet")
    newest = min(beats, key=lambda beat: beat.age_s)
    if newest.age_s > FRESH_S:
        return _check(role, f"not heard for {newest.age_s:.0f} s")
    starting = [name for name, stage in newest.stages.items() if stage.get("ready") is False]
    return _check(role, f"{starting[0]} is still starting" if starting else "")


def _disk(centre: Centre) -> dict[str, Any]:
    if centre.intake is not None and centre.intake.disk_full:
        return _check("disk", "no room: doors answer 503 until there is")
    free = shutil.disk_usage(centre.settings.data).free
    reserve = centre.settings.journal.reserve_mib * 2**20
    return _check("disk", "" if free > reserve else f"{free >> 20} MiB left, {reserve >> 20} are kept in reserve")


class _Web(Collector):
    """Figures of this process."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    def collect(self) -> Iterator[Metric]:
        live: Live = self._centre.parts["live"]
        hub: Hub = self._centre.parts["stream"]
        info = GaugeMetricFamily("thap_build", "The version that runs.", labels=["version"])
        info.add_metric([version("thap")], 1)
        requests = CounterMetricFamily(
            "thap_http_requests", "Requests answered, doors aside.", labels=["method", "status"]
        )
        for (method, status), number in self._centre.parts["requests"].items():
            requests.add_metric([method, str(status)], number)
        latest = GaugeMetricFamily("thap_latest_values", "Sources with a latest value.", labels=["kind"])
        latest.add_metric(["observation"], live.observations.rows)
        latest.add_metric(["position"], live.positions.rows)
        disk = GaugeMetricFamily("thap_disk_free_bytes", "Room on the disk of the data directory.")
        disk.add_metric([], shutil.disk_usage(self._centre.settings.data).free)
        yield from (
            info,
            requests,
            latest,
            disk,
            GaugeMetricFamily("thap_stream_consoles", "Open event streams.", len(hub.consoles)),
            CounterMetricFamily("thap_stream_alarms", "Alarm events handed out to consoles.", hub.delivered),
            CounterMetricFamily(
                "thap_stream_filled",
                "Alarm events read from the store because their announcement did not arrive in order.",
                hub.filled,
            ),
        )


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(centre: CentreDep) -> Response:
    """Counts and gauges only: no name of a source, place or person is in them."""
    body = exposition(centre.parts["live"].board, _Web(centre))
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/v1/system", summary="Stages, disk, journal, versions", response_class=Response)
async def system(centre: CentreDep, _caller: CallerDep) -> Response:
    """`roles` are the processes with their newest heartbeat and its age; `waiting` what a person should look at."""
    live: Live = centre.parts["live"]
    usage = shutil.disk_usage(centre.settings.data)
    async with centre.records.read() as connection:
        _, quarantined = await list_waiting(connection, limit=1, offset=0)
    streams = {name: await _stream(centre, stream) for name, stream in (("journal", JOURNAL), ("dead", DEAD))}
    return JsonAnswer(
        {
            "time": now_us(),
            "uptime_s": round(time.monotonic() - _STARTED, 1),
            "versions": {"thap": version("thap"), "python": python_version(), "duckdb": version("duckdb")},
            "roles": [beat.as_dict() for beat in live.board.beats()],
            "disk": {"total": usage.total, "free": usage.free, "reserve": centre.settings.journal.reserve_mib * 2**20},
            "journal": {**streams["journal"], "durability": centre.settings.journal.durability},
            "latest": {"observation": live.observations.rows, "position": live.positions.rows},
            "doors": await asyncio.to_thread(_doors, centre),
            "consoles": len(centre.parts["stream"].consoles),
            "waiting": {"quarantine": quarantined, "dead_letters": streams["dead"].get("messages")},
        }
    )


def _doors(centre: Centre) -> dict[str, Any]:
    """Where records come in, and what doors take; no door of a closed kind has an address."""
    settings = centre.settings
    try:
        told = json.loads((settings.run_dir / "centre.json").read_text("utf-8"))
    except (OSError, ValueError):
        told = {}
    ais = settings.doors.ais
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return {
        "public_url": settings.sign_in.public_url,
        "host": settings.host,
        "mqtt": str(told.get("mqtt") or "") or None,
        "ais_tcp": f"{host}:{ais.tcp_port}" if ais.tcp_port else None,
        "ais_udp": f"{host}:{ais.udp_port}" if ais.udp_port else None,
        "ais_connect": ais.connect,
        "ais_allow": ais.allow,
        "admit": settings.doors.admit,
        "max_body_mib": settings.doors.max_body_mib,
        "future_s": settings.doors.future_s,
        "earliest": settings.doors.earliest,
        "unknown_names": settings.doors.unknown_names,
    }


async def _stream(centre: Centre, name: str) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            state = (await centre.bus.js.stream_info(name)).state
    except (NatsError, TimeoutError, OSError):
        return {"messages": None, "bytes": None, "first_seq": None, "last_seq": None}
    return {"messages": state.messages, "bytes": state.bytes, "first_seq": state.first_seq, "last_seq": state.last_seq}

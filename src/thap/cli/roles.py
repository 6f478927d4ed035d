"""`thap gateway`, `engine`, `history`, `respond`, `vision`: one role in the foreground, as `thap up` starts them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import structlog
import typer
import uvicorn
import uvloop

from thap.cli.common import Data, RunFile, read_run_file
from thap.kernel.bus import Bus
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.logs import configure_logs
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.supervisor import lock_data_directory
from thap.kernel.tables import load_tables

__all__ = ["register"]

_log = structlog.get_logger(__name__)
_ORPHAN_S = 1.0
"""How long a role may take to end when its supervisor is gone; what it acknowledged is in the journal."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("gateway", help="Run the doors and the web API (one role of `thap up`).")(gateway)
    app.command("engine", help="Run the detectors (one role of `thap up`).")(engine)
    app.command("history", help="Run the writer of history (one role of `thap up`).")(history)
    app.command("respond", help="Run incidents, timers and notices (one role of `thap up`).")(respond)
    app.command("vision", help="Read and analyse the cameras (one role of `thap up`).")(vision)


def vision(data: Data = None) -> None:
    """Cameras: readers, analysis, clips, streams."""
    _run("vision", load_settings(data))


def gateway(data: Data = None) -> None:
    """Doors and web API."""
    _run("gateway", load_settings(data))


def engine(data: Data = None) -> None:
    """Detectors, latest values, alarms."""
    _run("engine", load_settings(data))


def history(data: Data = None) -> None:
    """Writer of history, compaction, retention."""
    _run("history", load_settings(data))


def respond(data: Data = None) -> None:
    """Incidents from alarms, timers, notices, feeds."""
    _run("respond", load_settings(data))


def run_forked(role: str, words: list[str], environment: dict[str, str]) -> None:
    """A role in a process that `thap up` has forked: `words` are the data directory and the supervisor's number."""
    os.environ.clear()
    os.environ.update(environment)
    data, supervisor = words
    _run(role, load_settings(Path(data)), int(supervisor))


def _run(role: str, settings: Settings, supervisor: int = 0) -> None:
    main = _MAINS[role]
    configure_logs(settings, role)
    load_tables()

    async def until_told() -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def end() -> None:
            task.cancel()
            if supervisor and not psutil.pid_exists(supervisor):
                # The stream server went with the supervisor: waiting for it would only hold port and files.
                loop.call_later(_ORPHAN_S, os._exit, 1)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        with contextlib.suppress(asyncio.CancelledError):
            await main(settings, supervisor or os.getppid())

    uvloop.run(until_told())


async def _centre_up(settings: Settings, supervisor: int, patience_s: float = 60) -> RunFile:
    """The addresses of the centre this role belongs to: the supervisor starts roles while it prepares the rest.

    Raises:
        UnavailableError: no centre came up.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            run = read_run_file(settings)
            if run.pid == supervisor or time.monotonic() > deadline:
                return run
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.02)


async def _role_lock(settings: Settings, role: str, patience_s: float = 5) -> IO[str]:
    """The role's lock; one whose supervisor is gone may hold it for a moment yet.

    Raises:
        BusyError: the role runs already.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return lock_data_directory(settings, role)
        except BusyError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


@asynccontextmanager
async def _open(settings: Settings, role: str, supervisor: int) -> AsyncIterator[tuple[Bus, Records]]:
    """The connections a role lives on."""
    url = settings.journal.url or (await _centre_up(settings, supervisor)).nats
    bus = await Bus.connect(url, f"thap-{role}")
    records = Records.open(settings)
    try:
        yield bus, records
    finally:
        await bus.close()
        await records.close()


async def _heartbeat(
    bus: Bus, role: str, stages: Callable[[], dict[str, Any]], counters: Callable[[], dict[str, int]]
) -> None:
    """Tell once a second how the role fares; rates are computed here."""
    before: dict[str, tuple[float, int]] = {}
    while True:
        now = time.monotonic()
        told = stages()
        for name, stage in told.items():
            total = int(stage.get("total", 0))
            then, earlier = before.get(name, (now - 1, total))
            stage["rate"] = round((total - earlier) / max(now - then, 1e-3), 1)
            before[name] = (now, total)
        await bus.announce(
            f"centre.stats.{role}",
            {
                "role": role,
                "pid": os.getpid(),
                "time_us": time.time_ns() // 1000,
                "stages": told,
                "counters": counters(),
            },
        )
        starting = any(stage.get("ready") is False for stage in told.values())
        await asyncio.sleep(0.05 if starting else 1)  # who waits for readiness hears of it at once


class _Server(uvicorn.Server):
    """Leaves signals to the role."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def until_cancelled(self, closing: Callable[[], object]) -> None:
        """Serve; when cancelled, end open event streams with `closing` and finish what is under way first."""
        serving = asyncio.create_task(self.serve())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            closing()
            self.should_exit = True
            await serving
            raise


async def _gateway(settings: Settings, supervisor: int) -> None:
    from thap.observe.doors.ais import AisDoor
    from thap.observe.doors.http import HttpDoor
    from thap.observe.doors.mqtt import MqttDoor
    from thap.observe.doors.trackers import TrackerDoor
    from thap.observe.intake import Intake
    from thap.web.api.quarantine import admission_of
    from thap.web.app import create_app
    from thap.web.auth import tokens_of
    from thap.web.deps import Centre

    async with _open(settings, "gateway", supervisor) as (bus, records), Intake(bus, records, settings) as intake:
        centre = Centre(settings, records, bus, intake)
        tokens = tokens_of(centre)
        mqtt = MqttDoor(bus, intake)
        http, trackers = HttpDoor(intake, tokens, settings), TrackerDoor(intake, tokens)
        ais = AisDoor(intake, settings.doors.ais, settings.host, allow=settings.doors.ais.allow)

        async def doors(scope: Any, receive: Any, send: Any) -> None:
            """By path."""
            door = trackers if scope["path"].startswith("/api/v1/trackers/") else http
            await door(scope, receive, send)

        app = create_app(centre, doors=doors)
        server = _Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                loop="none",
                http="httptools",
                lifespan="on",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=2,
                backlog=2048,
                ws="websockets-sansio",
                ws_max_size=65_536,
                ws_per_message_deflate=False,
                server_header=False,
            )
        )

        def stages() -> dict[str, Any]:
            accepted = sum(number for name, number in intake.counters.items() if name.endswith(".accepted"))
            told = {"doors": {"seq": accepted, "lag": 0, "total": accepted, "disk_full": intake.disk_full}}
            return {**told, "mqtt": mqtt.stats()} if settings.doors.mqtt else told

        await ais.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_heartbeat(bus, "gateway", stages, lambda: dict(intake.counters)))
                group.create_task(admission_of(centre).keep_settled())
                if settings.doors.mqtt:
                    group.create_task(mqtt.run())
                group.create_task(server.until_cancelled(centre.parts["stream"].close))
        finally:
            await ais.stop()
            await tokens.flush()


async def _engine(settings: Settings, supervisor: int) -> None:
    from thap.detect.engine import Engine
    from thap.detect.records import load_rules
    from thap.detect.rules import Rule
    from thap.domains.domain import domains
    from thap.respond.book import AlarmBook

    async with _open(settings, "engine", supervisor) as (bus, records):

        async def rules() -> list[Rule]:
            async with records.read() as connection:
                return await load_rules(settings, connection)

        detectors = [make() for domain in domains().values() for make in domain.detectors]
        stage = Engine(bus, records, settings, AlarmBook(records), rules, detectors)
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.run())
            group.create_task(_heartbeat(bus, "engine", stage.stats, lambda: dict(stage.totals)))


async def _history(settings: Settings, supervisor: int) -> None:
    from thap.observe.historian import Historian

    async with _open(settings, "history", supervisor) as (bus, _records):
        await Historian(bus, settings).run()


async def _respond(settings: Settings, supervisor: int) -> None:
    from thap.domains.domain import domains
    from thap.kernel.store import open_store
    from thap.respond.parts import Context, Keeper, make_parts

    async with _open(settings, "respond", supervisor) as (bus, records):
        context = Context(settings, records, bus, open_store(records))
        keeper = Keeper(make_parts(context, [part for domain in domains().values() for part in domain.parts]))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(keeper.run())
                group.create_task(_heartbeat(bus, "respond", keeper.stats, lambda: dict(keeper.failures)))
        finally:
            await context.store.close()


async def _vision(settings: Settings, supervisor: int) -> None:
    from thap.domains.traffic.flow import analyser_settings
    from thap.domains.traffic.plates import plate_reader
    from thap.kernel.store import open_store
    from thap.observe.intake import Intake
    from thap.respond.cameras.worker import VisionWorker

    inward = settings.model_copy(deep=True)
    inward.doors.mqtt = False  # the gateway closes and opens that door
    # Two workers of one directory would count every vehicle twice.
    with await _role_lock(settings, "vision"):
        async with _open(settings, "vision", supervisor) as (bus, records), Intake(bus, records, inward) as intake:
            store = open_store(records)
            plates = await plate_reader(settings, records, store)
            worker = VisionWorker(bus, records, store, settings, intake, plates=plates, in_force=analyser_settings)

            def totals() -> dict[str, int]:
                return worker.totals() | (plates.totals() if plates is not None else {})

            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(worker.run())
                    group.create_task(_heartbeat(bus, "vision", worker.stats, totals))
            finally:
                if plates is not None:
                    plates.close()
                await store.close()


_MAINS: dict[str, Callable[[Settings, int], Coroutine[Any, Any, None]]] = {
    "gateway": _gateway,
    "engine": _engine,
    "history": _history,
    "respond": _respond,
    "vision": _vision,
}

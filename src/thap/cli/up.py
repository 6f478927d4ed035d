"""`thap up`: the whole centre on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import time
from dataclasses import asdict
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
import structlog
import typer
from pydantic import SecretStr

from thap.cli.common import Data, RunFile, console
from thap.cli.roles import run_forked
from thap.kernel.accounts import first_administrator, link_path, nobody_can_sign_in
from thap.kernel.bus import Bus
from thap.kernel.errors import BusyError, SettingsError, UnavailableError
from thap.kernel.forking import ForkedChild
from thap.kernel.logs import configure_logs
from thap.kernel.nats import free_port
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.settings_info import BY_UP
from thap.kernel.supervisor import Child, Supervisor, lock_data_directory, python_child
from thap.kernel.tables import create_tables
from thap.kernel.tokens import mqtt_users
from thap.observe.cameras.records import any_enabled

__all__ = ["register"]

_SLOW_START_S = 180.0
_log = structlog.get_logger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up", help="Run the whole centre on this machine until interrupted.")(up)


def up(
    data: Data = None,
    demo: Annotated[bool, typer.Option("--demo", help="Simulate Đồng Tháp through the real doors.")] = False,
    port: Annotated[int | None, typer.Option(help="HTTP port; 0 picks a free one.", show_default="8000")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="MQTT port; 0 picks a free one.", show_default="1883")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    durability: Annotated[
        str | None, typer.Option(help="What an acknowledged record survives: `process` or `power`.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the demo.")] = 1,
    speed: Annotated[float | None, typer.Option(help="How many times faster than real the demo runs.")] = None,
    cameras: Annotated[bool, typer.Option("--cameras", help="With --demo: two cameras with drawn films.")] = False,
) -> None:
    """The whole centre: stream server, doors and API, engine, history."""
    overrides: dict[str, Any] = {"port": port, "mqtt_port": mqtt_port, "host": host}
    settings = load_settings(data, **overrides)
    if durability is not None:
        if durability not in ("process", "power"):
            raise typer.BadParameter("choose process or power", param_hint="--durability")
        level: Literal["process", "power"] = "power" if durability == "power" else "process"
        settings.journal.durability = level
    if demo and settings.doors.ais.tcp_port is None:
        settings.doors.ais.tcp_port = 0
    demo_options = None
    if demo:
        # People of the demo are told too, and nothing leaves the machine.
        told = quote(str((settings.data / "notices").resolve()))
        settings.notify.channels.setdefault("email", SecretStr(f"file://{told}/{{address}}.txt"))
        demo_options = ["--seed", str(seed), *(["--speed", str(speed)] if speed is not None else [])]
    asyncio.run(_up(settings, demo_options, cameras=demo and cameras))


async def _up(settings: Settings, demo_options: list[str] | None, cameras: bool = False) -> None:
    began = time.monotonic()
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = lock_data_directory(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    configure_logs(settings, "up")
    _pick_ports(settings)
    passed_on = _as_environment(settings)
    os.environ[BY_UP] = ",".join(name for name, value in passed_on.items() if os.environ.get(name) != value)
    os.environ |= passed_on
    words = [str(settings.data), str(os.getpid())]
    children: list[Child] = [
        ForkedChild(role, words, target=run_forked) for role in ("history", "engine", "gateway", "respond")
    ]
    demo_child = None
    if demo_options is not None:
        demo_child = python_child("demo", "demo", "run", "--data", str(settings.data), *demo_options)
        demo_child.once = True
    records = Records.open(settings)
    supervisor = Supervisor(settings, children)
    run_path = settings.run_dir / "centre.json"

    async def reload_users() -> None:
        async with records.read() as connection:
            supervisor.nats.set_mqtt_users(await mqtt_users(connection))

    async def look_for_cameras() -> None:
        """The worker of cameras is started with the first of them: without any it would only take memory."""
        async with records.read() as connection:
            if "vision" in supervisor.children or not await any_enabled(connection):
                return
        worker = python_child("vision", "vision", "--data", str(settings.data))
        worker.slow_start_s = _SLOW_START_S
        supervisor.children["vision"] = worker
        supervisor.start_children()

    supervisor.reload_users = reload_users
    supervisor.hears["centre.live.cameras"] = look_for_cameras
    run_path.unlink(missing_ok=True)  # of a centre that was killed
    try:
        await create_tables(records)
        first = await _first_link(records)
        await reload_users()
        await asyncio.to_thread(supervisor.start_nats)
        bus = await Bus.connect(supervisor.url, "thap-up")
        await bus.ensure_streams(settings.journal)
        await bus.close()
        run = _write_run_file(settings, supervisor, run_path)
        if supervisor.nats.mqtt_port:
            os.environ["THAP_MQTT_PORT"] = str(supervisor.nats.mqtt_port)  # as it is, where 0 was asked for
            os.environ[BY_UP] = ",".join(filter(None, (os.environ[BY_UP], "THAP_MQTT_PORT")))
        supervisor.start_children()  # not sooner: what they are forked from was loading meanwhile, on the other core
        watching = asyncio.create_task(supervisor.watch())
        stopping = asyncio.create_task(stop.wait())
        ready = asyncio.create_task(_wait_ready(run, supervisor))
        await asyncio.wait({ready, stopping, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            if ready.done():
                ready.result()
                _greet(settings, run, time.monotonic() - began, first)
            if cameras:
                from thap.cli.demo_cameras import add_demo_cameras

                await add_demo_cameras(settings, records)
            await look_for_cameras()
            if demo_child is not None:
                supervisor.children["demo"] = demo_child
                supervisor.start_children()
            await asyncio.wait({stopping, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
    finally:
        await supervisor.stop()
        await records.close()
        run_path.unlink(missing_ok=True)
        lock.close()


def _pick_ports(settings: Settings) -> None:
    """Free ports where 0 was asked for; a clear error where a wanted one is taken."""
    if settings.port == 0:
        settings.port = free_port(settings.host)
    _probe(
        socket.SOCK_STREAM, settings.host, settings.port, "HTTP port", "choose another with --port, or 0 for a free one"
    )
    ais = settings.doors.ais
    if ais.tcp_port == 0:
        ais.tcp_port = free_port(settings.host)
    if ais.udp_port == 0:
        ais.udp_port = free_port(settings.host)
    for kind, port, name in (
        (socket.SOCK_STREAM, ais.tcp_port, "doors.ais.tcp_port"),
        (socket.SOCK_DGRAM, ais.udp_port, "doors.ais.udp_port"),
    ):
        if port is not None:
            _probe(kind, settings.host, port, "AIS port", f"choose another for {name}, or 0 for any")
    for network in ais.allow:
        try:
            ip_network(network)
        except ValueError as error:
            raise SettingsError(
                f"setting `doors.ais.allow`: {error}", hint="write for example 192.168.1.0/24"
            ) from None


def _probe(kind: socket.SocketKind, host: str, port: int, what: str, hint: str) -> None:
    """Whether the port can be used.

    Raises:
        BusyError: it cannot.
    """
    with socket.socket(type=kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BusyError(f"{what} {port} on {host} cannot be used: {error.strerror}", hint=hint) from None


def _as_environment(settings: Settings) -> dict[str, str]:
    """What was given on the command line, for the children."""
    made = {
        "THAP_HOST": settings.host,
        "THAP_PORT": str(settings.port),
        "THAP_JOURNAL__DURABILITY": settings.journal.durability,
        **{
            f"THAP_NOTIFY__CHANNELS__{name.upper()}": url.get_secret_value()
            for name, url in settings.notify.channels.items()
            if url.get_secret_value().startswith("file://")
        },
    }
    ais = settings.doors.ais
    if ais.tcp_port is not None:
        made["THAP_DOORS__AIS__TCP_PORT"] = str(ais.tcp_port)
    if ais.udp_port is not None:
        made["THAP_DOORS__AIS__UDP_PORT"] = str(ais.udp_port)
    return made


def _write_run_file(settings: Settings, supervisor: Supervisor, path: Path) -> RunFile:
    """Addresses and the local administrator's token, for whoever may read the data directory."""
    secret = settings.run_dir / "local.secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(32))
    shown = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    nats = supervisor.nats
    run = RunFile(
        pid=os.getpid(),
        http=f"http://{shown}:{settings.port}",
        nats=supervisor.url,
        mqtt=f"{shown}:{nats.mqtt_port}" if nats.mqtt_port else "",
        token=secret.read_text().strip(),
        ais_tcp=settings.doors.ais.tcp_port or 0,
        ais_udp=settings.doors.ais.udp_port or 0,
    )
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(run)))
    draft.replace(path)
    return run


async def _wait_ready(run: RunFile, supervisor: Supervisor, patience_s: float = 120) -> dict[str, Any]:
    """Until /readyz says yes.

    Raises:
        UnavailableError: it did not within `patience_s`.
    """
    deadline = time.monotonic() + patience_s
    said: Any = "no answer"
    async with httpx.AsyncClient(base_url=run.http, timeout=5, trust_env=False) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                answer = await client.get("/readyz")
                said = answer.json()
                if answer.status_code == 200:
                    return dict(said)
            await asyncio.sleep(0.05)
    raise UnavailableError(f"the centre did not become ready: {said}", hint="its log above says why")


async def _first_link(records: Records) -> str | None:
    """The path of the first administrator's link where there is nobody yet; "" where nobody has used theirs."""
    if secret := await first_administrator(records):
        return link_path(secret)
    async with records.read() as connection:
        return "" if await nobody_can_sign_in(connection) else None


def _greet(settings: Settings, run: RunFile, seconds: float, first: str | None) -> None:
    # Plain lines: whoever copies the link, or reads it from a log, gets it whole.
    lines = [
        f"Tháp is ready after {seconds:.1f} s",
        f"  open   {run.http}/?key={run.token}",
        "         (this link alone makes whoever opens it the administrator: keep it)",
        f"  API    {run.http}/api/v1",
    ]
    if first:
        lines.append(f"  first  {(settings.sign_in.public_url or run.http).rstrip('/')}{first}")
        lines.append("         (once, within 24 hours: sets the password of `administrator`)")
    elif first is not None:
        lines.append("  first  nobody can sign in yet; `thap people link administrator` makes a link")
    if run.mqtt:
        lines.append(f"  MQTT   {run.mqtt}   (`thap tokens create NAME --mqtt` makes an account)")
    if run.ais_tcp:
        lines.append(f"  AIS    tcp {settings.host}:{run.ais_tcp}")
    lines += [f"  data   {settings.data}", "  `thap watch` shows what happens; Ctrl-C stops the centre"]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)

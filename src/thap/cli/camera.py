"""`thap camera`: cameras, where their pictures come from, and whether they come."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.cli.common import Data, Json, console, emit, open_bus, open_records, run_async, tell_centre
from thap.kernel.audit import Entry, append_async
from thap.kernel.errors import InputError, NotFoundError, UnavailableError
from thap.kernel.policy import Who
from thap.kernel.settings import Settings, load_settings
from thap.observe.cameras.addresses import Address, read_address, read_service
from thap.observe.cameras.records import Camera, add_camera, camera_named, change_camera, list_cameras, remove_camera

__all__ = ["register"]

cameras = typer.Typer(no_args_is_help=True, help="Cameras: add, test, list, remove, find in the network.")
_SHOWN = (
    *("name", "title", "domain", "address", "enabled", "transport", "loop", "fps", "lon", "lat"),
    *("keep_days", "disk_mib"),
)
User = Annotated[str, typer.Option("--user", help="User name at the camera.")]
Secret = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, so that no history keeps it.")
]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(cameras, name="camera")


@cameras.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name, as cam-ql30.")],
    address: Annotated[str, typer.Argument(help="rtsp://…, http://… (MJPEG or HLS), or the path of a file.")],
    title: Annotated[str, typer.Option(help="Title for people.")] = "",
    domain: Annotated[str, typer.Option(help="Domain it serves.")] = "traffic",
    user: User = "",
    password_stdin: Secret = False,
    lon: Annotated[float | None, typer.Option(min=-180, max=180, help="Degrees, WGS 84.")] = None,
    lat: Annotated[float | None, typer.Option(min=-90, max=90, help="Degrees, WGS 84.")] = None,
    fps: Annotated[float, typer.Option(min=0.1, max=30, help="Pictures a second that are analysed.")] = 5.0,
    loop: Annotated[bool, typer.Option("--loop/--once", help="Whether a file begins again at its end.")] = True,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.")] = "tcp",
    onvif: Annotated[str, typer.Option(help="Address of its ONVIF device service, for its clock.")] = "",
    keep_days: Annotated[int, typer.Option(min=1, max=3650, help="Days its clips are kept.")] = 30,
    disk_mib: Annotated[int, typer.Option(min=1, help="Room for its clips, MiB.")] = 2048,
    off: Annotated[bool, typer.Option("--off", help="Do not read it yet.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add a camera. Its credentials are encrypted and never shown again."""
    settings = load_settings(data)
    if transport not in ("tcp", "udp"):
        raise typer.BadParameter("choose tcp or udp", param_hint="--transport")
    found = read_address(address)
    row: dict[str, Any] = {
        "name": name,
        "title": title or None,
        "domain": domain,
        "lon": lon,
        "lat": lat,
        "address": found.url,
        "secret": _sealed(settings, found, user, password_stdin),
        "trusted": True,
        "enabled": not off,
        "transport": transport,
        "loop": loop and found.is_file,
        "fps": fps,
        "onvif": read_service(onvif).url if onvif else "",
        "keep_days": keep_days,
        "disk_mib": disk_mib,
    }
    made = run_async(lambda: _add(settings, row))
    emit(
        _told(made, None),
        as_json,
        lambda: console.print(f"{escape(name)} reads {escape(made.address)}", highlight=False),
    )


@cameras.command("list")
def list_(data: Data = None, as_json: Json = False) -> None:
    """List cameras with how they fare."""
    settings = load_settings(data)
    found, states = run_async(lambda: _list(settings))
    items = [_told(camera, states.get(camera.name)) for camera in found]

    def text() -> None:
        table = Table("name", "address", "state", "picture", "trouble")
        for item in items:
            state = item["state"] or {}
            picture = f"{state['width']}x{state['height']} {state['codec']}" if state.get("width") else ""
            trouble = ", ".join(state.get("conditions", ())) or (state.get("error") or {}).get("message", "")
            shown = state.get("state", "off" if not item["enabled"] else "not read")
            table.add_row(escape(item["name"]), escape(item["address"]), shown, picture, escape(trouble))
        console.print(table if items else "There are no cameras yet: `thap camera add NAME ADDRESS`.")

    emit({"items": items}, as_json, text)


@cameras.command("test")
def test(
    what: Annotated[str, typer.Argument(help="Name of a camera, or an address.")],
    user: User = "",
    password_stdin: Secret = False,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.")] = "tcp",
    picture: Annotated[Path | None, typer.Option(help="Where to write the picture, JPEG.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Connect once: a picture, or the exact reason why there is none."""
    from thap.observe.cameras.probe import probe

    settings = load_settings(data)
    camera = run_async(lambda: _known(settings, what))
    given: tuple[str, str] | None = None
    if camera is None:
        found = read_address(what)
        if found.is_file and "/" not in what and not Path(what).exists():
            raise NotFoundError(f"{what!r} is neither a camera nor a file", hint="`thap camera list` shows the cameras")
        camera = Camera(0, "test", address=found.url, transport=transport, trusted=True)
        given = (user or found.user, _password(password_stdin) or found.password)
    elif user or password_stdin:
        given = (user, _password(password_stdin))
    told = probe(camera, settings, given)
    jpeg = base64.b64decode(told.pop("jpeg"))
    if picture is not None:
        picture.write_bytes(jpeg)
    told = {"ok": True, "address": camera.address, **told, "jpeg_bytes": len(jpeg)}

    def text() -> None:
        shown = "as it is" if told["playable"] else "as single pictures"
        console.print(
            f"{told['width']}x{told['height']} {told['codec']}, {told['rate']:g} pictures/s, first after "
            f"{told['seconds']} s; browsers show it {shown}",
            highlight=False,
        )
        if told["clock_s"] is not None and abs(told["clock_s"]) > 60:
            console.print(f"its clock is off by {told['clock_s']:g} s", style="yellow", highlight=False)

    emit(told, as_json, text)


@cameras.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="Name of the camera.")], data: Data = None, as_json: Json = False
) -> None:
    """Forget a camera's address, credentials and scene. Its history and clips stay."""
    settings = load_settings(data)

    async def work(connection: AsyncConnection) -> Camera:
        found = await remove_camera(connection, name)
        await append_async(
            connection, [Entry(Who.local(), "camera.remove", f"thing:{name}", {"address": found.address})]
        )
        return found

    run_async(lambda: _write(settings, work))
    emit({"removed": name}, as_json, lambda: console.print(f"{escape(name)} is read no longer", highlight=False))


@cameras.command("switch")
def switch(
    name: Annotated[str, typer.Argument(help="Name of the camera.")],
    on: Annotated[bool, typer.Option("--on/--off", help="Whether it is read.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Read a camera, or leave it alone for a while."""
    settings = load_settings(data)

    async def work(connection: AsyncConnection) -> Camera:
        made = await change_camera(connection, name, {"enabled": on}, "local")
        await append_async(connection, [Entry(Who.local(), "camera.change", f"thing:{name}", {"enabled": on})])
        return made

    made = run_async(lambda: _write(settings, work))
    emit(
        _told(made, None), as_json, lambda: console.print(f"{escape(name)} is {'on' if on else 'off'}", highlight=False)
    )


@cameras.command("discover")
def discover_(
    wait: Annotated[float, typer.Option(min=1, max=30, help="Seconds to wait for answers.")] = 4.0,
    as_json: Json = False,
) -> None:
    """Find ONVIF cameras in this network."""
    from thap.observe.cameras.discovery import discover

    with console.status("asking the network…", spinner="dots") if not as_json else console.capture():
        items = [one.as_dict() for one in discover(wait)]

    def text() -> None:
        table = Table("host", "name", "model", "ONVIF service")
        for one in items:
            table.add_row(escape(one["host"]), escape(one["name"]), escape(one["model"]), escape(one["onvif"]))
        console.print(table if items else "No camera answered. Is this machine in the cameras' network?")

    emit({"items": items}, as_json, text)


def _sealed(settings: Settings, address: Address, user: str, password_stdin: bool) -> str:
    from thap.observe.cameras.credentials import Vault

    return Vault(settings).seal(user or address.user, _password(password_stdin) or address.password)


def _password(password_stdin: bool) -> str:
    if not password_stdin:
        return ""
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise InputError("no password came on standard input", where="--password-stdin")
    return password


def _told(camera: Camera, state: dict[str, Any] | None) -> dict[str, Any]:
    shown = (
        "name",
        "title",
        "domain",
        "address",
        "enabled",
        "transport",
        "loop",
        "fps",
        "lon",
        "lat",
        "keep_days",
        "disk_mib",
    )
    return {**{key: getattr(camera, key) for key in shown}, "credentials": bool(camera.secret), "state": state}


async def _write(settings: Settings, work: Any) -> Camera:
    records = open_records(settings)
    try:
        async with records.write() as connection:
            made: Camera = await work(connection)
    finally:
        await records.close()
    await tell_centre(settings, "registry", {"by": "camera"})
    await tell_centre(settings, "cameras", {"camera": made.name})
    return made


async def _add(settings: Settings, row: dict[str, Any]) -> Camera:
    async def work(connection: AsyncConnection) -> Camera:
        made = await add_camera(connection, row, "local")
        await append_async(
            connection, [Entry(Who.local(), "camera.add", f"thing:{made.name}", {"address": made.address})]
        )
        return made

    return await _write(settings, work)


async def _list(settings: Settings) -> tuple[list[Camera], dict[str, Any]]:
    import msgspec

    records = open_records(settings)
    try:
        async with records.read() as connection:
            found = await list_cameras(connection)
    finally:
        await records.close()
    states: dict[str, Any] = {}
    try:
        bus = await open_bus(settings)
    except UnavailableError:
        return found, states
    try:
        states = msgspec.json.decode(await bus.ask("centre.ask.cameras", timeout_s=3))
    except UnavailableError:
        pass  # no camera is read
    finally:
        await bus.close()
    return found, states


async def _known(settings: Settings, name: str) -> Camera | None:
    try:
        records = open_records(settings)
    except UnavailableError:
        return None
    try:
        async with records.read() as connection:
            return await camera_named(connection, name)
    except NotFoundError:
        return None
    finally:
        await records.close()

"""What every command shares: where the centre is, how to talk to it, how to print."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import httpx
import typer
from rich.console import Console
from rich.text import Text

from thap.kernel.bus import Bus
from thap.kernel.errors import NotFoundError, ThapError, UnauthenticatedError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings

__all__ = [
    "Data",
    "Json",
    "RunFile",
    "api",
    "api_json",
    "call",
    "console",
    "emit",
    "fail",
    "open_bus",
    "open_records",
    "read_run_file",
    "run_async",
    "tell_centre",
]

T = TypeVar("T")

# Where nobody's screen is that wide, in a pipe or a file, nothing is cut from a table.
console = Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=240)
Data = Annotated[
    Path | None, typer.Option("--data", help="Data directory (else THAP_HOME, else ./thap-data).", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@dataclass(frozen=True, slots=True)
class RunFile:
    """`run/centre.json`: where the running centre of a data directory can be reached. Mode 0600."""

    pid: int
    http: str
    """Base URL, as http://127.0.0.1:8000."""
    nats: str
    """URL with the internal credential."""
    mqtt: str
    """host:port, empty when the door is closed."""
    token: str
    """The local administrator's API token, for commands of whoever may read this file."""
    ais_tcp: int = 0
    ais_udp: int = 0


def read_run_file(settings: Settings) -> RunFile:
    """The running centre's addresses.

    Raises:
        UnavailableError: no centre runs on this data directory.
    """
    path = settings.run_dir / "centre.json"
    try:
        body = json.loads(path.read_text("utf-8"))
        run = RunFile(**body)
        Path(f"/proc/{run.pid}").stat()
    except (OSError, ValueError, TypeError):
        raise UnavailableError(
            "no centre is running here",
            where=str(settings.data),
            hint="start it with `thap up`, or name its directory with --data",
        ) from None
    return run


def call(method: str, path: str, data: Path | None = None, **arguments: Any) -> Any:
    """One API call to the running centre as the local administrator; returns the decoded JSON.

    Raises:
        ThapError: as the API answered, or the centre does not run.
    """
    with api(data) as client:
        return api_json(client.request(method, path, **arguments))


def api(data: Path | None = None) -> httpx.Client:
    """An HTTP client of the running centre, signed in as the local administrator."""
    run = read_run_file(load_settings(data))
    return httpx.Client(
        base_url=run.http, headers={"Authorization": f"Bearer {run.token}"}, timeout=60, trust_env=False
    )


def api_json(response: httpx.Response) -> Any:
    """The JSON of an answer, or the error in it as a ThapError."""
    try:
        body = response.json()
    except ValueError:
        body = {"code": "unavailable", "message": response.text[:300] or f"status {response.status_code}"}
    if response.is_success:
        return body
    kind = {401: UnauthenticatedError, 404: NotFoundError, 503: UnavailableError}.get(response.status_code, ThapError)
    error = body.get("error", body) if isinstance(body, dict) else {"message": str(body)}
    raise kind(str(error.get("message", body)), where=error.get("where"), hint=error.get("hint"))


async def open_bus(settings: Settings) -> Bus:
    """A connection to the running centre's stream."""
    return await Bus.connect(read_run_file(settings).nats, "thap-cli", patience_s=5)


async def tell_centre(settings: Settings, what: str, body: Any) -> bool:
    """Announce `centre.live.<what>` to the running centre; whether one runs to hear it."""
    try:
        bus = await open_bus(settings)
    except UnavailableError:
        return False
    await bus.announce(f"centre.live.{what}", body)
    await bus.close()
    return True


def open_records(settings: Settings) -> Records:
    """The records of a data directory, whether or not the centre runs.

    Raises:
        UnavailableError: there is no centre in this directory.
    """
    if settings.records_url is None and not (settings.data / "records.sqlite").exists():
        raise UnavailableError(
            "there is no centre in this directory yet", where=str(settings.data), hint="`thap up` makes one"
        )
    return Records.open(settings)


def run_async(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end."""
    return asyncio.run(main())


def emit(value: Any, as_json: bool, text: Callable[[], None]) -> None:
    """Print `value` as JSON, or call `text` to print it for people."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    else:
        text()


def fail(error: ThapError, as_json: bool = False) -> NoReturn:
    """Print an error and end with status 1."""
    if as_json:
        sys.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False) + "\n")
    else:
        line = Text.assemble(("error", "bold red"), f" {error}")
        Console(stderr=True, highlight=False).print(line, soft_wrap=True)
    raise SystemExit(1)

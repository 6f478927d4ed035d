"""`thap notices`: who was told what, what came of it, and how people want to be told."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.errors import InputError

__all__ = ["register"]

notices = typer.Typer(no_args_is_help=True, help="Who was told what, and what came of it.")

_PATH = "/api/v1/notices"
Number = Annotated[int, typer.Argument(min=1, help="Number of the notice.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(notices, name="notices")


def _time(us: int | None) -> str:
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M:%S")


def _came(one: dict[str, Any]) -> str:
    if one["state"] != "taken":
        return "[red]reaches nobody[/]" if one["state"] == "unreachable" else "waits"
    words = [f"{one[name]} {name}" for name in ("sent", "open", "failed") if one[name]]
    return ", ".join(words) or "sent with an equal one"


@notices.command("list")
def list_(
    state: Annotated[str, typer.Option(help="waiting, unreachable, sent, open, held or failed; all by default.")] = "",
    login: Annotated[str, typer.Option(help="Only to this person.")] = "",
    incident: Annotated[int | None, typer.Option(min=1, show_default=False)] = None,
    template: Annotated[str, typer.Option(help="Only of this kind, as escalation.step.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    before: Annotated[int | None, typer.Option(min=1, show_default=False, help="`next` of the page before.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List notices, the newest first."""
    asked = {"state": state, "login": login, "incident": incident, "template": template}
    asked |= {"limit": limit, "before": before}
    found = call("GET", _PATH, data, params={name: value for name, value in asked.items() if value})

    def show() -> None:
        table = Table("no.", "when (+07)", "to", "what", "incident", "what came of it", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            what = one["template"] + (f" (+{one['repeats']})" if one["repeats"] else "")
            table.add_row(
                str(one["id"]),
                _time(one["created"]),
                escape(one["to"]),
                escape(what),
                str(one["incident"] or ""),
                _came(one),
            )
        console.print(table if found["items"] else "No notice.")
        if found["waiting"]:
            console.print(
                f"{found['waiting']} messages wait; {found['failing']} of them failed before.", highlight=False
            )
        if found["next"]:
            console.print(f"The next page: --before {found['next']}", highlight=False)

    emit(found, as_json, show)


@notices.command()
def show(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Show one notice and its delivery log."""
    found = call("GET", f"{_PATH}/{number}", data)

    def text() -> None:
        one = found["notice"]
        console.print(
            f"[bold]{escape(one['template'])}[/] to {escape(one['to'])}, {_time(one['created'])}: {_came(one)}"
        )
        for name, value in (one["params"] or {}).items():
            console.print(f"  {escape(name)}: {escape(str(value))}", highlight=False)
        for way in found["deliveries"]:
            console.print(
                f"{way['channel'] or 'address'} {escape(way['address'] or '…')}: {way['state']} {_time(way['sent'])}",
                highlight=False,
            )
            for attempt in way["tries"]:
                came = "taken" if attempt["ok"] else escape(attempt["error"])
                console.print(f"  {_time(attempt['time'])} {attempt['took_ms']} ms: {came}", highlight=False)
            if way["state"] in ("waiting", "held"):
                console.print(f"  next at {_time(way['due'])}", highlight=False)
        if not found["deliveries"]:
            console.print("No message yet." if one["state"] == "waiting" else "There is no message.")

    emit(found, as_json, text)


@notices.command()
def retry(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Try what failed, or waits, of a notice again now."""
    found = call("POST", f"{_PATH}/{number}/retry", data)
    emit(
        found,
        as_json,
        lambda: console.print(
            f"{found['retried']} messages are tried again." if found["retried"] else "Nothing of it failed or waits.",
            highlight=False,
        ),
    )


@notices.command()
def test(
    to: Annotated[str, typer.Argument(help="person:LOGIN, duty:UNIT/ROLE or channel:address.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Send a test; `thap notices show` then says what came of it."""
    made = call("POST", f"{_PATH}/test", data, json={"to": to})
    emit(
        made,
        as_json,
        lambda: console.print(f"Notice {made['id']} is on its way: thap notices show {made['id']}", highlight=False),
    )


@notices.command()
def preferences(
    login: Annotated[str, typer.Argument(help="Login of the person.")],
    channel: Annotated[
        list[str] | None, typer.Option(help="channel:address; repeat it. '-' for none.", show_default=False)
    ] = None,
    language: Annotated[str | None, typer.Option(help="vi or en.", show_default=False)] = None,
    quiet: Annotated[str | None, typer.Option(help="Quiet hours, as 22:00-06:00; '-' for none.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show how somebody wants to be told, or change it."""
    path = f"{_PATH}/preferences/{login}"
    found = call("GET", path, data)
    if channel or language or quiet:
        body = {name: found[name] for name in ("language", "quiet_from", "quiet_until", "channels")}
        if language:
            body["language"] = language
        if quiet:
            low, _, high = quiet.partition("-")
            body |= {"quiet_from": low or None, "quiet_until": high or None}
        if channel:
            body["channels"] = [_channel(one) for one in channel if one != "-"]
        found = call("PUT", path, data, json=body)

    def text() -> None:
        hours = f"{found['quiet_from']} to {found['quiet_until']}" if found["quiet_from"] else "none"
        console.print(f"language {found['language']}, quiet hours {hours}", highlight=False)
        for one in found["channels"]:
            off = "" if one["enabled"] else ", off"
            console.print(f"{one['channel']}: {escape(one['address'])}{off}", highlight=False)
        if not found["channels"]:
            console.print("No channel chosen: e-mail, if the person has an address and the centre the channel `email`.")
        console.print(f"The centre has: {', '.join(found['available']) or 'no channel (set notify.channels)'}")

    emit(found, as_json, text)


def _channel(text: str) -> dict[str, Any]:
    name, _, address = text.partition(":")
    if not address:
        raise InputError(f"{text!r} is not a channel and an address", where="--channel", hint="as email:ai@example.org")
    return {"channel": name, "address": address}

"""`thap reports`: what citizens report, and what people do about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import VIETNAM, from_us

__all__ = ["register"]

reports = typer.Typer(no_args_is_help=True, help="What citizens report, and what people do about it.")

_PATH = "/api/v1/reports"
_OPEN = "received,accepted,in_progress"
_STYLE = {"received": "bold yellow", "accepted": "cyan", "in_progress": "bold cyan", "done": "green"}
Number = Annotated[int, typer.Argument(min=1, help="Number of the report.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Words to the sender.")]
Needed = Annotated[str, typer.Option("--comment", "-m", help="Words to the sender; they are needed.")]
Version = Annotated[
    int | None, typer.Option(min=0, show_default=False, help="Refuse if it changed since this version.")
]
Many = Annotated[list[str] | None, typer.Option(show_default=False, help="Several by comma or repeated.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(reports, name="reports")


def _time(us: int | None) -> str:
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M")


def _state(one: dict[str, Any]) -> str:
    words = str(one["state"]).replace("_", " ")
    if one["duplicate_of"]:
        words += f" of {one['duplicate_of']}"
    style = _STYLE.get(one["state"], "dim")
    return f"[{style}]{words}[/]"


@reports.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also reports that are closed.")] = False,
    state: Many = None,
    service: Many = None,
    unit: Many = None,
    domain: Many = None,
    incident: Annotated[int | None, typer.Option(min=1, help="Those an incident handles.", show_default=False)] = None,
    unhappy: Annotated[bool, typer.Option("--unhappy", help="Only those whose sender was not satisfied.")] = False,
    text: Annotated[str, typer.Option(help="Part of the words or the place.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    after: Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List reports, by default those that are open, the latest first."""
    shown = state or ([] if every or unhappy or incident else [_OPEN])
    asked = {"limit": limit, "state": shown, "service": service, "unit": unit, "domain": domain}
    asked |= {"incident": incident, "unhappy": unhappy or None, "text": text, "after": after}
    found = call("GET", _PATH, data, params={name: value for name, value in asked.items() if value})

    def show() -> None:
        table = Table("no.", "state", "what", "where", "received (+07)", "incident", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            words = " ".join((one["public_text"] or one["text"]).split())
            table.add_row(
                str(one["id"]),
                _state(one),
                f"[bold]{escape(one['service'])}[/]\n{escape(words[:90])}",
                escape(one["place"] or one["commune"]),
                _time(one["received"]),
                str(one["incident"] or ""),
            )
        console.print(table if found["items"] else "No report.")
        if found["next"]:
            console.print(f"{found['total']} in all; the next page: --after {found['next']}", highlight=False)

    emit(found, as_json, show)


@reports.command()
def show(
    number: Number,
    sender: Annotated[bool, typer.Option("--sender", help="Who sent it, unmasked; the audit log keeps it.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one report, its steps, and what may be the same."""
    found = call("GET", f"{_PATH}/{number}", data)
    if sender:
        found["sender"] = call("GET", f"{_PATH}/{number}/sender", data)
    one = found["report"]

    def text() -> None:
        console.print(f"[bold]{escape(one['service'])}[/]  {_state(one)}", highlight=False)
        who = found["sender"] or {}
        facts = {
            "received": f"{_time(one['received'])} by {one['source']} {one['client']}",
            "expected": _time(one["expected"]),
            "unit": one["unit"],
            "place": " ".join(str(part) for part in (one["place"], one["commune"], one["lon"], one["lat"]) if part),
            "wrote": one["text"],
            "public": one["public_text"] if one["published"] else "(not shown)",
            "answers": "; ".join(f"{code}: {', '.join(values)}" for code, values in one["answers"].items()),
            "photos": ", ".join(str(photo["id"]) for photo in found["photos"]),
            "sender": ", ".join(value for value in who.values() if value) or ("erased" if not found["sender"] else ""),
            "incident": str(one["incident"] or ""),
            "satisfied": f"{one['satisfaction']} of 5 {one['opinion']}" if one["satisfaction"] else "",
            "version": str(one["version"]),
        }
        for name, value in facts.items():
            if value:
                console.print(f"  {name:<10} {escape(value)}", highlight=False)
        table = Table("time (+07)", "what", "by", "public", "words")
        for event in found["steps"]:
            seen = "yes" if event["public"] else ""
            table.add_row(_time(event["time"]), event["action"], escape(event["by"]), seen, escape(event["comment"]))
        console.print(table)
        for other in found["near"]:
            near = other["report"]
            console.print(
                f"maybe the same: {near['id']} ({near['service']}, {other['metres']:.0f} m away)", highlight=False
            )
        for other in found["exchanges"]:
            parts = (other["direction"], other["endpoint"], other["state"], other["remote_id"], other["error"])
            console.print(escape(" ".join(part for part in parts if part)), highlight=False)

    emit(found, as_json, text)


def _done(event: dict[str, Any]) -> None:
    console.print(
        f"{event['report']}  {event['action']}: {event['from_state']} → {event['to_state']}".replace("_", " "),
        highlight=False,
    )


def _act(number: int, act: str, body: dict[str, Any], data: Any, as_json: bool) -> None:
    event = call("POST", f"{_PATH}/{number}/{act}", data, json=body)
    emit(event, as_json, lambda: _done(event))


@reports.command()
def accept(
    number: Number,
    comment: Comment = "",
    public: Annotated[str | None, typer.Option(help="What the public reads.", show_default=False)] = None,
    photo: Annotated[list[int] | None, typer.Option(help="Number of a photo the public may see.")] = None,
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take a report on, and let the public read it."""
    body = {"comment": comment, "public_text": public, "photos": photo or [], "version": version}
    _act(number, "accept", body, data, as_json)


@reports.command()
def start(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Say that somebody works on it."""
    _act(number, "start", {"comment": comment, "version": version}, data, as_json)


@reports.command()
def answer(number: Number, comment: Needed, version: Version = None, data: Data = None, as_json: Json = False) -> None:
    """Close it with words to the sender."""
    _act(number, "answer", {"comment": comment, "version": version}, data, as_json)


@reports.command()
def reject(number: Number, comment: Needed, version: Version = None, data: Data = None, as_json: Json = False) -> None:
    """Close it as nothing to work on, with the reason."""
    _act(number, "reject", {"comment": comment, "version": version}, data, as_json)


@reports.command()
def reopen(number: Number, comment: Needed, version: Version = None, data: Data = None, as_json: Json = False) -> None:
    """Take it up again, with the reason."""
    _act(number, "reopen", {"comment": comment, "version": version}, data, as_json)


@reports.command()
def duplicate(
    number: Number,
    of: Annotated[int, typer.Argument(min=1, help="Number of the earlier one.")],
    comment: Comment = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Close it as the same as an earlier one."""
    _act(number, "duplicate", {"of": of, "comment": comment, "version": version}, data, as_json)


@reports.command()
def comment(
    number: Number,
    words: Annotated[str, typer.Argument(help="What to say.")],
    public: Annotated[bool, typer.Option("--public", help="The sender and the public read it.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Remark on it."""
    _act(number, "comment", {"comment": words, "public": public}, data, as_json)


@reports.command("open")
def open_(
    number: Number,
    title: Annotated[str, typer.Option(help="Title of the incident.")] = "",
    severity: Annotated[int | None, typer.Option(min=1, max=4, help="1 low to 4 critical.", show_default=False)] = None,
    unit: Annotated[str | None, typer.Option(help="Code of the unit in charge.", show_default=False)] = None,
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Open an incident that handles it."""
    body = {"title": title, "severity": severity, "unit": unit, "version": version}
    opened = call("POST", f"{_PATH}/{number}/incident", data, json=body)
    emit(opened, as_json, lambda: console.print(f"incident {opened['incident']} handles it"))


@reports.command()
def link(
    number: Number,
    incident: Annotated[int, typer.Argument(min=1, help="Number of the incident.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say which incident handles it."""
    opened = call("POST", f"{_PATH}/{number}/link", data, json={"incident": incident})
    emit(opened, as_json, lambda: console.print(f"incident {opened['incident']} handles it"))


@reports.command()
def erase(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Erase who sent it, before its time."""
    done = call("POST", f"{_PATH}/{number}/erase", data)
    emit(done, as_json, lambda: console.print("erased" if done["erased"] else "it was erased before"))


@reports.command()
def services(data: Data = None, as_json: Json = False) -> None:
    """List what can be reported."""
    found = call("GET", f"{_PATH}/services", data)

    def text() -> None:
        table = Table("code", "name", "domain", "unit", "severity", "hours", box=SIMPLE, pad_edge=False)
        for one in found:
            hours = "" if one["expected_hours"] is None else f"{one['expected_hours']:g}"
            name = one["name"].get("vi", "") + (" (hidden)" if one["hidden"] else "")
            table.add_row(one["code"], escape(name), one["domain"], one["unit"], str(one["severity"]), hours)
        console.print(table if found else "Nothing can be reported.")

    emit(found, as_json, text)

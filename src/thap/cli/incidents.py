"""`thap incidents`: what alarms and reports became, and what people do about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import unquote

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.progress import wrap_file
from rich.table import Table

from thap.cli.common import Data, Json, api, api_json, call, console, emit
from thap.cli.opening_rules import rules
from thap.kernel.clock import VIETNAM, from_us, now_us
from thap.kernel.errors import InputError

__all__ = ["register"]

incidents = typer.Typer(no_args_is_help=True, help="What alarms and reports became, and what people do about it.")
incidents.add_typer(rules, name="rules")

_PATH = "/api/v1/incidents"
_SEVERITY = {1: "[cyan]low[/]", 2: "[yellow]medium[/]", 3: "[dark_orange]high[/]", 4: "[bold red]critical[/]"}
_OPEN = "open,acknowledged,in_progress,waiting"
Number = Annotated[int, typer.Argument(min=1, help="Number of the incident.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="What to note with it; @login calls a person.")]
Reason = Annotated[str, typer.Option("--comment", "-m", help="Why.")]
Version = Annotated[
    int | None, typer.Option(min=0, show_default=False, help="Refuse if it changed since this version.")
]
Many = Annotated[list[str] | None, typer.Option(show_default=False, help="Several by comma or repeated.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(incidents, name="incidents")


def _time(us: int | None) -> str:
    """A moment as clocks in Việt Nam show it."""
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M:%S")


def _unit(code: str) -> str:
    return code or "province"


@incidents.command("list")
def list_(
    every: Annotated[
        bool, typer.Option("--all", help="Also those that are resolved, closed, rejected, merged.")
    ] = False,
    state: Many = None,
    domain: Many = None,
    unit: Many = None,
    commune: Many = None,
    severity: Many = None,
    owner: Many = None,
    late: Annotated[bool, typer.Option("--late", help="Only those past their deadline.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Opened since: moment, or length of time, as 7d.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Opened before: moment, or length of time.", show_default=False)
    ] = None,
    text: Annotated[str, typer.Option(help="Part of title or description.")] = "",
    sort: Annotated[
        str, typer.Option(help="opened, changed, severity, due or resolved; - before it for descending.")
    ] = "-opened",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    after: Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List incidents, by default those somebody has to act on, the latest first."""
    asked: dict[str, Any] = {"sort": sort, "limit": limit}
    for name, value in (
        ("state", state or ([] if every else [_OPEN])),
        ("domain", domain),
        ("unit", unit),
        ("commune", commune),
        ("severity", severity),
        ("owner", owner),
        ("since", since),
        ("until", until),
        ("text", text),
        ("after", after),
    ):
        if value:
            asked[name] = value
    if late:
        asked["late"] = True
    found = call("GET", _PATH, data, params=asked)

    def show() -> None:
        table = Table("no.", "severity", "state", "title", "unit", "owner", "opened (+07)", "due (+07)", box=SIMPLE)
        now = now_us()
        for one in found["items"]:
            due = _time(one["due"])
            over = one["due"] is not None and one["due"] < now and one["state"] in _OPEN.split(",")
            table.add_row(
                str(one["id"]),
                _SEVERITY.get(one["severity"], ""),
                one["state"].replace("_", " "),
                escape(one["title"]),
                _unit(one["unit"]),
                escape(one["owner"]),
                _time(one["opened"]),
                f"[red]{due}[/]" if over else due,
            )
        console.print(table if found["items"] else "No incident.")
        if found["next"]:
            console.print(f"{found['total']} in all; the next page: --after {found['next']}", highlight=False)

    emit(found, as_json, show)


@incidents.command()
def counts(
    by: Annotated[str, typer.Option(help="state, severity, domain, unit, commune, owner or origin.")] = "state",
    state: Many = None,
    domain: Many = None,
    since: Annotated[
        str | None, typer.Option(help="Opened since: moment, or length of time.", show_default=False)
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Count incidents."""
    asked = {"by": by, "state": state, "domain": domain, "since": since}
    found = call("GET", f"{_PATH}/counts", data, params={name: value for name, value in asked.items() if value})

    def show() -> None:
        table = Table(by, "incidents", box=SIMPLE)
        for value, many in found["counts"].items():
            table.add_row(escape(_unit(value) if by == "unit" else value or "-"), str(many))
        console.print(table if found["counts"] else "No incident.")

    emit(found, as_json, show)


@incidents.command()
def show(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Show one incident: facts, links, files, and what was done, the latest first."""
    found = call("GET", f"{_PATH}/{number}", data)

    def text() -> None:
        _facts(found["incident"])
        if found["links"]:
            table = Table("link", "kind", "what", "title", box=SIMPLE)
            for link in found["links"]:
                table.add_row(str(link["id"]), link["kind"], escape(link["ref"]), escape(link["title"]))
            console.print(table)
        if found["attachments"]:
            table = Table("file", "name", "type", "bytes", "added (+07)", "by", box=SIMPLE)
            for one in found["attachments"]:
                size, added = str(one["size"]), _time(one["added"])
                table.add_row(str(one["id"]), escape(one["name"]), one["type"], size, added, escape(one["added_by"]))
            console.print(table)
        table = Table("time (+07)", "what", "state", "by", "comment", box=SIMPLE)
        for event in found["events"]:
            table.add_row(
                _time(event["time"]),
                event["action"].replace("_", " "),
                event["to_state"].replace("_", " "),
                escape(event["by"]),
                escape(event["comment"]),
            )
        console.print(table)
        if found["total"] > len(found["events"]):
            console.print(f"the latest {len(found['events'])} of {found['total']}")

    emit(found, as_json, text)


def _facts(one: dict[str, Any]) -> None:
    console.print(
        f"[bold]{one['id']}  {escape(one['title'])}[/]  {_SEVERITY.get(one['severity'], '')}  "
        f"{one['state'].replace('_', ' ')}",
        highlight=False,
    )
    place = (one["commune"], one["lon"], one["lat"])
    seen = f"{_time(one['acknowledged'])} by {one['acknowledged_by']}" if one["acknowledged"] else ""
    facts = {
        "description": one["description"],
        "domain": one["domain"],
        "unit": _unit(one["unit"]),
        "owner": one["owner"],
        "place": " ".join(str(part) for part in place if part not in ("", None)),
        "opened": f"{_time(one['opened'])} {one['opened_by']} ({one['origin']})",
        "due": _time(one["due"]),
        "acknowledged": seen,
        "resolved": _time(one["resolved"]),
        "closed": _time(one["closed"]),
        "cause": one["cause"],
        "merged into": "" if one["merged_into"] is None else str(one["merged_into"]),
        "version": str(one["version"]),
    }
    for name, value in facts.items():
        if value:
            console.print(f"  {name:<12} {escape(value)}", highlight=False)


@incidents.command("open")
def open_(
    title: Annotated[str, typer.Argument(help="What happened, in one line.")],
    domain: Annotated[str, typer.Option(help="As sand, traffic, water.")] = "",
    severity: Annotated[str, typer.Option(help="low, medium, high, critical.")] = "medium",
    unit: Annotated[str, typer.Option(help="Responsible unit: code; empty is the province.")] = "",
    commune: Annotated[
        str, typer.Option(help="Code of the commune it happened in; found from the place if not given.")
    ] = "",
    lon: Annotated[float | None, typer.Option(show_default=False)] = None,
    lat: Annotated[float | None, typer.Option(show_default=False)] = None,
    description: Annotated[str, typer.Option("--description", "-m", help="More about it.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Open an incident by hand. Those that may be the same are shown."""
    body = {
        "title": title,
        "domain": domain,
        "severity": severity,
        "unit": unit,
        "commune": commune,
        "lon": lon,
        "lat": lat,
        "description": description,
    }
    found = call("POST", _PATH, data, json=body)

    def text() -> None:
        _facts(found["incident"])
        _like(found["duplicates"])

    emit(found, as_json, text)


def _like(found: list[dict[str, Any]]) -> None:
    if not found:
        return
    table = Table("may be the same", "title", "state", "likeness", "metres", "hours", "words", box=SIMPLE)
    for one in found:
        metres = "" if one["distance_m"] is None else f"{one['distance_m']:.0f}"
        table.add_row(
            str(one["incident"]["id"]),
            escape(one["incident"]["title"]),
            one["incident"]["state"].replace("_", " "),
            f"{one['score']:.2f}",
            metres,
            f"{one['hours']:.1f}",
            escape(" ".join(one["words"])),
        )
    console.print(table)


@incidents.command()
def duplicates(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Show incidents that may be the same as this one: near in place, in time, in words."""
    found = call("GET", f"{_PATH}/{number}/duplicates", data)

    def text() -> None:
        _like(found["items"])
        if not found["items"]:
            console.print("None is like it.")

    emit(found, as_json, text)


def _done(event: dict[str, Any]) -> None:
    states = dict.fromkeys(state for state in (event["from_state"], event["to_state"]) if state)
    moved = " → ".join(states).replace("_", " ")
    console.print(f"{event['incident']}  {event['action'].replace('_', ' ')}: {moved}", highlight=False)


def _both(number: int, action: str, data: Path | None, as_json: bool, **body: Any) -> None:
    done = call("POST", f"{_PATH}/{number}/{action}", data, json=body)

    def text() -> None:
        for event in done["events"]:
            _done(event)

    emit(done, as_json, text)


def _act(number: int, action: str, data: Path | None, as_json: bool, **body: Any) -> None:
    event = call("POST", f"{_PATH}/{number}/{action}", data, json=body)
    emit(event, as_json, lambda: _done(event))


@incidents.command()
def acknowledge(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Say that it has been seen and is taken on."""
    _act(number, "acknowledge", data, as_json, comment=comment, version=version)


@incidents.command()
def start(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Say that work on it has begun."""
    _act(number, "start", data, as_json, comment=comment, version=version)


@incidents.command()
def wait(
    number: Number, comment: Reason = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Say that it waits for others; its clocks stop."""
    _act(number, "wait", data, as_json, comment=comment, version=version)


@incidents.command()
def resume(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Go on with one that waited; its clocks run again."""
    _act(number, "resume", data, as_json, comment=comment, version=version)


@incidents.command()
def resolve(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Say that what was wrong is mended."""
    _act(number, "resolve", data, as_json, comment=comment, version=version)


@incidents.command()
def close(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Close it: checked, nothing left to do. Tasks that were not done end with it, and are named."""
    asked = {"incident": number, "state": "open,planned,paused", "limit": 1000}
    undone = call("GET", "/api/v1/tasks", data, params=asked)["items"]
    event = call("POST", f"{_PATH}/{number}/close", data, json={"comment": comment, "version": version})

    def text() -> None:
        _done(event)
        for one in undone:
            console.print(f"   ended undone: {one['id']} {escape(one['title']['vi'])}", highlight=False)

    emit({**event, "undone": [one["id"] for one in undone]}, as_json, text)


@incidents.command()
def reopen(
    number: Number, comment: Reason = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Take up one that was resolved or closed; say why."""
    _act(number, "reopen", data, as_json, comment=comment, version=version)


@incidents.command()
def reject(
    number: Number, comment: Reason = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Say that it is none; say why."""
    _act(number, "reject", data, as_json, comment=comment, version=version)


@incidents.command()
def assign(
    number: Number,
    unit: Annotated[str | None, typer.Option(help="Code of the unit that answers for it.", show_default=False)] = None,
    owner: Annotated[str | None, typer.Option(help="Login of who does.", show_default=False)] = None,
    comment: Comment = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give it to a unit, a person, or both."""
    if unit is None and owner is None:
        raise InputError(
            "say to which unit, or to whom", where="--unit", hint="give --unit CODE, --owner LOGIN or both"
        )
    _act(number, "assign", data, as_json, unit=unit, owner=owner, comment=comment, version=version)


@incidents.command()
def severity(
    number: Number,
    level: Annotated[str, typer.Argument(help="low, medium, high, critical.")],
    comment: Comment = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say how bad it is."""
    _act(number, "severity", data, as_json, severity=level, comment=comment, version=version)


@incidents.command()
def comment(
    number: Number,
    words: Annotated[str, typer.Argument(help="The remark; @login calls a person.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Remark on it."""
    said = call("POST", f"{_PATH}/{number}/comment", data, json={"comment": words})

    def text() -> None:
        _done(said["event"])
        for login in said["unknown"]:
            console.print(f"  [yellow]@{escape(login)} is nobody who may see this incident[/]", highlight=False)

    emit(said, as_json, text)


@incidents.command()
def link(
    number: Number,
    kind: Annotated[str, typer.Argument(help="alarm, observation, track, frame, page, report, incident or warning.")],
    ref: Annotated[str, typer.Argument(help="Which: number, key or address.")],
    title: Annotated[str, typer.Option(help="What it shows.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Link evidence."""
    _act(number, "links", data, as_json, kind=kind, ref=ref, title=title)


@incidents.command()
def unlink(
    number: Number,
    link_id: Annotated[int, typer.Argument(min=1, metavar="LINK", help="Number of the link.")],
    comment: Reason = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Remove a link; that it was there stays in the history."""
    event = call("DELETE", f"{_PATH}/{number}/links/{link_id}", data, params={"comment": comment})
    emit(event, as_json, lambda: _done(event))


@incidents.command()
def merge(
    number: Number,
    into: Annotated[int, typer.Argument(min=1, help="Number of the incident that goes on.")],
    comment: Reason = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say that an incident is the same as another one, which goes on; both histories stay."""
    _both(number, "merge", data, as_json, into=into, comment=comment, version=version)


@incidents.command()
def split(
    number: Number,
    links: Annotated[list[int], typer.Argument(help="Numbers of the links that belong to the new one.")],
    title: Annotated[str, typer.Option(help="Title of the new one; by default that of the old one.")] = "",
    comment: Reason = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Move some of its links to a new incident; both histories stay."""
    _both(number, "split", data, as_json, links=links, title=title, comment=comment, version=version)


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    while piece := content.read(1 << 16):
        yield piece


@incidents.command()
def attach(
    number: Number,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="Files.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Attach files."""
    found = []
    with api(data) as client:
        for path in files:
            with wrap_file(
                path.open("rb"), path.stat().st_size, description=path.name, disable=as_json or not console.is_terminal
            ) as content:
                answer = client.post(
                    f"{_PATH}/{number}/attachments",
                    params={"name": path.name},
                    content=_pieces(content),
                    headers={"Content-Type": "application/octet-stream"},
                    timeout=600,
                )
            found.append(api_json(answer))

    def text() -> None:
        for one in found:
            console.print(f"{one['id']}  {escape(one['name'])}  {one['type']}, {one['size']} bytes", highlight=False)

    emit({"items": found}, as_json, text)


@incidents.command()
def download(
    number: Number,
    attachment: Annotated[int, typer.Argument(min=1, help="Number of the file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; by default its name, here.", show_default=False)
    ] = None,
    original: Annotated[bool, typer.Option("--original", help="As it was sent, with the place it tells.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Save an attached file."""
    with (
        api(data) as client,
        client.stream("GET", f"{_PATH}/{number}/attachments/{attachment}", params={"original": original}) as answer,
    ):
        if not answer.is_success:
            answer.read()
            api_json(answer)
        name = unquote(answer.headers["content-disposition"].rpartition("''")[2]).replace("/", "_")
        path = output or Path(name)
        if path.exists() and output is None:
            raise InputError("there is a file of this name already", where=str(path), hint="name another with --output")
        with path.open("wb") as file:
            for piece in answer.iter_bytes():
                file.write(piece)
    saved = {"path": str(path), "bytes": path.stat().st_size}
    emit(saved, as_json, lambda: console.print(f"{saved['bytes']} bytes in {escape(str(path))}", highlight=False))

"""`thap warnings`: warnings to the public, from draft to publication; feeds of others; whom we push to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, api, api_json, call, console, emit
from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.errors import InputError

__all__ = ["register"]

warnings = typer.Typer(no_args_is_help=True, help="Warnings to the public (CAP 1.2), and those of others.")
feeds = typer.Typer(no_args_is_help=True, help="Feeds of others that are read in as alarms.")
subscribers = typer.Typer(no_args_is_help=True, help="Whom warnings are pushed to.")
warnings.add_typer(feeds, name="feeds")
warnings.add_typer(subscribers, name="subscribers")

_PATH = "/api/v1/warnings"
Number = Annotated[int, typer.Argument(min=1, help="Number of the warning.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="What to note with it.")]
Version = Annotated[
    int | None, typer.Option(min=0, show_default=False, help="Refuse if it changed since this version.")
]
DraftFile = Annotated[
    Path | None, typer.Option("--draft", help="JSON file with what it says; - for standard input.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(warnings, name="warnings")


def _time(us: int | None) -> str:
    """A moment as clocks in Việt Nam show it."""
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M:%S")


def _draft(path: Path | None) -> Any:
    """What a draft file says.

    Raises:
        InputError: it is no JSON.
    """
    if path is None:
        return None
    try:
        return json.loads(sys.stdin.read() if str(path) == "-" else path.read_text("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"not JSON: {error}", where=str(path), hint="`thap warnings draft` writes one") from None


def _plain(text: str) -> None:
    sys.stdout.write(text + "\n")


def _done(event: dict[str, Any]) -> None:
    steps = f"{event['from_state'] or 'nothing'} → {event['to_state']}"
    console.print(f"{event['warning']}  {escape(event['headline'])}: {steps}", highlight=False)


@warnings.command("list")
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option(help="draft, submitted, returned, published, withdrawn.", show_default=False),
    ] = None,
    incident: Annotated[int | None, typer.Option(min=1, help="About this incident.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    after: Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List warnings, the newest first."""
    asked: dict[str, Any] = {"limit": limit}
    for name, value in (("state", state), ("incident", incident), ("after", after)):
        if value:
            asked[name] = value
    found = call("GET", _PATH, data, params=asked)

    def show() -> None:
        table = Table("no.", "what", "severity", "state", "until (+07)", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            kind = "" if one["message_type"] == "Alert" else f"{one['message_type']} of {one['follows']}: "
            drill = "" if one["status"] == "Actual" else f"[{one['status']}] "
            state = one["state"] + (f", replaced by {one['replaced_by']}" if one["replaced_by"] else "")
            what = escape(drill + kind + (one["headline"] or "(no headline yet)"))
            table.add_row(str(one["id"]), what, one["severity"], state, _time(one["expires"]))
        console.print(table if found["items"] else "No warning.")
        if found["next"]:
            console.print(f"{found['total']} in all; the next page: --after {found['next']}", highlight=False)

    emit(found, as_json, show)


@warnings.command()
def show(
    number: Number,
    document: Annotated[bool, typer.Option("--document", help="Print the CAP document instead.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one warning and its steps, or its document: as signed, or as it would be."""
    found = call("GET", f"{_PATH}/{number}", data)
    one = found["warning"]
    if document:
        with api(data) as client:
            kind = "document" if one["state"] == "published" else "preview"
            answer = client.get(f"{_PATH}/{number}/{kind}")
            if not answer.is_success:
                api_json(answer)
        emit({"document": answer.text}, as_json, lambda: _plain(answer.text))
        return

    def text() -> None:
        draft = one["draft"]
        console.print(f"[bold]{escape(one['headline'])}[/]  {one['severity']}  {one['state']}", highlight=False)
        facts = {
            "kind": one["message_type"] + (f" of {one['follows']}" if one["follows"] else ""),
            "status": one["status"],
            "incident": str(one["incident"] or ""),
            "until": _time(one["expires"]),
            "sent": _time(one["sent"]),
            "identifier": one["identifier"],
            "communes": ", ".join(draft.get("communes", [])),
            "polygons": str(len(draft.get("polygons", [])) or ""),
            **{
                f"{name} {language}": draft.get(name, {}).get(language, "")
                for name in ("description", "instruction")
                for language in ("vi", "en")
            },
            "version": str(one["version"]),
        }
        for name, value in facts.items():
            if value:
                console.print(f"  {name:<14} {escape(value)}", highlight=False)
        table = Table("time (+07)", "what", "state", "by", "comment")
        for step in found["steps"]:
            table.add_row(
                _time(step["time"]), step["action"], step["to_state"], escape(step["by"]), escape(step["comment"])
            )
        console.print(table)

    emit(found, as_json, text)


@warnings.command()
def draft(
    incident: Annotated[int, typer.Option(min=1, help="The incident.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print, as JSON, what a warning about an incident would begin with; edit it and give it to `compose`."""
    found = call("GET", f"{_PATH}/draft", data, params={"incident": incident})
    emit(found, as_json, lambda: _plain(json.dumps(found, ensure_ascii=False, indent=2)))


@warnings.command()
def compose(
    incident: Annotated[int | None, typer.Option(min=1, help="The incident it is about.", show_default=False)] = None,
    draft: DraftFile = None,
    unit: Annotated[str, typer.Option(help="Unit it is for; by default the incident's.")] = "",
    domain: Annotated[str, typer.Option(help="Domain; by default the incident's.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Begin a warning, from an incident or from a file."""
    body = {"draft": _draft(draft), "incident": incident, "unit": unit, "domain": domain}
    made = call("POST", _PATH, data, json={name: value for name, value in body.items() if value})
    emit(made, as_json, lambda: _done(made["event"]))


@warnings.command()
def edit(
    number: Number,
    draft: Annotated[Path, typer.Option("--draft", help="JSON file with all it says; - for standard input.")],
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Change what a warning says."""
    event = call("PUT", f"{_PATH}/{number}", data, json={"draft": _draft(draft), "version": version})
    emit(event, as_json, lambda: _done(event))


def _act(number: int, action: str, comment: str, version: int | None, data: Any, as_json: bool) -> None:
    event = call("POST", f"{_PATH}/{number}/{action}", data, json={"comment": comment, "version": version})
    emit(event, as_json, lambda: _done(event))


@warnings.command()
def submit(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Ask for its approval."""
    _act(number, "submit", comment, version, data, as_json)


@warnings.command()
def retract(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Take it back before it is decided."""
    _act(number, "retract", comment, version, data, as_json)


@warnings.command()
def withdraw(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Give it up."""
    _act(number, "withdraw", comment, version, data, as_json)


@warnings.command("return")
def return_(
    number: Number,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What is wrong with it.")],
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Return it to who wrote it."""
    _act(number, "return", comment, version, data, as_json)


@warnings.command()
def approve(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """Approve it: it is signed and goes out. Who wrote any of it cannot."""
    _act(number, "approve", comment, version, data, as_json)


def _follow_up(number: int, kind: str, draft: Path | None, data: Any, as_json: bool) -> None:
    body: dict[str, Any] = {"kind": kind}
    if draft is not None:
        body["draft"] = _draft(draft)
    made = call("POST", f"{_PATH}/{number}/follow-up", data, json=body)
    emit(made, as_json, lambda: _done(made["event"]))


@warnings.command()
def update(number: Number, draft: DraftFile = None, data: Data = None, as_json: Json = False) -> None:
    """Begin the update of a warning that went out."""
    _follow_up(number, "Update", draft, data, as_json)


@warnings.command()
def cancel(number: Number, draft: DraftFile = None, data: Data = None, as_json: Json = False) -> None:
    """Begin the cancellation of a warning that went out."""
    _follow_up(number, "Cancel", draft, data, as_json)


@warnings.command()
def pushes(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Show how a warning's pushes went."""
    found = call("GET", f"{_PATH}/{number}/pushes", data)

    def text() -> None:
        table = Table("to", "state", "tries", "answer", "done (+07)", box=SIMPLE, pad_edge=False)
        for one in found:
            to = escape(one["title"] or one["url"])
            table.add_row(to, one["state"], str(one["tries"]), escape(one["answer"]), _time(one["done"]))
        console.print(table if found else "It was pushed to nobody.")

    emit(found, as_json, text)


@warnings.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="CAP documents.")], data: Data = None, as_json: Json = False
) -> None:
    """Check CAP documents: the schema's rules and the signature. No centre need run. Status 1 if one is wrong."""
    from thap.kernel.settings import load_settings
    from thap.respond.warnings.document import parse, read
    from thap.respond.warnings.schema import faults
    from thap.respond.warnings.signing import read_certificates, verify

    trusted = read_certificates(load_settings(data).warnings.trust)
    found: list[dict[str, Any]] = []
    for path in files:
        told: dict[str, Any] = {"file": str(path), "valid": False, "faults": [], "signature": "none", "signer": ""}
        try:
            root = parse(path.read_bytes(), str(path), 1 << 24)
            told["faults"] = [str(fault) for fault in faults(root)]
            alert = read(root, str(path))
            verdict = verify(root, trusted, at=from_us(alert.sent))
            told |= {"signature": verdict.state, "signer": verdict.signer, "reason": verdict.reason}
            told |= {"identifier": alert.identifier, "valid": not told["faults"]}
        except InputError as error:
            told["faults"].append(str(error))
        found.append(told)

    def text() -> None:
        for one in found:
            verdict = "[green]valid[/]" if one["valid"] else "[red]not CAP 1.2[/]"
            signer = f" by {escape(one['signer'])}" if one["signer"] else ""
            console.print(f"{escape(one['file'])}  {verdict}, signature: {one['signature']}{signer}", highlight=False)
            for fault in one["faults"]:
                console.print(f"  {escape(fault)}", highlight=False)

    emit(found, as_json, text)
    if not all(one["valid"] and one["signature"] != "broken" for one in found):
        raise typer.Exit(1)


@warnings.command()
def received(
    feed: Annotated[str, typer.Option(help="Of this feed.")] = "",
    state: Annotated[str, typer.Option(help="active, replaced, cancelled, expired, distant, ignored.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List warnings of others, the newest first."""
    found = call("GET", f"{_PATH}/received", data, params={"feed": feed, "state": state, "limit": limit})

    def text() -> None:
        table = Table("no.", "feed", "what", "state", "until (+07)", "signature", box=SIMPLE, pad_edge=False)
        for one in found:
            what = escape(one["headline"] or one["event"])
            until = _time(one["expires"])
            table.add_row(str(one["id"]), escape(one["feed"]), what, one["state"], until, one["signature"])
        console.print(table if found else "Nothing was received.")

    emit(found, as_json, text)


@feeds.command("list")
def list_feeds(data: Data = None, as_json: Json = False) -> None:
    """List feeds of others and how their last visit went."""
    found = call("GET", f"{_PATH}/feeds", data)

    def text() -> None:
        table = Table("name", "address", "every", "answered (+07)", "wrong", box=SIMPLE, pad_edge=False)
        for one in found:
            wrong = escape(one["error"]) if one["enabled"] else "switched off"
            every = f"{one['every_s']} s"
            table.add_row(escape(one["name"]), escape(one["url"]), every, _time(one["answered"]), wrong)
        console.print(table if found else "No feed is read. `thap warnings feeds add NAME URL` adds one.")

    emit(found, as_json, text)


@feeds.command("add")
def add_feed(
    name: Annotated[str, typer.Argument(help="Short name; the sources of its alarms begin with it.")],
    url: Annotated[str, typer.Argument(help="Atom or RSS feed, or a CAP document.")],
    domain: Annotated[str, typer.Option(help="Domain of its alarms.")] = "",
    language: Annotated[str, typer.Option(help="Language preferred.")] = "vi-VN",
    hosts: Annotated[str, typer.Option(help="Hosts besides its own that its entries may lie on.")] = "",
    every: Annotated[int, typer.Option(min=10, max=86_400, help="Seconds between two visits.")] = 60,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Read a feed of others; one of this name already is changed."""
    body = {"url": url, "domain": domain, "language": language, "hosts": hosts, "every_s": every}
    made = call("PUT", f"{_PATH}/feeds/{name}", data, json=body)
    emit(made, as_json, lambda: console.print(f"{escape(made['name'])} is read every {every} s", highlight=False))


def _delete(path: str, data: Any, as_json: bool, words: str) -> None:
    with api(data) as client:
        answer = client.delete(path)
        if not answer.is_success:
            api_json(answer)
    emit({"removed": True}, as_json, lambda: console.print(words, highlight=False))


@feeds.command("remove")
def remove_feed(name: str, data: Data = None, as_json: Json = False) -> None:
    """Read a feed no longer; what it brought is kept."""
    _delete(f"{_PATH}/feeds/{name}", data, as_json, f"{escape(name)} is read no longer")


@subscribers.command("list")
def list_subscribers(data: Data = None, as_json: Json = False) -> None:
    """List whom warnings are pushed to."""
    found = call("GET", f"{_PATH}/subscribers", data)

    def text() -> None:
        table = Table("no.", "name", "address", "signed", box=SIMPLE, pad_edge=False)
        for one in found:
            table.add_row(str(one["id"]), escape(one["title"]), escape(one["url"]), "yes" if one["signed"] else "no")
        console.print(table if found else "Warnings are pushed to nobody.")

    emit(found, as_json, text)


@subscribers.command("add")
def add_subscriber(
    url: Annotated[str, typer.Argument(help="Address that takes CAP documents by POST.")],
    title: Annotated[str, typer.Option(help="Whose it is.")] = "",
    secret: Annotated[
        str, typer.Option(envvar="THAP_PUSH_SECRET", help="Key of the HMAC that each push carries.", show_default=False)
    ] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Push every warning that goes out from now on to an address."""
    made = call("POST", f"{_PATH}/subscribers", data, json={"url": url, "title": title, "secret": secret})
    emit(made, as_json, lambda: console.print(f"{made['id']}  {escape(made['url'])}", highlight=False))


@subscribers.command("remove")
def remove_subscriber(
    number: Annotated[int, typer.Argument(min=1, help="Number of the subscriber.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Push there no longer."""
    _delete(f"{_PATH}/subscribers/{number}", data, as_json, f"{number} is pushed to no longer")

"""`thap tasks`: what is to be done about incidents, by whom, until when."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import SECOND_US, VIETNAM, from_us, now_us

__all__ = ["lasting", "register", "shown_time"]

tasks = typer.Typer(no_args_is_help=True, help="What is to be done about incidents, by whom, until when.")

_PATH = "/api/v1/tasks"
Number = Annotated[int, typer.Argument(min=1, help="Number of the task.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="What to note with it.")]
Reason = Annotated[str, typer.Option("--comment", "-m", help="Why.")]
Version = Annotated[
    int | None, typer.Option(min=0, show_default=False, help="Refuse if it changed since this version.")
]
Many = Annotated[list[str] | None, typer.Option(show_default=False, help="Several by comma or repeated.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(tasks, name="tasks")


def shown_time(us: int | None) -> str:
    """A moment as clocks in Việt Nam show it."""
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M:%S")


def lasting(us: int) -> str:
    """A length of time in its largest unit."""
    seconds = abs(us) // SECOND_US
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds} s"


def _who(task: dict[str, Any]) -> str:
    return f"{task['assignee'] or task['role']} ({task['unit'] or 'province'})"


def _deadline(task: dict[str, Any]) -> str:
    if task["late"] is not None and task["state"] == "open":
        return f"[bold red]late by {lasting(now_us() - task['late'])}[/]\n[dim]{shown_time(task['late'])}[/]"
    if task["due"] is None:
        return f"[dim]{task['state']}[/]"
    return f"in {lasting(task['due'] - now_us())}\n[dim]{shown_time(task['due'])}[/]"


@tasks.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Of all states, not only open ones.")] = False,
    state: Many = None,
    incident: Annotated[int | None, typer.Option(min=1, help="Of one incident.", show_default=False)] = None,
    assignee: Annotated[str | None, typer.Option(help="Given to this login; - for nobody.", show_default=False)] = None,
    unit: Many = None,
    domain: Many = None,
    role: Many = None,
    late: Annotated[bool, typer.Option("--late", help="Only those whose deadline was missed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    after: Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List tasks, by default those to be done, the next deadline first."""
    asked: dict[str, Any] = {"limit": limit, "all": every}
    given = (
        ("state", state),
        ("incident", incident),
        ("assignee", assignee),
        ("unit", unit),
        ("domain", domain),
        ("role", role),
        ("late", late or None),
        ("after", after),
    )
    asked |= {name: value for name, value in given if value}
    found = call("GET", _PATH, data, params=asked)

    def show() -> None:
        table = Table("no.", "incident", "what", "who", "deadline (+07)", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            what = f"[bold]{escape(one['title']['vi'])}[/]\n[dim]{escape(one['title']['en'])}[/]"
            table.add_row(str(one["id"]), str(one["incident"]), what, escape(_who(one)), _deadline(one))
        console.print(table if found["items"] else "No task.")
        if found["next"]:
            console.print(f"{found['total']} in all; the next page: --after {found['next']}", highlight=False)

    emit(found, as_json, show)


@tasks.command()
def show(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Show one task."""
    one = call("GET", f"{_PATH}/{number}", data)

    def text() -> None:
        console.print(f"[bold]{escape(one['title']['vi'])}[/] / {escape(one['title']['en'])}  {one['state']}")
        counted = "working hours" if one["clock"] == "working" else "around the clock"
        facts = {
            "incident": str(one["incident"]),
            "procedure": f"{one['procedure']} version {one['procedure_version']}, {one['step']}"
            if one["procedure"]
            else f"added by {one['created_by']}",
            "how": " / ".join(one["text"].values()),
            "who": _who(one),
            "time": f"{lasting(one['within'])} of {counted}",
            "due": shown_time(one["due"]),
            "late since": shown_time(one["late"]),
            "after": ", ".join(one["after"]),
            "attach": ", ".join(f"{part['key']} ({part['title']['vi']})" for part in one["attach"]),
            "attached": ", ".join(map(str, one["evidence"])),
            "closed": f"{shown_time(one['closed'])} {one['closed_by']}" if one["closed"] else "",
            "comment": one["comment"],
            "version": str(one["version"]),
        }
        for name, value in facts.items():
            if value:
                console.print(f"  {name:<12} {escape(value)}", highlight=False)

    emit(one, as_json, text)


def _done(task: dict[str, Any]) -> None:
    console.print(f"{task['id']}  {escape(task['title']['vi'])}: {task['state']}, {_who(task)}", highlight=False)


def _act(number: int, action: str, body: dict[str, Any], data: Any, as_json: bool) -> None:
    task = call("POST", f"{_PATH}/{number}/{action}", data, json=body)
    emit(task, as_json, lambda: _done(task))


@tasks.command()
def done(
    number: Number,
    comment: Comment = "",
    evidence: Annotated[
        list[str] | None, typer.Option(help="What was attached, as photo or photo:12.", show_default=False)
    ] = None,
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say that a task is done."""
    _act(number, "done", {"comment": comment, "evidence": evidence or [], "version": version}, data, as_json)


@tasks.command()
def skip(number: Number, comment: Reason, version: Version = None, data: Data = None, as_json: Json = False) -> None:
    """Leave a task out, with a reason."""
    _act(number, "skip", {"comment": comment, "version": version}, data, as_json)


@tasks.command()
def reopen(number: Number, comment: Reason, version: Version = None, data: Data = None, as_json: Json = False) -> None:
    """Open a task again, with a reason."""
    _act(number, "reopen", {"comment": comment, "version": version}, data, as_json)


@tasks.command()
def extend(
    number: Number,
    length: Annotated[str, typer.Argument(help="How much more time, as 2h or 1d.")],
    comment: Reason,
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give a task more time, with a reason."""
    _act(number, "extend", {"length": length, "comment": comment, "version": version}, data, as_json)


@tasks.command()
def assign(
    number: Number,
    to: Annotated[str | None, typer.Option("--to", help="Login; empty takes it away.", show_default=False)] = None,
    unit: Annotated[str | None, typer.Option(help="Code of a unit.", show_default=False)] = None,
    role: Annotated[str | None, typer.Option(help="Role, as operator.", show_default=False)] = None,
    comment: Comment = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give a task to a person, a unit or a role."""
    body = {"assignee": to, "unit": unit, "role": role, "comment": comment, "version": version}
    _act(number, "assign", body, data, as_json)


@tasks.command()
def add(
    incident: Annotated[int, typer.Argument(min=1, help="Number of the incident.")],
    title: Annotated[str, typer.Argument(help="What is to be done.")],
    within: Annotated[str, typer.Option(help="How long it may take, as 4h or 3d.")],
    clock: Annotated[str, typer.Option(help="What that counts: working hours, or round the clock.")] = "working",
    to: Annotated[str, typer.Option("--to", help="Login.", show_default=False)] = "",
    unit: Annotated[str | None, typer.Option(help="Code of a unit.", show_default=False)] = None,
    role: Annotated[str, typer.Option(help="Role.")] = "operator",
    text: Annotated[str, typer.Option(help="How it is done.", show_default=False)] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add a task to an incident."""
    body = {"incident": incident, "title": title, "within": within, "clock": clock, "role": role, "text": text}
    task = call("POST", _PATH, data, json=body | {"assignee": to, "unit": unit})
    emit(task, as_json, lambda: _done(task))

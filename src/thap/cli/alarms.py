"""`thap alarms`: what is wrong now, and what people do about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import SECOND_US, VIETNAM, from_us, now_us
from thap.kernel.errors import InputError

__all__ = ["register"]

alarms = typer.Typer(no_args_is_help=True, help="What is wrong now, and what people do about it.")

_PATH = "/api/v1/alarms"
_SEVERITY = {1: "[cyan]low[/]", 2: "[yellow]medium[/]", 3: "[dark_orange]high[/]", 4: "[bold red]critical[/]"}
_STATE = {
    "unacknowledged": "bold",
    "acknowledged": "",
    "returned_unacknowledged": "italic",
    "normal": "dim",
    "shelved": "dim",
    "suppressed": "dim",
    "out_of_service": "dim",
}
_OPEN = "unacknowledged,acknowledged,returned_unacknowledged"
Number = Annotated[int, typer.Argument(min=1, help="Number of the alarm.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="What to note with it.")]
Version = Annotated[
    int | None, typer.Option(min=0, show_default=False, help="Refuse if it changed since this version.")
]
Many = Annotated[list[str] | None, typer.Option(show_default=False, help="Several by comma or repeated.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(alarms, name="alarms")


def _time(us: int | None) -> str:
    """A moment as clocks in Việt Nam show it."""
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M:%S")


def _length(us: int) -> str:
    seconds = max(us // SECOND_US, 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds} s"


def _state(alarm: dict[str, Any]) -> str:
    words = str(alarm["state"]).replace("_", " ")
    if alarm["state"] == "shelved":
        words += f" until {_time(alarm['shelved_until'])}"
    if alarm["state"] in ("shelved", "suppressed", "out_of_service") and alarm["active"]:
        words += ", active"
    style = _STATE.get(alarm["state"], "")
    return f"[{style}]{words}[/]" if style else words


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


@alarms.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also alarms that are normal or hidden.")] = False,
    state: Many = None,
    domain: Many = None,
    commune: Many = None,
    severity: Many = None,
    source: Annotated[str, typer.Option(help="Pattern of the source, as 'tram-*'.")] = "",
    condition: Annotated[str, typer.Option(help="Pattern of the rule's name.")] = "",
    text: Annotated[str, typer.Option(help="Part of source, condition, domain or evidence.")] = "",
    sort: Annotated[
        str, typer.Option(help="raised, changed, severity or source; - before it for descending.")
    ] = "-raised",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    after: Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List alarms, by default those that stand or wait to be acknowledged, the latest first."""
    asked: dict[str, Any] = {"sort": sort, "limit": limit}
    shown = state or ([] if every else [_OPEN])
    for name, value in (
        ("state", shown),
        ("domain", domain),
        ("commune", commune),
        ("severity", severity),
        ("source", source),
        ("condition", condition),
        ("text", text),
        ("after", after),
    ):
        if value:
            asked[name] = value
    found = call("GET", _PATH, data, params=asked)

    def show() -> None:
        table = Table("no.", "severity", "what", "value", "raised (+07)", "for", "times", box=SIMPLE, pad_edge=False)
        now = now_us()
        for one in found["items"]:
            lasted = (now if one["cleared"] is None else one["cleared"]) - one["raised"]
            what = f"[bold]{escape(one['source'])}[/]\n{escape(one['condition'])}\n[dim]{_state(one)}[/]"
            table.add_row(
                str(one["id"]),
                _SEVERITY.get(one["severity"], ""),
                what,
                _value(one["value"]),
                _time(one["raised"]),
                _length(lasted),
                str(one["count"]),
            )
        console.print(table if found["items"] else "No alarm.")
        if found["next"]:
            console.print(f"{found['total']} in all; the next page: --after {found['next']}", highlight=False)

    emit(found, as_json, show)


@alarms.command()
def show(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Show one alarm and its transitions, the latest first."""
    found = call("GET", f"{_PATH}/{number}", data)
    one = found["alarm"]

    def text() -> None:
        console.print(
            f"[bold]{escape(one['source'])}[/] {escape(one['condition'])}  {_SEVERITY[one['severity']]}  {_state(one)}",
            highlight=False,
        )
        place = (one["commune"], one["lon"], one["lat"])
        seen = f"{_time(one['acknowledged'])} by {one['acknowledged_by']}" if one["acknowledged"] else ""
        facts = {
            "raised": f"{_time(one['raised'])}, {one['count']} times",
            "cleared": _time(one["cleared"]),
            "acknowledged": seen,
            "value": _value(one["value"]),
            "place": " ".join(str(part) for part in place if part not in ("", None)),
            "domain": one["domain"],
            "version": str(one["version"]),
            "evidence": ", ".join(f"{name} {value}" for name, value in one["evidence"].items()),
        }
        for name, value in facts.items():
            if value:
                console.print(f"  {name:<12} {escape(value)}", highlight=False)
        table = Table("time (+07)", "what", "state", "severity", "value", "by", "comment")
        for step in found["transitions"]:
            table.add_row(
                _time(step["time"]),
                step["action"].replace("_", " "),
                step["to_state"].replace("_", " "),
                _SEVERITY.get(step["severity"], ""),
                _value(step["value"]),
                escape(step["by"]),
                escape(step["comment"]),
            )
        console.print(table)
        if found["total"] > len(found["transitions"]):
            console.print(f"the latest {len(found['transitions'])} of {found['total']}")

    emit(found, as_json, text)


def _done(event: dict[str, Any]) -> None:
    console.print(
        f"{event['alarm']}  {escape(event['source'])} {escape(event['condition'])}: "
        f"{event['from_state']} → {event['to_state']}".replace("_", " "),
        highlight=False,
    )


@alarms.command()
def ack(
    numbers: Annotated[list[int], typer.Argument(help="Numbers of alarms.")],
    comment: Comment = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Acknowledge alarms."""
    if len(numbers) == 1:
        event = call("POST", f"{_PATH}/{numbers[0]}/acknowledge", data, json={"comment": comment, "version": version})
        emit({"events": [event], "refused": []}, as_json, lambda: _done(event))
        return
    if version is not None:
        raise InputError("a version belongs to one alarm", where="--version")
    done = call("POST", f"{_PATH}/acknowledge", data, json={"alarms": numbers, "comment": comment})

    def text() -> None:
        for event in done["events"]:
            _done(event)
        for one in done["refused"]:
            console.print(f"{one['alarm']}  [yellow]left:[/] {escape(one['reason'])}", highlight=False)

    emit(done, as_json, text)
    if not done["events"]:
        raise typer.Exit(1)


@alarms.command()
def shelve(
    number: Number,
    length: Annotated[str | None, typer.Option("--for", help="For how long, as 8h.", show_default=False)] = None,
    until: Annotated[str | None, typer.Option(help="Until when, ISO 8601.", show_default=False)] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hide an alarm until a time."""
    body: dict[str, Any] = {"comment": reason, "version": version}
    body |= {name: value for name, value in (("for", length), ("until", until)) if value is not None}
    event = call("POST", f"{_PATH}/{number}/shelve", data, json=body)
    emit(event, as_json, lambda: _done(event))


@alarms.command()
def unshelve(
    number: Number, comment: Comment = "", version: Version = None, data: Data = None, as_json: Json = False
) -> None:
    """End the shelving of an alarm."""
    event = call("POST", f"{_PATH}/{number}/unshelve", data, json={"comment": comment, "version": version})
    emit(event, as_json, lambda: _done(event))


@alarms.command()
def figures(
    since: Annotated[str, typer.Option(help="Moment, or length of time until now, as 7d.")] = "1d",
    domain: Annotated[str, typer.Option(help="One domain only.")] = "",
    operators: Annotated[int, typer.Option(min=1, help="Positions the alarms are shared by.")] = 1,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show how well the alarms serve their operators, as ISA-18.2 and EEMUA 191 measure it."""
    found = call("GET", f"{_PATH}/figures", data, params={"since": since, "domain": domain, "operators": operators})

    def text() -> None:
        console.print(
            f"{found['alarms']} alarms from {_time(found['since'])} to {_time(found['until'])} (+07), "
            f"in {found['periods']} periods of ten minutes",
            highlight=False,
        )
        table = Table("figure", "value", "limit", "", "rows")
        rows = [
            ("average per 10 min", found["average"], "{:.2f}"),
            ("worst 10 min", found["peak"], "{:.0f}"),
            ("10 min above ten alarms", found["busy_share"], "{:.1%}"),
            ("time in flood", found["flood_share"], "{:.1%}"),
            ("chattering", found["chattering"], "{:.0f}"),
            ("fleeting", found["fleeting"], "{:.0f}"),
            ("stale", found["stale"], "{:.0f}"),
            ("share of the top ten", found["top_share"], "{:.1%}"),
        ]
        rows += [(f"priority {name}", one, "{:.1%}") for name, one in found["priorities"].items()]
        for name, one, form in rows:
            mark = {True: "[green]✓[/]", False: "[red]✗[/]"}.get(one["ok"], "")
            table.add_row(
                name, form.format(one["value"]), form.format(one["limit"]), mark, f"{one['total']} {one['of']}"
            )
        console.print(table)
        if found["top"]:
            top = Table("no.", "most frequent", "condition", "times", "share")
            for one in found["top"]:
                top.add_row(
                    str(one["alarm"]),
                    escape(one["source"]),
                    escape(one["condition"]),
                    str(one["count"]),
                    f"{one['share']:.1%}",
                )
            console.print(top)

    emit(found, as_json, text)

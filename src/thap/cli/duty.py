"""`thap duty`: who is on duty, rotas and shifts, hand-over, and who is told when nobody acts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import HOUR_US, MINUTE_US, VIETNAM, from_us, now_us, parse_duration_us
from thap.kernel.errors import InputError
from thap.kernel.units import PROVINCE_CODE

__all__ = ["register"]

duty = typer.Typer(no_args_is_help=True, help="Who is on duty, and who is told when nobody acts.")
chain = typer.Typer(no_args_is_help=True, help="Chains: whom to tell while nobody takes an incident up.")
suppress = typer.Typer(no_args_is_help=True, help="Times in which chains do not begin.")
duty.add_typer(chain, name="chain")
duty.add_typer(suppress, name="suppress")

_DUTY, _ESCALATION = "/api/v1/duty", "/api/v1/escalation"
Unit = Annotated[str | None, typer.Option(help="Code of the unit; 82 is the province.", show_default=False)]
Name = Annotated[str, typer.Argument(help="Name, as truc-ban-tinh.")]
Number = Annotated[int, typer.Argument(min=1)]
Version = Annotated[
    int | None, typer.Option(min=0, show_default=False, help="Refuse if it changed since this version.")
]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(duty, name="duty")


def _time(us: int | None) -> str:
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M")


def _length(us: int) -> str:
    return f"{us / HOUR_US:g} h" if us >= HOUR_US else f"{us / MINUTE_US:g} min"


def _asked(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _stints(items: list[dict[str, Any]], empty: str) -> None:
    table = Table("unit", "role", "who", "from (+07)", "until", "by", box=SIMPLE, pad_edge=False)
    for one in items:
        if _time(one["start"]) == _time(one["until"]):
            continue  # less than the minute times are told in: a rota changed twice
        by = one["rota"] or "shift"
        by += f", shift {one['shift']}" if one["rota"] and one["shift"] else f" {one['shift']}" if one["shift"] else ""
        table.add_row(
            one["unit"], one["role"], escape(one["login"]), _time(one["start"]), _time(one["until"]), escape(by)
        )
    console.print(table if table.rows else empty)


# ---- who


@duty.command()
def now(
    unit: Unit = None,
    at: Annotated[str | None, typer.Option(help="A moment instead of now.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show who is on duty."""
    found = call("GET", _DUTY, data, params=_asked(unit=unit, at=at))
    emit(found, as_json, lambda: _stints(found["items"], "Nobody is on duty."))


@duty.command()
def plan(
    unit: Unit = None,
    since: Annotated[str | None, typer.Option(help="By default now.", show_default=False)] = None,
    until: Annotated[str | None, typer.Option(help="By default a week later.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show who will be, or was, on duty between two times."""
    found = call("GET", f"{_DUTY}/plan", data, params=_asked(unit=unit, since=since, until=until))
    emit(found, as_json, lambda: _stints(found["items"], "Nobody is on duty in that time."))


@duty.command()
def rotas(unit: Unit = None, data: Data = None, as_json: Json = False) -> None:
    """List rotas in force."""
    found = call("GET", f"{_DUTY}/rotas", data, params=_asked(unit=unit))

    def show() -> None:
        table = Table("name", "unit", "role", "rule", "turn", "turns", "version", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            turns = "; ".join(", ".join(turn) for turn in one["turns"])
            table.add_row(
                one["name"],
                one["unit"],
                one["role"],
                one["rule"],
                _length(one["length_us"]),
                escape(turns),
                str(one["version"]),
            )
        console.print(table if found["items"] else "No rota.")

    emit(found, as_json, show)


@duty.command()
def rota(
    name: Name,
    role: Annotated[str, typer.Option(help="Role on duty, as operator.")],
    rule: Annotated[str, typer.Option(help="When turns begin, RFC 5545, as 'FREQ=DAILY;BYHOUR=7,19'.")],
    length: Annotated[str, typer.Option(help="How long a turn lasts, as 12h.")],
    turn: Annotated[list[str], typer.Option(help="Logins of one turn, by comma; repeat it for each turn.")],
    unit: Annotated[str, typer.Option(help="Code of the unit.")] = PROVINCE_CODE,
    start: Annotated[str | None, typer.Option(help="First turn from here on; now by default.")] = None,
    title: Annotated[str, typer.Option(help="What it is called.")] = "",
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a rota, or change one: who was on duty until now stays known."""
    body = {
        "title": title,
        "unit": unit,
        "role": role,
        "rule": rule,
        "start": start or now_us(),
        "length": length,
        "turns": [[login.strip() for login in one.split(",")] for one in turn],
        "version": version,
    }
    made = call("PUT", f"{_DUTY}/rotas/{name}", data, json=body)
    emit(made, as_json, lambda: console.print(f"Rota {made['name']} is at version {made['version']}.", highlight=False))


@duty.command()
def end(name: Name, version: Version = None, data: Data = None, as_json: Json = False) -> None:
    """End a rota."""
    ended = call("DELETE", f"{_DUTY}/rotas/{name}", data, params=_asked(version=version))
    emit(ended, as_json, lambda: console.print(f"Rota {name} has ended.", highlight=False))


@duty.command()
def shift(
    login: Annotated[str, typer.Argument(help="Who; '' for nobody, on a rota.")],
    until: Annotated[str | None, typer.Option(help="When it ends.", show_default=False)] = None,
    lasting: Annotated[str | None, typer.Option("--for", help="How long, as 8h.", show_default=False)] = None,
    start: Annotated[str | None, typer.Option(help="When it begins; now by default.", show_default=False)] = None,
    unit: Annotated[str, typer.Option(help="Code of the unit.")] = PROVINCE_CODE,
    role: Annotated[str, typer.Option(help="Role on duty.")] = "operator",
    rota: Annotated[str, typer.Option(help="Override this rota, instead of a shift of its own.")] = "",
    instead_of: Annotated[str, typer.Option(help="Whom of the rota's turn it replaces; all by default.")] = "",
    note: Annotated[str, typer.Option("--note", "-m")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Put somebody on duty for a time, beside a rota or in place of somebody on it."""
    if (until is None) == (lasting is None):
        raise InputError("say until when, or for how long", where="--until, --for")
    body: dict[str, Any] = {"login": login, "unit": unit, "role": role, "rota": rota, "instead_of": instead_of}
    body |= {"note": note, "start": start or now_us()}
    if lasting is not None:
        begin = body["start"] if isinstance(body["start"], int) else None
        if begin is None:
            from thap.kernel.clock import parse_time_us

            begin = parse_time_us(body["start"])
        body["until"] = begin + parse_duration_us(lasting)
    else:
        body["until"] = until
    made = call("POST", f"{_DUTY}/shifts", data, json=body)
    text = f"Shift {made['id']}: {made['login'] or 'nobody'} until {_time(made['until'])}."
    emit(made, as_json, lambda: console.print(escape(text), highlight=False))


@duty.command()
def unshift(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Take a shift back."""
    removed = call("DELETE", f"{_DUTY}/shifts/{number}", data)
    emit(removed, as_json, lambda: console.print(f"Shift {number} is taken back.", highlight=False))


# ---- hand-over


@duty.command()
def handovers(
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20, data: Data = None, as_json: Json = False
) -> None:
    """List hand-overs, the newest first."""
    found = call("GET", f"{_DUTY}/handovers", data, params={"limit": limit})

    def show() -> None:
        for one in found["items"]:
            to = one["to_login"] or "whoever comes"
            taken = f"taken by {one['taken_by']} at {_time(one['taken'])}" if one["taken"] else "not taken yet"
            console.print(
                f"[bold]{one['id']}[/] {_time(one['time'])} {one['unit']} {one['role']}: "
                f"{escape(one['from_login'])} → {escape(to)} ({escape(taken)})\n  {escape(one['note'])}",
                highlight=False,
            )
        if not found["items"]:
            console.print("No hand-over yet.")

    emit(found, as_json, show)


@duty.command("hand-over")
def hand_over(
    note: Annotated[str, typer.Argument(help="What those who come must know.")],
    unit: Annotated[str, typer.Option(help="Code of the unit.")] = PROVINCE_CODE,
    role: Annotated[str, typer.Option(help="Role on duty.")] = "operator",
    to: Annotated[str, typer.Option(help="Login of who comes; whoever comes by default.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Leave a note to those who come."""
    made = call("POST", f"{_DUTY}/handovers", data, json={"note": note, "unit": unit, "role": role, "to": to})
    emit(made, as_json, lambda: console.print(f"Hand-over {made['id']} waits to be taken.", highlight=False))


@duty.command("take-over")
def take_over(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Say that the note was read and the duty is taken."""
    taken = call("POST", f"{_DUTY}/handovers/{number}/take", data)
    emit(taken, as_json, lambda: console.print(f"Hand-over {number} is taken.", highlight=False))


# ---- escalation


@duty.command()
def chains(data: Data = None, as_json: Json = False) -> None:
    """List chains."""
    found = call("GET", f"{_ESCALATION}/chains", data)

    def show() -> None:
        for one in found["items"]:
            scope = f"severity ≥ {one['severity']}, {one['domain'] or 'any domain'}, "
            scope += "any unit" if one["unit"] is None else f"unit {one['unit']}"
            origin = f"version {one['version']}" if one["version"] else "came with the program"
            off = "" if one["enabled"] else " [red]off[/]"
            console.print(
                f"[bold]{one['name']}[/]{off} {escape(one['title'])}\n  {scope}; {origin}; {one['rounds']} rounds",
                highlight=False,
            )
            for number, step in enumerate(one["steps"], 1):
                times = f", {step['times']} times" if step["times"] > 1 else ""
                console.print(
                    f"  {number}. {escape(', '.join(step['to']))}: wait {step['wait_s'] / 60:g} min{times}",
                    highlight=False,
                )

    emit(found, as_json, show)


@chain.command("put")
def put_chain(
    file: Annotated[Path, typer.Argument(help="TOML file with one chain.", exists=True, dir_okay=False)],
    version: Version = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a chain or change one, from a file (docs/duty.md shows one)."""
    try:
        body = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML: {error}", where=str(file)) from None
    name = body.pop("name", None)
    if not isinstance(name, str):
        raise InputError("a chain has a name", where=str(file), hint='write name = "…" at its top')
    made = call("PUT", f"{_ESCALATION}/chains/{name}", data, json={**body, **_asked(version=version)})
    emit(
        made, as_json, lambda: console.print(f"Chain {made['name']} is at version {made['version']}.", highlight=False)
    )


@chain.command("delete")
def delete_chain(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Forget a chain; one that came with the program is then as it came."""
    from thap.cli.common import api, api_json

    with api(data) as client:
        answer = client.delete(f"{_ESCALATION}/chains/{name}")
        if answer.status_code != 204:
            api_json(answer)
    emit({"deleted": name}, as_json, lambda: console.print(f"Chain {name} is forgotten.", highlight=False))


@duty.command()
def escalations(
    state: Annotated[str, typer.Option(help="running, acknowledged, stopped, or '' for all.")] = "running",
    incident: Annotated[int | None, typer.Option(min=1, show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List chains at work."""
    found = call("GET", _ESCALATION, data, params=_asked(state=state, incident=incident))

    def show() -> None:
        table = Table("incident", "chain", "unit", "state", "round", "step", "since (+07)", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            state_of = one["state"] + (f", [red]{one['reason']}[/]" if one["reason"] else "")
            state_of += f" by {escape(one['ended_by'])}" if one["ended_by"] else ""
            table.add_row(
                f"{one['incident']} {escape(one['title'][:50])}",
                one["chain"],
                one["unit"],
                state_of,
                str(one["round"] + 1),
                str(one["step"] + 1),
                _time(one["started"]),
            )
        console.print(table if found["items"] else "No chain.")

    emit(found, as_json, show)


@suppress.command("list")
def suppressions(data: Data = None, as_json: Json = False) -> None:
    """List the times in which chains do not begin."""
    found = call("GET", f"{_ESCALATION}/suppressions", data)

    def show() -> None:
        table = Table("no.", "what for", "scope", "rule", "from (+07)", "for", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            unit = "any unit" if one["unit"] is None else f"unit {one['unit']}"
            scope = f"{one['domain'] or 'any domain'}, {unit}, up to severity {one['severity']}"
            table.add_row(
                str(one["id"]),
                escape(one["title"]),
                scope,
                one["rule"] or "once",
                _time(one["start"]),
                _length(one["length_us"]),
            )
        console.print(table if found["items"] else "No suppression.")

    emit(found, as_json, show)


@suppress.command("add")
def add_suppression(
    title: Annotated[str, typer.Argument(help="What it is for.")],
    lasting: Annotated[str, typer.Option("--for", help="How long each time, as 2h.")],
    start: Annotated[str | None, typer.Option(help="When it begins first; now by default.", show_default=False)] = None,
    rule: Annotated[str, typer.Option(help="Recurrence, as 'FREQ=WEEKLY;BYDAY=SU'; once by default.")] = "",
    domain: Annotated[str, typer.Option(help="Only this domain.")] = "",
    unit: Unit = None,
    severity: Annotated[int, typer.Option(min=1, max=3, help="The highest severity it is for.")] = 3,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hold chains back at times; critical incidents never are."""
    body = {"title": title, "length": lasting, "start": start or now_us(), "rule": rule, "domain": domain}
    made = call("POST", f"{_ESCALATION}/suppressions", data, json={**body, "unit": unit, "severity": severity})
    emit(made, as_json, lambda: console.print(f"Suppression {made['id']} is in force.", highlight=False))


@suppress.command("remove")
def remove_suppression(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Take a suppression back."""
    removed = call("DELETE", f"{_ESCALATION}/suppressions/{number}", data)
    emit(removed, as_json, lambda: console.print(f"Suppression {number} is taken back.", highlight=False))

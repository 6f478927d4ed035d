"""`thap procedures`: what is to be done about incidents of a kind, and when offices are open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.backtest import read_text
from thap.cli.common import Data, Json, call, console, emit
from thap.cli.tasks import shown_time
from thap.kernel.working_calendar import parse_calendar
from thap.respond.procedures.templates import read_procedures

__all__ = ["register"]

procedures = typer.Typer(
    no_args_is_help=True, help="What is to be done about incidents of a kind, by whom, until when."
)

_PATH = "/api/v1/procedures"
_SEVERITIES = ("", "low", "medium", "high", "critical")
File = Annotated[Path, typer.Argument(help="TOML file with [[procedure]] tables.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(procedures, name="procedures")


def _for(one: dict[str, Any]) -> str:
    said = [
        one["domain"],
        ", ".join(_SEVERITIES[level] for level in one["severity"]),
        ", ".join(one["causes"]),
    ]
    return "; ".join(part for part in said if part) or "any incident"


@procedures.command("list")
def list_(data: Data = None, as_json: Json = False) -> None:
    """List procedures in the version in force."""
    found = call("GET", _PATH, data)

    def show() -> None:
        table = Table("name", "title", "for", "steps", "version", box=SIMPLE, pad_edge=False)
        for one in found["items"]:
            body = one["procedure"]
            off = "" if body["enabled"] else " [red]off[/]"
            where = one["origin"] or one["changed_by"]
            table.add_row(
                f"[bold]{escape(body['name'])}[/]{off}",
                escape(body["title"]["vi"]),
                escape(_for(body)),
                str(len(body["steps"])),
                f"{one['version']} [dim]{escape(where)}[/]",
            )
        console.print(table if found["items"] else "No procedure.")

    emit(found, as_json, show)


@procedures.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of the procedure.")],
    version: Annotated[int | None, typer.Option(min=1, help="An earlier version.", show_default=False)] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show a procedure step by step, and its versions."""
    found = call("GET", f"{_PATH}/{name}", data)
    chosen = [one for one in found["items"] if version in (None, one["version"])]
    if not chosen:
        from thap.kernel.errors import NotFoundError

        raise NotFoundError(f"there is no version {version} of it", where=name)
    one = chosen[0]

    def text() -> None:
        body = one["procedure"]
        console.print(f"[bold]{escape(body['name'])}[/]  {escape(body['title']['vi'])} / {escape(body['title']['en'])}")
        console.print(f"  for {escape(_for(body))}\n  source: {escape(body['source'])}", highlight=False)
        table = Table("", "step", "who", "within", "after", "attach", box=SIMPLE, pad_edge=False)
        for number, step in enumerate(body["steps"], 1):
            clock = "working" if step["clock"] == "working" else ""
            table.add_row(
                str(number),
                f"[bold]{escape(step['title']['vi'])}[/]\n[dim]{escape(step['key'])}[/]",
                f"{step['role']} ({step['unit']})",
                f"{step['within']} {clock}",
                ", ".join(step["after"]),
                ", ".join(part["key"] for part in step["attach"]),
            )
        console.print(table)
        for past in found["items"]:
            who = past["changed_by"] or past["origin"]
            console.print(f"  version {past['version']}  {shown_time(past['changed'])}  {escape(who)}", highlight=False)

    emit(one, as_json, text)


@procedures.command()
def check(file: File, as_json: Json = False) -> None:
    """Check a file: the first mistake with its place. Ends with status 1 if there is one."""
    read = read_procedures(read_text(file), str(file))
    body = {"ok": True, "procedures": {name: len(one.steps) for name, one in read.items()}}
    emit(body, as_json, lambda: console.print(f"{len(read)} procedures, no mistake."))


@procedures.command("import")
def import_(
    file: File,
    version: Annotated[
        int | None, typer.Option(min=0, show_default=False, help="Refuse if there is a newer one than this.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Put all procedures of a file in force, each as a new version, or none if there is a mistake."""
    text = read_text(file)
    read_procedures(text, str(file))
    done = call("PUT", _PATH, data, json={"toml": text, "version": version})

    def show() -> None:
        for one in done["items"]:
            console.print(f"{one['procedure']['name']}: version {one['version']}", highlight=False)
        same = done["read"] - len(done["items"])
        if same:
            console.print(f"{same} say what they said before.")

    emit(done, as_json, show)


@procedures.command()
def export(
    name: Annotated[str, typer.Argument(help="Name of the procedure.")], data: Data = None, as_json: Json = False
) -> None:
    """Print a procedure as TOML, to be changed and imported."""
    import tomlkit

    one = call("GET", f"{_PATH}/{name}", data)["items"][0]["procedure"]
    steps = [{key: value for key, value in step.items() if value not in ("", [], {})} for step in one.pop("steps")]
    body = {key: value for key, value in one.items() if value not in ("", [])}
    text = tomlkit.dumps({"procedure": [{**body, "step": steps}]})
    emit({"toml": text}, as_json, lambda: console.print(text, markup=False, highlight=False, soft_wrap=True))


@procedures.command()
def calendar(
    file: Annotated[
        Path | None, typer.Option("--import", help="Put this calendar (TOML) in force.", show_default=False)
    ] = None,
    year: Annotated[int | None, typer.Option(min=1970, max=9998, help="Which year.", show_default="this")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show when offices are open, or put another calendar in; deadlines ahead are counted anew by it."""
    if file is not None:
        text = read_text(file)
        parse_calendar(text, str(file))
        done = call("PUT", "/api/v1/calendar", data, json={"toml": text})
        emit(done, as_json, lambda: console.print(f"In force; {done['moved']} deadlines lie elsewhere now."))
        return
    found = call("GET", "/api/v1/calendar", data, params={} if year is None else {"year": year})

    def show() -> None:
        now = "open" if found["open_now"] else "closed"
        console.print(f"Offices are {now} now; {found['day_hours']:g} h a day, {found['week_hours']:g} h a week.")
        table = Table("closed", "", box=SIMPLE, pad_edge=False)
        for one in found["closed"]:
            table.add_row(one["day"], escape(one["name"]))
        console.print(table)
        if found["worked"]:
            console.print(f"worked in exchange: {', '.join(found['worked'])}", highlight=False)
        if not found["complete"]:
            console.print(
                f"[yellow]The holidays of {found['year']} are not all known:[/] put them in with --import.",
                highlight=False,
            )

    emit(found, as_json, show)

"""`thap incidents rules`: which alarms open which incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.backtest import read_text
from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.errors import RuleError
from thap.respond.incidents.opening_text import read_opening, toml_of

__all__ = ["rules"]

rules = typer.Typer(no_args_is_help=True, help="Which alarms open which incidents.")

_PATH = "/api/v1/opening-rules"
_SEVERITIES = ("", "low", "medium", "high", "critical")
Name = Annotated[str, typer.Argument(help="Name of the opening rule.")]
File = Annotated[Path, typer.Argument(help="TOML file with [[rule]] tables.")]


@rules.command("list")
def list_(data: Data = None, as_json: Json = False) -> None:
    """List opening rules in the order in which they are asked: the first that fits an alarm is taken."""
    found = call("GET", _PATH, data)

    def text() -> None:
        table = Table("name", "alarms", "from severity", "same place", "window", "unit", "from", box=SIMPLE)
        for one in found["rules"]:
            rule = one["rule"]
            off = "" if rule["enabled"] else " [red]off[/]"
            origin = f"records, version {one['version']}" if one["origin"] == "records" else one["origin"]
            which = ", ".join((*rule["domains"], *rule["conditions"]))
            place = rule["place"] if rule["metres"] is None else f"near, {rule['metres']:g} m"
            table.add_row(
                f"[bold]{escape(rule['name'])}[/]{off}",
                escape(which),
                _SEVERITIES[rule["severity"]],
                place,
                rule["window"],
                escape(rule["unit"]),
                origin,
            )
        console.print(table)
        _problems(found["problems"])

    emit(found, as_json, text)


@rules.command("show")
def show(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Show an opening rule as it is written, and where it comes from."""
    found = call("GET", f"{_PATH}/{name}", data)

    def text() -> None:
        who = f", by {found['changed_by']}" if found["changed_by"] else ""
        console.print(f"# from {found['origin']}{who}", markup=False, highlight=False)
        console.print(found["toml"], markup=False, highlight=False, end="", soft_wrap=True)

    emit(found, as_json, text)


@rules.command("check")
def check(file: File, data: Data = None, as_json: Json = False) -> None:
    """Check a file: every mistake with its line and column, and names nobody knows. Ends with status 1 if any."""
    found = call("POST", f"{_PATH}/check", data, json={"body": read_text(file)})
    for one in found["problems"]:
        one["file"] = str(file)

    def text() -> None:
        _problems(found["problems"])
        console.print(f"{len(found['rules'])} sound rules, {len(found['problems'])} mistakes.")

    emit(found, as_json, text)
    if not found["ok"]:
        raise SystemExit(1)


@rules.command("put")
def put(
    file: File,
    version: Annotated[
        int | None, typer.Option(min=0, show_default=False, help="Refuse if it changed since this version.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Keep all rules of a file in the records, or none if there is a mistake. They hold at once."""
    checked = call("POST", f"{_PATH}/check", data, json={"body": read_text(file)})
    if checked["problems"]:
        _problems(checked["problems"][1:], str(file))
        raise _error(checked["problems"][0], str(file))
    kept = []
    for rule in read_opening(read_text(file))[0]:
        asked = {"body": toml_of([rule]), "version": version}
        kept.append(call("PUT", f"{_PATH}/{rule.name}", data, json=asked))

    def text() -> None:
        for one in kept:
            off = "" if one["enabled"] else ", off"
            console.print(f"{escape(one['name'])}: version {one['version']}{off}", highlight=False)

    emit({"rules": kept}, as_json, text)


@rules.command("remove")
def remove(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Take an opening rule out of the records; one of that name in the file or of the program stands again."""
    gone = call("DELETE", f"{_PATH}/{name}", data)

    def text() -> None:
        stands = f"; that of the {gone['stands']} stands again" if gone["stands"] else ""
        console.print(f"removed {escape(name)}{stands}", highlight=False)

    emit(gone, as_json, text)


@rules.command("test")
def test(
    file: Annotated[
        Path | None, typer.Argument(help="TOML file with one [[rule]]; without it, those in force.", show_default=False)
    ] = None,
    since: Annotated[str, typer.Option(help="How long ago, as 7d, or ISO 8601.")] = "7d",
    limit: Annotated[int, typer.Option(min=0, help="How many incidents to list at most.")] = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say which incidents would have been opened from the alarms of a time; nothing is changed."""
    asked: dict[str, Any] = {"since": since}
    if file is not None:
        asked["body"] = read_text(file)
    found = call("POST", f"{_PATH}/test", data, json=asked)

    def text() -> None:
        table = Table("began (+07)", "severity", "title", "unit", "alarms", "rule", box=SIMPLE)
        for one in found["incidents"][:limit]:
            began = from_us(one["began"]).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M")
            table.add_row(
                began,
                _SEVERITIES[one["severity"]],
                escape(one["title"]["vi"]),
                escape(one["unit"] or "province"),
                str(len(one["alarms"])),
                escape(one["rule"]),
            )
        if found["incidents"]:
            console.print(table)
        console.print(
            f"{found['count']} incidents; all rules together {found['then']} (now {found['now']}), "
            f"{found['unopened']} alarms open nothing, from {found['transitions']:,} transitions."
        )

    emit(found, as_json, text)


def _error(problem: dict[str, Any], file: str = "") -> RuleError:
    place = f"{file or problem['file']}:{problem['line']}:{problem['column']}"
    where = f"{place} `{problem['field']}`" if problem["field"] else place
    return RuleError(problem["message"], where=where, hint=problem["hint"] or None)


def _problems(problems: list[dict[str, Any]], file: str = "") -> None:
    for problem in problems:
        console.print(f"[red]{escape(str(_error(problem, file)))}[/]", highlight=False, soft_wrap=True)

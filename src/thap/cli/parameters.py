"""`thap parameters`: the numbers domains decide by, with their sources; setting one keeps every older version."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.errors import InputError, NotFoundError

__all__ = ["register"]

parameters = typer.Typer(
    no_args_is_help=True, help="The numbers domains decide by: value, bounds, source, every version."
)
DomainName = Annotated[str, typer.Argument(metavar="DOMAIN", help="Name of the domain, as water.")]
Name = Annotated[str, typer.Argument(help="Name of the parameter.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(parameters, name="parameters")


def _path(domain: str) -> str:
    return f"/api/v1/domains/{domain}/parameters"


def _one(domain: str, name: str, data: Any) -> dict[str, Any]:
    found: list[dict[str, Any]] = call("GET", _path(domain), data)["items"]
    for one in found:
        if one["name"] == name:
            return one
    listed = ", ".join(one["name"] for one in found) or "none"
    raise NotFoundError(f"{domain} has no parameter {name!r}", where="name", hint=f"there are {listed}")


@parameters.command("list")
def list_(domain: DomainName, data: Data = None, as_json: Json = False) -> None:
    """List the parameters of a domain with value, bounds, source and confidence."""
    found = call("GET", _path(domain), data)

    def text() -> None:
        table = Table("parameter", "value", "bounds", "confidence", "version", "source", box=SIMPLE)
        for one in found["items"]:
            changed = one["version"] > 0
            value = f"{one['value']:g} {one['unit']}".strip()
            table.add_row(
                f"{escape(one['name'])}\n[dim]{escape(one['title']['vi'])}[/]",
                f"[bold]{escape(value)}[/]" if changed else escape(value),
                f"{one['low']:g} – {one['high']:g}",
                one["confidence"],
                str(one["version"]) if changed else "shipped",
                escape(one["source"]),
            )
        console.print(table)

    emit(found, as_json, text)


@parameters.command("set")
def set_(
    domain: DomainName,
    name: Name,
    value: Annotated[str, typer.Argument(help="The value, or `shipped` to take back the shipped one.")],
    source: Annotated[str, typer.Option(help="Where the value is from, as a decision's number.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Set a parameter: it holds at once, and the value before is kept."""
    known = _one(domain, name, data)
    try:
        number = None if value == "shipped" else float(value.replace(",", "."))
    except ValueError:
        raise InputError(f"{value!r} is no number", where="value", hint="as 2.5, or `shipped`") from None
    asked = {"value": number, "source": source, "version": known["version"]}
    kept = call("PUT", f"{_path(domain)}/{name}", data, json=asked)

    def text() -> None:
        console.print(
            f"{escape(name)}: {known['value']:g} → [bold]{kept['value']:g}[/] {escape(kept['unit'])}"
            f" (version {kept['version']})",
            highlight=False,
        )

    emit(kept, as_json, text)


@parameters.command("history")
def history(
    domain: DomainName,
    name: Annotated[str | None, typer.Argument(help="One parameter; else all that were ever set.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show every version of a parameter, newest first."""
    found = [_one(domain, name, data)] if name else call("GET", _path(domain), data)["items"]
    rows = [{"name": one["name"], "shipped": one["shipped"], **each} for one in found for each in one["history"]]

    def text() -> None:
        table = Table("parameter", "version", "value", "when (+07)", "by", "source", box=SIMPLE)
        for row in rows:
            when = from_us(row["changed"]).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M")
            value = f"shipped, {row['shipped']:g}" if row["value"] is None else f"{row['value']:g}"
            table.add_row(
                escape(row["name"]), str(row["version"]), value, when, escape(row["changed_by"]), escape(row["source"])
            )
        if rows:
            console.print(table)
        else:
            console.print("Nothing was set: all values are as shipped.")

    emit({"domain": domain, "items": rows}, as_json, text)

"""`thap quarantine`: names nobody knew, and deciding about them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.clock import iso
from thap.kernel.errors import NotFoundError

__all__ = ["register"]

quarantine = typer.Typer(no_args_is_help=True, help="Names that nobody admitted yet.")

_PATH = "/api/v1/quarantine"
_DECIDE_S = 600
Patterns = Annotated[list[str], typer.Argument(help="Names or globs, as tram-01/level, 'tram-*', '*'.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(quarantine, name="quarantine")


@quarantine.command("list")
def list_(
    pattern: Annotated[str | None, typer.Argument(help="A glob, or a part of the name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out first.")] = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List names that wait, the last heard first."""
    asked = {"limit": limit, "offset": offset, **({"pattern": pattern} if pattern else {})}
    found = call("GET", _PATH, data, params=asked)

    def text() -> None:
        table = Table("name", "door", "records", "last heard", "its latest record")
        table.columns[0].overflow = "fold"
        for name in found["items"]:
            table.add_row(
                escape(name["key"]),
                name["door"],
                str(name["count"]),
                iso(name["last"] // 1_000_000 * 1_000_000),
                escape(_short(name["sample"])),
            )
        console.print(table if found["items"] else "Nothing waits.")
        if found["total"] > len(found["items"]):
            console.print(f"{found['total']} names in all; --limit and --offset show others")

    emit(found, as_json, text)


def _short(sample: str) -> str:
    """The latest record of a name in one line."""
    try:
        record = json.loads(sample)
        values = [
            f"{name} {value}" for name, value in record.items() if name not in ("key", "at") and value is not None
        ]
        return f"{', '.join(values)} at {iso(record['at'])}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return sample[:80]


def _decide(what: str, patterns: list[str], data: Any, as_json: bool, done: str) -> None:
    outcome = call("POST", f"{_PATH}/{what}", data, json={"patterns": patterns}, timeout=_DECIDE_S)
    if not outcome["names"]:
        raise NotFoundError(
            f"nothing in quarantine matches {', '.join(patterns)}",
            hint="`thap quarantine list` shows what waits; quote globs for the shell",
        )

    def text() -> None:
        console.print(done.format(**outcome), highlight=False)
        for pattern in outcome["unmatched"]:
            console.print(f"nothing matches {escape(pattern)}", highlight=False)

    emit(outcome, as_json, text)


@quarantine.command("admit")
def admit(patterns: Patterns, data: Data = None, as_json: Json = False) -> None:
    """Register names and take the records that wait."""
    _decide("admit", patterns, data, as_json, "{names} names admitted, {released} records released")


@quarantine.command("drop")
def drop(patterns: Patterns, data: Data = None, as_json: Json = False) -> None:
    """Send the records of names to the dead letters; a name that comes again waits again."""
    _decide("drop", patterns, data, as_json, "{names} names dropped, {rejected} records among the dead letters")

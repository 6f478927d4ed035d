"""`thap doctor`: is everything healthy, and if not, what to do."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.checks import examine
from thap.cli.common import Data, Json, console, emit
from thap.kernel.settings import load_settings

__all__ = ["register"]

_SHOWN = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[bold red]FAIL[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", help="Look whether everything is healthy, and say what to do where it is not.")(doctor)


def doctor(data: Data = None, as_json: Json = False) -> None:
    """Run all checks; ends with status 1 if one of them fails."""
    settings = load_settings(data)
    with console.status("looking", spinner="line") if not as_json and console.is_terminal else console.capture():
        checks = list(examine(settings))
    failed = [check for check in checks if check.status == "fail"]

    def text() -> None:
        table = Table(box=None, show_header=False, padding=(0, 1))
        for check in checks:
            said = escape(check.message) + (f"\n[dim]→ {escape(check.hint)}[/]" if check.hint else "")
            table.add_row(_SHOWN[check.status], check.name, said)
        console.print(table, highlight=False)

    emit({"healthy": not failed, "checks": [check.as_dict() for check in checks]}, as_json, text)
    if failed:
        raise typer.Exit(1)

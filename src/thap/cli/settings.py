"""`thap settings`: every setting with its value, default, bounds and meaning."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit
from thap.kernel.settings import Settings, load_settings
from thap.kernel.settings_info import describe

__all__ = ["markdown", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settings", help="List every setting with its value, default, bounds and meaning.")(settings)


def settings(
    data: Data = None,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/settings.md.")] = False,
) -> None:
    """List every setting."""
    if as_markdown:
        sys.stdout.write(markdown())
        return
    found = list(describe(load_settings(data)))

    def text() -> None:
        table = Table("setting", "value", "default", "bounds", "meaning")
        for info in found:
            value = escape(_shown(info.value))
            changed = info.value != info.default
            table.add_row(
                escape(info.name),
                f"[bold]{value}[/]" if changed else value,
                escape(_shown(info.default)),
                escape(info.bounds),
                escape(info.description),
            )
        console.print(table)

    emit([asdict(info) for info in found], as_json, text)


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def markdown() -> str:
    """The page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Made by `thap settings --markdown` from `src/thap/kernel/settings.py`.",
        "",
        "A setting is taken from the command line, else from the environment variable beside it, else from "
        "`thap.toml` in the data directory, else it has its default. Sections of `thap.toml` are the parts before a "
        "dot:",
        "",
        "```toml",
        "port = 8080",
        "",
        "[journal]",
        'durability = "power"',
        "```",
        "",
    ]
    section = None
    for info in describe(Settings.model_construct()):
        heading = info.name.rpartition(".")[0]
        if heading != section:
            section = heading
            lines += [f"## {heading or 'General'}", "", "| setting | default | bounds | meaning |", "|---|---|---|---|"]
        default = _shown(info.default)
        cells = [
            f"`{info.name}`<br>`{info.variable}`",
            default if default == "–" else f"`{default}`",
            info.bounds or info.type,
            info.description,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    out: list[str] = []
    for line in lines:  # a blank line before each heading
        if line.startswith("## ") and out and out[-1]:
            out.append("")
        out.append(line)
    return "\n".join(out) + "\n"

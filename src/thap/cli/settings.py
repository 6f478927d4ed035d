"""`thap settings`: every setting with its value, default, bounds and meaning."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit
from thap.kernel.settings import Settings, load_settings

__all__ = ["SettingInfo", "describe", "markdown", "register"]


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting."""

    name: str
    """As in `thap.toml`, sections with dots."""
    variable: str
    """Environment variable that sets it."""
    type: str
    default: Any
    bounds: str
    description: str
    value: Any
    """In force for the data directory asked about."""


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


def describe(current: BaseModel, prefix: str = "") -> Iterator[SettingInfo]:
    """Every setting of a model, sections flattened."""
    defaults = type(current).model_construct()
    for name, field in type(current).model_fields.items():
        value = getattr(current, name)
        full = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from describe(value, f"{full}.")
            continue
        variable = "THAP_HOME" if full == "data" else "THAP_" + full.upper().replace(".", "__")
        yield SettingInfo(
            full,
            variable,
            _type(field.annotation),
            _plain(getattr(defaults, name)),
            _bounds(field),
            field.description or "",
            _plain(value),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, str):  # addresses may hold a password
        return re.sub(r"(//[^:/@]*):[^@]+@", r"\1:…@", value)
    return value if isinstance(value, int | float | bool | list | dict | None) else str(value)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "text"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if annotation in names:
        return names[annotation]
    if get_origin(annotation) is list:
        return f"list of {_type(parts[0])}"
    if get_origin(annotation) is dict:
        return f"table of {_type(parts[1])}"
    return _type(parts[0]) if parts else "path"


def _bounds(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " or ".join(get_args(field.annotation))
    found = []
    for rule in field.metadata:
        for kind, sign, name in (
            (annotated_types.Ge, "≥", "ge"),
            (annotated_types.Gt, ">", "gt"),
            (annotated_types.Le, "≤", "le"),
            (annotated_types.Lt, "<", "lt"),
        ):
            if isinstance(rule, kind):
                found.append(f"{sign} {getattr(rule, name):,}")
    return ", ".join(found)


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


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

"""`thap indicators`: the wall of numbers in a terminal, and the rows behind one of them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from thap.cli.common import Data, Json, api, api_json, console, emit
from thap.measure.indicators.printing import said_value

__all__ = ["register"]

_COLOURS = {"good": "green", "warn": "yellow", "bad": "red", "unknown": "dim", "none": "default"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("indicators", help="Numbers by theme with target and light, or one with the rows behind it.")(show)


def show(
    id: Annotated[str | None, typer.Argument(help="As alarms.open; all of them without it.")] = None,
    theme: Annotated[str, typer.Option(help="Only of a theme, as water.")] = "",
    rows: Annotated[bool, typer.Option("--rows", help="The rows behind the number.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows at most.")] = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Indicators."""
    with api(data) as client:
        if id is None:
            found = api_json(client.get("/api/v1/indicators", params={"theme": theme} if theme else {}))
            emit(found, as_json, lambda: _wall(found))
        elif rows:
            found = api_json(client.get(f"/api/v1/indicators/{id}/rows", params={"limit": limit}))
            emit(found, as_json, lambda: _rows(found))
        else:
            found = api_json(client.get(f"/api/v1/indicators/{id}"))
            emit(found, as_json, lambda: _one(found))


def _wall(found: dict[str, Any]) -> None:
    if not found["items"]:
        console.print("There is no such theme, or nothing of it may be seen.")
        return
    table = Table("indicator", "", "value", "light", "target", "yesterday")
    for theme in found["themes"]:
        for item in found["items"]:
            if item["theme"] == theme["id"]:
                table.add_row(
                    item["id"], item["title"]["en"], _value(item), _light(item), _target(item), _say(item, "yesterday")
                )
        table.add_section()
    console.print(table)


def _one(found: dict[str, Any]) -> None:
    item = found["item"]
    console.print(f"[bold]{item['title']['en']}[/]: {_value(item)}  {_light(item)}")
    console.print(item["meaning"]["en"])
    console.print(f"target {_target(item)}   {item['target']['source']}", highlight=False)
    console.print(f"source {item['source']['en']}, {item['rows']} rows, counted every {item['every_s']} s")


def _rows(found: dict[str, Any]) -> None:
    if not found["items"]:
        console.print("No row.")
        return
    columns = found["columns"]
    table = Table(*(column["title"]["en"] for column in columns))
    for row in found["items"]:
        table.add_row(*("" if row.get(one["name"]) is None else str(row[one["name"]]) for one in columns))
    console.print(table)
    console.print(f"{len(found['items'])} of {found['total']}")


def _value(item: dict[str, Any]) -> str:
    return str(item["reason"]) if item["value"] is None else _say(item, "value")


def _say(item: dict[str, Any], name: str) -> str:
    return said_value(item[name], item["unit"], item["digits"], "en")


def _light(item: dict[str, Any]) -> str:
    light = item["light"]
    return "" if light == "none" else f"[{_COLOURS[light]}]{light}[/]{' (stale)' if item['stale'] else ''}"


def _target(item: dict[str, Any]) -> str:
    target, parts = item["target"], []
    for name, sign in (("low", "≥"), ("high", "≤")):
        if target[name] is not None:
            parts.append(f"{sign} {said_value(target[name], item['unit'], item['digits'], 'en')}")
    return " ".join(parts) or "–"

"""`thap things`: stations and their datastreams, vessels and vehicles."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit
from thap.kernel.errors import InputError

__all__ = ["read_things", "register"]

things = typer.Typer(no_args_is_help=True, help="Things with their datastreams, and movers.")

_PATH = "/api/v1/things"
_AT_ONCE = 1000
_THING = ("title", "kind", "domain", "lon", "lat")
_STREAM = ("property", "unit")
_COLUMNS = ("name", *_THING, "datastream", *_STREAM)
_MOVER_COLUMNS = ("mover", "title", "kind", "domain")


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(things, name="things")


@things.command("list")
def list_(
    domain: Annotated[str | None, typer.Option(help="Only of this domain.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List things."""
    asked: dict[str, Any] = {"limit": limit, **({"domain": domain} if domain else {})}
    found = call("GET", _PATH, data, params=asked)

    def text() -> None:
        table = Table("name", "title", "kind", "domain", "place")
        for thing in found["items"]:
            lon, lat = thing.get("lon"), thing.get("lat")
            place = "" if lon is None or lat is None else f"{lon:.5f} {lat:.5f}"
            table.add_row(
                escape(thing["name"]),
                escape(thing.get("title") or ""),
                escape(thing.get("kind") or ""),
                escape(thing.get("domain") or ""),
                place,
            )
        console.print(table if found["items"] else "There are no things yet.")

    emit(found, as_json, text)


@things.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name, as tram-01.")],
    datastream: Annotated[
        list[str] | None,
        typer.Option(
            help="A measured series, as level, level:water_level or level:water_level:m (name, property, unit)."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title for people.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind, as station or light_trap.")] = None,
    domain: Annotated[str | None, typer.Option(help="Domain, as water.")] = None,
    lon: Annotated[float | None, typer.Option(min=-180, max=180, help="Degrees, WGS 84.")] = None,
    lat: Annotated[float | None, typer.Option(min=-90, max=90, help="Degrees, WGS 84.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add a thing, or change one."""
    row: dict[str, Any] = {"name": name, "title": title, "kind": kind, "domain": domain, "lon": lon, "lat": lat}
    thing = {key: value for key, value in row.items() if value is not None}
    streams = []
    for text in datastream or []:
        stream, property_, unit = [*text.split(":", 2), "", ""][:3]
        streams.append(
            {"name": stream, **({"property": property_} if property_ else {}), **({"unit": unit} if unit else {})}
        )
    thing["datastreams"] = streams
    answer = call("POST", _PATH, data, json={"things": [thing], "movers": []})
    emit(answer, as_json, lambda: console.print(f"{escape(name)} with {len(streams)} datastreams", highlight=False))


@things.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or JSON; see the operator guide.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add things and movers from a file.

    CSV has the columns name, title, kind, domain, lon, lat, datastream, property, unit (only name is needed; one
    row for each datastream), or mover, title, kind, domain. JSON is {"things": [...], "movers": [...]} as the API
    takes it.
    """
    body = read_things(file)
    count = {
        "things": len(body["things"]),
        "movers": len(body["movers"]),
        "datastreams": sum(len(thing.get("datastreams", [])) for thing in body["things"]),
    }
    for name in ("things", "movers"):
        for start in range(0, len(body[name]), _AT_ONCE):
            part: dict[str, Any] = {"things": [], "movers": []}
            part[name] = body[name][start : start + _AT_ONCE]
            call("POST", _PATH, data, json=part)
    emit(
        count,
        as_json,
        lambda: console.print(
            f"{count['things']} things with {count['datastreams']} datastreams, {count['movers']} movers"
        ),
    )


def read_things(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Things and movers out of a CSV or JSON file, as the API takes them.

    Raises:
        InputError: the file cannot be read; the message names line and column.
    """
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(file)) from None
    except UnicodeDecodeError as error:
        line = file.read_bytes().count(b"\n", 0, error.start) + 1
        raise InputError("the file is not UTF-8", where=f"{file}, line {line}", hint="save it as UTF-8") from None
    if not text.strip():
        raise InputError("the file is empty", where=str(file))
    return _from_json(text, file) if text.lstrip()[0] in "{[" else _from_csv(text, file)


def _from_json(text: str, file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise InputError(f"the file is not valid JSON: {error}", where=str(file)) from None
    if isinstance(body, list):
        body = {"things": body}
    unknown = set(body) - {"things", "movers"}
    if unknown or not all(isinstance(rows, list) for rows in body.values()):
        raise InputError("the file must hold lists named things and movers", where=str(file))
    return {"things": body.get("things", []), "movers": body.get("movers", [])}


def _from_csv(text: str, file: Path) -> dict[str, list[dict[str, Any]]]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    columns = [(column or "").strip().lower() for column in reader.fieldnames or []]
    reader.fieldnames = columns
    allowed = _MOVER_COLUMNS if "mover" in columns else _COLUMNS
    needed = allowed[0]
    wrong = [column for column in columns if column not in allowed]
    if needed not in columns or wrong:
        what = f"column {wrong[0]!r} is not known" if wrong else f"there is no column {needed!r}"
        raise InputError(what, where=f"{file}, line 1", hint=f"columns are {', '.join(allowed)}")
    found: dict[str, dict[str, Any]] = {}
    for row in reader:
        where = f"{file}, line {reader.line_num}"
        if None in row or None in row.values():
            raise InputError(f"the row has not {len(columns)} columns", where=where)
        name = row[needed].strip()
        if not name:
            raise InputError(f"the column {needed!r} is empty", where=where)
        if needed == "mover":
            found[name] = {
                "key": name,
                **{
                    ("name" if column == "title" else column): row[column].strip()
                    for column in allowed[1:]
                    if row.get(column)
                },
            }
            continue
        thing = found.setdefault(name, {"name": name, "datastreams": []})
        for column in _THING:
            if value := (row.get(column) or "").strip():
                thing[column] = _degrees(value, f"{where}, column {column}") if column in ("lon", "lat") else value
        if stream := (row.get("datastream") or "").strip():
            thing["datastreams"].append(
                {"name": stream, **{column: row[column].strip() for column in _STREAM if row.get(column)}}
            )
    rows = list(found.values())
    return {"things": [], "movers": rows} if needed == "mover" else {"things": rows, "movers": []}


def _degrees(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} is not a number", where=where) from None

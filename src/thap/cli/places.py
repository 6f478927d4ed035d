"""`thap places`: communes, their outlines, and which one a point lies in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit, run_async, tell_centre
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import iso
from thap.kernel.errors import InputError
from thap.kernel.places import (
    Commune,
    Imported,
    Locator,
    commune,
    communes,
    convert,
    import_polygons,
    imports,
    load_locator,
    read_polygons,
    search,
)
from thap.kernel.records import Records
from thap.kernel.settings import load_settings
from thap.kernel.tables import create_tables

__all__ = ["register"]

places = typer.Typer(no_args_is_help=True, help="Communes, their outlines, and which one a point lies in.")


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(places, name="places")


def _body(unit: Commune) -> dict[str, Any]:
    return {
        "code": unit.code,
        "name": unit.name,
        "kind": unit.kind,
        "title": unit.title,
        "lon": unit.lon,
        "lat": unit.lat,
        "area_km2": unit.area_km2,
    }


def _table(units: list[Commune]) -> None:
    table = Table("code", "name", "km²", "centre")
    for unit in units:
        table.add_row(unit.code, unit.title, f"{unit.area_km2:g}", f"{unit.lon:.4f} {unit.lat:.4f}")
    console.print(table)


@places.command("list")
def list_(as_json: Json = False) -> None:
    """List the 102 communes."""
    units = list(communes())
    emit([_body(unit) for unit in units], as_json, lambda: _table(units))


@places.command("search")
def search_(
    text: Annotated[str, typer.Argument(help="Part of a name, new or old, with or without marks.")],
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Find communes by name."""
    units = search(text, limit)
    emit(
        [_body(unit) for unit in units],
        as_json,
        lambda: _table(units) if units else console.print(f"No commune is called {escape(text)}."),
    )


@places.command("convert")
def convert_(
    name: Annotated[str, typer.Argument(help="Old ward, with its district where needed: 'Phường 5, Mỹ Tho'.")],
    as_json: Json = False,
) -> None:
    """Say what a unit of before July 2025 became."""
    found = convert(name)
    body = [
        {
            "code": old.code,
            "ward": old.ward,
            "district": old.district,
            "province": old.province,
            "became": [_body(commune(code)) for code in old.became],
        }
        for old in found
    ]

    def text() -> None:
        table = Table("before", "district", "since July 2025")
        for old in found:
            became = ", ".join(f"{commune(code).title} ({code})" for code in old.became)
            table.add_row(f"{old.ward} ({old.code})", old.district, became)
        console.print(table)

    emit(body, as_json, text)


@places.command("at")
def at(
    lon: Annotated[float, typer.Argument(help="Longitude, degrees.")],
    lat: Annotated[float, typer.Argument(help="Latitude, degrees.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say which commune a point lies in."""
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise InputError("longitude must lie in ±180 and latitude in ±90", where=f"{lon:g} {lat:g}")
    locator = run_async(lambda: _locator(data))
    index = int(locator.commune_of(lon, lat)[0])
    unit = locator.communes[index] if index >= 0 else None

    def text() -> None:
        said = f"{unit.title} ({unit.code})" if unit else "outside every commune of the province"
        console.print(said + (" – approximate: no outlines are imported" if locator.approximate else ""))

    emit({"commune": _body(unit) if unit else None, "approximate": locator.approximate}, as_json, text)


@places.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="GeoJSON FeatureCollection of commune polygons, WGS 84.")],
    source: Annotated[str, typer.Option(help="Where the outlines are from; the file's name by default.")] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good features where some are bad.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Import commune outlines; what they replace is kept as history."""
    read = read_polygons(file)
    faults = [{"index": fault.index, "name": fault.name, "reason": fault.reason} for fault in read.faults]
    if read.faults and (not skip_bad or not read.wkb):
        if not as_json:
            for fault in read.faults[:50]:
                console.print(f"[red]✗[/] {escape(str(fault))}")
        raise InputError(
            f"{len(read.faults)} features cannot be taken, nothing was imported: "
            + "; ".join(str(fault) for fault in read.faults[:3]),
            where=str(file),
            hint="mend them, or import the others with --skip-bad",
        )
    done = run_async(lambda: _import(data, source or file.name, read.digest, read.wkb))
    missing = [_body(unit) for unit in read.missing]

    def text() -> None:
        for fault in read.faults:
            console.print(f"[yellow]skipped[/] {escape(str(fault))}")
        if done is None:
            console.print("These outlines hold already; nothing changed.")
        else:
            console.print(f"Imported the outlines of {done.communes} communes.")
        if missing:
            names = ", ".join(unit["title"] for unit in missing[:10])
            console.print(
                f"[yellow]Not in the file:[/] {len(missing)} communes: {escape(names)}"
                + (" …" if len(missing) > 10 else "")
            )

    emit(
        {"imported": done.communes if done else 0, "unchanged": done is None, "faults": faults, "missing": missing},
        as_json,
        text,
    )


@places.command("imports")
def imports_(data: Data = None, as_json: Json = False) -> None:
    """List what outlines were imported, when and from where."""
    found = run_async(lambda: _imports(data))

    def text() -> None:
        table = Table("when", "source", "communes", "sha256")
        for one in found:
            table.add_row(iso(one.time), escape(one.source), str(one.communes), one.digest[:12])
        console.print(table)

    emit(
        [
            {"id": one.id, "source": one.source, "sha256": one.digest, "time": iso(one.time), "communes": one.communes}
            for one in found
        ],
        as_json,
        text,
    )


def _exists(data: Path | None) -> bool:
    settings = load_settings(data)
    return settings.records_url is not None or (settings.data / "records.sqlite").exists()


async def _locator(data: Path | None) -> Locator:
    """Of the centre in the directory; without a centre there are no outlines, and centres answer."""
    if not _exists(data):
        return Locator(communes())
    records = Records.open(load_settings(data))
    try:
        await create_tables(records)
        async with records.read() as connection:
            # Building the grid costs a second; one point is asked of the outlines through a coarse one.
            return await load_locator(connection, cells=10_000)
    finally:
        await records.close()


async def _import(data: Path | None, source: str, digest: str, wkb: dict[str, bytes]) -> Imported | None:
    records = Records.open(load_settings(data))
    try:
        await create_tables(records)
        async with records.write() as connection:
            done = await import_polygons(connection, source, digest, wkb)
            if done is not None:
                told = {"source": source, "sha256": digest, "outlines": len(wkb)}
                await append_async(connection, [Entry("local", "places.import", "places", told)])
    finally:
        await records.close()
    await tell_centre(load_settings(data), "places", {"source": source})
    return done


async def _imports(data: Path | None) -> list[Imported]:
    if not _exists(data):
        return []
    records = Records.open(load_settings(data))
    try:
        await create_tables(records)
        async with records.read() as connection:
            return await imports(connection)
    finally:
        await records.close()

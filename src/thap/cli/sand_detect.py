"""`thap sand detect`: what vessels in a file do, and what of it is not allowed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from thap.cli.common import Json, console, emit
from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.errors import InputError

__all__ = ["register"]

_SHOWN = 200


def register(sand: typer.Typer) -> None:
    """Add the command to `thap sand`."""
    sand.command("detect")(detect)


def detect(
    file: Annotated[Path, typer.Argument(help="Positions: CSV, Parquet, NDJSON or an NMEA log, packed or not.")],
    licences: Annotated[Path, typer.Option(help="Licences: CSV, XLSX, GeoJSON or a corner table.")],
    vessels: Annotated[Path | None, typer.Option(help="The register of vessels: CSV, XLSX.")] = None,
    wharves: Annotated[Path | None, typer.Option(help="Wharves and yards: CSV, XLSX, GeoJSON.")] = None,
    zones: Annotated[Path | None, typer.Option(help="Forbidden zones and banks: CSV, XLSX, GeoJSON.")] = None,
    map_: Annotated[
        list[str] | None, typer.Option("--map", metavar="COLUMN=FIELD", help="What a column is, as in `thap replay`.")
    ] = None,
    thing: Annotated[str | None, typer.Option(help="The vessel of all rows, where the file names none.")] = None,
    start: Annotated[str | None, typer.Option(help="When a log without times begins, ISO 8601.")] = None,
    meridian: Annotated[float | None, typer.Option(help="Central meridian of corner tables, as 105.75.")] = None,
    as_json: Json = False,
) -> None:
    """Run the detectors over a file: stays, trips and violations. Needs no centre and changes nothing."""
    from thap.domains.domain import domain
    from thap.domains.parameters import shipped_parameters
    from thap.domains.sand.books import book_of_files
    from thap.domains.sand.files import read_positions
    from thap.domains.sand.offline import detect as detect_in
    from thap.domains.sand.shown import shown

    errors = Console(stderr=True, highlight=False)
    book, left = book_of_files(licences, vessels, wharves, zones, meridian=meridian)
    for name, fault in left:
        errors.print(f"{escape(name)}: left out: {escape(str(fault))}", soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=errors,
        disable=not errors.is_terminal,
    )
    with bar:
        reading = bar.add_task("reading", total=1.0)
        positions = read_positions(
            file,
            maps=_maps(map_ or []),
            thing=thing,
            start=start,
            progress=lambda share: bar.update(reading, completed=share),
        )
        bar.update(reading, completed=1.0)
        judging = bar.add_task("judging", total=1.0)
        parameters = shipped_parameters(domain("sand"))
        report = detect_in(positions, book, parameters, progress=lambda share: bar.update(judging, completed=share))
    for line, reason in positions.faults:
        errors.print(f"{escape(file.name)}, line {line}: left out: {escape(reason)}", soft_wrap=True)
    body = shown(report, book)
    body["left_out"] = dict(positions.left)
    emit(body, as_json, lambda: _show(body))


def _maps(texts: list[str]) -> dict[str, str]:
    maps = {}
    for text in texts:
        column, equals, target = text.rpartition("=")
        if not equals or not column.strip() or not target.strip():
            raise InputError(f"{text!r} is no mapping", where="--map", hint="write COLUMN=FIELD, as 'Id=mover'")
        maps[column.strip()] = target.strip()
    return maps


def _show(body: dict[str, Any]) -> None:
    violations = body["violations"]
    if violations:
        table = Table("violation", "vessel", "licence", "begin (+07)", "end (+07)", "numbers", show_edge=False)
        for one in violations[:_SHOWN]:
            numbers = ", ".join(f"{name} {value:g}" for name, value in one["numbers"].items())
            table.add_row(
                one["kind"].removeprefix("sand."),
                escape(one["vessel"]),
                escape(one["licence"] or ""),
                _local(one["begin"]),
                _local(one["end"]) if one["end"] else "goes on",
                numbers,
            )
        console.print(table)
    if len(violations) > _SHOWN:
        console.print(f"and {len(violations) - _SHOWN:,} more; --json shows all")
    stays = Counter(stay["kind"] for stay in body["stays"])
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(stays.items()))
    console.print(
        f"{len(violations):,} violations, {len(body['trips']):,} trips, {len(body['stays']):,} stays"
        f"{f' ({said})' if said else ''} of {body['vessels']:,} vessels in {body['positions']:,} positions.",
        highlight=False,
    )


def _local(moment: str) -> str:
    from thap.kernel.clock import parse_time_us

    return f"{from_us(parse_time_us(moment)).astimezone(VIETNAM):%Y-%m-%d %H:%M}"

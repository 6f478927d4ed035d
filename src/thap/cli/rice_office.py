"""`thap rice zones|crops|surveys|weather|bulletin|count-insects|round`: the registers and papers of the rice office."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit, fail, open_records, run_async, tell_centre
from thap.kernel.clock import iso, now_us
from thap.kernel.errors import InputError, NotFoundError, ThapError
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.store import open_store
from thap.kernel.tables import create_tables

if TYPE_CHECKING:
    from thap.domains.rice.importing import Kind

__all__ = ["add"]

T = TypeVar("T")
_SHOWN = 20
File = Annotated[Path, typer.Argument(help="CSV or XLSX, headings in Vietnamese or English.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would become of it; keep nothing.")]
Day = Annotated[str, typer.Option(help="Of a weekly report that names no day, as 26/11/2026.")]
Number = Annotated[int, typer.Argument(min=1, help="Number of the bulletin, as `list` shows it.")]
Comment = Annotated[str, typer.Option("--message", "-m", help="Why.")]
_BY = "local"


def add(rice: typer.Typer) -> None:
    """Add the office's commands to `thap rice`."""
    for name, what in (("zones", "Irrigation zones."), ("crops", "The crop calendar."), ("surveys", "Field surveys."),
                       ("weather", "Weather by day, observed and forecast.")):  # fmt: skip
        noun = typer.Typer(no_args_is_help=True, help=what)
        rice.add_typer(noun, name=name)
        _add_import(noun, name)
        noun.command("list")(_LISTS[name])
    papers = typer.Typer(no_args_is_help=True, help="The weekly bulletin: draft, edit, approve, publish, save.")
    rice.add_typer(papers, name="bulletin")
    papers.command("list")(list_bulletins)
    for command in (draft, show, edit, approve, publish, withdraw, save):
        papers.command()(command)
    rice.command("count-insects")(count_insects_)
    rice.command("round")(round_)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from None


async def _with(data: Path | None, work: Callable[[Records, Settings], Awaitable[T]]) -> T:
    settings = load_settings(data)
    records = open_records(settings)
    try:
        await create_tables(records)
        return await work(records, settings)
    finally:
        await records.close()


def _add_import(noun: typer.Typer, kind: str) -> None:
    def command(
        file: File,
        dry_run: DryRun = False,
        day: Day = "",
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        _import(kind, file, dry_run, day, data, as_json)  # type: ignore[arg-type]

    command.__doc__ = f"Import {kind} from a file; what is there already is not doubled, rows with faults are told."
    noun.command("import")(command)


def _import(kind: Kind, file: Path, dry_run: bool, day: str, data: Path | None, as_json: bool) -> None:
    from thap.domains.rice.importing import read_file
    from thap.domains.rice.registers import Kept, keep_registers
    from thap.domains.rice.spreadsheets import read_day
    from thap.domains.rice.surveys import keep_surveys

    try:
        reading = read_file(kind, _read(file), file.name, day=read_day(day) if day else None)
        now = now_us()

        async def keep(records: Records, settings: Settings) -> Kept:
            if kind == "surveys":
                store = open_store(records)
                kept = await store.transact(lambda tx: keep_surveys(tx, reading, by=_BY, now=now))
                await store.close()
            else:
                async with records.write() as connection:
                    kept = await keep_registers(connection, reading, by=_BY, now=now)
            if kept.new or kept.changed:
                await tell_centre(settings, "rice", {"what": kind})
            return kept

        kept = Kept() if dry_run else run_async(lambda: _with(data, keep))
    except ThapError as error:
        fail(error, as_json)
    faults = [*reading.faults, *kept.faults]
    body = {
        "kind": kind,
        "file": str(file),
        "sha256": reading.digest,
        "read": reading.read,
        "good": len(reading.rows),
        "kept": not dry_run,
        "new": kept.new,
        "changed": kept.changed,
        "same": kept.same,
        "faults": [fault.as_dict() for fault in faults],
        "unknown": list(reading.unknown),
        "rows": reading.rows,
    }

    def text() -> None:
        for fault in faults[:_SHOWN]:
            console.print(
                f"[{'red' if fault.fatal else 'yellow'}]{'✗' if fault.fatal else '!'}[/] {escape(str(fault))}"
            )
        if len(faults) > _SHOWN:
            console.print(f"… and {len(faults) - _SHOWN} more; --json shows all")
        if reading.unknown:
            console.print(f"[dim]not read: {escape(', '.join(reading.unknown))}[/]")
        done = "nothing kept" if dry_run else f"{kept.new} new, {kept.changed} changed, {kept.same} there already"
        console.print(f"{reading.read} rows, {len(reading.rows)} good: {done}.")

    emit(body, as_json, text)
    if not reading.rows:
        raise SystemExit(1)


def _list(
    data: Path | None, as_json: bool, read: Callable[[Any], Awaitable[list[dict[str, Any]]]], *names: str
) -> None:
    async def work(records: Records, _settings: Settings) -> list[dict[str, Any]]:
        async with records.read() as connection:
            return await read(connection)

    try:
        rows = run_async(lambda: _with(data, work))
    except ThapError as error:
        fail(error, as_json)

    def text() -> None:
        table = Table(*names)
        for row in rows[:500]:
            table.add_row(*(escape("" if row[name] is None else str(row[name])) for name in names))
        console.print(table if rows else "There are none yet.")

    emit(rows, as_json, text)


def list_zones(data: Data = None, as_json: Json = False) -> None:
    """List irrigation zones."""
    from thap.domains.rice.registers import zones_of

    _list(data, as_json, zones_of, "code", "name", "commune", "area_ha", "stations")


def list_crops(data: Data = None, as_json: Json = False) -> None:
    """List the crop calendar, the latest sown first."""
    from thap.domains.rice.registers import crops_of

    _list(data, as_json, crops_of, "zone", "season", "variety", "sown", "area_ha", "days")


def list_surveys(data: Data = None, as_json: Json = False) -> None:
    """List field surveys, the newest first."""
    from thap.domains.rice.surveys import surveys_of

    names = ("id", "surveyed", "commune", "pest", "stage", "common", "high", "light_ha", "medium_ha", "heavy_ha")
    _list(data, as_json, surveys_of, *names)


def list_weather(
    place: Annotated[str, typer.Option(help="Code of a zone; the province where empty.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List weather by day."""
    from thap.domains.rice.registers import weather_of

    names = ("day", "kind", "low_c", "high_c", "rain_mm", "humidity", "source")
    _list(data, as_json, lambda c: weather_of(c, place, date(2000, 1, 1), date(2100, 1, 1)), *names)


_LISTS: dict[str, Callable[..., None]] = {
    "zones": list_zones,
    "crops": list_crops,
    "surveys": list_surveys,
    "weather": list_weather,
}


def count_insects_(
    image: Annotated[Path, typer.Argument(help="Picture of a plain sheet: JPEG, PNG or WebP.", show_default=False)],
    sheet_mm: Annotated[
        float | None, typer.Option(min=20, max=5000, help="Width of the sheet that fills the picture, mm.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count the insects on a picture of a light trap's sheet."""
    from thap.domains.rice.insects import count_insects, read_picture

    try:
        picture = read_picture(_read(image), str(image))
        found = count_insects(picture, mm_per_px=None if sheet_mm is None else sheet_mm / picture.width)
    except ThapError as error:
        fail(error, as_json)

    def text() -> None:
        sizes = ", ".join(f"{many} {name}" for name, many in found.sizes.items())
        console.print(f"{found.count} insects ({sizes}); {found.split} of them touch another")
        if not found.sure:
            console.print("[yellow]The sheet is crowded: the count is too low. Change the sheet more often.[/]")

    emit({"file": str(image), "width": picture.width, "height": picture.height, **found.as_dict()}, as_json, text)


def round_(data: Data = None, as_json: Json = False) -> None:
    """Find flights, reckon forecasts and draft advice now, as the centre does every ten minutes."""
    from thap.domains.rice.office import open_lake, recompute

    async def work(records: Records, settings: Settings) -> dict[str, Any]:
        lake = await asyncio.to_thread(open_lake, settings)
        if lake is None:
            raise NotFoundError("there is no history yet", where=str(settings.data), hint="send some records first")
        try:
            done = await recompute(records, lake)
        finally:
            lake.close()
        body = {name: getattr(done, name) for name in done.__slots__}
        body["alarms"] = [
            {"source": one.source, "condition": one.condition, "severity": one.severity.name.lower()}
            for one in done.alarms
        ]
        return body

    try:
        body = run_async(lambda: _with(data, work))
    except ThapError as error:
        fail(error, as_json)

    def text() -> None:
        told = body | {"alarms": [f"{one['condition']} {one['source']} {one['severity']}" for one in body["alarms"]]}
        console.print(", ".join(f"{name} {value}" for name, value in told.items()))

    emit(body, as_json, text)


# Bulletins.


def _bulletin(data: Path | None, as_json: bool, work: Callable[[Records, Settings], Awaitable[dict[str, Any]]]) -> None:
    try:
        row = run_async(lambda: _with(data, work))
    except ThapError as error:
        fail(error, as_json)

    def text() -> None:
        console.print(f"Bulletin {row['id']}: no. {row['number']}/{row['year']}, week of {row['week']}, {row['state']}")
        for name, words in row["content"].items():
            console.print(f"[bold]{name}[/] {escape(words)}")
        if row["digest"]:
            console.print(f"[dim]SHA-256 {row['digest']}[/]")

    emit(row, as_json, text)


def draft(
    week: Annotated[str, typer.Option(help="A day of the week, as 2026-11-22; else the last whole week.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Draft the bulletin of a week from the records."""
    from thap.domains.rice.bulletins import begin_bulletin, week_named
    from thap.domains.rice.office import open_lake

    async def work(records: Records, settings: Settings) -> dict[str, Any]:
        lake = await asyncio.to_thread(open_lake, settings)
        try:
            return await begin_bulletin(records, lake, week_named(week), by=_BY, now=now_us())
        finally:
            if lake is not None:
                lake.close()

    _bulletin(data, as_json, work)


def list_bulletins(data: Data = None, as_json: Json = False) -> None:
    """List bulletins, the newest first."""
    from thap.domains.rice.bulletins import bulletins_of

    _list(data, as_json, bulletins_of, "id", "number", "year", "week", "state", "approved_by", "digest")


def show(number: Number, data: Data = None, as_json: Json = False) -> None:
    """Show a bulletin's words."""
    from thap.domains.rice.bulletins import bulletin_by_id

    async def work(records: Records, _settings: Settings) -> dict[str, Any]:
        async with records.read() as connection:
            return await bulletin_by_id(connection, number)

    _bulletin(data, as_json, work)


def edit(
    number: Number,
    section: Annotated[str, typer.Argument(help="weather, crops, traps, pests, forecast or advice.")],
    text: Annotated[str, typer.Argument(help="What it shall say.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Change the words of a section."""
    from thap.domains.rice.bulletins import edit_bulletin

    _bulletin(
        data,
        as_json,
        lambda records, _settings: edit_bulletin(records, number, {section: text}, by=_BY, now=now_us(), version=None),
    )


def approve(number: Number, message: Comment = "", data: Data = None, as_json: Json = False) -> None:
    """Approve a bulletin: its snapshot and documents are made and kept."""
    from thap.domains.rice.bulletins import approve_bulletin

    _bulletin(
        data,
        as_json,
        lambda records, _settings: approve_bulletin(
            records, number, by=_BY, now=now_us(), version=None, comment=message
        ),
    )


def publish(number: Number, message: Comment = "", data: Data = None, as_json: Json = False) -> None:
    """Publish an approved bulletin: everyone who reads registers sees it."""
    _act(number, "publish", message, data, as_json)


def withdraw(number: Number, message: Comment = "", data: Data = None, as_json: Json = False) -> None:
    """Withdraw a bulletin, with a reason."""
    _act(number, "withdraw", message, data, as_json)


def _act(number: int, act: str, message: str, data: Path | None, as_json: bool) -> None:
    from thap.domains.rice.bulletins import act_on_bulletin
    from thap.domains.rice.steps import Act

    _bulletin(
        data,
        as_json,
        lambda records, _settings: act_on_bulletin(
            records, number, Act(act), by=_BY, now=now_us(), version=None, comment=message
        ),
    )


def save(
    number: Number,
    to: Annotated[Path, typer.Option("--to", help="File, ending in .pdf, .docx or .json.", show_default=False)],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Save a bulletin as PDF or DOCX, or what was approved with its data as JSON."""
    from thap.domains.rice.bulletins import archive_of, document_of

    kind = to.suffix.lower().removeprefix(".")

    async def work(records: Records, _settings: Settings) -> bytes:
        if kind == "json":
            return (await archive_of(records, number))[0]
        return await document_of(records, number, kind)

    try:
        if kind not in ("pdf", "docx", "json"):
            raise InputError(
                f"{to.name!r} is of no kind known here", where="--to", hint="end it in .pdf, .docx or .json"
            )
        body = run_async(lambda: _with(data, work))
        try:
            to.write_bytes(body)
        except OSError as error:
            raise InputError(f"it cannot be written: {error.strerror}", where=str(to)) from None
    except ThapError as error:
        fail(error, as_json)
    told = {"bulletin": number, "file": str(to), "bytes": len(body), "saved": iso(now_us())}
    emit(told, as_json, lambda: console.print(f"Saved {to} ({len(body)} bytes)."))

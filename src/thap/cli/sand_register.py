"""`thap sand licences|vessels|wharves|zones`: the register of the sand domain."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit, fail, run_async, tell_centre
from thap.domains.sand.entries import PLURALS, LicenceEntry, Noun, reference_key
from thap.domains.sand.faults import Fault
from thap.domains.sand.importing import Preview, import_reading, preview
from thap.domains.sand.picture import draw_corners, draw_entry
from thap.domains.sand.reading import Options, Reading, read_entries
from thap.domains.sand.records import Kept, entries, entry, entry_versions, retire_entry
from thap.domains.sand.vn2000 import Judged, describe_meridian, judge, meridian_of, read_corners
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import iso
from thap.kernel.errors import InputError
from thap.kernel.places import load_locator
from thap.kernel.records import Records
from thap.kernel.settings import load_settings
from thap.kernel.tables import create_tables

__all__ = ["register", "with_records"]

T = TypeVar("T")
Key = Annotated[str, typer.Argument(help="Number or name, as `thap sand … list` shows it.")]
Meridian = Annotated[
    str, typer.Option(help="Central meridian of corner tables that do not say theirs: 105°00, 105°45, Tiền Giang.")
]
Swap = Annotated[bool, typer.Option("--swap-axes", help="X and Y of corner tables are swapped.")]
_HELP = {
    "licence": "Licences to mine sand: number, holder, boundary, hours, quantities, vessels.",
    "vessel": "Vessels of the register, with the measured volume of their holds.",
    "wharf": "Registered wharves and storage yards.",
    "zone": "Forbidden zones, and banks of the river with the distance to keep.",
}


def with_records(data: Path | None, work: Callable[[Records], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the records of a data directory, whose tables are made where they are missing."""

    async def main() -> T:
        records = Records.open(load_settings(data))
        try:
            await create_tables(records)
            return await work(records)
        finally:
            await records.close()

    return run_async(main)


def _meridian(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return meridian_of(text)
    except ValueError as error:
        raise InputError(str(error), where="--meridian", hint="write 105°00 or 105°45") from None


def _content(file: Path) -> tuple[bytes, str]:
    if str(file) == "-":
        return sys.stdin.buffer.read(), "standard input"
    return file.read_bytes(), file.name


def _tell_faults(faults: list[Fault] | tuple[Fault, ...], colour: str = "red") -> None:
    for fault in faults[:50]:
        console.print(f"[{colour}]✗[/] {escape(str(fault))}")
    if len(faults) > 50:
        console.print(f"… and {len(faults) - 50} more")


def _tell(found: Preview) -> None:
    marks = {"add": "[green]+[/]", "change": "[yellow]~[/]", "restore": "[yellow]↺[/]", "same": "="}
    for item in found.items:
        if item.action == "same":
            continue
        changed = ", ".join(name for name in item.changes if name != "geometry") if item.action != "add" else ""
        outline = " (outline)" if "geometry" in item.changes and item.action != "add" else ""
        console.print(f"{marks[item.action]} {escape(item.draft.entry.title)} {escape(changed)}{outline}")
        for note in item.draft.notes:
            console.print(f"   [yellow]![/] {escape(str(note))}")
    if found.reading.unknown:
        console.print(f"[yellow]Not read:[/] columns {escape(', '.join(found.reading.unknown))}")


def _draw(reading: Reading, target: Path | None) -> None:
    """Write the pictures of the corner tables: one to the file named, more beside it."""
    if target is None:
        return
    drawn: list[tuple[str, str]] = [(title, draw_corners(judged)) for title, judged in reading.judged]
    if not drawn:
        drawn = [
            (draft.entry.title, draw_entry(draft.entry))
            for draft in reading.drafts
            if isinstance(draft.entry, LicenceEntry)
        ]
    for number, (title, picture) in enumerate(drawn):
        path = target if number == 0 else target.with_stem(f"{target.stem}-{reference_key(title)}")
        path.write_text(picture, "utf-8")


def _make(noun: Noun) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help=_HELP[noun])

    @app.command("import")
    def import_(
        file: Annotated[Path, typer.Argument(help="CSV, XLSX, GeoJSON, or a copied table; - reads standard input.")],
        check: Annotated[bool, typer.Option("--check", help="Only say what it would change.")] = False,
        skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good rows where some are bad.")] = False,
        meridian: Meridian = "",
        swap_axes: Swap = False,
        number: Annotated[
            str, typer.Option(help="Number or name, for a file that is one corner table and does not say it.")
        ] = "",
        picture: Annotated[Path | None, typer.Option(help="Draw the boundaries into this SVG file.")] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Import a file; all of it or, where rows are bad, nothing."""
        content, name = _content(file)
        defaults = {("number" if noun == "licence" else "name"): number} if number else {}
        reading = read_entries(noun, content, name, Options(_meridian(meridian), swap_axes, defaults))
        _draw(reading, picture)
        if not check and reading.faults and (not skip_bad or not reading.drafts):
            _refuse(reading, as_json)
        found = with_records(data, lambda records: _import(records, reading, check, skip_bad))
        if not check:
            run_async(lambda: tell_centre(load_settings(data), "rules", {"sand": PLURALS[noun]}))

        def text() -> None:
            _tell_faults(reading.faults, "yellow" if skip_bad else "red")
            _tell(found)
            would = "would be " if check else ""
            console.print(
                f"{found.count('add')} {would}added, {found.count('change') + found.count('restore')} {would}changed, "
                f"{found.count('same')} the same before, {len(reading.faults)} faults."
            )

        emit({**found.as_dict(), "imported": not check}, as_json, text)

    @app.command("list")
    def list_(
        retired: Annotated[bool, typer.Option("--all", help="With those out of force.")] = False,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """List what the register has."""
        found = with_records(data, lambda records: _list(records, noun, retired))

        def text() -> None:
            table = Table(*_COLUMNS[noun])
            for one in found:
                table.add_row(*(escape(cell) for cell in _cells(one)))
            console.print(table)

        emit([_body(one) for one in found], as_json, text)

    @app.command("show")
    def show(
        key: Key,
        picture: Annotated[Path | None, typer.Option(help="Draw the boundary into this SVG file.")] = None,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Show one, with every version it has had."""
        kept, versions = with_records(data, lambda records: _show(records, noun, key))
        made = kept.entry
        if picture is not None and isinstance(made, LicenceEntry):
            picture.write_text(draw_entry(made), "utf-8")

        def text() -> None:
            for name, value in kept.body.items():
                if value not in (None, "", []) and name not in ("geometry", "corners"):
                    console.print(f"[bold]{name}[/] {escape(str(value))}")
            for one in versions:
                state = "retired" if one.retired else "in force"
                console.print(
                    f"version {one.version} {iso(one.changed)} {escape(one.changed_by)} {state} {escape(one.reason)}"
                )

        history = [
            {"version": one.version, "retired": one.retired, "changed": one.changed, "by": one.changed_by,
             "reason": one.reason}
            for one in versions
        ]  # fmt: skip
        emit({**_body(kept), "versions": history}, as_json, text)

    def switch(key: str, retired: bool, reason: str, data: Path | None, as_json: bool) -> None:
        kept = with_records(data, lambda records: _retire(records, noun, key, retired, reason))
        run_async(lambda: tell_centre(load_settings(data), "rules", {"sand": PLURALS[noun]}))
        said = "out of force" if retired else "in force"
        emit(
            _body(kept),
            as_json,
            lambda: console.print(f"{escape(kept.entry.title)} is {said}, version {kept.version}."),
        )

    @app.command("retire")
    def retire(
        key: Key,
        reason: Annotated[str, typer.Option(help="Why.")] = "",
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Take one out of force; nothing is deleted."""
        switch(key, True, reason, data, as_json)

    @app.command("restore")
    def restore(
        key: Key,
        reason: Annotated[str, typer.Option(help="Why.")] = "",
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Put one in force again."""
        switch(key, False, reason, data, as_json)

    return app


def _refuse(reading: Reading, as_json: bool) -> None:
    hint = "nothing was imported: correct these rows"
    if reading.drafts:
        hint += ", or import the others with --skip-bad"
    error = InputError(
        f"{len(reading.faults)} rows cannot be taken: " + "; ".join(str(one) for one in reading.faults[:3]),
        where=reading.name,
        hint=hint,
    )
    if as_json:
        import json

        body = {"error": error.as_dict(), "faults": [one.as_dict() for one in reading.faults]}
        sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
        raise SystemExit(1)
    _tell_faults(reading.faults)
    fail(InputError(f"{len(reading.faults)} rows cannot be taken", where=reading.name, hint=hint))


async def _import(records: Records, reading: Reading, check: bool, skip_bad: bool) -> Preview:
    if check:
        async with records.read() as connection:
            return await preview(connection, reading)
    async with records.write() as connection:
        locator = await load_locator(connection, cells=10_000)
        return (await import_reading(connection, reading, locator, "local", skip_bad=skip_bad)).preview


async def _list(records: Records, noun: Noun, retired: bool) -> list[Kept]:
    async with records.read() as connection:
        found = await entries(connection, noun, retired=None if retired else False)
        if noun == "zone":
            found += await entries(connection, "bank", retired=None if retired else False)
        return found


async def _find(connection: Any, noun: Noun, key: str) -> Kept:
    nouns: tuple[Noun, ...] = ("zone", "bank") if noun == "zone" else (noun,)
    wanted = reference_key(key)
    for one in nouns:
        for kept in await entries(connection, one, retired=None):
            if kept.key in (key, wanted) or wanted == reference_key(kept.entry.title):
                return kept
    return await entry(connection, noun, key)


async def _show(records: Records, noun: Noun, key: str) -> tuple[Kept, list[Kept]]:
    async with records.read() as connection:
        kept = await _find(connection, noun, key)
        return kept, list(await entry_versions(connection, kept))


async def _retire(records: Records, noun: Noun, key: str, retired: bool, reason: str) -> Kept:
    async with records.write() as connection:
        kept = await _find(connection, noun, key)
        done = await retire_entry(connection, kept, retired, by="local", expected=kept.version, reason=reason)
        action = "sand.retire" if retired else "sand.restore"
        told = {"version": done.version, "reason": reason}
        await append_async(connection, [Entry("local", action, f"sand:{done.noun}:{done.key}"[:300], told)])
        return done


_COLUMNS = {
    "licence": ("number", "mine", "holder", "valid", "hours", "m³/day", "m³ total", "vessels", "state"),
    "vessel": ("key", "name", "kind", "hold m³", "owner", "state"),
    "wharf": ("name", "kind", "owner", "state"),
    "zone": ("name", "what", "reason or source", "state"),
}


def _amount(value: Any) -> str:
    return "" if value is None else f"{value:,.0f}"


def _cells(kept: Kept) -> tuple[str, ...]:
    body, state = kept.body, "retired" if kept.retired else ""
    if kept.noun == "licence":
        valid = f"{body['valid_from'] or '…'} – {body['valid_to'] or '…'}"
        hours = f"{body['opens']}–{body['closes']}"
        return (
            body["number"], body["name"], body["holder"], valid, hours, _amount(body["day_m3"]),
            _amount(body["total_m3"]), str(len(body["vessels"])), state,
        )  # fmt: skip
    if kept.noun == "vessel":
        return (kept.key, body["name"], body["kind"], _amount(body["hold_m3"]), body["owner"], state)
    if kept.noun == "wharf":
        return (body["name"], body["kind"], body["owner"], state)
    if kept.noun == "bank":
        return (body["name"], f"bank, {body['min_distance_m']:g} m", body["source"], state)
    return (body["name"], "forbidden", body["reason"], state)


def _body(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.id,
        "noun": kept.noun,
        "key": kept.key,
        "version": kept.version,
        "retired": kept.retired,
        "commune": kept.commune,
        "changed": kept.changed,
        "changed_by": kept.changed_by,
        **kept.body,
    }


def _corners(
    file: Annotated[Path, typer.Argument(help="The table as text; - reads standard input.")],
    meridian: Meridian = "",
    swap_axes: Swap = False,
    area: Annotated[float | None, typer.Option(help="Area printed in the licence, ha, to compare.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the boundary into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Check a corner table (VN-2000) as a licence prints it, and say where it lies; nothing is kept."""
    content, name = _content(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("this is no UTF-8 text", where=name, hint="copy the table into a text file") from None
    found = read_corners(text)
    judged = judge(
        found.corners, found.meridian or _meridian(meridian), swap_axes=swap_axes, stated_ha=area, faults=found.faults
    )
    if picture is not None:
        picture.write_text(draw_corners(judged), "utf-8")
    emit(_judged(judged), as_json, lambda: _tell_judged(judged))
    if not judged.good:
        raise SystemExit(1)


def _judged(judged: Judged) -> dict[str, Any]:
    import shapely.geometry

    return {
        "good": judged.good,
        "meridian": judged.meridian,
        "area_ha": judged.area_ha,
        "edges_m": list(judged.edges_m),
        "corners": [{"label": one.label, "x": one.x, "y": one.y} for one in judged.corners],
        "fits": [describe_meridian(one) for one in judged.fits],
        "faults": [one.as_dict() for one in judged.faults],
        "geometry": None if judged.polygon is None else shapely.geometry.mapping(judged.polygon),
    }


def _tell_judged(judged: Judged) -> None:
    for fault in judged.faults:
        console.print(
            f"[{'red' if fault.blocking else 'yellow'}]{'✗' if fault.blocking else '!'}[/] {escape(str(fault))}"
        )
    if judged.polygon is not None and judged.meridian is not None:
        middle = judged.polygon.centroid
        console.print(
            f"{len(judged.corners)} corners, {judged.area_ha:.2f} ha, central meridian "
            f"{describe_meridian(judged.meridian)}, middle at {middle.y:.5f}, {middle.x:.5f}"
        )


def register(sand: typer.Typer) -> None:
    """Add the register's nouns."""
    nouns: tuple[Noun, ...] = ("licence", "vessel", "wharf", "zone")
    for noun in nouns:
        made = _make(noun)
        if noun == "licence":
            made.command("corners")(_corners)
        sand.add_typer(made, name=PLURALS[noun])

"""`thap sand ledger`, `declared`, `violations`, `evidence`, `weekly`: what left each mine, and what goes against it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit
from thap.cli.sand_register import _find, _tell_faults, with_records
from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.sand.declared import DeclaredBook, keep_declared, read_declared
from thap.domains.sand.evidence import Pack, verify_pack
from thap.domains.sand.ledger import Factors
from thap.domains.sand.ledger_records import Account, KeptViolation, accounts, vessel_names, violations
from thap.domains.sand.packing import known_pack, pack_violation
from thap.domains.sand.records import entries
from thap.domains.sand.weekly import Week, gather_week, parse_week, week_pdf
from thap.kernel.clock import iso
from thap.kernel.errors import UnavailableError
from thap.kernel.history import Lake
from thap.kernel.policy import Policy, Who
from thap.kernel.records import Records
from thap.kernel.settings import load_settings

__all__ = ["register"]

violations_app = typer.Typer(no_args_is_help=True, help="What vessels did against licences and law.")
evidence_app = typer.Typer(no_args_is_help=True, help="Evidence packs: made of a violation, checked years later.")
declared_app = typer.Typer(no_args_is_help=True, help="The book in which a miner declares what it took.")


def register(sand: typer.Typer) -> None:
    """Add the commands."""
    sand.command("ledger")(ledger)
    sand.add_typer(declared_app, name="declared")
    sand.add_typer(violations_app, name="violations")
    sand.add_typer(evidence_app, name="evidence")
    sand.command("weekly")(weekly)


def ledger(
    licence: Annotated[str, typer.Argument(help="Number of a licence; all of them if not given.")] = "",
    by: Annotated[str, typer.Option(help="day or month: how the lines of one licence are shown.")] = "day",
    days: Annotated[int, typer.Option(min=0, help="How many of the latest days to list; 0 for all.")] = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show how many cubic metres left each mine, with its band, against the licence and the declared book."""
    found = with_records(data, lambda records: _accounts(records, licence, days))

    def text() -> None:
        _tell_accounts(found)
        if licence and found:
            _tell_lines(found[0], by)

    emit({"licences": [one.as_dict() for one in found]}, as_json, text)


async def _accounts(records: Records, licence: str, days: int) -> list[Account]:
    async with records.read() as connection:
        key = (await _find(connection, "licence", licence)).key if licence else ""
        factors = Factors.of(await load_parameters(connection, domain("sand")))
        return await accounts(connection, factors, key=key, days=days, retired=None if licence else False)


def _tell_accounts(found: list[Account]) -> None:
    if not found:
        console.print("There is no licence yet: `thap sand licences import FILE`.")
        return
    table = Table("licence", "mine", "today", "month", "year", "total", "declared", "used up")
    for one in found:
        told = one.as_dict(lines=False)
        cells = []
        for name in ("day", "month", "year", "total"):
            used, limit = told["used"][name], told["limits"][name]
            band = f"{used['m3']:,.0f} ({used['low_m3']:,.0f}–{used['high_m3']:,.0f})"
            over = limit is not None and used["m3"] > limit
            cells.append(
                f"{'[red]' if over else ''}{band}{f' of {limit:,.0f}' if limit else ''}{'[/]' if over else ''}"
            )
        when = told["forecast"] or {}
        day = f"{when.get('day') or '–'} ({when.get('early') or '–'} – {when.get('late') or '–'})" if when else ""
        table.add_row(escape(told["licence"]), escape(told["name"]), *cells, f"{told['declared_m3']:,.0f}", day)
    console.print(table)


def _tell_lines(account: Account, by: str) -> None:
    table = Table(by, "trips", "m³", "band", "declared", "difference")
    for one in account.months if by == "month" else account.days:
        difference = "" if one.difference_m3 is None else f"{one.difference_m3:+,.0f}"
        if one.beyond_doubt:
            difference = f"[red]{difference}[/]"
        table.add_row(
            one.period, str(one.estimated.trips), f"{one.estimated.m3:,.0f}",
            f"{one.estimated.low_m3:,.0f}–{one.estimated.high_m3:,.0f}",
            "" if one.declared_m3 is None else f"{one.declared_m3:,.0f}", difference,
        )  # fmt: skip
    console.print(table)


@declared_app.command("import")
def declared_import(
    file: Annotated[Path, typer.Argument(help="CSV or XLSX with licence, day or month, and m³.")],
    licence: Annotated[str, typer.Option(help="The licence of all lines, where the file does not say it.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Only say what it holds.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good lines where some are bad.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Import a declared book; all of it or, where lines are bad, nothing."""
    content = file.read_bytes()

    async def work(records: Records) -> tuple[DeclaredBook, dict[str, int]]:
        async with records.read() as connection:
            only = (await _find(connection, "licence", licence)).key if licence else ""
            licences = await entries(connection, "licence", retired=None)
        book = read_declared(content, file.name, licences, only)
        if check:
            return book, {}
        async with records.write() as connection:
            return book, await keep_declared(connection, book, "local", skip_bad=skip_bad)

    book, done = with_records(data, work)

    def text() -> None:
        _tell_faults(list(book.faults), "yellow" if skip_bad else "red")
        said: Any = done or {"lines": len(book.lines)}
        console.print(", ".join(f"{count} {name}" for name, count in said.items()))

    emit({**book.as_dict(), **done, "imported": not check}, as_json, text)


@violations_app.command("list")
def violations_list(
    kind: Annotated[str, typer.Option(help="Only of this kind, as sand.dredging_outside.")] = "",
    vessel: Annotated[str, typer.Option(help="Only of this vessel.")] = "",
    limit: Annotated[int, typer.Option(min=1)] = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List violations, the newest first."""

    async def work(records: Records) -> tuple[list[KeptViolation], dict[str, str]]:
        async with records.read() as connection:
            found = await violations(connection, kind=kind, vessel=vessel, limit=limit)
            return found, await vessel_names(connection)

    found, names = with_records(data, work)

    def text() -> None:
        table = Table("no", "kind", "vessel", "began", "ended")
        for one in found:
            made = one.violation
            ended = "" if made.end is None else iso(made.end)
            vessel = escape(names.get(made.vessel) or made.vessel)
            table.add_row(str(one.id), str(made.kind), vessel, iso(made.begin), ended)
        console.print(table)

    emit([one.as_dict(names) for one in found], as_json, text)


@evidence_app.command("make")
def evidence_make(
    violation: Annotated[int, typer.Argument(min=1, help="Number of the violation.")],
    out: Annotated[Path | None, typer.Option(help="File to write; by its own name in this folder.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make the evidence pack of a violation, and keep it."""
    settings = load_settings(data)

    async def work(records: Records) -> Pack:
        try:
            lake: Lake | None = Lake.open(settings, True)
        except UnavailableError:
            lake = None
        try:
            return await pack_violation(settings, records, violation, "local", lake=lake)
        finally:
            if lake is not None:
                lake.close()

    pack = with_records(data, work)
    target = out or Path(pack.name)
    target.write_bytes(pack.content)
    told = {"file": str(target), "sha256": pack.sha256, "signed": pack.signed, "size": len(pack.content)}
    emit(told, as_json, lambda: console.print(f"{target}\nSHA-256 {pack.sha256}", highlight=False))


@evidence_app.command("verify")
def evidence_verify(
    file: Annotated[Path, typer.Argument(help="An evidence pack (zip).")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Check a pack: every file, every position, every signature; and whether this centre made it. Needs no centre."""
    checked = verify_pack(file.read_bytes(), file.name)
    settings = load_settings(data)
    known = None
    if settings.records_url is not None or (settings.data / "records.sqlite").exists():

        async def work(records: Records) -> dict[str, Any] | None:
            async with records.read() as connection:
                return await known_pack(connection, checked.sha256)

        known = with_records(data, work)

    def text() -> None:
        for one in checked.files:
            console.print(f"{'[green]✓[/]' if one['good'] else '[red]✗[/]'} {escape(str(one['name']))}")
        for problem in checked.problems:
            console.print(f"[red]✗[/] {escape(problem)}")
        for signature in checked.signatures:
            state = "[green]intact[/]" if signature["intact"] else "[red]broken[/]"
            console.print(f"signature of {escape(str(signature['file']))}: {escape(str(signature['signer']))} {state}")
        console.print(f"SHA-256 {checked.sha256}", highlight=False)
        console.print("The pack is whole." if checked.good else "[red]The pack was changed.[/]")
        if known is not None:
            console.print(f"It was made here on {iso(known['made'])} by {escape(known['made_by'])}.")

    emit({**checked.as_dict(), "made_here": known}, as_json, text)
    if not checked.good:
        raise SystemExit(1)


def weekly(
    week: Annotated[str, typer.Argument(help="As 2026-W48; by default the last full week.")] = "",
    pdf: Annotated[Path | None, typer.Option(help="Write the PDF into this file.")] = None,
    language: Annotated[str, typer.Option(help="vi or en.")] = "vi",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show the weekly summary."""

    async def work(records: Records) -> Week:
        async with records.read() as connection:
            factors = Factors.of(await load_parameters(connection, domain("sand")))
            policy = await Policy.load(connection)
            return await gather_week(connection, parse_week(week), factors, policy, Who("local", "local"))

    found = with_records(data, work)
    if pdf is not None:
        pdf.write_bytes(week_pdf(found, "en" if language == "en" else "vi", "local"))

    def text() -> None:
        table = Table("licence", "trips", "m³", "declared")
        for one in found.licences:
            amount = one["week"]
            said = one["declared_week_m3"]
            band = f"{amount['m3']:,.0f} ({amount['low_m3']:,.0f}–{amount['high_m3']:,.0f})"
            table.add_row(escape(one["licence"]), str(amount["trips"]), band, "" if said is None else f"{said:,.0f}")
        console.print(f"{found.name}, {found.since} – {found.until}")
        console.print(table)
        for kind, count in found.kinds.items():
            console.print(f"{count} {kind}")

    emit(found.as_dict(), as_json, text)

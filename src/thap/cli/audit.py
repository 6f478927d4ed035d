"""`thap audit`: who did what, and whether the log is as it was written."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit, open_records, run_async
from thap.cli.people import OWNER
from thap.kernel.audit import (
    KEEP_DAYS,
    AuditFilter,
    Entry,
    append_async,
    entries_before,
    parse_anchor,
    prune,
    stream_entries,
    verify,
)
from thap.kernel.clock import VIETNAM, from_us, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.kernel.settings import load_settings

__all__ = ["register"]

T = TypeVar("T")
audit = typer.Typer(no_args_is_help=True, help="Who did what, and whether the log is as it was written.")

ByWhom = Annotated[str, typer.Option(help="Login, or name of a token.")]
Action = Annotated[str, typer.Option(help="As grant.add; may end with *, as 'sign_in*'.")]
Thing = Annotated[str, typer.Option(help="What it was done to, as incident:12.")]
Since = Annotated[str | None, typer.Option(help="Moment, or length of time as 7d.", show_default=False)]
Until = Annotated[str | None, typer.Option(help="Moment, excluded.", show_default=False)]

Before = Annotated[int | None, typer.Option(min=1, help="Only entries of a lower number.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(audit, name="audit")


def _with(data: Path | None, work: Callable[[Records], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        records = open_records(load_settings(data))
        try:
            return await work(records)
        finally:
            await records.close()

    return run_async(main)


def _moment(text: str | None, where: str) -> int | None:
    if text is None:
        return None
    with contextlib.suppress(InputError):
        return now_us() - parse_duration_us(text)
    try:
        return parse_time_us(text)
    except InputError as error:
        raise InputError(error.message, where=where, hint="write 7d, or 2026-11-22T08:00:00Z") from None


def _chosen(who: str, action: str, object: str, since: str | None, until: str | None) -> AuditFilter:
    return AuditFilter(who, action, object, _moment(since, "--since"), _moment(until, "--until"))


@audit.command("list")
def list_(
    who: ByWhom = "",
    action: Action = "",
    object: Thing = "",
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    before: Before = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List entries, the newest first."""
    chosen = _chosen(who, action, object, since, until)

    async def work(records: Records) -> list[dict[str, Any]]:
        async with records.read() as connection:
            return await entries_before(connection, before, limit, chosen)

    items = _with(data, work)

    def text() -> None:
        table = Table("no.", "when (+07)", "who", "did", "to", "detail", box=SIMPLE, pad_edge=False)
        for one in items:
            when = from_us(one["time"]).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M:%S")
            by = one["who"] or f"[dim]{one['kind']}[/]"
            detail = json.dumps(one["detail"], ensure_ascii=False) if one["detail"] else ""
            told = [escape(cell) for cell in (one["action"], one["object"], detail)]
            table.add_row(str(one["id"]), when, by if not one["who"] else escape(by), *told)
        console.print(table if items else "There are no such entries.")

    emit({"items": items, "next": items[-1]["id"] if len(items) == limit else None}, as_json, text)


@audit.command("verify")
def verify_(
    anchor: Annotated[
        str | None, typer.Option(help="NUMBER:HASH that an earlier verification gave.", show_default=False)
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Check the whole log; ends with status 1 where it was touched, and says at which entry."""
    kept = None if anchor is None else parse_anchor(anchor)
    status = Console(stderr=True).status("reading the log")

    async def work(records: Records) -> Any:
        with status if not as_json else contextlib.nullcontext():
            return await verify(records, kept, lambda count: status.update(f"{count:,} entries hold together"))

    found = _with(data, work)
    told = {**asdict(found), "whole": found.broken_at is None}
    told["anchor"] = None if found.last is None else f"{found.last}:{found.hash}"

    def text() -> None:
        if found.broken_at is not None:
            console.print(
                f"[bold red]broken at entry {found.broken_at}[/]: {escape(found.why)}. "
                f"{found.entries:,} entries before it hold together.",
                highlight=False,
            )
        elif found.last is None:
            console.print("The log is empty.")
        else:
            console.print(f"[green]whole[/]: {found.entries:,} entries, {found.first} to {found.last}", highlight=False)
            console.print("keep this elsewhere, for --anchor of a later verification:", highlight=False, style="dim")
            console.print(f"  {told['anchor']}", highlight=False, soft_wrap=True)

    emit(told, as_json, text)
    if found.broken_at is not None:
        raise typer.Exit(1)


@audit.command("export")
def export(
    out: Annotated[Path | None, typer.Argument(help="File to write; - or nothing for standard output.")] = None,
    who: ByWhom = "",
    action: Action = "",
    object: Thing = "",
    since: Since = None,
    until: Until = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write entries as NDJSON, the oldest first. The export itself is audited."""
    chosen = _chosen(who, action, object, since, until)
    to_screen = out is None or str(out) == "-"

    async def work(records: Records) -> int:
        async with records.write() as connection:
            told = {name: value for name, value in asdict(chosen).items() if value}
            await append_async(connection, [Entry(OWNER, "export", "audit", told)])
        if out is None or to_screen:
            return await _write(records, chosen, sys.stdout)
        with Console(stderr=True).status(f"writing {out}"), out.open("w", encoding="utf-8") as file:
            return await _write(records, chosen, file)

    count = _with(data, work)
    if not to_screen:
        words = f"{count:,} entries in {out}"
        emit({"entries": count, "file": str(out)}, as_json, lambda: console.print(words, highlight=False))


async def _write(records: Records, chosen: AuditFilter, file: TextIO) -> int:
    count = 0
    async for entry in stream_entries(records, chosen):
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        count += 1
    return count


@audit.command("prune")
def prune_(
    older_than: Annotated[str, typer.Option(help=f"Length of time, at least {KEEP_DAYS}d.")] = f"{KEEP_DAYS + 34}d",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Forget old entries; what stays is still a chain. Twelve months are kept whatever is asked for."""
    before = now_us() - parse_duration_us(older_than)

    async def work(records: Records) -> int:
        async with records.write() as connection:
            return await prune(connection, before, OWNER)

    count = _with(data, work)
    words = f"forgot {count:,} entries" if count else f"no entry is older than {older_than}"
    emit({"pruned": count, "before": before}, as_json, lambda: console.print(words, highlight=False))

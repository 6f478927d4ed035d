"""`thap timers`: what is to happen next, what is late, what could not be handled."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit, open_records, run_async
from thap.cli.tasks import lasting, shown_time
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.settings import Settings, load_settings
from thap.kernel.store import open_store
from thap.kernel.tables import create_tables
from thap.respond.timers_records import TimerRows, counts, timer_rows

__all__ = ["register"]

timers = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    help="What is to happen next, what is late, what could not be handled.",
)
_LATE_US = 10 * SECOND_US


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(timers, name="timers")


@timers.callback()
def next_(
    context: typer.Context,
    kind: Annotated[str, typer.Option(help="One kind only, as task.due.")] = "",
    late: Annotated[bool, typer.Option("--late", help="Only those past their time.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that could not be handled.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show timers, the next one first; works whether or not the centre runs."""
    if context.invoked_subcommand is not None:
        return
    body = run_async(lambda: _read(load_settings(data), kind, late, failed, limit))

    def show() -> None:
        console.print(f"{body['pending']} wait, {body['late']} are late, {body['failed']} could not be handled yet.")
        table = Table("no.", "kind", "what", "due (+07)", "", "failed", box=SIMPLE, pad_edge=False)
        now = now_us()
        for one in body["timers"]:
            ahead = one["due"] - now
            when = f"in {lasting(ahead)}" if ahead >= 0 else f"[bold red]late by {lasting(ahead)}[/]"
            tries = f"{one['attempts']} times, again {shown_time(one['next'])}" if one["attempts"] else ""
            why = f"\n[red]{escape(one['error'])}[/]" if one["error"] else ""
            table.add_row(
                str(one["id"]), escape(one["kind"]), escape(one["ref"]), shown_time(one["due"]), when, tries + why
            )
        if body["timers"]:
            console.print(table)

    emit(body, as_json, show)


@timers.command()
def retry(
    number: Annotated[int | None, typer.Argument(min=1, help="Which; by default all that failed.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let timers that could not be handled be tried at once."""
    numbers = run_async(lambda: _retry(load_settings(data), number))

    def show() -> None:
        console.print(
            f"{len(numbers)} will be tried at once: {', '.join(map(str, numbers))}"
            if numbers
            else "None waits for that.",
            highlight=False,
        )

    emit({"timers": numbers}, as_json, show)


async def _read(settings: Settings, kind: str, late: bool, failed: bool, limit: int) -> dict[str, Any]:
    records = open_records(settings)
    try:
        await create_tables(records)
        before = now_us() - _LATE_US
        async with records.read() as connection:
            told = await counts(connection, before)
            rows = await timer_rows(
                connection, limit=limit, kind=kind, late_before=before if late else None, failed=failed
            )
    finally:
        await records.close()
    return {**told, "timers": [{**row, "payload": msgspec.json.decode(row["payload"])} for row in rows]}


async def _retry(settings: Settings, number: int | None) -> list[int]:
    records = open_records(settings)
    store = open_store(records)
    try:
        await create_tables(records)
        return await store.transact(lambda tx: TimerRows(tx).again(now_us(), number))
    finally:
        await store.close()
        await records.close()

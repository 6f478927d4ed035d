"""`thap dead-letters`: records that could not be taken, and trying them again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, api, api_json, call, console, emit
from thap.kernel.clock import iso
from thap.kernel.errors import InputError, ThapError

__all__ = ["register"]

letters = typer.Typer(no_args_is_help=True, help="Records that could not be taken, and trying them again.")

_PATH = "/api/v1/dead-letters"
_PAGE = 1000
Door = Annotated[str | None, typer.Option("--door", help="Only of this door or stage.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only with this in their reason.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(letters, name="dead-letters")


def _all(
    client: httpx.Client, door: str | None, reason: str | None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Letters over the API, page by page, the newest first."""
    before: int | None = None
    left = limit
    while left is None or left > 0:
        asked = {"limit": _PAGE if left is None else min(_PAGE, left), "before": before, "door": door, "reason": reason}
        page = api_json(client.get(_PATH, params={name: value for name, value in asked.items() if value is not None}))
        yield from page["items"]
        before = page["before"]
        if left is not None:
            left -= len(page["items"])
        if before is None:
            return


@letters.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    door: Door = None,
    reason: Reason = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List letters, the newest first."""
    with api(data) as client:
        found = list(_all(client, door, reason, limit))
        total = api_json(client.get(_PATH, params={"limit": 1}))["total"]

    def text() -> None:
        table = Table("letter", "received", "door", "reason", "record")
        for letter in found:
            record = json.dumps(letter["record"], ensure_ascii=False)
            table.add_row(
                str(letter["seq"]),
                iso(letter["received"] // 1_000_000 * 1_000_000),
                escape(letter["door"]),
                escape(letter["reason"]),
                escape(record if len(record) <= 80 else record[:79] + "…"),
            )
        console.print(table if found else "No dead letters.")
        if total > len(found):
            console.print(f"{total} letters in all; --limit shows more")

    emit({"items": found, "total": total}, as_json, text)


@letters.command("show")
def show(
    letter: Annotated[int, typer.Argument(help="Number of the letter.", min=1)],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one letter with its record as it was sent."""
    found = call("GET", f"{_PATH}/{letter}", data)

    def text() -> None:
        console.print(
            f"letter {found['seq']}, {escape(found['door'])}, {escape(found['kind'])}, {iso(found['received'])}"
        )
        console.print(escape(found["reason"]), style="bold")
        console.print_json(json.dumps(found["record"], ensure_ascii=False))

    emit(found, as_json, text)


@letters.command("retry")
def retry(
    letter: Annotated[list[int] | None, typer.Argument(help="Numbers of the letters.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that pass the filters.")] = False,
    door: Door = None,
    reason: Reason = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hand records in again. A record that is still refused becomes a new letter."""
    if bool(letter) == every:
        raise InputError("say which letters: their numbers, or --all", hint="`thap dead-letters list` shows them")
    outcomes = {"accepted": 0, "quarantined": 0, "rejected": 0, "failed": 0}
    details = []
    with api(data) as client:
        numbers = letter or [found["seq"] for found in _all(client, door, reason)]
        for number in numbers:
            try:
                tried = api_json(client.post(f"{_PATH}/{number}/retry"))
            except ThapError as error:
                if error.status == 503:
                    raise
                tried = {"seq": number, "outcome": "failed", "reason": str(error)}
            outcomes[tried["outcome"]] += 1
            details.append(tried)

    def text() -> None:
        for tried in details[:50]:
            if tried["outcome"] in ("rejected", "failed"):
                console.print(f"letter {tried['seq']}: {escape(tried['reason'] or '')}", highlight=False)
        console.print(", ".join(f"{count} {name}" for name, count in outcomes.items() if count) or "no letters")

    emit({**outcomes, "letters": details}, as_json, text)
    if outcomes["rejected"] or outcomes["failed"]:
        raise typer.Exit(1)


@letters.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output without.")] = None,
    door: Door = None,
    reason: Reason = None,
    data: Data = None,
) -> None:
    """Write letters as NDJSON, the newest first."""
    count = 0
    with api(data) as client:
        try:
            target = sys.stdout if file is None else file.open("x", encoding="utf-8")
        except FileExistsError:
            raise InputError("the file exists already", where=str(file), hint="choose another name") from None
        except OSError as error:
            raise InputError(f"the file cannot be written: {error.strerror}", where=str(file)) from None
        try:
            for found in _all(client, door, reason):
                target.write(json.dumps(found, ensure_ascii=False) + "\n")
                count += 1
        finally:
            if file is not None:
                target.close()
    if file is not None:
        console.print(f"{count} letters in {file}", highlight=False)

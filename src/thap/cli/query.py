"""`thap query`: history in SQL, only reading, whether or not the centre runs."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from thap.cli.common import Data, Json, console, emit
from thap.kernel.errors import InputError
from thap.kernel.history import Answer, Asker
from thap.kernel.settings import load_settings

__all__ = ["register"]

_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("query", help="Ask history in SQL, only reading: `SHOW TABLES` lists what there is.")(query)


def query(
    sql: Annotated[
        str,
        typer.Argument(
            help='One statement, as "SELECT key, count(*) FROM observations JOIN '
            'datastreams USING (datastream) GROUP BY key"; - reads it from stdin.'
        ),
    ],
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000_000, help="Rows at most.")] = 1000,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which it is ended.")] = 60,
    data: Data = None,
) -> None:
    """Ask history in SQL."""
    if as_json and as_csv:
        raise InputError("choose --json or --csv")
    asker = Asker(load_settings(data))
    try:
        answer = asker.ask(sys.stdin.read() if sql == "-" else sql, limit=limit, timeout_s=timeout)
    finally:
        asker.close()
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        emit(
            {
                "columns": answer.columns,
                "types": answer.types,
                "rows": answer.dicts(),
                "truncated": answer.truncated,
                "seconds": round(answer.seconds, 4),
            },
            as_json,
            lambda: _table(answer),
        )
    if answer.truncated and not as_json:
        sys.stderr.write(f"only the first {limit} rows; --limit shows more\n")


def _table(answer: Answer) -> None:
    if answer.columns == ["explain_key", "explain_value"]:
        for row in answer.rows:
            console.print(str(row[1]), markup=False, highlight=False)
        return
    table = Table()
    for name, kind in zip(answer.columns, answer.types, strict=True):
        table.add_column(Text(name), justify="right" if any(part in kind for part in _NUMBERS) else "left")
    for row in answer.rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    console.print(table)
    console.print(f"{len(answer.rows)} rows, {answer.seconds:.2f} s", highlight=False)


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)

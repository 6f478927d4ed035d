"""`thap figures`: how incidents are answered, and the report of one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from thap.cli.common import Data, Json, api, api_json, console, emit
from thap.kernel.errors import InputError

__all__ = ["register"]

figures = typer.Typer(no_args_is_help=True, help="How soon incidents are acknowledged and resolved, and what is late.")
By = Annotated[str, typer.Option("--by", help="unit, domain, commune or severity.")]
Since = Annotated[str | None, typer.Option(help="Moment or length of time, as 30d.", show_default="30d")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(figures, name="figures")


@figures.command("response")
def response(by: By = "unit", since: Since = None, data: Data = None, as_json: Json = False) -> None:
    """Times to acknowledge and resolve, on time and late, and the backlog, by group."""
    with api(data) as client:
        found = api_json(client.get("/api/v1/figures/response", params=_given(by=by, since=since)))

    def text() -> None:
        if not found["groups"]:
            console.print("No incident in this period, and none is open.")
            return
        table = Table("", "opened", "acknowledged", "resolved", "on time", "late", "reopened", "backlog", "oldest")
        table.columns[0].header = by
        for group in [*found["groups"], found["total"]]:
            table.add_row(
                "all" if group["key"] is None else group["key"] or "province",
                str(group["opened"]),
                _span(group["acknowledged"]),
                _span(group["resolved"]),
                str(group["on_time"]),
                str(group["late"]),
                str(group["reopened"]),
                str(group["backlog"]["backlog"]),
                _length(group["oldest_s"]),
            )
        console.print(table)

    emit(found, as_json, text)


@figures.command("behind")
def behind(
    figure: Annotated[str, typer.Argument(help="As late, on_time, backlog_7d.")],
    by: By = "unit",
    key: Annotated[str | None, typer.Option(help="One group, as 30337.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """The incidents behind a figure, the newest first."""
    given = _given(figure=figure, by=by, key=key, since=since, limit=limit)
    with api(data) as client:
        found = api_json(client.get("/api/v1/figures/response/incidents", params=given))

    def text() -> None:
        if not found["items"]:
            console.print("No incident.")
            return
        table = Table("no.", "state", "severity", "unit", "title")
        for item in found["items"]:
            table.add_row(
                str(item["id"]), item["state"], str(item["severity"]), item["unit"] or "province", item["title"]
            )
        console.print(table)
        console.print(f"{len(found['items'])} of {found['total']}")

    emit(found, as_json, text)


@figures.command("report")
def report(
    incident: Annotated[int, typer.Argument(help="Number of the incident.")],
    file: Annotated[Path | None, typer.Option("--to", help="Where to.", show_default="incident-N.pdf")] = None,
    language: Annotated[str, typer.Option(help="vi or en.")] = "vi",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write the after-action report of an incident as PDF."""
    path = file or Path(f"incident-{incident}.pdf")
    if path.exists():
        raise InputError("the file exists already", where=str(path), hint="choose another name with --to")
    with api(data) as client:
        answer = client.get(f"/api/v1/incidents/{incident}/report.pdf", params={"language": language})
        if not answer.is_success:
            api_json(answer)
    path.write_bytes(answer.content)
    told = {"file": str(path), "bytes": len(answer.content)}
    emit(told, as_json, lambda: console.print(f"{path}: {len(answer.content):,} bytes", highlight=False))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _span(span: dict[str, Any]) -> str:
    return "–" if not span["count"] else f"{_length(span['median_s'])} ({span['count']})"


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"

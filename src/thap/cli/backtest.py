"""`thap backtest RULE --since …`: what a rule would have done over history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from thap.cli.common import Data, Json, console, emit, open_records, run_async
from thap.detect.areas import Resolver
from thap.detect.backtest import BacktestReport, run_over_history
from thap.detect.places import area_resolver
from thap.detect.records import gather_rules
from thap.detect.rules import Rule
from thap.detect.ruletext import read_rules
from thap.kernel.clock import VIETNAM, from_us, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.settings import Settings, load_settings
from thap.kernel.tables import create_tables
from thap.observe.registry import Registry, load_registry

__all__ = ["moment", "register"]


def register(app: typer.Typer) -> None:
    """Add the command to the command tree."""
    app.command("backtest", help="What a rule would have done over history.")(backtest)


def moment(text: str, now: int) -> int:
    """A time as ISO 8601, or a length of time before `now` as `30d`.

    Raises:
        InputError: it is neither.
    """
    try:
        return now - parse_duration_us(text)
    except InputError:
        return parse_time_us(text)


def backtest(
    rule: Annotated[str, typer.Argument(help="Name of a rule, or a TOML file: all rules in it.")],
    since: Annotated[str, typer.Option(help="ISO 8601, or how long ago, as 30d.")],
    until: Annotated[str | None, typer.Option(help="ISO 8601, or how long ago; now, if not given.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="TOML file to take the rule of that name from.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many alarms to list at most.")] = 50,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run a rule over history, enabled or not, and list the alarms it would have raised.

    Works whether or not the centre runs; nothing is changed.
    """
    settings = load_settings(data)
    now = now_us()
    begin, end = moment(since, now), now if until is None else moment(until, now)
    rules, registry, resolver = run_async(lambda: _gather(settings, rule, file))
    report = _run(settings, rules, registry, resolver, begin, end, not as_json)
    if report.rows == 0:
        raise NotFoundError(
            "history has nothing that the rule watches in that time",
            where=f"{since} to {until or 'now'}",
            hint='`thap query "SELECT min(time), max(time) FROM observations"` shows what there is',
        )
    emit(report.as_dict(limit if not as_json else None), as_json, lambda: _show(report, limit))


async def _gather(settings: Settings, name: str, file: Path | None) -> tuple[list[Rule], Registry, Resolver]:
    records = open_records(settings)
    try:
        await create_tables(records)
        async with records.read() as connection:
            registry, resolver = await load_registry(connection), await area_resolver(connection)
            path = file or (Path(name) if name.endswith(".toml") else None)
            if path is None:
                return [(await gather_rules(settings, connection)).find(name).rule], registry, resolver
    finally:
        await records.close()
    rules = read_file(path)
    chosen = [one for one in rules if file is None or one.name == name]
    if not chosen:
        raise NotFoundError(
            f"no rule is called {name!r}", where=str(path), hint=f"there are {', '.join(one.name for one in rules)}"
        )
    return chosen, registry, resolver


def read_file(path: Path) -> list[Rule]:
    """The rules of a TOML file.

    Raises:
        InputError: it cannot be read.
        RuleError: something in it is wrong, with its position.
    """
    return read_rules(read_text(path), str(path))


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text, at byte {error.start}", where=str(path), hint="save it as UTF-8") from None


def _run(
    settings: Settings, rules: list[Rule], registry: Registry, resolver: Resolver, begin: int, end: int, shown: bool
) -> BacktestReport:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("judging", total=max(end - begin, 1), rows=0)

        def tell(time: int, rows: int) -> None:
            bar.update(task, completed=time - begin, rows=rows)

        return run_over_history(settings, rules, registry, begin, end, resolve_area=resolver, progress=tell)


def _local(time: int) -> str:
    return f"{from_us(time).astimezone(VIETNAM):%Y-%m-%d %H:%M:%S}"


def _length(microseconds: int) -> str:
    seconds = microseconds // 1_000_000
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"


def _show(report: BacktestReport, limit: int) -> None:
    several = len(report.per_rule()) > 1
    table = Table(show_edge=False, pad_edge=False)
    for title in (*["rule"] * several, "source", "raised (+07)", "lasted", "severity", "peak"):
        table.add_column(title, no_wrap=title in ("source", "raised (+07)", "lasted"))
    for alarm in report.alarms[:limit]:
        end = report.until if alarm.cleared is None else alarm.cleared
        steps = "".join(f" → {step.severity.name.lower()}" for step in alarm.steps)
        lasted = _length(end - alarm.raised) + ("" if alarm.cleared is not None else ", active")
        table.add_row(
            *[escape(alarm.condition)] * several,
            escape(alarm.source),
            _local(alarm.raised),
            lasted,
            f"{alarm.first.name.lower()}{steps}",
            "" if alarm.peak is None else f"{alarm.peak:g}",
        )
    if report.alarms:
        console.print(table)
    if len(report.alarms) > limit:
        console.print(f"and {len(report.alarms) - limit:,} more; --limit shows them")
    days = ", ".join(f"{day}: {sum(counts.values())}" for day, counts in report.per_day().items())
    if days:
        console.print(f"per day: {days}")
    for what, count in report.faults.items():
        console.print(f"{count:,} rows could not be judged: {escape(what)}")
    for name, reason in report.problems.items():
        console.print(f"{escape(name)} cannot run: {escape(reason)}")
    console.print(
        f"{len(report.alarms):,} alarms, {report.rows:,} rows, {report.sources:,} sources watched, "
        f"{_local(report.since)} to {_local(report.until)}."
    )

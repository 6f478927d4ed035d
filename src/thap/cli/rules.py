"""`thap rules`: what the centre watches for."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.cli.backtest import read_text
from thap.cli.common import Data, Json, console, emit, open_records, run_async, tell_centre
from thap.detect.arming import armed_detail
from thap.detect.backtest import watched_by
from thap.detect.records import Gathered, Listed, StoredRule, gather_rules, put_rule, rule_history, switch_rule
from thap.detect.rules import Rule
from thap.detect.ruletext import Problem, bodies_of, examples, parse_rules, read_rules
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import VIETNAM, from_us, iso
from thap.kernel.errors import NotFoundError, RuleError, UnavailableError
from thap.kernel.settings import Settings, load_settings
from thap.kernel.tables import create_tables
from thap.observe.registry import Registry, load_registry

__all__ = ["register"]

rules = typer.Typer(no_args_is_help=True, help="What the centre watches for.")
Name = Annotated[str, typer.Argument(help="Name of the rule.")]
File = Annotated[Path, typer.Argument(help="TOML file with [[rule]] tables.")]
T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(rules, name="rules")


@rules.command("list")
def list_(data: Data = None, as_json: Json = False) -> None:
    """List all rules, in force or not, and what is wrong with those that cannot be read."""
    gathered, registry = _gathered(load_settings(data))
    emit(
        {
            "rules": [_body(one, registry) for one in gathered.rules],
            "problems": [problem.as_dict() for problem in gathered.problems],
        },
        as_json,
        lambda: _list(gathered, registry),
    )


@rules.command("check")
def check(file: File, data: Data = None, as_json: Json = False) -> None:
    """Check a file: every mistake with its line and column. Ends with status 1 if there is one."""
    parsed = parse_rules(read_text(file), str(file))
    registry = _registry(load_settings(data))
    problems = sorted(parsed.problems, key=lambda problem: (problem.line, problem.column))
    emit(
        {
            "ok": not problems,
            "rules": [
                {"name": rule.name, "kind": rule.kind, "sources": _sources(rule, registry)} for rule in parsed.rules
            ],
            "problems": [problem.as_dict() for problem in problems],
        },
        as_json,
        lambda: _checked(parsed.rules, problems, registry),
    )
    if problems:
        raise SystemExit(1)


@rules.command("add")
def add(file: File, data: Data = None, as_json: Json = False) -> None:
    """Keep all rules of a file in the records, as new rules or new versions, or none if there is a mistake."""
    text = read_text(file)
    parsed = parse_rules(text, str(file))
    if parsed.problems:
        for problem in parsed.problems[1:]:
            console.print(escape(str(problem.error())), highlight=False)
        raise parsed.problems[0].error()
    if not parsed.rules:
        raise RuleError("there is no rule in it", where=str(file), hint="a rule begins with [[rule]]")

    bodies = bodies_of(text)

    async def write(connection: AsyncConnection) -> list[StoredRule]:
        stored = [await put_rule(connection, bodies[rule.name], _who()) for rule in parsed.rules]
        return await _noted(connection, "rule.put", stored)

    _change(load_settings(data), write, as_json)


@rules.command("enable")
def enable(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, where no backtest of it was run; kept in its history.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Put a rule of the records in force."""
    _switch(load_settings(data), name, True, as_json, reason)


@rules.command("disable")
def disable(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Put a rule of the records out of force; its active alarms clear."""
    _switch(load_settings(data), name, False, as_json)


@rules.command("show")
def show(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Show a rule as it is written, where it comes from and what it watches."""
    gathered, registry = _gathered(load_settings(data))
    found = gathered.find(name)
    emit(_body(found, registry), as_json, lambda: _shown(found, registry))


@rules.command("history")
def history(name: Name, data: Data = None, as_json: Json = False) -> None:
    """Every version of a rule in the records: who changed it and when."""
    versions = _with(load_settings(data), lambda connection: rule_history(connection, name))
    emit({"versions": [_version(one) | {"body": one.body} for one in versions]}, as_json, lambda: _versions(versions))


@rules.command("reload")
def reload(data: Data = None, as_json: Json = False) -> None:
    """Tell the running centre that files in its rules directory changed."""
    settings = load_settings(data)
    told = run_async(lambda: _tell(settings))
    if not told:
        raise UnavailableError(
            "no centre is running here", where=str(settings.data), hint="it reads them when it starts"
        )
    emit({"reloaded": True}, as_json, lambda: console.print("The engine takes the rules up."))


@rules.command("examples")
def examples_(name: Annotated[str | None, typer.Argument(help="File to print.")] = None, as_json: Json = False) -> None:
    """List the rule sets that come with Tháp, or print one to begin a file of your own with."""
    found = examples()
    if name is None:
        emit({"examples": list(found)}, as_json, lambda: console.print("\n".join(found), highlight=False))
        return
    text = found.get(name) or found.get(f"{name}.toml")
    if text is None:
        raise NotFoundError(f"no example is called {name!r}", hint=f"there are {', '.join(found)}")
    emit(
        {"name": name, "body": text},
        as_json,
        lambda: console.print(text, markup=False, highlight=False, soft_wrap=True, end=""),
    )


# ---- at work


def _with(settings: Settings, work: Callable[[AsyncConnection], Awaitable[T]], writing: bool = False) -> T:
    """Work on the records, whether or not the centre runs."""

    async def main() -> T:
        records = open_records(settings)
        try:
            await create_tables(records)
            async with records.write() if writing else records.read() as connection:
                return await work(connection)
        finally:
            await records.close()

    return run_async(main)


def _gathered(settings: Settings) -> tuple[Gathered, Registry]:
    async def read(connection: AsyncConnection) -> tuple[Gathered, Registry]:
        return await gather_rules(settings, connection), await load_registry(connection)

    return _with(settings, read)


def _registry(settings: Settings) -> Registry | None:
    """What exists, if there is a centre to check against."""
    try:
        return _with(settings, load_registry)
    except UnavailableError:
        return None


def _switch(settings: Settings, name: str, enabled: bool, as_json: bool, reason: str = "") -> None:
    async def write(connection: AsyncConnection) -> list[StoredRule]:
        stored = [await switch_rule(settings, connection, name, enabled, _who())]
        return await _noted(connection, "rule.enable" if enabled else "rule.disable", stored, reason)

    _change(settings, write, as_json)


async def _noted(
    connection: AsyncConnection, action: str, stored: list[StoredRule], reason: str = ""
) -> list[StoredRule]:
    """The same, written into the audit log in the same transaction."""
    entries = []
    for one in stored:
        told: dict[str, Any] = {"version": one.version, "by": _who()}
        if one.enabled:
            told |= await armed_detail(connection, read_rules(one.body, one.name)[0], reason)
        entries.append(Entry("local", action, f"rule:{one.name}", told))
    await append_async(connection, entries)
    return stored


def _change(settings: Settings, work: Callable[[AsyncConnection], Awaitable[list[StoredRule]]], as_json: bool) -> None:
    stored = _with(settings, work, writing=True)
    told = run_async(lambda: _tell(settings))

    def text() -> None:
        for rule in stored:
            console.print(
                f"{rule.name}: version {rule.version}, {'in force' if rule.enabled else 'out of force'}",
                highlight=False,
            )
        if not told:
            console.print("No centre is running here; it takes them up when it starts.")

    emit({"rules": [_version(rule) for rule in stored], "running": told}, as_json, text)


async def _tell(settings: Settings) -> bool:
    """Announce that rules changed; whether a centre runs to hear it."""
    return await tell_centre(settings, "rules", {"by": _who()})


def _who() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"


# ---- as shown


def _sources(rule: Rule, registry: Registry | None) -> int | None:
    return None if registry is None else sum(len(found) for found in watched_by([rule], registry).values())


def _body(listed: Listed, registry: Registry) -> dict[str, Any]:
    rule = listed.rule
    return {
        "name": rule.name,
        "kind": rule.kind,
        "title": rule.title.model_dump(),
        "domain": rule.domain,
        "severity": rule.severity.name.lower(),
        "enabled": rule.enabled,
        "origin": listed.origin,
        "version": listed.stored.version if listed.stored else None,
        "sources": _sources(rule, registry),
        "source": rule.source,
        "body": listed.body,
    }


def _version(stored: StoredRule) -> dict[str, Any]:
    return {
        "name": stored.name,
        "version": stored.version,
        "enabled": stored.enabled,
        "changed": iso(stored.changed),
        "changed_by": stored.changed_by,
    }


def _problems(problems: list[Problem]) -> None:
    for problem in problems:
        console.print(f"[red]{escape(str(problem.error()))}[/]", highlight=False, soft_wrap=True)


def _list(gathered: Gathered, registry: Registry) -> None:
    table = Table("name", "kind", "severity", "in force", "sources", "from", "title")
    for listed in gathered.rules:
        rule = listed.rule
        origin = Path(listed.origin).name if listed.stored is None else f"records, version {listed.stored.version}"
        table.add_row(
            rule.name,
            rule.kind,
            rule.severity.name.lower(),
            "yes" if rule.enabled else "no",
            str(_sources(rule, registry)),
            escape(origin),
            escape(rule.title.en),
        )
    if gathered.rules:
        console.print(table)
    else:
        console.print("There are no rules yet; `thap rules examples` lists sets to begin with.")
    _problems(gathered.problems)


def _checked(sound: list[Rule], problems: list[Problem], registry: Registry | None) -> None:
    for rule in sound:
        count = _sources(rule, registry)
        watches = "" if count is None else f", watches {count:,} sources"
        console.print(f"{rule.name}: {rule.kind}{watches}", highlight=False)
    _problems(problems)
    if not problems:
        console.print(f"{len(sound)} rules, no mistakes.")


def _shown(listed: Listed, registry: Registry) -> None:
    stored = listed.stored
    origin = (
        listed.origin
        if stored is None
        else f"records, version {stored.version} of {_local(stored.changed)} by {stored.changed_by}"
    )
    console.print(
        f"# from {origin}; {'in force' if listed.rule.enabled else 'out of force'}; "
        f"watches {_sources(listed.rule, registry):,} sources",
        markup=False,
        highlight=False,
    )
    console.print(listed.body, markup=False, highlight=False, end="")


def _versions(versions: list[StoredRule]) -> None:
    table = Table("version", "changed (+07)", "by", "in force")
    for one in versions:
        table.add_row(str(one.version), _local(one.changed), escape(one.changed_by), "yes" if one.enabled else "no")
    console.print(table)


def _local(time: int) -> str:
    return f"{from_us(time).astimezone(VIETNAM):%Y-%m-%d %H:%M:%S}"

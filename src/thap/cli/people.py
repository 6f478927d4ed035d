"""`thap people` and `thap units`: who there is, what they may do, and the offices they belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.cli.common import Data, Json, console, emit, open_records, read_run_file, run_async, tell_centre
from thap.domains.known_records import check_domain
from thap.kernel.clock import VIETNAM, from_us, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError, UnavailableError
from thap.kernel.policy import Who, seed
from thap.kernel.policy import people as people_of
from thap.kernel.policy import units as units_of
from thap.kernel.settings import load_settings
from thap.kernel.units import PROVINCE_CODE

__all__ = ["change", "moment", "read", "register"]

T = TypeVar("T")
people = typer.Typer(no_args_is_help=True, help="Who may sign in, and what they may do.")
units = typer.Typer(no_args_is_help=True, help="The province's offices: departments, communes, and parts of them.")

OWNER = Who.local()
Login = Annotated[str, typer.Argument(help="Login of the person.")]
Unit = Annotated[str, typer.Option(help="Code of a unit; `thap units list` shows them.")]
Domain = Annotated[str, typer.Option(help="Domain, as sand; by default all.")]
Until = Annotated[
    str | None, typer.Option(help="When it ends: 30d, or 2027-01-31; by default never.", show_default=False)
]
Changed = Annotated[str | None, typer.Option(show_default=False)]


def register(app: typer.Typer) -> None:
    """Add both nouns to the command tree."""
    app.add_typer(people, name="people")
    app.add_typer(units, name="units")


def read(data: Path | None, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Ask the records of a centre, whether or not it runs."""

    async def main() -> T:
        records = open_records(load_settings(data))
        try:
            async with records.read() as connection:
                return await ask(connection)
        finally:
            await records.close()

    return run_async(main)


def change(data: Path | None, act: Callable[[AsyncConnection], Awaitable[T]], told: tuple[str, ...] = ("people",)) -> T:
    """Change the records of a centre as the machine's owner, and tell it where it runs."""

    async def main() -> T:
        settings = load_settings(data)
        records = open_records(settings)
        try:
            async with records.write() as connection:
                await seed(connection)
                done = await act(connection)
        finally:
            await records.close()
        for what in told:
            await tell_centre(settings, what, {})
        return done

    return run_async(main)


def moment(text: str | None) -> int | None:
    """A moment to come, or a length of time from now.

    Raises:
        InputError: it is neither.
    """
    if text is None:
        return None
    try:
        return now_us() + parse_duration_us(text)
    except InputError:
        pass
    try:
        return parse_time_us(text)
    except InputError as error:
        raise InputError(error.message, where="--until", hint="write 30d, or 2027-01-31") from None


def _day(us: int | None) -> str:
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M")


def _roles(person: dict[str, Any]) -> str:
    told = []
    for one in person["grants"]:
        where = "everywhere" if one["unit"] == PROVINCE_CODE else one["unit"]
        until = f" until {_day(one['until'])}" if one["until"] is not None else ""
        told.append(f"{one['role']} ({where}{', ' + one['domain'] if one['domain'] else ''}{until})")
    told += [f"[dim]cleared for {escape(one['kind'])} {escape(one['ref'])}[/]" for one in person["clearances"]]
    return "\n".join(told) or "[dim]no role[/]"


def _show(person: people_of.Person, as_json: bool, words: str) -> None:
    told = person.as_dict()

    def text() -> None:
        console.print(f"{words} [bold]{escape(person.login)}[/] ({escape(person.unit)})", highlight=False)
        console.print(_roles(told), highlight=False)

    emit(told, as_json, text)


@people.command("list")
def list_(
    unit: Annotated[str, typer.Option(help="Only those of this unit.")] = "",
    role: Annotated[str, typer.Option(help="Only those who have this role somewhere.")] = "",
    text: Annotated[str, typer.Option(help="Part of login or name; diacritics may be left out.")] = "",
    disabled: Annotated[bool, typer.Option("--disabled", help="Also those disabled.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List people with their roles."""
    found = read(
        data, lambda connection: people_of.list_people(connection, unit=unit, role=role, text=text, disabled=disabled)
    )
    items = [one.as_dict() for one in found]

    def show() -> None:
        table = Table("login", "name", "unit", "roles", box=SIMPLE, pad_edge=False)
        for one in items:
            login = escape(one["login"])
            name = "" if one["name"] == one["login"] else escape(one["name"])
            table.add_row(f"[strike]{login}[/]" if one["disabled"] else login, name, escape(one["unit"]), _roles(one))
        chosen = unit or role or text
        empty = "No such people." if chosen else "There is nobody yet: `thap people add LOGIN` adds somebody."
        console.print(table if items else empty)

    emit({"items": items}, as_json, show)


@people.command("add")
def add(
    login: Login,
    name: Annotated[str, typer.Option(help="As shown; by default the login.")] = "",
    unit: Unit = PROVINCE_CODE,
    email: Annotated[str, typer.Option(help="For notices.")] = "",
    phone: Annotated[str, typer.Option(help="For notices.")] = "",
    language: Annotated[str, typer.Option(help="vi or en.")] = "vi",
    role: Annotated[
        list[str] | None, typer.Option(help="Role in that unit; repeat for several.", show_default=False)
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add a person. `thap people link LOGIN` then makes the link with which they set their password."""

    async def act(connection: AsyncConnection) -> people_of.Person:
        made = await people_of.add_person(
            connection, login, name=name, unit=unit, email=email, phone=phone, language=language, by=OWNER
        )
        for one in role or ():
            made = await people_of.grant(connection, made.login, one, unit=unit, by=OWNER)
        return made

    _show(change(data, act), as_json, "added")


@people.command("edit")
def edit(
    login: Login,
    name: Changed = None,
    unit: Changed = None,
    email: Changed = None,
    phone: Changed = None,
    language: Changed = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Change a person's name, unit, contact or language."""
    given = {"name": name, "unit": unit, "email": email, "phone": phone, "language": language}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise InputError("say what to change", hint="as --name, --unit, --email, --phone or --language")
    made = change(data, lambda connection: people_of.edit_person(connection, login, changes, by=OWNER))
    _show(made, as_json, "changed")


@people.command("disable")
def disable(
    login: Login,
    again: Annotated[bool, typer.Option("--undo", help="Let them sign in again.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Bar a person from signing in, now; what they did stays theirs."""

    async def act(connection: AsyncConnection) -> people_of.Person:
        from thap.kernel.sessions import end_sessions

        person = await people_of.set_disabled(connection, login, not again, by=OWNER)
        if not again:
            await end_sessions(connection, person.id, "disabled")
        return person

    _show(change(data, act, ("people", "sessions")), as_json, "enabled" if again else "disabled")


@people.command("grant")
def grant(
    login: Login,
    role: Annotated[str, typer.Argument(help=f"One of {', '.join(people_of.GIVEN_ROLES)}.")],
    unit: Unit = PROVINCE_CODE,
    domain: Domain = "",
    until: Until = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give a person a role within a unit and all below it."""
    end = moment(until)

    async def act(connection: AsyncConnection) -> people_of.Person:
        await check_domain(connection, domain, "--domain")
        return await people_of.grant(connection, login, role, unit=unit, domain=domain, until=end, by=OWNER)

    _show(change(data, act), as_json, "roles of")


@people.command("revoke")
def revoke(
    login: Login,
    role: Annotated[str, typer.Argument(help="The role.")],
    unit: Unit = PROVINCE_CODE,
    domain: Domain = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take a role from a person."""
    made = change(
        data, lambda connection: people_of.revoke(connection, login, role, unit=unit, domain=domain, by=OWNER)
    )
    _show(made, as_json, "roles of")


@people.command("clear")
def clear(
    login: Login,
    kind: Annotated[str, typer.Argument(help="thing, domain or unit.")],
    ref: Annotated[str, typer.Argument(help="Its name or code.")],
    until: Until = None,
    back: Annotated[bool, typer.Option("--undo", help="Take the clearance back.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let a person see a restricted thing, domain or unit."""
    end = moment(until)

    async def act(connection: AsyncConnection) -> people_of.Person:
        if back:
            return await people_of.unclear(connection, login, kind, ref, by=OWNER)
        return await people_of.clear(connection, login, kind, ref, until=end, by=OWNER)

    _show(change(data, act), as_json, "clearances of")


@people.command("link")
def link(
    login: Login,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also switch the second factor off, for who lost it.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a link with which a person sets a password, once, within 24 hours. Earlier links end."""
    from thap.kernel.accounts import link_path, one_time_link
    from thap.kernel.audit import Entry, append_async

    purpose = "everything" if everything else "password"

    async def act(connection: AsyncConnection) -> tuple[str, str]:
        person = await people_of.get_person(connection, login)
        if person.disabled is not None:
            raise InputError(
                f"{person.login!r} is disabled", where="login", hint=f"thap people disable --undo {person.login}"
            )
        secret = await one_time_link(connection, person.id, purpose=purpose, by=OWNER.name)  # type: ignore[arg-type]
        await append_async(connection, [Entry(OWNER, "link.make", f"person:{person.login}", {"purpose": purpose})])
        return person.login, secret

    known, secret = change(data, act)
    url = f"{_address(data)}{link_path(secret)}"

    def text() -> None:
        console.print(f"for [bold]{escape(known)}[/], once, within 24 hours:", highlight=False)
        console.print(f"  {url}", highlight=False, markup=False, soft_wrap=True)

    emit({"login": known, "url": url, "hours": 24}, as_json, text)


def _address(data: Path | None) -> str:
    """Where people open the centre."""
    settings = load_settings(data)
    if settings.sign_in.public_url:
        return settings.sign_in.public_url.rstrip("/")
    try:
        return read_run_file(settings).http.rstrip("/")
    except UnavailableError:
        return f"http://127.0.0.1:{settings.port}"


# ---- units


@units.command("list")
def list_units(
    kind: Annotated[str, typer.Option(help="province, department or commune.")] = "",
    parent: Annotated[str, typer.Option(help="Only those just below this unit.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List units: the province, departments, communes."""
    found = read(data, lambda connection: units_of.list_units(connection, kind, parent))
    items = [one.as_dict() for one in found]

    def show() -> None:
        table = Table("code", "name", "kind", "below", "people", box=SIMPLE, pad_edge=False)
        for one in items:
            row = (one["code"], one["name"], one["kind"], one["parent"], str(one["people"] or ""))
            table.add_row(*(escape(cell) for cell in row))
        console.print(table if items else "No such units.")

    emit({"items": items}, as_json, show)


@units.command("add")
def add_unit(
    code: Annotated[str, typer.Argument(help="As so-xay-dung: letters a-z, digits and -.")],
    name: Annotated[str, typer.Argument(help="As shown.")],
    kind: Annotated[str, typer.Option(help="department or commune.")] = "department",
    parent: Annotated[str, typer.Option(help="Code of the unit above.")] = PROVINCE_CODE,
    email: Annotated[str, typer.Option(help="For notices.")] = "",
    phone: Annotated[str, typer.Option(help="For notices.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add a unit below another."""
    made = change(
        data,
        lambda connection: units_of.add_unit(
            connection, code, name, kind=kind, parent=parent, email=email, phone=phone, by=OWNER
        ),
    )
    emit(made.as_dict(), as_json, lambda: console.print(f"added {escape(made.code)}", highlight=False))


@units.command("edit")
def edit_unit(
    code: Annotated[str, typer.Argument(help="Code of the unit.")],
    name: Changed = None,
    parent: Changed = None,
    email: Changed = None,
    phone: Changed = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Change a unit's name, contact, or what stands above it."""
    given = {"name": name, "parent": parent, "email": email, "phone": phone}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise InputError("say what to change", hint="as --name, --parent, --email or --phone")
    made = change(data, lambda connection: units_of.edit_unit(connection, code, changes, by=OWNER))
    emit(made.as_dict(), as_json, lambda: console.print(f"changed {escape(made.code)}", highlight=False))

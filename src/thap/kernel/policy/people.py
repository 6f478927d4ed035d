"""People, their roles and clearances: how they come, change and go. Every change is audited.

A login is never given twice: people are disabled, not deleted, because what they did stays theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.policy.changing import (
    begin_change,
    clean_domain,
    clean_email,
    clean_phone,
    clean_until,
    clean_words,
    known_unit,
)
from thap.kernel.policy.limits import known_restriction
from thap.kernel.policy.model import ROLES, Grant, Resource, Who
from thap.kernel.policy.records import clearances, grants, people
from thap.kernel.units import PROVINCE_CODE, fold

__all__ = [
    "GIVEN_ROLES",
    "RESOURCE",
    "Clearance",
    "Person",
    "add_person",
    "any_person",
    "check_on_hand",
    "check_role",
    "clean_login",
    "clear",
    "edit_person",
    "get_person",
    "grant",
    "list_people",
    "revoke",
    "set_disabled",
    "unclear",
]

GIVEN_ROLES = tuple(role for role in ROLES if role != "sender")
"""The roles a person can have."""

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")
_RESERVED = frozenset({"local", "system", "anonymous", "internal", "thap"})
_LANGUAGES = ("vi", "en")
_P, _G, _C = people.c, grants.c, clearances.c

RESOURCE = Resource((_P.unit,))
"""A person counts to their unit."""


@dataclass(frozen=True, slots=True)
class Clearance:
    """Leave to see a restricted thing, domain or unit."""

    kind: str
    ref: str
    until: int | None = None
    """µs; None without end."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in. Moments are µs."""

    id: int
    login: str
    name: str
    unit: str
    email: str
    phone: str
    language: str
    disabled: int | None
    created: int
    created_by: str
    changed: int
    version: int
    grants: tuple[Grant, ...] = ()
    clearances: tuple[Clearance, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As API and `--json` show it."""
        return asdict(self)


# Reading.


async def list_people(
    connection: AsyncConnection,
    *,
    unit: str = "",
    role: str = "",
    text: str = "",
    disabled: bool = False,
    where: sa.ColumnElement[bool] | None = None,
) -> list[Person]:
    """People by login.

    Args:
        connection: for reading.
        unit: only those of this unit.
        role: only those who have this role somewhere.
        text: part of the login or name.
        disabled: also those disabled.
        where: what the asker may see, of the policy with `RESOURCE`; None for all.
    """
    tests: list[sa.ColumnElement[bool]] = [] if disabled else [_P.disabled.is_(None)]
    if unit:
        tests.append(_P.unit == await known_unit(connection, unit))
    if role:
        tests.append(_P.id.in_(sa.select(_G.person_id).where(_G.role == _known_role(role))))
    if where is not None:
        tests.append(where)
    found = await _read(connection, *tests)
    return [one for one in found if _named(one, text)] if text else found


def _named(person: Person, text: str) -> bool:
    """Whether words are part of login or name; diacritics may be left out."""
    name, folded = f"{person.login} {person.name}", fold(text)
    return text.casefold() in name.casefold() or (bool(folded) and folded in fold(name))


async def get_person(connection: AsyncConnection, who: int | str) -> Person:
    """One person, by id or login.

    Raises:
        NotFoundError: there is none.
    """
    found: list[Person] = []
    if isinstance(who, int):
        found = await _read(connection, _P.id == who) if 0 < who < 2**31 else []
    elif _LOGIN.fullmatch(who.strip().lower()):
        found = await _read(connection, _P.login == who.strip().lower())
    if not found:
        raise NotFoundError(f"there is no person {who!r}", hint="`thap people list` shows those there are")
    return found[0]


async def any_person(connection: AsyncConnection) -> bool:
    """Whether there is anybody at all."""
    return await connection.scalar(sa.select(_P.id).limit(1)) is not None


async def _read(connection: AsyncConnection, *tests: sa.ColumnElement[bool]) -> list[Person]:
    rows = (await connection.execute(sa.select(people).where(*tests).order_by(_P.login))).mappings().all()
    chosen = sa.select(_P.id).where(*tests)
    roles: dict[int, list[Grant]] = {}
    for row in await connection.execute(
        sa.select(_G.person_id, _G.role, _G.unit, _G.domain, _G.until)
        .where(_G.person_id.in_(chosen))
        .order_by(_G.role, _G.unit, _G.domain)
    ):
        roles.setdefault(row[0], []).append(Grant(row[1], row[2], row[3], row[4]))
    clear: dict[int, list[Clearance]] = {}
    for person_id, kind, ref, until in await connection.execute(
        sa.select(_C.person_id, _C.kind, _C.ref, _C.until).where(_C.person_id.in_(chosen)).order_by(_C.kind, _C.ref)
    ):
        clear.setdefault(person_id, []).append(Clearance(kind, ref, until))
    return [
        Person(**row, grants=tuple(roles.get(row["id"], ())), clearances=tuple(clear.get(row["id"], ())))
        for row in rows
    ]


# Changing.


def clean_login(text: str) -> str:
    """A login as it is kept: lower case.

    Raises:
        InputError: it is none.
        ConflictError: it belongs to the centre itself.
    """
    login = text.strip().lower()
    if not _LOGIN.fullmatch(login):
        raise InputError(
            f"{text[:64]!r} is not a login", where="login", hint="letters a-z, digits and . _ @ -, 2 to 64 of them"
        )
    if login in _RESERVED:
        raise ConflictError(f"the name {login!r} belongs to the centre itself", where="login", hint="choose another")
    return login


async def add_person(
    connection: AsyncConnection,
    login: str,
    *,
    name: str = "",
    unit: str = PROVINCE_CODE,
    email: str = "",
    phone: str = "",
    language: str = "vi",
    by: Who | str = "",
) -> Person:
    """Add a person. They have no role yet, and no password: `thap.kernel.accounts` makes a link to set one.

    Args:
        connection: in a write transaction.
        login: unique, also among those disabled.
        name: as shown; by default the login.
        unit: they belong to.
        email: for notices.
        phone: for notices.
        language: `vi` or `en`.
        by: who adds them.

    Raises:
        InputError: an argument does not hold.
        ConflictError: the login is taken.
        NotFoundError: there is no such unit.
    """
    known = clean_login(login)
    await begin_change(connection)
    if await connection.scalar(sa.select(_P.id).where(_P.login == known)) is not None:
        raise ConflictError(
            f"there is a person {known!r} already", where="login", hint="`thap people edit` changes them"
        )
    now = now_us()
    await connection.execute(
        sa.insert(people).values(
            login=known,
            name=clean_words(name, 128, "name") or known,
            unit=await known_unit(connection, unit),
            email=clean_email(email),
            phone=clean_phone(phone),
            language=_known_language(language),
            created=now,
            created_by=_name_of(by),
            changed=now,
            version=1,
        )
    )
    added = await get_person(connection, known)
    await append_async(connection, [Entry(by, "person.add", f"person:{known}", {"unit": added.unit})])
    return added


async def edit_person(
    connection: AsyncConnection,
    login: str,
    changes: Mapping[str, str],
    *,
    by: Who | str = "",
    version: int | None = None,
) -> Person:
    """Change a person's `name`, `unit`, `email`, `phone` or `language`.

    Raises:
        NotFoundError: there is no such person, or unit.
        InputError: a value does not hold.
        ConflictError: the person changed since that version.
    """
    await begin_change(connection)
    before = await get_person(connection, login)
    _check_version(before, version)
    cleaned: dict[str, str] = {}
    for field, value in changes.items():
        if field == "unit":
            cleaned[field] = await known_unit(connection, value)
        elif field in _CLEANED:
            cleaned[field] = _CLEANED[field](value)
        else:
            raise InputError(f"{field!r} of a person cannot be changed", where=field)
    if cleaned.get("name") == "":
        cleaned["name"] = before.login
    kept = before.as_dict()
    told = {field: value for field, value in cleaned.items() if kept[field] != value}
    if not told:
        return before
    await _touch(connection, before, **told)
    # Which details of contact somebody had is nothing to keep for years.
    shown = {field: "changed" if field in ("email", "phone") else [kept[field], value] for field, value in told.items()}
    await append_async(connection, [Entry(by, "person.edit", f"person:{before.login}", shown)])
    return await get_person(connection, before.id)


async def set_disabled(
    connection: AsyncConnection, login: str, disabled: bool = True, *, by: Who | str = "", version: int | None = None
) -> Person:
    """Bar a person from signing in, or let them again. Their sessions are for the caller to end.

    Raises:
        NotFoundError: there is no such person.
        ConflictError: they are the last administrator, or changed since that version.
    """
    await begin_change(connection)
    before = await get_person(connection, login)
    _check_version(before, version)
    if (before.disabled is not None) == disabled:
        return before
    if disabled:
        await _check_administrators(connection, before, leaving=None)
    await _touch(connection, before, disabled=now_us() if disabled else None)
    action = "person.disable" if disabled else "person.enable"
    await append_async(connection, [Entry(by, action, f"person:{before.login}")])
    return await get_person(connection, before.id)


async def grant(
    connection: AsyncConnection,
    login: str,
    role: str,
    *,
    unit: str = PROVINCE_CODE,
    domain: str = "",
    until: int | None = None,
    by: Who | str = "",
) -> Person:
    """Give a person a role within a unit and a domain; giving it again moves its end.

    Args:
        connection: in a write transaction.
        login: whom.
        role: of GIVEN_ROLES.
        unit: it reaches this unit and all below.
        domain: `''` for all.
        until: moment it ends, µs; None never.
        by: who gives it.

    Raises:
        NotFoundError: there is no such person or unit.
        InputError: an argument does not hold.
        ConflictError: the last administrator would end with `until`.
    """
    given = Grant(_known_role(role), unit, clean_domain(domain), clean_until(until))
    await begin_change(connection)
    person = await get_person(connection, login)
    given = Grant(given.role, await known_unit(connection, unit), given.domain, given.until)
    key = {"person_id": person.id, "role": given.role, "unit": given.unit, "domain": given.domain}
    same = sa.and_(*(_G[column] == value for column, value in key.items()))
    kept = (await connection.execute(sa.select(_G.id, _G.until).where(same))).first()
    if kept is not None and kept[1] == given.until:
        return person
    if kept is None:
        await connection.execute(
            sa.insert(grants).values(**key, until=given.until, created=now_us(), created_by=_name_of(by))
        )
    else:
        if given.until is not None:
            await _check_administrators(connection, person, leaving=Grant(given.role, given.unit, given.domain))
        await connection.execute(sa.update(grants).where(_G.id == kept[0]).values(until=given.until))
    await _touch(connection, person)
    await append_async(connection, [Entry(by, "grant.add", f"person:{person.login}", asdict(given))])
    return await get_person(connection, person.id)


async def revoke(
    connection: AsyncConnection,
    login: str,
    role: str,
    *,
    unit: str = PROVINCE_CODE,
    domain: str = "",
    by: Who | str = "",
) -> Person:
    """Take a role from a person.

    Raises:
        NotFoundError: they do not have it there.
        ConflictError: they are the last administrator.
    """
    await begin_change(connection)
    person = await get_person(connection, login)
    taken = Grant(_known_role(role), await known_unit(connection, unit), clean_domain(domain))
    await _check_administrators(connection, person, leaving=taken)
    gone = await connection.execute(
        sa.delete(grants).where(
            _G.person_id == person.id, _G.role == taken.role, _G.unit == taken.unit, _G.domain == taken.domain
        )
    )
    if not gone.rowcount:
        within = f" for domain {domain}" if domain else ""
        raise NotFoundError(
            f"{person.login!r} is not {role} in {taken.unit}{within}",
            where="role",
            hint="`thap people list` shows who has which role where",
        )
    await _touch(connection, person)
    detail = {"role": taken.role, "unit": taken.unit, "domain": taken.domain}
    await append_async(connection, [Entry(by, "grant.remove", f"person:{person.login}", detail)])
    return await get_person(connection, person.id)


async def clear(
    connection: AsyncConnection, login: str, kind: str, ref: str, *, until: int | None = None, by: Who | str = ""
) -> Person:
    """Let a person see a restricted thing, domain or unit; again moves its end.

    Raises:
        NotFoundError: there is no such person, or restriction.
        InputError: it would have ended already.
    """
    end = clean_until(until)
    await begin_change(connection)
    person = await get_person(connection, login)
    limit = await known_restriction(connection, kind, ref)
    key = {"person_id": person.id, "kind": limit.kind, "ref": limit.ref}
    same = sa.and_(*(_C[column] == value for column, value in key.items()))
    if (await connection.execute(sa.update(clearances).where(same).values(until=end))).rowcount == 0:
        await connection.execute(
            sa.insert(clearances).values(**key, until=end, created=now_us(), created_by=_name_of(by))
        )
    await _touch(connection, person)
    entry = Entry(by, "clearance.add", f"person:{person.login}", {"kind": kind, "ref": limit.ref, "until": end})
    await append_async(connection, [entry])
    return await get_person(connection, person.id)


async def unclear(connection: AsyncConnection, login: str, kind: str, ref: str, *, by: Who | str = "") -> Person:
    """Take a clearance back.

    Raises:
        NotFoundError: there is none.
    """
    await begin_change(connection)
    person = await get_person(connection, login)
    gone = await connection.execute(
        sa.delete(clearances).where(_C.person_id == person.id, _C.kind == kind, _C.ref == ref)
    )
    if not gone.rowcount:
        raise NotFoundError(f"{person.login!r} has no clearance for {kind} {ref}", where="clearance")
    await _touch(connection, person)
    entry = Entry(by, "clearance.remove", f"person:{person.login}", {"kind": kind, "ref": ref})
    await append_async(connection, [entry])
    return await get_person(connection, person.id)


async def _touch(connection: AsyncConnection, person: Person, **values: Any) -> None:
    await connection.execute(
        sa.update(people).where(_P.id == person.id).values(**values, changed=now_us(), version=_P.version + 1)
    )


async def _check_administrators(connection: AsyncConnection, person: Person, leaving: Grant | None) -> None:
    """Somebody must stay who can let others in: without an end, in the whole province.

    Args:
        connection: in a write transaction begun with `begin_change`.
        person: who changes.
        leaving: the grant they lose; None for all of them.

    Raises:
        ConflictError: they are the last.
    """
    full = Grant("administrator", PROVINCE_CODE)
    if person.disabled or full not in person.grants or (leaving is not None and leaving != full):
        return
    another = await connection.scalar(
        sa.select(_P.id)
        .join_from(people, grants)
        .where(
            _P.id != person.id,
            _P.disabled.is_(None),
            _G.role == full.role,
            _G.unit == full.unit,
            _G.domain == "",
            _G.until.is_(None),
        )
        .limit(1)
    )
    if another is None:
        raise ConflictError(
            f"{person.login!r} is the last administrator of the province",
            where="role",
            hint="make another one first: thap people grant LOGIN administrator",
        )


def _check_version(person: Person, version: int | None) -> None:
    if version is not None and version != person.version:
        raise ConflictError(
            f"{person.login!r} changed since version {version}, it is at {person.version}",
            where="version",
            hint="read it again",
        )


async def check_on_hand(connection: AsyncConnection, logins: Iterable[str], where: str) -> None:
    """See that all of these are people here and not disabled.

    Raises:
        InputError: one is not.
    """
    wanted = sorted(set(logins))
    found: dict[str, int | None] = {}
    for first in range(0, len(wanted), 500):
        asked = sa.select(_P.login, _P.disabled).where(_P.login.in_(wanted[first : first + 500]))
        found |= {str(row[0]): row[1] for row in await connection.execute(asked)}
    hint = "`thap people list` shows those there are"
    for login in wanted:
        if login not in found:
            raise InputError(f"there is no person {login!r}", where=where, hint=hint)
        if found[login] is not None:
            raise InputError(f"{login!r} is disabled", where=where, hint=hint)


def check_role(role: str) -> str:
    """A role a person can have.

    Raises:
        InputError: it is none.
    """
    return _known_role(role)


def _known_role(role: str) -> str:
    if role not in GIVEN_ROLES:
        raise InputError(f"{role[:64]!r} is not a role", where="role", hint=f"one of {', '.join(GIVEN_ROLES)}")
    return role


def _known_language(language: str) -> str:
    if language not in _LANGUAGES:
        raise InputError(f"{language[:64]!r} is not a language here", where="language", hint="vi or en")
    return language


def _name_of(by: Who | str) -> str:
    return (by if isinstance(by, str) else by.name)[:64]


_CLEANED = {
    "name": lambda text: clean_words(text, 128, "name"),
    "email": clean_email,
    "phone": clean_phone,
    "language": _known_language,
}

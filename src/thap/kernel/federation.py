"""People who sign in with another system: what its claims make of them here.

    claims ──▶ Claimed (login, name, unit, grants) ── resolve ──▶ the person, linked, with these grants

Grants that came with claims are marked as the issuer's and kept in step at each sign-in; grants that people gave
here stay as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.accounts import Accounts, Person, SignInError, link_identity
from thap.kernel.errors import ConflictError, InputError
from thap.kernel.policy import Grant, seed
from thap.kernel.policy.people import GIVEN_ROLES, add_person, clean_login, edit_person, grant, revoke
from thap.kernel.policy.records import grants, people
from thap.kernel.records import Records
from thap.kernel.settings import OidcSettings
from thap.kernel.units import PROVINCE_CODE

__all__ = ["Claimed", "UnknownPersonError", "read_claims", "resolve"]


class UnknownPersonError(SignInError):
    """The issuer vouches for somebody who has no account here."""

    code = "issuer_unknown"


@dataclass(frozen=True, slots=True)
class Claimed:
    """What an issuer says of a person, in the words of this centre."""

    subject: str
    login: str
    name: str = ""
    unit: str = ""
    """Code of a unit; '' where the issuer says none that is known here."""
    grants: tuple[Grant, ...] = ()


def read_claims(settings: OidcSettings, claims: Mapping[str, Any]) -> Claimed:
    """The claims by the issuer's settings. What is no text, or not in a mapping, counts as not said."""
    unit = settings.units.get(_text(claims.get(settings.unit_claim)), "") if settings.unit_claim else ""
    said = claims.get(settings.roles_claim) if settings.roles_claim else None
    values = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    found: dict[Grant, None] = {}
    for value in values:
        for text in settings.roles.get(value, ()) if isinstance(value, str) else ():
            if (one := _grant(text, unit)) is not None:
                found[one] = None
    return Claimed(
        _text(claims.get("sub")),
        _text(claims.get(settings.login_claim)).lower(),
        _text(claims.get(settings.name_claim))[:128],
        unit,
        tuple(found),
    )


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _grant(text: str, own_unit: str) -> Grant | None:
    """`role`, `role@unit`, `role@unit/domain`; `role@` is the person's own unit, and nothing where it is unknown.

    Raises:
        InputError: the settings name a role that does not exist.
    """
    role, at, place = text.partition("@")
    if role not in GIVEN_ROLES:
        raise InputError(f"{role!r} is not a role", where="sign_in.issuers.roles", hint=", ".join(GIVEN_ROLES))
    unit, _, domain = place.partition("/")
    if at and not unit:
        if not own_unit:
            return None
        unit = own_unit
    return Grant(role, unit or PROVINCE_CODE, domain)


async def resolve(
    records: Records,
    accounts: Accounts,
    settings: OidcSettings,
    claimed: Claimed,
    *,
    link: int | None = None,
    address: str = "",
) -> tuple[Person, bool]:
    """The person whom the issuer vouches for, and whether anything about them changed.

    Args:
        records: where people are kept.
        accounts: how they prove who they are.
        settings: the issuer's.
        claimed: what it says.
        link: the signed-in person who asked to be linked; None to sign in.
        address: where they are.

    Raises:
        UnknownPersonError: there is no such person here, and the settings make none.
        SignInError: the person is disabled.
        ConflictError: the identity, or the login, is somebody else's.
    """
    known = await accounts.of_identity(settings.issuer, claimed.subject)
    changed = False
    if link is not None:
        if known is not None and known.id != link:
            raise ConflictError("this identity is linked to somebody else", hint="an administrator can unlink it")
        person = await accounts.person(link)
    elif known is not None:
        person = known
    else:
        person = await _find_or_make(records, accounts, settings, claimed)
    if person.disabled:
        raise SignInError("this account is disabled", hint="an administrator can enable it")
    async with records.write() as connection:
        if known is None:
            await link_identity(
                connection, person.id, settings.issuer, claimed.subject, by=person.login, address=address
            )
        if link is None:
            changed = await _keep_in_step(connection, settings, claimed, person)
    return person, changed


async def _find_or_make(records: Records, accounts: Accounts, settings: OidcSettings, claimed: Claimed) -> Person:
    unknown = UnknownPersonError(
        f"the issuer {settings.name!r} vouches for {claimed.login or claimed.subject!r}, who has no account here",
        hint="an administrator adds them: thap people add LOGIN; then they sign in and link the identity",
    )
    try:
        login = clean_login(claimed.login)
    except (InputError, ConflictError):
        raise unknown from None
    async with records.read() as connection:
        number = await connection.scalar(sa.select(people.c.id).where(people.c.login == login))
    if number is not None:
        if settings.adopt:
            return await accounts.person(int(number))
        if not settings.create:
            raise unknown
        raise ConflictError(
            f"the login {login!r} is somebody else's here", hint="sign in here first, then link the identity"
        )
    if not settings.create:
        raise unknown
    async with records.write() as connection:
        await seed(connection)
        made = await add_person(
            connection, login, name=claimed.name, unit=claimed.unit or PROVINCE_CODE, by=_issuer(settings)
        )
    return await accounts.person(made.id)


async def _keep_in_step(connection: AsyncConnection, settings: OidcSettings, claimed: Claimed, person: Person) -> bool:
    """Name, unit and the issuer's own grants as it says them now; whether that changed anything."""
    by = _issuer(settings)
    changes = {"name": claimed.name, "unit": claimed.unit}
    kept = (await connection.execute(sa.select(people.c.name, people.c.unit).where(people.c.id == person.id))).one()
    told = {
        key: value for key, value, had in zip(changes, changes.values(), kept, strict=True) if value and value != had
    }
    if told:
        await edit_person(connection, person.login, told, by=by)
    rows = await connection.execute(
        sa.select(grants.c.role, grants.c.unit, grants.c.domain, grants.c.created_by).where(
            grants.c.person_id == person.id
        )
    )
    held = {Grant(role, unit, domain): giver for role, unit, domain, giver in rows}
    gone = [one for one, giver in held.items() if giver == by and one not in claimed.grants]
    new = [one for one in claimed.grants if one not in held] if settings.roles_claim else []
    for one in new:
        await grant(connection, person.login, one.role, unit=one.unit, domain=one.domain, by=by)
    if settings.roles_claim:
        for one in gone:
            with contextlib.suppress(ConflictError):  # the last administrator stays one
                await revoke(connection, person.login, one.role, unit=one.unit, domain=one.domain, by=by)
    return bool(told or new or gone)


def _issuer(settings: OidcSettings) -> str:
    """How the issuer is named as the giver of grants."""
    return f"oidc:{settings.name}"

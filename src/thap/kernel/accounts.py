"""Local accounts: passwords, one-time links, a second factor, identities of other issuers. No HTTP.

    first start, or a forgotten password ── one_time_link ──▶ redeem: a new password
    login + password [+ code] ── Accounts.sign_in ──▶ the person, or an error that says no more than it must

People themselves, and what they may do, are `thap.kernel.policy`'s; here is only how they prove who they are.
Nothing here starts a session (`thap.kernel.sessions`), and nothing but what is hashed or needed is kept.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError, UnauthenticatedError
from thap.kernel.lockout import Lockout, prune_failures
from thap.kernel.passwords import check_rules, hash_password, is_right, needs_new_hash
from thap.kernel.policy import Who, seed
from thap.kernel.policy.changing import begin_change
from thap.kernel.policy.people import add_person, any_person, grant
from thap.kernel.policy.records import people
from thap.kernel.records import Records, metadata
from thap.kernel.second_factor import accepted_step, new_codes, new_secret, recovery_hash
from thap.kernel.sessions import end_sessions
from thap.kernel.settings import SignInSettings

__all__ = [
    "Accounts",
    "CodeNeededError",
    "Person",
    "SignInError",
    "WrongCodeError",
    "credentials",
    "first_administrator",
    "identities",
    "link_identity",
    "link_path",
    "nobody_can_sign_in",
    "one_time_link",
    "one_time_links",
    "recovery_codes",
]

credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("person_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("password", sa.String(200)),  # argon2id; NULL for none
    sa.Column("password_set", sa.BigInteger),  # µs
    sa.Column("totp_secret", sa.String(64)),  # in force
    sa.Column("totp_pending", sa.String(64)),  # shown, not yet confirmed
    sa.Column("totp_step", sa.BigInteger, nullable=False, server_default="0"),  # the last code taken
)
recovery_codes = sa.Table(
    "recovery_codes",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("person_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("used", sa.BigInteger),  # µs
)
one_time_links = sa.Table(
    "one_time_links",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),  # SHA-256 of the secret
    sa.Column("person_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("purpose", sa.String(16), nullable=False),  # password, or everything: the second factor goes too
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger),
)
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("issuer", sa.String(255), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("person_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("linked", sa.BigInteger, nullable=False),  # µs
    sa.Column("used", sa.BigInteger, nullable=False),  # µs, the last sign-in
)


class SignInError(UnauthenticatedError):
    """Login or password is wrong, or the account may not sign in; which of them is not said."""

    code: ClassVar[str] = "sign_in_refused"


class CodeNeededError(UnauthenticatedError):
    """The password is right; the code of the second factor is needed too."""

    code: ClassVar[str] = "code_needed"


class WrongCodeError(UnauthenticatedError):
    """The code of the second factor is wrong, old, or was used before."""

    code: ClassVar[str] = "code_wrong"


@dataclass(frozen=True, slots=True)
class Person:
    """Who signs in."""

    id: int
    login: str
    name: str
    disabled: bool
    password: str | None = None
    """The hash."""
    totp: str | None = None
    """The secret of the second factor in force."""


def link_path(secret: str) -> str:
    """Where a one-time link leads on the centre's page. Behind the #, so that no server writes it down."""
    return f"/#link={secret}"


async def one_time_link(
    connection: AsyncConnection,
    person_id: int,
    *,
    purpose: Literal["password", "everything"] = "password",
    hours: float = 24,
    by: str = "",
) -> str:
    """The secret of a new link with which a person sets a password, once; see `link_path`. Earlier ones end.

    Args:
        connection: in a write transaction.
        person_id: whose.
        purpose: `everything` also switches the second factor off, for who lost it.
        hours: how long it is good.
        by: who made it.
    """
    secret, now = secrets.token_urlsafe(32), now_us()
    await connection.execute(
        sa.update(one_time_links)
        .where(one_time_links.c.person_id == person_id, one_time_links.c.used.is_(None))
        .values(expires=sa.case((one_time_links.c.expires < now, one_time_links.c.expires), else_=now))
    )
    await connection.execute(
        sa.insert(one_time_links).values(
            hash=_hash(secret),
            person_id=person_id,
            purpose=purpose,
            created=now,
            created_by=by,
            expires=now + round(hours * HOUR_US),
        )
    )
    return secret


async def first_administrator(records: Records, login: str = "administrator", hours: float = 24) -> str | None:
    """Where there is nobody yet: an administrator, and the secret of the link that lets them in; else None.

    Several starts at once make one.
    """
    async with records.read() as connection:
        if await any_person(connection):
            return None
    async with records.write() as connection:
        await begin_change(connection)  # the second start waits here
        if await any_person(connection):
            return None
        await seed(connection)
        by = Who.system()
        person = await add_person(connection, login, by=by)
        await grant(connection, login, "administrator", by=by)
        return await one_time_link(connection, person.id, hours=hours)


async def nobody_can_sign_in(connection: AsyncConnection) -> bool:
    """Whether no person has a password or an identity elsewhere yet."""
    for table, column in ((credentials, credentials.c.password), (identities, identities.c.person_id)):
        if await connection.scalar(sa.select(table.c.person_id).where(column.is_not(None)).limit(1)) is not None:
            return False
    return True


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _clean(login: str) -> str:
    text = unicodedata.normalize("NFC", login).strip().lower()[:64]
    return text if text.isprintable() else "?"  # nobody's; databases stumble over NUL


class Accounts:
    """How people prove who they are.

    Args:
        records: where accounts are kept.
        settings: tries, waits, lifetimes.
    """

    def __init__(self, records: Records, settings: SignInSettings) -> None:
        self._records = records
        self._lockout = Lockout(settings.tries, settings.first_wait_s, settings.longest_wait_s)

    # ---- signing in

    async def sign_in(self, login: str, password: str, code: str = "", *, address: str = "") -> Person:
        """The person with this login and password, and with this code where a second factor is on.

        Raises:
            SignInError: login or password is wrong, or the account is disabled.
            CodeNeededError: all is right but the code is missing.
            WrongCodeError: the code is wrong, old, or was used before.
            TooManyTriesError: the account or the address has failed too often.
        """
        login = _clean(login)
        last = await self._take(login, address)
        person = await self._find(login)
        right = await is_right(person.password if person else None, password)
        if person is None or not right or person.disabled:
            await self._failed(login, address, "wrong password" if person else "unknown login", last)
            raise SignInError("login or password is wrong", hint="an administrator can give a one-time link")
        if person.totp is not None:
            if not code.strip():
                await self._give_back(login, address, forget=False)
                raise CodeNeededError("the code of the second factor is needed", where="code")
            if not await self._take_code(person, code):
                await self._failed(login, address, "wrong code", last)
                raise WrongCodeError("this code is wrong, old, or was used before", where="code")
        await self._give_back(login, address, forget=True)
        if person.password is not None and needs_new_hash(person.password):
            await self._keep(person.id, password=await hash_password(password))
        return person

    async def prove(self, person_id: int, password: str, *, address: str = "") -> Person:
        """The signed-in person, who gives the password again before something weighty.

        Raises:
            SignInError: it is wrong.
            TooManyTriesError: it was wrong too often.
        """
        person = await self.person(person_id)
        last = await self._take(person.login, address)
        if not await is_right(person.password, password):
            await self._failed(person.login, address, "wrong password", last)
            raise SignInError("the password is wrong", where="password")
        await self._give_back(person.login, address, forget=True)
        return person

    async def person(self, person_id: int) -> Person:
        """A person by number.

        Raises:
            NotFoundError: there is none.
        """
        async with self._records.read() as connection:
            found = await _person(connection, people.c.id == person_id)
        if found is None:
            raise NotFoundError("this person does not exist")
        return found

    async def _find(self, login: str) -> Person | None:
        async with self._records.read() as connection:
            return await _person(connection, people.c.login == login)

    async def _take(self, login: str, address: str) -> bool:
        async with self._records.write() as connection:
            return await self._lockout.take(connection, login, address)

    async def _give_back(self, login: str, address: str, *, forget: bool) -> None:
        async with self._records.write() as connection:
            await self._lockout.give_back(connection, login, address, forget=forget)

    async def _failed(self, login: str, address: str, why: str, last: bool) -> None:
        entries = [Entry(Who.anonymous(), "sign_in.failed", f"person:{login}", {"why": why}, address)]
        if last:
            entries.append(Entry(Who.anonymous(), "sign_in.locked", f"person:{login}", {}, address))
        async with self._records.write() as connection:
            await append_async(connection, entries)
            if last:
                await prune_failures(connection)

    # ---- passwords and links

    async def set_password(
        self, person_id: int, password: str, *, by: Who | str, address: str = "", keep: int | None = None
    ) -> None:
        """Set a password; all the person's sessions but `keep` end, and links not yet used too.

        Raises:
            InputError: the password is no good.
            NotFoundError: the person does not exist.
        """
        person = await self.person(person_id)
        check_rules(password, person.login)
        kept = await hash_password(password)
        async with self._records.write() as connection:
            await self._new_password(connection, person, kept, keep)
            await append_async(connection, [Entry(by, "password.set", f"person:{person.login}", {}, address)])

    async def redeem(self, secret: str, password: str, code: str = "", *, address: str = "") -> Person:
        """Set a password by a one-time link, which is used up by it.

        Raises:
            SignInError: the link is unknown, used, or over; or the account is disabled.
            CodeNeededError: a second factor is on and no code was given; the link stays good.
            WrongCodeError: its code is wrong; the link stays good.
            InputError: the password is no good; the link stays good.
            TooManyTriesError: wrong codes were given too often.
        """
        person, purpose = await self._of_link(secret)
        check_rules(password, person.login)
        if person.totp is not None and purpose != "everything":
            await self._check_code(person, code, address)
        kept = await hash_password(password)
        now = now_us()
        async with self._records.write() as connection:
            used = await connection.execute(sa.update(one_time_links).where(_good(secret, now)).values(used=now))
            if used.rowcount != 1:
                raise _link_over()
            await self._new_password(connection, person, kept, None)
            if purpose == "everything":
                await _drop_second_factor(connection, person.id)
            entry = Entry(person.login, "link.used", f"person:{person.login}", {"purpose": purpose}, address)
            await append_async(connection, [entry])
            await self._lockout.give_back(connection, person.login, "", forget=True)
        return person

    async def login_of_link(self, secret: str) -> str:
        """Whose link this is.

        Raises:
            SignInError: it is unknown, used, or over; or the account is disabled.
        """
        return (await self._of_link(secret))[0].login

    async def _of_link(self, secret: str) -> tuple[Person, str]:
        async with self._records.read() as connection:
            link = (
                await connection.execute(
                    sa.select(one_time_links.c.person_id, one_time_links.c.purpose).where(_good(secret, now_us()))
                )
            ).first()
            person = await _person(connection, people.c.id == link[0]) if link else None
        if link is None or person is None or person.disabled:
            raise _link_over()
        return person, str(link[1])

    async def _check_code(self, person: Person, code: str, address: str) -> None:
        if not code.strip():
            raise CodeNeededError("the code of the second factor is needed", where="code")
        last = await self._take(person.login, address)
        if not await self._take_code(person, code):
            await self._failed(person.login, address, "wrong code", last)
            raise WrongCodeError("this code is wrong, old, or was used before", where="code")
        await self._give_back(person.login, address, forget=False)

    async def _new_password(self, connection: AsyncConnection, person: Person, kept: str, keep: int | None) -> None:
        await _keep(connection, person.id, password=kept, password_set=now_us())
        await end_sessions(connection, person.id, "password changed", keep=keep)
        await connection.execute(
            sa.update(one_time_links)
            .where(one_time_links.c.person_id == person.id, one_time_links.c.used.is_(None))
            .values(used=now_us())
        )

    async def _keep(self, person_id: int, **values: Any) -> None:
        async with self._records.write() as connection:
            await _keep(connection, person_id, **values)

    # ---- second factor

    async def begin_totp(self, person_id: int) -> str:
        """A new secret to be put into an authenticator; in force once `confirm_totp` has seen a code of it.

        Raises:
            ConflictError: a second factor is on already.
        """
        person = await self.person(person_id)
        if person.totp is not None:
            raise ConflictError("a second factor is on already", hint="switch it off first")
        secret = new_secret()
        await self._keep(person_id, totp_pending=secret)
        return secret

    async def confirm_totp(self, person_id: int, code: str, *, address: str = "") -> list[str]:
        """Switch the second factor on; gives the recovery codes, which are never shown again.

        Raises:
            ConflictError: none was begun.
            WrongCodeError: the code is not of the secret shown.
        """
        person = await self.person(person_id)
        async with self._records.read() as connection:
            pending = await connection.scalar(
                sa.select(credentials.c.totp_pending).where(credentials.c.person_id == person_id)
            )
        if not pending:
            raise ConflictError("no second factor is being set up", hint="begin again")
        step = accepted_step(pending, code, 0)
        if step is None:
            raise WrongCodeError("this code is wrong or old", where="code", hint="is the clock of the device right?")
        codes = new_codes()
        async with self._records.write() as connection:
            done = await connection.execute(
                sa.update(credentials)
                .where(credentials.c.person_id == person_id, credentials.c.totp_pending == pending)
                .values(totp_secret=pending, totp_pending=None, totp_step=step)
            )
            if done.rowcount != 1:
                raise ConflictError("the second factor was set up elsewhere meanwhile", hint="look again")
            await connection.execute(sa.delete(recovery_codes).where(recovery_codes.c.person_id == person_id))
            await connection.execute(
                sa.insert(recovery_codes), [{"hash": recovery_hash(code), "person_id": person_id} for code in codes]
            )
            await append_async(connection, [Entry(person.login, "totp.on", f"person:{person.login}", {}, address)])
        return codes

    async def end_totp(self, person_id: int, *, by: Who | str, address: str = "") -> None:
        """Switch the second factor off."""
        person = await self.person(person_id)
        async with self._records.write() as connection:
            await _drop_second_factor(connection, person_id)
            await append_async(connection, [Entry(by, "totp.off", f"person:{person.login}", {}, address)])

    async def recovery_left(self, person_id: int) -> int:
        """Recovery codes not yet used."""
        async with self._records.read() as connection:
            left = await connection.scalar(
                sa.select(sa.func.count())
                .select_from(recovery_codes)
                .where(recovery_codes.c.person_id == person_id, recovery_codes.c.used.is_(None))
            )
        return int(left or 0)

    async def _take_code(self, person: Person, code: str) -> bool:
        """Whether the code is good; it is not good again. Recovery codes count once each."""
        assert person.totp is not None
        async with self._records.write() as connection:
            known = await connection.scalar(
                sa.select(credentials.c.totp_step).where(credentials.c.person_id == person.id)
            )
            step = accepted_step(person.totp, code, int(known or 0))
            if step is not None:
                taken = await connection.execute(
                    sa.update(credentials)
                    .where(
                        credentials.c.person_id == person.id,
                        credentials.c.totp_secret == person.totp,
                        credentials.c.totp_step < step,
                    )
                    .values(totp_step=step)
                )
                return taken.rowcount == 1
            used = await connection.execute(
                sa.update(recovery_codes)
                .where(
                    recovery_codes.c.hash == recovery_hash(code),
                    recovery_codes.c.person_id == person.id,
                    recovery_codes.c.used.is_(None),
                )
                .values(used=now_us())
            )
            if used.rowcount == 1:
                entry = Entry(person.login, "recovery_code.used", f"person:{person.login}", {}, "")
                await append_async(connection, [entry])
            return used.rowcount == 1

    # ---- identities of other issuers

    async def of_identity(self, issuer: str, subject: str) -> Person | None:
        """The person an issuer's subject is linked to."""
        async with self._records.write() as connection:
            number = await connection.scalar(
                sa.select(identities.c.person_id).where(identities.c.issuer == issuer, identities.c.subject == subject)
            )
            if number is None:
                return None
            await connection.execute(
                sa.update(identities)
                .where(identities.c.issuer == issuer, identities.c.subject == subject)
                .values(used=now_us())
            )
            return await _person(connection, people.c.id == number)

    async def identities_of(self, person_id: int) -> list[dict[str, Any]]:
        """The identities linked to a person: issuer, linked, used."""
        async with self._records.read() as connection:
            rows = await connection.execute(
                sa.select(identities.c.issuer, identities.c.subject, identities.c.linked, identities.c.used)
                .where(identities.c.person_id == person_id)
                .order_by(identities.c.linked)
            )
            return [dict(row) for row in rows.mappings()]

    async def unlink(self, person_id: int, issuer: str, *, by: Who | str, address: str = "") -> None:
        """Forget a person's identities of an issuer.

        Raises:
            NotFoundError: there is none.
            ConflictError: it is the only way this person has to sign in.
        """
        person = await self.person(person_id)
        if person.password is None and len(await self.identities_of(person_id)) < 2:
            raise ConflictError("nothing else lets this person sign in", hint="set a password first")
        async with self._records.write() as connection:
            gone = await connection.execute(
                sa.delete(identities).where(identities.c.person_id == person_id, identities.c.issuer == issuer)
            )
            if gone.rowcount == 0:
                raise NotFoundError("no identity of this issuer is linked")
            entry = Entry(by, "identity.unlinked", f"person:{person.login}", {"issuer": issuer}, address)
            await append_async(connection, [entry])


async def link_identity(
    connection: AsyncConnection, person_id: int, issuer: str, subject: str, *, by: Who | str, address: str = ""
) -> None:
    """Let an issuer's subject sign in as a person.

    Raises:
        InputError: the issuer's subject is empty or too long.
        ConflictError: it is somebody else's already.
    """
    if not subject or len(subject) > 255:
        raise InputError("the issuer named no usable subject", where="sub")
    now = now_us()
    kept = await connection.scalar(
        sa.select(identities.c.person_id).where(identities.c.issuer == issuer, identities.c.subject == subject)
    )
    if kept == person_id:
        return
    if kept is not None:
        raise ConflictError("this identity is linked to somebody else", hint="an administrator can unlink it")
    await connection.execute(
        sa.insert(identities).values(issuer=issuer, subject=subject, person_id=person_id, linked=now, used=now)
    )
    await append_async(connection, [Entry(by, "identity.linked", f"person:{person_id}", {"issuer": issuer}, address)])


def _good(secret: str, now: int) -> sa.ColumnElement[bool]:
    return (
        (one_time_links.c.hash == _hash(secret))
        & one_time_links.c.used.is_(None)
        & (one_time_links.c.expires > now)
        & (one_time_links.c.created <= now + HOUR_US)
    )


def _link_over() -> SignInError:
    return SignInError(
        "this link is unknown, was used, or is over", hint="ask an administrator for a new one: thap people link LOGIN"
    )


async def _person(connection: AsyncConnection, where: sa.ColumnElement[bool]) -> Person | None:
    found = (
        await connection.execute(
            sa.select(
                people.c.id,
                people.c.login,
                people.c.name,
                people.c.disabled,
                credentials.c.password,
                credentials.c.totp_secret,
            )
            .select_from(people.outerjoin(credentials, credentials.c.person_id == people.c.id))
            .where(where)
        )
    ).first()
    return None if found is None else Person(found[0], found[1], found[2], found[3] is not None, found[4], found[5])


async def _keep(connection: AsyncConnection, person_id: int, **values: Any) -> None:
    kept = await connection.execute(sa.update(credentials).where(credentials.c.person_id == person_id).values(**values))
    if kept.rowcount == 0:
        await connection.execute(sa.insert(credentials).values(person_id=person_id, **values))


async def _drop_second_factor(connection: AsyncConnection, person_id: int) -> None:
    await connection.execute(
        sa.update(credentials)
        .where(credentials.c.person_id == person_id)
        .values(totp_secret=None, totp_pending=None, totp_step=0)
    )
    await connection.execute(sa.delete(recovery_codes).where(recovery_codes.c.person_id == person_id))

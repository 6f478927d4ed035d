"""The register and the quantity ledger in the records. Every version of an entry is kept; nothing is deleted.

`sand_entries` has what holds now, `sand_entry_versions` all that ever held. A change names the version it starts from.
Taking an entry out of force retires it, and that can be undone like any other change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.sand.entries import (
    PLURALS,
    BankEntry,
    Entry,
    LicenceEntry,
    Noun,
    VesselEntry,
    WharfEntry,
    ZoneEntry,
    read_entry,
)
from thap.domains.sand.model import Book
from thap.domains.sand.writing_styles import fold
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, NotFoundError
from thap.kernel.policy import Resource
from thap.kernel.records import metadata

__all__ = [
    "DOMAIN",
    "Kept",
    "book_version",
    "entries",
    "entry",
    "entry_by_id",
    "entry_versions",
    "load_book",
    "put_entry",
    "retire_entry",
    "sand_declared",
    "sand_entries",
    "sand_entry_versions",
    "sand_evidence",
    "sand_state",
    "sand_stays",
    "sand_trips",
    "sand_violations",
]

DOMAIN = "sand"
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

sand_entries = sa.Table(
    "sand_entries",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("noun", sa.String(16), nullable=False),
    sa.Column("key", sa.String(128), nullable=False),
    sa.Column("title", sa.String(300), nullable=False),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("retired", sa.Boolean, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # JSON
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(128), nullable=False),
    sa.UniqueConstraint("noun", "key"),
    sqlite_autoincrement=True,
)
sand_entry_versions = sa.Table(
    "sand_entry_versions",
    metadata,
    sa.Column("entry_id", sa.ForeignKey("sand_entries.id"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("retired", sa.Boolean, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(128), nullable=False),
)
sand_declared = sa.Table(
    "sand_declared",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("licence_id", sa.ForeignKey("sand_entries.id"), nullable=False),
    sa.Column("period", sa.String(10), nullable=False),  # 2026-11-30, or 2026-11
    sa.Column("m3", sa.Float, nullable=False),
    sa.Column("trips", sa.Integer),
    sa.Column("source", sa.String(300), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(128), nullable=False),
    sa.UniqueConstraint("licence_id", "period"),
    sqlite_autoincrement=True,
)
sand_trips = sa.Table(
    "sand_trips",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("vessel", sa.String(257), nullable=False),
    sa.Column("licence_id", _Id, index=True),
    sa.Column("day", sa.String(10), nullable=False, index=True),  # of the loading's end, in Việt Nam
    sa.Column("load_begin", sa.BigInteger, nullable=False),
    sa.Column("load_end", sa.BigInteger, nullable=False),
    sa.Column("unload_begin", sa.BigInteger, nullable=False),
    sa.Column("unload_end", sa.BigInteger),
    sa.Column("wharf_id", _Id),
    sa.Column("lon", sa.Float, nullable=False),
    sa.Column("lat", sa.Float, nullable=False),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("dredger", sa.String(257), nullable=False),
    sa.Column("hold_m3", sa.Float),
    sa.Column("confidence", sa.Float, nullable=False),
    sa.UniqueConstraint("vessel", "load_begin"),
    sqlite_autoincrement=True,
)
sand_stays = sa.Table(
    "sand_stays",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("vessel", sa.String(257), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("begin", sa.BigInteger, nullable=False),
    sa.Column("end", sa.BigInteger, nullable=False, index=True),
    sa.Column("lon", sa.Float, nullable=False),
    sa.Column("lat", sa.Float, nullable=False),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("licence_id", _Id, index=True),
    sa.Column("wharf_id", _Id),
    sa.Column("beside", sa.String(257), nullable=False),
    sa.UniqueConstraint("vessel", "begin"),
    sqlite_autoincrement=True,
)
sand_violations = sa.Table(
    "sand_violations",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("vessel", sa.String(257), nullable=False),
    sa.Column("begin", sa.BigInteger, nullable=False),
    sa.Column("end", sa.BigInteger),
    sa.Column("noticed", sa.BigInteger, nullable=False, index=True),
    sa.Column("lon", sa.Float, nullable=False),
    sa.Column("lat", sa.Float, nullable=False),
    sa.Column("commune", sa.String(16), nullable=False),
    sa.Column("licence_id", _Id, index=True),
    sa.Column("numbers", sa.Text, nullable=False),  # JSON
    sa.Column("detail", sa.Text, nullable=False),  # JSON
    sa.Column("positions", sa.Text, nullable=False),  # JSON: those that decided it
    sa.Column("book_version", sa.Integer, nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),  # JSON: name to value, as they were in force
    sa.UniqueConstraint("kind", "vessel", "begin"),
    sqlite_autoincrement=True,
)
sand_evidence = sa.Table(
    "sand_evidence",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("violation_id", sa.ForeignKey("sand_violations.id"), nullable=False, index=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("signed", sa.Boolean, nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("made_by", sa.String(128), nullable=False),
    sqlite_autoincrement=True,
)
sand_state = sa.Table(
    "sand_state",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),  # of the stream of findings, kept up to here
    sa.Column("changed", sa.BigInteger, nullable=False),
)

_E, _V = sand_entries.c, sand_entry_versions.c
ENTRY_RESOURCE = Resource(units=(_E.commune,), domain=sa.literal(DOMAIN))
"""What policy looks at."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it is kept."""

    id: int
    noun: Noun
    key: str
    commune: str
    version: int
    retired: bool
    body: dict[str, Any]
    changed: int
    """µs."""
    changed_by: str
    reason: str = ""

    @property
    def entry(self) -> Entry:
        """Its body, checked again."""
        return read_entry(self.noun, self.body)


def _kept(row: Any) -> Kept:
    return Kept(
        row.id, row.noun, row.key, row.commune, row.version, row.retired, msgspec.json.decode(row.body), row.changed,
        row.changed_by,
    )  # fmt: skip


async def entries(
    connection: AsyncConnection,
    noun: Noun | None = None,
    *,
    within: sa.ColumnElement[bool] | None = None,
    retired: bool | None = False,
) -> list[Kept]:
    """Entries by title.

    Args:
        noun: only these.
        within: those the caller may see (`Policy.where`); None for all.
        retired: whether those out of force; None for both.
    """
    statement = sa.select(sand_entries).order_by(_E.noun, _E.title, _E.id)
    if noun is not None:
        statement = statement.where(_E.noun == noun)
    if within is not None:
        statement = statement.where(within)
    if retired is not None:
        statement = statement.where(_E.retired == retired)
    return [_kept(row) for row in await connection.execute(statement)]


async def entry(
    connection: AsyncConnection, noun: Noun, key: str, within: sa.ColumnElement[bool] | None = None
) -> Kept:
    """One entry, in force or not.

    Raises:
        NotFoundError: there is none of that key, or it is not the caller's to see.
    """
    statement = sa.select(sand_entries).where(_E.noun == noun, _E.key == key)
    row = (await connection.execute(statement if within is None else statement.where(within))).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no {noun} {key!r}", hint=f"`thap sand {PLURALS[noun]} list` shows those there are"
        )
    return _kept(row)


async def entry_by_id(
    connection: AsyncConnection, number: int, within: sa.ColumnElement[bool] | None = None
) -> Kept | None:
    """One entry by its number."""
    statement = sa.select(sand_entries).where(_E.id == number)
    row = (await connection.execute(statement if within is None else statement.where(within))).one_or_none()
    return None if row is None else _kept(row)


async def entry_versions(connection: AsyncConnection, kept: Kept) -> Sequence[Kept]:
    """Every version of an entry, newest first."""
    rows = await connection.execute(
        sa.select(sand_entry_versions).where(_V.entry_id == kept.id).order_by(_V.version.desc())
    )
    return [
        Kept(
            kept.id, kept.noun, kept.key, kept.commune, row.version, row.retired, msgspec.json.decode(row.body),
            row.changed, row.changed_by, row.reason,
        )
        for row in rows
    ]  # fmt: skip


async def put_entry(
    connection: AsyncConnection,
    made: Entry,
    *,
    commune: str,
    by: str,
    expected: int | None = None,
    reason: str = "",
    retired: bool = False,
    now: int | None = None,
) -> Kept:
    """Keep an entry, as a new one or as a new version of what has its key.

    Args:
        connection: in a write transaction.
        made: what it says.
        commune: code of the commune it lies in, '' for none.
        by: who changes it.
        expected: version the caller saw, 0 for none; None replaces whatever there is.
        reason: why.
        retired: whether it is out of force from now on.
        now: µs.

    Raises:
        ConflictError: the version is another one by now.
    """
    row = (
        await connection.execute(
            sa.select(_E.id, _E.version).where(_E.noun == made.noun, _E.key == made.key).with_for_update()
        )
    ).one_or_none()
    have = 0 if row is None else int(row.version)
    if expected is not None and expected != have:
        raise _conflict(made, have)
    moment = now_us() if now is None else now
    body = msgspec.json.encode(made.model_dump(mode="json")).decode()
    values: dict[str, Any] = {
        "noun": made.noun,
        "key": made.key,
        "title": made.title[:300],
        "commune": commune[:16],
        "version": have + 1,
        "retired": retired,
        "body": body,
        "changed": moment,
        "changed_by": by[:128],
    }
    if row is None:
        try:
            async with connection.begin_nested():
                number = int(
                    (await connection.execute(sa.insert(sand_entries).values(**values).returning(_E.id))).scalar_one()
                )
        except IntegrityError:
            raise _conflict(made, 1) from None
    else:
        number = int(row.id)
        done = await connection.execute(
            sa.update(sand_entries).where(_E.id == number, _E.version == have).values(**values)
        )
        if done.rowcount != 1:
            raise _conflict(made, have)
    await connection.execute(
        sa.insert(sand_entry_versions).values(
            entry_id=number,
            version=have + 1,
            retired=retired,
            body=body,
            reason=reason[:500],
            changed=moment,
            changed_by=by[:128],
        )
    )
    return Kept(
        number, made.noun, made.key, commune, have + 1, retired, made.model_dump(mode="json"), moment, by, reason
    )


async def retire_entry(
    connection: AsyncConnection, kept: Kept, retired: bool, *, by: str, expected: int | None, reason: str = ""
) -> Kept:
    """Take an entry out of force, or put it in force again, as a new version. Raises as `put_entry`."""
    if kept.retired is retired and expected in (None, kept.version):
        return kept
    return await put_entry(
        connection, kept.entry, commune=kept.commune, by=by, expected=expected, reason=reason, retired=retired
    )


def _conflict(made: Entry, version: int) -> ConflictError:
    said = f"is at version {version} by now" if version else "is not there"
    return ConflictError(f"{made.noun} {made.title!r} {said}", hint="read it again and repeat the change")


async def book_version(connection: AsyncConnection) -> int:
    """Grows with every change of the register."""
    return int(await connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(_E.version), 0))) or 0)


async def load_book(connection: AsyncConnection) -> Book:
    """What the register says now, as detectors read it. A licence that is retired is left out like any entry."""
    return to_book(await entries(connection), await book_version(connection))


def names_of(vessels: Iterable[VesselEntry]) -> dict[str, str]:
    """Key of a vessel by whatever a licence may call it, folded; a name that two vessels have means neither."""
    known: dict[str, str] = {}
    twice: set[str] = set()
    for vessel in vessels:
        for text in {vessel.name, vessel.registration, vessel.mmsi, vessel.tracker, vessel.key} - {""}:
            folded = fold(text)
            if known.get(folded, vessel.key) != vessel.key:
                twice.add(folded)
            known[folded] = vessel.key
    return {name: key for name, key in known.items() if name not in twice}


def to_book(kept: Sequence[Kept], version: int) -> Book:
    """Entries as a Book."""
    return book_of([(one.id, one.entry) for one in kept], version)


def book_of(made: Sequence[tuple[int, Entry]], version: int = 0) -> Book:
    """Entries, each with a number, as a Book."""
    vessels = [one for _, one in made if isinstance(one, VesselEntry)]
    known = names_of(vessels)
    return Book(
        licences=tuple(one.to_licence(number, known) for number, one in made if isinstance(one, LicenceEntry)),
        vessels={one.key: one.to_vessel() for one in vessels},
        wharves=tuple(one.to_wharf(number) for number, one in made if isinstance(one, WharfEntry)),
        zones=tuple(one.to_zone(number) for number, one in made if isinstance(one, ZoneEntry)),
        banks=tuple(one.to_banks(number) for number, one in made if isinstance(one, BankEntry)),
        version=version,
    )


def changes_of(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, each with what was and what is."""
    old = before or {}
    return {name: (old.get(name), value) for name, value in after.items() if old.get(name) != value}

"""Importing into the register: what a file would change, and the change itself, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import shapely
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.sand.entries import PLURALS, Entry, Noun
from thap.domains.sand.faults import Fault, as_error
from thap.domains.sand.model import Book
from thap.domains.sand.reading import Draft, Options, Reading, read_entries
from thap.domains.sand.records import Kept, book_of, book_version, changes_of, entries, put_entry
from thap.kernel.audit import Entry as AuditEntry
from thap.kernel.audit import append_async
from thap.kernel.errors import ConflictError, InputError
from thap.kernel.grid import Locator
from thap.kernel.policy import Who

__all__ = ["Imported", "Item", "Preview", "commune_of", "import_reading", "preview", "read_book"]

Action = Literal["add", "change", "restore", "same"]


@dataclass(frozen=True, slots=True)
class Item:
    """What would become of one entry."""

    action: Action
    draft: Draft
    version: int
    """That holds now, 0 for none."""
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        made = self.draft.entry
        judged = self.draft.judged
        return {
            "action": self.action,
            "noun": made.noun,
            "key": made.key,
            "title": made.title,
            "row": self.draft.row,
            "version": self.version,
            "changes": {name: [before, after] for name, (before, after) in self.changes.items()},
            "notes": [one.as_dict() for one in self.draft.notes],
            "geometry": getattr(made, "geometry", None),
            "area_ha": judged.area_ha if judged else None,
        }


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do."""

    reading: Reading
    items: Sequence[Item]
    book: int
    """Version of the register it was compared with."""

    def count(self, action: Action) -> int:
        """How many entries it would do this to."""
        return sum(one.action == action for one in self.items)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "noun": self.reading.noun,
            "file": self.reading.name,
            "sha256": self.reading.sha256,
            "book": self.book,
            "added": self.count("add"),
            "changed": self.count("change") + self.count("restore"),
            "same": self.count("same"),
            "items": [one.as_dict() for one in self.items],
            "faults": [one.as_dict() for one in self.reading.faults],
            "unknown_columns": list(self.reading.unknown),
        }


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    preview: Preview
    kept: Sequence[Kept]


async def preview(connection: AsyncConnection, reading: Reading) -> Preview:
    """Compare a file with the register."""
    nouns: tuple[Noun, ...] = ("zone", "bank") if reading.noun == "zone" else (reading.noun,)
    known = {(one.noun, one.key): one for noun in nouns for one in await entries(connection, noun, retired=None)}
    items = [_item(draft, known.get((draft.entry.noun, draft.entry.key))) for draft in reading.drafts]
    return Preview(reading, items, await book_version(connection))


def _item(draft: Draft, before: Kept | None) -> Item:
    if before is None:
        return Item("add", draft, 0)
    changes = changes_of(before.body, draft.entry.model_dump(mode="json"))
    if before.retired:
        return Item("restore", draft, before.version, changes)
    return Item("change" if changes else "same", draft, before.version, changes)


async def import_reading(
    connection: AsyncConnection,
    reading: Reading,
    locator: Locator,
    who: Who | str,
    *,
    skip_bad: bool = False,
    book: int | None = None,
    address: str = "",
) -> Imported:
    """Keep what a file says, all of it or nothing.

    Args:
        connection: in a write transaction.
        reading: of the file.
        locator: finds the commune an entry counts to.
        who: imports it.
        skip_bad: take the good rows where some cannot be taken.
        book: version of the register that the caller's preview was compared with; None does not ask.
        address: network address of who imports.

    Raises:
        InputError: there are faults, and `skip_bad` is not set; or nothing in it can be taken.
        ConflictError: the register is another one than the preview's.
    """
    if reading.faults and (not skip_bad or not reading.drafts):
        raise as_error(
            reading.faults,
            reading.name,
            "nothing was imported: correct these rows"
            + (", or import the others with --skip-bad (skip_bad)" if reading.drafts else ""),
        )
    if not reading.drafts:
        raise InputError("there is nothing in the file to import", where=reading.name, hint="choose another file")
    found = await preview(connection, reading)
    if book is not None and book != found.book:
        raise ConflictError("the register changed since the preview", hint="look at the preview again, then import")
    name = who if isinstance(who, str) else who.name
    reason = f"{reading.name} sha256:{reading.sha256[:16]}"
    kept = [
        await put_entry(
            connection, item.draft.entry, commune=commune_of(locator, item.draft.entry), by=name,
            expected=item.version, reason=reason,
        )
        for item in found.items
        if item.action != "same"
    ]  # fmt: skip
    if kept:
        told = {
            "file": reading.name,
            "sha256": reading.sha256,
            "added": found.count("add"),
            "changed": len(kept) - found.count("add"),
            "left_out": len(reading.faults),
        }
        await append_async(connection, [AuditEntry(who, "sand.import", f"sand:{PLURALS[reading.noun]}", told, address)])
    return Imported(found, kept)


def commune_of(locator: Locator, made: Entry) -> str:
    """Code of the commune an entry lies in; '' for none."""
    shape = made.shape
    if shape is None:
        return ""
    middle = shapely.centroid(shape)
    index = int(locator.commune_of(middle.x, middle.y)[0])
    return locator.communes[index].code if index >= 0 else ""


def read_book(
    licences: Path | None = None,
    vessels: Path | None = None,
    wharves: Path | None = None,
    zones: Path | None = None,
    *,
    meridian: float | None = None,
    skip_bad: bool = False,
) -> tuple[Book, list[Fault]]:
    """A Book from files, without a centre; numbers of entries count from 1 within each file.

    Returns:
        The book, and the faults of rows left out.

    Raises:
        InputError: a file cannot be read, or has faults and `skip_bad` is not set.
    """
    made: list[tuple[int, Entry]] = []
    left: list[Fault] = []
    given: tuple[tuple[Noun, Path | None], ...] = (
        ("licence", licences), ("vessel", vessels), ("wharf", wharves), ("zone", zones),
    )  # fmt: skip
    for noun, path in given:
        if path is None:
            continue
        reading = read_entries(noun, path.read_bytes(), path.name, Options(meridian=meridian))
        if reading.faults and not skip_bad:
            raise as_error(reading.faults, path.name, "correct these rows")
        left += reading.faults
        made += [(number, draft.entry) for number, draft in enumerate(reading.drafts, 1)]
    return book_of(made), left

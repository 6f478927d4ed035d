"""The incident book: every change to an incident goes through it, by people, rules and clocks.

Rows are locked before they are judged, and the event is written in the same transaction with what followers make
of it (tasks, timers, notices) and with the entry of the audit log: whatever many writers do at once, the kept
events of an incident form one legal life, and nothing that hangs on one is ever without the other.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from thap.kernel.clock import now_us
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction, open_store
from thap.respond.incidents import records as rows_of
from thap.respond.incidents.followers import default_followers
from thap.respond.incidents.listing import IncidentFilter, IncidentSort, Scope, list_rows
from thap.respond.incidents.model import (
    Act,
    Draft,
    Follower,
    Incident,
    IncidentEvent,
    IncidentLink,
    IncidentPage,
    NewLink,
)
from thap.respond.incidents.states import IncidentAction, IncidentLife, LifeCycle
from thap.respond.incidents.writing import Writing

__all__ = ["IncidentBook", "act", "open_many", "split"]

_ALL = IncidentFilter()
_LIFE = IncidentLife()


def act(
    tx: Transaction, acts: Sequence[Act], followers: Sequence[Follower] | None = None, life: LifeCycle = _LIFE
) -> list[IncidentEvent]:
    """Do acts in a transaction of the caller: all or none. For handlers of timers and other parts.

    An action of a name that is not in `IncidentAction` (as `task_late`) is an event that changes no state. Rows are
    locked in the order of their numbers, so give all acts of a transaction in one call. The caller announces the
    events after the commit. A follower that calls this gives `followers=()`.

    Raises:
        NotFoundError, ConflictError, InputError: as the methods of the book; let it roll back the transaction.
    """
    writing = Writing(tx, now_us(), life, default_followers() if followers is None else followers)
    asked = [one.incident for one in acts] + [one.detail.get("into") for one in acts]
    writing.hold(number for number in asked if isinstance(number, int))
    for one in acts:
        writing.act(one)
    return writing.finish()


def open_many(
    tx: Transaction,
    drafts: Sequence[Draft],
    by: str = "",
    followers: Sequence[Follower] | None = None,
    life: LifeCycle = _LIFE,
) -> list[IncidentEvent]:
    """Open incidents in a transaction of the caller; returns their events `open`, in order.

    Raises:
        InputError: a draft does not hold together.
    """
    writing = Writing(tx, now_us(), life, default_followers() if followers is None else followers)
    for draft in drafts:
        writing.open(draft, by)
    return writing.finish()


def split(
    tx: Transaction,
    one: Act,
    links: Sequence[int],
    title: str = "",
    followers: Sequence[Follower] | None = None,
    life: LifeCycle = _LIFE,
) -> list[IncidentEvent]:
    """`IncidentBook.split` in a transaction of the caller."""
    writing = Writing(tx, now_us(), life, default_followers() if followers is None else followers)
    writing.split(one, links, title)
    return writing.finish()


class IncidentBook:
    """The incidents of one centre. Safe for many tasks; every process opens its own.

    After each call that returns events the caller announces them (`model.announcement`); the book tells nobody.
    Every method that changes something takes who does it, a comment, and the version they saw (None does not
    check), and raises:

        NotFoundError: there is no such incident.
        ConflictError: it changed since that version (says what, by whom and when), or its state does not allow it.
        InputError: a value is missing, too long or out of bounds.
        BusyError, DiskFullError, UnavailableError: nothing was changed.
    """

    def __init__(
        self,
        records: Records,
        store: Store | None = None,
        followers: Sequence[Follower] | None = None,
        life: LifeCycle = _LIFE,
    ) -> None:
        """
        Args:
            records: where incidents are read.
            store: for writing; by default the book opens (and closes) its own.
            followers: by default `default_followers()`.
            life: which transitions are allowed.
        """
        self._records, self._own = records, store is None
        self._store = open_store(records) if store is None else store
        self._followers = default_followers() if followers is None else tuple(followers)
        self._life = life

    async def close_store(self) -> None:
        """Close the connection for writing, if the book opened it; the records stay open."""
        if self._own:
            await self._store.close()

    async def transact(self, acts: Sequence[Act]) -> builtins.list[IncidentEvent]:
        """Do several acts in one transaction, all or none."""
        return await self._store.transact(lambda tx: act(tx, acts, self._followers, self._life))

    async def _one(self, one: Act) -> IncidentEvent:
        return (await self.transact([one]))[0]

    # Opening.

    async def open(self, draft: Draft, by: str) -> IncidentEvent:
        """Open an incident; its number is the event's `incident`."""
        return (await self._store.transact(lambda tx: open_many(tx, [draft], by, self._followers, self._life)))[0]

    async def open_many(self, drafts: Sequence[Draft], by: str) -> builtins.list[IncidentEvent]:
        """Open several in one transaction."""
        return await self._store.transact(lambda tx: open_many(tx, drafts, by, self._followers, self._life))

    # Its life.

    async def acknowledge(
        self, incident: int, by: str, *, comment: str = "", version: int | None = None
    ) -> IncidentEvent:
        """Say that somebody has seen it."""
        return await self._one(Act(incident, IncidentAction.ACKNOWLEDGE, by, comment, version))

    async def start(self, incident: int, by: str, *, comment: str = "", version: int | None = None) -> IncidentEvent:
        """Say that work on it has begun."""
        return await self._one(Act(incident, IncidentAction.START, by, comment, version))

    async def wait(self, incident: int, by: str, *, comment: str = "", version: int | None = None) -> IncidentEvent:
        """Say that it waits for somebody outside: deadlines rest."""
        return await self._one(Act(incident, IncidentAction.WAIT, by, comment, version))

    async def resume(self, incident: int, by: str, *, comment: str = "", version: int | None = None) -> IncidentEvent:
        """Say that the waiting is over."""
        return await self._one(Act(incident, IncidentAction.RESUME, by, comment, version))

    async def resolve(self, incident: int, by: str, *, comment: str = "", version: int | None = None) -> IncidentEvent:
        """Say that what was to be done is done: from now on it takes no alarms in."""
        return await self._one(Act(incident, IncidentAction.RESOLVE, by, comment, version))

    async def close(self, incident: int, by: str, *, comment: str = "", version: int | None = None) -> IncidentEvent:
        """Say that it is over for good."""
        return await self._one(Act(incident, IncidentAction.CLOSE, by, comment, version))

    async def reopen(self, incident: int, by: str, *, comment: str, version: int | None = None) -> IncidentEvent:
        """Bring a resolved, closed or rejected one back; the comment is the reason and must say something."""
        return await self._one(Act(incident, IncidentAction.REOPEN, by, comment, version))

    async def reject(self, incident: int, by: str, *, comment: str, version: int | None = None) -> IncidentEvent:
        """Say that it is none; the comment is the reason and must say something."""
        return await self._one(Act(incident, IncidentAction.REJECT, by, comment, version))

    # What it is.

    async def assign(
        self,
        incident: int,
        by: str,
        *,
        unit: str | None = None,
        owner: str | None = None,
        comment: str = "",
        version: int | None = None,
    ) -> IncidentEvent:
        """Give it to a unit, to an owner (login), or both; '' takes it away, None leaves it."""
        detail = {name: value for name, value in (("unit", unit), ("owner", owner)) if value is not None}
        return await self._one(Act(incident, IncidentAction.ASSIGN, by, comment, version, detail))

    async def set_severity(
        self, incident: int, by: str, severity: int, *, comment: str = "", version: int | None = None
    ) -> IncidentEvent:
        """Say how severe it is, 1 low … 4 critical."""
        return await self._one(Act(incident, IncidentAction.SEVERITY, by, comment, version, {"severity": severity}))

    async def edit(
        self, incident: int, by: str, fields: Mapping[str, Any], *, comment: str = "", version: int | None = None
    ) -> IncidentEvent:
        """Change title, description, domain, commune, lon and lat, or cause."""
        return await self._one(Act(incident, IncidentAction.EDIT, by, comment, version, fields))

    async def comment(self, incident: int, by: str, comment: str) -> IncidentEvent:
        """Add a remark, in any state; neither state nor version changes. `detail["mentions"]` are the logins that
        its words call."""
        return await self._one(Act(incident, IncidentAction.COMMENT, by, comment))

    async def note(
        self, incident: int, by: str, action: str, detail: Mapping[str, Any], *, comment: str = ""
    ) -> IncidentEvent:
        """Add an event of another part's, as `warning_published`; neither state nor version changes."""
        if action in set(IncidentAction):
            raise InputError(f"{action!r} is an act, not a note", where="action")
        return await self._one(Act(incident, action, by, comment, None, detail))

    async def link(
        self, incident: int, by: str, link: NewLink, *, comment: str = "", version: int | None = None
    ) -> IncidentEvent:
        """Let something belong to it, in any state."""
        detail = {"kind": link.kind, "ref": link.ref, "title": link.title, "detail": dict(link.detail)}
        return await self._one(Act(incident, IncidentAction.LINK, by, comment, version, detail))

    async def unlink(
        self, incident: int, by: str, link: int, *, comment: str = "", version: int | None = None
    ) -> IncidentEvent:
        """Take a link away; that it was there is kept."""
        return await self._one(Act(incident, IncidentAction.UNLINK, by, comment, version, {"link": link}))

    async def merge(
        self,
        incident: int,
        by: str,
        into: int,
        *,
        comment: str = "",
        version: int | None = None,
        into_version: int | None = None,
    ) -> builtins.list[IncidentEvent]:
        """Let another take it over: what belongs to it belongs to that one too, and alarms go there. Both keep their
        histories. Returns the event of each, of this one first."""
        detail = {"into": into, "into_version": into_version}
        return await self.transact([Act(incident, IncidentAction.MERGE, by, comment, version, detail)])

    async def split(
        self,
        incident: int,
        by: str,
        links: Sequence[int],
        *,
        title: str = "",
        comment: str = "",
        version: int | None = None,
    ) -> builtins.list[IncidentEvent]:
        """Make a part of it an incident of its own: the links with these numbers go there, as do alarms among them
        when they are raised again. Returns the event `open` of the new one, then `split` of this one."""

        one = Act(incident, IncidentAction.SPLIT, by, comment, version)
        return await self._store.transact(lambda tx: split(tx, one, links, title, self._followers, self._life))

    # Reading.

    async def get(self, incident: int, where: sa.ColumnElement[bool] | None = None) -> Incident:
        """One incident; `where` (of `Policy.where`) says which the caller may see.

        Raises:
            NotFoundError: there is none of this number, or the caller may not see it.
        """
        found = None
        if 0 < incident < 2**63:
            async with self._records.read() as connection:
                found = await rows_of.incident_by_id(connection, incident, where)
        if found is None:
            raise NotFoundError(f"there is no incident {incident}", hint="`thap incidents list` shows those there are")
        return found

    async def list(
        self,
        scope: Scope | None = None,
        chosen: IncidentFilter = _ALL,
        *,
        sort: IncidentSort = "-opened",
        limit: int = 100,
        after: str | None = None,
    ) -> IncidentPage:
        """A page of incidents within a scope (None: of all). Raises InputError as `listing.list_rows`."""
        async with self._records.read() as connection:
            within = Scope(sa.true()) if scope is None else scope
            rows, further = await list_rows(connection, within, chosen, sort=sort, limit=limit, after=after)
        return IncidentPage(items=[rows_of.incident_of(row) for row in rows], next=further)

    async def life(self, incident: int, limit: int = 1000, before: int | None = None) -> Sequence[IncidentEvent]:
        """Events of one incident, the newest first; `before` an `nth`, to go on from a page. Title, unit and so on in
        these are the incident's as it is now."""
        async with self._records.read() as connection:
            return await rows_of.events_of(connection, incident, limit, before)

    async def links(self, incident: int, *, removed: bool = False) -> Sequence[IncidentLink]:
        """What belongs to it; with what was taken away if `removed`."""
        async with self._records.read() as connection:
            return await rows_of.links_of(connection, incident, removed=removed)

    async def events_after(
        self, event: int, limit: int = 1000, where: sa.ColumnElement[bool] | None = None
    ) -> Sequence[IncidentEvent]:
        """Events numbered above `event`, in order, of incidents that meet `where`: none is ever skipped by going on
        from the last one seen."""
        async with self._records.read() as connection:
            return await rows_of.events_after(connection, event, limit, where)

    async def last_event_id(self) -> int:
        """The number of the newest event, 0 when there is none."""
        async with self._records.read() as connection:
            return await rows_of.last_event(connection)

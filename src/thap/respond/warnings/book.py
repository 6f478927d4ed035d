"""The warning book: every act on a warning goes through it.

A row is locked before it is judged and the step is written in the same transaction, with the notices and pushes that
follow from it. A document is made and signed before that transaction; it goes out only if the warning is still the
version it was made from.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from thap.kernel.audit import Entry, append
from thap.kernel.clock import DAY_US, SECOND_US, VIETNAM, from_us, iso, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.places_records import polygons
from thap.kernel.policy import Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction, open_store
from thap.respond.notify import Duty, Notice, Person, enqueue
from thap.respond.warnings import rows as rows_of
from thap.respond.warnings.areas import Shapes, read_shapes
from thap.respond.warnings.cap import Reference
from thap.respond.warnings.compose import Draft, Heading, cancelling, compose, problems, updating
from thap.respond.warnings.document import to_bytes, write
from thap.respond.warnings.model import Warning, WarningEvent, WarningPage
from thap.respond.warnings.records import warnings
from thap.respond.warnings.rows import Row, WarningRows, to_warning
from thap.respond.warnings.schema import faults, faults_by_file
from thap.respond.warnings.signing import Signer, open_signer, sign
from thap.respond.warnings.states import EDITABLE, State, WarningAction, next_state

__all__ = ["EVERYTHING", "By", "WarningBook"]

By = Who | str
"""Who acts; a text is a person's login."""

EVERYTHING: sa.ColumnElement[bool] = sa.true()
APPROVERS = "leader"
"""The role on duty that is told of a warning to approve."""


@dataclass(frozen=True, slots=True)
class _Document:
    """A warning made ready to go out."""

    identifier: str
    sender: str
    sent: int
    body: bytes


class WarningBook:
    """The warnings of one centre. Safe for many tasks; every process opens its own.

    After each call that returns an event the caller announces it; the book itself tells nobody.
    """

    def __init__(self, records: Records, settings: Settings, store: Store | None = None) -> None:
        self._records = records
        self._settings = settings
        self._store = store or open_store(records)
        self._own = store is None
        self._signer: Signer | None = None
        self._shapes: tuple[int, Shapes] | None = None

    async def close(self) -> None:
        """Close the connection for writing, unless it was given."""
        if self._own:
            await self._store.close()

    # Writing.

    async def compose(
        self, by: By, draft: Draft, *, incident: int | None = None, unit: str = "", domain: str = ""
    ) -> WarningEvent:
        """Begin a warning.

        Args:
            by: who.
            draft: what it says so far.
            incident: what it is about, if the centre knows.
            unit: code of the unit it is written for; '' is the province.
            domain: as an incident has it.
        """

        def work(tx: Transaction) -> WarningEvent:
            return _begun(tx, by, draft, incident, unit, domain)

        return await self._store.transact(work)

    async def follow_up(
        self, warning_id: int, by: By, kind: Literal["Update", "Cancel"], draft: Draft | None = None
    ) -> WarningEvent:
        """Begin the update or cancellation of a warning that went out; without a draft, one is made ready.

        Raises:
            NotFoundError: there is no such warning.
            ConflictError: it did not go out, was replaced by another, or is itself a cancellation.
        """

        def work(tx: Transaction) -> WarningEvent:
            rows, now = WarningRows(tx), now_us()
            earlier = _locked(rows, warning_id)
            _must_stand(earlier)
            said = Draft.model_validate_json(earlier["draft"])
            begun = draft or (updating(said) if kind == "Update" else cancelling(said, now))
            return _begun(
                tx, by, begun, earlier["incident_id"], earlier["unit"], earlier["domain"], earlier=earlier, kind=kind
            )

        return await self._store.transact(work)

    async def edit(self, warning_id: int, by: By, draft: Draft, version: int | None = None) -> WarningEvent:
        """Change what it says.

        Args:
            warning_id: which.
            by: who.
            draft: all it says.
            version: the version they saw; None does not check.

        Raises:
            NotFoundError: there is no such warning.
            ConflictError: it changed since that version, and by whom; or its state does not allow this.
        """

        def change(row: Row) -> None:
            _say(row, draft)

        return await self._act(warning_id, WarningAction.EDIT, by, "", version, change, draft)

    async def submit(self, warning_id: int, by: By, comment: str = "", version: int | None = None) -> WarningEvent:
        """Ask for its approval. Raises as `edit`, and InputError where something is missing: all of it is told."""

        def change(row: Row) -> None:
            _complete(row)
            row.update(submitted=now_us(), submitted_by=_name(by))

        return await self._act(warning_id, WarningAction.SUBMIT, by, comment, version, change)

    async def retract(self, warning_id: int, by: By, comment: str = "", version: int | None = None) -> WarningEvent:
        """Take it back before it is decided. Raises as `edit`."""
        return await self._act(warning_id, WarningAction.RETRACT, by, comment, version)

    async def withdraw(self, warning_id: int, by: By, comment: str = "", version: int | None = None) -> WarningEvent:
        """Give it up. Raises as `edit`."""
        return await self._act(warning_id, WarningAction.WITHDRAW, by, comment, version)

    async def send_back(self, warning_id: int, by: By, comment: str, version: int | None = None) -> WarningEvent:
        """Return it to who wrote it, with what is wrong. Raises as `edit`, and InputError without a comment."""
        if not comment.strip():
            raise InputError("say what is wrong with it", where="comment")

        def change(row: Row) -> None:
            row.update(decided=now_us(), decided_by=_name(by))

        return await self._act(warning_id, WarningAction.RETURN, by, comment, version, change)

    async def approve(self, warning_id: int, by: By, comment: str = "", version: int | None = None) -> WarningEvent:
        """Approve it: it is signed and goes out.

        Raises:
            NotFoundError: there is no such warning.
            ConflictError: it changed since that version or while it was being made; its state does not allow this;
                who approves wrote some of it; what it follows was replaced meanwhile.
            InputError: something is missing by now, as its time being over.
        """
        seen, document = await self._prepare(warning_id, by, version)

        def change(row: Row) -> None:
            row.update(
                identifier=document.identifier,
                sender=document.sender,
                sent=document.sent,
                document=document.body,
                digest=hashlib.sha256(document.body).hexdigest(),
                decided=now_us(),
                decided_by=_name(by),
            )

        return await self._act(warning_id, WarningAction.APPROVE, by, comment, seen, change)

    async def _prepare(self, warning_id: int, by: By, version: int | None) -> tuple[int, _Document]:
        """The version that was made into a document, and the document."""

        def check(tx: Transaction) -> Row:
            rows = WarningRows(tx)
            row = _locked(rows, warning_id)
            _allowed(rows, row, WarningAction.APPROVE, by, version)
            _complete(row)
            return row

        row = await self._store.transact(check)
        async with self._records.read() as connection:
            chain = await rows_of.series_rows(connection, row["series"]) if row["series"] else []
        shapes = await self._outlines()
        if self._signer is None:
            self._signer = await asyncio.to_thread(self._open_signer)
        document = await asyncio.to_thread(self._make, row, chain, shapes, self._signer)
        return int(row["version"]), document

    def _open_signer(self) -> Signer:
        told = self._settings.warnings
        return open_signer(self._settings.run_dir, told.sender, told.key, told.certificate)

    async def signer(self) -> Signer:
        """The centre's key and certificate, made at first use.

        Raises:
            SettingsError: a configured one cannot be used.
        """
        if self._signer is None:
            self._signer = await asyncio.to_thread(self._open_signer)
        return self._signer

    async def _outlines(self) -> Shapes:
        """Outlines of the communes, read again after an import."""
        from thap.kernel.places_records import polygons_version

        async with self._records.read() as connection:
            version = await polygons_version(connection)
            if self._shapes is None or self._shapes[0] != version:
                self._shapes = (version, read_shapes(await polygons(connection)))
        return self._shapes[1]

    def _heading(self, row: Row, chain: Sequence[Row]) -> Heading:
        told = self._settings.warnings
        # A message must come after those it refers to, whatever the clock did meanwhile.
        sent = max([now_us() // SECOND_US * SECOND_US, *(int(one["sent"]) + SECOND_US for one in chain)])
        day = from_us(sent).astimezone(VIETNAM).strftime("%Y%m%d")
        identifier = f"{told.sender}.{day}.{row['id']}.{secrets.token_hex(4)}"
        return Heading(
            identifier=identifier,
            sender=told.sender,
            sender_name=told.sender_name,
            sent=sent,
            message_type=row["message_type"],
            references=tuple(Reference(one["sender"], one["identifier"], int(one["sent"])) for one in chain),
            incident="" if row["incident_id"] is None else str(row["incident_id"]),
            web=f"{told.public_url.rstrip('/')}/feeds/warnings/{identifier}.xml" if told.public_url else "",
        )

    def _make(self, row: Row, chain: Sequence[Row], shapes: Shapes, signer: Signer) -> _Document:
        heading = self._heading(row, chain)
        root = sign(write(compose(Draft.model_validate_json(row["draft"]), heading, shapes)), signer)
        wrong = faults(root)
        if self._settings.warnings.xsd is not None:
            wrong += faults_by_file(root, self._settings.warnings.xsd)
        if wrong:
            raise InputError(f"the document would not be CAP 1.2: {wrong[0]}", where=f"warning {row['id']}")
        return _Document(heading.identifier, heading.sender, heading.sent, to_bytes(root))

    async def _act(
        self,
        warning_id: int,
        action: WarningAction,
        by: By,
        comment: str,
        version: int | None,
        change: Any = None,
        draft: Draft | None = None,
    ) -> WarningEvent:
        def work(tx: Transaction) -> WarningEvent:
            rows, now = WarningRows(tx), now_us()
            row = _locked(rows, warning_id)
            after = _allowed(rows, row, action, by, version)
            if action is WarningAction.APPROVE and row["follows"]:
                earlier = _locked(rows, int(row["follows"]))
                _must_stand(earlier)
                rows.replaced(int(earlier["id"]), warning_id)
            before = row["state"]
            if change is not None:
                change(row)
            row.update(state=str(after), version=row["version"] + 1, changed=now)
            rows.update(row)
            _audit(tx, row, action, by, comment, now)
            event = _log(rows, row, action, before, by, comment, now, draft)
            if action is WarningAction.APPROVE:
                rows.push(warning_id, now)
            _tell(tx, row, event)
            return event

        return await self._store.transact(work)

    # Reading.

    async def get(self, warning_id: int, where: sa.ColumnElement[bool] = EVERYTHING) -> Warning:
        """One warning.

        Raises:
            NotFoundError: there is no such warning among those meant.
        """
        async with self._records.read() as connection:
            found = await rows_of.list_warnings(connection, sa.and_(warnings.c.id == warning_id, where), 1, None)
        if not found:
            raise _unknown(warning_id)
        return to_warning(found[0])

    async def list(
        self,
        where: sa.ColumnElement[bool] = EVERYTHING,
        *,
        states: frozenset[str] = frozenset(),
        incident: int | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> WarningPage:
        """A page of warnings, the newest first.

        Args:
            where: which of them the reader may see.
            states: in these states; empty for all.
            incident: about this incident.
            limit: how many.
            after: number of the last warning of the page before.
        """
        if states:
            where = sa.and_(where, warnings.c.state.in_(sorted(states)))
        if incident is not None:
            where = sa.and_(where, warnings.c.incident_id == incident)
        async with self._records.read() as connection:
            found = await rows_of.list_warnings(connection, where, limit + 1, after)
            total = await rows_of.count_warnings(connection, where)
        more = len(found) > limit
        items = [to_warning(row) for row in found[:limit]]
        return WarningPage(items=items, total=total, next=str(items[-1].id) if more else None)

    async def life(self, warning_id: int) -> Sequence[WarningEvent]:
        """Its steps, the latest first."""
        async with self._records.read() as connection:
            return await rows_of.life_of(connection, warning_id)

    async def document(self, warning_id: int | None = None, identifier: str = "") -> tuple[Warning, bytes]:
        """A warning that went out, with its document as signed.

        Raises:
            NotFoundError: none of that number or identifier went out.
        """
        async with self._records.read() as connection:
            found = await rows_of.document_of(connection, warning_id=warning_id, identifier=identifier)
        if found is None:
            raise NotFoundError(
                f"no warning {warning_id or identifier!r} went out", hint="the feed lists those that did"
            )
        return to_warning(found[0]), found[1]

    async def preview(self, warning_id: int) -> tuple[bytes, Sequence[str]]:
        """The document a draft would become, unsigned, and what keeps it from being submitted.

        Raises:
            NotFoundError: there is no such warning.
            InputError: a commune or polygon is none.
        """
        async with self._records.read() as connection:
            row = await rows_of.row_by_id(connection, warning_id)
            if row is None:
                raise _unknown(warning_id)
            chain = await rows_of.series_rows(connection, row["series"]) if row["series"] else []
        draft = Draft.model_validate_json(row["draft"])
        alert = compose(draft, self._heading(row, chain), await self._outlines())
        return to_bytes(write(alert)), problems(draft, row["message_type"], now_us())

    async def current(self, now: int | None = None, limit: int = 200) -> Sequence[Warning]:
        """Warnings for the public: those that hold, and those that ended within the days of the settings."""
        moment = now_us() if now is None else now
        since = moment - self._settings.warnings.shown_days * DAY_US
        async with self._records.read() as connection:
            return [to_warning(row) for row in await rows_of.current(connection, since, limit)]

    async def events_after(
        self, event_id: int, limit: int = 1000, where: sa.ColumnElement[bool] = EVERYTHING
    ) -> Sequence[WarningEvent]:
        """Steps numbered above `event_id`, in order: none is skipped by going on from the last one seen."""
        async with self._records.read() as connection:
            return await rows_of.events_after(connection, event_id, limit, where)

    async def last_event_id(self) -> int:
        """The number of the newest step, 0 when there is none."""
        async with self._records.read() as connection:
            return await rows_of.last_event(connection)


def _name(by: By) -> str:
    return by if isinstance(by, str) else by.name


def _unknown(warning_id: int) -> NotFoundError:
    return NotFoundError(f"there is no warning {warning_id}", hint="`thap warnings list` shows those there are")


def _locked(rows: WarningRows, warning_id: int) -> Row:
    row = rows.by_id(warning_id)
    if row is None:
        raise _unknown(warning_id)
    return row


def _must_stand(earlier: Row) -> None:
    """A warning that is to be updated or cancelled went out, and is the last of its chain."""
    where = f"warning {earlier['id']}"
    if earlier["state"] != State.PUBLISHED:
        raise ConflictError(f"it is {earlier['state']}, it did not go out", where=where)
    if earlier["replaced_by"] is not None:
        raise ConflictError(f"warning {earlier['replaced_by']} replaced it", where=where, hint="go on from that one")
    if earlier["message_type"] == "Cancel":
        raise ConflictError("it is a cancellation", where=where, hint="compose a new warning")


def _allowed(rows: WarningRows, row: Row, action: WarningAction, by: By, version: int | None) -> State:
    where = f"warning {row['id']}"
    if version is not None and version != row["version"]:
        raise ConflictError(_changed_since(rows, row, version), where=where, hint="read it again")
    after = next_state(State(row["state"]), action)
    if after is None:
        told = {State.PUBLISHED: f"it went out at {iso(row['sent'] or 0)}, approved by {row['decided_by']}"}
        reason = told.get(State(row["state"]), f"it is {row['state']}")
        if action is WarningAction.EDIT:
            reason += f"; it can be edited while {' or '.join(EDITABLE)}"
        raise ConflictError(reason, where=where)
    if action is WarningAction.APPROVE and _name(by) in rows.writers(int(row["id"])):
        raise ConflictError(
            f"{_name(by)} wrote some of it, so another person must approve it", where=where, hint="ask a leader on duty"
        )
    return after


def _changed_since(rows: WarningRows, row: Row, version: int) -> str:
    steps = rows.since(int(row["id"]), version)
    if not steps:
        return f"there is no version {version} of it yet, it is at {row['version']}"
    return f"it changed since version {version}: " + ", ".join(
        f"{action} by {by} at {iso(time)}" for action, by, time in steps[-3:]
    )


def _complete(row: Row) -> None:
    missing = problems(Draft.model_validate_json(row["draft"]), row["message_type"], now_us())
    if missing:
        raise InputError("; ".join(missing), where=f"warning {row['id']}", hint="edit it, then submit it again")


def _say(row: Row, draft: Draft) -> None:
    row.update(
        draft=draft.model_dump_json(),
        status=draft.status,
        severity=draft.severity,
        headline=draft.headline.vi[:200],
        expires=draft.expires,
    )


def _begun(
    tx: Transaction,
    by: By,
    draft: Draft,
    incident: int | None,
    unit: str,
    domain: str,
    *,
    earlier: Row | None = None,
    kind: str = "Alert",
) -> WarningEvent:
    now = now_us()
    row: Row = {
        "series": 0 if earlier is None else earlier["series"] or earlier["id"],
        "follows": None if earlier is None else earlier["id"],
        "replaced_by": None,
        "incident_id": incident,
        "message_type": kind,
        "state": str(State.DRAFT),
        "unit": unit,
        "domain": domain,
        "identifier": "",
        "sender": "",
        "sent": None,
        "document": None,
        "digest": "",
        "created": now,
        "created_by": _name(by),
        "submitted": None,
        "submitted_by": "",
        "decided": None,
        "decided_by": "",
        "changed": now,
        "version": 1,
    }
    _say(row, draft)
    rows = WarningRows(tx)
    row["id"] = rows.add(row)
    _audit(tx, row, WarningAction.COMPOSE, by, "", now)
    return _log(rows, row, WarningAction.COMPOSE, "", by, "", now, draft)


def _log(
    rows: WarningRows,
    row: Row,
    action: WarningAction,
    before: str,
    by: By,
    comment: str,
    now: int,
    draft: Draft | None,
) -> WarningEvent:
    line = {
        "warning_id": row["id"],
        "action": str(action),
        "from_state": before,
        "to_state": row["state"],
        "time": now,
        "by": _name(by),
        "comment": comment,
        "draft": "" if draft is None else row["draft"],
        "version": row["version"],
    }
    number = rows.log(line)
    about = ("headline", "message_type", "status", "severity", "unit", "domain")
    said = ("action", "from_state", "to_state", "time", "by", "comment", "version")
    return WarningEvent(
        id=number,
        warning=row["id"],
        incident=row["incident_id"],
        **{name: line[name] for name in said},
        **{name: row[name] for name in about},
    )


def _audit(tx: Transaction, row: Row, action: WarningAction, by: By, comment: str, now: int) -> None:
    """Before the step itself is kept: that takes the lock of the event stream, which comes after the log's."""
    detail = {"message_type": row["message_type"], "headline": row["headline"], "version": row["version"]}
    if comment:
        detail["comment"] = comment
    if action is WarningAction.APPROVE:
        detail |= {"identifier": row["identifier"], "digest": row["digest"]}
    append(tx, [Entry(by, f"warning.{action}", f"warning:{row['id']}", detail)], now)


def _tell(tx: Transaction, row: Row, event: WarningEvent) -> None:
    """Notices of what somebody waits for."""
    params = {"warning": row["id"], "headline": row["headline"], "by": event.by, "comment": event.comment}
    writer = Person(row["created_by"][:64])
    waiting: dict[str, Duty | Person] = {
        WarningAction.SUBMIT: Duty(row["unit"], APPROVERS),
        WarningAction.RETURN: writer,
        WarningAction.APPROVE: writer,
    }
    to = waiting.get(event.action)
    if to is not None:
        names = {"submit": "submitted", "return": "returned", "approve": "published"}
        urgent = event.action == WarningAction.SUBMIT
        template = f"warning.{names[event.action]}"
        enqueue(tx, [Notice(to, template, params, incident=row["incident_id"], urgent=urgent)])

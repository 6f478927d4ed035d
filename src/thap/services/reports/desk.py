"""The report desk: every change to a citizen's report goes through it.

A row is locked before it is judged, the step is written in the same transaction, and so is what tells the sender
of it. What a citizen wrote is never changed by moderation: `edit` and `accept` write beside it what the public
may read. Who sent it stands in a row of its own, which `erase` removes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import orjson
from sqlalchemy.exc import IntegrityError

from thap.kernel.clock import DAY_US, HOUR_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.places import commune, communes
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction, open_store
from thap.respond.incidents import attachments
from thap.respond.incidents import model as incident_model
from thap.respond.incidents.attachments import Kept
from thap.respond.incidents.book import act, open_many
from thap.respond.incidents.model import NewLink
from thap.services.reports.catalogue import COMMUNE, Service
from thap.services.reports.drafts import checked, clean, commune_in
from thap.services.reports.life import Act, State, step
from thap.services.reports.model import (
    Draft,
    Opened,
    Received,
    ReportEvent,
    report_of,
)
from thap.services.reports.notices import tell_sender
from thap.services.reports.privacy import redact, redact_json
from thap.services.reports.reading import KIND
from thap.services.reports.receipts import hash_receipt, new_receipt
from thap.services.reports.records import ReportRows, Row
from thap.services.reports.writing import By, Change, ReportWriter, log_step, name_of

__all__ = ["PHOTO_TYPES", "ReportDesk"]

PHOTO_TYPES = ("image/jpeg", "image/png", "image/webp")

Locate = Callable[[float, float], Awaitable[str]]


class ReportDesk(ReportWriter):
    """The reports of one centre. Safe for many tasks; every process opens its own.

    After each call that returns events the caller announces them; the desk itself tells only senders.

    Args:
        settings: limits and retention.
        records: where reports are.
        store: for write transactions; its own by default.
        locate: code of the commune a point lies in, '' outside all; without it no place is checked.
    """

    def __init__(
        self, settings: Settings, records: Records, *, store: Store | None = None, locate: Locate | None = None
    ) -> None:
        super().__init__(settings, records)
        self.store: Store = store or open_store(records)
        self._own_store = store is None
        self._locate = locate

    async def close(self) -> None:
        """Close the connection for writing, where it is the desk's own."""
        if self._own_store:
            await self.store.close()

    # Taking reports in.

    async def keep_photo(self, content: Any, name: str) -> Kept:
        """Take a photo, before the report it belongs to.

        Raises:
            InputError: it is no photo, or too large; `where` is `photo`.
        """
        try:
            return await attachments.keep(
                self.settings,
                content,
                name,
                types=PHOTO_TYPES,
                max_bytes=int(self.settings.reports.photo_mib * (1 << 20)),
            )
        except InputError as error:
            raise InputError(error.message, where="photo", hint=error.hint) from None

    async def receive(
        self,
        draft: Draft,
        *,
        source: str = "form",
        client: str = "",
        photos: Sequence[Kept] = (),
        submission: str | None = None,
        guard: Callable[[Transaction], None] | None = None,
        accepted: bool = False,
        received: int | None = None,
        after: Callable[[Transaction, int], None] | None = None,
        asked: bool = True,
    ) -> Received:
        """Take a report.

        Args:
            draft: what is reported.
            source: `form`, `open311`, `endpoint` or `desk`.
            client: token or endpoint it came by.
            photos: kept before with `keep_photo`.
            submission: a key of this very sending: sent twice it is one report.
            guard: counts it in the same transaction, and raises where it is too many.
            accepted: moderated already, as what an official writes down on the telephone.
            received: when, µs; by default now.
            after: done in the same transaction with the number of the new report.
            asked: whether the service's questions must be answered.

        Raises:
            InputError: it does not hold together; `where` names the field.
            NotFoundError: there is no such service.
            TooManyError: as the guard says.
        """
        service = self.catalogue.get(draft.service)
        if len(photos) > self.settings.reports.photos:
            raise InputError(f"a report has at most {self.settings.reports.photos} photos", where="photo")
        draft = checked(draft, service if asked else msgspec.structs.replace(service, attribute=()))
        where = await self._placed(draft)
        receipt, moment = new_receipt(), now_us() if received is None else received
        row = self._row(draft, service, where, receipt, moment) | {
            "source": source,
            "client": client[:64],
            "submission": submission,
        }
        by: By = client if source == "desk" else ""

        def work(tx: Transaction) -> Received:
            rows = ReportRows(tx)
            twin = rows.by_submission(submission) if submission else None
            if twin is not None:
                sender = rows.sender(int(twin["id"]))
                return Received(report=report_of(twin), receipt=sender["receipt"] if sender else "")
            if guard is not None:
                guard(tx)
            made = {**row, "id": 0}
            made["id"] = rows.add({name: value for name, value in made.items() if name != "id"})
            rows.add_sender(self._sender_row(draft, made, receipt))
            for photo in photos:
                attachments.record(tx, photo, name_of(by), KIND, str(made["id"]))
            if after is not None:
                after(tx, int(made["id"]))
            event = log_step(rows, made, Act.RECEIVE, by=by, public=True, from_state="")
            if accepted:
                event = self._moved(rows, made, Act.ACCEPT, by)
            tell_sender(tx, self.settings, self.catalogue, made, event, rows.sender(made["id"]))
            return Received(report=report_of(made), receipt=receipt, event=event)

        try:
            return await self.store.transact(work)
        except IntegrityError:  # the same form came at the same moment, and was first
            return await self.store.transact(work)

    def _row(self, draft: Draft, service: Service, where: str, receipt: str, moment: int) -> Row:
        hours = service.expected_hours
        return {
            "receipt_hash": hash_receipt(receipt),
            "service": service.code,
            "domain": service.domain,
            "severity": service.severity,
            "unit": where if service.unit == COMMUNE else service.unit,
            "commune": where,
            "lon": draft.lon,
            "lat": draft.lat,
            "place": draft.place,
            "address_id": draft.address_id,
            "text": draft.text,
            "public_text": "",
            "answers": orjson.dumps(dict(draft.answers)).decode(),
            "media_url": draft.media_url,
            "shown_photos": "[]",
            "language": draft.language,
            "state": State.RECEIVED.value,
            "note": "",
            "published": False,
            "received": moment,
            "changed": moment,
            "closed": None,
            "expected": None if hours is None else moment + round(hours * HOUR_US),
            "incident": None,
            "duplicate_of": None,
            "same_as": draft.same_as,
            "satisfaction": None,
            "opinion": "",
            "erased": None,
            "version": 1,
        }

    def _sender_row(self, draft: Draft, made: Row, receipt: str) -> Row:
        return {
            "report_id": made["id"],
            **asdict(draft.sender),
            "receipt": receipt,
            "consent": made["received"] if draft.sender.told else 0,
            "erase_after": made["received"] + self.settings.reports.sender_days_at_most * DAY_US,
        }

    async def _placed(self, draft: Draft) -> str:
        """The commune of a draft, '' where nobody can tell."""
        if draft.lon is not None and draft.lat is not None and self._locate is not None:
            found = await self._locate(draft.lon, draft.lat)
            if not found:
                raise InputError(
                    "the place lies outside the province", where="place", hint="give a point within the province"
                )
            return found
        if draft.commune:
            return draft.commune
        if draft.address_id in {unit.code for unit in communes()}:
            return draft.address_id
        return commune_in(draft.place)

    # What moderators and officials do. Each raises:
    #   NotFoundError  there is no such report
    #   ConflictError  it changed since `version`, and by whom; or its state does not allow this

    async def accept(
        self,
        number: int,
        by: By,
        *,
        comment: str = "",
        public_text: str | None = None,
        photos: Sequence[int] = (),
        version: int | None = None,
    ) -> ReportEvent:
        """Take it on, and let the public read it: the text given, or what was written without numbers and
        addresses that lead to people. Photos are shown only where their numbers are given."""
        await self._own_photos(number, photos)

        def change(_rows: ReportRows, row: Row) -> dict[str, Any]:
            row["public_text"] = (public_text or row["public_text"] or redact(row["text"])).strip()
            if photos:
                row["shown_photos"] = orjson.dumps(sorted(set(photos))).decode()
            row["published"] = True
            return {}

        return await self._act(number, Act.ACCEPT, by, comment, version, change=change)

    async def start(self, number: int, by: By, *, comment: str = "", version: int | None = None) -> ReportEvent:
        """Say that somebody works on it."""
        return await self._act(number, Act.START, by, comment, version)

    async def answer(self, number: int, by: By, *, comment: str, version: int | None = None) -> ReportEvent:
        """Close it with words to the sender, who is then asked how satisfied they are."""
        return await self._act(number, Act.ANSWER, by, _said(comment), version)

    async def reject(self, number: int, by: By, *, comment: str, version: int | None = None) -> ReportEvent:
        """Close it as nothing to work on, with the reason; the public sees it no more."""

        def change(_rows: ReportRows, row: Row) -> dict[str, Any]:
            row["published"] = False
            return {}

        return await self._act(number, Act.REJECT, by, _said(comment), version, change=change)

    async def duplicate(
        self, number: int, by: By, of: int, *, comment: str = "", version: int | None = None
    ) -> ReportEvent:
        """Close it as the same as an earlier one; its sender hears what becomes of that one."""

        def change(rows: ReportRows, row: Row) -> dict[str, Any]:
            first, seen = rows.by_id(of), {number}
            while first is not None and first["duplicate_of"] is not None and first["id"] not in seen:
                seen.add(first["id"])
                first = rows.by_id(int(first["duplicate_of"]))
            if first is None:
                raise NotFoundError(f"there is no report {of}", where="of")
            if first["id"] in seen:
                raise ConflictError("a report is not a duplicate of itself", where=f"report {number}")
            row["duplicate_of"] = first["id"]
            return {"of": first["id"]}

        return await self._act(number, Act.DUPLICATE, by, comment, version, change=change)

    async def reopen(self, number: int, by: By, *, comment: str, version: int | None = None) -> ReportEvent:
        """Take it up again, with the reason."""

        def change(_rows: ReportRows, row: Row) -> dict[str, Any]:
            row.update(duplicate_of=None, satisfaction=None, opinion="")
            return {}

        return await self._act(number, Act.REOPEN, by, _said(comment), version, change=change)

    async def comment(
        self, number: int, by: By, *, comment: str, public: bool = False, version: int | None = None
    ) -> ReportEvent:
        """Remark on it: for colleagues, or with `public` also for the sender and the public."""
        return await self._act(number, Act.COMMENT, by, _said(comment), version, public=public)

    async def edit(
        self,
        number: int,
        by: By,
        *,
        public_text: str | None = None,
        photos: Sequence[int] | None = None,
        service: str | None = None,
        unit: str | None = None,
        comment: str = "",
        version: int | None = None,
    ) -> ReportEvent:
        """Change what the public reads, which photos it sees, the kind, or who handles it. What the citizen wrote
        stays as it is, and what was before stands in the step."""
        await self._own_photos(number, photos or ())
        kind = None if service is None else self.catalogue.get(service)

        def change(_rows: ReportRows, row: Row) -> dict[str, Any]:
            before = {name: row[name] for name in ("public_text", "shown_photos", "service", "unit")}
            if public_text is not None:
                row["public_text"] = public_text.strip()
            if photos is not None:
                row["shown_photos"] = orjson.dumps(sorted(set(photos))).decode()
            if kind is not None:
                row.update(service=kind.code, domain=kind.domain, severity=kind.severity)
                row["unit"] = row["commune"] if kind.unit == COMMUNE else kind.unit
            if unit is not None:
                row["unit"] = unit
            changed = {name: value for name, value in before.items() if row[name] != value}
            if not changed:
                raise InputError("nothing would change", where="body")
            return {"before": changed}

        return await self._act(number, Act.EDIT, by, comment, version, change=change)

    # What senders do.

    async def rate(self, receipt: str, satisfaction: int, opinion: str = "") -> ReportEvent:
        """Say how satisfied one is with the answer, 1 not at all … 5 wholly; saying it again replaces it.

        Raises:
            NotFoundError: no report has this code.
            ConflictError: it is not answered yet.
        """
        if not 1 <= satisfaction <= 5:
            raise InputError("satisfaction is 1 to 5", where="satisfaction")
        if len(opinion) > 2000:
            raise InputError("at most 2000 characters", where="opinion")
        report = await self.by_receipt(receipt)

        def change(_rows: ReportRows, row: Row) -> dict[str, Any]:
            row.update(satisfaction=satisfaction, opinion=opinion.strip())
            return {"satisfaction": satisfaction}

        return await self._act(report.id, Act.RATE, "", opinion.strip(), None, change=change)

    async def erase(self, number: int, by: By = "") -> ReportEvent | None:
        """Erase who sent it, and what the text says of people; None where that was done before."""
        report = await self.get(number)
        if report.erased is not None:
            return None
        photos = await self.photos(number)

        def change(rows: ReportRows, row: Row) -> dict[str, Any]:
            rows.forget_notices(number)
            rows.erase_sender(number)
            shown = orjson.loads(row["shown_photos"]) if row["published"] else []
            attachments.forget(rows.tx, [photo.id for photo in photos if photo.id not in shown])
            row.update(
                erased=now_us(),
                text=redact(row["text"]),
                place=redact(row["place"]),
                opinion=redact(row["opinion"]),
                note=redact(row["note"]),
                public_text=redact(row["public_text"]),
                answers=redact_json(row["answers"]),
                media_url="",
                submission=None,
            )
            rows.redact_steps(number, redact, redact_json)
            return {}

        return await self._act(number, Act.ERASE, by, "", None, change=change)

    # What other machines say.

    async def update(
        self, number: int, by: By, status: str, words: str, *, external: str | None = None, may_close: bool = False
    ) -> tuple[ReportEvent | None, int]:
        """Take an update of another endpoint; the step it made, and that step's number.

        Args:
            number: of the report.
            by: token or endpoint.
            status: `open` or `closed`, '' for no change.
            words: what it says.
            external: its number over there: taken twice it is one step, and the event is None.
            may_close: whether it decides. Otherwise it is a remark for our own people, whatever its status.

        Raises:
            NotFoundError, InputError: as elsewhere.
        """
        if status not in ("", "open", "closed"):
            raise InputError("a status is open or closed", where="status")
        if not words.strip() and not status:
            raise InputError("it says nothing", where="description")
        said = clean(words, "description", 2000)

        def work(tx: Transaction) -> tuple[ReportEvent | None, int]:
            rows = ReportRows(tx)
            row = rows.by_id(number)
            if row is None:
                raise NotFoundError(f"there is no report {number}")
            known = rows.update_known(number, external) if external else None
            if known is not None:
                return None, known
            state, act = State(row["state"]), Act.UPDATE
            if may_close and status == "closed" and step(state, Act.ANSWER) is not None:
                act = Act.ANSWER
            elif may_close and status == "open" and state is State.DONE:
                act = Act.REOPEN
            public = may_close and (act is not Act.UPDATE or (bool(said) and bool(row["published"])))

            def note(_rows: ReportRows, _row: Row) -> dict[str, Any]:
                return {"status": status} if status else {}

            event = self.step(tx, number, act, by, said, public=public, external=external, change=note)
            return event, event.id

        try:
            return await self.store.transact(work)
        except IntegrityError:  # the same update came at the same moment, and was first
            return await self.store.transact(work)

    # With incidents.

    async def open_incident(
        self,
        number: int,
        by: By,
        *,
        title: str = "",
        severity: int | None = None,
        unit: str | None = None,
        version: int | None = None,
    ) -> Opened:
        """Open an incident that handles it, in one transaction; a report not yet accepted is accepted with it.

        What the incident says is what the public may read: no personal data goes there.
        """
        if severity is not None and not 1 <= severity <= 4:
            raise InputError("a severity is 1 to 4", where="severity")

        def work(tx: Transaction) -> Opened:
            rows = ReportRows(tx)
            row = self._current(rows, number, version)
            if row["incident"] is not None:
                raise ConflictError(
                    f"incident {row['incident']} handles it already", where=f"report {number}", hint="link it anew"
                )
            incidents = open_many(tx, [self._incident_of(row, title, severity, unit)], name_of(by))
            incident = incidents[0].incident
            steps = [self.step(tx, number, Act.ACCEPT, by)] if row["state"] == State.RECEIVED else []
            steps.append(self.step(tx, number, Act.LINK, by, change=_linking(incident)))
            return Opened(incident=incident, incidents=incidents, reports=steps)

        return await self.store.transact(work)

    def _incident_of(self, row: Row, title: str, severity: int | None, unit: str | None) -> incident_model.Draft:
        kind = self.catalogue.name(row["service"], "vi")
        where = row["place"] or (commune(row["commune"]).title if row["commune"] else "")
        said = row["public_text"] or redact(row["text"])
        return incident_model.Draft(
            title=(title or (f"{kind}: {redact(where)}" if where else kind))[:200],
            description=said,
            domain=row["domain"],
            severity=severity or int(row["severity"]),
            unit=row["unit"] if unit is None else unit,
            commune=row["commune"],
            lon=row["lon"],
            lat=row["lat"],
            origin="report",
            cause=f"report.{row['service']}"[:64],
            time=int(row["received"]),
            links=(NewLink("report", str(row["id"]), kind[:200]),),
        )

    async def link(
        self, number: int, by: By, incident: int, *, comment: str = "", version: int | None = None
    ) -> Opened:
        """Say that an incident which there is handles it; a report not yet accepted is accepted with it."""

        def work(tx: Transaction) -> Opened:
            rows = ReportRows(tx)
            detail = {"kind": "report", "ref": str(number), "title": "", "detail": {}}
            incidents = act(tx, [incident_model.Act(incident, "link", name_of(by), comment, None, detail)])
            row = self._current(rows, number, version)
            steps = [self.step(tx, number, Act.ACCEPT, by)] if row["state"] == State.RECEIVED else []
            steps.append(self.step(tx, number, Act.LINK, by, comment, change=_linking(incident)))
            return Opened(incident=incident, incidents=incidents, reports=steps)

        return await self.store.transact(work)

    # The one way a report changes.

    async def _act(
        self,
        number: int,
        act: Act,
        by: By,
        comment: str,
        version: int | None,
        *,
        public: bool | None = None,
        change: Change | None = None,
    ) -> ReportEvent:
        if len(comment) > 2000:
            raise InputError("at most 2000 characters", where="comment")

        def work(tx: Transaction) -> ReportEvent:
            return self.step(tx, number, act, by, comment, version, public=public, change=change)

        return await self.store.transact(work)

    async def _own_photos(self, number: int, photos: Sequence[int]) -> None:
        if not photos:
            return
        strange = set(photos) - {photo.id for photo in await self.photos(number)}
        if strange:
            raise InputError(f"report {number} has no photo {min(strange)}", where="photos")


def _linking(incident: int) -> Change:
    def change(_rows: ReportRows, row: Row) -> dict[str, Any]:
        row["incident"] = incident
        return {"incident": incident}

    return change


def _said(comment: str) -> str:
    if not comment.strip():
        raise InputError("words to the sender are needed", where="comment")
    return comment.strip()

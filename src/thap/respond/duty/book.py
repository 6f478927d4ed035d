"""The duty book: rotas, shifts, hand-overs, and who is on duty."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from thap.kernel import audit
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction, open_store
from thap.kernel.units import PROVINCE_CODE
from thap.respond.duty.model import Handover, Rota, Shift, Stint
from thap.respond.duty.records import DutyRows, handovers_of, rotas_within, shifts_within
from thap.respond.duty.roster import check_rule, on_duty, plan
from thap.respond.notify.model import Notice, Person
from thap.respond.notify.outbox import enqueue

__all__ = ["DutyBook", "duty_now"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LOGINS_MAX = 200
_PLAN_US = 100 * DAY_US


def duty_now(tx: Transaction, unit: str, role: str, at: int) -> list[str]:
    """Logins on duty for a unit in a role ('' for any), within a transaction."""
    rows, unit = DutyRows(tx), unit or PROVINCE_CODE
    return on_duty(rows.rotas(unit, at, at + 1), rows.shifts(unit, at, at + 1), at, role)


class DutyBook:
    """Duty of one centre. The caller announces `centre.live.duty` after a change."""

    def __init__(self, records: Records, store: Store | None = None) -> None:
        self._records = records
        self._own = store is None
        self._store = store or open_store(records)

    async def close(self) -> None:
        """Close the connection for writing, if it was opened here."""
        if self._own:
            await self._store.close()

    # Rotas.

    async def put_rota(self, rota: Rota, by: str, version: int | None = None) -> Rota:
        """Make a rota, or change one: the version in force ends now and the new one begins.

        Args:
            rota: as it shall be; number, version and validity are given here.
            by: who.
            version: the version they saw; None does not check.

        Raises:
            InputError: name, rule or turns are not such.
            ConflictError: it changed since that version.
        """
        checked = _checked(rota)

        def work(tx: Transaction) -> Rota:
            rows = DutyRows(tx)
            before = rows.rota(rota.name)
            now = now_us()  # once it is locked: of two at the same time the second begins after the first
            _same_version(before, version, rota.name)
            if before is not None and before.valid_until is None:
                rows.end_rota(before.id, now)
            made = msgspec.structs.replace(
                checked,
                version=1 if before is None else before.version + 1,
                valid_from=checked.valid_from or (min(now, checked.start) if before is None else now),
                valid_until=None,
                changed_by=by,
            )
            _note(tx, by, "put", f"rota:{made.name}", {"version": made.version, "turns": made.turns, "rule": made.rule})
            return msgspec.structs.replace(made, id=rows.add_rota(made))

        return await self._store.transact(work)

    async def end_rota(self, name: str, by: str, version: int | None = None) -> Rota:
        """End a rota; who was on duty by it stays known.

        Raises:
            NotFoundError: there is none in force.
            ConflictError: it changed since that version.
        """

        def work(tx: Transaction) -> Rota:
            rows = DutyRows(tx)
            before = rows.rota(name)
            now = now_us()  # once it is locked: of two at the same time the second begins after the first
            if before is None or before.valid_until is not None:
                raise NotFoundError(f"there is no rota {name!r}", hint="`thap duty rotas` lists them")
            _same_version(before, version, name)
            rows.end_rota(before.id, now)
            _note(tx, by, "end", f"rota:{name}", {"version": before.version})
            return msgspec.structs.replace(before, valid_until=now, changed_by=by)

        return await self._store.transact(work)

    async def rotas(self, unit: str | None = None) -> list[Rota]:
        """Rotas in force, of all units by default."""
        now = now_us()
        unit = PROVINCE_CODE if unit == "" else unit
        async with self._records.read() as connection:
            return [one for one in await rotas_within(connection, unit, now, now + 1) if one.valid_until is None]

    async def rota(self, name: str) -> Rota:
        """One rota in force.

        Raises:
            NotFoundError: there is none of this name.
        """
        for one in await self.rotas():
            if one.name == name:
                return one
        raise NotFoundError(f"there is no rota {name!r}", hint="`thap duty rotas` lists them")

    # Shifts.

    async def add_shift(self, shift: Shift, by: str) -> Shift:
        """Put somebody on duty for a time, or, with `rota`, in place of its turn or of one on it.

        Raises:
            InputError: the times are none, or nobody is named for a shift of its own.
            NotFoundError: there is no such rota.
        """
        if not 0 <= shift.start < shift.until or shift.until - shift.start > 366 * DAY_US:
            raise InputError("a shift ends after it begins, within a year", where="until")
        if not shift.rota and not shift.login:
            raise InputError("a shift needs somebody", where="login")
        if shift.instead_of and not shift.rota:
            raise InputError("whom it replaces makes sense on a rota only", where="instead_of")

        def work(tx: Transaction) -> Shift:
            rows = DutyRows(tx)
            made = msgspec.structs.replace(shift, unit=shift.unit or PROVINCE_CODE, created=now_us(), created_by=by)
            if shift.rota:
                rota = rows.rota(shift.rota)
                if rota is None or rota.valid_until is not None:
                    raise NotFoundError(f"there is no rota {shift.rota!r}", hint="`thap duty rotas` lists them")
                made = msgspec.structs.replace(made, unit=rota.unit, role=rota.role)
            number = rows.add_shift(made)
            told = {"login": made.login, "start": made.start, "until": made.until, "rota": made.rota}
            _note(tx, by, "add", f"shift:{number}", told)
            return msgspec.structs.replace(made, id=number)

        return await self._store.transact(work)

    async def remove_shift(self, shift_id: int, by: str, units: frozenset[str] | None = None) -> Shift:
        """Take a shift back; what of it is past stays known as it was not: say so in the hand-over.

        Raises:
            NotFoundError: there is none, or it was taken back, or it is of no unit of `units`.
        """

        def work(tx: Transaction) -> Shift:
            rows, now = DutyRows(tx), now_us()
            shift = rows.shift(shift_id)
            if shift is None or shift.removed is not None or (units is not None and shift.unit not in units):
                raise NotFoundError(f"there is no shift {shift_id}", hint="`thap duty plan` shows those there are")
            rows.remove_shift(shift_id, by, now)
            _note(tx, by, "remove", f"shift:{shift_id}", {"login": shift.login})
            return msgspec.structs.replace(shift, removed=now, removed_by=by)

        return await self._store.transact(work)

    # Who.

    async def plan(self, since: int, until: int, unit: str | None = None) -> list[Stint]:
        """Who is on duty between two times.

        Raises:
            InputError: the times are no stretch of at most a hundred days.
        """
        if not 0 <= since < until or until - since > _PLAN_US:
            raise InputError("a plan is of a hundred days at most, and ends after it begins", where="until")
        unit = PROVINCE_CODE if unit == "" else unit
        async with self._records.read() as connection:
            rotas = await rotas_within(connection, unit, since, until)
            shifts = await shifts_within(connection, unit, since, until)
        return plan(rotas, shifts, since, until)

    async def on_duty(self, at: int | None = None, unit: str | None = None) -> list[Stint]:
        """Who is on duty at a time (now), with when their stint began and ends."""
        moment = now_us() if at is None else at
        if not 2 * DAY_US <= moment < 4_102_444_800_000_000:
            raise InputError("not a time of this age", where="at")
        around = await self.plan(moment - 40 * DAY_US, moment + 40 * DAY_US, unit)
        return [one for one in around if one.start <= moment < one.until]

    # Hand-over.

    async def hand_over(self, handover: Handover) -> Handover:
        """Leave a note to those who come.

        Raises:
            InputError: it says nothing.
        """
        if not handover.note.strip():
            raise InputError("a hand-over must say something, as `nothing open`", where="note")
        made = msgspec.structs.replace(
            handover, unit=handover.unit or PROVINCE_CODE, time=handover.time or now_us(), taken=None, taken_by=""
        )

        def work(tx: Transaction) -> Handover:
            number = DutyRows(tx).add_handover(made)
            notices: list[Notice] = []
            if made.to_login:
                params = {
                    "role": made.role,
                    "unit": made.unit,
                    "from_login": made.from_login,
                    "time": made.time,
                    "note": made.note,
                    "url": "/",
                }
                notices.append(Notice(Person(made.to_login), "duty.handover", params, dedup=f"handover:{number}"))
            enqueue(tx, notices)
            _note(tx, made.from_login, "hand_over", f"handover:{number}", {"unit": made.unit, "role": made.role})
            return msgspec.structs.replace(made, id=number)

        return await self._store.transact(work)

    async def take_over(self, handover_id: int, by: str, units: frozenset[str] | None = None) -> Handover:
        """Say that the note was read and the duty is taken.

        Raises:
            NotFoundError: there is none, or it is of no unit of `units`.
            ConflictError: somebody took it, or it is for somebody else, or by the one who wrote it.
        """

        def work(tx: Transaction) -> Handover:
            rows, now = DutyRows(tx), now_us()
            one = rows.handover(handover_id)
            if one is None or (units is not None and one.unit not in units):
                raise NotFoundError(f"there is no hand-over {handover_id}", hint="`thap duty handovers` lists them")
            where = f"hand-over {handover_id}"
            if one.taken is not None:
                raise ConflictError(f"{one.taken_by} has taken it already", where=where)
            if one.to_login and one.to_login != by:
                raise ConflictError(f"it is for {one.to_login}", where=where)
            if one.from_login == by:
                raise ConflictError("who hands over does not take over", where=where)
            rows.take_handover(handover_id, by, now)
            _note(tx, by, "take_over", f"handover:{handover_id}", {"from": one.from_login})
            return msgspec.structs.replace(one, taken=now, taken_by=by)

        return await self._store.transact(work)

    async def handovers(
        self, units: Sequence[str] | None = None, limit: int = 50, before: int | None = None
    ) -> list[Handover]:
        """Hand-overs, the newest first, below number `before`."""
        async with self._records.read() as connection:
            return await handovers_of(connection, units, limit, before)


def _note(tx: Transaction, by: str, action: str, what: str, detail: dict[str, Any]) -> None:
    audit.append(tx, [audit.Entry(by, f"duty.{action}", what, detail)])


def _checked(rota: Rota) -> Rota:
    if not _NAME.fullmatch(rota.name):
        raise InputError(f"{rota.name!r} is not a name of a rota", where="name", hint="a-z, 0-9 and -, 64 at most")
    if not rota.role:
        raise InputError("a rota is of a role", where="role")
    turns = [list(dict.fromkeys(login.strip() for login in turn if login.strip())) for turn in rota.turns]
    turns = [turn for turn in turns if turn]
    if not turns or sum(map(len, turns)) > _LOGINS_MAX:
        raise InputError(f"a rota has at least one turn, and at most {_LOGINS_MAX} people", where="turns")
    rule = check_rule(rota.rule, rota.start, rota.length_us)
    return msgspec.structs.replace(rota, unit=rota.unit or PROVINCE_CODE, rule=rule, turns=turns)


def _same_version(before: Rota | None, version: int | None, name: str) -> None:
    at = 0 if before is None else before.version
    if version is not None and version != at:
        by = f", by {before.changed_by}" if before is not None else ""
        raise ConflictError(f"it is at version {at}{by}, not {version}", where=f"rota {name}", hint="read it again")

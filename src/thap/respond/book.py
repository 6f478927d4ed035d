"""The alarm book: every change to an alarm goes through it, by detectors and by people.

Rows are locked before they are judged and a transition is written in the same transaction, so whatever
many writers do at once, the kept transitions of an alarm form one legal life.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from sqlalchemy import ColumnElement

from thap.detect.detector import Action, Change
from thap.kernel import audit
from thap.kernel.clock import iso, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction, open_store
from thap.respond import records as rows_of
from thap.respond.alarm import Alarm, AlarmEvent, AlarmFilter, AlarmPage, AlarmSort, EventFilter, Refused
from thap.respond.isa_18_2 import AlarmAction, Event, Isa182, LifeCycle, Refusal, State, Step
from thap.respond.records import AlarmRows
from thap.respond.writing import Row, Writing, blank_row, judge, repeated_by_timers, standing

__all__ = ["ENGINE", "AlarmBook"]


_ALL_ALARMS, _ALL_EVENTS = AlarmFilter(), EventFilter()

ENGINE = "engine"
"""Name of the engine's offset."""


class AlarmBook:
    """The alarms of one centre. Safe for many tasks; every process opens its own.

    After each call that returns events the caller announces them; the book itself tells nobody.
    """

    def __init__(self, records: Records, lifecycle: LifeCycle | None = None) -> None:
        self._records = records
        self._life: LifeCycle = lifecycle or Isa182()
        self._store: Store = open_store(records)

    async def close(self) -> None:
        """Close the connection for writing; the records stay open."""
        await self._store.close()

    # What detectors say.

    async def apply(self, changes: Sequence[Change], *, upto_seq: int | None = None) -> list[AlarmEvent]:
        """Take changes, in order, all or none, and return the transitions they led to.

        A change that says what is known already leads to nothing. With `upto_seq` the engine's offset moves
        there in the same transaction, and what lies behind the offset already is not taken twice: a batch
        whose `upto_seq` is below the offset is ignored whole, and of others the changes whose `seq` is at or
        below it. So an engine that reads a stretch of the journal again after a crash repeats nothing, if its
        timers rest until it has passed `applied_seq()`. When they then say again in one batch what they said
        before the crash (same action and event time), that is not taken twice either.

        Raises:
            BusyError, DiskFullError, UnavailableError: nothing was taken.
        """

        def work(tx: Transaction) -> list[AlarmEvent]:
            rows = AlarmRows(tx)
            taken = changes
            if upto_seq is not None:
                applied = rows.offset(ENGINE)
                if upto_seq < applied:
                    return []
                if upto_seq > applied:
                    rows.set_offset(ENGINE, upto_seq)
                taken = [change for change in changes if not 0 < change.seq <= applied]
            return self._take(rows, taken, now_us()) if taken else []

        return await self._store.transact(work)

    def _take(self, rows: AlarmRows, changes: Sequence[Change], recorded: int) -> list[AlarmEvent]:
        alarms = rows.by_key((change.source, change.condition) for change in changes)
        fresh = {
            (change.source, change.condition): blank_row(change, recorded)
            for change in changes
            if change.action is not Action.CLEAR and (change.source, change.condition) not in alarms
        }
        if fresh:
            alarms |= rows.add(list(fresh.values()))
        writing = Writing(rows, recorded, self._life)
        repeated = repeated_by_timers(rows, alarms, changes)
        for index, change in enumerate(changes):
            alarm = alarms.get((change.source, change.condition))
            if alarm is None or index in repeated:  # None: cleared, never raised
                continue
            event = Event(AlarmAction(change.action), int(change.time), int(change.severity))
            step = self._life.step(standing(alarm), event)
            if isinstance(step, Refusal):
                continue
            evidence = judge(alarm, change, step)
            writing.step(
                alarm,
                step,
                event.time,
                received=int(change.received),
                seq=int(change.seq),
                value=alarm["value"],
                evidence=evidence,
            )
        return writing.finish()

    async def applied_seq(self) -> int:
        """The journal sequence up to which the engine's effects are in the book."""
        async with self._records.read() as connection:
            return await rows_of.read_offset(connection, ENGINE)

    async def rewind(self, seq: int) -> None:
        """Set the engine's offset back, after the journal began anew."""
        await self._store.transact(lambda tx: AlarmRows(tx).set_offset(ENGINE, seq))

    async def active(self) -> dict[tuple[str, str], int]:
        """Severity of every alarm whose condition is true, by (source, condition): what an engine that lost
        its detectors' state, or a rule, has to reconcile with."""
        async with self._records.read() as connection:
            return {(s, c): level for s, c, level in await rows_of.active_rows(connection)}

    # What people do.

    async def acknowledge(
        self, alarm_id: int, by: str, comment: str | None = None, version: int | None = None
    ) -> AlarmEvent:
        """Say that somebody has seen it.

        Args:
            alarm_id: which.
            by: who.
            comment: what they say.
            version: the alarm's version they saw; None does not check.

        Raises:
            NotFoundError: there is no such alarm.
            ConflictError: it changed since that version, and by whom; or its state does not allow this.
        """
        return await self._act(alarm_id, AlarmAction.ACKNOWLEDGE, by, comment, version)

    async def acknowledge_many(
        self, alarm_ids: Sequence[int], by: str, comment: str | None = None
    ) -> tuple[list[AlarmEvent], list[Refused]]:
        """Acknowledge several in one transaction; those that cannot be are left, with the reason."""

        def work(tx: Transaction) -> tuple[list[AlarmEvent], list[Refused]]:
            rows, recorded = AlarmRows(tx), now_us()
            writing, refused = Writing(rows, recorded, self._life), []
            entries: list[audit.Entry] = []
            for alarm_id in sorted(set(alarm_ids)):
                alarm = rows.by_id(alarm_id)
                step = (
                    Refusal("there is no such alarm")
                    if alarm is None
                    else self._life.step(standing(alarm), Event(AlarmAction.ACKNOWLEDGE, recorded))
                )
                if alarm is None or isinstance(step, Refusal):
                    refused.append(Refused(alarm=alarm_id, reason=step.reason if isinstance(step, Refusal) else ""))
                    continue
                writing.step(alarm, step, recorded, by=by, comment=comment or "")
                entries.append(audit.Entry(by, "alarm.acknowledge", f"alarm:{alarm_id}"))
            audit.append(tx, entries)
            return writing.finish(), refused

        return await self._store.transact(work)

    async def shelve(
        self, alarm_id: int, by: str, until_us: int, reason: str = "", version: int | None = None
    ) -> AlarmEvent:
        """Hide it from the list until a time; shelving again moves the time. Raises as `acknowledge`."""
        return await self._act(alarm_id, AlarmAction.SHELVE, by, reason, version, until_us)

    async def unshelve(
        self, alarm_id: int, by: str, comment: str | None = None, version: int | None = None
    ) -> AlarmEvent:
        """End its shelving now. Raises as `acknowledge`."""
        return await self._act(alarm_id, AlarmAction.UNSHELVE, by, comment, version)

    async def suppress(self, alarm_id: int, by: str, reason: str = "", version: int | None = None) -> AlarmEvent:
        """Hide it by design, until `unsuppress`. Raises as `acknowledge`."""
        return await self._act(alarm_id, AlarmAction.SUPPRESS, by, reason, version)

    async def unsuppress(
        self, alarm_id: int, by: str, comment: str | None = None, version: int | None = None
    ) -> AlarmEvent:
        """End its suppression. Raises as `acknowledge`."""
        return await self._act(alarm_id, AlarmAction.UNSUPPRESS, by, comment, version)

    async def out_of_service(self, alarm_id: int, by: str, reason: str = "", version: int | None = None) -> AlarmEvent:
        """Take it out for maintenance, until `in_service`. Raises as `acknowledge`."""
        return await self._act(alarm_id, AlarmAction.OUT_OF_SERVICE, by, reason, version)

    async def in_service(
        self, alarm_id: int, by: str, comment: str | None = None, version: int | None = None
    ) -> AlarmEvent:
        """Put it back into service. Raises as `acknowledge`."""
        return await self._act(alarm_id, AlarmAction.IN_SERVICE, by, comment, version)

    async def comment(self, alarm_id: int, by: str, comment: str) -> AlarmEvent:
        """Add a remark; neither state nor version changes.

        Raises:
            NotFoundError: there is no such alarm.
            InputError: the remark is empty.
        """
        if not comment.strip():
            raise InputError("a comment must say something", where="comment")
        return await self._act(alarm_id, AlarmAction.COMMENT, by, comment, None)

    async def _act(
        self,
        alarm_id: int,
        action: AlarmAction,
        by: str,
        comment: str | None,
        version: int | None,
        until: int | None = None,
    ) -> AlarmEvent:
        def work(tx: Transaction) -> AlarmEvent:
            rows, recorded = AlarmRows(tx), now_us()
            alarm = rows.by_id(alarm_id)
            if alarm is None:
                raise NotFoundError(f"there is no alarm {alarm_id}", hint="`thap alarms list` shows those there are")
            if version is not None and version != alarm["version"]:
                raise ConflictError(
                    _changed_since(rows, alarm, version), where=f"alarm {alarm_id}", hint="read it again"
                )
            step = self._life.step(standing(alarm), Event(action, recorded, until=until))
            if isinstance(step, Refusal):
                raise ConflictError(_refused(rows, alarm, step.reason), where=f"alarm {alarm_id}")
            writing = Writing(rows, recorded, self._life)
            writing.step(alarm, step, recorded, by=by, comment=comment or "")
            audit.append(tx, [audit.Entry(by, f"alarm.{action}", f"alarm:{alarm_id}")])
            return writing.finish()[0]

        return await self._store.transact(work)

    async def expire(self, now: int | None = None) -> list[AlarmEvent]:
        """End the shelvings whose time has come (µs; by default the clock's). Call it every second or so."""
        moment = now_us() if now is None else now

        def work(tx: Transaction) -> list[AlarmEvent]:
            rows = AlarmRows(tx)
            writing = Writing(rows, now_us(), self._life)
            for alarm in rows.ended_shelves(moment):
                ended = int(alarm["shelved_until"])
                step = self._life.step(standing(alarm), Event(AlarmAction.EXPIRE, moment))
                if isinstance(step, Step):
                    writing.step(alarm, step, ended)
            return writing.finish()

        async with self._records.read() as connection:  # most often there is nothing: then take no lock
            if not await rows_of.shelves_end(connection, moment):
                return []
        return await self._store.transact(work)

    # Reading.

    async def get(self, alarm_id: int) -> Alarm:
        """One alarm.

        Raises:
            NotFoundError: there is no such alarm.
        """
        async with self._records.read() as connection:
            alarm = await rows_of.alarm_by_id(connection, alarm_id)
        if alarm is None:
            raise NotFoundError(f"there is no alarm {alarm_id}", hint="`thap alarms list` shows those there are")
        return alarm

    async def list(
        self,
        chosen: AlarmFilter = _ALL_ALARMS,
        *,
        sort: AlarmSort = "-raised",
        limit: int = 100,
        after: str | None = None,
        within: ColumnElement[bool] | None = None,
    ) -> AlarmPage:
        """A page of alarms in an order that does not shift while others are raised.

        Args:
            chosen: which.
            sort: by which column, `-` for descending; equal ones by number.
            limit: how many, 1 to 1,000.
            after: `next` of the page before, with the same sort.
            within: what the caller may see; total and pages are of that only. None for all.

        Raises:
            InputError: sort, limit or `after` is not one.
        """
        if sort not in get_args(AlarmSort):
            raise InputError(
                f"{sort!r} is not an order of alarms", where="sort", hint=f"one of {', '.join(get_args(AlarmSort))}"
            )
        if not 1 <= limit <= 1000:
            raise InputError("a page has 1 to 1000 alarms", where="limit")
        position = None if after is None else _position(after, sort)
        async with self._records.read() as connection:
            alarms, total = await rows_of.list_alarms(connection, chosen, sort, limit + 1, position, within)
        more = len(alarms) > limit
        alarms = alarms[:limit]
        return AlarmPage(items=alarms, total=total, next=_cursor(alarms[-1], sort) if more else None)

    async def events_after(
        self, event_id: int, limit: int = 1000, chosen: EventFilter = _ALL_EVENTS
    ) -> Sequence[AlarmEvent]:
        """Transitions numbered above `event_id`, in order, at most `limit`: none is ever skipped by going on
        from the last one seen."""
        async with self._records.read() as connection:
            return await rows_of.events_after(connection, event_id, limit, chosen)

    async def life(self, alarm_id: int, limit: int) -> tuple[Sequence[AlarmEvent], int]:
        """The latest transitions of one alarm, latest first, and how many it has in all."""
        async with self._records.read() as connection:
            return await rows_of.life_of(connection, alarm_id, limit)

    async def last_event_id(self) -> int:
        """The number of the newest transition, 0 when there is none."""
        async with self._records.read() as connection:
            return await rows_of.last_event(connection)


def _changed_since(rows: AlarmRows, alarm: Row, version: int) -> str:
    steps = rows.since_version(int(alarm["id"]), version)
    if not steps:
        return f"there is no version {version} of it yet, it is at {alarm['version']}"
    told = [
        f"{action.replace('_', ' ')}{f' by {who}' if who else ''} at {iso(when)}" for action, who, when in steps[-3:]
    ]
    earlier = f"{len(steps) - 3} earlier changes, then " if len(steps) > 3 else ""
    return f"it changed since version {version}: {earlier}{', '.join(told)}"


def _refused(rows: AlarmRows, alarm: Row, reason: str) -> str:
    who = alarm["acknowledged_by"] if alarm["state"] == State.ACKNOWLEDGED else ""
    return f"{reason}, by {who} at {iso(int(alarm['acknowledged']))}" if who and reason.endswith("already") else reason


def _cursor(alarm: Alarm, sort: AlarmSort) -> str:
    body = msgspec.json.encode([sort, getattr(alarm, sort.removeprefix("-")), alarm.id])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _position(cursor: str, sort: AlarmSort) -> tuple[Any, int]:
    try:
        body = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        made_for, value, alarm_id = msgspec.json.decode(body, type=tuple[str, str | int, int])
    except (binascii.Error, msgspec.MsgspecError, UnicodeError):
        raise InputError(
            "this is not where a page ended", where="after", hint="give `next` of the page before"
        ) from None
    if made_for != sort or isinstance(value, str) != (sort.removeprefix("-") == "source"):
        raise InputError(
            f"this page was sorted by {made_for}, not by {sort}", where="after", hint="keep the order from page to page"
        )
    numbers = [alarm_id] if isinstance(value, str) else [alarm_id, value]
    if any(abs(number) >= 2**63 for number in numbers) or (isinstance(value, str) and "\0" in value):
        raise InputError("this is not where a page ended", where="after", hint="give `next` of the page before")
    return value, alarm_id

"""The task book: what people do to tasks, to procedures and to the calendar.

A task changes in the transaction that also writes its timer and the event in its incident's history (which brings
the entry of the audit log). The incident is locked before its tasks, as everywhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from thap.kernel import audit
from thap.kernel.clock import iso, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.policy import Who
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction, open_store
from thap.kernel.working_calendar import WorkingCalendar, parse_calendar
from thap.respond import timers
from thap.respond.incidents.book import act
from thap.respond.incidents.model import LIVE_SUBJECT, Act, announcement
from thap.respond.incidents.records import IncidentRows
from thap.respond.incidents.states import LIVE, IncidentAction, IncidentLife, IncidentState, Refused
from thap.respond.notify import Notice, Person, enqueue
from thap.respond.procedures import records as rows_of
from thap.respond.procedures.clocks import anew, begin, finish, next_due, timer_of
from thap.respond.procedures.follow import Desk, Row, params
from thap.respond.procedures.in_force import InForce, in_force
from thap.respond.procedures.model import Procedure, StoredProcedure, Task, TaskFilter, TaskPage, TaskState
from thap.respond.procedures.records import ProcedureRows, TaskRows, task_of
from thap.respond.procedures.timeline import tell
from thap.respond.timers import Announcement

__all__ = ["NewTask", "TaskBook", "TaskChange"]

_ALL = TaskFilter()
_ENDED = frozenset({"closed", "rejected", "merged"})
_TO_DO = frozenset({TaskState.PLANNED, TaskState.OPEN, TaskState.PAUSED})
_ACTS = {
    "acknowledged": IncidentAction.ACKNOWLEDGE,
    "in_progress": IncidentAction.START,
    "resolved": IncidentAction.RESOLVE,
}
"""What doing a step does to the incident, by the step's `done_when`."""
_LIFE = IncidentLife()
_LONGEST = {"comment": 10_000, "by": 64, "assignee": 64, "unit": 32, "role": 32}
_EVIDENCE_MOST = 100


class TaskChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an act did: the task as it stands, and what is to be announced."""

    task: Task
    announcements: list[Announcement]


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that a person adds."""

    title: str
    within: str
    """How long it may take, as `4h`."""
    clock: str = "working"
    """What that counts: `working` hours or `round` the clock."""
    text: str = ""
    unit: str | None = None
    """By default the unit responsible for the incident."""
    role: str = "operator"
    assignee: str = ""


Guard = Callable[[Transaction, Row | None, Mapping[str, Any]], None]
"""`guard(task, incident)`: raises where the caller may not do this to the task, or, without one, add one."""
MayMove = Callable[[Transaction, Mapping[str, Any]], bool]
"""`may_move(incident)`: whether the caller may acknowledge, start and resolve the incident."""
Change = Callable[[Desk, Row], tuple[str, dict[str, Any]]]


class TaskBook:
    """The tasks of one centre. Safe for many coroutines; every process opens its own.

    Every method that changes a task takes who does it and the version they saw (None does not check), and raises:

        NotFoundError: there is no such task.
        ConflictError: it changed since that version, or its state does not allow this.
        InputError: a value is missing, too long or out of bounds.
        BusyError, DiskFullError, UnavailableError: nothing was changed.
    """

    def __init__(
        self,
        records: Records,
        store: Store | None = None,
        guard: Guard | None = None,
        may_move: MayMove = lambda tx, incident: True,
    ) -> None:
        """
        Args:
            records: where tasks are read.
            store: for writing; by default the book opens (and closes) its own.
            guard: asked in the transaction before anything is done; raises where it may not be.
            may_move: asked before a step that is done moves its incident too; where it says no, only the step is
                done.
        """
        self._records, self._own, self._guard, self._may_move = records, store is None, guard, may_move
        self._store = open_store(records) if store is None else store

    def guarded(self, guard: Guard, may_move: MayMove, store: Store | None = None) -> TaskBook:
        """This book for one caller: every act is asked of `guard` first, and done in `store` where one is given."""
        return TaskBook(self._records, self._store if store is None else store, guard, may_move)

    async def close(self) -> None:
        """Close the connection for writing, if the book opened it; the records stay open."""
        if self._own:
            await self._store.close()

    # What people do.

    async def done(
        self,
        task: int,
        by: str,
        *,
        comment: str = "",
        evidence: Sequence[str] = (),
        version: int | None = None,
        position: Mapping[str, Any] | None = None,
    ) -> TaskChange:
        """Say that it is done.

        A step that is done when the incident gets somewhere (`done_when`) brings it there: it is acknowledged or
        begun with the step, and resolved once no other task is to be done but those that come after that step. Where
        the caller may not do that, the step alone is done. An incident that is worked on and has no task left gets
        one: to decide on it.

        Args:
            task: which.
            by: who did it.
            comment: what they say; must say why where something that the step wants attached is missing.
            evidence: what was attached, by the step's keys: `photo`, or `photo:12` with the number of the link.
            version: the version they saw.
            position: where they were, {lon, lat, accuracy_m, time}; kept in the history.
        """

        def change(desk: Desk, row: Row) -> tuple[str, dict[str, Any]]:
            _must_be(row, _TO_DO, "done")
            _attached(row, evidence, comment)
            finish(row, desk.force, desk.now, TaskState.DONE, by, comment=comment)
            row["evidence"] = msgspec.json.encode(list(evidence)).decode()
            told: dict[str, Any] = {"evidence": list(evidence)} if evidence else {}
            return "task_done", {**told, "position": dict(position)} if position else told

        if len(evidence) > _EVIDENCE_MOST or any(not 0 < len(one) <= 200 for one in evidence):
            raise InputError(f"evidence is at most {_EVIDENCE_MOST} short texts", where="evidence")
        return await self._act(task, by, change, comment, version)

    async def skip(self, task: int, by: str, *, comment: str, version: int | None = None) -> TaskChange:
        """Leave it out; the comment is the reason and must say something."""

        def change(desk: Desk, row: Row) -> tuple[str, dict[str, Any]]:
            _must_be(row, _TO_DO, "left out")
            finish(row, desk.force, desk.now, TaskState.SKIPPED, by, comment=comment)
            return "task_skipped", {}

        _reasoned(comment, "leave a task out")
        return await self._act(task, by, change, comment, version)

    async def reopen(self, task: int, by: str, *, comment: str, version: int | None = None) -> TaskChange:
        """Say that it is to be done after all: its clock goes on with what was left, or with half of its time where
        less was left. The comment is the reason."""

        def change(desk: Desk, row: Row) -> tuple[str, dict[str, Any]]:
            _must_be(row, frozenset({TaskState.DONE, TaskState.SKIPPED}), "opened again")
            if desk.incident["state"] in _ENDED:
                raise ConflictError(f"its incident is {desk.incident['state']}", where=f"task {task}")
            anew(row)
            return "task_reopened", {}

        _reasoned(comment, "open a task again")
        return await self._act(task, by, change, comment, version)

    async def extend(self, task: int, by: str, length: str, *, comment: str, version: int | None = None) -> TaskChange:
        """Give it more time, as `2h`, counted by its clock from its deadline, or from now where that was missed. The
        comment is the reason."""

        def change(desk: Desk, row: Row) -> tuple[str, dict[str, Any]]:
            _must_be(row, _TO_DO, "given more time")
            more = desk.force.clock(row["clock"]).length(length)
            before = row["due"]
            left = int(row["remaining"])
            if row["since"] is not None:
                left -= desk.force.clock(row["clock"]).between(int(row["since"]), desk.now)
            row.update(remaining=max(left, 0) + more, within=int(row["within"]) + more, late=None, reminded=0)
            if row["state"] == TaskState.OPEN:
                begin(row, desk.force, desk.now)
            return "task_extended", {"due": [before, row["due"]]}

        _reasoned(comment, "give a task more time")
        return await self._act(task, by, change, comment, version)

    async def assign(
        self,
        task: int,
        by: str,
        *,
        assignee: str | None = None,
        unit: str | None = None,
        role: str | None = None,
        comment: str = "",
        version: int | None = None,
    ) -> TaskChange:
        """Give it to a person (login), a unit, a role; '' takes the person away, None leaves what is."""
        given = {"assignee": assignee, "unit": unit, "role": role}
        new = {name: value for name, value in given.items() if value is not None}
        if not new:
            raise InputError("say to whom", where="assignee", hint="a login, a unit or a role")
        _fits(**new)

        def change(desk: Desk, row: Row) -> tuple[str, dict[str, Any]]:
            _must_be(row, _TO_DO, "given to somebody")
            before = {name: row[name] for name in new}
            row.update(new)
            if "unit" in new:
                row["unit_of"] = ""
            if row["assignee"] and row["assignee"] not in (before.get("assignee"), by):
                notice = Notice(
                    Person(row["assignee"]), "task.assigned", params(row, desk.incident), int(row["incident_id"])
                )
                enqueue(desk.tx, [notice])
            return "task_assigned", {name: [before[name], row[name]] for name in new}

        return await self._act(task, by, change, comment, version)

    async def add(self, incident: int, by: str, new: NewTask) -> TaskChange:
        """Add a task that no procedure names to an incident."""
        if not 0 < len(new.title.strip()) <= 200 or len(new.text) > 4000:
            raise InputError("a title has 1 to 200 letters, a text at most 4000", where="title")
        if new.clock not in ("round", "working"):
            raise InputError(f"{new.clock!r} is not a clock", where="clock", hint="round or working")
        _fits(by=by, unit=new.unit or "", role=new.role, assignee=new.assignee)

        def work(tx: Transaction) -> TaskChange:
            now, force = now_us(), in_force(tx)
            found = IncidentRows(tx).many([incident]).get(incident) if 0 < incident < 2**63 else None
            if found is None:
                raise NotFoundError(f"there is no incident {incident}", hint="`thap incidents list` shows them")
            if self._guard is not None:
                self._guard(tx, None, found)
            if found["state"] in _ENDED:
                raise ConflictError(f"the incident is {found['state']}", where=f"incident {incident}")
            desk = Desk(tx, force, found, now)
            row = desk.add(_by_hand(new, by, found, force, now))
            desk.settle(str(found["state"]))
            desk.save()
            if new.assignee and new.assignee != by:
                enqueue(tx, [Notice(Person(new.assignee), "task.assigned", params(row, found), incident)])
            said = tell(tx, [(incident, "task_added", _named(row))], by)
            return TaskChange(task=task_of(row), announcements=said)

        return await self._store.transact(work)

    async def _act(self, number: int, by: str, change: Change, comment: str, version: int | None) -> TaskChange:
        _fits(by=by, comment=comment)

        def work(tx: Transaction) -> TaskChange:
            whose = TaskRows(tx).incident(number) if 0 < number < 2**63 else None
            if whose is None:
                raise NotFoundError(f"there is no task {number}", hint="`thap tasks list` shows those there are")
            incident = IncidentRows(tx).many([whose])[whose]
            desk = Desk(tx, in_force(tx), incident, now_us())
            row = next(one for one in desk.rows if one["id"] == number)
            if self._guard is not None:
                self._guard(tx, row, incident)
            if version is not None and version != row["version"]:
                raise ConflictError(_changed(row, version), where=f"task {number}", hint="read it again")
            action, detail = change(desk, row)
            desk.settle(str(incident["state"]))
            acts = [Act(whose, action, by, comment, None, {**_named(row), **detail})]
            left = None
            if action in ("task_done", "task_skipped"):
                acts += self._moves(tx, desk, row, by, comment)
                left = self._left(desk) if len(acts) == 1 else None
            desk.save()
            if left is not None:
                acts.append(Act(whose, "task_added", "", "", None, _named(left)))
            events = act(tx, acts)  # in one call: what followers lock comes before what the events lock
            announcements = [(LIVE_SUBJECT, announcement(event)) for event in events]
            return TaskChange(task=task_of(row), announcements=announcements)

        return await self._store.transact(work)

    def _moves(self, tx: Transaction, desk: Desk, row: Row, by: str, comment: str) -> list[Act]:
        """Where the incident gets by a step's having ended."""
        number, state = int(desk.incident["id"]), IncidentState(desk.incident["state"])
        move = _ACTS.get(row["done_when"]) if row["state"] == TaskState.DONE else None
        if move in (None, IncidentAction.RESOLVE):
            move = IncidentAction.RESOLVE if desk.concluded() else None
        if move is not None and not isinstance(_LIFE.step(state, move), Refused) and self._may_move(tx, desk.incident):
            return [Act(number, str(move), by, comment, None, {"task": row["id"]})]
        return []

    def _left(self, desk: Desk) -> Row | None:
        """The task to decide on an incident that is worked on and has none left, unless that was left out already."""
        state = str(desk.incident["state"])
        skipped = any(one["step"] == _DECIDE and one["state"] == TaskState.SKIPPED for one in desk.rows)
        if state not in LIVE or desk.to_do() or skipped:
            return None
        row = desk.add(_to_decide(desk.incident, desk.force, desk.now))
        desk.settle(state)
        return row

    # Reading.

    async def get(self, task: int) -> Task:
        """One task.

        Raises:
            NotFoundError: there is none of this number.
        """
        found = None
        if 0 < task < 2**63:
            async with self._records.read() as connection:
                found = await rows_of.task_by_id(connection, task)
        if found is None:
            raise NotFoundError(f"there is no task {task}", hint="`thap tasks list` shows those there are")
        return found

    async def list(
        self,
        where: sa.ColumnElement[bool] | None = None,
        chosen: TaskFilter = _ALL,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> TaskPage:
        """A page of the tasks that meet `where` (of `Policy.where`; None: all), by deadline, those without one last.

        Raises:
            InputError: limit or `after` is not one.
        """
        if not 1 <= limit <= 1000:
            raise InputError("a page has 1 to 1000 tasks", where="limit")
        position = None if after is None else _position(after)
        async with self._records.read() as connection:
            scope = sa.true() if where is None else where
            tasks, total = await rows_of.list_tasks(connection, scope, chosen, limit + 1, position)
        further = _cursor(tasks[limit - 1]) if len(tasks) > limit else None
        return TaskPage(items=tasks[:limit], total=total, next=further)

    # Procedures and the calendar.

    async def procedures(self) -> Sequence[StoredProcedure]:
        """The newest version of each procedure, by name; what packages bring is put in first."""
        found = await self._store.transact(in_force)
        return [found.procedures[name] for name in sorted(found.procedures)]

    async def versions(self, name: str) -> Sequence[StoredProcedure]:
        """Every version of a procedure, newest first.

        Raises:
            NotFoundError: there is none of this name.
        """
        await self._store.transact(in_force)
        async with self._records.read() as connection:
            found = await rows_of.versions_of(connection, name)
        if not found:
            raise NotFoundError(f"no procedure is called {name!r}", hint="`thap procedures list` shows them")
        return found

    async def put(
        self, procedures: Sequence[Procedure], by: Who | str, *, version: int | None = None, address: str = ""
    ) -> Sequence[StoredProcedure]:
        """Put procedures in, each as a new version unless it says what the newest says. Incidents that are open go on
        with the version they began with.

        Raises:
            ConflictError: `version` is given and is not the newest one's.
        """

        def work(tx: Transaction) -> list[StoredProcedure]:
            in_force(tx)
            rows, now, put = ProcedureRows(tx), now_us(), []
            rows.lock()
            for procedure in procedures:
                before = rows.newest(procedure.name)
                known = 0 if before is None else before.version
                if version is not None and version != known:
                    raise ConflictError(
                        f"its newest version is {known}, not {version}",
                        where=f"procedure {procedure.name}",
                        hint="read it again",
                    )
                if before is None or before.procedure != procedure:
                    rows.put(procedure, known + 1, "", _name_of(by), now)
                    put.append(procedure.name)
            audit.append(tx, [audit.Entry(by, "procedure.write", f"procedure:{name}", {}, address) for name in put])
            return [one for name in put if (one := rows.newest(name)) is not None]

        _fits(by=_name_of(by))
        return await self._store.transact(work)

    async def calendar(self) -> WorkingCalendar:
        """The calendar in force."""
        return (await self._store.transact(in_force)).calendar

    async def put_calendar(self, text: str, by: Who | str, *, address: str = "") -> int:
        """Put another calendar in, and count the deadlines ahead by it; returns how many of them it moved.

        Raises:
            InputError: it does not hold together; the one before stays.
        """
        parse_calendar(text)
        _fits(by=_name_of(by))

        def work(tx: Transaction) -> int:
            in_force(tx)
            rows, now = ProcedureRows(tx), now_us()
            rows.lock()
            rows.put_calendar(text, _name_of(by), now)
            moved = _count_anew(tx, in_force(tx), now)
            audit.append(tx, [audit.Entry(by, "calendar.write", "calendar", {}, address)])  # its head is locked last
            return moved

        return await self._store.transact(work)


def _count_anew(tx: Transaction, force: InForce, now: int) -> int:
    """Move the deadlines ahead that count working hours to where the calendar in force puts them."""
    table, moved = TaskRows(tx), []
    for row in table.running(now):
        due = force.calendar.add(int(row["since"]), max(int(row["remaining"]), 0))
        if row["late"] is None and due != row["due"]:
            row.update(due=due, changed=now, version=int(row["version"]) + 1)
            moved.append(row)
    table.save(moved)
    timers.set(tx, [timer_of(row, force, now) for row in moved])
    whose = sorted({int(row["incident_id"]) for row in moved})
    IncidentRows(tx).set_due({number: next_due(table.of(number)) for number in whose})
    return len(moved)


_DECIDE = "decide"


def _to_decide(incident: Any, force: InForce, now: int) -> Row:
    """What is left where every task has ended and the incident has not."""
    row = _by_hand(NewTask(title="-", within="4h", role="shift_lead"), "", incident, force, now)
    title = {"vi": "Quyết định về vụ việc", "en": "Decide on the incident"}
    text = {
        "vi": "Không còn việc nào mà vụ việc chưa được giải quyết: giải quyết, hoặc giao việc tiếp.",
        "en": "No task is left and the incident is not resolved: resolve it, or give what is to be done next.",
    }
    texts = {name: msgspec.json.encode(value).decode() for name, value in (("title", title), ("text", text))}
    return {**row, **texts, "step": _DECIDE, "done_when": "resolved"}


def _by_hand(new: NewTask, by: str, incident: Any, force: InForce, now: int) -> Row:
    within = force.clock(new.clock).length(new.within)
    title = new.title.strip()
    return {
        "incident_id": int(incident["id"]),
        "procedure": "",
        "procedure_version": 0,
        "step": "",
        "position": 100,
        "title": msgspec.json.encode({"vi": title, "en": title}).decode(),
        "text": msgspec.json.encode({"vi": new.text, "en": new.text} if new.text else {}).decode(),
        "domain": incident["domain"],
        "unit": incident["unit"] if new.unit is None else new.unit,
        "unit_of": "incident" if new.unit is None else "",
        "commune": incident["commune"],
        "role": new.role,
        "assignee": new.assignee,
        "state": str(TaskState.PLANNED),
        "clock": new.clock,
        "within": within,
        "remaining": within,
        "since": None,
        "due": None,
        "late": None,
        "reminded": 0,
        "after": "[]",
        "attach": "[]",
        "done_when": "",
        "why": "",
        "created": now,
        "created_by": by,
        "closed": None,
        "closed_by": "",
        "comment": "",
        "evidence": "[]",
        "changed": now,
        "version": 1,
    }


def _named(row: Row) -> dict[str, Any]:
    return {"task": row["id"], "step": row["step"], "title": msgspec.json.decode(row["title"])}


def _must_be(row: Row, states: frozenset[TaskState], what: str) -> None:
    if row["state"] not in states:
        closed = f" by {row['closed_by']}" if row["closed_by"] else ""
        when = f" at {iso(int(row['closed']))}" if row["closed"] is not None else ""
        raise ConflictError(f"it cannot be {what}: it is {row['state']}{closed}{when}", where=f"task {row['id']}")


def _attached(row: Row, evidence: Sequence[str], comment: str) -> None:
    """A step that wants something attached gets it, or a word why not."""
    given = {one.partition(":")[0] for one in evidence}
    missing = [one["key"] for one in msgspec.json.decode(row["attach"]) if one["key"] not in given]
    if missing and not comment.strip():
        raise ConflictError(
            f"it wants attached: {', '.join(missing)}",
            where=f"task {row['id']}",
            hint="name the attachment as evidence, or say in the comment why there is none",
        )


def _name_of(by: Who | str) -> str:
    """As columns name whoever did it."""
    return by if isinstance(by, str) else by.name


def _reasoned(comment: str, what: str) -> None:
    if not comment.strip():
        raise InputError(f"to {what} takes a reason", where="comment")


def _fits(**texts: str) -> None:
    for name, text in texts.items():
        if len(text) > _LONGEST[name] or "\0" in text:
            raise InputError(f"it has at most {_LONGEST[name]} letters", where=name)


def _changed(row: Row, version: int) -> str:
    if version > row["version"]:
        return f"there is no version {version} of it yet, it is at {row['version']}"
    who = f" by {row['closed_by']}" if row["closed_by"] else ""
    return f"it changed since version {version}: it is {row['state']}{who} now (version {row['version']})"


def _cursor(task: Task) -> str:
    due = rows_of.NEVER if task.due is None else task.due
    return base64.urlsafe_b64encode(msgspec.json.encode([due, task.id])).decode()


def _position(cursor: str) -> tuple[int, int]:
    try:
        due, number = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[int, int])
        if not (-(2**63) <= due < 2**63 and 0 <= number < 2**63):
            raise ValueError
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InputError(
            "this is not where a page ended", where="after", hint="give `next` of the page before"
        ) from None
    return due, number

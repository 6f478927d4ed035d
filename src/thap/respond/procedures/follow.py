"""Tasks follow incidents: steps become tasks when one opens, clocks stand still while it waits, all ends with it.

`follow` runs in the transaction of the incident's events, `due` in that of the timers which fired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from thap.kernel.clock import now_us
from thap.kernel.store import Transaction
from thap.respond import timers
from thap.respond.incidents.model import IncidentEvent
from thap.respond.incidents.records import IncidentRows
from thap.respond.notify import Duty, Notice, Person, enqueue
from thap.respond.procedures.clocks import KIND, anew, begin, finish, next_due, pause, restore, timer_of
from thap.respond.procedures.in_force import InForce, in_force
from thap.respond.procedures.model import Step, StoredProcedure, TaskState
from thap.respond.procedures.records import TaskRows
from thap.respond.procedures.timeline import tell

__all__ = ["Desk", "due", "follow", "params"]

Row = dict[str, Any]

_STANDING_STILL = frozenset({"waiting", "resolved"})
_ENDED = frozenset({"closed", "rejected", "merged"})
_REACHED = {
    "acknowledged": ("acknowledged",),
    "in_progress": ("acknowledged", "in_progress"),
    "waiting": ("acknowledged", "in_progress"),
    "resolved": ("acknowledged", "in_progress", "resolved"),
}
_CHANGES = frozenset({"assign", "severity", "edit", "absorb"})
_TO_DO = frozenset({TaskState.PLANNED, TaskState.OPEN, TaskState.PAUSED})


def follow(tx: Transaction, events: Sequence[IncidentEvent], incidents: Mapping[int, Mapping[str, Any]]) -> None:
    """A follower of incidents, see `thap.respond.incidents.model.Follower`."""
    concerned: dict[int, list[IncidentEvent]] = {}
    for event in events:
        if event.from_state != event.to_state or event.action in _CHANGES:
            concerned.setdefault(event.incident, []).append(event)
    if not concerned:
        return
    force, now = in_force(tx), now_us()
    opened = {number for number, its in concerned.items() if its[0].from_state == ""}
    _open_all(tx, force, [incidents[number] for number in sorted(opened)], now)
    for number in sorted(concerned):
        its = [event for event in concerned[number] if event.from_state != ""]
        if its:
            desk = Desk(tx, force, incidents[number], now)
            for event in its:
                desk.take(event)
            desk.save()


class Desk:
    """The tasks of one incident within a transaction: take what happened, then save what has changed."""

    def __init__(self, tx: Transaction, force: InForce, incident: Mapping[str, Any], now: int) -> None:
        self.tx, self.force, self.incident, self.now = tx, force, incident, now
        self.rows = TaskRows(tx).of(int(incident["id"]))
        self._before = {int(row["id"]): dict(row) for row in self.rows}
        self._added: list[Row] = []

    def take(self, event: IncidentEvent) -> None:
        """Do what an event of the incident brings with it."""
        if event.from_state in _STANDING_STILL | _ENDED and event.to_state not in _STANDING_STILL | _ENDED:
            self._go_on(event.from_state)
            if event.from_state != "waiting":
                self._undo()
        for reached in _REACHED.get(event.to_state, ()) if event.from_state != event.to_state else ():
            for row in self.rows:
                if row["done_when"] == reached and row["state"] in _TO_DO:
                    finish(row, self.force, self.now, TaskState.DONE, event.by)
        if event.to_state in _ENDED:
            self._end(event.to_state, event.by)
            return
        self._move()
        self._choose_anew()
        self.settle(event.to_state)

    def _go_on(self, since: str) -> None:
        for row in self.rows:
            if row["state"] == TaskState.CANCELLED and row["why"] == since:
                restore(row)

    def _undo(self) -> None:
        """What was done by resolving is to be done again; that somebody takes it up anew, the chain sees to."""
        for row in self.rows:
            if row["done_when"] == "resolved" and row["state"] == TaskState.DONE:
                anew(row)

    def _end(self, state: str, by: str) -> None:
        for row in self.rows:
            if row["state"] in _TO_DO:
                finish(row, self.force, self.now, TaskState.CANCELLED, by, why=state)

    def _move(self) -> None:
        """Tasks go with the incident to another unit, commune or domain."""
        for row in self.rows:
            if row["state"] in _TO_DO:
                row.update(domain=self.incident["domain"], commune=self.incident["commune"])
                if row["unit_of"]:
                    row["unit"] = _unit(row["unit_of"], self.incident)

    def _choose_anew(self) -> None:
        """Another severity, domain or cause may ask for another procedure: what is done, and what both ask for,
        stays; what only the old one asks for is cancelled, and comes back with it."""
        live = [row for row in self.rows if row["procedure"] and row["why"] != "replaced"]
        chosen = _chosen(self.force, self.incident)
        if chosen is None or {row["procedure"] for row in live} == {chosen.procedure.name}:
            return
        wanted = {step.key for step in chosen.procedure.steps}
        there = {row["step"] for row in live}
        for row in live:
            if row["state"] in _TO_DO and row["step"] not in wanted:
                finish(row, self.force, self.now, TaskState.CANCELLED, "", why="replaced")
        for row in self.rows:
            if row["why"] == "replaced" and row["procedure"] == chosen.procedure.name and row["step"] not in there:
                restore(row)
                there.add(row["step"])
        self._added += [
            row for row in _planned(self.force, chosen, self.incident, self.now) if row["step"] not in there
        ]
        for row in self.rows + self._added:  # what the incident has reached by now is not to be done any more
            if row["done_when"] in _REACHED.get(str(self.incident["state"]), ()) and row["state"] in _TO_DO:
                finish(row, self.force, self.now, TaskState.DONE, str(self.incident["acknowledged_by"] or ""))

    def add(self, row: Row) -> Row:
        """Add a task; it has a number after `save`."""
        self._added.append(row)
        return row

    def to_do(self) -> list[Row]:
        """The tasks that have not ended."""
        return [row for row in self.rows + self._added if row["state"] in _TO_DO]

    def concluded(self) -> bool:
        """Whether a step that the incident's being resolved does is done, and all that does not come after it."""
        done = any(row["done_when"] == "resolved" and row["state"] == TaskState.DONE for row in self.rows)
        later = self._later()
        return done and all(row["step"] in later for row in self.to_do())

    def _later(self) -> set[str]:
        """Steps that come after one that the incident's being resolved does: they look back at what was done."""
        every = self.rows + self._added
        later: set[str] = set()
        found = {str(row["step"]) for row in every if row["done_when"] == "resolved"}
        while found:
            found = {
                str(row["step"])
                for row in every
                if row["step"] and row["step"] not in later and found & set(msgspec.json.decode(row["after"]))
            }
            later |= found
        return later

    def settle(self, state: str) -> None:
        """Let clocks run or stand still as they do while the incident is in a state, and let begin what waited for
        steps that are done now. While it is resolved, what comes after that goes on."""
        every = self.rows + self._added
        ended = {row["step"] for row in every if row["state"] not in _TO_DO}
        known = {row["step"] for row in every}
        later = self._later() if state == "resolved" else set()
        for row in every:
            still = state in _STANDING_STILL and row["step"] not in later
            if row["state"] == TaskState.PLANNED and not _waits(row, ended, known):
                pause(row, self.force, self.now)
            if row["state"] == TaskState.OPEN and still:
                pause(row, self.force, self.now)
            elif row["state"] == TaskState.PAUSED and not still:
                if _waits(row, ended, known):
                    row["state"] = str(TaskState.PLANNED)
                else:
                    begin(row, self.force, self.now)

    def save(self) -> list[Row]:
        """Write what has changed, with timers, notices and the incident's next deadline; returns those rows."""
        changed = [row for row in self.rows if row != self._before[int(row["id"])]]
        for row in changed:
            row.update(changed=self.now, version=int(row["version"]) + 1)
        table = TaskRows(self.tx)
        table.save(changed)
        for row, number in zip(self._added, table.add(self._added), strict=True):
            row["id"] = number
        fresh = [row for row in changed + self._added if row["state"] == TaskState.OPEN]
        begun = [
            row for row in fresh if (before := self._before.get(int(row["id"]))) is None or _other_clock(before, row)
        ]
        if begun:
            timers.set(self.tx, [timer_of(row, self.force, self.now) for row in begun])
        stopped = [
            str(row["id"])
            for row in changed
            if row["state"] != TaskState.OPEN and self._before[int(row["id"])]["state"] == TaskState.OPEN
        ]
        if stopped:
            timers.cancel(self.tx, KIND, *stopped)
        _tell_others(
            self.tx,
            [(row, self.incident) for row in begun if _never_ran(self._before.get(int(row["id"])))],
        )
        rows = self.rows + self._added
        self.rows, self._added = rows, []
        if changed or fresh:
            IncidentRows(self.tx).set_due({int(self.incident["id"]): next_due(rows)})
        self._before = {int(row["id"]): dict(row) for row in rows}
        return changed


def _open_all(tx: Transaction, force: InForce, incidents: Sequence[Mapping[str, Any]], now: int) -> None:
    """Steps become tasks: of many incidents at once."""
    planned: list[tuple[Row, Mapping[str, Any]]] = []
    for incident in incidents:
        chosen = _chosen(force, incident)
        if chosen is not None and incident["state"] not in _ENDED:
            planned += [(row, incident) for row in _planned(force, chosen, incident, now)]
    for row, incident in planned:
        if row["done_when"] in _REACHED.get(str(incident["state"]), ()):
            finish(row, force, now, TaskState.DONE, str(incident["acknowledged_by"] or ""))
        elif row["after"] == "[]":
            begin(row, force, now)
            if incident["state"] in _STANDING_STILL:
                pause(row, force, now)
    numbers = TaskRows(tx).add([row for row, _ in planned])
    due: dict[int, int | None] = {}
    for (row, incident), number in zip(planned, numbers, strict=True):
        row["id"] = number
        if row["due"] is not None:
            known = due.get(int(incident["id"]))
            due[int(incident["id"])] = row["due"] if known is None else min(known, row["due"])
    running = [(row, incident) for row, incident in planned if row["state"] == TaskState.OPEN]
    timers.set(tx, [timer_of(row, force, now) for row, _ in running])
    _tell_others(tx, running)
    IncidentRows(tx).set_due(due)


def _chosen(force: InForce, incident: Mapping[str, Any]) -> StoredProcedure | None:
    return force.choose(str(incident["domain"]), int(incident["severity"]), str(incident["cause"] or ""))


def _unit(unit_of: str, incident: Mapping[str, Any]) -> str:
    """Whose task it is: where the commune is not known, that of the unit responsible."""
    if unit_of == "province":
        return ""
    if unit_of == "commune":
        return str(incident["commune"] or incident["unit"])
    return str(incident["unit"]) if unit_of == "incident" else unit_of


def _planned(force: InForce, stored: StoredProcedure, incident: Mapping[str, Any], now: int) -> list[Row]:
    return [
        _row(force, stored, step, position, incident, now) for position, step in enumerate(stored.procedure.steps, 1)
    ]


def _row(
    force: InForce, stored: StoredProcedure, step: Step, position: int, incident: Mapping[str, Any], now: int
) -> Row:
    within = force.clock(step.clock).length(step.within)
    return {
        "incident_id": int(incident["id"]),
        "procedure": stored.procedure.name,
        "procedure_version": stored.version,
        "step": step.key,
        "position": position,
        "title": _json(step.title),
        "text": _json(step.text),
        "domain": incident["domain"],
        "unit": _unit(step.unit, incident),
        "unit_of": step.unit,
        "commune": incident["commune"],
        "role": step.role,
        "assignee": "",
        "state": str(TaskState.PLANNED),
        "clock": step.clock,
        "within": within,
        "remaining": within,
        "since": None,
        "due": None,
        "late": None,
        "reminded": 0,
        "after": _json(step.after),
        "attach": _json(step.attach),
        "done_when": step.done_when,
        "why": "",
        "created": now,
        "created_by": "",
        "closed": None,
        "closed_by": "",
        "comment": "",
        "evidence": "[]",
        "changed": now,
        "version": 1,
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _waits(row: Row, ended: Iterable[str], known: Iterable[str]) -> bool:
    """Whether a step it comes after is still to be done."""
    if row["after"] == "[]":
        return False
    return any(key in known and key not in ended for key in msgspec.json.decode(row["after"]))


def _never_ran(before: Row | None) -> bool:
    return before is None or (before["since"] is None and before["remaining"] == before["within"])


def _other_clock(before: Row, row: Row) -> bool:
    return bool(before["state"] != row["state"] or before["due"] != row["due"])


def _tell_others(tx: Transaction, begun: Sequence[tuple[Row, Mapping[str, Any]]]) -> None:
    """Tell units of what begins for them, where the incident is another unit's: nobody else would."""
    notices = [
        Notice(Duty(str(row["unit"]), str(row["role"])), "task.new", params(row, incident), int(incident["id"]))
        for row, incident in begun
        if row["unit"] != incident["unit"] and not row["assignee"]
    ]
    if notices:
        enqueue(tx, notices)


def params(row: Mapping[str, Any], incident: Mapping[str, Any]) -> dict[str, Any]:
    """What the words of a notice about a task speak of."""
    title = msgspec.json.decode(row["title"])
    return {
        "task": row["id"],
        "task_vi": title["vi"],
        "task_en": title["en"],
        "due": row["due"],
        "late": row["late"],
        "title": incident["title"],
        "incident": incident["id"],
        "severity": incident["severity"],
        "commune": incident["commune"],
        "url": f"/incidents/{incident['id']}",
    }


# Deadlines.


def due(tx: Transaction, fired: Sequence[timers.Timer], now: int) -> list[timers.Announcement]:
    """Handler of the timers: a deadline was missed, or somebody is to be told again of one that was.

    The first time the one who has the task in hand is told (whoever is on duty, where nobody has), and the
    incident's history says so; the second time the shift lead too, from the third time the leader too; and again
    and again until it is done.
    """
    table, force = TaskRows(tx), in_force(tx)
    numbers = [int(timer.ref) for timer in fired]
    incidents = IncidentRows(tx).many(table.incidents(numbers).values())
    rows = table.many(numbers)
    missed, again, notices, told = [], [], [], []
    for number in numbers:
        row = rows.get(number)
        if row is None or row["state"] != TaskState.OPEN:
            continue
        if row["late"] is None and int(row["due"]) > now:  # it was given more time meanwhile
            again.append(timer_of(row, force, now))
            continue
        incident = incidents[int(row["incident_id"])]
        if row["late"] is None:
            row["late"] = int(row["due"])
            told.append((row, incident))
        row.update(reminded=int(row["reminded"]) + 1, changed=now, version=int(row["version"]) + 1)
        missed.append(row)
        again.append(timer_of(row, force, now))
        notices += _about(row, incident)
    table.save_told(missed)
    timers.set(tx, again)
    if notices:
        enqueue(tx, notices, now)
    return tell(
        tx,
        [
            (
                int(incident["id"]),
                "task_late",
                {
                    "task": row["id"],
                    "step": row["step"],
                    "title": msgspec.json.decode(row["title"]),
                    "due": row["late"],
                },
            )
            for row, incident in told
        ],
    )


def _about(row: Row, incident: Mapping[str, Any]) -> list[Notice]:
    unit, urgent = str(row["unit"]), row["clock"] == "round"
    to: list[Person | Duty] = [Person(str(row["assignee"])) if row["assignee"] else Duty(unit, str(row["role"]))]
    if row["reminded"] >= 2:
        to.append(Duty(unit, "shift_lead"))
    if row["reminded"] >= 3:
        to.append(Duty(unit, "leader"))
    said = params(row, incident)
    # The timer fires once, so there is no second notice to be recognised by a key.
    return [Notice(one, "task.late", said, int(incident["id"]), "", urgent) for one in to]

"""/api/v1/tasks: what is to be done about incidents, by whom, until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.errors import InputError
from thap.kernel.policy import EVERYWHERE, Policy, Subject, Who
from thap.kernel.store import Transaction
from thap.respond.incidents.sources import things_in, things_of
from thap.respond.procedures.book import NewTask, TaskBook, TaskChange
from thap.respond.procedures.model import Task, TaskFilter, TaskPage, TaskState
from thap.respond.procedures.records import RESOURCE
from thap.web.api.alarms import documented
from thap.web.api.incident_bodies import Position
from thap.web.api.incidents import incidents_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.once import Once, OnceDep
from thap.web.params import split
from thap.web.sight import note_reading, store_of

__all__ = ["router", "tasks_of"]

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"])
Reader = Annotated[Caller, Depends(require("incident.read"))]
Worker = Annotated[Caller, Depends(require("task.work"))]
TaskId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the task.")]
Words = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
Login = Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]
Code = Annotated[str, Field(max_length=32, pattern=r"^[^\x00]*$")]
Length = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00]*$")]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Doing(_Given):
    """What is done to a task, and why."""

    comment: Words = ""
    version: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="The task's version the person saw; refused with 409 where it changed since. Without it nothing "
        "is checked.",
    )


class Done(Doing):
    """A task that is done."""

    evidence: list[Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]] = Field(
        default_factory=list,
        max_length=100,
        description="What was attached, by the step's keys: `photo`, or `photo:12` with the number of the link. The "
        "comment says why where something that the step wants is missing.",
    )
    position: Position | None = Field(None, description="Where it was done; kept in the incident's history.")


class More(Doing):
    """More time for a task."""

    length: Length = Field(description="How much, as 2h or 1d, counted by the task's clock.")


class Giving(Doing):
    """To whom a task is given; what is not given stays."""

    assignee: Login | None = Field(None, description="Login; empty takes it away from a person.")
    unit: Code | None = None
    role: Code | None = None


class Adding(_Given):
    """A task that no procedure names."""

    incident: int = Field(ge=1, le=2**63 - 1)
    title: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    text: Annotated[str, Field(max_length=4000, pattern=r"^[^\x00]*$")] = ""
    within: Length = Field(description="How long it may take, as 4h or 3d.")
    clock: Annotated[str, Field(pattern="^(working|round)$")] = "working"
    unit: Code | None = None
    role: Code = "operator"
    assignee: Login = ""


def tasks_of(centre: Centre) -> TaskBook:
    """The task book of this process, made at first use."""
    found: TaskBook | None = centre.parts.get("tasks")
    if found is None:
        found = centre.parts["tasks"] = TaskBook(centre.records, store_of(centre))
    return found


def _seen_as(task: Task | Mapping[str, Any], things: tuple[str, ...] = ()) -> Subject:
    """A task as policy sees it who wants to read it; `things` are what its incident has to do with."""
    if isinstance(task, Task):
        return Subject("task", (task.unit, task.commune), task.domain, things=things)
    return Subject("task", (task["unit"], task["commune"]), task["domain"], things=things)


def _check(
    policy: Policy, who: Who, tx: Transaction, row: Mapping[str, Any] | None, incident: Mapping[str, Any]
) -> None:
    """Whoever has been given a task in person may do it, wherever it lies, unless it is restricted; who adds one works
    on the incident."""
    if row is None:
        policy.check(who, "incident.work", _incident(policy, tx, incident), where=f"incident {incident['id']}")
        return
    things = things_in(tx, policy, int(incident["id"]))
    _check_work(policy, who, row["assignee"], _seen_as(row, things), int(row["id"]))


def _incident(policy: Policy, tx: Transaction, row: Mapping[str, Any]) -> Subject:
    """A task's incident as policy sees it who wants to work on it."""
    things = things_in(tx, policy, int(row["id"]))
    return Subject("incident", (row["unit"], row["commune"]), row["domain"], things=things)


def _check_work(policy: Policy, who: Who, assignee: str, subject: Subject, number: int) -> None:
    if who.kind != "person" or assignee != who.name or policy.hides(who, subject):
        policy.check(who, "task.work", subject, where=f"task {number}")


async def _check_doer(centre: Centre, caller: Caller, number: int) -> None:
    """As `_check`, of a task as it is now, before anything is begun."""
    task, policy = await tasks_of(centre).get(number), await policy_of(centre).current()
    async with centre.records.read() as connection:
        things = (await things_of(connection, policy, [task.incident])).get(task.incident, ())
    _check_work(policy, caller.who, task.assignee, _seen_as(task, things), number)


async def _assignee(centre: Centre, login: str | None, incident: int) -> str | None:
    """The login of somebody to whom a task may be given in person: it opens it to them wherever it lies, so nobody
    from whom a restriction hides the incident.

    Raises:
        InputError: it is such a person's.
    """
    if not login:
        return login
    policy = await policy_of(centre).current()
    if not policy.restrictions:
        return login
    who, found = policy.person(login.strip().lower()) or Who.anonymous(), await incidents_of(centre).get(incident)
    async with centre.records.read() as connection:
        things = (await things_of(connection, policy, [incident])).get(incident, ())
    if policy.hides(who, Subject("incident", (found.unit, found.commune), found.domain, things=things)):
        raise InputError(f"{login!r} is nobody to whom this task can be given", where="assignee")
    return login


async def _book(centre: Centre, caller: Caller, once: Once | None = None) -> TaskBook:
    policy = await policy_of(centre).current()
    store = None if once is None else once.store(centre, caller, lambda change: change.task)

    def may_move(tx: Transaction, incident: Mapping[str, Any]) -> bool:
        return policy.decide(caller.who, "incident.work", _incident(policy, tx, incident)).allowed

    return tasks_of(centre).guarded(
        lambda tx, row, incident: _check(policy, caller.who, tx, row, incident), may_move, store
    )


async def _told(centre: Centre, change: TaskChange) -> Response:
    for subject, body in change.announcements:
        await centre.bus.announce(subject, body)
    return _json(change.task)


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _states(values: list[str] | None) -> frozenset[str]:
    chosen = frozenset(split(values))
    for value in chosen - set(TaskState):
        raise InputError(f"{value!r} is not a state of a task", where="state", hint=f"one of {', '.join(TaskState)}")
    return chosen


_TASK = documented(Task)


@router.get("", summary="Tasks by deadline", response_class=Response, responses=documented(TaskPage))
async def read_tasks(
    centre: CentreDep,
    caller: Reader,
    state: Annotated[list[str] | None, Query(description="States; by default open.")] = None,
    every: Annotated[bool, Query(alias="all", description="Of all states.")] = False,
    incident: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Of one incident.")] = None,
    mine: Annotated[bool, Query(description="Only those given to the caller in person.")] = False,
    assignee: Annotated[str | None, Query(max_length=64, description="Login; `-` is nobody.")] = None,
    unit: Annotated[list[str] | None, Query(description="Units; `82` is the province.")] = None,
    domain: Annotated[list[str] | None, Query(description="Domains, as sand.")] = None,
    role: Annotated[list[str] | None, Query(description="Roles, as operator.")] = None,
    late: Annotated[bool | None, Query(description="Whether the deadline was missed.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")] = None,
) -> Response:
    """Only those the caller may see, and `total` counts only those."""
    chosen = TaskFilter(
        states=frozenset() if every else _states(state) or frozenset({TaskState.OPEN}),
        incident=incident,
        assignee=caller.name if mine else "" if assignee == "-" else assignee,
        units=frozenset("" if code in EVERYWHERE else code for code in split(unit)),
        domains=frozenset(split(domain)),
        roles=frozenset(split(role)),
        late=late,
    )
    policy = await policy_of(centre).current()
    where = policy.where(caller.who, "incident.read", RESOURCE)
    page = await tasks_of(centre).list(where, chosen, limit=limit, after=after)
    await note_reading(centre, caller, policy, "incident", [(f"task:{one.id}", _seen_as(one)) for one in page.items])
    return _json(page)


@router.post("", summary="Add a task by hand", status_code=201, response_class=Response, responses={201: _TASK[200]})
async def add_task(body: Adding, centre: CentreDep, caller: Worker) -> Response:
    unit = "" if body.unit in EVERYWHERE else body.unit
    if unit and unit not in (await policy_of(centre).current()).below(""):
        raise InputError(f"there is no unit {unit!r}", where="unit", hint="`thap units list` shows those there are")
    assignee = await _assignee(centre, body.assignee, body.incident)
    new = NewTask(**{**body.model_dump(exclude={"incident"}), "unit": unit, "assignee": assignee})
    change = await (await _book(centre, caller)).add(body.incident, caller.name, new)
    answer = await _told(centre, change)
    answer.status_code = 201
    return answer


@router.get("/{task_id}", summary="One task", response_class=Response, responses=_TASK)
async def read_task(task_id: TaskId, centre: CentreDep, caller: Reader) -> Response:
    task = await tasks_of(centre).get(task_id)
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        subject = _seen_as(task, (await things_of(connection, policy, [task.incident])).get(task.incident, ()))
    if task.assignee != caller.name or caller.who.kind != "person" or policy.hides(caller.who, subject):
        policy.check(caller.who, "incident.read", subject, where=f"task {task_id}")
    await note_reading(centre, caller, policy, "incident", [(f"task:{task_id}", subject)])
    return _json(task)


@router.post("/{task_id}/done", summary="Say that it is done", response_class=Response, responses=_TASK)
async def do_task(
    task_id: TaskId,
    centre: CentreDep,
    caller: Worker,
    once: OnceDep,
    body: Done = Done(),  # noqa: B008 - an empty body means nothing to say
) -> Response:
    """A step with `done_when` brings its incident there too, as far as the caller may act on it: it is acknowledged or
    begun with the step, and resolved once no other task is to be done but those that come after it."""
    await once.begin(centre, caller, body, lambda: _check_doer(centre, caller, task_id))
    book = await _book(centre, caller, once)
    change = await book.done(
        task_id,
        caller.name,
        comment=body.comment,
        evidence=body.evidence,
        version=body.version,
        position=body.position.model_dump() if body.position else None,
    )
    return await _told(centre, change)


@router.post("/{task_id}/skip", summary="Leave it out, with a reason", response_class=Response, responses=_TASK)
async def skip_task(task_id: TaskId, body: Doing, centre: CentreDep, caller: Worker, once: OnceDep) -> Response:
    await once.begin(centre, caller, body, lambda: _check_doer(centre, caller, task_id))
    book = await _book(centre, caller, once)
    return await _told(centre, await book.skip(task_id, caller.name, comment=body.comment, version=body.version))


@router.post("/{task_id}/reopen", summary="Open it again, with a reason", response_class=Response, responses=_TASK)
async def reopen_task(task_id: TaskId, body: Doing, centre: CentreDep, caller: Worker) -> Response:
    book = await _book(centre, caller)
    return await _told(centre, await book.reopen(task_id, caller.name, comment=body.comment, version=body.version))


@router.post("/{task_id}/extend", summary="Give it more time, with a reason", response_class=Response, responses=_TASK)
async def extend_task(task_id: TaskId, body: More, centre: CentreDep, caller: Worker, once: OnceDep) -> Response:
    await once.begin(centre, caller, body, lambda: _check_doer(centre, caller, task_id))
    book = await _book(centre, caller, once)
    change = await book.extend(task_id, caller.name, body.length, comment=body.comment, version=body.version)
    return await _told(centre, change)


@router.post("/{task_id}/assign", summary="Give it to somebody", response_class=Response, responses=_TASK)
async def assign_task(task_id: TaskId, body: Giving, centre: CentreDep, caller: Worker) -> Response:
    unit = "" if body.unit in EVERYWHERE else body.unit
    if unit and unit not in (await policy_of(centre).current()).below(""):
        raise InputError(f"there is no unit {unit!r}", where="unit", hint="`thap units list` shows those there are")
    book = await _book(centre, caller)
    assignee = await _assignee(centre, body.assignee, (await tasks_of(centre).get(task_id)).incident)
    change = await book.assign(
        task_id,
        caller.name,
        assignee=assignee,
        unit=unit,
        role=body.role,
        comment=body.comment,
        version=body.version,
    )
    return await _told(centre, change)

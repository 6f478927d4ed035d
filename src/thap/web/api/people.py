"""/api/v1/people, /units, /restrictions, /policy: who there is, what they may do, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.domain import domains
from thap.domains.known_records import check_domain
from thap.kernel.accounts import link_path, one_time_link
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.policy import ROLES, Policy, Subject
from thap.kernel.policy import limits as limits_of
from thap.kernel.policy import people as people_of
from thap.kernel.policy import units as units_of
from thap.kernel.policy.explain import Explanation, explain
from thap.kernel.policy.people import Person
from thap.kernel.sessions import end_sessions
from thap.kernel.units import PROVINCE_CODE
from thap.observe.registry import check_restrictable
from thap.web.auth import doubt_credentials
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require

__all__ = ["Login", "Writer", "changeable", "router"]

router = APIRouter(prefix="/api/v1", tags=["people"])
Reader = Annotated[Caller, Depends(require("people.read"))]
Writer = Annotated[Caller, Depends(require("people.write"))]
Login = Annotated[str, Path(max_length=64, description="Login of the person.")]
Word = Annotated[str, Field(max_length=64)]
Line = Annotated[str, Field(max_length=256)]
Until = Annotated[
    int | str | None, Field(description="Moment it ends: µs since 1970 UTC, or ISO 8601; none means never.")
]
_LONGEST_US = 2**61


class _Given(BaseModel):
    """What is not given stays as it is."""

    model_config = ConfigDict(extra="forbid")


class GrantInfo(BaseModel):
    """A role within a unit and all below it, and a domain ('' for all)."""

    role: str
    unit: str
    domain: str
    until: int | None


class ClearanceInfo(BaseModel):
    """Leave to see a restricted thing, domain or unit."""

    kind: str
    ref: str
    until: int | None


class PersonInfo(BaseModel):
    """Somebody who may sign in. Moments are microseconds since 1970 UTC."""

    id: int
    login: str
    name: str
    unit: str
    email: str | None = Field(description="null where the caller may not see it.")
    phone: str | None
    language: str
    disabled: int | None
    created: int
    created_by: str
    changed: int
    version: int
    grants: list[GrantInfo]
    clearances: list[ClearanceInfo] | None


class PeopleList(BaseModel):
    """By login."""

    items: list[PersonInfo]
    total: int


class NewPerson(_Given):
    """A person to add; they have no role and no password yet."""

    login: Word
    name: Line = ""
    unit: Word = PROVINCE_CODE
    email: Line = ""
    phone: Word = ""
    language: Literal["vi", "en"] = "vi"


class PersonChanges(_Given):
    """What to change of a person."""

    name: Line | None = None
    unit: Word | None = None
    email: Line | None = None
    phone: Word | None = None
    language: Literal["vi", "en"] | None = None
    version: int | None = Field(None, description="Refused with 409 where the person changed since.")


class RoleGiven(_Given):
    """A role to give."""

    role: Word
    unit: Word = PROVINCE_CODE
    domain: Word = ""
    until: Until = None
    duration: str | None = Field(None, alias="for", max_length=20, description="Length of time, as 30d.")


class ClearanceGiven(_Given):
    """A clearance to give."""

    kind: Literal["thing", "domain", "unit"]
    ref: Annotated[str, Field(max_length=128)]
    until: Until = None
    duration: str | None = Field(None, alias="for", max_length=20, description="Length of time, as 30d.")


class LinkWanted(_Given):
    """What kind of link."""

    purpose: Literal["password", "everything"] = Field(
        "password", description="`everything` also switches the second factor off, for who lost it."
    )


class MadeLink(BaseModel):
    """A link with which the person sets a password, once."""

    path: str = Field(description="Behind the centre's address. Shown this once.")
    hours: int


class UnitInfo(BaseModel):
    """The province, a department, a commune, or a part of one."""

    code: str
    parent: str
    kind: str
    name: str
    email: str
    phone: str
    changed: int
    people: int = Field(description="How many belong to it.")


class UnitList(BaseModel):
    """The province, departments, communes, by code."""

    items: list[UnitInfo]


class NewUnit(_Given):
    """A unit to add below another."""

    code: Word
    name: Line
    kind: Literal["department", "commune"] = "department"
    parent: Word = PROVINCE_CODE
    email: Line = ""
    phone: Word = ""


class UnitChanges(_Given):
    """What to change of a unit."""

    name: Line | None = None
    parent: Word | None = None
    email: Line | None = None
    phone: Word | None = None


class RestrictionInfo(BaseModel):
    """A thing, domain or unit that only people with a clearance see."""

    kind: str
    ref: str
    reason: str
    created: int
    created_by: str


class RestrictionList(BaseModel):
    """By kind and name."""

    items: list[RestrictionInfo]


class NewRestriction(_Given):
    """What to restrict."""

    kind: Literal["thing", "domain", "unit"]
    ref: Annotated[str, Field(max_length=128)]
    reason: Line = ""


class SubjectInfo(BaseModel):
    """What policy sees of the record."""

    kind: str
    units: list[str]
    domain: str
    thing: str
    things: list[str]


class ExplanationInfo(BaseModel):
    """Whether, and why."""

    person: str
    action: str
    record: str
    allowed: bool
    reasons: list[str]
    subject: SubjectInfo


class RoleInfo(BaseModel):
    """A role with what it allows."""

    role: str
    actions: list[str]


class RoleList(BaseModel):
    """The roles a person can have."""

    items: list[RoleInfo]


# ---- who may


async def _changed(centre: Centre) -> None:
    """Every process takes the change."""
    doubt_credentials(centre)
    await centre.bus.announce("centre.live.people", {})


def _may(policy: Policy, caller: Caller, unit: str, domain: str = "") -> None:
    """Pass who may change people of a unit.

    Raises:
        DeniedError: they may not.
    """
    decision = policy.decide(caller.who, "people.write", Subject("unit", (unit,), domain))
    if not decision.allowed:
        raise DeniedError(
            f"{caller.name!r} may not change people of unit {unit or PROVINCE_CODE!r}"
            + (f" for domain {domain}" if domain else ""),
            where="unit",
            hint="ask an administrator of the province",
        )


async def changeable(connection: AsyncConnection, policy: Policy, caller: Caller, login: str) -> Person:
    """The person, whom the caller may change: in their unit, and wherever they have a role. Otherwise who
    administers one commune could take over the account of somebody with power in another.

    Raises:
        NotFoundError: there is no such person, or the caller may not know of them.
        DeniedError: the caller may not change them.
    """
    person = await _seen(connection, policy, caller, login)
    for unit, domain in {(person.unit, ""), *((grant.unit, grant.domain) for grant in person.grants)}:
        _may(policy, caller, unit, domain)
    return person


async def _seen(connection: AsyncConnection, policy: Policy, caller: Caller, login: str) -> Person:
    person = await people_of.get_person(connection, login)
    if person.login != caller.who.name or caller.who.kind != "person":
        policy.check(caller.who, "people.read", Subject("person", (person.unit,)), where=login)
    return person


def _shown(person: Person, policy: Policy, caller: Caller) -> dict[str, Any]:
    """A person as the caller may see them: how to reach them, and their clearances, are not for everybody."""
    told = person.as_dict()
    own = caller.who.kind == "person" and caller.who.name == person.login
    if not own and not policy.decide(caller.who, "people.write", Subject("person", (person.unit,))).allowed:
        told |= {"email": None, "phone": None, "clearances": None}
    return told


def _info(person: Person, policy: Policy, caller: Caller) -> PersonInfo:
    return PersonInfo.model_validate(_shown(person, policy, caller))


def _until(until: int | str | None, duration: str | None) -> int | None:
    if until is not None and duration is not None:
        raise InputError("say either until when, or for how long", where="until")
    if duration is not None:
        length = parse_duration_us(duration)
        if length >= _LONGEST_US:
            raise InputError("that is too long", where="for")
        return now_us() + length
    return until if until is None or isinstance(until, int) else parse_time_us(until)


# ---- people


@router.get("/people", summary="People the caller may see")
async def read_people(
    centre: CentreDep,
    caller: Reader,
    unit: Annotated[str, Query(max_length=32, description="Only those of this unit.")] = "",
    role: Annotated[str, Query(max_length=32, description="Only those who have this role somewhere.")] = "",
    text: Annotated[str, Query(max_length=64, description="Part of login or name.")] = "",
    disabled: Annotated[bool, Query(description="Also those disabled.")] = False,
) -> PeopleList:
    policy = await policy_of(centre).current()
    where = policy.where(caller.who, "people.read", people_of.RESOURCE)
    async with centre.records.read() as connection:
        found = await people_of.list_people(connection, unit=unit, role=role, text=text, disabled=disabled, where=where)
    return PeopleList(items=[_info(one, policy, caller) for one in found], total=len(found))


@router.get("/people/{login}", summary="One person")
async def read_person(login: Login, centre: CentreDep, caller: Reader) -> PersonInfo:
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        return _info(await _seen(connection, policy, caller, login), policy, caller)


@router.post("/people", status_code=201, summary="Add a person")
async def add_person(body: NewPerson, centre: CentreDep, caller: Writer) -> PersonInfo:
    policy = await policy_of(centre).current()
    _may(policy, caller, body.unit)
    async with centre.records.write() as connection:
        added = await people_of.add_person(connection, **body.model_dump(), by=caller.who)
    await _changed(centre)
    return _info(added, policy, caller)


@router.patch("/people/{login}", summary="Change a person's name, unit, contact or language")
async def edit_person(login: Login, body: PersonChanges, centre: CentreDep, caller: Writer) -> PersonInfo:
    policy = await policy_of(centre).current()
    changes = body.model_dump(exclude_none=True, exclude={"version"})
    async with centre.records.write() as connection:
        await changeable(connection, policy, caller, login)
        if body.unit is not None:
            _may(policy, caller, body.unit)
        changed = await people_of.edit_person(connection, login, changes, by=caller.who, version=body.version)
    await _changed(centre)
    return _info(changed, policy, caller)


@router.post("/people/{login}/disable", summary="Bar a person from signing in; their sessions end now")
async def disable_person(login: Login, centre: CentreDep, caller: Writer) -> PersonInfo:
    return await _set_disabled(centre, caller, login, True)


@router.post("/people/{login}/enable", summary="Let a person sign in again")
async def enable_person(login: Login, centre: CentreDep, caller: Writer) -> PersonInfo:
    return await _set_disabled(centre, caller, login, False)


async def _set_disabled(centre: Centre, caller: Caller, login: str, disabled: bool) -> PersonInfo:
    policy = await policy_of(centre).current()
    async with centre.records.write() as connection:
        await changeable(connection, policy, caller, login)
        person = await people_of.set_disabled(connection, login, disabled, by=caller.who)
        if disabled:
            await end_sessions(connection, person.id, "disabled")
    await _changed(centre)
    await centre.bus.announce("centre.live.sessions", {})
    return _info(person, policy, caller)


@router.put("/people/{login}/grants", summary="Give a person a role, or move its end")
async def give_role(login: Login, body: RoleGiven, centre: CentreDep, caller: Writer) -> PersonInfo:
    policy, until = await policy_of(centre).current(), _until(body.until, body.duration)
    _may(policy, caller, body.unit, body.domain)
    async with centre.records.write() as connection:
        await _seen(connection, policy, caller, login)
        await check_domain(connection, body.domain)
        person = await people_of.grant(
            connection, login, body.role, unit=body.unit, domain=body.domain, until=until, by=caller.who
        )
    await _changed(centre)
    return _info(person, policy, caller)


@router.delete("/people/{login}/grants", summary="Take a role from a person")
async def take_role(
    login: Login,
    centre: CentreDep,
    caller: Writer,
    role: Annotated[str, Query(max_length=32)],
    unit: Annotated[str, Query(max_length=32)] = PROVINCE_CODE,
    domain: Annotated[str, Query(max_length=32)] = "",
) -> PersonInfo:
    policy = await policy_of(centre).current()
    _may(policy, caller, unit, domain)
    async with centre.records.write() as connection:
        await _seen(connection, policy, caller, login)
        person = await people_of.revoke(connection, login, role, unit=unit, domain=domain, by=caller.who)
    await _changed(centre)
    return _info(person, policy, caller)


@router.put("/people/{login}/clearances", summary="Let a person see something restricted")
async def give_clearance(login: Login, body: ClearanceGiven, centre: CentreDep, caller: Writer) -> PersonInfo:
    policy, until = await policy_of(centre).current(), _until(body.until, body.duration)
    _may(policy, caller, PROVINCE_CODE)
    async with centre.records.write() as connection:
        person = await people_of.clear(connection, login, body.kind, body.ref, until=until, by=caller.who)
    await _changed(centre)
    return _info(person, policy, caller)


@router.delete("/people/{login}/clearances", summary="Take a clearance back")
async def take_clearance(
    login: Login,
    centre: CentreDep,
    caller: Writer,
    kind: Annotated[Literal["thing", "domain", "unit"], Query()],
    ref: Annotated[str, Query(max_length=128)],
) -> PersonInfo:
    policy = await policy_of(centre).current()
    _may(policy, caller, PROVINCE_CODE)
    async with centre.records.write() as connection:
        person = await people_of.unclear(connection, login, kind, ref, by=caller.who)
    await _changed(centre)
    return _info(person, policy, caller)


@router.post("/people/{login}/link", status_code=201, summary="A link with which a person sets a password, once")
async def make_link(
    login: Login,
    centre: CentreDep,
    caller: Writer,
    body: LinkWanted = LinkWanted(),  # noqa: B008 - an empty body means a password
) -> MadeLink:
    policy = await policy_of(centre).current()
    async with centre.records.write() as connection:
        person = await changeable(connection, policy, caller, login)
        secret = await one_time_link(connection, person.id, purpose=body.purpose, by=caller.name)
        entry = Entry(caller.who, "link.make", f"person:{person.login}", {"purpose": body.purpose}, caller.address)
        await append_async(connection, [entry])
    return MadeLink(path=link_path(secret), hours=24)


# ---- units


@router.get("/units", summary="The tree of units")
async def read_units(
    centre: CentreDep,
    _caller: Reader,
    kind: Annotated[Literal["", "province", "department", "commune"], Query()] = "",
    parent: Annotated[str, Query(max_length=32, description="Only those just below this unit.")] = "",
) -> UnitList:
    async with centre.records.read() as connection:
        found = await units_of.list_units(connection, kind, parent)
    return UnitList(items=[UnitInfo.model_validate(unit.as_dict()) for unit in found])


@router.get("/units/{code}", summary="One unit")
async def read_unit(code: Annotated[str, Path(max_length=32)], centre: CentreDep, _caller: Reader) -> UnitInfo:
    async with centre.records.read() as connection:
        return UnitInfo.model_validate((await units_of.get_unit(connection, code)).as_dict())


@router.post("/units", status_code=201, summary="Add a unit")
async def add_unit(body: NewUnit, centre: CentreDep, caller: Writer) -> UnitInfo:
    _may(await policy_of(centre).current(), caller, body.parent)
    async with centre.records.write() as connection:
        added = await units_of.add_unit(connection, **body.model_dump(), by=caller.who)
    await _changed(centre)
    return UnitInfo.model_validate(added.as_dict())


@router.patch("/units/{code}", summary="Change a unit")
async def edit_unit(
    code: Annotated[str, Path(max_length=32)], body: UnitChanges, centre: CentreDep, caller: Writer
) -> UnitInfo:
    policy = await policy_of(centre).current()
    _may(policy, caller, code)
    if body.parent is not None:  # who sees a unit's records changes with what stands above it
        _may(policy, caller, PROVINCE_CODE)
    async with centre.records.write() as connection:
        changed = await units_of.edit_unit(connection, code, body.model_dump(exclude_none=True), by=caller.who)
    await _changed(centre)
    return UnitInfo.model_validate(changed.as_dict())


# ---- restrictions


def _infos(found: Sequence[Any]) -> list[RestrictionInfo]:
    return [RestrictionInfo.model_validate(one, from_attributes=True) for one in found]


@router.get("/restrictions", summary="What only people with a clearance see")
async def read_restrictions(centre: CentreDep, caller: Writer) -> RestrictionList:
    _may(await policy_of(centre).current(), caller, PROVINCE_CODE)
    async with centre.records.read() as connection:
        return RestrictionList(items=_infos(await limits_of.list_restrictions(connection)))


@router.post("/restrictions", status_code=201, summary="Restrict a thing, a domain or a unit")
async def add_restriction(body: NewRestriction, centre: CentreDep, caller: Writer) -> RestrictionInfo:
    _may(await policy_of(centre).current(), caller, PROVINCE_CODE)
    known = domains()
    async with centre.records.write() as connection:
        made = await limits_of.restrict(connection, body.kind, body.ref, body.reason, by=caller.who)
        await check_restrictable(connection, made.kind, made.ref, known)
    await _changed(centre)
    return _infos([made])[0]


@router.delete("/restrictions/{kind}/{ref}", summary="End a restriction, and the clearances for it")
async def end_restriction(
    kind: Literal["thing", "domain", "unit"],
    ref: Annotated[str, Path(max_length=128)],
    centre: CentreDep,
    caller: Writer,
) -> RestrictionInfo:
    _may(await policy_of(centre).current(), caller, PROVINCE_CODE)
    async with centre.records.write() as connection:
        ended = await limits_of.lift(connection, kind, ref, by=caller.who)
    await _changed(centre)
    return _infos([ended])[0]


# ---- policy


@router.get("/policy/roles", summary="The roles there are, and what they allow")
async def read_roles(_caller: Reader) -> RoleList:
    return RoleList(items=[RoleInfo(role=role, actions=sorted(ROLES[role])) for role in people_of.GIVEN_ROLES])


_READ_AS = {"task": "incident.read", "mover": "thing.read", "person": "people.read"}
"""Kinds of records that are read by another action than their own."""


def _may_know(policy: Policy, caller: Caller, told: Explanation) -> bool:
    """Whether the caller may hear that there is such a record, and what it is: who may see it, and who gives roles and
    clearances in the whole province."""
    kind = told.subject.kind
    if kind == "unit" or policy.may(caller.who, "people.write", PROVINCE_CODE):  # units are nothing secret
        return True
    return policy.decide(caller.who, _READ_AS.get(kind, f"{kind}.read"), told.subject).allowed


@router.get("/policy/explain", summary="Why somebody may, or may not, do something to a record")
async def explain_policy(
    centre: CentreDep,
    caller: Reader,
    person: Annotated[str, Query(max_length=64, description="Login; oneself, or with people.write anybody.")],
    action: Annotated[str, Query(max_length=32, description="As incident.close.")],
    record: Annotated[str, Query(max_length=200, description="As incident:12, alarm:5, thing:cam-1.")],
) -> ExplanationInfo:
    policies = policy_of(centre)
    policies.changed()
    policy = await policies.current()
    async with centre.records.read() as connection:
        if caller.who.kind != "person" or person != caller.name:
            _may(policy, caller, (await _seen(connection, policy, caller, person)).unit)
        told = await explain(connection, policy, person, action, record)
    if not _may_know(policy, caller, told):
        raise NotFoundError(f"there is no {record[:100]!r}", where="record")
    return ExplanationInfo.model_validate(told.as_dict())

"""/api/v1/notices: who was told what, what came of it, and how people want to be told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel import audit
from thap.kernel.clock import now_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.policy import Policy, Subject
from thap.kernel.policy.people import get_person
from thap.kernel.store import Transaction
from thap.kernel.units import PROVINCE_CODE
from thap.respond.notify import Address, Duty, Notice, Person, Recipient, enqueue
from thap.respond.notify.carrier import target
from thap.respond.notify.people import Channel, Preferences, preferences_of, put_preferences
from thap.respond.notify.records import (
    OutboxRows,
    attempts_of,
    counts,
    deliveries_of,
    notice_rows,
    seen_by,
)
from thap.web import links
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.sight import store_of

__all__ = ["router"]

_notices = APIRouter(prefix="/api/v1/notices", tags=["notices"])
router = APIRouter()
Reader = Annotated[Caller, Depends(require("notice.read"))]
Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the notice.")]
Login = Annotated[str, Path(max_length=64, description="Login of the person.")]
States = Literal["", "waiting", "taken", "unreachable", "sent", "open", "held", "failed"]


class NoticeInfo(BaseModel):
    """A notice, and how many messages it led to. Moments are microseconds since 1970 UTC."""

    id: int
    created: int
    to: str = Field(description="person:LOGIN, duty:UNIT/ROLE or address:…")
    template: str
    params: dict[str, Any] | None = Field(description="null where the caller may not see them.")
    incident: int | None
    urgent: bool
    state: str = Field(description="waiting, taken, or unreachable where nobody could be told.")
    repeats: int = Field(description="How many equal ones it stands for besides itself.")
    sent: int
    open: int
    failed: int


class NoticeList(BaseModel):
    """Notices, the newest first."""

    items: list[NoticeInfo]
    next: int | None = Field(description="Give it as `before` to get the next page; null on the last.")
    waiting: int = Field(description="Messages not sent yet, in all.")
    failing: int = Field(description="Those of them that failed at least once.")


class AttemptInfo(BaseModel):
    """One try."""

    time: int
    took_ms: int
    ok: bool
    error: str


class DeliveryInfo(BaseModel):
    """One message to one address."""

    id: int
    login: str
    channel: str
    address: str | None = Field(description="null where the caller may not see it.")
    state: str
    due: int
    attempts: int
    error: str
    sent: int | None
    digest: int | None = Field(description="The delivery whose message carried it.")
    tries: list[AttemptInfo]


class NoticeDetail(BaseModel):
    """A notice with its delivery log."""

    notice: NoticeInfo
    deliveries: list[DeliveryInfo]


class Retried(BaseModel):
    """How many messages are tried again now."""

    retried: int


class TestWanted(BaseModel):
    """To whom a test goes."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field("", max_length=500, description="person:LOGIN, duty:UNIT/ROLE or channel:address; you by default.")


class ChannelGiven(BaseModel):
    """One way to a person."""

    model_config = ConfigDict(extra="forbid")

    channel: str = Field(max_length=32)
    address: str = Field(max_length=256, pattern=r"^[^\x00-\x1f]+$")
    enabled: bool = True
    urgent_only: bool = False


class PreferencesGiven(BaseModel):
    """How a person wants to be told."""

    model_config = ConfigDict(extra="forbid")

    language: Literal["vi", "en"] = "vi"
    quiet_from: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="As 22:00, Việt Nam's time.")
    quiet_until: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    channels: list[ChannelGiven] = Field(default_factory=list, max_length=10)


class PreferencesInfo(PreferencesGiven):
    """What they chose, and which channels the centre has."""

    login: str
    available: list[str]


# ---- the log


@_notices.get("", summary="Notices the caller may see")
async def read_notices(
    centre: CentreDep,
    caller: Reader,
    state: Annotated[States, Query(description="Of the notice, or of one of its messages.")] = "",
    login: Annotated[str, Query(max_length=64, description="Only to this person.")] = "",
    incident: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    template: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> NoticeList:
    policy = await policy_of(centre).current()
    where = seen_by(policy, caller.who)
    async with centre.records.read() as connection:
        found = await notice_rows(
            connection,
            where=where,
            state=state,
            login=login,
            incident=incident,
            template=template,
            limit=limit + 1,
            before=before,
        )
        many = await counts(connection, where)
    items = [_info(row, policy, caller) for row in found[:limit]]
    following = items[-1].id if len(found) > limit else None
    return NoticeList(items=items, next=following, waiting=many["open"], failing=many["failing"])


@_notices.get("/{number}", summary="One notice and its delivery log")
async def read_notice(centre: CentreDep, caller: Reader, number: Number) -> NoticeDetail:
    policy = await policy_of(centre).current()
    row = await _seen(centre, policy, caller, number)
    async with centre.records.read() as connection:
        deliveries = await deliveries_of(connection, number)
        tries = await attempts_of(connection, number)
    full = _sees_people(policy, caller)
    return NoticeDetail(
        notice=_info(row, policy, caller),
        deliveries=[
            DeliveryInfo(
                **{name: one[name] for name in ("id", "login", "channel", "state", "due", "attempts", "error", "sent")},
                address=one["address"] if full or one["login"] == caller.name else None,
                digest=one["digest"],
                tries=[
                    AttemptInfo(**{name: row[name] for name in ("time", "took_ms", "ok", "error")})
                    for row in tries
                    if row["delivery_id"] == one["id"]
                ],
            )
            for one in deliveries
        ],
    )


@_notices.post("/{number}/retry", summary="Try what failed or waits again now")
async def retry(
    centre: CentreDep, caller: Annotated[Caller, Depends(require("duty.write"))], number: Number
) -> Retried:
    policy = await policy_of(centre).current()
    await _seen(centre, policy, caller, number)
    now = now_us()

    def work(tx: Transaction) -> int:
        again = OutboxRows(tx).again(number, now)
        if again:
            audit.append(tx, [audit.Entry(caller.who, "notice.retry", f"notice:{number}", {"messages": again})])
        return again

    return Retried(retried=await store_of(centre).transact(work))


@_notices.post("/test", summary="Send a test")
async def send_test(centre: CentreDep, caller: Reader, wanted: TestWanted) -> NoticeInfo:
    to = _recipient(wanted.to or f"person:{caller.name}")
    policy = await policy_of(centre).current()
    if to != Person(caller.name) and not policy.may(caller.who, "duty.write", PROVINCE_CODE):
        raise DeniedError("a test to others takes duty.write in the province", where="to")

    def work(tx: Transaction) -> dict[str, Any]:
        [number] = enqueue(tx, [Notice(to, "test", urgent=True)])
        audit.append(tx, [audit.Entry(caller.who, "notice.test", f"notice:{number}", {"to": wanted.to})])
        return {**(OutboxRows(tx).notice(number) or {}), "sent": 0, "open": 0, "failed": 0}

    return _info(await store_of(centre).transact(work), policy, caller)


# ---- preferences


@_notices.get("/preferences/{login}", summary="How a person wants to be told")
async def read_preferences(centre: CentreDep, caller: Reader, login: Login) -> PreferencesInfo:
    login = await _theirs(centre, caller, login)
    return _chosen(centre, await store_of(centre).transact(lambda tx: preferences_of(tx, login)))


@_notices.put("/preferences/{login}", summary="Choose how to be told")
async def choose(centre: CentreDep, caller: Reader, login: Login, given: PreferencesGiven) -> PreferencesInfo:
    login = await _theirs(centre, caller, login)
    if (given.quiet_from is None) != (given.quiet_until is None):
        raise InputError("quiet hours have a beginning and an end", where="quiet_until")
    for number, one in enumerate(given.channels):
        try:
            target(centre.settings.notify, one.channel, one.address)
        except InputError as error:
            raise InputError(error.message, where=f"channels.{number}", hint=error.hint) from None
        if not one.channel:
            raise InputError("a channel of the settings", where=f"channels.{number}")
    if len({(one.channel, one.address) for one in given.channels}) < len(given.channels):
        raise InputError("a way is named twice", where="channels")
    chosen = Preferences(
        login=login,
        language=given.language,
        quiet_from=_minutes(given.quiet_from),
        quiet_until=_minutes(given.quiet_until),
        channels=[Channel(**one.model_dump()) for one in given.channels],
    )

    def work(tx: Transaction) -> Preferences:
        put_preferences(tx, chosen, now_us())
        told = {"channels": [one.channel for one in chosen.channels], "language": chosen.language}
        audit.append(tx, [audit.Entry(caller.who, "notice.preferences", f"person:{login}", told)])
        return preferences_of(tx, login)

    return _chosen(centre, await store_of(centre).transact(work))


async def _theirs(centre: Centre, caller: Caller, login: str) -> str:
    """The login of a person whose preferences the caller may know: their own, or of those they administer.

    Raises:
        NotFoundError: there is no such person, or the caller may not know of them.
        DeniedError: the caller may not change them.
    """
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        try:
            person = await get_person(connection, login)
        except NotFoundError:
            raise NotFoundError("there is no such person", where=login) from None
    if caller.who.kind != "person" or caller.name != person.login:
        policy.check(caller.who, "people.write", Subject("person", (person.unit,)), where=login)
        for grant in person.grants:  # notices carry links that act for the person, wherever they have a role
            at = Subject("person", (grant.unit,), grant.domain)
            if not policy.decide(caller.who, "people.write", at).allowed:
                raise DeniedError(f"{login!r} has a role elsewhere too", where=login, hint="ask an administrator there")
    return person.login


# ---- how they are shown


async def _seen(centre: Centre, policy: Policy, caller: Caller, number: int) -> dict[str, Any]:
    where = seen_by(policy, caller.who)
    async with centre.records.read() as connection:
        found = await notice_rows(connection, where=where, limit=1, before=number + 1, only=number)
    if not found:
        raise NotFoundError(f"there is no notice {number}", hint="`thap notices list` shows those there are")
    return found[0]


def _sees_people(policy: Policy, caller: Caller) -> bool:
    return policy.may(caller.who, "personal.read", PROVINCE_CODE)


def _info(row: dict[str, Any], policy: Policy, caller: Caller) -> NoticeInfo:
    """A notice as the caller may see it: whoever is no person of the centre is not for everybody to know."""
    hidden = row["to_kind"] == "address" and not _sees_people(policy, caller)
    if row["to_kind"] == "duty":
        to = f"duty:{row['to_unit'] or PROVINCE_CODE}/{row['to_role']}"
    elif row["to_kind"] == "person":
        to = f"person:{row['to_name']}"
    else:
        to = "address:…" if hidden else f"address:{row['to_name']}"
    kept = ("id", "created", "template", "incident", "urgent", "state", "repeats", "sent", "open", "failed")
    params = None if hidden else orjson.loads(row["params"])
    return NoticeInfo(**{name: row[name] for name in kept}, to=to, params=params)


def _recipient(text: str) -> Recipient:
    kind, _, rest = text.partition(":")
    if not rest:
        raise InputError(f"{text!r} is nobody", where="to", hint="person:LOGIN, duty:UNIT/ROLE or channel:address")
    if kind == "person":
        return Person(rest)
    if kind == "duty":
        unit, _, role = rest.partition("/")
        return Duty(unit, role)
    if rest.startswith("//"):
        raise InputError("a test goes to a channel of the settings, not to any address", where="to")
    return Address(text)


def _minutes(text: str | None) -> int | None:
    return None if text is None else int(text[:2]) * 60 + int(text[3:])


def _chosen(centre: Centre, chosen: Preferences) -> PreferencesInfo:
    def clock(minutes: int | None) -> str | None:
        return None if minutes is None else f"{minutes // 60:02}:{minutes % 60:02}"

    return PreferencesInfo(
        login=chosen.login,
        language="en" if chosen.language == "en" else "vi",
        quiet_from=clock(chosen.quiet_from),
        quiet_until=clock(chosen.quiet_until),
        channels=[
            ChannelGiven(channel=c.channel, address=c.address, enabled=c.enabled, urgent_only=c.urgent_only)
            for c in chosen.channels
        ],
        available=sorted(centre.settings.notify.channels),
    )


router.include_router(_notices)
router.include_router(links.router)

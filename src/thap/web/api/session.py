"""/api/v1/session: who is signed in, and what they may change about it themselves."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.accounts import Person
from thap.kernel.clock import MINUTE_US, now_us
from thap.kernel.errors import ConflictError, DeniedError, NotFoundError
from thap.kernel.policy import ACTIONS
from thap.kernel.second_factor import otpauth_uri, qr_picture
from thap.kernel.sessions import end_sessions
from thap.web.auth import accounts_of, caller_of, end_session, may, sessions_of
from thap.web.deps import Caller, Centre, CentreDep

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/session", tags=["session"])
_ISSUER = "Tháp"
_YOUNG_US = 10 * MINUTE_US


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewPassword(_Body):
    """A change of one's own password."""

    old: str = Field("", max_length=1000, description="The present one; empty where there is none yet.")
    new: str = Field(max_length=1000)


class Proof(_Body):
    """The password once more, before something weighty."""

    password: str = Field(max_length=1000)


class Code(_Body):
    """A code that the authenticator shows."""

    code: str = Field(max_length=40)


class RoleHeld(BaseModel):
    """A role, and where it holds."""

    role: str
    unit: str
    domain: str
    until: int | None


class IssuerState(BaseModel):
    """Another system that can vouch for people."""

    name: str
    title: dict[str, str]
    linked: bool


class Me(BaseModel):
    """Who calls."""

    name: str = Field(description="Login of a person, name of a token, or local.")
    title: str = Field(description="Name of the person.")
    kind: str = Field(description="person, token or local.")
    unit: str
    language: str
    roles: list[RoleHeld]
    scopes: list[str]
    actions: list[str] = Field(description="What they may do somewhere; where exactly, policy says of each record.")
    session: int | None = Field(description="Number of the session; null for a bearer token.")
    password: bool = Field(description="Whether the person has a password.")
    second_factor: bool
    recovery_codes: int = Field(description="Recovery codes not yet used.")
    issuers: list[IssuerState]


class SessionInfo(BaseModel):
    """A session in force. Moments are microseconds since 1970 UTC."""

    id: int
    method: str
    created: int
    seen: int
    expires: int
    address: str
    agent: str
    current: bool


class SessionList(BaseModel):
    items: list[SessionInfo]


class NewFactor(BaseModel):
    """What an authenticator needs; shown once."""

    secret: str
    uri: str
    picture: str = Field(description="QR code of the address, as data:image/svg+xml.")


class RecoveryCodes(BaseModel):
    recovery_codes: list[str] = Field(description="Each good once. Shown this once and never again.")


class Ended(BaseModel):
    ended: int


async def _person(request: Request) -> tuple[Caller, int, int]:
    """The caller, who must be a person in a session: caller, number of the person, of the session.

    Raises:
        DeniedError: it is a token.
    """
    caller = await caller_of(request)
    if caller.who.person_id is None or caller.session is None:
        raise DeniedError(
            f"{caller.name!r} is no person who has signed in", hint="sign in with a login on the centre's page"
        )
    return caller, caller.who.person_id, caller.session


@router.get("", summary="Who is signed in, and with which roles")
async def read_me(request: Request, centre: CentreDep) -> Me:
    caller = await caller_of(request)
    who = caller.who
    person, title, left, linked = None, "", 0, frozenset[str]()
    if who.person_id is not None:
        accounts = accounts_of(centre)
        person = await accounts.person(who.person_id)
        title = person.name
        left = await accounts.recovery_left(who.person_id)
        linked = frozenset(identity["issuer"] for identity in await accounts.identities_of(who.person_id))
    return Me(
        name=caller.name,
        title=title,
        kind=who.kind,
        unit=who.unit,
        language=who.language,
        roles=[RoleHeld(role=g.role, unit=g.unit, domain=g.domain, until=g.until) for g in who.grants],
        scopes=sorted(caller.scopes),
        actions=sorted(action for action in ACTIONS if may(who, action)),
        session=caller.session,
        password=person is not None and person.password is not None,
        second_factor=person is not None and person.totp is not None,
        recovery_codes=left,
        issuers=[
            IssuerState(name=one.name, title=one.title or {"vi": one.name, "en": one.name}, linked=one.issuer in linked)
            for one in centre.settings.sign_in.issuers
        ],
    )


@router.get("/all", summary="Your sessions in force")
async def read_sessions(request: Request, centre: CentreDep) -> SessionList:
    _, person_id, current = await _person(request)
    found = await sessions_of(centre).of_person(person_id)
    return SessionList(items=[SessionInfo(**one.as_dict(), current=one.id == current) for one in found])


@router.delete("/others", summary="End all your sessions but this one")
async def end_others(request: Request, centre: CentreDep) -> Ended:
    _, person_id, current = await _person(request)
    async with centre.records.write() as connection:
        count = await end_sessions(connection, person_id, "ended by its person", keep=current)
    await _announce(centre)
    return Ended(ended=count)


@router.delete("/{number}", summary="End one of your sessions")
async def end_one(
    request: Request, centre: CentreDep, number: Annotated[int, Path(ge=1, le=2**31 - 1)]
) -> dict[str, Any]:
    _, person_id, _ = await _person(request)
    await end_session(request, number, "ended by its person", person_id=person_id)
    return {"id": number}


@router.post("/password", summary="Change your password; your other sessions end")
async def change_password(request: Request, centre: CentreDep, body: NewPassword) -> dict[str, Any]:
    caller, person_id, current = await _person(request)
    person = await accounts_of(centre).person(person_id)
    await _prove(centre, caller, person, body.old)
    await accounts_of(centre).set_password(person_id, body.new, by=caller.who, address=caller.address, keep=current)
    await _announce(centre)
    return {"changed": True}


@router.post("/second-factor", summary="Begin to set up a second factor")
async def begin_factor(request: Request, centre: CentreDep, body: Proof) -> NewFactor:
    caller, person_id, _ = await _person(request)
    accounts = accounts_of(centre)
    person = await accounts.prove(person_id, body.password, address=caller.address)
    secret = await accounts.begin_totp(person_id)
    uri = otpauth_uri(secret, person.login, _ISSUER)
    return NewFactor(secret=secret, uri=uri, picture=qr_picture(uri))


@router.post("/second-factor/confirm", summary="Switch the second factor on with its first code")
async def confirm_factor(request: Request, centre: CentreDep, body: Code) -> RecoveryCodes:
    caller, person_id, _ = await _person(request)
    codes = await accounts_of(centre).confirm_totp(person_id, body.code, address=caller.address)
    return RecoveryCodes(recovery_codes=codes)


@router.post("/second-factor/off", summary="Switch the second factor off")
async def end_factor(request: Request, centre: CentreDep, body: Proof) -> dict[str, Any]:
    caller, person_id, _ = await _person(request)
    accounts = accounts_of(centre)
    await accounts.prove(person_id, body.password, address=caller.address)
    await accounts.end_totp(person_id, by=caller.who, address=caller.address)
    return {"second_factor": False}


@router.delete("/identities/{name}", summary="Forget your identity at another issuer")
async def unlink(request: Request, centre: CentreDep, name: str) -> dict[str, Any]:
    caller, person_id, _ = await _person(request)
    issuer = next((one.issuer for one in centre.settings.sign_in.issuers if one.name == name), None)
    if issuer is None:
        raise NotFoundError(f"no issuer named {name[:40]!r} is set up", where="sign_in.issuers")
    await accounts_of(centre).unlink(person_id, issuer, by=caller.who, address=caller.address)
    return {"linked": False}


async def _prove(centre: Centre, caller: Caller, person: Person, password: str) -> None:
    """The present password; where there is none yet, a session that began a moment ago.

    Raises:
        SignInError: the password is wrong.
        ConflictError: there is none, and the session is old.
    """
    if person.password is not None:
        await accounts_of(centre).prove(person.id, password, address=caller.address)
        return
    mine = [one for one in await sessions_of(centre).of_person(person.id) if one.id == caller.session]
    if not mine or mine[0].created < now_us() - _YOUNG_US:
        raise ConflictError("this session is too old to set a first password", hint="sign in again, then set it")


async def _announce(centre: Centre) -> None:
    sessions_of(centre).changed()
    await centre.bus.announce("centre.live.sessions", {})

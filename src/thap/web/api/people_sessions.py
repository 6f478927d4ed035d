"""/api/v1/people/LOGIN/sessions: where somebody is signed in, and ending that."""

from __future__ import annotations

from fastapi import APIRouter

from thap.kernel.audit import Entry, append_async
from thap.kernel.sessions import end_sessions
from thap.web.api.people import Login, Writer, changeable
from thap.web.api.session import Ended, SessionInfo, SessionList
from thap.web.auth import sessions_of
from thap.web.deps import CentreDep, policy_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/people/{login}/sessions", tags=["people"])


@router.get("", summary="A person's sessions in force")
async def read_sessions(login: Login, centre: CentreDep, caller: Writer) -> SessionList:
    """The last used first; `current` is the one this request rides on."""
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        person = await changeable(connection, policy, caller, login)
    found = await sessions_of(centre).of_person(person.id)
    return SessionList(items=[SessionInfo(**one.as_dict(), current=one.id == caller.session) for one in found])


@router.delete("", summary="End all sessions of a person; they may sign in again")
async def end_all(login: Login, centre: CentreDep, caller: Writer) -> Ended:
    """All but the one this request rides on."""
    policy = await policy_of(centre).current()
    async with centre.records.write() as connection:
        person = await changeable(connection, policy, caller, login)
        ended = await end_sessions(connection, person.id, "ended by an administrator", keep=caller.session)
        entry = Entry(caller.who, "session.end_all", f"person:{person.login}", {"ended": ended}, caller.address)
        await append_async(connection, [entry])
    sessions_of(centre).changed()
    await centre.bus.announce("centre.live.sessions", {})
    return Ended(ended=ended)

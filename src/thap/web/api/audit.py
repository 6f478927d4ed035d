"""/api/v1/audit: who did what, for those who check it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from thap.kernel.audit import (
    AuditFilter,
    Entry,
    Verified,
    append_async,
    entries_before,
    newest,
    parse_anchor,
    stream_entries,
    verify,
)
from thap.kernel.clock import iso, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import DeniedError, InputError
from thap.kernel.units import PROVINCE_CODE
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])
_TOLD_S = 0.2
Auditor = Annotated[Caller, Depends(require("audit.read"))]


class AuditEntry(BaseModel):
    """One entry. `hash` covers it and `previous`, the hash of the entry before."""

    id: int
    time: int = Field(description="Microseconds since 1970 UTC.")
    who: str
    kind: str = Field(description="What `who` is: person, token, name (one of these two), local, system, anonymous.")
    action: str
    object: str
    detail: Any
    address: str
    hash: str
    previous: str


class AuditPage(BaseModel):
    """The newest first."""

    items: list[AuditEntry]
    next: int | None = Field(description="`before` of the next page; null on the last.")


class AuditVerified(BaseModel):
    """What a verification found."""

    whole: bool
    entries: int = Field(description="How many hold together, from the oldest on.")
    first: int | None
    last: int | None
    anchor: str | None = Field(description="Keep it elsewhere: a later verification can be held against it.")
    broken_at: int | None = Field(description="The entry at which the chain breaks.")
    why: str


def _moment(text: str | None, where: str) -> int | None:
    """A moment, or a length of time before now."""
    if text is None:
        return None
    try:
        return now_us() - parse_duration_us(text)
    except InputError:
        pass
    try:
        moment = parse_time_us(text)
    except InputError as error:
        raise InputError(error.message, where=where, hint="write 7d, or ISO 8601 as 2026-11-22T08:00:00Z") from None
    if not -(2**62) < moment < 2**62:
        raise InputError("no database keeps that moment", where=where)
    return moment


def _filter(
    who: Annotated[str, Query(max_length=64)] = "",
    action: Annotated[str, Query(max_length=64, description="May end with *, as sign_in*.")] = "",
    object: Annotated[str, Query(max_length=300, description="As incident:12.")] = "",
    since: Annotated[str | None, Query(max_length=40, description="Moment, or length of time as 7d.")] = None,
    until: Annotated[str | None, Query(max_length=40, description="Moment, excluded.")] = None,
) -> AuditFilter:
    if any("\x00" in text for text in (who, action, object)):
        raise InputError("no entry holds that character", where="query")
    return AuditFilter(who, action, object, _moment(since, "since"), _moment(until, "until"))


Chosen = Annotated[AuditFilter, Depends(_filter)]


async def _check(centre: Centre, caller: Caller) -> None:
    """The log tells of every unit, so it takes the role in the whole province.

    Raises:
        DeniedError: the caller has it in a unit or domain only.
    """
    if not (await policy_of(centre).current()).may(caller.who, "audit.read", PROVINCE_CODE):
        raise DeniedError(f"{caller.name!r} may not read the audit log of the province", where="audit.read")


@router.get("", summary="Entries of the audit log, the newest first")
async def read_audit(
    centre: CentreDep,
    caller: Auditor,
    chosen: Chosen,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="`next` of the page before.")] = None,
) -> AuditPage:
    await _check(centre, caller)
    async with centre.records.read() as connection:
        found = await entries_before(connection, before, limit + 1, chosen)
    items = [AuditEntry.model_validate(entry) for entry in found[:limit]]
    return AuditPage(items=items, next=items[-1].id if len(found) > limit else None)


@router.get("/verify", summary="Whether the log is as it was written, and where it is not")
async def verify_audit(
    centre: CentreDep,
    caller: Auditor,
    anchor: Annotated[str | None, Query(max_length=100, description="NUMBER:HASH of an earlier verification.")] = None,
) -> AuditVerified:
    await _check(centre, caller)
    return _verified(await verify(centre.records, None if anchor is None else parse_anchor(anchor)))


def _verified(found: Verified) -> AuditVerified:
    return AuditVerified(
        whole=found.broken_at is None,
        entries=found.entries,
        first=found.first,
        last=found.last,
        anchor=None if found.last is None else f"{found.last}:{found.hash}",
        broken_at=found.broken_at,
        why=found.why,
    )


@router.get(
    "/verify/progress",
    summary="A verification that says how far it is",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}, "description": "Lines until it is done."}},
)
async def watch_verification(
    centre: CentreDep,
    caller: Auditor,
    anchor: Annotated[str | None, Query(max_length=100, description="NUMBER:HASH of an earlier verification.")] = None,
) -> Response:
    """NDJSON: `{"checked": 2000, "of": 31000}` as it goes, then what `/verify` answers."""
    await _check(centre, caller)
    held = None if anchor is None else parse_anchor(anchor)
    async with centre.records.read() as connection:
        head = await newest(connection)
    oldest = [number async for number in _first(centre)]
    of = 0 if head is None or not oldest else head[0] - oldest[0] + 1
    checked = 0

    def progress(count: int) -> None:
        nonlocal checked
        checked = count

    async def lines() -> AsyncIterator[bytes]:
        work = asyncio.create_task(verify(centre.records, held, progress))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=_TOLD_S)
                yield json.dumps({"checked": checked, "of": of}).encode() + b"\n"
            yield _verified(work.result()).model_dump_json().encode() + b"\n"
        finally:
            work.cancel()

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _first(centre: Centre) -> AsyncIterator[int]:
    """The number of the oldest entry, if there is one."""
    async for entry in stream_entries(centre.records, AuditFilter()):
        yield int(entry["id"])
        return


@router.get("/export", summary="Entries as NDJSON, the oldest first", response_class=StreamingResponse)
async def export_audit(centre: CentreDep, caller: Auditor, chosen: Chosen) -> Response:
    await _check(centre, caller)
    asked = {name: getattr(chosen, name) for name in ("who", "action", "object", "since", "until")}
    async with centre.records.write() as connection:
        told = {name: value for name, value in asked.items() if value}
        await append_async(connection, [Entry(caller.who, "export", "audit", told, caller.address)])

    async def lines() -> AsyncIterator[bytes]:
        async for entry in stream_entries(centre.records, chosen):
            yield json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    name = f"audit-{iso(now_us())[:10]}.ndjson"
    return StreamingResponse(
        lines(),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )

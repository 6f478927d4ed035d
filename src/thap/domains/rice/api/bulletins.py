"""/api/v1/rice/bulletins: the weekly bulletin from draft to archive."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response

from thap.domains.rice.api.bodies import ActBody, BulletinBegin, BulletinEdit
from thap.domains.rice.api.parts import (
    Number,
    Reader,
    Row,
    Writer,
    acts_for,
    check_province,
    json_answer,
    lake_now,
    policy_now,
)
from thap.domains.rice.bulletins import (
    act_on_bulletin,
    approve_bulletin,
    archive_of,
    begin_bulletin,
    bulletin_by_id,
    bulletins_of,
    document_of,
    edit_bulletin,
    refresh_bulletin,
    week_named,
)
from thap.domains.rice.records import BULLETIN, bulletins
from thap.domains.rice.steps import Act, State, steps_of
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.policy import Policy
from thap.web.answers import to_json
from thap.web.deps import Caller, Centre, CentreDep

__all__ = ["router"]

router = APIRouter()
_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


async def _bulletin_where(centre: Centre, caller: Caller) -> sa.ColumnElement[bool]:
    """Bulletins the caller may see: all for whoever reads the province's, else those that were published."""
    policy = await policy_now(centre)
    return sa.or_(policy.where(caller.who, "register.read", BULLETIN), bulletins.c.state == str(State.PUBLISHED))


def _bulletin_may(policy: Policy, caller: Caller, row: Row) -> list[str]:
    return [act for act in acts_for(policy, caller, row, "") if act != Act.RETURN]


@router.get("/bulletins", summary="Weekly bulletins, the newest first", response_class=Response)
async def list_bulletins(
    centre: CentreDep,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> Response:
    async with centre.records.read() as connection:
        where = await _bulletin_where(centre, caller)
        found = await bulletins_of(connection, where, limit=limit + 1, before=after)
    items = [{key: value for key, value in row.items() if key not in ("content", "data")} for row in found[:limit]]
    return json_answer({"items": items, "next": items[-1]["id"] if len(found) > limit else None})


@router.post("/bulletins", summary="Draft the bulletin of a week", status_code=201, response_class=Response)
async def start_bulletin(body: BulletinBegin, centre: CentreDep, caller: Writer) -> Response:
    await check_province(centre, caller, "register.write")
    week = week_named(body.week.isoformat() if body.week else "")
    made = await begin_bulletin(centre.records, await lake_now(centre), week, by=caller.who, now=now_us())
    return Response(to_json(made), 201, media_type="application/json")


@router.get("/bulletins/{number}", summary="One bulletin with its steps", response_class=Response)
async def read_bulletin(number: Number, centre: CentreDep, caller: Reader) -> Response:
    policy = await policy_now(centre)
    async with centre.records.read() as connection:
        row = await bulletin_by_id(connection, number, await _bulletin_where(centre, caller))
        steps = await steps_of(connection, "bulletin", number)
    return json_answer({**row, "may": _bulletin_may(policy, caller, row), "steps": steps})


@router.put("/bulletins/{number}", summary="Change the words of a bulletin", response_class=Response)
async def put_bulletin(number: Number, body: BulletinEdit, centre: CentreDep, caller: Writer) -> Response:
    await check_province(centre, caller, "register.write")
    made = await edit_bulletin(centre.records, number, body.content, by=caller.who, now=now_us(), version=body.version)
    return json_answer(made)


@router.post("/bulletins/{number}/{act}", summary="Refresh, approve, publish or withdraw", response_class=Response)
async def act_bulletin(
    number: Number,
    act: Literal["refresh", "approve", "publish", "withdraw"],
    body: ActBody,
    centre: CentreDep,
    caller: Reader,
) -> Response:
    """Approving makes the snapshot, the PDF and the DOCX, which are never made again."""
    async with centre.records.read() as connection:
        row = await bulletin_by_id(connection, number, await _bulletin_where(centre, caller))
    draft = row["state"] == State.DRAFT and act in ("refresh", "withdraw")
    await check_province(centre, caller, "register.write" if draft else "register.approve")
    given: dict[str, Any] = {"by": caller.who, "now": now_us(), "version": body.version}
    if act == "refresh":
        made = await refresh_bulletin(centre.records, await lake_now(centre), number, **given)
    elif act == "approve":
        made = await approve_bulletin(centre.records, number, comment=body.comment, **given)
    else:
        made = await act_on_bulletin(centre.records, number, Act(act), comment=body.comment, **given)
    return json_answer({**made, "may": _bulletin_may(await policy_now(centre), caller, made)})


@router.get(
    "/bulletins/{number}/document.{kind}",
    summary="The bulletin as a document",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}, "description": "PDF or DOCX."}},
)
async def read_document(number: Number, kind: Literal["pdf", "docx"], centre: CentreDep, caller: Reader) -> Response:
    """What was approved, as it was made then; of a draft, as it would be now."""
    body = await document_of(centre.records, number, kind, await _bulletin_where(centre, caller))
    async with centre.records.write() as connection:
        entry = Entry(caller.who, "export", f"rice_bulletin:{number}", {"what": kind}, caller.address)
        await append_async(connection, [entry])
    headers = {"Content-Disposition": f'attachment; filename="bulletin-{number}.{kind}"'}
    return Response(body, media_type=_TYPES[kind], headers=headers)


@router.get(
    "/bulletins/{number}/archive.json",
    summary="What was approved, with its data",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "Canonical JSON; its SHA-256 is the ETag."}},
)
async def read_archive(number: Number, centre: CentreDep, caller: Reader) -> Response:
    body, digest = await archive_of(centre.records, number, await _bulletin_where(centre, caller))
    return Response(body, media_type="application/json", headers={"ETag": f'"{digest}"'})

"""/api/v1/rice/surveys: field surveys and what a week's sum to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Query, Response

from thap.domains.rice.api.bodies import CorrectionBody, SurveyBody
from thap.domains.rice.api.parts import (
    Number,
    Plain,
    Reader,
    Row,
    Surveyor,
    check_may,
    json_answer,
    parameters_now,
    policy_now,
    subject_of,
    tell,
)
from thap.domains.rice.bulletins import week_named
from thap.domains.rice.pests import PESTS, class_of
from thap.domains.rice.records import SURVEY, surveys
from thap.domains.rice.surveys import correct_survey, surveys_of, week_of, write_survey
from thap.kernel.clock import now_us
from thap.kernel.errors import NotFoundError
from thap.kernel.units import commune
from thap.web.deps import CentreDep
from thap.web.once import OnceDep
from thap.web.sight import store_of

__all__ = ["router"]

router = APIRouter()


@router.get("/surveys", summary="Field surveys, the newest first", response_class=Response)
async def list_surveys(
    centre: CentreDep,
    caller: Reader,
    week: Annotated[date | None, Query(description="A day of the week.")] = None,
    pest: Plain = "",
    commune: Plain = "",
    replaced: Annotated[bool, Query(description="Those that were corrected, too.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before.")] = None,
) -> Response:
    where = (await policy_now(centre)).where(caller.who, "register.read", SURVEY)
    parameters = await parameters_now(centre)
    async with centre.records.read() as connection:
        found = await surveys_of(
            connection,
            where,
            week=None if week is None else week_named(week.isoformat()),
            pest=pest,
            commune=commune,
            replaced=replaced,
            before=after,
            limit=limit + 1,
        )
    items = [{**row, "class": _class(row, parameters)} for row in found[:limit]]
    return json_answer({"items": items, "next": items[-1]["id"] if len(found) > limit else None})


def _class(row: Row, parameters: Mapping[str, float]) -> str:
    worst = max((row[name] for name in ("common", "high", "exceptional") if row[name] is not None), default=None)
    return class_of(PESTS[row["pest"]], row["stage"], worst, parameters)


@router.get("/surveys/week", summary="What a week's surveys sum to", response_class=Response)
async def read_week(
    centre: CentreDep, caller: Reader, week: Annotated[date | None, Query(description="A day of it.")] = None
) -> Response:
    where = (await policy_now(centre)).where(caller.who, "register.read", SURVEY)
    begin = week_named(week.isoformat() if week else "")
    async with centre.records.read() as connection:
        found = await week_of(connection, begin, where)
    return json_answer({"week": begin.isoformat(), "items": [{"pest": pest, **row} for pest, row in found.items()]})


@router.post("/surveys", summary="Send a field survey", status_code=201, response_class=Response)
async def add_survey(body: SurveyBody, centre: CentreDep, caller: Surveyor, once: OnceDep) -> Response:
    """Sent again with the same Idempotency-Key it is kept once, as from a phone whose line was lost."""

    async def check() -> None:
        await check_may(centre, caller, "survey.write", "survey", body.commune, f"commune {body.commune}")

    commune(body.commune)
    await check()
    await once.begin(centre, caller, body, check)
    now, said = now_us(), {**body.model_dump(mode="json")}
    store = once.store(centre, caller, lambda number: {"id": number}, 201)
    number = await store.transact(
        lambda tx: write_survey(tx, said, by=caller.who, origin="form", source="form", now=now)
    )
    await tell(centre, "surveys")
    return Response(msgspec.json.encode({"id": number}), 201, media_type="application/json")


@router.post("/surveys/{number}/correct", summary="Correct a survey", status_code=201, response_class=Response)
async def correct(number: Number, body: CorrectionBody, centre: CentreDep, caller: Surveyor) -> Response:
    """The first one is kept, and says which took its place."""
    policy = await policy_now(centre)
    async with centre.records.read() as connection:
        where = sa.and_(surveys.c.id == number, policy.where(caller.who, "register.read", SURVEY))
        found = await surveys_of(connection, where, replaced=True, limit=1)
    if not found:
        raise NotFoundError(f"there is no survey {number}")
    commune(body.survey.commune)
    for unit in {found[0]["commune"], body.survey.commune}:
        policy.check(caller.who, "survey.write", subject_of("survey", unit), where=f"survey {number}")
    now, said = now_us(), body.survey.model_dump(mode="json")
    made = await store_of(centre).transact(
        lambda tx: correct_survey(tx, number, said, body.reason, by=caller.who, now=now)
    )
    await tell(centre, "surveys")
    return Response(msgspec.json.encode({"id": made}), 201, media_type="application/json")

"""/api/v1/dead-letters: records that could not be taken, and trying them again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from thap.kernel.audit import Entry, append_async
from thap.observe.dead_letters import DeadLetters
from thap.web.deps import Caller, CallerDep, Centre, CentreDep, require
from thap.web.sight import sight_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])
Operator = Annotated[Caller, Depends(require("operate"))]
Sequence = Annotated[int, Path(ge=1, description="Sequence of the letter.")]


class Letter(BaseModel):
    """A record that could not be taken. Moments are microseconds since 1970 UTC."""

    seq: int = Field(description="What the letter is known by.")
    id: str
    door: str = Field(description="The door, or the stage, that gave up.")
    kind: str
    reason: str
    received: int
    record: Any = Field(description="As it was sent.")


class Letters(BaseModel):
    """The newest first."""

    items: list[Letter]
    before: int | None = Field(description="Ask with this value to go on; null at the end.")
    total: int = Field(description="How many letters there are in all, filters aside.")


class Retry(BaseModel):
    """What became of a letter's record."""

    seq: int
    outcome: Literal["accepted", "quarantined", "rejected"]
    reason: str | None = Field(None, description="Why it was rejected again; it is a new letter then.")


async def _check(centre: Centre, caller: Caller) -> None:
    """A record that could not be taken is of no unit yet, and may be of anything.

    Raises:
        DeniedError: something is hidden from the caller.
    """
    (await sight_of(centre, caller)).check_whole("history.read", "records that nobody could place may be of any unit")


def _letters(centre: Centre) -> DeadLetters:
    return DeadLetters(centre.bus, centre.records, centre.intake)


@router.get("", summary="Records that could not be taken")
async def read_letters(
    centre: CentreDep,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, description="Only letters with a lower sequence.")] = None,
    door: Annotated[str | None, Query(max_length=64)] = None,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    reason: Annotated[str | None, Query(max_length=200, description="A part of the reason.")] = None,
) -> Letters:
    await _check(centre, caller)
    page = await _letters(centre).page(limit=limit, before=before, door=door, kind=kind, reason=reason)
    return Letters(items=[Letter(**letter.as_dict()) for letter in page.items], before=page.before, total=page.total)


@router.get("/{seq}", summary="One letter")
async def read_letter(seq: Sequence, centre: CentreDep, caller: CallerDep) -> Letter:
    await _check(centre, caller)
    return Letter(**(await _letters(centre).show(seq)).as_dict())


@router.post("/{seq}/retry", summary="Hand a letter's record in again")
async def retry_letter(seq: Sequence, centre: CentreDep, caller: Operator) -> Retry:
    done = await _letters(centre).retry(seq)
    async with centre.records.write() as connection:
        await append_async(connection, [Entry(caller.who, "dead_letter.retry", f"letter:{seq}", {}, caller.address)])
    return Retry(**done.as_dict())

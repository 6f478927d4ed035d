"""/api/v1/indicators: numbers with their targets, trends and the rows behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import DAY_US, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.policy import Policy, Subject
from thap.measure.indicators.catalogue import indicator, theme_title
from thap.measure.indicators.compute import Computer, audience_of, may_see
from thap.measure.indicators.model import Indicator, Light, Target
from thap.measure.indicators.printing import rows_csv, wall_csv, wall_pdf
from thap.measure.indicators.records import points_of, set_target, target_history
from thap.measure.indicators.snapshot import Snapshots
from thap.measure.indicators.sources import Page
from thap.measure.indicators.wall import Item, Wall
from thap.web.deps import Caller, CallerDep, Centre, CentreDep, policy_of
from thap.web.sight import note_reading

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/indicators", tags=["indicators"])
Name = Annotated[str, Path(max_length=64, pattern=r"^[a-z]+\.[a-z0-9_]+$", description="As alarms.open.")]
Theme = Annotated[str, Query(max_length=64, description="Only of this theme, as alarms.")]
Language = Annotated[Literal["vi", "en"], Query()]
_EXPORT_ROWS = 100_000
_UTF8_MARK = "\ufeff"


class Said(BaseModel):
    """Words in both languages."""

    vi: str
    en: str


class Bounds(BaseModel):
    """The target in force; what lies within (bounds included) is good, within the wider bounds a warning, else bad."""

    low: float | None
    high: float | None
    warn_low: float | None
    warn_high: float | None
    source: str = Field(description="Where the numbers are from.")
    version: int = Field(description="Give it when setting another; 0 is the one the indicator comes with.")
    changed: int | None = Field(description="When it was set, µs.")
    changed_by: str


class IndicatorNow(BaseModel):
    """An indicator with what it says to this caller now."""

    id: str
    theme: str
    title: Said
    meaning: Said
    source: Said
    unit: str = Field(description="`%`: the value is a share between 0 and 1; `s`: a length of time in seconds.")
    digits: int
    direction: str = Field(description="What is better: lower, higher, band or none.")
    domain: str
    every_s: int = Field(description="How often it is counted.")
    value: float | None
    rows: int = Field(description="How many rows are behind it.")
    time: int | None = Field(description="When it was counted, µs.")
    reason: str = Field(description="Why there is no value: not_yet, no_rows, or what failed.")
    stale: bool
    light: Light
    target: Bounds
    yesterday: float | None = Field(description="The value a day ago.")
    light_yesterday: Light
    trend: list[tuple[int, float]] = Field(description="The last 25 hours, a point an hour: (µs, value).")
    may_set: bool = Field(description="Whether the caller may set its target.")


class ThemeTitle(BaseModel):
    """A theme of the wall."""

    id: str
    title: Said


class WallNow(BaseModel):
    """The wall."""

    time: int
    themes: list[ThemeTitle]
    items: list[IndicatorNow]


class ColumnOf(BaseModel):
    """A column of the rows behind a number."""

    name: str
    title: Said
    kind: str = Field(description="text, number, time, length (s), severity, commune, domain, state, yes, or a record.")
    unit: str


class TargetSet(BaseModel):
    """A target that was in force."""

    version: int
    low: float | None
    high: float | None
    warn_low: float | None
    warn_high: float | None
    source: str
    changed: int
    changed_by: str


class IndicatorDetail(BaseModel):
    """One indicator, counted now, with its series."""

    item: IndicatorNow
    columns: list[ColumnOf]
    series: list[tuple[int, float]]
    since: int
    until: int
    targets: list[TargetSet] = Field(description="Targets people have set, the newest first.")


class RowsPage(BaseModel):
    """Some of the rows behind a number, with the number counted together with them."""

    columns: list[ColumnOf]
    items: list[dict[str, Any]]
    total: int
    value: float | None
    next: str | None = Field(description="Give it as `after` for the next page.")


class NewTarget(BaseModel):
    """A target to set; without any bound nothing is judged."""

    model_config = ConfigDict(extra="forbid")

    low: float | None = None
    high: float | None = None
    warn_low: float | None = None
    warn_high: float | None = None
    source: str = Field("", max_length=300, description="Where the numbers are from; needed with any bound.")
    version: int = Field(ge=0, description="Of the target it replaces.")


def _wall(centre: Centre) -> Wall:
    found: Wall | None = centre.parts.get("indicators")
    if found is None:
        snapshots = Snapshots(centre.records, centre.bus, centre.settings, centre.parts["live"].board)
        computer = Computer(centre.records, centre.settings, snapshots)
        found = centre.parts["indicators"] = Wall(centre.records, centre.settings, computer)
    return found


def _plain(item: Item) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(item)
    return plain


def _columns(one: Indicator) -> list[dict[str, Any]]:
    return [{"name": c.name, "title": dict(c.title), "kind": c.kind, "unit": c.unit} for c in one.rows.columns]


async def _seen(centre: Centre, caller: Caller, name: str) -> tuple[Indicator, Policy]:
    """The indicator, if this person may see it.

    Raises:
        NotFoundError: there is none, or it is not for them.
    """
    one, policy = indicator(name), await policy_of(centre).current()
    if not may_see(policy, caller.who, one):
        raise NotFoundError(f"there is no indicator {name!r}", where="id", hint="`thap indicators` lists them")
    return one, policy


async def _note_export(centre: Centre, caller: Caller, object_: str, what: str, **more: Any) -> None:
    async with centre.records.write() as connection:
        await append_async(connection, [Entry(caller.who, "export", object_, {"what": what, **more}, caller.address)])


def _file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def _may_export(centre: Centre, caller: Caller) -> Policy:
    policy = await policy_of(centre).current()
    if not policy.may_somewhere(caller.who, "export"):
        raise DeniedError(f"{caller.name!r} may not export", where="export", hint="`thap policy explain` says why")
    return policy


@router.get("", summary="All indicators, or those of a theme")
async def list_indicators(centre: CentreDep, caller: CallerDep, theme: Theme = "") -> WallNow:
    """What the caller may see, in the order of the wall; values are counted under their own policy."""
    policy = await policy_of(centre).current()
    items = await _wall(centre).items(policy, caller.who, theme)
    themes = [{"id": name, "title": dict(theme_title(name))} for name in dict.fromkeys(item.theme for item in items)]
    return WallNow.model_validate({"time": now_us(), "themes": themes, "items": [_plain(item) for item in items]})


@router.get(
    "/export.csv",
    summary="The wall as CSV",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "A line for each indicator."}},
)
async def export_csv(centre: CentreDep, caller: CallerDep, theme: Theme = "", language: Language = "vi") -> Response:
    policy = await _may_export(centre, caller)
    items = await _wall(centre).items(policy, caller.who, theme)
    await _note_export(centre, caller, "indicators", "export.csv", **({"theme": theme} if theme else {}))
    text = _UTF8_MARK + wall_csv(items, language)
    return Response(text, media_type="text/csv; charset=utf-8", headers=_file("indicators.csv"))


@router.get(
    "/export.pdf",
    summary="The wall as PDF",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}, "description": "What is red, then every theme."}},
)
async def export_pdf(centre: CentreDep, caller: CallerDep, theme: Theme = "", language: Language = "vi") -> Response:
    policy = await _may_export(centre, caller)
    items = await _wall(centre).items(policy, caller.who, theme)
    pdf = await asyncio.to_thread(wall_pdf, items, language, caller.name)
    await _note_export(centre, caller, "indicators", "export.pdf", **({"theme": theme} if theme else {}))
    return Response(pdf, media_type="application/pdf", headers=_file("indicators.pdf"))


def _moment(text: str, base: int, where: str) -> int:
    try:
        return base - parse_duration_us(text)
    except InputError:
        pass
    try:
        return parse_time_us(text)
    except InputError as error:
        raise InputError(error.message, where=where, hint="write 30d, or ISO 8601 as 2026-11-22T08:00:00Z") from None


@router.get("/{id}", summary="One indicator, counted now, with its series")
async def read_indicator(
    centre: CentreDep,
    caller: CallerDep,
    id: Name,
    since: Annotated[str, Query(max_length=40, description="Moment, or length of time as 7d.")] = "7d",
    until: Annotated[str | None, Query(max_length=40, description="Moment; by default now.")] = None,
) -> IndicatorDetail:
    one, policy = await _seen(centre, caller, id)
    now = now_us()
    end = now if until is None else _moment(until, now, "until")
    begin = _moment(since, end, "since")
    if begin >= end or end - begin > 4000 * DAY_US:
        raise InputError("the period ends before it begins, or is longer than ten years", where="since")
    item = await _wall(centre).item(one, policy, caller.who)
    async with centre.records.read() as connection:
        series = await points_of(connection, audience_of(policy, caller.who), one.id, begin, end)
        history = await target_history(connection, one.id)
    targets = [msgspec.to_builtins(kept) for kept in history]
    body = {"item": _plain(item), "columns": _columns(one), "series": series, "targets": targets}
    return IndicatorDetail.model_validate({**body, "since": begin, "until": end})


@router.get(
    "/{id}/rows",
    summary="The rows behind a number",
    response_model=RowsPage,
    responses={200: {"content": {"text/csv": {}}, "description": "A page as JSON, or all of them as CSV."}},
)
async def read_rows(
    centre: CentreDep,
    caller: CallerDep,
    id: Name,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    after: Annotated[str | None, Query(max_length=300, description="`next` of the page before.")] = None,
    format: Annotated[Literal["json", "csv"], Query(description="csv: all rows; takes the action export.")] = "json",
    language: Language = "vi",
) -> Any:
    one, policy = await _seen(centre, caller, id)
    computer = _wall(centre).computer
    if format == "csv":
        await _may_export(centre, caller)
        first = await computer.page(one, policy, caller.who, 1000, None)
        await _note_export(centre, caller, f"indicator:{id}", "rows.csv", rows=min(first.total, _EXPORT_ROWS))
        await _note_rows(centre, caller, policy, one, first)

        async def lines() -> AsyncIterator[str]:
            page, sent = first, 0
            while True:
                begin = _UTF8_MARK if not sent else ""
                yield begin + rows_csv(one.rows.columns, page.items, language, head=not sent)
                sent += len(page.items)
                if page.next is None or sent >= _EXPORT_ROWS:
                    return
                page = await computer.page(one, policy, caller.who, 1000, page.next)
                await _note_rows(centre, caller, policy, one, page)

        headers = _file(f"{id}.csv")
        return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)
    page = await computer.page(one, policy, caller.who, limit, after)
    await _note_rows(centre, caller, policy, one, page)
    return {**msgspec.to_builtins(page), "columns": _columns(one)}


async def _note_rows(centre: Centre, caller: Caller, policy: Policy, one: Indicator, page: Page) -> None:
    """Audit the reading of what only those cleared for it may see, as far as a row tells what it is about."""
    if not policy.restrictions:
        return
    kind = one.action.partition(".")[0]

    def subject(row: dict[str, Any]) -> Subject:
        units = tuple(str(row[name]) for name in ("unit", "commune") if row.get(name))
        thing = next((str(row[name]) for name in ("source", "datastream", "mover") if row.get(name)), "")
        return Subject(kind, units, str(row.get("domain") or one.domain), thing)

    def name(row: dict[str, Any]) -> str:
        return f"{kind}:{row.get('id', row.get('key', ''))}"

    await note_reading(centre, caller, policy, kind, [(name(row), subject(row)) for row in page.items])


@router.put("/{id}/target", summary="Set the target of an indicator")
async def put_target(centre: CentreDep, caller: CallerDep, id: Name, body: NewTarget) -> TargetSet:
    """Takes `rule.write` in the whole province, for the indicator's domain. Earlier targets are kept.

    Raises:
        ConflictError: somebody set another since `version`.
    """
    one, policy = await _seen(centre, caller, id)
    if not policy.decide(caller.who, "rule.write", Subject("indicator", ("",), one.domain)).allowed:
        raise DeniedError(
            f"{caller.name!r} may not set the target of {id}",
            where="rule.write",
            hint="it takes a role that writes rules in the whole province; `thap policy explain` says why",
        )
    target = Target(body.low, body.high, body.warn_low, body.warn_high, body.source.strip())
    target.check(one.direction)
    async with centre.records.write() as connection:
        stored = await set_target(connection, one.id, target, body.version, caller.name, now_us())
        told = {name: value for name, value in body.model_dump().items() if value is not None and name != "version"}
        entry = Entry(caller.who, "indicator.target", f"indicator:{id}", told, caller.address)
        await append_async(connection, [entry])
    return TargetSet.model_validate(msgspec.to_builtins(stored))

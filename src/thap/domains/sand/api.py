"""/api/v1/sand: the register of licences, vessels, wharves and zones; quantities, violations, evidence."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any, Literal

import shapely.geometry
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.sand import layers
from thap.domains.sand.declared import keep_declared, read_declared
from thap.domains.sand.entries import PLURALS, Entry, LicenceEntry, Noun, read_entry
from thap.domains.sand.importing import commune_of, import_reading, preview
from thap.domains.sand.ledger import Factors
from thap.domains.sand.ledger_records import (
    TRIP_RESOURCE,
    VIOLATION_RESOURCE,
    KeptViolation,
    accounts,
    trips_of,
    vessel_names,
    violation_by_id,
    violations,
)
from thap.domains.sand.packing import evidence_of, known_pack, pack_violation, read_pack
from thap.domains.sand.picture import draw_corners, draw_entry
from thap.domains.sand.reading import Options, read_entries
from thap.domains.sand.records import (
    DOMAIN,
    ENTRY_RESOURCE,
    Kept,
    entries,
    entry,
    entry_versions,
    put_entry,
    retire_entry,
)
from thap.domains.sand.shapes import (
    CornersJudged,
    EntryPage,
    EntryShown,
    EvidenceList,
    ImportDone,
    LedgerPage,
    TripPage,
    ViolationPage,
    ViolationShown,
    WeekShown,
)
from thap.domains.sand.tables_in import LARGEST
from thap.domains.sand.vn2000 import HOME_MERIDIANS, describe_meridian, judge, meridian_of, read_corners
from thap.domains.sand.weekly import gather_week, parse_week, week_pdf
from thap.kernel.audit import Entry as AuditEntry
from thap.kernel.audit import append_async
from thap.kernel.errors import DeniedError, InputError, NotFoundError, UnavailableError
from thap.kernel.history import Lake
from thap.kernel.policy import Policy, Subject
from thap.measure.typesetting import Language
from thap.respond.incidents.attachments import disposition
from thap.web.answers import JsonAnswer
from thap.web.api.alarms import documented
from thap.web.api.history import lake_of
from thap.web.api.places import locator_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require

__all__ = ["forbidden_layer", "mines_layer", "router", "wharves_layer"]

router = APIRouter(prefix="/api/v1/sand", tags=["sand"])
Reader = Annotated[Caller, Depends(require("register.read"))]
Writer = Annotated[Caller, Depends(require("register.write"))]
Exporter = Annotated[Caller, Depends(require("export"))]
NounPath = Annotated[Literal["licences", "vessels", "wharves", "zones", "banks"], Path(description="Which part.")]
Key = Annotated[str, Path(max_length=128, description="Key of the entry.")]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
_NOUNS: dict[str, Noun] = {plural: noun for noun, plural in PLURALS.items()}


class EntryBody(BaseModel):
    """An entry to keep."""

    model_config = ConfigDict(extra="forbid")
    body: dict[str, Any] = Field(description="Its fields, as a list gives them.")
    version: int = Field(ge=0, description="The version that was seen; 0 for a new one.")
    reason: str = Field("", max_length=500, description="Why.")


class SwitchBody(BaseModel):
    """Taking an entry out of force, or putting it in force again."""

    model_config = ConfigDict(extra="forbid")
    version: int = Field(ge=1, description="The version that was seen.")
    reason: str = Field("", max_length=500)


class CornersText(BaseModel):
    """A corner table, as it was copied."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=200_000)
    meridian: str = Field("", max_length=60, description="Central meridian, as 105°45′; '' where the text says it.")
    swap_axes: bool = False
    area_ha: float | None = Field(None, gt=0, le=1e6, description="As the licence says, to compare.")


# ---- helpers


async def _policy(centre: Centre) -> Policy:
    return await policy_of(centre).current()


def _subject(kept: Kept) -> Subject:
    return Subject("entry", (kept.commune,), DOMAIN)


def _whole(policy: Policy, caller: Caller, action: str) -> None:
    """Pass whoever may do that in the whole province.

    Raises:
        DeniedError: their role holds in a part only.
    """
    if not policy.may(caller.who, action, "", DOMAIN):
        raise DeniedError(
            f"{caller.name} may not change the register",
            where=action,
            hint="it takes a role in the whole province: a register is read by every rule",
        )


async def _factors(centre: Centre) -> Factors:
    async with centre.records.read() as connection:
        return Factors.of(await load_parameters(connection, domain(DOMAIN)))


async def _changed(centre: Centre, what: str) -> None:
    await centre.bus.announce("centre.live.rules", {"sand": what})
    await centre.bus.announce("centre.live.sand", {"register": what})


async def _body(request: Request, name: str) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            raise InputError(f"more than {LARGEST >> 20} MiB", where=name, hint="split the file")
    return bytes(body)


def _shown(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.id,
        "noun": kept.noun,
        "key": kept.key,
        "commune": kept.commune,
        "version": kept.version,
        "retired": kept.retired,
        "changed": kept.changed,
        "changed_by": kept.changed_by,
        "reason": kept.reason,
        "body": kept.body,
    }


def _meridian(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return meridian_of(text)
    except ValueError as error:
        raise InputError(str(error), where="meridian", hint="write 105°00′ or 105°45′") from None


async def _lake(centre: Centre) -> Lake | None:
    try:
        return await lake_of(centre)
    except UnavailableError:
        return None


# ---- corner tables


@router.post("/corners", summary="Judge a corner table", response_class=Response, responses=documented(CornersJudged))
async def post_corners(body: CornersText, _caller: Reader) -> JsonAnswer:
    """VN-2000 metres as a licence prints them: the polygon in WGS 84, what is wrong, and a picture. Nothing is kept."""

    def work() -> dict[str, Any]:
        found = read_corners(body.text)
        judged = judge(
            found.corners,
            _meridian(body.meridian) or found.meridian,
            swap_axes=body.swap_axes,
            stated_ha=body.area_ha,
            faults=found.faults,
        )
        return {
            "good": judged.good,
            "meridian": judged.meridian,
            "meridian_text": "" if judged.meridian is None else describe_meridian(judged.meridian),
            "home": {name: describe_meridian(value) for name, value in HOME_MERIDIANS.items()},
            "fits": [describe_meridian(one) for one in judged.fits],
            "area_ha": judged.area_ha,
            "edges_m": list(judged.edges_m),
            "corners": [{"label": one.label, "x": one.x, "y": one.y, "line": one.line} for one in judged.corners],
            "faults": [one.as_dict() for one in judged.faults],
            "geometry": None if judged.polygon is None else shapely.geometry.mapping(judged.polygon),
            "picture": draw_corners(judged),
        }

    return JsonAnswer(await asyncio.to_thread(work))


# ---- quantities


@router.get("/ledger", summary="Quantities by licence", response_class=Response, responses=documented(LedgerPage))
async def get_ledger(
    centre: CentreDep,
    caller: Reader,
    licence: Annotated[str, Query(max_length=128, description="Key of one licence.")] = "",
    days: Annotated[int, Query(ge=0, le=3660, description="How many of the latest days to list; 0 for all.")] = 60,
) -> JsonAnswer:
    """What left each mine, with the band of 90 %, against the licence and the declared book; and when it is used up."""
    factors, policy = await _factors(centre), await _policy(centre)
    async with centre.records.read() as connection:
        within = policy.where(caller.who, "register.read", ENTRY_RESOURCE)
        found = await accounts(
            connection, factors, within=within, key=licence, days=days, retired=None if licence else False
        )
    if licence and not found:
        raise NotFoundError(f"there is no licence {licence!r}", hint="/api/v1/sand/licences lists them")
    return JsonAnswer({"items": [one.as_dict(lines=bool(licence)) for one in found]})


@router.post("/declared", summary="Import a declared book", response_class=Response, responses=documented(ImportDone))
async def post_declared(
    request: Request,
    centre: CentreDep,
    caller: Writer,
    name: Annotated[str, Query(max_length=200)] = "file",
    licence: Annotated[str, Query(max_length=128, description="Key of the licence of lines that name none.")] = "",
    check: Annotated[bool, Query(description="Only say what it holds.")] = False,
    skip_bad: Annotated[bool, Query(description="Take the good lines where some are bad.")] = False,
) -> JsonAnswer:
    """The body is a file of CSV or XLSX with licence, day or month, and m³."""
    policy = await _policy(centre)
    content = await _body(request, name)
    within = policy.where(caller.who, "register.write", ENTRY_RESOURCE)
    async with centre.records.read() as connection:
        licences = await entries(connection, "licence", within=within, retired=None)
    book = await asyncio.to_thread(read_declared, content, name, licences, licence)
    done: dict[str, int] = {}
    if not check:
        async with centre.records.write() as connection:
            done = await keep_declared(connection, book, caller.who, skip_bad=skip_bad, address=caller.address)
        await centre.bus.announce("centre.live.sand", {"register": "declared"})
    return JsonAnswer({**book.as_dict(), **done, "imported": not check})


@router.get("/trips", summary="Trips, newest first", response_class=Response, responses=documented(TripPage))
async def get_trips(
    centre: CentreDep,
    caller: Reader,
    licence: Annotated[int | None, Query(description="Id of a licence.")] = None,
    vessel: Annotated[str, Query(max_length=257)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> JsonAnswer:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        within = policy.where(caller.who, "register.read", TRIP_RESOURCE)
        found = await trips_of(connection, within=within, licence=licence, vessel=vessel, limit=limit)
        names = await vessel_names(connection)
    return JsonAnswer({"items": [{**one, "vessel_name": names.get(one["vessel"], "")} for one in found]})


@router.get("/week", summary="The weekly summary", response_class=Response, responses=documented(WeekShown))
async def get_week(
    centre: CentreDep,
    caller: Reader,
    week: Annotated[str, Query(max_length=10, description="As 2026-W48; by default the last full one.")] = "",
) -> JsonAnswer:
    factors, policy = await _factors(centre), await _policy(centre)
    async with centre.records.read() as connection:
        found = await gather_week(connection, parse_week(week), factors, policy, caller.who)
    return JsonAnswer(found.as_dict())


@router.get(
    "/week.pdf",
    summary="The weekly summary as PDF",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}, "description": "The document"}},
)
async def get_week_pdf(
    centre: CentreDep,
    caller: Exporter,
    week: Annotated[str, Query(max_length=10)] = "",
    language: Annotated[Language, Query()] = "vi",
) -> Response:
    factors, policy = await _factors(centre), await _policy(centre)
    async with centre.records.read() as connection:
        found = await gather_week(connection, parse_week(week), factors, policy, caller.who)
    body = await asyncio.to_thread(week_pdf, found, language, caller.name)
    async with centre.records.write() as connection:
        entry = AuditEntry(caller.who, "sand.week", f"week:{found.name}", {}, caller.address)
        await append_async(connection, [entry])
    headers = {"Content-Disposition": disposition(f"cat-{found.name}.pdf")}
    return Response(body, media_type="application/pdf", headers=headers)


# ---- violations and evidence


async def _violation(centre: Centre, caller: Caller, number: int) -> KeptViolation:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        within = policy.where(caller.who, "register.read", VIOLATION_RESOURCE)
        found = await violation_by_id(connection, number, within)
    if found is None:
        raise NotFoundError(f"there is no violation {number}", hint="/api/v1/sand/violations lists them")
    return found


@router.get(
    "/violations", summary="Violations, newest first", response_class=Response, responses=documented(ViolationPage)
)
async def get_violations(
    centre: CentreDep,
    caller: Reader,
    licence: Annotated[int | None, Query(description="Id of a licence.")] = None,
    vessel: Annotated[str, Query(max_length=257)] = "",
    kind: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> JsonAnswer:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        within = policy.where(caller.who, "register.read", VIOLATION_RESOURCE)
        found = await violations(connection, within=within, licence=licence, vessel=vessel, kind=kind, limit=limit)
        names = await vessel_names(connection)
    return JsonAnswer({"items": [one.as_dict(names) for one in found]})


@router.get(
    "/violations/{number}", summary="One violation", response_class=Response, responses=documented(ViolationShown)
)
async def get_violation(number: Number, centre: CentreDep, caller: Reader) -> JsonAnswer:
    """With the positions that decided it, and the packs of evidence made so far."""
    found = await _violation(centre, caller, number)
    async with centre.records.read() as connection:
        names = await vessel_names(connection)
        packs = await evidence_of(connection, number)
    positions = [fix.as_dict() for fix in found.violation.positions]
    return JsonAnswer(
        {**found.as_dict(names), "positions": positions, "packs": packs, "parameters": found.parameters,
         "book_version": found.book_version}
    )  # fmt: skip


@router.post(
    "/violations/{number}/evidence",
    summary="Make an evidence pack",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}, "description": "The pack; its SHA-256 is the ETag"}},
)
async def post_evidence(number: Number, centre: CentreDep, caller: Exporter) -> Response:
    """Gathers track, map, rule, hashes and the report for the inspector, keeps the pack, and gives it."""
    await _violation(centre, caller, number)
    pack = await pack_violation(
        centre.settings, centre.records, number, caller.who, lake=await _lake(centre), address=caller.address
    )
    headers = {"Content-Disposition": disposition(pack.name), "ETag": f'"{pack.sha256}"'}
    return Response(pack.content, media_type="application/zip", headers=headers)


@router.get(
    "/evidence/{sha256}",
    summary="A pack made before",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}, "description": "The pack"}},
)
async def get_evidence(
    sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], centre: CentreDep, caller: Exporter
) -> Response:
    async with centre.records.read() as connection:
        known = await known_pack(connection, sha256)
    if known is None:
        raise NotFoundError("no such pack was made here", where="sha256")
    await _violation(centre, caller, known["violation_id"])
    content = await read_pack(centre.settings, sha256)
    async with centre.records.write() as connection:
        told = AuditEntry(caller.who, "sand.evidence.read", f"violation:{known['violation_id']}", {"sha256": sha256},
                          caller.address)  # fmt: skip
        await append_async(connection, [told])
    name = f"chung-cu-{known['violation_id']}.zip"
    headers = {"Content-Disposition": disposition(name), "ETag": f'"{sha256}"'}
    return Response(content, media_type="application/zip", headers=headers)


@router.get("/evidence", summary="Packs of a violation", response_class=Response, responses=documented(EvidenceList))
async def get_packs(
    centre: CentreDep, caller: Reader, violation: Annotated[int, Query(ge=1, le=2**63 - 1)]
) -> JsonAnswer:
    await _violation(centre, caller, violation)
    async with centre.records.read() as connection:
        return JsonAnswer({"items": await evidence_of(connection, violation)})


# ---- the register; last, for `{part}` takes every name


@router.post(
    "/import/{part}", summary="Import into the register", response_class=Response, responses=documented(ImportDone)
)
async def post_import(
    part: NounPath,
    request: Request,
    centre: CentreDep,
    caller: Writer,
    name: Annotated[str, Query(max_length=200, description="Of the file.")] = "file",
    check: Annotated[bool, Query(description="Only say what it would change.")] = False,
    skip_bad: Annotated[bool, Query(description="Take the good rows where some are bad.")] = False,
    book: Annotated[int | None, Query(description="`book` of the preview: refused (409) where it changed.")] = None,
    meridian: Annotated[str, Query(max_length=60, description="Of corner tables that do not say theirs.")] = "",
    swap_axes: Annotated[bool, Query()] = False,
    number: Annotated[str, Query(max_length=100, description="Number or name of a lone corner table.")] = "",
) -> JsonAnswer:
    """The body is a file of CSV, XLSX, GeoJSON, or a copied table. Where a row cannot be taken nothing is imported,
    unless `skip_bad` is set."""
    policy, noun = await _policy(centre), _NOUNS[part]
    if noun == "bank":
        noun = "zone"
    _whole(policy, caller, "register.write")
    content = await _body(request, name)
    defaults = {("number" if noun == "licence" else "name"): number} if number else {}
    options = Options(_meridian(meridian), swap_axes, defaults)
    reading = await asyncio.to_thread(read_entries, noun, content, name, options)
    pictures = [{"title": title, "picture": draw_corners(judged)} for title, judged in reading.judged[:20]]
    if check:
        async with centre.records.read() as connection:
            found = await preview(connection, reading)
        return JsonAnswer({**found.as_dict(), "pictures": pictures, "imported": False})
    locator = await locator_of(centre)
    async with centre.records.write() as connection:
        done = await import_reading(
            connection, reading, locator, caller.who, skip_bad=skip_bad, book=book, address=caller.address
        )
    await _changed(centre, part)
    return JsonAnswer({**done.preview.as_dict(), "pictures": pictures, "imported": True})


@router.get("/{part}", summary="Entries of the register", response_class=Response, responses=documented(EntryPage))
async def get_entries(
    part: NounPath,
    centre: CentreDep,
    caller: Reader,
    retired: Annotated[bool, Query(description="With those out of force.")] = False,
) -> JsonAnswer:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        within = policy.where(caller.who, "register.read", ENTRY_RESOURCE)
        found = await entries(connection, _NOUNS[part], within=within, retired=None if retired else False)
    return JsonAnswer({"items": [_shown(one) for one in found]})


async def _entry(centre: Centre, caller: Caller, noun: Noun, key: str, action: str = "register.read") -> Kept:
    policy = await _policy(centre)
    async with centre.records.read() as connection:
        kept = await entry(connection, noun, key, policy.where(caller.who, "register.read", ENTRY_RESOURCE))
    policy.check(caller.who, action, _subject(kept), where=f"{noun} {key}")
    return kept


@router.get("/{part}/{key}", summary="One entry", response_class=Response, responses=documented(EntryShown))
async def get_entry(part: NounPath, key: Key, centre: CentreDep, caller: Reader) -> JsonAnswer:
    """With every version it has had."""
    kept = await _entry(centre, caller, _NOUNS[part], key)
    async with centre.records.read() as connection:
        versions = [_shown(one) for one in await entry_versions(connection, kept)]
    made = kept.entry
    picture = draw_entry(made) if isinstance(made, LicenceEntry) else ""
    return JsonAnswer({**_shown(kept), "versions": versions, "picture": picture})


@router.put("/{part}/{key}", summary="Keep an entry", response_class=Response, responses=documented(EntryShown))
async def put_one(part: NounPath, key: Key, body: EntryBody, centre: CentreDep, caller: Writer) -> JsonAnswer:
    """As a new one (version 0) or as a new version. A version that is not the latest is refused (409)."""
    noun, policy = _NOUNS[part], await _policy(centre)
    made: Entry = read_entry(noun, body.body)
    if made.key != key:
        raise InputError(f"the key of this entry is {made.key!r}", where="key", hint="use it in the address")
    if body.version:
        await _entry(centre, caller, noun, key, "register.write")
    commune = commune_of(await locator_of(centre), made)
    policy.check(caller.who, "register.write", Subject("entry", (commune,), DOMAIN), where=f"{noun} {key}")
    async with centre.records.write() as connection:
        kept = await put_entry(
            connection, made, commune=commune, by=caller.name, expected=body.version, reason=body.reason
        )
        told = {"version": kept.version, "reason": body.reason}
        entry_ = AuditEntry(caller.who, "sand.put", f"sand:{noun}:{key}"[:300], told, caller.address)
        await append_async(connection, [entry_])
    await _changed(centre, part)
    return JsonAnswer(_shown(kept))


@router.post(
    "/{part}/{key}/{act}", summary="Take out of force, or put in", response_class=Response,
    responses=documented(EntryShown),
)  # fmt: skip
async def switch_one(
    part: NounPath,
    key: Key,
    act: Literal["retire", "restore"],
    body: SwitchBody,
    centre: CentreDep,
    caller: Writer,
) -> JsonAnswer:
    """Nothing is deleted: a retired entry can be put in force again."""
    noun = _NOUNS[part]
    kept = await _entry(centre, caller, noun, key, "register.write")
    async with centre.records.write() as connection:
        done = await retire_entry(
            connection, kept, act == "retire", by=caller.name, expected=body.version, reason=body.reason
        )
        told = {"version": done.version, "reason": body.reason}
        entry_ = AuditEntry(caller.who, f"sand.{act}", f"sand:{noun}:{key}"[:300], told, caller.address)
        await append_async(connection, [entry_])
    await _changed(centre, part)
    return JsonAnswer(_shown(done))


# ---- layers of the map


async def _layer(centre: Centre, caller: Caller, give: layers.Layer) -> dict[str, Any]:
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        return await give(connection, partial(policy.where, caller.who))


async def mines_layer(centre: Centre, caller: Caller) -> dict[str, Any]:
    """Licences in force that the caller may see."""
    return await _layer(centre, caller, layers.mines)


async def wharves_layer(centre: Centre, caller: Caller) -> dict[str, Any]:
    """Registered wharves and yards that the caller may see."""
    return await _layer(centre, caller, layers.wharves)


async def forbidden_layer(centre: Centre, caller: Caller) -> dict[str, Any]:
    """Forbidden zones and banks that the caller may see."""
    return await _layer(centre, caller, layers.forbidden)

"""/reports: the public form of citizens' reports, and the page a sender follows one by. No account, no cookie.

The pages are whole without scripts. What the scripts add (a map to point on, reports nearby, a proof of work in
place of a sum) they fetch from here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import shapely
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile

from thap.kernel.clock import VIETNAM, from_us, iso
from thap.kernel.errors import ConflictError, InputError, NotFoundError, ThapError, UnavailableError
from thap.kernel.places import commune, communes, polygons, polygons_version
from thap.respond.incidents import attachments
from thap.respond.incidents.attachments import Attachment, Kept
from thap.services.reports import Draft, Report, ReportEvent, Sender, Service, State
from thap.services.reports.catalogue import definition, say
from thap.services.reports.guard import TooManyError
from thap.services.reports.receipts import clean_receipt
from thap.web.answers import JsonAnswer, to_json
from thap.web.deps import Centre, CentreDep
from thap.web.reports import TooLargeError, address_of, desk_of, form_of, guard_of, tell, unit_name
from thap.web.reports.wording import LANGUAGES, text

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_HERE = "thap.web.reports"
_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader(_HERE, "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FILES = {
    "form.js": "text/javascript; charset=utf-8",
    "map.js": "text/javascript; charset=utf-8",
    "work.js": "text/javascript; charset=utf-8",
    "base.css": "text/css; charset=utf-8",
    "reports.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_GIVEN = ("lon", "lat", "commune", "place", "text", "name", "phone", "email")
_OVERHEAD = 1 << 20
_TOLERANCE = 0.0008
"""Degrees: outlines on a telephone need no more."""


def _language(request: Request, given: str = "") -> str:
    """Vietnamese unless the page was asked for in another language."""
    asked = given or request.query_params.get("lang", "")
    return asked if asked in LANGUAGES else "vi"


def _page(request: Request, centre: Centre, name: str, status: int = 200, **values: Any) -> Response:
    language = values.pop("language", None) or _language(request)
    body = _PAGES.get_template(name).render(
        language=language,
        t=lambda key, **gaps: text(language, key, **gaps),
        contact=centre.settings.reports.contact,
        robots="index" if name == "start.html" else "noindex",
        **values,
    )
    headers = {
        "Cache-Control": "no-store",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(self)",
        "Content-Language": language,
    }
    return Response(body, status, headers, "text/html; charset=utf-8")


def _gone(request: Request, centre: Centre, status: int = 404, key: str = "error.gone.how") -> Response:
    return _page(request, centre, "gone.html", status, words=text(_language(request), key))


def _clock(us: int | None) -> str:
    """A moment as clocks in Việt Nam show it."""
    return "" if us is None else from_us(us).astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M")


@router.get("/phan-anh")
async def short_address() -> Response:
    return RedirectResponse("/reports", 307)


@router.get("/reports")
async def start_page(request: Request, centre: CentreDep) -> Response:
    """What can be reported, and where to look a report up."""
    return _start(request, centre)


def _kind(service: Service, language: str) -> dict[str, str]:
    return {
        "code": service.code,
        "name": say(service.name, language),
        "description": say(service.description, language),
    }


def _start(request: Request, centre: Centre, status: int = 200, *, code: str = "", wrong: bool = False) -> Response:
    catalogue, language = desk_of(centre).catalogue, _language(request)
    groups: dict[str, list[dict[str, str]]] = {}
    for one in catalogue.all():
        groups.setdefault(catalogue.group(one.group, language), []).append(_kind(one, language))
    return _page(
        request,
        centre,
        "start.html",
        status,
        groups=list(groups.items()),
        open=centre.settings.reports.public,
        code=code,
        wrong=wrong,
    )


@router.get("/reports/find")
async def find_report(request: Request, centre: CentreDep, code: str = "") -> Response:
    try:
        await desk_of(centre).by_receipt(code)
    except NotFoundError:
        return _start(request, centre, 404, code=code[:40], wrong=True)
    return RedirectResponse(f"/reports/{clean_receipt(code)}?lang={_language(request)}", 303)


@router.get("/reports/static/{name}")
async def static_file(name: str) -> Response:
    if name not in _FILES:
        return Response(status_code=404)
    path = Path(__file__).parent / "reports" / "static" / name
    return FileResponse(path, media_type=_FILES[name], headers={"Cache-Control": "no-cache"})


@router.get("/reports/outlines.json")
async def outlines(request: Request, centre: CentreDep) -> Response:
    """Communes with their outlines, for the form's map; public, as borders are."""
    async with centre.records.read() as connection:
        version = await polygons_version(connection)
        tag = f'"outlines-{version}"'
        headers = {"ETag": tag, "Cache-Control": "public, max-age=3600"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        kept: tuple[int, bytes] | None = centre.parts.get("report_outlines")
        if kept is None or kept[0] != version:
            shapes = await polygons(connection)
            kept = centre.parts["report_outlines"] = (version, await asyncio.to_thread(_simplified, shapes))
    return Response(kept[1], headers=headers, media_type="application/json")


def _simplified(shapes: Mapping[str, bytes]) -> bytes:
    units = []
    for unit in communes():
        rings: list[list[list[float]]] = []
        if unit.code in shapes:
            shape = shapely.simplify(shapely.from_wkb(shapes[unit.code]), _TOLERANCE)
            for ring in shapely.get_rings(shapely.get_parts(shape)):
                rings.append([[round(lon, 5), round(lat, 5)] for lon, lat in shapely.get_coordinates(ring).tolist()])
        units.append({"code": unit.code, "name": unit.name, "lon": unit.lon, "lat": unit.lat, "rings": rings})
    return to_json(units)


@router.get("/reports/near.json")
async def near(request: Request, centre: CentreDep) -> Response:
    """Open published reports nearby, for the form."""
    asked, desk = request.query_params, desk_of(centre)
    try:
        lon, lat = float(asked.get("lon", "")), float(asked.get("lat", ""))
        found = await desk.near(lon, lat, service=asked.get("service", "")[:64], public=True)
    except (ValueError, InputError):
        return JsonAnswer([])
    language = _language(request)
    return JsonAnswer(
        [
            {
                "id": one.report.id,
                "service": desk.catalogue.name(one.report.service, language),
                "text": one.report.public_text[:160],
                "metres": one.metres,
                "sent": _clock(one.report.received),
            }
            for one in found
        ]
    )


@router.get("/reports/photos/{number}")
async def public_photo(number: int, centre: CentreDep) -> Response:
    """A photo that moderation shows."""
    if not 0 < number < 2**63:
        return Response(status_code=404)
    try:
        photo = await attachments.one(centre.records, number)
        report = await desk_of(centre).get(int(photo.ref)) if photo.kind == "report" else None
    except NotFoundError:
        report = None
    if report is None or not report.published or number not in report.shown_photos:
        return Response(status_code=404)
    return _photo(centre, photo, "public, max-age=3600")


def _photo(centre: Centre, photo: Attachment, cache: str) -> Response:
    return FileResponse(
        attachments.path_of(centre.settings, photo), media_type=photo.type, headers={"Cache-Control": cache}
    )


# The form.


@router.get("/reports/new/{code}")
async def form_page(code: str, request: Request, centre: CentreDep) -> Response:
    if not centre.settings.reports.public:
        return _start(request, centre, 503)
    try:
        service = desk_of(centre).catalogue.get(code)
    except NotFoundError:
        return _gone(request, centre)
    return _form(request, centre, service, {}, {}, _language(request))


def _form(
    request: Request,
    centre: Centre,
    service: Service,
    given: Mapping[str, list[Any]],
    faults: Mapping[str, str],
    language: str,
    status: int = 200,
) -> Response:
    settings = centre.settings.reports
    questions = [
        one
        | {
            "field": f"attribute-{one['code']}",
            "given": [value for value in given.get(f"attribute[{one['code']}]", []) if isinstance(value, str)],
        }
        for one in definition(service, language)
        if one["variable"]
    ]
    kept = {name: _one(given, name) for name in _GIVEN}
    return _page(
        request,
        centre,
        "form.html",
        status,
        language=language,
        kind={
            "code": service.code,
            "name": say(service.name, language),
            "description": say(service.description, language),
        },
        form=guard_of(centre).issue(),
        bits=settings.proof_bits,
        communes=sorted(communes(), key=lambda unit: (unit.kind, unit.name)),
        questions=questions,
        given=kept,
        told=any(kept[name] for name in ("name", "phone", "email")),
        faults=dict(faults),
        photos=settings.photos,
        size=f"{settings.photo_mib:g}",
        days=settings.sender_days,
    )


def _one(form: Mapping[str, list[Any]], name: str) -> str:
    value = form.get(name, [""])[-1]
    return value if isinstance(value, str) else ""


@router.post("/reports")
async def send(request: Request, centre: CentreDep) -> Response:
    """Take a report of the form; what is wrong is told in the form, which keeps what was written."""
    settings, language = centre.settings.reports, _language(request)
    if not settings.public:
        return _start(request, centre, 503)
    most = int(settings.photos * settings.photo_mib * (1 << 20)) + _OVERHEAD
    try:
        form = await form_of(request, most, settings.photos + 1)
    except TooLargeError:
        return _gone(request, centre, 413, "error.body")
    except InputError:
        return _gone(request, centre, 400)
    language = _language(request, _one(form, "lang"))
    try:
        service = desk_of(centre).catalogue.get(_one(form, "service"))
    except NotFoundError:
        return _gone(request, centre)
    try:
        receipt = await _take(request, centre, form, language)
    except (InputError, TooManyError, UnavailableError) as error:
        anchor, words = _fault(error, service, language)
        status = error.status if isinstance(error, (TooManyError, UnavailableError)) else 422
        return _form(request, centre, service, form, {anchor: words}, language, status)
    finally:
        for values in form.values():
            for value in values:
                if isinstance(value, UploadFile):
                    await value.close()
    return RedirectResponse(f"/reports/{receipt}?new=1&lang={language}", 303)


async def _take(request: Request, centre: Centre, form: Mapping[str, list[Any]], language: str) -> str:
    """Take what a form says; the receipt code."""
    guard, desk = guard_of(centre), desk_of(centre)
    nonce, proven = guard.judge(_one(form, "token"), _one(form, "proof"), _one(form, "sum"), _one(form, "website"))
    files = [value for value in form.get("photo", []) if isinstance(value, UploadFile) and value.size]
    draft = _draft(form, language)
    if not draft.text.strip() and not files:
        raise InputError("neither words nor a photo", where="text")
    photos: list[Kept] = []
    for file in files:
        photos.append(await desk.keep_photo(_pieces(file), file.filename or "photo"))
    address = address_of(request, centre)
    taken = await desk.receive(
        draft,
        photos=photos,
        submission=f"form:{nonce}",
        guard=lambda tx: guard.count(tx, address, proven),
    )
    if taken.event is not None:
        await tell(centre, [taken.event])
    return taken.receipt


async def _pieces(file: UploadFile) -> Any:
    while piece := await file.read(1 << 18):
        yield piece


def _draft(form: Mapping[str, list[Any]], language: str) -> Draft:
    answers = {
        name[len("attribute[") : -1]: [value for value in values if isinstance(value, str)]
        for name, values in form.items()
        if name.startswith("attribute[") and name.endswith("]")
    }
    same = _one(form, "same_as")
    return Draft(
        service=_one(form, "service"),
        text=_one(form, "text"),
        lon=_degrees(_one(form, "lon")),
        lat=_degrees(_one(form, "lat")),
        place=_one(form, "place"),
        commune=_one(form, "commune"),
        answers=answers,
        sender=Sender(name=_one(form, "name"), phone=_one(form, "phone"), email=_one(form, "email")),
        language=language,
        same_as=int(same) if same.isascii() and same.isdecimal() and len(same) <= 18 else None,
    )


def _degrees(given: str) -> float | None:
    try:
        return float(given) if given.strip() else None
    except ValueError:
        raise InputError("this is not a point", where="place") from None


def _fault(error: ThapError, service: Service, language: str) -> tuple[str, str]:
    """Where in the form something is wrong, and in which words."""
    where = error.where or ""
    if isinstance(error, UnavailableError):
        return "text", text(language, "error.disk_full")
    if where.startswith("attribute["):
        code = where[len("attribute[") : -1]
        asked = next((say(one.description, language) for one in service.attribute if one.code == code), code)
        return f"attribute-{code}", text(language, "error.attribute", what=asked)
    anchors = {"place": "commune", "trap": "text", "form": "text", "address": "text", "body": "photo", "proof": "sum"}
    known = ("text", "place", "commune", "photo", "email", "phone", "name", *anchors)
    if where in known:
        return anchors.get(where, where), text(language, f"error.{where}")
    return "text", text(language, "error.other", what=error.message)


# The page a sender follows a report by.


@router.get("/reports/{receipt}")
async def follow_page(receipt: str, request: Request, centre: CentreDep) -> Response:
    return await _follow(request, centre, receipt)


async def _follow(
    request: Request, centre: Centre, receipt: str, status: int = 200, *, unrated: bool = False
) -> Response:
    desk, language = desk_of(centre), _language(request)
    try:
        report = await desk.by_receipt(receipt)
    except NotFoundError:
        return _start(request, centre, 404, code=receipt[:40], wrong=True)
    root = await _root(centre, report)
    steps = list(await desk.steps(report.id, public=True))
    if root is not None:
        steps += [one for one in await desk.steps(root.id, public=True) if one.time > report.received]
    sender = await desk.sender(report.id)
    answered = root or report
    return _page(
        request,
        centre,
        "follow.html",
        status,
        fresh=request.query_params.get("new") == "1",
        mailed=sender is not None and bool(sender[0].email),
        receipt=clean_receipt(receipt),
        report=report,
        root=root,
        answer=answered.note if answered.state in (State.DONE, State.REJECTED) else "",
        steps=[_step(one) for one in sorted(steps, key=lambda one: one.id)],
        kind=desk.catalogue.name(report.service, language),
        unit=await unit_name(centre, report),
        place=_where(report),
        sent=_clock(report.received),
        expected=_clock(report.expected) if report.open else "",
        photos=await desk.photos(report.id),
        erased=_clock(report.erased),
        unrated=unrated,
    )


def _where(report: Report) -> str:
    parts = [report.place, commune(report.commune).title if report.commune else ""]
    if report.lon is not None and report.lat is not None:
        parts.append(f"{report.lat:.5f}, {report.lon:.5f}")
    return "; ".join(part for part in parts if part)


async def _root(centre: Centre, report: Report) -> Report | None:
    """The report that another one is the same as, as far as the public may know of it."""
    if report.duplicate_of is None:
        return None
    try:
        found = await desk_of(centre).get(report.duplicate_of)
    except NotFoundError:
        return None
    return found if found.published else None


def _step(event: ReportEvent) -> dict[str, str]:
    return {"time": _clock(event.time), "iso": iso(event.time), "action": event.action, "comment": event.comment}


@router.get("/reports/{receipt}/photos/{number}")
async def own_photo(receipt: str, number: int, centre: CentreDep) -> Response:
    """A photo, for whoever has the receipt code."""
    desk = desk_of(centre)
    try:
        report = await desk.by_receipt(receipt)
    except NotFoundError:
        return Response(status_code=404)
    photo: Sequence[Attachment] = [one for one in await desk.photos(report.id) if one.id == number]
    return _photo(centre, photo[0], "private, no-store") if photo else Response(status_code=404)


@router.post("/reports/{receipt}/rate")
async def rate(receipt: str, request: Request, centre: CentreDep) -> Response:
    """How satisfied the sender is."""
    try:
        form = await form_of(request, 64 * 1024, 0)
        given = _one(form, "satisfaction")
        if given not in ("1", "2", "3", "4", "5"):
            return await _follow(request, centre, receipt, 422, unrated=True)
        event = await desk_of(centre).rate(receipt, int(given), _one(form, "opinion")[:2000])
    except (InputError, ConflictError, TooLargeError):
        return await _follow(request, centre, receipt, 422)
    except NotFoundError:
        return _start(request, centre, 404, code=receipt[:40], wrong=True)
    await tell(centre, [event])
    return _back(request, receipt)


@router.post("/reports/{receipt}/erase")
async def erase(receipt: str, request: Request, centre: CentreDep) -> Response:
    """The sender takes back what they said of themselves."""
    desk = desk_of(centre)
    try:
        event = await desk.erase((await desk.by_receipt(receipt)).id)
    except NotFoundError:
        return _start(request, centre, 404, code=receipt[:40], wrong=True)
    if event is not None:
        await tell(centre, [event])
    return _back(request, receipt)


def _back(request: Request, receipt: str) -> Response:
    return RedirectResponse(f"/reports/{clean_receipt(receipt)}?lang={_language(request)}", 303)

"""/api/v1/incidents/…/attachments: files that people attach as evidence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse

from thap.kernel.audit import Entry, append
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.store import Transaction
from thap.respond.incidents import attachments as files
from thap.respond.incidents.attachments import Attachment, Kept
from thap.respond.incidents.book import act
from thap.respond.incidents.model import Act, IncidentEvent
from thap.respond.incidents.records import IncidentRows
from thap.web.api.alarms import documented
from thap.web.api.incidents import IncidentId, Reader, Worker, incidents_of, perform, seen
from thap.web.deps import Centre, CentreDep
from thap.web.once import OnceDep
from thap.web.sight import store_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"])
_FORM_ROOM = 1 << 16


class Attached(Attachment, frozen=True, kw_only=True):
    """A file that was attached."""

    link: int
    """The number of its link in the incident, as tasks name their evidence."""


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}


@router.post(
    "/{number}/attachments",
    summary="Attach a file",
    status_code=201,
    response_class=Response,
    responses={201: documented(Attached)[200]},
    openapi_extra=_BODY,
)
async def attach(
    number: IncidentId,
    request: Request,
    centre: CentreDep,
    caller: Worker,
    once: OnceDep,
    name: Annotated[str, Query(max_length=500, description="What the file is called; not with a form.")] = "",
    lon: Annotated[float | None, Query(ge=-180, le=180, description="Where it was taken.")] = None,
    lat: Annotated[float | None, Query(ge=-90, le=90)] = None,
    accuracy_m: Annotated[float | None, Query(ge=0, le=1e7, description="Radius within which that holds, m.")] = None,
    taken: Annotated[int | None, Query(ge=0, le=2**62, description="When it was taken, µs.")] = None,
) -> Response:
    """The content as the body, or a form with one `file`. Its type is what the content is, whatever the name says; a
    copy without the place it tells is served, the original is kept as evidence. What is said of place and time goes
    into the link's detail."""
    if (lon is None) != (lat is None):
        raise InputError("a place has a longitude and a latitude", where="lon")
    await seen(centre, caller, number, "incident.work")
    told = request.headers.get("content-type", "").lower()
    if told.startswith("multipart/form-data"):
        kept = await _from_form(centre, request)
    elif told.startswith("application/x-www-form-urlencoded"):
        raise InputError("a form of this kind carries no file", where="Content-Type", hint="use multipart/form-data")
    else:
        kept = await files.keep(centre.settings, request.stream(), name or "file")

    await once.begin(centre, caller, kept.sha256, lambda: seen(centre, caller, number, "incident.work"))
    said = {"lon": lon, "lat": lat, "accuracy_m": accuracy_m, "taken": taken}
    detail: dict[str, Any] = {"sha256": kept.sha256, "type": kept.type, "size": kept.size}
    detail |= {key: value for key, value in said.items() if value is not None}
    done: dict[str, Attached] = {}

    def work(tx: Transaction) -> list[IncidentEvent]:
        made = files.record(tx, kept, caller.name, "incident", str(number))
        link = {"kind": "file", "ref": str(made), "title": kept.name, "detail": detail}
        events = act(tx, [Act(number, "link", caller.name, detail=link)])
        linked = IncidentRows(tx).linked(number)
        nth = next(one["id"] for one in linked if one["kind"] == "file" and one["ref"] == str(made))
        whole = {**msgspec.structs.asdict(kept), "id": made, "kind": "incident", "ref": str(number)}
        done[str(made)] = Attached(**whole, added=events[0].time, added_by=caller.name, link=int(nth))
        return events

    def answer(events: list[IncidentEvent]) -> Attached:
        return done[events[0].detail["ref"]]

    store = once.store(centre, caller, answer, 201)
    made = answer(await perform(centre, caller, {number: "incident.work"}, work, store))
    return Response(msgspec.json.encode(made), 201, media_type="application/json")


async def _from_form(centre: Centre, request: Request) -> Kept:
    """The one file of a form. The form is spooled as it comes, so its length must be known and modest."""
    limit = int(centre.settings.attachments.max_mib * (1 << 20)) + _FORM_ROOM
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise InputError(
            "the length of the form is not given", where="Content-Length", hint="send the file as the body"
        )
    if int(length) > limit:
        raise InputError(
            f"the file is larger than {centre.settings.attachments.max_mib:g} MiB",
            where="file",
            hint="send a smaller one",
        )
    async with request.form(max_files=1, max_fields=10) as form:
        sent = form.get("file")
        if not isinstance(sent, UploadFile):
            raise InputError("the form has no file", where="file", hint="send it as the field `file`")

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await sent.read(1 << 20):
                yield piece

        return await files.keep(centre.settings, pieces(), sent.filename or "file")


@router.get(
    "/{number}/attachments/{attachment}",
    summary="Save a file",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file."}},
)
async def download(
    number: IncidentId,
    attachment: Annotated[int, Path(ge=1, le=2**63 - 1)],
    centre: CentreDep,
    caller: Reader,
    original: Annotated[
        bool, Query(description="As it was sent, with the place it tells: for those who may work on the incident.")
    ] = False,
) -> Response:
    """Browsers save it under its name; they never show it as a page of the centre."""
    await seen(centre, caller, number, "incident.work" if original else "incident.read")
    links = await incidents_of(centre).links(number)
    if not any(link.kind == "file" and link.ref == str(attachment) for link in links):
        raise NotFoundError(f"incident {number} has no attachment {attachment}", where=f"incident {number}")
    found = await files.one(centre.records, attachment)
    path = files.path_of(centre.settings, found, original=original)
    if original and found.served:
        entry = Entry(
            caller.who, "attachment.original", f"attachment:{attachment}", {"incident": number}, caller.address
        )
        await store_of(centre).transact(lambda tx: append(tx, [entry]))
    kind = f"{found.type}; charset=utf-8" if found.type == "text/plain" else found.type
    headers = {
        "Content-Disposition": files.disposition(found.name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-store",
    }
    return FileResponse(path, media_type=kind, headers=headers)

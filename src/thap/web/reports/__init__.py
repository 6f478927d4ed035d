"""What the routes of citizens' reports share: the desk, the guard of the form, and who is asking."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.requests import Request

from thap.kernel.errors import InputError, NotFoundError, ThapError
from thap.kernel.policy.seeding import DEPARTMENTS
from thap.kernel.policy.units import list_units
from thap.kernel.units import commune
from thap.services.reports import Report, ReportDesk, ReportEvent
from thap.services.reports.guard import FormGuard, network_of
from thap.web.api.places import locator_of
from thap.web.deps import Centre
from thap.web.sight import store_of

__all__ = ["TooLargeError", "address_of", "base_url", "desk_of", "guard_of", "limit_body", "tell", "unit_name"]

_FRESH_S = 30.0


class TooLargeError(ThapError):
    """The body is larger than is taken."""

    code, status = "too_large", 413


def desk_of(centre: Centre) -> ReportDesk:
    """The report desk of this process, made at first use."""
    found: ReportDesk | None = centre.parts.get("reports")
    if found is None:

        async def locate(lon: float, lat: float) -> str:
            return str((await locator_of(centre)).codes_of(lon, lat)[0])

        found = centre.parts["reports"] = ReportDesk(
            centre.settings, centre.records, store=store_of(centre), locate=locate
        )
    return found


def guard_of(centre: Centre) -> FormGuard:
    """The guard of the form, made at first use."""
    found: FormGuard | None = centre.parts.get("report_guard")
    if found is None:
        found = centre.parts["report_guard"] = FormGuard(centre.settings)
    return found


async def tell(centre: Centre, events: Sequence[ReportEvent]) -> None:
    """Announce steps to consoles."""
    for event in events:
        await centre.bus.announce("centre.live.report", event)


def address_of(request: Request, centre: Centre) -> str:
    """The network address that what is sent is counted for."""
    peer = request.client.host if request.client else ""
    return network_of(peer, request.headers.get("x-forwarded-for", ""), centre.settings.reports.forward)


def base_url(request: Request, centre: Centre) -> str:
    """The centre's address as its users see it."""
    return centre.settings.reports.url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"


async def unit_name(centre: Centre, report: Report) -> str | None:
    """Who handles a report, by name."""
    kept: tuple[float, dict[str, str]] | None = centre.parts.get("unit_names")
    if kept is None or time.monotonic() - kept[0] > _FRESH_S:
        async with centre.records.read() as connection:
            names = {unit.code: unit.name for unit in await list_units(connection)}
        kept = centre.parts["unit_names"] = (time.monotonic(), names)
    if report.unit in kept[1]:
        return kept[1][report.unit]
    try:
        return commune(report.unit).title
    except NotFoundError:
        return DEPARTMENTS.get(report.unit) or report.unit or None


def limit_body(request: Request, most: int) -> Request:
    """The request, whose body may not grow beyond `most` bytes, whatever its header says.

    Raises:
        TooLargeError: at once, or while the body is read.
    """
    said = request.headers.get("content-length", "")
    hint = f"send at most {most / (1 << 20):g} MiB"
    if said.isdecimal() and int(said) > most:
        raise TooLargeError("the body is too large", where="body", hint=hint)
    read, receive = 0, request.receive

    async def counted() -> dict[str, object]:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise TooLargeError("the body is too large", where="body", hint=hint)
        return dict(message)

    return Request(request.scope, counted)


async def form_of(request: Request, most: int, files: int) -> dict[str, list[object]]:
    """The fields of a form-encoded or multipart body, by name, in order.

    Raises:
        InputError: it is neither, or broken.
        TooLargeError: it is too large.
    """
    from starlette.exceptions import HTTPException

    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise InputError(
            f"a body of type {kind[:60] or 'nothing'} is not read here",
            where="Content-Type",
            hint="send application/x-www-form-urlencoded or multipart/form-data",
        )
    limited = limit_body(request, most)
    try:
        form = await limited.form(max_files=files, max_fields=200, max_part_size=64 * 1024)
    except HTTPException as error:
        raise InputError(f"the form cannot be read: {error.detail}", where="body") from None
    except UnicodeDecodeError:
        raise InputError("the form is not UTF-8", where="body") from None
    found: dict[str, list[object]] = {}
    for name, value in form.multi_items():
        found.setdefault(name, []).append(value)
    return found

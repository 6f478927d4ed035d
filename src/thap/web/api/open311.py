"""/open311/v2: citizens' reports for other machines, as Open311 GeoReport v2 has them, in JSON and XML.

Reading needs no key and shows what moderation published; sending needs `api_key`, a token with the scope `write`.
Errors have the specification's own form here. `servicerequestupdates` is mySociety's extension of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, NoReturn

import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import Response

from thap.kernel.clock import DAY_US, from_us, now_us, parse_time_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError, ThapError, UnauthenticatedError
from thap.kernel.policy import Subject
from thap.kernel.tokens import Token
from thap.services.reports import Draft, Report, Sender, georeport
from thap.services.reports.records import reports
from thap.web.answers import to_json
from thap.web.auth import tokens_of, who_of_token
from thap.web.deps import Centre, CentreDep, policy_of
from thap.web.reports import base_url, desk_of, form_of, guard_of, tell, unit_name
from thap.web.reports.wording import language_of, text

__all__ = ["router"]

router = APIRouter(tags=["open311"])

_BASE = "/open311/v2"
_SPAN_US = 90 * DAY_US
_PAGE = 1000
_BODY = 1 << 20
_ATTRIBUTE = re.compile(r"attribute\[([^\]]{1,64})\](?:\[\])?")
_R = reports.c
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "text/xml": {}}, "description": "As the specification has it."}
}

Handler = Callable[..., Awaitable[Response]]


def _answer(form: str, root: str, body: Any, status: int = 200) -> Response:
    headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
    if form == "xml":
        return Response(georeport.to_xml(root, body), status, headers, "text/xml; charset=utf-8")
    return Response(to_json(body), status, headers, "application/json; charset=utf-8")


def _speaks(handler: Handler) -> Handler:
    """Checks the format and the jurisdiction, and answers errors in the specification's form."""

    @wraps(handler)
    async def spoken(*arguments: Any, **named: Any) -> Response:
        form, request, centre = named["format"], named["request"], named["centre"]
        try:
            if form not in ("json", "xml"):
                raise NotFoundError(f"there is no format {form[:20]!r}", hint="ask for .json or .xml")
            _jurisdiction(centre, request.query_params.get("jurisdiction_id"))
            return await handler(*arguments, **named)
        except ThapError as error:
            code = 403 if isinstance(error, DeniedError) else error.status
            words = error.message if error.where is None else f"{error.where}: {error.message}"
            said = f"{words}. {error.hint}" if error.hint else words
            return _answer(form, "errors", [{"code": code, "description": said}], code)

    return spoken


def _jurisdiction(centre: Centre, given: str | None) -> None:
    if given and given != centre.settings.reports.jurisdiction:
        raise NotFoundError(f"jurisdiction_id {given[:80]!r} was not found", hint="it may be left out")


async def _client(request: Request, centre: Centre, given: str | None, need: str = "write") -> Token:
    """The token behind an API key.

    Raises:
        DeniedError: there is none, or it may not do this.
    """
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    secret = given or (bearer.strip() if scheme.lower() == "bearer" else "")
    if not secret:
        raise DeniedError("no api_key was sent", where="api_key", hint="`thap tokens create` makes one")
    try:
        token = await tokens_of(centre).check(secret)
    except UnauthenticatedError as error:
        raise DeniedError(f"the api_key is not valid: {error.message}", where="api_key") from None
    if need not in token.scopes:
        raise DeniedError(f"this api_key may not {need}", where="api_key", hint=f"give its token the scope {need}")
    tokens_of(centre).count(token)
    return token


async def _own(request: Request, centre: Centre) -> str:
    """The name of the client that asks with a key, '' without one."""
    given = request.query_params.get("api_key")
    if not given and "authorization" not in request.headers:
        return ""
    return (await _client(request, centre, given)).name


# Discovery and services.


@router.get(f"{_BASE.rpartition('/')[0]}/discovery.{{format}}", summary="Open311: what there is", responses=_ANSWER)
@_speaks
async def read_discovery(format: str, request: Request, centre: CentreDep) -> Response:
    url = f"{base_url(request, centre)}{_BASE}"
    return _answer(
        format, "discovery", georeport.discovery(url, centre.settings.reports.contact, 1_790_000_000_000_000)
    )


@router.get(f"{_BASE}/services.{{format}}", summary="Open311: kinds of report", responses=_ANSWER)
@_speaks
async def read_services(format: str, request: Request, centre: CentreDep) -> Response:
    catalogue, language = desk_of(centre).catalogue, language_of(request)
    found = [georeport.service(one, catalogue, language) for one in catalogue.all()]
    return _answer(format, "services", found)


@router.get(f"{_BASE}/services/{{service_code}}.{{format}}", summary="Open311: what a kind asks", responses=_ANSWER)
@_speaks
async def read_service(service_code: str, format: str, request: Request, centre: CentreDep) -> Response:
    one = desk_of(centre).catalogue.get(service_code)
    return _answer(format, "service_definition", georeport.service_definition(one, language_of(request)))


# Requests.


@router.post(
    f"{_BASE}/requests.{{format}}",
    summary="Open311: send a report",
    responses=_ANSWER,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": {"type": "object", "additionalProperties": True}}
            },
        }
    },
)
@_speaks
async def send_request(format: str, request: Request, centre: CentreDep) -> Response:
    fields = _texts(await form_of(request, _BODY, 0))
    given = request.query_params.get("api_key") or fields.get("api_key")
    token = await _client(request, centre, given)
    _jurisdiction(centre, fields.get("jurisdiction_id"))
    if not fields.get("service_code"):
        raise InputError("service_code was not provided", where="service_code", hint="GET services lists them")
    draft = _draft(fields, language_of(request))
    sent = orjson.dumps([token.name, from_us(now_us()).date().isoformat(), sorted(fields.items())])
    taken = await desk_of(centre).receive(
        draft,
        source="open311",
        client=token.name,
        submission="open311:" + hashlib.sha256(sent).hexdigest(),
        guard=lambda tx: guard_of(centre).count_machine(tx, token.name),
    )
    if taken.event is not None:
        await tell(centre, [taken.event])
    notice = text(draft.language, "notice.received", receipt=taken.receipt)
    return _answer(format, "service_requests", [georeport.created(taken.report, notice)])


def _texts(form: Mapping[str, list[object]]) -> dict[str, Any]:
    """Fields as text: one of each, but all of an attribute's."""
    found: dict[str, Any] = {}
    for name, values in form.items():
        texts = [value for value in values if isinstance(value, str)]
        found[name] = texts if name.startswith("attribute[") else texts[-1]
    return found


def _draft(fields: Mapping[str, Any], language: str) -> Draft:
    answers: dict[str, list[str]] = {}
    for name, values in fields.items():
        if name.startswith("attribute["):
            match = _ATTRIBUTE.fullmatch(name)
            if match is None:
                raise InputError("write attribute[CODE]", where=name[:80])
            answers.setdefault(match[1], []).extend(values)
    names = " ".join(part for part in (fields.get("last_name", ""), fields.get("first_name", "")) if part.strip())
    return Draft(
        service=fields["service_code"].strip(),
        text=fields.get("description", ""),
        lon=_degrees(fields, "long"),
        lat=_degrees(fields, "lat"),
        place=fields.get("address_string", ""),
        address_id=fields.get("address_id", ""),
        answers=answers,
        sender=Sender(
            name=names,
            phone=fields.get("phone", ""),
            email=fields.get("email", ""),
            account=fields.get("account_id", ""),
            device=fields.get("device_id", ""),
        ),
        media_url=fields.get("media_url", ""),
        language=language,
    )


def _degrees(fields: Mapping[str, Any], name: str) -> float | None:
    given = fields.get(name, "").strip()
    if not given:
        return None
    try:
        return float(given)
    except ValueError:
        raise InputError(f"{given[:40]!r} is not a number of degrees", where=name) from None


@router.get(f"{_BASE}/requests.{{format}}", summary="Open311: published reports", responses=_ANSWER)
@_speaks
async def read_requests(format: str, request: Request, centre: CentreDep) -> Response:
    asked = request.query_params
    client = await _own(request, centre)
    tests: list[sa.ColumnElement[bool]] = [sa.or_(_R.published, _R.client == client) if client else _R.published]
    if asked.get("service_request_id"):
        tests.append(_R.id.in_([_number(one) for one in asked["service_request_id"].split(",")[:_PAGE]]))
    else:
        tests += _chosen(asked)
    page, size = _whole(asked, "page", 1), _whole(asked, "page_size", _PAGE)
    desk = desk_of(centre)
    found = await desk.window(tests, min(size, _PAGE), (page - 1) * min(size, _PAGE))
    return _answer(format, "service_requests", [await _shown(request, centre, one, client) for one in found])


def _chosen(asked: Mapping[str, str]) -> list[sa.ColumnElement[bool]]:
    start, end = _moment(asked, "start_date"), _moment(asked, "end_date")
    if start is not None and end is not None and not 0 <= end - start <= _SPAN_US:
        raise InputError("start_date and end_date span at most 90 days", where="end_date", hint="ask in parts")
    if end is None:
        end = now_us() + DAY_US if start is None else start + _SPAN_US
    if start is None:
        start = end - _SPAN_US
    tests: list[sa.ColumnElement[bool]] = [_R.received.between(start, end)]
    if asked.get("service_code"):
        tests.append(_R.service.in_([one.strip() for one in asked["service_code"].split(",")]))
    if asked.get("status"):
        wanted = {one.strip() for one in asked["status"].split(",")}
        if not wanted <= {"open", "closed"}:
            raise InputError("a status is open or closed", where="status")
        closed = _R.closed.is_not(None)
        if len(wanted) == 1:
            tests.append(closed if "closed" in wanted else ~closed)
    after = _moment(asked, "updated_after")
    if after is not None:
        tests.append(_R.changed >= after)
    return tests


def _moment(asked: Mapping[str, str], name: str) -> int | None:
    given = asked.get(name, "").strip()
    if not given:
        return None
    try:  # a plus in an address is a space
        found = parse_time_us(given.replace(" ", "+") if "T" in given else given)
    except (InputError, OverflowError):
        raise InputError(f"{given[:40]!r} is not a time", where=name, hint="write 2026-11-22T08:00:00Z") from None
    return max(-(2**62), min(found, 2**62))


def _whole(asked: Mapping[str, str], name: str, default: int) -> int:
    given = asked.get(name, "")
    if not given:
        return default
    if not (given.isdecimal() and given.isascii() and len(given) <= 6 and int(given) > 0):
        raise InputError("a whole number above nothing", where=name)
    return int(given)


def _number(given: str) -> int:
    """A service_request_id; what can be none is a number no report has."""
    kept = given.strip()
    return int(kept) if kept.isdecimal() and kept.isascii() and len(kept) <= 18 else -1


@router.get(f"{_BASE}/requests/{{service_request_id}}.{{format}}", summary="Open311: one report", responses=_ANSWER)
@_speaks
async def read_request(service_request_id: str, format: str, request: Request, centre: CentreDep) -> Response:
    client = await _own(request, centre)
    number = _number(service_request_id)
    try:
        report = await desk_of(centre).get(number) if number > 0 else None
    except NotFoundError:
        report = None
    if report is None or not (report.published or (client and report.client == client)):
        _unknown(service_request_id)
    return _answer(format, "service_requests", [await _shown(request, centre, report, client)])


def _unknown(number: str) -> NoReturn:
    raise NotFoundError(f"service_request_id {number[:40]!r} was not found", hint="it may be waiting for moderation")


async def _shown(request: Request, centre: Centre, report: Report, client: str) -> dict[str, Any]:
    photo = f"{base_url(request, centre)}/reports/photos/{report.shown_photos[0]}" if report.shown_photos else None
    return georeport.request(
        report,
        desk_of(centre).catalogue,
        language_of(request),
        agency=await unit_name(centre, report),
        media_url=photo,
        own=bool(client) and report.client == client,
    )


@router.get(
    f"{_BASE}/tokens/{{token_id}}.{{format}}", summary="Open311: the report of a receipt code", responses=_ANSWER
)
@_speaks
async def read_token(token_id: str, format: str, request: Request, centre: CentreDep) -> Response:
    report = await desk_of(centre).by_receipt(token_id)
    body = [{"service_request_id": str(report.id), "token": token_id}]
    return _answer(format, "service_requests", body)


# Updates, both ways.


@router.get(
    f"{_BASE}/servicerequestupdates.{{format}}", summary="Open311: steps of published reports", responses=_ANSWER
)
@_speaks
async def read_updates(format: str, request: Request, centre: CentreDep) -> Response:
    asked = request.query_params
    end = _moment(asked, "end_date")
    start = _moment(asked, "start_date")
    until = now_us() if end is None else end
    found = await desk_of(centre).public_steps(until - _SPAN_US if start is None else start, until, _PAGE)
    return _answer(format, "service_request_updates", [georeport.update(one) for one in found])


@router.post(
    f"{_BASE}/servicerequestupdates.{{format}}",
    summary="Open311: send what became of a report",
    responses=_ANSWER,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": {"type": "object", "additionalProperties": True}}
            },
        }
    },
)
@_speaks
async def send_update(format: str, request: Request, centre: CentreDep) -> Response:
    fields = _texts(await form_of(request, _BODY, 0))
    given = request.query_params.get("api_key") or fields.get("api_key")
    token = await _client(request, centre, given)
    _jurisdiction(centre, fields.get("jurisdiction_id"))
    number, status = _number(fields.get("service_request_id", "")), fields.get("status", "").strip().lower()
    if number < 0:
        raise InputError("service_request_id was not provided", where="service_request_id")
    desk = desk_of(centre)
    try:
        report = await desk.get(number)
    except NotFoundError:
        _unknown(str(number))
    policy, subject = await policy_of(centre).current(), Subject("report", (report.unit, report.commune), report.domain)
    ours = "operate" in token.scopes and policy.decide(who_of_token(token), "report.moderate", subject).allowed
    if report.client != token.name and not ours:
        _unknown(str(number))
    words, external = fields.get("description", ""), fields.get("update_id", "").strip()
    if len(external) > 64:
        raise InputError("at most 64 characters", where="update_id")
    event, known = await desk.update(
        number,
        token.name,
        status,
        words,
        external=f"{token.name}:{external}"[:128] if external else None,
        may_close=ours,
    )
    if event is not None:
        await tell(centre, [event])
    return _answer(format, "service_request_updates", [{"update_id": str(known)}])

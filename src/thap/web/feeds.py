"""/feeds: warnings for everybody, without sign-in: an Atom feed, the signed CAP documents, the certificate.

The feed is kept for two seconds in each process, so that a crowd costs no more than one reader.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from email.utils import format_datetime
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from lxml import etree

from thap.kernel.clock import from_us, iso
from thap.kernel.settings import Settings
from thap.respond.warnings.book import WarningBook
from thap.respond.warnings.model import Warning
from thap.respond.warnings.wording import LANGUAGES, Language, word
from thap.web.deps import Centre, CentreDep
from thap.web.sight import store_of

__all__ = ["forget", "log", "router", "warnings_of"]

router = APIRouter(prefix="/feeds", tags=["public warnings"])
log = structlog.get_logger(__name__)

_ATOM = "http://www.w3.org/2005/Atom"
_KEPT_S = 2.0
_PLAIN: Any = {None: _ATOM}
_PUBLIC = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "public, max-age=30",
}


def warnings_of(centre: Centre) -> WarningBook:
    """The warning book of this process, made at first use."""
    found: WarningBook | None = centre.parts.get("warnings")
    if found is None:
        found = centre.parts["warnings"] = WarningBook(centre.records, centre.settings, store_of(centre))
    return found


def forget(centre: Centre) -> None:
    """Make the feed anew at its next reading."""
    centre.parts.pop("warning_feed", None)


def _answer(request: Request, body: bytes, kind: str, changed: int | None = None) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_PUBLIC, "ETag": tag}
    if changed is not None:
        headers["Last-Modified"] = format_datetime(from_us(changed), usegmt=True)
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)


@router.get(
    "/warnings.atom",
    summary="Warnings that hold or ended lately, as Atom",
    response_class=Response,
    responses={
        200: {"content": {"application/atom+xml": {}}, "description": "An Atom feed"},
        304: {"description": "Unchanged"},
    },
)
async def read_feed(
    request: Request, centre: CentreDep, lang: Annotated[Literal["vi", "en"], Query(description="Language.")] = "vi"
) -> Response:
    """Each entry links to its CAP document, which holds both languages and is signed."""
    kept: dict[str, tuple[float, bytes, int]] = centre.parts.setdefault("warning_feed", {})
    made = kept.get(lang)
    if made is None or made[0] < time.monotonic() - _KEPT_S:
        shown = await warnings_of(centre).current()
        changed = max((int(one.sent or 0) for one in shown), default=0)
        made = kept[lang] = (time.monotonic(), _feed(centre.settings, shown, lang, changed), changed)
    return _answer(request, made[1], "application/atom+xml; charset=utf-8", made[2])


@router.get(
    "/warnings/{identifier}.xml",
    summary="A warning as CAP 1.2, signed",
    response_class=Response,
    responses={200: {"content": {"application/cap+xml": {}}, "description": "A CAP 1.2 document"}},
)
async def read_warning_document(
    identifier: Annotated[str, Path(max_length=200)], request: Request, centre: CentreDep
) -> Response:
    found, body = await warnings_of(centre).document(identifier=identifier)
    return _answer(request, body, "application/cap+xml; charset=utf-8", found.sent)


@router.get(
    "/warnings.pem",
    summary="The certificate that warnings are signed with",
    response_class=Response,
    responses={200: {"content": {"application/x-pem-file": {}}, "description": "A certificate, PEM"}},
)
async def read_certificate(request: Request, centre: CentreDep) -> Response:
    """Compare its fingerprint with one you had by another way before you trust it."""
    signer = await warnings_of(centre).signer()
    return _answer(request, signer.pem.encode(), "application/x-pem-file")


def _urn(*parts: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, "thap:" + ",".join(parts)).urn


def _feed(settings: Settings, shown: Any, language: Language, changed: int) -> bytes:
    told = settings.warnings
    base = f"{told.public_url.rstrip('/')}/feeds/" if told.public_url else ""
    root = etree.Element(f"{{{_ATOM}}}feed", nsmap=_PLAIN)
    root.set("{http://www.w3.org/XML/1998/namespace}lang", LANGUAGES[language])
    _add(root, "id", _urn(told.sender, language))
    _add(root, "title", word(language, "feed_title"))
    _add(root, "subtitle", word(language, "feed_subtitle"))
    _add(root, "updated", iso(changed))
    _add(root, "author", None, name=told.sender_name.get(language) or word(language, "sender_name"))
    _link(root, "self", f"{base}warnings.atom?lang={language}", "application/atom+xml")
    for one in shown:
        _entry(root, one, language, base)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _entry(root: etree._Element, one: Warning, language: Language, base: str) -> None:
    said = {name: str(one.draft.get(name, {}).get(language, "")) for name in ("headline", "description", "event")}
    mark = {"Exercise": "exercise", "Test": "test"}.get(one.status)
    entry = etree.SubElement(root, f"{{{_ATOM}}}entry")
    _add(entry, "id", _urn(one.sender, one.identifier))
    _add(entry, "title", f"[{word(language, mark)}] {said['headline']}" if mark else said["headline"])
    _add(entry, "updated", iso(one.sent or 0))
    _add(entry, "published", iso(one.sent or 0))
    _link(entry, "alternate", f"{base}warnings/{one.identifier}.xml", "application/cap+xml")
    _add(entry, "summary", said["description"])
    for scheme, term in (
        ("event", said["event"]),
        ("msgType", one.message_type),
        ("status", one.status),
        ("severity", one.severity),
        ("expires", iso(one.expires or 0)),
    ):
        category = etree.SubElement(entry, f"{{{_ATOM}}}category")
        category.set("scheme", f"urn:oasis:names:tc:emergency:cap:1.2#{scheme}")
        category.set("term", term)


def _add(parent: etree._Element, tag: str, text: str | None, **children: str) -> None:
    made = etree.SubElement(parent, f"{{{_ATOM}}}{tag}")
    made.text = text
    for name, value in children.items():
        etree.SubElement(made, f"{{{_ATOM}}}{name}").text = value


def _link(parent: etree._Element, relation: str, address: str, kind: str) -> None:
    link = etree.SubElement(parent, f"{{{_ATOM}}}link")
    link.set("rel", relation)
    link.set("type", kind)
    link.set("href", address)

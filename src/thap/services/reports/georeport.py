"""Open311 GeoReport v2 on the wire: what is said of services and requests, in JSON and in XML.

Source: the specification at wiki.open311.org/GeoReport_v2; `servicerequestupdates` is mySociety's extension of it.
In XML a list is an element for each of its items within one for the list, and nothing is an empty element.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lxml import etree

from thap.kernel.clock import VIETNAM, from_us, iso
from thap.kernel.errors import InputError
from thap.services.reports.catalogue import Catalogue, Service, definition, say
from thap.services.reports.life import State
from thap.services.reports.model import Report, ReportEvent

__all__ = [
    "created",
    "discovery",
    "moment",
    "parse",
    "request",
    "service",
    "service_definition",
    "to_xml",
    "update",
]

_PLURAL = {
    "services": "service",
    "service_requests": "request",
    "service_request_updates": "request_update",
    "errors": "error",
    "attributes": "attribute",
    "values": "value",
    "endpoints": "endpoint",
    "formats": "format",
}
"""What an item of a list is called in XML."""


def moment(us: int | None) -> str | None:
    """A moment with its offset, in whole seconds, as the specification wants it."""
    return None if us is None else from_us(us).astimezone(VIETNAM).isoformat(timespec="seconds")


def service(one: Service, catalogue: Catalogue, language: str) -> dict[str, Any]:
    """One entry of GET services."""
    return {
        "service_code": one.code,
        "service_name": say(one.name, language),
        "description": say(one.description, language),
        "metadata": bool(one.attribute),
        "type": "realtime",
        "keywords": ",".join(one.keywords),
        "group": catalogue.group(one.group, language),
    }


def service_definition(one: Service, language: str) -> dict[str, Any]:
    """GET service definition."""
    return {"service_code": one.code, "attributes": definition(one, language)}


def created(report: Report, notice: str) -> dict[str, Any]:
    """What POST requests answers."""
    return {"service_request_id": str(report.id), "service_notice": notice, "account_id": None}


def request(
    report: Report,
    catalogue: Catalogue,
    language: str,
    *,
    agency: str | None,
    media_url: str | None,
    own: bool = False,
) -> dict[str, Any]:
    """One entry of GET requests.

    Args:
        report: which.
        catalogue: for the service's name.
        language: vi or en.
        agency: name of who handles it.
        media_url: of a photo the public may see.
        own: for the machine that sent it: what it sent, also before moderation.
    """
    shown = report.published or own
    notes = report.note
    if report.state == State.DUPLICATE and not notes:
        notes = f"= {report.duplicate_of}"
    return {
        "service_request_id": str(report.id),
        "status": "open" if report.open else "closed",
        "status_notes": notes or None,
        "service_name": catalogue.name(report.service, language),
        "service_code": report.service,
        "description": ((report.text if own else report.public_text) or None) if shown else None,
        "agency_responsible": agency,
        "service_notice": None,
        "requested_datetime": moment(report.received),
        "updated_datetime": moment(report.closed or report.changed),
        "expected_datetime": moment(report.expected),
        "address": (report.place or None) if shown else None,
        "address_id": report.address_id or None,
        "zipcode": None,
        "lat": report.lat,
        "long": report.lon,
        "media_url": media_url if shown else None,
    }


def update(event: ReportEvent) -> dict[str, Any]:
    """One entry of GET servicerequestupdates."""
    closed = State(event.to_state) not in (State.RECEIVED, State.ACCEPTED, State.IN_PROGRESS)
    return {
        "update_id": str(event.id),
        "service_request_id": str(event.report),
        "status": "closed" if closed else "open",
        "updated_datetime": moment(event.time),
        "description": event.comment,
        "media_url": "",
    }


def discovery(url: str, contact: str, changed: int) -> dict[str, Any]:
    """What an Open311 client asks first: which endpoints there are."""
    return {
        "changeset": iso(changed),
        "contact": contact,
        "key_service": contact,
        "endpoints": [
            {
                "specification": "http://wiki.open311.org/GeoReport_v2",
                "url": url,
                "changeset": iso(changed),
                "type": "production",
                "formats": ["text/xml", "application/json"],
            }
        ],
    }


def to_xml(root: str, body: Any) -> bytes:
    """A body under a root element, in UTF-8 with the declaration."""
    element = ET.Element(root)
    _fill(element, body)
    said: bytes = ET.tostring(element, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + said


def _fill(element: ET.Element, body: Any) -> None:
    if isinstance(body, Mapping):
        for name, value in body.items():
            _fill(ET.SubElement(element, name), value)
    elif isinstance(body, str):
        element.text = body
    elif isinstance(body, bool):
        element.text = "true" if body else "false"
    elif isinstance(body, Iterable):
        for one in body:
            _fill(ET.SubElement(element, _PLURAL[element.tag]), one)
    elif body is not None:
        element.text = str(body)


# Reading what another endpoint says.


def parse(content: bytes, media_type: str) -> list[dict[str, Any]]:
    """The entries of another endpoint's answer, JSON or XML, each as texts by name.

    Raises:
        InputError: it is neither.
    """
    body = content.lstrip()
    if "json" in media_type or body[:1] in (b"[", b"{"):
        return _from_json(body)
    return _from_xml(body)


def _from_json(body: bytes) -> list[dict[str, Any]]:
    import orjson

    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the answer is not JSON: {error}") from None
    entries = read if isinstance(read, list) else [read]
    return [_texts(entry) for entry in entries if isinstance(entry, dict)]


def _texts(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: "" if value is None else value if isinstance(value, (list, dict)) else str(value)
        for name, value in entry.items()
    }


def _from_xml(body: bytes) -> list[dict[str, Any]]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError(f"the answer is neither JSON nor XML: {error}") from None
    items: Sequence[Any] = [root] if root.tag in ("service_definition", "discovery") else list(root)
    return [
        {str(part.tag): (part.text or "").strip() for part in item if isinstance(part.tag, str) and not len(part)}
        for item in items
    ]

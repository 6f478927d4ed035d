"""CAP documents: bytes ⇄ elements ⇄ `cap.Alert`. Whatever comes from outside is read with nothing switched on.

No document type, no entity, no inclusion, nothing fetched, nothing larger than its limit. What is wrong is one
`InputError` that says where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from lxml import etree

from thap.kernel.clock import VIETNAM, from_us, to_us
from thap.kernel.errors import InputError
from thap.respond.warnings import cap
from thap.respond.warnings.cap import Alert, Area, Circle, Info, Named, Reference, Resource
from thap.respond.warnings.schema import NAMESPACE, text_of

__all__ = ["LIMIT", "is_alert", "parse", "read", "time_text", "to_bytes", "write"]

LIMIT = 1024 * 1024
"""Largest document that is read, bytes, unless the caller says otherwise."""

_NAMESPACES = (NAMESPACE, "urn:oasis:names:tc:emergency:cap:1.1")
"""1.1 differs in little that matters here, and is still sent."""
_MOST_POINTS = 100_000
_PLAIN: Any = {None: NAMESPACE}


def parse(body: bytes, where: str, limit: int = LIMIT) -> etree._Element:
    """The root element of an XML document from outside.

    Args:
        body: the document.
        where: file or address, for what an error says.
        limit: largest size, bytes.

    Raises:
        InputError: it is too large, empty, truncated, in another encoding than it says, not XML, or has a document
            type (and so could have entities).
    """
    if len(body) > limit:
        raise InputError(
            f"{len(body) / 1024:.0f} KiB is too large for an XML document; {limit // 1024} KiB are read", where=where
        )
    if not body.strip():
        raise InputError("the document is empty", where=where)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise InputError(f"not XML that can be read: {error}", where=where) from None
    if root.getroottree().docinfo.internalDTD is not None or any(
        isinstance(node, etree._Entity) for node in root.iter(etree.Entity)
    ):
        raise InputError("it has a document type (DOCTYPE), which is not read", where=where)
    return root


def is_alert(root: etree._Element) -> bool:
    """Whether an element is an alert of CAP 1.2, or of 1.1."""
    return root.tag in {f"{{{name}}}alert" for name in _NAMESPACES}


# Writing.


def time_text(us: int) -> str:
    """A moment as CAP has it: whole seconds, with the offset of Việt Nam."""
    return from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%dT%H:%M:%S+07:00").rjust(25, "0")


def _number(value: float) -> str:
    """A number without an exponent."""
    text = format(Decimal(repr(float(value))), "f")
    return text.removesuffix(".0") if "." in text else text


def _list(values: Iterable[str]) -> str:
    """Values separated by spaces, those with a space in quotes."""
    return " ".join(f'"{value}"' if any(c.isspace() for c in value) else value for value in values)


class _Writer:
    """Adds children that have something to say."""

    def __init__(self, element: etree._Element) -> None:
        self.element = element

    def text(self, name: str, value: str, always: bool = False) -> None:
        if not value and not always:
            return
        child = etree.SubElement(self.element, f"{{{NAMESPACE}}}{name}")
        try:
            child.text = value
        except ValueError:
            raise InputError("it has a character that XML cannot carry", where=name) from None

    def texts(self, name: str, values: Iterable[str]) -> None:
        for value in values:
            self.text(name, value, always=True)

    def time(self, name: str, us: int | None) -> None:
        if us is not None:
            self.text(name, time_text(us))

    def named(self, name: str, values: Iterable[Named]) -> None:
        for value in values:
            child = _Writer(etree.SubElement(self.element, f"{{{NAMESPACE}}}{name}"))
            child.text("valueName", value.name, always=True)
            child.text("value", value.value, always=True)

    def below(self, name: str) -> _Writer:
        return _Writer(etree.SubElement(self.element, f"{{{NAMESPACE}}}{name}"))


def write(alert: Alert) -> etree._Element:
    """The document of an alert.

    Raises:
        InputError: a text has a character that XML cannot carry.
    """
    root = etree.Element(f"{{{NAMESPACE}}}alert", nsmap=_PLAIN)
    out = _Writer(root)
    out.text("identifier", alert.identifier, always=True)
    out.text("sender", alert.sender, always=True)
    out.time("sent", alert.sent)
    out.text("status", alert.status)
    out.text("msgType", alert.message_type)
    out.text("source", alert.source)
    out.text("scope", alert.scope)
    out.text("restriction", alert.restriction)
    out.text("addresses", _list(alert.addresses))
    out.texts("code", alert.codes)
    out.text("note", alert.note)
    out.text("references", " ".join(f"{r.sender},{r.identifier},{time_text(r.sent)}" for r in alert.references))
    out.text("incidents", _list(alert.incidents))
    for info in alert.infos:
        _write_info(out.below("info"), info)
    etree.indent(root)
    return root


def _write_info(out: _Writer, info: Info) -> None:
    out.text("language", info.language)
    out.texts("category", info.categories)
    out.text("event", info.event, always=True)
    out.texts("responseType", info.responses)
    out.text("urgency", info.urgency)
    out.text("severity", info.severity)
    out.text("certainty", info.certainty)
    out.text("audience", info.audience)
    out.named("eventCode", info.event_codes)
    out.time("effective", info.effective)
    out.time("onset", info.onset)
    out.time("expires", info.expires)
    out.text("senderName", info.sender_name)
    out.text("headline", info.headline)
    out.text("description", info.description)
    out.text("instruction", info.instruction)
    out.text("web", info.web)
    out.text("contact", info.contact)
    out.named("parameter", info.parameters)
    for resource in info.resources:
        below = out.below("resource")
        below.text("resourceDesc", resource.description, always=True)
        below.text("mimeType", resource.mime_type, always=True)
        below.text("size", "" if resource.size is None else str(resource.size))
        below.text("uri", resource.uri)
        below.text("derefUri", resource.deref_uri)
        below.text("digest", resource.digest)
    for area in info.areas:
        below = out.below("area")
        below.text("areaDesc", area.description, always=True)
        below.texts("polygon", (" ".join(f"{_number(lat)},{_number(lon)}" for lon, lat in p) for p in area.polygons))
        below.texts("circle", (f"{_number(c.lat)},{_number(c.lon)} {_number(c.radius_km)}" for c in area.circles))
        below.named("geocode", area.geocodes)
        below.text("altitude", "" if area.altitude is None else _number(area.altitude))
        below.text("ceiling", "" if area.ceiling is None else _number(area.ceiling))


def to_bytes(root: etree._Element) -> bytes:
    """A document as UTF-8 with its declaration. A signature within holds for just these bytes' elements."""
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


# Reading.


class _Reader:
    """Children by name, in the namespace of their document. Wants little, so that a slip of another's software
    does not lose a warning: what the schema says of it is `schema.faults`."""

    def __init__(self, element: etree._Element, where: str) -> None:
        self.element, self.where = element, where
        self._space = etree.QName(element).namespace or ""

    def all(self, name: str) -> list[etree._Element]:
        return self.element.findall(f"{{{self._space}}}{name}")

    def text(self, name: str, otherwise: str = "") -> str:
        found = self.element.find(f"{{{self._space}}}{name}")
        return otherwise if found is None else text_of(found)

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(text_of(child) for child in self.all(name))

    def must(self, name: str) -> str:
        value = self.text(name).strip()
        if not value:
            raise InputError(f"the alert lacks its {name}", where=self.where)
        return value

    def one_of(self, name: str, values: tuple[str, ...], otherwise: str) -> str:
        value = self.text(name).strip()
        return value if value in values else otherwise

    def some_of(self, name: str, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(text for text in (value.strip() for value in self.texts(name)) if text in values)

    def time(self, name: str) -> int | None:
        value = self.text(name).strip()
        return _time(value, name, self.where) if value else None

    def named(self, name: str) -> tuple[Named, ...]:
        below = (_Reader(child, self.where) for child in self.all(name))
        return tuple(Named(one.text("valueName"), one.text("value")) for one in below)

    def number(self, name: str, make: Callable[[str], Any]) -> Any:
        value = self.text(name).strip()
        try:
            return make(value) if value and len(value) < 40 else None
        except ValueError:
            return None


def _time(text: str, name: str, where: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=VIETNAM)
        return to_us(moment)
    except (ValueError, OverflowError):
        return _late(text, name, where)


def _late(text: str, name: str, where: str) -> int:
    """A time that the standard library does not know: 24:00:00, and the ends of the calendar."""
    if text[10:19] == "T24:00:00":
        return _time(f"{text[:10]}T00:00:00{text[19:]}", name, where) + 86_400_000_000
    raise InputError(f"{text[:40]!r} is not a time", where=f"{where}: {name}")


def read(root: etree._Element, where: str) -> Alert:
    """What a document says.

    Read with patience: CAP 1.1, a time with Z, an unknown code word (it becomes Unknown or is left out), a polygon that
    cannot be read (left out). An alert must have identifier, sender and sent; the rest is worth having without.

    Raises:
        InputError: it is no alert, or lacks what it must have.
    """
    if not is_alert(root):
        raise InputError(f"it is no CAP alert but {str(root.tag)[:80]}", where=where)
    r = _Reader(root, where)
    sent = r.must("sent")
    return Alert(
        identifier=r.must("identifier"),
        sender=r.must("sender"),
        sent=_time(sent, "sent", where),
        status=r.one_of("status", cap.STATUSES, "Actual"),
        message_type=r.one_of("msgType", cap.MESSAGE_TYPES, "Alert"),
        source=r.text("source"),
        scope=r.one_of("scope", cap.SCOPES, "Public"),
        restriction=r.text("restriction"),
        addresses=_split(r.text("addresses")),
        codes=r.texts("code"),
        note=r.text("note"),
        references=_references(r.text("references"), where),
        incidents=_split(r.text("incidents")),
        infos=tuple(_info(_Reader(child, where)) for child in r.all("info")),
    )


def _split(text: str) -> tuple[str, ...]:
    """Values separated by spaces, those in quotes kept together."""
    found: list[str] = []
    for index, piece in enumerate(text.split('"')):
        found += [piece] if index % 2 and piece else piece.split() if index % 2 == 0 else []
    return tuple(found)


def _references(text: str, where: str) -> tuple[Reference, ...]:
    found = []
    for one in text.split():
        sender, _, rest = one.partition(",")
        identifier, _, sent = rest.rpartition(",")
        if sender and identifier:
            try:
                found.append(Reference(sender, identifier, _time(sent, "references", where)))
            except InputError:
                continue
    return tuple(found)


def _info(r: _Reader) -> Info:
    return Info(
        language=r.text("language", "en-US").strip() or "en-US",
        categories=r.some_of("category", cap.CATEGORIES) or ("Other",),
        event=r.text("event"),
        responses=r.some_of("responseType", cap.RESPONSES),
        urgency=r.one_of("urgency", cap.URGENCIES, "Unknown"),
        severity=r.one_of("severity", cap.SEVERITIES, "Unknown"),
        certainty=r.one_of("certainty", cap.CERTAINTIES, "Unknown"),
        audience=r.text("audience"),
        event_codes=r.named("eventCode"),
        effective=r.time("effective"),
        onset=r.time("onset"),
        expires=r.time("expires"),
        sender_name=r.text("senderName"),
        headline=r.text("headline"),
        description=r.text("description"),
        instruction=r.text("instruction"),
        web=r.text("web"),
        contact=r.text("contact"),
        parameters=r.named("parameter"),
        resources=tuple(_resource(_Reader(child, r.where)) for child in r.all("resource")),
        areas=tuple(_area(_Reader(child, r.where)) for child in r.all("area")),
    )


def _resource(r: _Reader) -> Resource:
    return Resource(
        description=r.text("resourceDesc"),
        mime_type=r.text("mimeType"),
        size=r.number("size", int),
        uri=r.text("uri"),
        deref_uri=r.text("derefUri"),
        digest=r.text("digest"),
    )


def _area(r: _Reader) -> Area:
    rings = (_ring(text) for text in r.texts("polygon"))
    circles = (_circle(text) for text in r.texts("circle"))
    return Area(
        description=r.text("areaDesc"),
        polygons=tuple(ring for ring in rings if ring),
        circles=tuple(circle for circle in circles if circle is not None),
        geocodes=r.named("geocode"),
        altitude=r.number("altitude", float),
        ceiling=r.number("ceiling", float),
    )


def _point(text: str) -> tuple[float, float]:
    lat, lon = (float(part) for part in text.split(","))
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise ValueError(text)
    return lon, lat


def _ring(text: str) -> cap.Ring:
    pairs = text.split()
    try:
        ring = tuple(_point(pair) for pair in pairs) if len(pairs) <= _MOST_POINTS else ()
    except ValueError:
        return ()
    return ring if len(ring) >= 4 and ring[0] == ring[-1] else ()


def _circle(text: str) -> Circle | None:
    try:
        centre, radius = text.split()
        lon, lat = _point(centre)
        far = float(radius)
    except ValueError:
        return None
    return Circle(lon, lat, far) if 0 <= far < 50_000 else None

"""The rules of the CAP 1.2 schema, as a table of our own: what is wrong with a document, and where.

OASIS's schema file is not part of this package (docs/decisions/0008-cap.md); tests hold this table against it, with
documents that are right and thousands that are broken. Where a copy of the file is configured (`warnings.schema`),
documents to be published are held against that as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

from thap.kernel.errors import SettingsError
from thap.respond.warnings import cap

__all__ = ["NAMESPACE", "SIGNATURE", "Fault", "element_order", "faults", "faults_by_file"]

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
_SPACE = " \t\r\n"

_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})[-+]([0-9]{2}):([0-9]{2})")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something a document must not have, or lacks."""

    where: str
    """Path of the element, as alert/info[2]/area, with its line."""
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def _time(text: str) -> str | None:
    found = _TIME.fullmatch(text.strip(_SPACE))
    if found is None:
        return "is not a time as 2026-11-22T08:00:00+07:00"
    year, month, day, hour, minute, second, far, off = (int(part) for part in found.groups())
    late = hour > 24 or minute > 59 or second > 59 or (hour == 24 and (minute or second))
    try:
        date(year, month, day)
    except ValueError:
        late = True
    return "is not a time that exists" if late or off > 59 or far * 60 + off > 14 * 60 else None


def _like(pattern: re.Pattern[str], words: str) -> Callable[[str], str | None]:
    return lambda text: None if pattern.fullmatch(text.strip(_SPACE)) else f"is not {words}"


def _one_of(values: Sequence[str]) -> Callable[[str], str | None]:
    return lambda text: None if text in values else f"{text[:40]!r} is not one of {', '.join(values)}"


def _any(_text: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class _Part:
    """One element of a sequence: a text with a check, or a sequence of parts."""

    name: str
    what: Callable[[str], str | None] | tuple[_Part, ...] = _any
    least: int = 1
    most: int | None = 1


def _may(name: str, what: Callable[[str], str | None] | tuple[_Part, ...] = _any) -> _Part:
    return _Part(name, what, 0)


def _many(name: str, what: Callable[[str], str | None] | tuple[_Part, ...] = _any, least: int = 0) -> _Part:
    return _Part(name, what, least, None)


_NAMED = (_Part("valueName"), _Part("value"))
_AREA = (
    _Part("areaDesc"),
    _many("polygon"),
    _many("circle"),
    _many("geocode", _NAMED),
    _may("altitude", _like(_DECIMAL, "a number")),
    _may("ceiling", _like(_DECIMAL, "a number")),
)
_RESOURCE = (
    _Part("resourceDesc"),
    _Part("mimeType"),
    _may("size", _like(_INTEGER, "a whole number")),
    _may("uri"),
    _may("derefUri"),
    _may("digest"),
)
_INFO = (
    _may("language", _like(_LANGUAGE, "a language as vi-VN")),
    _many("category", _one_of(cap.CATEGORIES), 1),
    _Part("event"),
    _many("responseType", _one_of(cap.RESPONSES)),
    _Part("urgency", _one_of(cap.URGENCIES)),
    _Part("severity", _one_of(cap.SEVERITIES)),
    _Part("certainty", _one_of(cap.CERTAINTIES)),
    _may("audience"),
    _many("eventCode", _NAMED),
    _may("effective", _time),
    _may("onset", _time),
    _may("expires", _time),
    _may("senderName"),
    _may("headline"),
    _may("description"),
    _may("instruction"),
    _may("web"),
    _may("contact"),
    _many("parameter", _NAMED),
    _many("resource", _RESOURCE),
    _many("area", _AREA),
)
_ALERT = (
    _Part("identifier"),
    _Part("sender"),
    _Part("sent", _time),
    _Part("status", _one_of(cap.STATUSES)),
    _Part("msgType", _one_of(cap.MESSAGE_TYPES)),
    _may("source"),
    _Part("scope", _one_of(cap.SCOPES)),
    _may("restriction"),
    _may("addresses"),
    _many("code"),
    _may("note"),
    _may("references"),
    _may("incidents"),
    _many("info", _INFO),
)
_SEQUENCES = {"alert": _ALERT, "info": _INFO, "area": _AREA, "resource": _RESOURCE}


def element_order(parent: str) -> tuple[str, ...]:
    """Names of the elements within alert, info, area or resource, in the order they must have."""
    return tuple(part.name for part in _SEQUENCES[parent])


def faults(root: etree._Element) -> list[Fault]:
    """All that is wrong with a document by the schema; empty when it is right.

    Addresses (web, uri) are not judged: the schema's type for them takes almost any text.
    """
    if root.tag != f"{{{NAMESPACE}}}alert":
        return [Fault(_shown(root), "is not an alert of CAP 1.2")]
    found: list[Fault] = []
    _sequence(root, _ALERT, "alert", found)
    return found


def _sequence(parent: etree._Element, parts: tuple[_Part, ...], path: str, found: list[Fault]) -> None:
    _attributes(parent, path, found)
    children = [child for child in parent if isinstance(child.tag, str)]
    pieces = [parent.text, *(child.tail for child in parent)]
    if any(piece and piece.strip(_SPACE) for piece in pieces):
        found.append(Fault(_at(path, parent), "has text between its elements"))
    position = 0
    for part in parts:
        count = 0
        while position < len(children) and children[position].tag == f"{{{NAMESPACE}}}{part.name}":
            child = children[position]
            count, position = count + 1, position + 1
            below = f"{path}/{part.name}" + (f"[{count}]" if part.most is None else "")
            if isinstance(part.what, tuple):
                _sequence(child, part.what, below, found)
            else:
                _text(child, part.what, below, found)
        if count < part.least:
            found.append(Fault(_at(path, parent), f"lacks {part.name}, or has it in the wrong place"))
            return
        if part.most is not None and count > part.most:
            found.append(Fault(_at(path, parent), f"has {count} {part.name}, one is allowed"))
    while parts is _ALERT and position < len(children) and children[position].tag.startswith(f"{{{SIGNATURE}}}"):
        position += 1
    if position < len(children):
        extra = children[position]
        found.append(Fault(_at(f"{path}/{_shown(extra)}", extra), "is unknown, or in the wrong place"))


def _text(element: etree._Element, check: Callable[[str], str | None], path: str, found: list[Fault]) -> None:
    _attributes(element, path, found)
    if any(isinstance(child.tag, str) for child in element):
        found.append(Fault(_at(path, element), "has elements where text must be"))
        return
    reason = check(text_of(element))
    if reason is not None:
        found.append(Fault(_at(path, element), reason))


def text_of(element: etree._Element) -> str:
    """The text of an element, comments left out."""
    return "".join([element.text or "", *(child.tail or "" for child in element)])


def _attributes(element: etree._Element, path: str, found: list[Fault]) -> None:
    for name in element.attrib:
        if str(name) not in (f"{_INSTANCE}schemaLocation", f"{_INSTANCE}noNamespaceSchemaLocation"):
            found.append(Fault(_at(path, element), f"has the attribute {str(name)[:60]}, which CAP does not know"))


def _at(path: str, element: etree._Element) -> str:
    return f"{path} (line {element.sourceline})" if element.sourceline else path


def _shown(element: etree._Element) -> str:
    return str(etree.QName(element).localname)[:60]


@cache
def _schema(path: Path, _changed: int) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(path)))


def faults_by_file(root: etree._Element, path: Path) -> list[Fault]:
    """All that is wrong by a schema file (XSD).

    Raises:
        SettingsError: the file cannot be read, or is no schema.
    """
    try:
        schema = _schema(path, path.stat().st_mtime_ns)
    except (OSError, etree.LxmlError) as error:
        raise SettingsError(
            f"the schema of CAP cannot be read: {error}", where=str(path), hint="see the setting `warnings.schema`"
        ) from None
    schema.validate(root)
    told: Any = schema.error_log
    return [Fault(f"line {entry.line}", entry.message) for entry in told]

"""What a feed offers: the alerts within it, and where others lie. Atom, RSS 2.0, a bare alert, or alerts in any XML."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

from lxml import etree

from thap.kernel.errors import InputError
from thap.respond.warnings.document import is_alert

__all__ = ["Entry", "entries"]

_ATOM = "{http://www.w3.org/2005/Atom}"
_CAP_TYPES = ("application/cap+xml", "application/common-alerting-protocol+xml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert on offer."""

    url: str
    """Where it lies; '' where it is here."""
    digest: str
    """Of address and time of change, to know it again; '' for one that is here."""
    alert: etree._Element | None
    """Where it is here."""


def entries(root: etree._Element, base: str, most: int) -> list[Entry]:
    """What a document offers, at most `most`, in its order.

    Raises:
        InputError: it is neither a feed nor an alert.
    """
    if is_alert(root):
        return [Entry("", "", root)]
    link: Callable[[etree._Element], str]
    if root.tag == f"{_ATOM}feed":
        items, link, changed = root.findall(f"{_ATOM}entry"), _atom_link, (f"{_ATOM}updated", f"{_ATOM}id")
    elif root.tag == "rss":
        items, link, changed = root.findall("channel/item"), _rss_link, ("pubDate", "guid")
    else:
        found = [one for one in root.iter() if isinstance(one.tag, str) and is_alert(one)]
        if not found:
            raise InputError(f"is no feed and no alert but {str(root.tag)[:80]}", where=base)
        return [Entry("", "", _alone(one)) for one in found[:most]]
    made: list[Entry] = []
    for item in items[:most]:
        inside = [one for one in item.iter() if isinstance(one.tag, str) and is_alert(one)]
        if inside:
            made += [Entry("", "", _alone(one)) for one in inside]
            continue
        address = link(item)
        if address:
            address = urljoin(base, address)
            told = "\n".join([address, *((item.findtext(name) or "").strip() for name in changed)])
            made.append(Entry(address, hashlib.sha256(told.encode("utf-8", "replace")).hexdigest(), None))
    return made[:most]


def _alone(alert: etree._Element) -> etree._Element:
    """An alert taken out of what it lies in, without the namespaces it inherits: they would break its signature."""
    copied = copy.deepcopy(alert)
    copied.tail = None
    etree.cleanup_namespaces(copied)
    return copied


def _atom_link(entry: etree._Element) -> str:
    links = [link for link in entry.findall(f"{_ATOM}link") if link.get("href")]

    def rank(link: etree._Element) -> int:
        kind, relation = str(link.get("type") or "").lower(), str(link.get("rel") or "alternate")
        if kind.partition(";")[0].strip() in _CAP_TYPES:
            return 0
        return 1 if kind.endswith("xml") else 2 if relation == "alternate" else 3

    best = min(links, key=rank, default=None)
    content = entry.find(f"{_ATOM}content")
    if (best is None or rank(best) > 0) and content is not None and content.get("src"):
        return str(content.get("src")).strip()
    return "" if best is None else str(best.get("href")).strip()


def _rss_link(item: etree._Element) -> str:
    for enclosure in item.findall("enclosure"):
        if str(enclosure.get("type") or "").partition(";")[0].strip() in _CAP_TYPES and enclosure.get("url"):
            return str(enclosure.get("url")).strip()
    return (item.findtext("link") or "").strip()

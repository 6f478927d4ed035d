"""Others' alerts: which of them concern the province, how they follow from each other, and the alarms they are.

A chain of messages (alert, updates, cancellation) is one alarm, `cap.warning` on `<feed>/<identifier of the first>`.
Messages are kept first; then the alarms are made to agree with what is kept, which can be repeated after a crash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import shapely
from cryptography import x509
from lxml import etree

from thap.detect.detector import Action, Change, Severity
from thap.kernel.clock import HOUR_US, from_us, iso
from thap.kernel.settings import WarningSettings
from thap.kernel.store import Transaction
from thap.kernel.units import communes
from thap.respond.warnings.cap import Alert, Info, Reference
from thap.respond.warnings.document import parse, read
from thap.respond.warnings.feed_rows import FeedRows, Row
from thap.respond.warnings.schema import faults
from thap.respond.warnings.signing import verify

__all__ = ["CONDITION", "Message", "Reach", "best_info", "changes", "keep", "receive"]

CONDITION = "cap.warning"
_LEVELS = {"Extreme": 4, "Severe": 3, "Moderate": 2, "Minor": 1}
_DEGREE_KM = 111.2


@dataclass(frozen=True)
class Reach:
    """The province and its surroundings, as far as alerts of others matter."""

    shapes: Mapping[str, Any]
    """Outlines by commune code, as far as they are imported."""
    km: float

    @cached_property
    def _area(self) -> Any:
        parts = list(self.shapes.values())
        parts += [shapely.Point(unit.lon, unit.lat).buffer(0.06) for unit in communes() if unit.code not in self.shapes]
        return shapely.union_all(parts).buffer(self.km / _DEGREE_KM)

    def touches(self, alert: Alert) -> bool:
        """Whether an alert may concern the province. One that does not say where in figures may."""
        drawn = [shape for info in alert.infos for area in info.areas for shape in _drawn(area)]
        return not drawn or any(self._area.intersects(shape) for shape in drawn)

    def place(self, alert: Alert) -> tuple[float, float] | None:
        """A point of the alert within reach, (lon, lat)."""
        drawn = [shape for info in alert.infos[:1] for area in info.areas for shape in _drawn(area)]
        if not drawn:
            return None
        inside = shapely.union_all(drawn).intersection(self._area)
        point = (inside if not inside.is_empty else drawn[0]).representative_point()
        return (point.x, point.y)


def _drawn(area: Any) -> list[Any]:
    """Shapes of an area, repaired where an outline crosses itself."""
    found = [shapely.make_valid(shapely.Polygon(ring)) for ring in area.polygons]
    found += [shapely.Point(c.lon, c.lat).buffer(max(c.radius_km, 0.01) / _DEGREE_KM) for c in area.circles]
    return [shape for shape in found if not shape.is_empty]


@dataclass(frozen=True, slots=True)
class Message:
    """One alert of others, judged."""

    alert: Alert
    row: Row


def best_info(alert: Alert, language: str) -> Info | None:
    """The information in a language, else in Vietnamese, else the first."""
    wanted = [language.lower(), language.lower().split("-")[0], "vi"]
    for one in wanted:
        for info in alert.infos:
            if info.language.lower() == one or info.language.lower().split("-")[0] == one:
                return info
    return alert.infos[0] if alert.infos else None


def receive(
    root: etree._Element,
    body: bytes,
    where: str,
    feed: Row,
    entry: str,
    now: int,
    told: WarningSettings,
    reach: Reach,
    trusted: Sequence[x509.Certificate],
) -> Message:
    """What one alert says, and whether it counts.

    Args:
        root: the alert.
        body: its bytes, which are kept.
        where: where it was found, for what an error says.
        feed: the feed.
        entry: digest of the feed's entry; '' for an alert within the feed.
        now: µs.
        told: settings.
        reach: how far the province reaches.
        trusted: certificates whose signatures count as trusted.

    Raises:
        InputError: it is no alert, or lacks identifier, sender or sent.
    """
    alert = read(root, where)
    verdict = verify(root, trusted, at=from_us(min(max(alert.sent, 0), now)))
    remarks = [str(fault) for fault in faults(root)[:20]]
    if verdict.reason:
        remarks.insert(0, f"signature: {verdict.reason}")
    info = best_info(alert, feed["language"])
    expires = alert.expires
    if expires is None:
        known = [one.expires for one in alert.infos if one.expires is not None]
        expires = max([alert.sent + round(told.default_hours * HOUR_US), *known])
    state, reason = _standing(alert, expires, now, reach)
    place = reach.place(alert) if state == "active" else None
    levels = [_LEVELS.get(one.severity, 2) for one in alert.infos]
    row: Row = {
        "feed_id": feed["id"],
        "sender": alert.sender[:200],
        "identifier": alert.identifier[:300],
        "sent": alert.sent,
        "entry": entry,
        "message_type": alert.message_type,
        "status": alert.status,
        "state": state,
        "reason": reason,
        "source": "",
        "told": state != "active",
        "event": _line(info.event if info else "", 200),
        "headline": _line(info.headline if info else "", 500),
        "area": _line(", ".join(area.description for area in info.areas) if info else "", 500),
        "severity": max(levels, default=2),
        "lon": place[0] if place else None,
        "lat": place[1] if place else None,
        "expires": expires,
        "signature": verdict.state,
        "signer": verdict.signer,
        "remarks": "\n".join(remarks)[:4000],
        "document": body,
        "received": now,
    }
    return Message(alert, row)


def _line(text: str, longest: int) -> str:
    return " ".join(text.replace("\x00", " ").split())[:longest]


def _standing(alert: Alert, expires: int, now: int, reach: Reach) -> tuple[str, str]:
    """State in which a message is kept, and why it does not count if it does not."""
    if alert.message_type in ("Ack", "Error"):
        return "ignored", f"it is an answer between systems ({alert.message_type})"
    if alert.status != "Actual":
        return "ignored", f"it is not meant in earnest ({alert.status})"
    if alert.message_type == "Cancel" or _all_clear(alert):
        return "cancelled", ""
    if not reach.touches(alert):
        return "distant", "it lies too far from the province"
    if expires <= now:
        return "expired", "its time was over when it was read"
    return "active", ""


def _all_clear(alert: Alert) -> bool:
    return bool(alert.infos) and all("AllClear" in info.responses for info in alert.infos)


def keep(tx: Transaction, feed: Row, found: Sequence[Message], visit: Row) -> int:
    """Keep what a visit brought, and how it went; returns how many messages are new."""
    rows, new = FeedRows(tx), 0
    rows.visited(int(feed["id"]), visit)  # first: it locks the feed, so that two readers of it take turns
    for message in sorted(found, key=lambda one: (one.alert.sent, one.alert.message_type != "Alert")):
        alert, row = message.alert, dict(message.row)
        if rows.known(row):
            continue
        new += 1
        following = alert.message_type in ("Update", "Cancel")
        if row["state"] == "active":
            after = rows.replaced_by(feed["id"], row["sender"], row["identifier"])
            if after:  # read in another order than sent
                row.update(state="cancelled" if "Cancel" in after else "replaced", told=True)
        earlier = [one for r in alert.references for one in rows.about(feed["id"], r)] if following else []
        source = next((source for _, source, _ in earlier if source), "")
        if row["state"] == "active" or source:
            row["source"] = source or _source(feed["name"], _root(alert))
        number = rows.add(row, alert.references if following else ())
        if row["state"] != "ignored":  # an exercise ends nothing
            over = [one for one, _, state in earlier if state == "active" and one != number]
            rows.end(over, "cancelled" if row["state"] == "cancelled" else "replaced")
    return new


def _root(alert: Alert) -> Reference:
    """What a chain is named after: the oldest message it refers to."""
    if alert.message_type == "Update" and alert.references:
        return min(alert.references, key=lambda one: one.sent)
    return alert.reference


def _source(feed: str, reference: Reference) -> str:
    plain = re.sub(r"[^\w.:@-]+", "-", reference.identifier).strip("-")
    if plain != reference.identifier or len(plain) > 120:
        told = hashlib.sha256(f"{reference.sender},{reference.identifier}".encode("utf-8", "replace")).hexdigest()
        plain = f"{plain[:100]}-{told[:12]}"
    return f"{feed}/{plain}"


def changes(row: Row, now: int) -> list[Change]:
    """What the alarms are told of one source, by the message that holds for it, or the last that did."""
    if row["state"] != "active":
        ended = min(int(row["expires"]), now)
        return [Change(row["source"], CONDITION, Action.CLEAR, Severity.LOW, ended, 0, domain=row["domain"])]
    level = Severity(int(row["severity"]))
    time = min(int(row["sent"]), now)
    place = {} if row["lon"] is None else {"lon": float(row["lon"]), "lat": float(row["lat"])}
    said: dict[str, Any] = {"domain": row["domain"], "evidence": _evidence(row), **place}
    # The first raises or escalates, the second downgrades; what does not fit is not taken.
    return [
        Change(row["source"], CONDITION, action, level, time, 0, **said) for action in (Action.RAISE, Action.DOWNGRADE)
    ]


def _evidence(row: Row) -> dict[str, Any]:
    alert = read(parse(bytes(row["document"]), "message", limit=1 << 26), "message")
    info = best_info(alert, row["language"]) or Info()
    told = {
        "feed": row["name"],
        "sender": alert.sender,
        "sender_name": info.sender_name,
        "identifier": alert.identifier,
        "message_type": alert.message_type,
        "event": info.event,
        "headline": info.headline,
        "description": info.description,
        "instruction": info.instruction,
        "urgency": info.urgency,
        "cap_severity": info.severity,
        "certainty": info.certainty,
        "area": row["area"],
        "expires": iso(int(row["expires"])),
        "web": info.web,
        "signature": row["signature"],
        "signer": row["signer"],
    }
    return {name: value[:1000] for name, value in told.items() if value}

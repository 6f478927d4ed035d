"""What an analyser says, as records: measures become observations, crossings and trips sightings, events alarms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from thap.detect.detector import Action, Change, Severity
from thap.detect.vision.found import Crossing, Event, Measure, Said, Trip
from thap.observe.cameras.health import CONDITIONS, Judgement
from thap.observe.cameras.records import Camera

__all__ = ["EVENTS", "Sighting", "Standing", "Streams", "condition_of", "health_change", "sightings_of"]

EVENTS: dict[str, Severity] = {
    "stopped_vehicle": Severity.MEDIUM,
    "wrong_way": Severity.HIGH,
    "person_on_carriageway": Severity.HIGH,
    "forbidden": Severity.MEDIUM,
    "crowd": Severity.MEDIUM,
    "congestion": Severity.MEDIUM,
}
"""Events that raise an alarm, with its severity: the province's choice."""
PROPERTIES = {
    "count": "traffic_count",
    "speed_mean": "mean_speed",
    "flow_pcu": "traffic_flow",
    "trips": "traffic_trips",
    "dropped": "frames_dropped",
}
"""Property of a measure's datastream where it is not the measure's own name."""
_UNFIT = re.compile(r"[^\w:@-]+")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A row of the kind sighting."""

    time: int
    track: int
    label: str
    action: str
    detail: str


def sightings_of(said: Iterable[Said]) -> list[Sighting]:
    """Crossings and trips as sightings."""
    made = []
    for one in said:
        if isinstance(one, Crossing):
            detail: dict[str, Any] = {
                "line": one.line,
                "direction": one.direction,
                "box": [round(v, 4) for v in one.box],
            }
            if one.speed_kmh is not None:
                detail["speed_kmh"] = round(one.speed_kmh, 1)
            made.append(Sighting(one.time_us, one.track, one.cls, "crossed", _json(detail)))
        elif isinstance(one, Trip):
            detail = {"origin": one.origin, "destination": one.destination, "seconds": round(one.seconds, 1)}
            made.append(Sighting(one.time_us, one.track, one.cls, "went", _json(detail)))
        elif isinstance(one, Event) and one.kind in EVENTS:
            detail = {"zone": one.zone, "state": one.state, **one.detail}
            made.append(Sighting(one.time_us, one.track, one.cls, one.kind, _json(detail)))
    return made


def _json(detail: dict[str, Any]) -> str:
    return msgspec.json.encode(detail, enc_hook=str).decode()


@dataclass(slots=True)
class Streams:
    """Datastreams of one camera: which there are, and how measures are named."""

    camera: str
    known: set[str] = field(default_factory=set)

    def key(self, measure: Measure) -> str:
        """Key of a measure's datastream, as `cam-1/count.north.down.car`."""
        parts = [measure.name, measure.at, measure.direction, measure.cls]
        name = ".".join(_UNFIT.sub("-", part).strip("-") for part in parts if part)
        return f"{self.camera}/{name[:128]}"

    def missing(self, measures: Iterable[Measure]) -> list[dict[str, Any]]:
        """Rows to register for measures whose datastream does not exist yet."""
        rows: dict[str, dict[str, Any]] = {}
        for one in measures:
            key = self.key(one)
            if key not in self.known:
                kind = "class_count" if one.name == "count" and one.cls else PROPERTIES.get(one.name, one.name)
                rows[key] = {"key": key, "property": kind[:64], "unit": one.unit[:32]}
        return list(rows.values())


def condition_of(kind: str) -> str:
    """Condition of the alarm that an event raises; a dwell of slow traffic by numbers is `traffic.congestion`."""
    return "traffic.congested_zone" if kind == "congestion" else f"traffic.{kind}"


class Standing:
    """Which events of one camera last, so that an alarm stands as long as any of its kind does."""

    def __init__(self) -> None:
        self._lasting: dict[str, set[tuple[str, int]]] = {}

    def take(self, camera: Camera, event: Event) -> Change | None:
        """What an event changes of the camera's alarm of its kind."""
        severity = EVENTS.get(event.kind)
        if severity is None:
            return None
        lasting = self._lasting.setdefault(event.kind, set())
        # A spread is of the zone as a whole; persons and vehicles are told apart by their track.
        what = (event.zone, event.track)
        if event.state == "end":
            lasting.discard(what)
            return None if lasting else _change(camera, event, Action.CLEAR, severity)
        first = not lasting
        lasting.add(what)
        if event.state == "spread":
            return _change(camera, event, Action.ESCALATE, Severity(min(severity + 1, Severity.CRITICAL)))
        return _change(camera, event, Action.RAISE, severity) if first else None

    def end_all(self, camera: Camera, time_us: int) -> list[Change]:
        """The analysis begins anew: what lasted is told anew if it still does."""
        kinds = [kind for kind, lasting in self._lasting.items() if lasting]
        self._lasting.clear()
        return [_change(camera, Event(time_us, kind, "end", ""), Action.CLEAR, EVENTS[kind]) for kind in kinds]


def _change(camera: Camera, event: Event, action: Action, severity: Severity) -> Change:
    evidence: dict[str, Any] = {"camera": camera.name, "zone": event.zone, **event.detail}
    if event.cls:
        evidence |= {"class": event.cls, "track": event.track}
    if event.box is not None:
        evidence["box"] = [round(float(value), 4) for value in event.box]
    return Change(
        camera.name,
        condition_of(event.kind),
        action,
        severity,
        event.time_us,
        0,
        value=event.value,
        domain=camera.domain,
        lon=camera.lon,
        lat=camera.lat,
        commune=camera.commune,
        evidence=evidence,
    )


def health_change(camera: Camera, judged: Judgement) -> Change:
    """A condition of the camera's own health as a change of an alarm."""
    return Change(
        camera.name,
        f"camera.{judged.condition}",
        Action.RAISE if judged.active else Action.CLEAR,
        Severity(CONDITIONS[judged.condition].severity),
        judged.time_us,
        0,
        domain=camera.domain,
        lon=camera.lon,
        lat=camera.lat,
        commune=camera.commune,
        evidence={"camera": camera.name, **judged.detail},
    )

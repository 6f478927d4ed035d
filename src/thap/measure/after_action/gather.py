"""An incident's records as the plain values of its report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import shapely
import sqlalchemy as sa

from thap.kernel.clock import now_us
from thap.kernel.errors import NotFoundError
from thap.kernel.places import commune, polygons
from thap.kernel.policy.records import units
from thap.kernel.records import Records
from thap.measure.after_action.model import AfterAction, Evidence, Fact, Line, Mark
from thap.measure.after_action.writing import Language, words_of
from thap.respond.incidents.model import Incident, IncidentEvent, IncidentLink
from thap.respond.incidents.records import events_of, incident_by_id, links_of
from thap.respond.procedures.model import Task
from thap.respond.procedures.records import tasks_of

__all__ = ["gather"]

_STEPS = 400
_ZONE = timezone(timedelta(hours=7), "+07:00")
"""Việt Nam's time; it has no summer time."""


async def gather(
    records: Records, number: int, language: Language, by: str, where: sa.ColumnElement[bool] | None = None
) -> AfterAction:
    """What the report of an incident tells.

    Args:
        records: where incidents, tasks and places are.
        number: of the incident.
        language: `vi` or `en`.
        by: for whom it is made.
        where: the incidents this person may see (of `Policy.where`); None for all.

    Raises:
        NotFoundError: there is no such incident, or it is not theirs to see.
    """
    async with records.read() as connection:
        incident = await incident_by_id(connection, number, where) if 0 < number < 2**63 else None
        if incident is None:
            raise NotFoundError(f"there is no incident {number}", hint="`thap incidents list` shows those there are")
        events = list(await events_of(connection, number, _STEPS, None))
        links = await links_of(connection, number, removed=False)
        tasks = await tasks_of(connection, number)
        shapes = await polygons(connection)
        name = await connection.scalar(sa.select(units.c.name).where(units.c.code == incident.unit))
    words = _Words(words_of(language), language)
    events.sort(key=lambda event: event.nth)
    outlines = {code: _rings(shape) for code, shape in shapes.items()}
    here = outlines.get(incident.commune, [])
    return AfterAction(
        number=incident.id,
        title=incident.title,
        description=incident.description,
        state=words.of("state", incident.state),
        made=words.fill("made", time=words.moment(now_us()), by=by),
        facts=_facts(incident, tasks, str(name) if name else "", words),
        timeline=[_step(event, words) for event in events],
        tasks=[_task(task, words) for task in tasks],
        alarms=[
            Line(words.moment(link.detail.get("time", link.added)), link.title or link.ref, "")
            for link in links
            if link.kind == "alarm"
        ],
        evidence=[_evidence(link, words) for link in links if link.kind != "alarm"],
        marks=_marks(incident, links),
        outlines=[[ring] for rings in outlines.values() for ring in rings],
        here=here,
        left_out=max(0, incident.events - len(events)),
    )


class _Words:
    """The words of a language, and how it writes moments and lengths of time."""

    def __init__(self, words: Mapping[str, Any], language: Language) -> None:
        self._words, self._language = words, language

    def of(self, group: str, name: str) -> str:
        return str(self._words[group].get(name, name))

    def fill(self, name: str, **values: object) -> str:
        return str(self._words[name]).format(**values)

    def text(self, by_language: Mapping[str, str]) -> str:
        return by_language.get(self._language) or next(iter(by_language.values()), "")

    def moment(self, time_us: int) -> str:
        moment = datetime.fromtimestamp(time_us / 1e6, UTC).astimezone(_ZONE)
        return moment.strftime("%d/%m/%Y %H:%M:%S" if self._language == "vi" else "%Y-%m-%d %H:%M:%S")

    def length(self, span_us: int) -> str:
        """The two largest units of a length of time."""
        seconds = max(0, span_us // 1_000_000)
        parts: list[str] = []
        for name, size in (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1)):
            count, seconds = divmod(seconds, size)
            if count or (name == "seconds" and not parts):
                parts.append(f"{count} {self.of('unit_time', name)}")
        return " ".join(parts[:2])


def _facts(incident: Incident, tasks: Sequence[Task], unit: str, words: _Words) -> list[Fact]:
    try:
        place = commune(incident.commune).title
    except NotFoundError:
        place = incident.commune
    late = sum(task.late is not None for task in tasks)
    found = {
        "opened": words.moment(incident.opened),
        "origin": words.of("origin", incident.origin),
        "domain": incident.domain,
        "severity": words.of("severity", str(incident.severity)),
        "unit": unit or incident.unit or words.fill("province"),
        "commune": place,
        "owner": incident.owner or words.fill("nobody"),
        "acknowledged": words.length(incident.acknowledged - incident.opened) if incident.acknowledged else "",
        "resolved": words.length(incident.resolved - incident.opened) if incident.resolved else "",
        "closed": words.moment(incident.closed) if incident.closed else "",
        "reopened": words.fill("times", count=incident.reopened) if incident.reopened else "",
        "late": words.fill("late_of", late=late, total=len(tasks)) if tasks else "",
    }
    return [Fact(words.of("fact", name), value) for name, value in found.items() if value]


def _step(event: IncidentEvent, words: _Words) -> Line:
    template = words.of("action", event.action)
    values = defaultdict(str, {name: value for name, value in event.detail.items() if isinstance(value, (str, int))})
    return Line(words.moment(event.time), template.format_map(values), event.by, event.comment)


def _task(task: Task, words: _Words) -> Line:
    said = [words.of("task", task.state)]
    if task.late is not None:
        said.append(words.fill("task_late", time=words.moment(task.late)))
    elif task.due is not None:
        said.append(words.fill("task_due", time=words.moment(task.due)))
    note = " · ".join([*said, task.comment] if task.comment else said)
    return Line(
        words.moment(task.closed or task.created), words.text(task.title), task.closed_by or task.assignee, note
    )


def _evidence(link: IncidentLink, words: _Words) -> Evidence:
    digest = link.detail.get("sha256", link.detail.get("hash", ""))
    return Evidence(
        words.of("kind", link.kind),
        link.title or link.ref,
        f"{link.kind}:{link.ref}",
        f"{words.moment(link.added)} {link.added_by}".strip(),
        str(digest),
    )


def _marks(incident: Incident, links: Sequence[IncidentLink]) -> list[Mark]:
    marks = []
    if incident.lon is not None and incident.lat is not None:
        marks.append(Mark(incident.lon, incident.lat, f"№ {incident.id}"))
    for link in links:
        lon, lat = link.detail.get("lon"), link.detail.get("lat")
        if isinstance(lon, (int, float)) and isinstance(lat, (int, float)) and len(marks) < 20:
            marks.append(Mark(float(lon), float(lat), str(link.detail.get("source", ""))))
    return marks


def _rings(wkb: bytes) -> list[list[tuple[float, float]]]:
    shape = shapely.simplify(shapely.from_wkb(wkb), 0.0005)
    parts = getattr(shape, "geoms", [shape])
    return [[(float(x), float(y)) for x, y, *_ in part.exterior.coords] for part in parts if not part.is_empty]

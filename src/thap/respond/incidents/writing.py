"""How acts become rows and events: inside one transaction.

The order of what a transaction locks, the same for all who change incidents: rows of incidents by number; what
followers write (tasks, timers, notices); the head of the audit log; the lock of the event stream, last of all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import msgspec

from thap.kernel import audit
from thap.kernel.clock import iso
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.store import Transaction
from thap.respond.incidents.mentions import mentioned
from thap.respond.incidents.model import Act, Draft, Follower, IncidentEvent, LinkKind, NewLink, Origin, Row
from thap.respond.incidents.records import IncidentRows, cell_of
from thap.respond.incidents.states import LIVE, IncidentAction, IncidentState, LifeCycle, Refused

__all__ = ["Writing"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")
_OURS = frozenset(map(str, IncidentAction))
_LONGEST = {"title": 200, "description": 20_000, "comment": 10_000, "domain": 32, "unit": 32, "commune": 16}
_LONGEST |= {"owner": 64, "cause": 64, "by": 64}
_EDITABLE = ("title", "description", "domain", "commune", "lon", "lat", "cause")
_REASONED = (IncidentAction.REOPEN, IncidentAction.REJECT)
_MOVES = (
    IncidentAction.ACKNOWLEDGE,
    IncidentAction.START,
    IncidentAction.WAIT,
    IncidentAction.RESUME,
    IncidentAction.RESOLVE,
    IncidentAction.CLOSE,
    *_REASONED,
)


class Writing:
    """Acts gathered in one transaction, then written at once by `finish`."""

    def __init__(self, tx: Transaction, now: int, life: LifeCycle, followers: Sequence[Follower]) -> None:
        self._tx, self._now, self._life, self._followers = tx, now, life, followers
        self.rows = IncidentRows(tx)
        self._held: dict[int, Row] = {}
        self._changes: dict[int, Row] = {}
        self._new: list[Row] = []
        self._log: list[tuple[Row, Row]] = []
        self._links: list[tuple[Row, NewLink, str]] = []
        self._to_be_named: list[tuple[Row, Row]] = []

    # Rows.

    def hold(self, numbers: Iterable[int]) -> dict[int, Row]:
        """Lock incidents, in the order of their numbers; those that there are."""
        asked = [number for number in numbers if 0 < number < 2**63]
        wanted = [number for number in asked if number not in self._held]
        if wanted:
            self._held |= self.rows.many(wanted)
        return {number: self._held[number] for number in asked if number in self._held}

    def row(self, number: int) -> Row:
        """One incident, locked.

        Raises:
            NotFoundError: there is none of this number.
        """
        found = self.hold([number])
        if not found:
            raise NotFoundError(f"there is no incident {number}", hint="`thap incidents list` shows those there are")
        return found[number]

    def put(self, row: Row, **values: Any) -> None:
        """Change columns of a row."""
        row.update(values)
        if row["id"] is not None:
            self._changes.setdefault(row["id"], {}).update(values)

    # Opening.

    def open(self, draft: Draft, by: str, place: str = "") -> Row:
        """Open an incident; its number is known after `finish`.

        Args:
            draft: what it is.
            by: who opens it; '' for a rule.
            place: what alarms' places are compared with; '' is its commune, or the province where it has none.

        Raises:
            InputError: the draft does not hold together.
        """
        draft = _checked(draft, by)
        row: Row = {
            "id": None,
            **{name: getattr(draft, name) for name in ("title", "description", "domain", "severity", "unit")},
            **{name: getattr(draft, name) for name in ("commune", "lon", "lat", "owner", "origin", "cause")},
            "state": str(IncidentState.OPEN),
            "opened": self._now,
            "opened_by": by,
            "acknowledged": None,
            "acknowledged_by": "",
            "resolved": None,
            "closed": None,
            "reopened": 0,
            "merged_into": None,
            "version": 0,
            "changed": self._now,
            "due": None,
            "began": draft.time if draft.time is not None else self._now,
            "latest": draft.time if draft.time is not None else self._now,
            "place": (place or _place(draft.commune))[:260],
            "cell": None if draft.lon is None or draft.lat is None else cell_of(draft.lon, draft.lat),
            "events": 0,
        }
        self._new.append(row)
        for link in draft.links:
            self._links.append((row, link, by))
        self.event(row, IncidentAction.OPEN, by, draft.comment, draft.detail, before="", newer=True)
        return row

    # Acts.

    def act(self, act: Act) -> None:
        """Do one act.

        Raises:
            NotFoundError: there is no such incident, or nothing to be unlinked.
            ConflictError: it changed since the version given, and by whom; or its state does not allow this.
            InputError: what the act needs is missing or wrong.
        """
        _fits(by=act.by, comment=act.comment)
        if act.action == IncidentAction.MERGE:  # two rows: locked in the order of their numbers
            self.hold([act.incident, _number(act.detail, "into")])
        row = self.row(act.incident)
        if act.version is not None and act.version != row["version"]:
            raise ConflictError(
                _changed_since(self.rows, row, act.version),
                where=f"incident {act.incident}",
                hint="read it again",
            )
        if act.action in _OURS:
            do = _DO.get(IncidentAction(act.action))
            if do is None:
                raise InputError(f"{act.action!r} is not done to an incident by itself", where="action")
            do(self, row, act)
        elif _NAME.fullmatch(act.action):
            self.event(row, act.action, act.by, act.comment, act.detail)
        else:
            raise InputError(f"{act.action!r} is no name of an event", where="action", hint="use a to z and _")

    def step(self, row: Row, action: str) -> str:
        """The state after an action.

        Raises:
            ConflictError: it is not allowed.
        """
        after = self._life.step(IncidentState(row["state"]), action)
        if isinstance(after, Refused):
            reason = after.reason
            if action == IncidentAction.ACKNOWLEDGE and reason.endswith("already") and row["acknowledged_by"]:
                reason += f", by {row['acknowledged_by']} at {iso(int(row['acknowledged']))}"
            if row["merged_into"] is not None:
                reason += f" (incident {row['merged_into']})"
            raise ConflictError(reason, where=f"incident {row['id']}", hint="read it again")
        return str(after)

    def event(
        self,
        row: Row,
        action: str,
        by: str,
        comment: str = "",
        detail: Mapping[str, Any] | None = None,
        *,
        before: str | None = None,
        newer: bool = False,
    ) -> None:
        """Note an event of a row as it stands now; `newer`: it makes a new version."""
        self.put(
            row,
            version=row["version"] + newer,
            events=row["events"] + 1,
            changed=max(self._now, int(row["changed"])),  # a clock set back does not turn the history round
        )
        line = {
            "nth": row["events"],
            "action": str(action),
            "from_state": row["state"] if before is None else before,
            "to_state": row["state"],
            "time": row["changed"],
            "by": by,
            "comment": comment,
            "detail": dict(detail or {}),
            "version": row["version"],
        }
        self._log.append((row, {**line, **{name: row[name] for name in _IN_EVENT}}))

    def link(self, row: Row, link: NewLink, by: str) -> None:
        """Let something belong to an incident."""
        self._links.append((row, link, by))

    def _move(self, row: Row, act: Act) -> None:
        before, after = row["state"], self.step(row, act.action)
        if act.action in _REASONED and not act.comment.strip():
            raise InputError(f"to {act.action} an incident needs a reason", where="comment")
        moment = max(self._now, int(row["changed"]))
        values: dict[str, Any] = {"state": after}
        if act.action == IncidentAction.REOPEN:
            values |= {"acknowledged": None, "acknowledged_by": "", "resolved": None, "closed": None}
            values |= {"reopened": row["reopened"] + 1, "latest": max(int(row["began"]), moment)}
        elif row["acknowledged"] is None and act.action != IncidentAction.REJECT:
            values |= {"acknowledged": moment, "acknowledged_by": act.by}  # whoever acts on it has seen it
        if act.action == IncidentAction.RESOLVE:
            values["resolved"] = moment
        if after in (IncidentState.CLOSED, IncidentState.REJECTED):
            values["closed"] = moment
        if after not in LIVE:
            values["latest"] = None
        self.put(row, **values)
        self.event(row, act.action, act.by, act.comment, act.detail, before=before, newer=True)

    def _assign(self, row: Row, act: Act) -> None:
        self.step(row, act.action)
        wanted = {name: act.detail[name] for name in ("unit", "owner") if act.detail.get(name) is not None}
        _fits(**wanted)
        changed = {name: [row[name], value] for name, value in wanted.items() if row[name] != value}
        if not changed:
            raise ConflictError("it is assigned so already", where=f"incident {row['id']}")
        self.put(row, **{name: value for name, (_, value) in changed.items()})
        self.event(row, act.action, act.by, act.comment, changed, newer=True)

    def _severity(self, row: Row, act: Act) -> None:
        self.step(row, act.action)
        wanted = _severity(act.detail.get("severity"))
        if wanted == row["severity"]:
            raise ConflictError(f"its severity is {wanted} already", where=f"incident {row['id']}")
        self.raise_to(row, wanted, act)

    def raise_to(self, row: Row, severity: int, act: Act) -> None:
        """Set the severity, up or down."""
        detail = {**act.detail, "from": row["severity"], "to": severity}
        self.put(row, severity=severity)
        self.event(row, IncidentAction.SEVERITY, act.by, act.comment, detail, newer=True)

    def _edit(self, row: Row, act: Act) -> None:
        self.step(row, act.action)
        unknown = sorted(set(act.detail) - set(_EDITABLE))
        if unknown:
            raise InputError(
                f"{unknown[0]!r} cannot be edited", where=unknown[0], hint=f"one of {', '.join(_EDITABLE)}"
            )
        values = dict(act.detail)
        _fits(**{name: value for name, value in values.items() if name not in ("lon", "lat")})
        if not str(values.get("title", "x")).strip():
            raise InputError("an incident needs a title", where="title")
        _on_earth(values.get("lon", row["lon"]), values.get("lat", row["lat"]))
        changed = {name: [row[name], value] for name, value in values.items() if row[name] != value}
        if not changed:
            raise InputError("nothing would be changed", hint="give a field another value")
        before = dict(row)
        self.put(row, **{name: value for name, (_, value) in changed.items()})
        if "commune" in changed and not before["place"].startswith("s:"):
            self.put(row, place=_place(row["commune"]))
        if "lon" in changed or "lat" in changed:
            self.put(row, cell=None if row["lon"] is None else cell_of(row["lon"], row["lat"]))
        self.event(row, act.action, act.by, act.comment, changed, newer=True)

    def _comment(self, row: Row, act: Act) -> None:
        if not act.comment.strip():
            raise InputError("a comment must say something", where="comment")
        self.event(row, act.action, act.by, act.comment, {**act.detail, "mentions": mentioned(act.comment)})

    def _link(self, row: Row, act: Act) -> None:
        try:
            link = msgspec.convert(dict(act.detail), NewLink)
        except msgspec.ValidationError as error:
            raise InputError(f"this is no link: {error}", where="link") from None
        _check_link(link)
        if any(known["kind"] == link.kind and known["ref"] == link.ref for known in self._linked(row)):
            raise ConflictError(f"{link.kind} {link.ref} belongs to it already", where=f"incident {row['id']}")
        self.link(row, link, act.by)
        self.event(row, act.action, act.by, act.comment, {"kind": link.kind, "ref": link.ref, "title": link.title})

    def _unlink(self, row: Row, act: Act) -> None:
        number = _number(act.detail, "link")
        known = {int(link["id"]): link for link in self._linked(row)}
        if number not in known:
            raise NotFoundError(f"incident {row['id']} has no link {number}", where="link")
        self.rows.unlink([number], act.by, self._now)
        gone = known[number]
        detail = {"link": number, "kind": gone["kind"], "ref": gone["ref"], "title": gone["title"]}
        self.event(row, act.action, act.by, act.comment, detail)

    def _linked(self, row: Row) -> list[Row]:
        """The links it has, with those of this transaction (which have no number yet)."""
        fresh = [
            {"id": 0, "kind": link.kind, "ref": link.ref, "title": link.title, "detail": _json(link.detail)}
            for about, link, _ in self._links
            if about is row
        ]
        return (self.rows.linked(row["id"]) if row["id"] is not None else []) + fresh

    # Merge and split.

    def _merge(self, row: Row, act: Act) -> None:
        number = _number(act.detail, "into")
        if number == row["id"]:
            raise InputError("an incident cannot be merged into itself", where="into")
        into = self.row(number)
        seen = act.detail.get("into_version")
        if seen is not None and seen != into["version"]:
            raise ConflictError(
                _changed_since(self.rows, into, int(seen)), where=f"incident {number}", hint="read it again"
            )
        after = self.step(row, IncidentAction.MERGE)
        self.step(into, IncidentAction.ABSORB)
        before, latest = row["state"], row["latest"]
        there = {(link["kind"], link["ref"]) for link in self._linked(into)} | {("incident", str(number))}
        mine = NewLink("incident", str(row["id"]), row["title"], {"merged": True})
        for link in [mine, *(_copy(link, row) for link in self._linked(row))]:
            if (link.kind, link.ref) not in there:
                there.add((link.kind, link.ref))
                self.link(into, link, act.by)
        self.put(row, state=after, merged_into=number, latest=None, closed=max(self._now, int(row["changed"])))
        self.event(row, IncidentAction.MERGE, act.by, act.comment, {"into": number}, before=before, newer=True)
        self.put(into, began=min(int(into["began"]), int(row["began"])), latest=max(int(into["latest"]), int(latest)))
        detail: dict[str, Any] = {"incident": row["id"], "title": row["title"]}
        if row["severity"] > into["severity"]:
            detail["severity"] = [into["severity"], row["severity"]]
            self.put(into, severity=row["severity"])
        self.event(into, IncidentAction.ABSORB, act.by, act.comment, detail, newer=True)

    def split(self, act: Act, links: Sequence[int], title: str) -> Row:
        """Make a part of an incident, given by its links, an incident of its own. Raises as `act`."""
        row = self.row(act.incident)
        if act.version is not None and act.version != row["version"]:
            raise ConflictError(
                _changed_since(self.rows, row, act.version), where=f"incident {row['id']}", hint="read it again"
            )
        self.step(row, IncidentAction.SPLIT)
        known = {int(link["id"]): link for link in self._linked(row)}
        if not links:
            raise InputError("say which links go into the new incident", where="links")
        for number in links:
            if number not in known:
                raise NotFoundError(f"incident {row['id']} has no link {number}", where="links")
        moved = [known[number] for number in dict.fromkeys(links)]
        self.rows.unlink([int(link["id"]) for link in moved], act.by, self._now)
        same = ("description", "domain", "severity", "unit", "commune", "lon", "lat", "owner", "origin", "cause")
        draft = Draft(
            title=title or row["title"],
            **{name: row[name] for name in same},
            time=row["began"],
            links=(
                NewLink("incident", str(row["id"]), row["title"], {"split": True}),
                *(_copy(link, row) for link in moved),
            ),
            detail={"split_from": row["id"]},
            comment=act.comment,
        )
        made = self.open(draft, act.by, row["place"])
        self.put(made, latest=row["latest"])
        told = [{"link": link["id"], "kind": link["kind"], "ref": link["ref"]} for link in moved]
        self.event(row, IncidentAction.SPLIT, act.by, act.comment, {"links": told}, newer=True)
        self._to_be_named.append((self._log[-1][1]["detail"], made))
        return made

    # The end.

    def finish(self) -> list[IncidentEvent]:
        """Write rows, let followers follow, write audit and events; returns the events, numbered."""
        for row, number in zip(self._new, self.rows.add([_without_id(row) for row in self._new]), strict=True):
            row["id"] = number
            self._held[number] = row
        self.rows.update(sorted(self._changes.items()))
        self.rows.link([_link_row(row, link, by, self._now) for row, link, by in self._links])
        if not self._log:
            return []
        for detail, row in self._to_be_named:
            detail["into"] = row["id"]
        events = [IncidentEvent(id=0, incident=int(row["id"]), **line) for row, line in self._log]
        about = {int(row["id"]): row for row, _ in self._log}
        for follow in self._followers:
            follow(self._tx, events, about)
        audit.append(self._tx, [_entry(event) for event in events if event.by])
        numbers = self.rows.log([_event_row(event) for event in events])
        return [msgspec.structs.replace(event, id=n) for event, n in zip(events, numbers, strict=True)]


_DO: Mapping[IncidentAction, Callable[[Writing, Row, Act], None]] = {
    **dict.fromkeys(_MOVES, Writing._move),
    IncidentAction.ASSIGN: Writing._assign,
    IncidentAction.SEVERITY: Writing._severity,
    IncidentAction.EDIT: Writing._edit,
    IncidentAction.COMMENT: Writing._comment,
    IncidentAction.LINK: Writing._link,
    IncidentAction.UNLINK: Writing._unlink,
    IncidentAction.MERGE: Writing._merge,
}
_IN_EVENT = ("title", "domain", "severity", "unit", "commune", "owner")
_STORED = ("nth", "action", "from_state", "to_state", "time", "by", "comment", "version")


def _without_id(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "id"}


def _event_row(event: IncidentEvent) -> Row:
    kept = {name: getattr(event, name) for name in _STORED}
    return {**kept, "incident_id": event.incident, "detail": _json(event.detail)}


def _link_row(row: Row, link: NewLink, by: str, now: int) -> Row:
    return {
        "incident_id": row["id"],
        "kind": link.kind,
        "ref": link.ref,
        "title": link.title[:200],
        "detail": _json(link.detail),
        "added": now,
        "added_by": by,
        "removed": None,
        "removed_by": "",
    }


def _entry(event: IncidentEvent) -> audit.Entry:
    return audit.Entry(event.by, f"incident.{event.action}", f"incident:{event.incident}", event.detail)


def _copy(link: Row, source: Row) -> NewLink:
    detail = {**msgspec.json.decode(link["detail"]), "from": source["id"]}
    return NewLink(link["kind"], link["ref"], link["title"], detail)


def _place(commune: str) -> str:
    return f"c:{commune}" if commune else "p:"


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode() if value else "{}"


# What must hold of what comes in.


def _checked(draft: Draft, by: str) -> Draft:
    texts = ("title", "description", "domain", "unit", "commune", "owner", "cause", "comment")
    _fits(by=by, **{name: getattr(draft, name) for name in texts})
    if not draft.title.strip():
        raise InputError("an incident needs a title", where="title")
    _severity(draft.severity)
    _on_earth(draft.lon, draft.lat)
    if draft.origin not in get_args(Origin):
        raise InputError(f"{draft.origin!r} is not where an incident comes from", where="origin")
    for link in draft.links:
        _check_link(link)
    unique = {(link.kind, link.ref): link for link in reversed(draft.links)}
    return replace(draft, title=draft.title.strip(), links=tuple(reversed(unique.values())))


def _fits(**texts: Any) -> None:
    for name, value in texts.items():
        if not isinstance(value, str):
            raise InputError(f"{name} must be text", where=name)
        if len(value) > _LONGEST[name]:
            raise InputError(f"{name} is longer than {_LONGEST[name]} characters", where=name)
        if "\x00" in value:
            raise InputError(f"{name} holds a NUL character", where=name)


def _check_link(link: NewLink) -> None:
    if link.kind not in get_args(LinkKind):
        raise InputError(
            f"{link.kind!r} is not a kind of link", where="kind", hint=f"one of {', '.join(get_args(LinkKind))}"
        )
    if not 0 < len(link.ref) <= 128 or "\x00" in link.ref + link.title:
        raise InputError("a link's ref has 1 to 128 characters", where="ref")


def _severity(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4:
        raise InputError("severity is a number from 1 (low) to 4 (critical)", where="severity")
    return int(value)


def _number(detail: Mapping[str, Any], name: str) -> int:
    value = detail.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**63:
        raise InputError(f"{name} must be a number", where=name)
    return value


def _on_earth(lon: Any, lat: Any) -> None:
    if lon is None and lat is None:
        return
    for name, value, most in (("lon", lon, 180), ("lat", lat, 90)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError("a place has a longitude and a latitude, in degrees", where=name)
        if abs(value) > most:
            raise InputError(f"{name} is between -{most} and {most} degrees", where=name)


def _changed_since(rows: IncidentRows, row: Row, version: int) -> str:
    if version > row["version"] or version < 0:
        return f"there is no version {version} of it yet, it is at {row['version']}"
    steps = rows.since_version(int(row["id"]), version)
    told = [f"{_words(action)}{f' by {who}' if who else ''} at {iso(when)}" for action, who, when in steps[-3:]]
    earlier = f"{len(steps) - 3} earlier changes, then " if len(steps) > 3 else ""
    return f"it changed since version {version}: {earlier}{', '.join(told)}; it is {_words(row['state'])} now"


def _words(name: str) -> str:
    return name.replace("_", " ")

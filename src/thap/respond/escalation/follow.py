"""Escalation follows incidents: a chain begins when one opens and ends when somebody takes it up.

`follow` runs in the transaction of the incident's events, `step` in that of the timer which fired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, now_us
from thap.kernel.store import Transaction
from thap.kernel.units import PROVINCE_CODE
from thap.respond import timers
from thap.respond.duty.book import duty_now
from thap.respond.escalation.chains import all_chains, choose, held_until
from thap.respond.escalation.model import Chain, Escalation, ReachedStep, Step, Suppression
from thap.respond.escalation.records import STEP_TEMPLATE, EscalationRows
from thap.respond.incidents.model import LIVE_SUBJECT, Act, IncidentEvent, Row, announcement
from thap.respond.incidents.states import IncidentLife, IncidentState
from thap.respond.incidents.writing import Writing
from thap.respond.notify import Address, Notice, Person, Recipient, enqueue
from thap.respond.notify.people import reachable, role_holders

__all__ = ["AGAIN_US", "KIND", "follow", "hurry", "reach", "step"]

KIND = "escalation.step"
AGAIN_US = 5 * MINUTE_US
"""When a chain that reached nobody is tried again: somebody may have come on duty."""
LAST_AGAIN_US = HOUR_US
"""How often the last step is taken again once a chain is at its end."""

_HEARD = frozenset({"acknowledged", "in_progress", "waiting"})
_CHOICE = frozenset({"severity", "assign", "edit", "absorb"})


def follow(tx: Transaction, events: Sequence[IncidentEvent], incidents: Mapping[int, Row]) -> None:
    """Begin chains of incidents that opened or opened again, end those of incidents somebody took up, and choose
    anew where severity, unit, domain or owner of a waiting one changed."""
    now = now_us()
    opened: dict[int, bool] = {}
    for event in events:
        number = event.incident
        if event.to_state != "open":
            if event.from_state == "open" or event.to_state != event.from_state:
                opened.pop(number, None)
                _end(tx, number, "acknowledged" if event.to_state in _HEARD else "stopped", event.by, now)
        elif event.from_state != "open":
            opened[number] = bool(event.from_state)  # whether there may be one from before
        elif number not in opened and event.action in _CHOICE:
            _changed(tx, incidents[number], now)
    if opened:
        again = {number for number, before in opened.items() if before}
        _begin(tx, [incidents[number] for number in opened if not _runs(tx, number, again)], now)


def step(tx: Transaction, fired: Sequence[timers.Timer], now: int) -> list[timers.Announcement]:
    """Handler of the timers: take the next step of each chain, and set the timer for the one after.

    Each step is an event of its incident. Returns what is to be announced."""
    rows = EscalationRows(tx)
    numbers = rows.incidents_of([int(timer.ref) for timer in fired])
    writing = Writing(tx, now, IncidentLife(), ())
    held = writing.hold(sorted(set(numbers.values())))  # incidents are locked before what hangs on them
    suppressions = rows.suppressions()
    following, told = [], 0
    for timer in fired:
        one = rows.get(int(timer.ref))
        incident = held.get(one.incident) if one is not None else None
        if one is None or incident is None or one.state != "running":
            continue
        if incident["state"] != IncidentState.OPEN:  # taken up without its being followed
            rows.save(msgspec.structs.replace(one, state="stopped", ended=now, changed=now))
            continue
        until = _held(one, suppressions, now)
        if until is None:
            after, until, detail = _next(tx, rows, one, now)
            rows.save(after)
            if detail:
                writing.act(Act(one.incident, "escalation", detail=detail))
                told += 1
        following.append(timers.Timer(KIND, timer.ref, until))
    if following:
        timers.set(tx, following)
    events = writing.finish() if told else []
    return [(LIVE_SUBJECT, announcement(event)) for event in events]


def hurry(tx: Transaction, incident: int, now: int) -> None:
    """What the last step told reached nobody at all: take the next one at once."""
    one = EscalationRows(tx).running(incident)
    if one is not None and not one.reason:
        timers.move(tx, KIND, str(one.id), now)


def _runs(tx: Transaction, incident: int, again: Iterable[int]) -> bool:
    return incident in set(again) and EscalationRows(tx).running(incident) is not None


def _begin(tx: Transaction, incidents: Sequence[Row], now: int) -> None:
    rows = EscalationRows(tx)
    chains = all_chains(rows.chains())
    started = []
    for incident in incidents:
        chain = _chain_for(chains, incident)
        if chain is not None:
            started.append(_escalation(chain, incident, now))
    numbers = rows.start(started)
    if numbers:
        timers.set(tx, [timers.Timer(KIND, str(number), now) for number in numbers])


def _end(tx: Transaction, incident: int, state: str, by: str, now: int) -> None:
    rows = EscalationRows(tx)
    one = rows.running(incident)
    if one is not None:
        rows.save(msgspec.structs.replace(one, state=state, ended=now, ended_by=by, changed=now))
        timers.cancel(tx, KIND, str(one.id))


def _changed(tx: Transaction, incident: Row, now: int) -> None:
    rows = EscalationRows(tx)
    one = rows.running(int(incident["id"]))
    chain = _chain_for(all_chains(rows.chains()), incident)
    if chain is None:
        if one is not None:
            _end(tx, one.incident, "stopped", "", now)
        return
    if one is None:
        _begin(tx, [incident], now)
        return
    fresh = _escalation(chain, incident, one.started)
    if (chain.name, fresh.unit, fresh.commune) == (one.chain, one.unit, one.commune):
        kept = msgspec.structs.replace(
            one, title=fresh.title, owner=fresh.owner, severity=fresh.severity, domain=fresh.domain, changed=now
        )
        if kept != one:
            rows.save(kept)
        return
    rows.save(msgspec.structs.replace(fresh, id=one.id, changed=now))
    timers.set(tx, [timers.Timer(KIND, str(one.id), now)])


def _chain_for(chains: Iterable[Chain], incident: Row) -> Chain | None:
    units = (str(incident["unit"] or PROVINCE_CODE), str(incident["commune"]))
    return choose(chains, domain=str(incident["domain"]), units=units, severity=int(incident["severity"]))


def _escalation(chain: Chain, incident: Row, now: int) -> Escalation:
    return Escalation(
        incident=int(incident["id"]),
        chain=chain.name,
        steps=chain.steps,
        rounds=chain.rounds,
        title=str(incident["title"])[:300],
        domain=str(incident["domain"]),
        unit=str(incident["unit"] or PROVINCE_CODE),
        commune=str(incident["commune"]),
        owner=str(incident["owner"]),
        severity=int(incident["severity"]),
        started=now,
        changed=now,
    )


def _held(one: Escalation, suppressions: Iterable[Suppression], now: int) -> int | None:
    if one.step or one.time or one.round:  # it has begun
        return None
    return held_until(suppressions, domain=one.domain, units=(one.unit, one.commune), severity=one.severity, at=now)


def _next(tx: Transaction, rows: EscalationRows, one: Escalation, now: int) -> tuple[Escalation, int, dict[str, Any]]:
    """The chain after its next step, when the one after that is due, and what to keep of it in the incident's
    history ({} for nothing). Steps that have nobody are passed."""
    reached = rows.reached(one)
    place, times, rounds = one.step, one.time, one.round
    reason = "" if reached and one.reason == "unreachable" else one.reason
    passed = 0
    detail: dict[str, Any] = {}
    while True:
        if place >= len(one.steps):
            rounds, place, times = rounds + 1, 0, 0
            if not reached or passed >= len(one.steps):
                if reason != "unreachable":
                    detail = {"chain": one.chain, "reason": "unreachable"}
                reason, due = "unreachable", now + AGAIN_US
                break
            if rounds >= one.rounds:
                if reason != "unanswered":
                    detail = {"chain": one.chain, "reason": "unanswered"}
                place, reason, due = len(one.steps) - 1, "unanswered", now + LAST_AGAIN_US
                break
        current = one.steps[place]
        told = _notices(tx, one, current, f"escalation:{one.id}:{one.chain}:{rounds}:{place}:{times}", now)
        taken: dict[str, Any] = {"chain": one.chain, "round": rounds + 1, "step": place + 1, "time": times + 1}
        times += 1
        if times >= current.times or not told:
            place, times = place + 1, 0
        if told:
            enqueue(tx, told, now)
            detail = {**taken, "to": [_spoken(notice.to) for notice in told]}
            due = now + current.wait_s * SECOND_US
            break
        passed += 1
    after = msgspec.structs.replace(one, step=place, time=times, round=rounds, reason=reason, changed=now)
    return after, due, detail


def _notices(tx: Transaction, one: Escalation, current: Step, key: str, now: int) -> list[Notice]:
    """What a step tells those of its recipients who can be told."""
    params = {
        "incident": one.incident,
        "title": one.title,
        "severity": one.severity,
        "domain": one.domain,
        "unit": one.unit,
        "commune": one.commune,
        "opened": one.started,
        "waited_us": now - one.started,
        "escalation": one.id,
        "url": f"/incidents/{one.incident}",
    }
    urgent = one.severity >= 3 if current.urgent is None else current.urgent
    return [
        Notice(to, STEP_TEMPLATE, params, incident=one.incident, dedup=key, urgent=urgent)
        for to in _recipients(tx, one, current, now, urgent)
    ]


def _spoken(to: Recipient) -> str:
    return to.login if isinstance(to, Person) else to.url.partition(":")[0] if isinstance(to, Address) else to.role


def reach(
    tx: Transaction, steps: Iterable[Step], *, unit: str, commune: str, owner: str, severity: int, now: int
) -> list[ReachedStep]:
    """Who each step would tell at this moment; nobody is told."""
    after, found = 0, []
    for current in steps:
        urgent = severity >= 3 if current.urgent is None else current.urgent
        logins, addresses = _meant(tx, current, unit, commune, owner, now)
        people = reachable(tx, logins, urgent)
        silent = [login for login in logins if login not in people]
        channels = sorted({url.partition(":")[0] for url in addresses})
        found.append(ReachedStep(people=people, silent=silent, channels=channels, after_s=after))
        if people or addresses:  # a step that has nobody is passed at once
            after += current.wait_s * current.times
    return found


def _recipients(tx: Transaction, one: Escalation, current: Step, now: int, urgent: bool) -> list[Recipient]:
    logins, addresses = _meant(tx, current, one.unit, one.commune, one.owner, now)
    people: list[Recipient] = [Person(login) for login in reachable(tx, logins, urgent)]
    return people + [Address(url) for url in addresses]


def _meant(
    tx: Transaction, current: Step, in_unit: str, commune: str, owner: str, now: int
) -> tuple[list[str], list[str]]:
    """Logins of the people and addresses that a step means."""
    logins: dict[str, None] = {}
    addresses: dict[str, None] = {}
    for to in current.to:
        kind, _, rest = to.partition(":")
        if kind in ("duty", "role"):
            unit, _, role = rest.partition("/")
            unit = {"$unit": in_unit, "$commune": commune}.get(unit, unit)
            found = duty_now(tx, unit, role, now) if kind == "duty" else role_holders(tx, unit, role, now)
            logins.update(dict.fromkeys(found))
        elif kind == "person":
            login = owner if rest == "$owner" else rest
            logins.update({login: None} if login else {})
        else:
            addresses[to] = None
    return list(logins), list(addresses)

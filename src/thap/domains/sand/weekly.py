"""The weekly summary: quantities, declarations, violations and vessels of a week from Monday, as values and as PDF."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.sand.entries import to_us_of
from thap.domains.sand.evidence import words_of
from thap.domains.sand.ledger import Factors, estimate
from thap.domains.sand.ledger_records import (
    STAY_RESOURCE,
    TRIP_RESOURCE,
    VIOLATION_RESOURCE,
    accounts,
    loads_by_licence,
    vessel_names,
    violations,
)
from thap.domains.sand.model import StayKind, local_day
from thap.domains.sand.records import ENTRY_RESOURCE, sand_stays, sand_trips
from thap.kernel.clock import DAY_US, HOUR_US, VIETNAM, from_us, now_us
from thap.kernel.errors import InputError
from thap.kernel.policy import Policy, Who
from thap.measure.typesetting import Language, set_pdf

__all__ = ["Week", "gather_week", "parse_week", "week_pdf"]

_S, _T = sand_stays.c, sand_trips.c
_MOST = 100_000
_VESSELS = 10


@dataclass(frozen=True, slots=True)
class Week:
    """A week's figures, JSON-able by `as_dict`."""

    name: str
    """As 2026-W48."""
    since: str
    until: str
    """Its last day."""
    licences: Sequence[Mapping[str, Any]]
    kinds: Mapping[str, int]
    vessels: Sequence[tuple[str, str, int, int]]
    """Key, name, violations, trips; the worst first."""
    hours: float
    """Of dredging that was watched."""
    heard: int
    known: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "week": self.name,
            "since": self.since,
            "until": self.until,
            "licences": [dict(one) for one in self.licences],
            "violations": dict(self.kinds),
            "vessels": [
                {"vessel": key, "name": name, "violations": count, "trips": trips}
                for key, name, count, trips in self.vessels
            ],
            "hours": round(self.hours, 1),
            "heard": self.heard,
            "known": self.known,
        }


def parse_week(text: str, now: int | None = None) -> date:
    """Monday of a week written as 2026-W48; empty: the last full week.

    Raises:
        InputError: it is none.
    """
    if not text:
        today = date.fromisoformat(local_day(now_us() if now is None else now))
        return today - timedelta(days=today.weekday() + 7)
    found = re.fullmatch(r"(\d{4})-?W(\d{1,2})", text.strip(), re.IGNORECASE)
    try:
        if found:
            return date.fromisocalendar(int(found[1]), int(found[2]), 1)
    except ValueError:
        pass
    raise InputError(f"{text[:20]!r} is no week", where="week", hint="write it as 2026-W48")


async def gather_week(connection: AsyncConnection, monday: date, factors: Factors, policy: Policy, who: Who) -> Week:
    """The figures of a week, as far as somebody may see them."""
    sunday = monday + timedelta(days=6)
    since, until = monday.isoformat(), sunday.isoformat()
    begin, end = to_us_of(monday), to_us_of(monday) + 7 * DAY_US
    within = policy.where(who, "register.read", ENTRY_RESOURCE)
    seen = policy.where(who, "register.read", STAY_RESOURCE)
    loads = await loads_by_licence(
        connection, since=since, until=until, within=policy.where(who, "register.read", TRIP_RESOURCE)
    )
    lines = []
    for account in await accounts(connection, factors, within=within, now=end - 1, retired=None):
        week = estimate(loads.get(account.licence.id, []), factors)
        said = [one for one in account.days if since <= one.period <= until and one.declared_m3 is not None]
        if account.licence.retired and not week.trips and not said:
            continue
        told = account.as_dict(lines=False)
        declared = sum(one.declared_m3 or 0.0 for one in said)
        beside = sum(one.estimated.m3 for one in said)
        lines.append(
            {
                **told,
                "week": week.as_dict(),
                "declared_week_m3": declared if said else None,
                "estimated_beside_m3": beside if said else None,
            }
        )
    found = await violations(
        connection, within=policy.where(who, "register.read", VIOLATION_RESOURCE), since=begin, until=end, limit=_MOST
    )
    by_vessel = Counter(one.violation.vessel for one in found)
    trips = Counter(load.vessel for some in loads.values() for load in some)
    names = await vessel_names(connection)
    worst = [(key, names.get(key, ""), count, trips[key]) for key, count in by_vessel.most_common(_VESSELS)]
    hours = await connection.scalar(
        sa.select(sa.func.sum(_S.end - _S.begin)).where(
            _S.kind == str(StayKind.DREDGING), _S.end >= begin, _S.begin < end, seen
        )
    )
    heard = set(await connection.scalars(sa.select(_S.vessel).where(_S.end >= begin, _S.begin < end, seen).distinct()))
    heard |= set(trips) | set(by_vessel)
    return Week(
        f"{monday.isocalendar().year}-W{monday.isocalendar().week:02d}",
        since,
        until,
        lines,
        Counter(str(one.violation.kind) for one in found),
        worst,
        float(hours or 0) / HOUR_US,
        len(heard & names.keys()),
        len(names),
    )


def week_pdf(week: Week, language: Language, by: str) -> bytes:
    """The week as PDF. Takes some tens of milliseconds of one core: call it in a thread.

    Raises:
        UnavailableError: the typesetter refused it.
    """
    words = words_of(language)["weekly"]
    kinds = words_of(language)["kinds"]

    def amount(value: float | None) -> str:
        if value is None:
            return "–"
        text = f"{value:,.0f}"
        return text.replace(",", ".") if language == "vi" else text

    def day(text: str | None) -> str:
        if not text:
            return "–"
        made = date.fromisoformat(text)
        return made.strftime("%d/%m/%Y") if language == "vi" else text

    def band(told: Mapping[str, Any]) -> str:
        return f"{amount(told['m3'])} ({amount(told['low_m3'])}–{amount(told['high_m3'])})"

    licences, declared = [], []
    for one in week.licences:
        title = f"{one['licence']} {one['name']}".strip()
        total = one["limits"]["total"]
        share = f"{100 * one['used']['total']['m3'] / total:.0f} %" if total else "–"
        licences.append(
            [title, str(one["week"]["trips"]), band(one["week"]), amount(one["used"]["month"]["m3"]), share,
             day((one["forecast"] or {}).get("day"))]
        )  # fmt: skip
        if one["declared_week_m3"] is not None:
            difference = one["estimated_beside_m3"] - one["declared_week_m3"]
            sign = "+" if difference > 0 else ""
            declared.append(
                [title, amount(one["estimated_beside_m3"]), amount(one["declared_week_m3"]), sign + amount(difference)]
            )
    report = {
        "week": week.name,
        "span": words["span"].format(since=day(week.since), until=day(week.until)),
        "figures": [
            [words["figure_m3"], amount(sum(one["week"]["m3"] for one in week.licences))],
            [words["figure_trips"], str(sum(one["week"]["trips"] for one in week.licences))],
            [words["figure_violations"], str(sum(week.kinds.values()))],
            [words["figure_hours"], amount(week.hours)],
        ],
        "licences": licences,
        "declared": declared,
        "kinds": [[kinds.get(kind, kind), str(count)] for kind, count in sorted(week.kinds.items())],
        "vessels": [[name or key, str(count), str(trips)] for key, name, count, trips in week.vessels],
        "heard": words["heard"].format(heard=week.heard, known=week.known),
        "made": words["made"].format(time=from_us(now_us()).astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M"), by=by),
    }
    return set_pdf("thap.domains.sand", "weekly.typ", language, f"week {week.name}", report=report, words=words)

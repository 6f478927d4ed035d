"""The policy as it stands: a question about one record, or the same question as SQL about all of them.

Somebody may do something to a record when

1. one of their grants in force holds the action, its unit is the province or one of the record's units or above
   one of them, and its domain is all or the record's; and
2. for each restriction that the record falls under (its thing, its domain, one of its units or a unit above)
   they have a clearance. The role does not matter for that: an administrator has none by being one.

Neither holds for the machine's owner (`local`) and for the centre itself (`system`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import iso, now_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.policy.model import (
    ACTIONS,
    EVERYWHERE,
    LATEST_US,
    READING,
    ROLES,
    Decision,
    Grant,
    Resource,
    Restriction,
    Subject,
    Who,
)
from thap.kernel.policy.records import clearances, grants, people, policy_versions, restrictions, units
from thap.kernel.store import Transaction
from thap.kernel.units import PROVINCE_CODE

__all__ = ["Policy", "read_version"]


_G, _P, _R, _C = grants.c, people.c, restrictions.c, clearances.c
_STATEMENTS = (
    sa.select(policy_versions.c.version),
    sa.select(units.c.code, units.c.parent),
    sa.select(_G.person_id, _G.role, _G.unit, _G.domain, _G.until).order_by(_G.id),
    sa.select(_P.id, _P.login, _P.unit, _P.language).where(_P.disabled.is_(None)),
    sa.select(_R.kind, _R.ref, _R.reason, _R.created, _R.created_by).order_by(_R.kind, _R.ref),
    sa.select(_C.person_id, _C.kind, _C.ref, _C.until),
)
"""What a policy is made of: the version first, so that a change meanwhile is seen by the next."""


class Policy:
    """Who may do what to which records, at one moment. Nothing of it changes; take a new one from `Policies`.

    Args:
        parents: every unit's parent by code; the province's is `''`.
        people: by id.
        restrictions: what is restricted.
        clearances: (person's id, key of the restriction, moment it ends or None).
        version: of the tables it was read from.
    """

    def __init__(
        self,
        parents: Mapping[str, str],
        people: Iterable[Who] = (),
        restrictions: Iterable[Restriction] = (),
        clearances: Iterable[tuple[int, str, int | None]] = (),
        version: int = 0,
    ) -> None:
        self.version = version
        self.restrictions: tuple[Restriction, ...] = tuple(restrictions)
        self._parents = dict(parents)
        self._below = _descendants(self._parents)
        self._people = {who.person_id: who for who in people if who.person_id is not None}
        self._by_login = {who.name: who for who in self._people.values()}
        self._clearances: dict[int, list[tuple[str, int | None]]] = {}
        for person_id, key, until in clearances:
            self._clearances.setdefault(person_id, []).append((key, until))

    @classmethod
    async def load(cls, connection: AsyncConnection) -> Policy:
        """Read all of it, in one view of the records."""
        return cls._of([(await connection.execute(statement)).all() for statement in _STATEMENTS])

    @classmethod
    def load_in(cls, tx: Transaction) -> Policy:
        """The same within a transaction of a store."""
        return cls._of([tx.rows(statement, {}) for statement in _STATEMENTS])

    @classmethod
    def _of(cls, read: Sequence[Sequence[Any]]) -> Policy:
        version, tree, held, found, limits, clear = read
        roles: dict[int, list[Grant]] = {}
        for row in held:
            roles.setdefault(row[0], []).append(Grant(row[1], row[2], row[3], row[4]))
        return cls(
            {str(code): str(parent or "") for code, parent in tree},
            [Who(row[1], "person", row[0], row[2], tuple(roles.get(row[0], ())), frozenset(), row[3]) for row in found],
            [Restriction(*row) for row in limits],
            [(row[0], f"{row[1]}:{row[2]}", row[3]) for row in clear],
            int(version[0][0] or 0) if version else 0,
        )

    # People.

    def person(self, who: int | str) -> Who | None:
        """The person of this id or login, with the clearances in force now; None for one disabled or unknown."""
        found = self._people.get(who) if isinstance(who, int) else self._by_login.get(who)
        if found is None or found.person_id is None:
            return None
        kept = self._clearances.get(found.person_id)
        if not kept:
            return found
        now = now_us()
        clear = frozenset(key for key, until in kept if until is None or until > now)
        return Who(found.name, found.kind, found.person_id, found.unit, found.grants, clear, found.language)

    def people(self) -> list[Who]:
        """Everyone not disabled, by login."""
        return [who for login in sorted(self._by_login) if (who := self.person(login)) is not None]

    def people_who(self, action: str, subject: Subject) -> list[Who]:
        """Everyone who may do that to this record, by login."""
        return [who for who in self.people() if self.decide(who, action, subject).allowed]

    def people_with(self, role: str, unit: str, domain: str = "") -> list[Who]:
        """Everyone who has a role in force just at this unit (not above it), for all domains or this one."""
        now, at = now_us(), PROVINCE_CODE if unit in EVERYWHERE else unit
        return [
            who
            for who in self.people()
            if any(
                grant.role == role
                and (PROVINCE_CODE if grant.unit in EVERYWHERE else grant.unit) == at
                and grant.domain in ("", domain)
                and grant.live(now)
                for grant in who.grants
            )
        ]

    # Units.

    def parent(self, unit: str) -> str:
        """Code of the unit above; `''` for the province and for codes unknown."""
        return self._parents.get(unit, "")

    def below(self, unit: str) -> frozenset[str]:
        """A unit with all below it; a code unknown is alone."""
        if unit in EVERYWHERE:
            return frozenset(self._parents) | EVERYWHERE
        return self._below.get(unit, frozenset({unit}))

    # Questions.

    def where(self, who: Who, action: str, resource: Resource) -> sa.ColumnElement[bool]:
        """SQL for just the rows that `decide` allows.

        Raises:
            InputError: there is no such action.
        """
        _known(action)
        if who.is_unlimited:
            return sa.true()
        granted = self._granted(who, action, resource)
        if isinstance(granted, sa.False_):
            return granted
        tests = [test for one in self._closed(who) if (test := self._free_of(one, resource)) is not None]
        if not tests:
            return granted
        return sa.and_(*([] if isinstance(granted, sa.True_) else [granted]), *tests)

    def decide(self, who: Who, action: str, subject: Subject) -> Decision:
        """Whether who may do that to this record, and why.

        Raises:
            InputError: there is no such action.
        """
        _known(action)
        if who.is_unlimited:
            owner = "the machine's owner" if who.kind == "local" else "the centre itself"
            return Decision(True, (f"this is {owner}, for whom no policy holds",))
        allowed, reasons = self._weigh_grants(who, action, subject)
        for one in self.restrictions_on(subject):
            if one.key in who.clearances:
                reasons.append(f"{one.kind} {one.ref} is restricted; there is a clearance for it")
            else:
                reasons.append(f"{one.kind} {one.ref} is restricted, and there is no clearance for it")
                allowed = False
        return Decision(allowed, tuple(reasons))

    def check(self, who: Who, action: str, subject: Subject, *, where: str | None = None) -> None:
        """Nothing, when allowed.

        Args:
            who: who wants to act.
            action: of ACTIONS.
            subject: the record.
            where: what to call it in the error, as `incident 12`.

        Raises:
            NotFoundError: who may not even know of the record.
            DeniedError: who may see it, but not do this.
        """
        if (decision := self.decide(who, action, subject)).allowed:
            return
        reading = READING.get(action, action)
        if reading == action or not self.decide(who, reading, subject).allowed:
            raise NotFoundError(f"there is no such {subject.kind}", where=where)
        raise DeniedError(
            f"{who.name!r} may not {action} this {subject.kind}: {decision.reasons[-1]}",
            where=where,
            hint="`thap policy explain` says why; an administrator can give a role that may",
        )

    def hides(self, who: Who, subject: Subject) -> bool:
        """Whether a restriction keeps this record from who, whatever their roles."""
        return not who.is_unlimited and any(one.key not in who.clearances for one in self.restrictions_on(subject))

    def may(self, who: Who, action: str, unit: str = "", domain: str = "") -> bool:
        """Whether who may do that in a unit (by default the whole province), in a domain (by default all)."""
        return self.decide(who, action, Subject("unit", (unit,), domain)).allowed

    def may_somewhere(self, who: Who, action: str) -> bool:
        """Whether there can be any record to which who may do that."""
        _known(action)
        now = now_us()
        return who.is_unlimited or any(action in ROLES.get(grant.role, ()) and grant.live(now) for grant in who.grants)

    @property
    def restricted(self) -> frozenset[str]:
        """Keys of everything restricted, as `thing:cam-1`; who has clearance for all of them sees all."""
        return frozenset(one.key for one in self.restrictions)

    def restrictions_on(self, subject: Subject) -> list[Restriction]:
        """What a record is restricted by; reading one that is restricted is to be audited."""
        things = (subject.thing or "", *subject.things)
        return [
            one
            for one in self.restrictions
            if (one.kind == "domain" and one.ref == subject.domain)
            or (one.kind == "thing" and any(thing == one.ref or thing.startswith(f"{one.ref}/") for thing in things))
            or (one.kind == "unit" and not self.below(one.ref).isdisjoint(subject.units))
        ]

    def units(self, who: Who, action: str, domain: str = "") -> frozenset[str] | None:
        """The units in whose records who may do that; None for all without exception.

        Args:
            who: who wants to act.
            action: of ACTIONS.
            domain: records of this domain; `''`: whatever their domain, so that grants for one domain do not count.

        A unit restricted to who has no clearance is never among them. Restricted domains are (but the one
        asked for) and restricted things are not looked at: use `where` to filter records.
        """
        _known(action)
        if who.is_unlimited:
            return None
        closed = self._closed(who)
        if domain and any(one.kind == "domain" and one.ref == domain for one in closed):
            return frozenset()
        now = now_us()
        held = [
            grant.unit
            for grant in who.grants
            if action in ROLES.get(grant.role, ()) and grant.live(now) and grant.domain in ("", domain)
        ]
        away = frozenset().union(*(self.below(one.ref) for one in closed if one.kind == "unit"))
        if not away and any(unit in EVERYWHERE for unit in held):
            return None
        return frozenset().union(*(self.below(unit) for unit in held)) - away

    # How.

    def _weigh_grants(self, who: Who, action: str, subject: Subject) -> tuple[bool, list[str]]:
        now, allowed, reasons = now_us(), False, []
        own = {unit or PROVINCE_CODE for unit in subject.units if unit not in EVERYWHERE}
        for grant in who.grants:
            told = _told(grant)
            if action not in ROLES.get(grant.role, ()):
                reasons.append(f"{told} does not hold {action}")
            elif not grant.live(now):
                reasons.append(f"{told} has ended")
            elif grant.domain and grant.domain != subject.domain:
                reasons.append(f"{told} is for another domain than {subject.domain or 'none'}")
            elif grant.unit not in EVERYWHERE and not (own & self.below(grant.unit)):
                of = ", ".join(sorted(own)) or "the province as a whole"
                reasons.append(f"{told} does not reach this {subject.kind}, which is of {of}")
            else:
                reasons.append(f"{told} holds {action}")
                allowed = True
        if not who.grants:
            reasons.append("there is no role at all")
        reasons.sort(key=lambda reason: not reason.endswith(f" holds {action}"))
        return allowed, reasons

    def _granted(self, who: Who, action: str, resource: Resource) -> sa.ColumnElement[bool]:
        now = now_us()
        by_domain: dict[str, set[str]] = {}
        for grant in who.grants:
            if action not in ROLES.get(grant.role, ()) or not grant.live(now):
                continue
            reach = {""} if grant.unit in EVERYWHERE else set(self.below(grant.unit))
            by_domain.setdefault(grant.domain, set()).update(reach)
        if "" in by_domain.get("", ()):
            return sa.true()
        tests = []
        for domain, reach in sorted(by_domain.items()):
            parts = []
            if domain:
                if resource.domain is None:
                    continue
                parts.append(resource.domain == domain)
            if "" not in reach:
                parts.append(sa.or_(sa.false(), *(_among(column, reach) for column in resource.units)))
            tests.append(sa.and_(*parts))
        return sa.or_(*tests) if tests else sa.false()

    def _closed(self, who: Who) -> list[Restriction]:
        return [one for one in self.restrictions if one.key not in who.clearances]

    def _free_of(self, one: Restriction, resource: Resource) -> sa.ColumnElement[bool] | None:
        """A test that a row does not fall under the restriction; None where no row can."""
        if one.kind == "domain":
            return None if resource.domain is None else _filled(resource.domain) != one.ref
        if one.kind == "thing":
            tests = [] if resource.things is None else [sa.not_(resource.things(one.ref))]
            if resource.thing is not None:
                thing, begin = _filled(resource.thing), f"{one.ref}/"
                tests.append(sa.and_(thing != one.ref, sa.func.substr(thing, 1, len(begin)) != begin))
            return sa.and_(*tests) if tests else None
        inside = self.below(one.ref)
        return sa.and_(sa.true(), *(sa.not_(_among(_filled(column), inside)) for column in resource.units))


async def read_version(connection: AsyncConnection) -> int:
    """Of the policy in the records: grows with every change."""
    return int(await connection.scalar(sa.select(policy_versions.c.version)) or 0)


def _known(action: str) -> None:
    if action not in ACTIONS:
        raise InputError(f"{action!r} is not an action", where="action", hint=f"one of {', '.join(sorted(ACTIONS))}")


def _told(grant: Grant) -> str:
    at = "everywhere" if grant.unit in EVERYWHERE else f"in {grant.unit}"
    domain = f", domain {grant.domain}" if grant.domain else ""
    until = "" if grant.until is None else f", until {iso(min(grant.until, LATEST_US))}"
    return f"the role {grant.role} ({at}{domain}{until})"


def _among(column: sa.ColumnElement[Any], values: Iterable[str]) -> sa.ColumnElement[bool]:
    chosen: Sequence[str] = sorted(values)
    return column == chosen[0] if len(chosen) == 1 else column.in_(chosen)


def _filled(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A column whose NULL is `''`; NULL compared to anything would hide the row."""
    return column if getattr(column, "nullable", True) is False else sa.func.coalesce(column, "")


def _descendants(parents: Mapping[str, str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {code: {code} for code in parents}
    for code in parents:
        above, seen = parents[code], {code}
        while above and above not in seen:
            seen.add(above)
            found.setdefault(above, {above}).add(code)
            above = parents.get(above, "")
    return {code: frozenset(below) for code, below in found.items()}

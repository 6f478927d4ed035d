"""Why somebody may, or may not, do something to a record.

Records are written as `incident:12`, `alarm:5`, `thing:cam-1`. Their tables are named here as text: the packages that
own them stand above the kernel and are loaded when asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import iso
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.policy.model import Decision, Subject
from thap.kernel.policy.people import get_person
from thap.kernel.policy.rules import Policy

__all__ = ["KINDS", "Explanation", "explain", "subject_of"]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the records of a kind lie, and what policy looks at."""

    table: str
    """As module:attribute."""
    key: str = "id"
    units: tuple[str, ...] = ()
    domain: str = "domain"
    thing: str = ""
    incident: str = ""
    """Column with the incident, which may have to do with several things."""


KINDS: dict[str, _Source] = {
    "thing": _Source("thap.observe.registry:things", "name", ("commune",), thing="name"),
    "mover": _Source("thap.observe.registry:movers", "key", thing="key"),
    "alarm": _Source("thap.respond.records:alarms", "id", ("commune",), thing="source"),
    "incident": _Source("thap.respond.incidents.records:incidents", "id", ("unit", "commune"), incident="id"),
    "task": _Source("thap.respond.procedures.records:tasks", "id", ("unit", "commune"), incident="incident_id"),
    "warning": _Source("thap.respond.warnings.records:warnings", "id", ("unit",), incident="incident_id"),
    "report": _Source("thap.services.reports.records:reports", "id", ("unit", "commune")),
    "person": _Source("thap.kernel.policy.records:people", "login", ("unit",), domain=""),
    "unit": _Source("thap.kernel.policy.records:units", "code", ("code",), domain=""),
}
"""The kinds of records that can be asked about."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer, with what it rests on."""

    person: str
    action: str
    record: str
    allowed: bool
    reasons: tuple[str, ...]
    subject: Subject

    def as_dict(self) -> dict[str, Any]:
        """As API and `--json` show it."""
        return asdict(self)


async def subject_of(connection: AsyncConnection, record: str, policy: Policy | None = None) -> Subject:
    """What policy sees of a record; of an incident what it has to do with, as far as this policy asks for it.

    Raises:
        InputError: it is not written as KIND:NAME, or there is no such kind.
        NotFoundError: there is no such record.
    """
    kind, colon, name = record.partition(":")
    source = KINDS.get(kind)
    if source is None or not colon or not name:
        raise InputError(
            f"{record[:100]!r} is not a record", where="record", hint=f"write KIND:NAME, KIND of {', '.join(KINDS)}"
        )
    table = _table(source, kind)
    key = table.c[source.key]
    wanted: int | str = name
    if isinstance(key.type, sa.Integer):
        if not name.isascii() or not name.isdigit() or not 0 < int(name[:20]) < 2**63:
            raise InputError(f"{name[:40]!r} is not a number", where="record", hint=f"as {kind}:12")
        wanted = int(name)
        if wanted >= 2**31 and not isinstance(key.type, sa.BigInteger):
            raise _none(record)
    elif "\x00" in name or not name.isprintable():
        raise _none(record)
    row = (await connection.execute(sa.select(table).where(key == wanted))).mappings().first()
    if row is None:
        raise _none(record)
    things: tuple[str, ...] = ()
    if policy is not None and source.incident and (number := row[source.incident]):
        of = importlib.import_module("thap.respond.incidents.sources").things_of
        things = (await of(connection, policy, [number])).get(number, ())
    return Subject(
        kind,
        tuple(dict.fromkeys(str(row[unit] or "") for unit in source.units)),
        str(row[source.domain] or "") if source.domain else "",
        str(row[source.thing] or "") if source.thing else "",
        things,
    )


async def explain(connection: AsyncConnection, policy: Policy, login: str, action: str, record: str) -> Explanation:
    """Whether a person may do something to a record, and why.

    Raises:
        InputError: there is no such action or kind of record.
        NotFoundError: there is no such person or record.
    """
    person = await get_person(connection, login)
    subject = await subject_of(connection, record, policy)
    who = policy.person(person.id)
    if person.disabled is not None:
        decision = Decision(False, (f"{person.login} is disabled since {iso(person.disabled)}",))
    elif who is None:
        raise NotFoundError(f"the policy does not know {person.login!r} yet", hint="ask again in some seconds")
    else:
        decision = policy.decide(who, action, subject)
    return Explanation(person.login, action, record, decision.allowed, decision.reasons, subject)


def _none(record: str) -> NotFoundError:
    return NotFoundError(f"there is no {record[:100]!r}", where="record")


def _table(source: _Source, kind: str) -> sa.Table:
    module, _, attribute = source.table.partition(":")
    package = module.rpartition(".")[0]
    if importlib.util.find_spec(package) is None or importlib.util.find_spec(module) is None:
        raise InputError(f"this centre keeps no {kind}s", where="record")
    table: sa.Table = getattr(importlib.import_module(module), attribute)
    return table

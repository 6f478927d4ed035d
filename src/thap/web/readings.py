"""The reading of restricted alarms and incidents, noted by number: for answers that do not say all policy looks at."""

from __future__ import annotations

from collections.abc import Collection

from thap.kernel.policy import Policy, Subject
from thap.respond.incidents.records import incidents_seen_as
from thap.respond.incidents.sources import things_of
from thap.respond.records import alarms_seen_as
from thap.web.deps import Caller, Centre
from thap.web.sight import note_reading

__all__ = ["note_alarms", "note_incidents"]


async def note_alarms(centre: Centre, caller: Caller, policy: Policy, numbers: Collection[int]) -> None:
    """As `note_reading`, of these alarms."""
    if not policy.restrictions or not numbers:
        return
    async with centre.records.read() as connection:
        found = await alarms_seen_as(connection, numbers)
    told = [(f"alarm:{number}", Subject("alarm", (one[0],), one[1], one[2])) for number, one in found.items()]
    await note_reading(centre, caller, policy, "alarm", told)


async def note_incidents(centre: Centre, caller: Caller, policy: Policy, numbers: Collection[int]) -> None:
    """As `note_reading`, of these incidents."""
    if not policy.restrictions or not numbers:
        return
    async with centre.records.read() as connection:
        found = await incidents_seen_as(connection, numbers)
        things = await things_of(connection, policy, found)
    told = [
        (f"incident:{number}", Subject("incident", one[:2], one[2], things=things.get(number, ())))
        for number, one in found.items()
    ]
    await note_reading(centre, caller, policy, "incident", told)

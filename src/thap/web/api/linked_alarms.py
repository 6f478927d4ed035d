"""Alarms of an incident, acknowledged together with it."""

from __future__ import annotations

from thap.kernel.policy import Resource
from thap.respond.incidents.linked_alarms import linked_alarms
from thap.respond.isa_18_2 import State
from thap.respond.records import alarms
from thap.web.api.alarms import book_of
from thap.web.deps import Caller, Centre, policy_of

__all__ = ["SEEN_AS", "acknowledge_linked"]

SEEN_AS = Resource(units=(alarms.c.commune,), domain=alarms.c.domain, thing=alarms.c.source)
"""What policy looks at: an alarm counts to the commune it lies in."""
_CALLING = (State.UNACKNOWLEDGED, State.RETURNED_UNACKNOWLEDGED)


async def acknowledge_linked(centre: Centre, caller: Caller, number: int, comment: str = "") -> int:
    """Acknowledge the alarms of an incident that call for somebody, as far as the caller may; gives how many were."""
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        within = policy.where(caller.who, "alarm.act", SEEN_AS)
        calling = [one.id for one in await linked_alarms(connection, number, within) if one.state in _CALLING]
    if not calling:
        return 0
    events, _ = await book_of(centre).acknowledge_many(calling, caller.name, comment)
    for event in events:
        await centre.bus.announce("centre.live.alarm", event)
    return len(events)

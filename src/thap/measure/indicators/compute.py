"""Values for audiences: who may see the same shares one value, and each value is counted under their own policy."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Collection

import structlog
from sqlalchemy.exc import SQLAlchemyError

from thap.kernel.clock import now_us
from thap.kernel.errors import ThapError
from thap.kernel.policy import EVERYWHERE, ROLES, Policy, Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.measure.indicators.model import Indicator, Reading
from thap.measure.indicators.snapshot import Snapshots
from thap.measure.indicators.sources import Asked, Page

__all__ = ["PROVINCE", "Computer", "audience_of", "audiences", "may_see"]

_log = structlog.get_logger(__name__)
PROVINCE = ""
"""The audience of those who see everything."""
_READING = ("thing.read", "alarm.read", "incident.read", "report.read", "system.read")
_PATIENCE_S = 20.0


def audience_of(policy: Policy, who: Who) -> str:
    """The name of those who may see the same as this person; `''` for whoever sees everything."""
    closed = sorted(policy.restricted - who.clearances)
    if who.is_unlimited:
        return PROVINCE
    now = now_us()
    held = {
        (action, "" if grant.unit in EVERYWHERE else grant.unit, grant.domain)
        for grant in who.grants
        if grant.live(now)
        for action in _READING
        if action in ROLES.get(grant.role, ())
    }
    if not closed and all((action, "", "") in held for action in _READING):
        return PROVINCE
    told = json.dumps([sorted(held), closed], separators=(",", ":"))
    return hashlib.blake2s(told.encode(), digest_size=8).hexdigest()


def audiences(policy: Policy) -> dict[str, Who]:
    """One person for each audience there is among the people known, the province's own left out."""
    found = {audience_of(policy, who): who for who in policy.people() if who.grants}
    found.pop(PROVINCE, None)
    return found


def may_see(policy: Policy, who: Who, indicator: Indicator) -> bool:
    """Whether there can be anything for this person behind an indicator."""
    if indicator.whole:
        return policy.may(who, indicator.action)
    if not policy.may_somewhere(who, indicator.action):
        return False
    if who.is_unlimited or not indicator.domain:
        return True
    if f"domain:{indicator.domain}" in policy.restricted - who.clearances:
        return False
    now = now_us()
    return any(
        indicator.action in ROLES.get(grant.role, ()) and grant.live(now) and grant.domain in ("", indicator.domain)
        for grant in who.grants
    )


class Computer:
    """Counts.

    Args:
        records, settings: of the centre.
        snapshots: what is known of the moment.
    """

    def __init__(self, records: Records, settings: Settings, snapshots: Snapshots) -> None:
        self._records, self._settings, self._snapshots = records, settings, snapshots

    async def read(self, indicator: Indicator, policy: Policy, who: Who) -> Reading:
        """Its value for this person now. What cannot be read has no value, with the reason: one that fails must not
        take the others with it."""
        now = now_us()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                measured = await indicator.rows.measure(self._asked(indicator, policy, who, now), indicator.reduce)
        except TimeoutError:
            return Reading(value=None, rows=0, time=now, reason=f"not counted within {_PATIENCE_S:.0f} s")
        except ThapError as error:
            return Reading(value=None, rows=0, time=now, reason=str(error)[:500])
        except (SQLAlchemyError, OSError, ValueError, TypeError, KeyError, ArithmeticError) as error:
            _log.exception("an indicator cannot be counted", indicator=indicator.id)
            return Reading(value=None, rows=0, time=now, reason=f"it cannot be counted: {type(error).__name__}")
        reason = "" if measured.value is not None else "no_rows"
        return Reading(value=measured.value, rows=measured.rows, time=now, reason=reason)

    async def read_all(self, wanted: Collection[Indicator], policy: Policy, who: Who) -> dict[str, Reading]:
        """The values of several, by id, one after the other: counting must leave the machine to the watch."""
        return {one.id: await self.read(one, policy, who) for one in wanted if may_see(policy, who, one)}

    async def page(self, indicator: Indicator, policy: Policy, who: Who, limit: int, after: str | None) -> Page:
        """Rows behind an indicator, as this person may see them.

        Raises:
            InputError: `limit` or `after` is out of bounds.
            UnavailableError: they cannot be read now.
        """
        asked = self._asked(indicator, policy, who, now_us())
        return await indicator.rows.page(asked, indicator.reduce, limit, after)

    def _asked(self, indicator: Indicator, policy: Policy, who: Who, now: int) -> Asked:
        return Asked(self._records, self._snapshots, self._settings, policy, who, indicator.action, now)

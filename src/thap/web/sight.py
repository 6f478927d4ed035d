"""What one caller may see of the moment: things, movers, alarms, incidents; decided by policy, kept as masks.

Lists in SQL carry the policy's condition themselves. What lies in memory (registry, latest values, events on
their way) is asked here, by the same rules: `Policy.decide` for each pair of commune and domain that occurs,
and for each restricted thing. Whoever may see everything pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from thap.kernel.audit import Entry, append
from thap.kernel.clock import now_us
from thap.kernel.errors import DeniedError
from thap.kernel.policy import Grant, Policy, Subject, Who
from thap.kernel.store import Store, open_store
from thap.observe.listing import ThingInfo
from thap.observe.registry import DatastreamInfo
from thap.web.deps import Caller, Centre, policy_of
from thap.web.directory import Directory, Mask

__all__ = ["Sight", "note_reading", "sight_of", "store_of"]

_KEPT = 20_000
_SIGHTS = 256
_ANY_DOMAIN = "\x00"
_READING = ("thing.read", "history.read", "alarm.read", "incident.read")


class Sight:
    """What somebody may see, by the policy of one moment; good until that changes, or one of their grants ends."""

    def __init__(self, policy: Policy, who: Who) -> None:
        self.policy, self.who = policy, who
        self.whole = all(self._whole(action) for action in _READING)
        """Whether nothing is hidden from them."""
        self._by_thing = any(one.kind == "thing" for one in policy.restrictions)
        self.lacks_things = not self.whole and self._by_thing
        """Whether what they may see of incidents depends on the things these have to do with."""
        self.until = min((grant.until for grant in who.grants if grant.until is not None), default=None)
        """When the first of their grants ends, µs; then ask for another sight."""
        now = now_us()
        live = tuple(grant for grant in who.grants if grant.live(now))
        self._key = None if self.whole else replace(who, grants=live)
        self._decided: dict[tuple[str, str, str, str], bool] = {}
        self._datastreams: WeakKeyDictionary[Directory, Mask] = WeakKeyDictionary()

    def _whole(self, action: str) -> bool:
        if self.who.is_unlimited:
            return True
        everywhere = self.policy.decide(self.who, action, Subject("thing", (), _ANY_DOMAIN)).allowed
        return everywhere and all(one.key in self.who.clearances for one in self.policy.restrictions)

    @property
    def key(self) -> Who | None:
        """The same for those who see the same, another once a grant has ended; None for whoever sees everything."""
        return self._key

    def may(self, action: str, commune: str, domain: str, thing: str = "") -> bool:
        """Whether an action is allowed on what lies in a commune ('' is nowhere) and belongs to a domain."""
        if self.whole and action in _READING:
            return True
        known = self._decided.get((action, commune, domain, thing))
        if known is None:
            if len(self._decided) >= _KEPT:
                self._decided.clear()
            subject = Subject(action.partition(".")[0], (commune,), domain, thing)
            known = self._decided[action, commune, domain, thing] = self.policy.decide(
                self.who, action, subject
            ).allowed
        return known

    def thing(self, info: ThingInfo | DatastreamInfo) -> bool:
        """Whether they may see a thing, or one of its datastreams."""
        return self.whole or self.may("thing.read", info.commune, info.domain, self._known(info.key))

    def datastreams(self, directory: Directory) -> Mask:
        """By registry number, which datastreams they may see."""
        mask = self._datastreams.get(directory)
        if mask is None:
            infos = directory.registry.datastreams
            mask = np.zeros(directory.registry.max_datastream + 1, np.bool_)
            seen = [info.id for info in infos if self.thing(info)]
            mask[seen] = True
            self._datastreams[directory] = mask
        return mask

    def movers(self, directory: Directory, numbers: npt.NDArray[np.int64], communes: Sequence[str]) -> Mask:
        """Which of these movers they may see where they are now: a mover counts to the commune it is in."""
        infos = directory.movers
        return np.array(
            [
                (info := infos.get(int(number))) is not None
                and self.may("thing.read", commune, info.domain, self._known(info.key))
                for number, commune in zip(numbers.tolist(), communes, strict=True)
            ],
            np.bool_,
        )

    def _known(self, thing: str) -> str:
        """A thing's key where restrictions of things matter, else nothing: so fewer questions are different."""
        return thing if self._by_thing else ""

    def alarm(self, commune: str, domain: str, source: str) -> bool:
        """Whether they may see an alarm, or a transition of one."""
        return self.may("alarm.read", commune, domain, self._known(source))

    def incident(self, told: Mapping[str, Any]) -> bool:
        """Whether they may see an incident, as it is announced; with `things`, what it has to do with."""
        if self.whole:
            return True
        units = (str(told.get("unit", "")), str(told.get("commune", "")))
        things = tuple(str(one) for one in told.get("things", ()))
        subject = Subject("incident", units, str(told.get("domain", "")), things=things)
        return self.policy.decide(self.who, "incident.read", subject).allowed

    def report(self, told: Mapping[str, Any]) -> bool:
        """Whether they may see a citizen's report, as it is announced."""
        units = (str(told.get("unit", "")), str(told.get("commune", "")))
        subject = Subject("report", units, str(told.get("domain", "")))
        return self.policy.decide(self.who, "report.read", subject).allowed

    def warning(self, told: Mapping[str, Any]) -> bool:
        """Whether they may see a warning that has not gone out, as it is announced; with `things`, what its incident
        has to do with."""
        things = tuple(str(one) for one in told.get("things", ()))
        subject = Subject("warning", (str(told.get("unit", "")),), str(told.get("domain", "")), things=things)
        return self.policy.decide(self.who, "warning.read", subject).allowed

    def check_whole(self, action: str, why: str) -> None:
        """Pass whoever may do the action anywhere, with nothing hidden from them.

        Raises:
            DeniedError: it is not so; `why` says why that is asked for.
        """
        if not self._whole(action):
            raise DeniedError(
                f"{self.who.name} may not do this: {why}",
                where=action,
                hint="it takes a role in the whole province and clearance for everything that is restricted",
            )


async def sight_of(centre: Centre, caller: Caller) -> Sight:
    """What this caller may see now."""
    policy = await policy_of(centre).current()
    kept: tuple[Policy, dict[Who, Sight]] | None = centre.parts.get("sights")
    if kept is None or kept[0] is not policy:
        kept = centre.parts["sights"] = (policy, {})
    sights = kept[1]
    found = sights.get(caller.who)
    if found is None or (found.until is not None and found.until <= now_us()):
        if len(sights) >= _SIGHTS:
            sights.clear()
        found = sights[caller.who] = Sight(policy, caller.who)
    return found


_ANYBODY = Who("", "person", grants=(Grant("viewer", ""),))
"""Whoever may look at everything that is not restricted."""


def store_of(centre: Centre) -> Store:
    """The store of this process for short write transactions, opened at first use."""
    found: Store | None = centre.parts.get("store")
    if found is None:
        found = centre.parts["store"] = open_store(centre.records)
    return found


async def note_reading(
    centre: Centre, caller: Caller, policy: Policy, kind: str, read: Sequence[tuple[str, Subject]]
) -> None:
    """Write into the audit log which of these a caller was shown that only those cleared for it may see.

    Args:
        centre: the centre.
        caller: who reads.
        policy: by which it was shown.
        kind: as `incident`; the action is `<kind>.read`.
        read: name (as `incident:12`) and subject of each; one that is named several times counts once.
    """
    if not policy.restrictions or not read:
        return
    distinct = dict.fromkeys(subject for _, subject in read)
    hidden = {subject for subject in distinct if not policy.decide(_ANYBODY, f"{kind}.read", subject).allowed}
    told = list(dict.fromkeys(name for name, subject in read if subject in hidden))
    if told:
        detail = {"records": told[:1000], "restricted": len(told)} if len(told) > 1 else {"restricted": 1}
        entry = Entry(caller.who, f"{kind}.read", told[0] if len(told) == 1 else kind, detail, caller.address)
        await store_of(centre).transact(lambda tx: append(tx, [entry]))

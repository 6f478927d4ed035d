"""The wall of one audience: every indicator with its value, light, target, trend, and what it was a day ago."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

import msgspec

from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US, now_us
from thap.kernel.policy import Policy, Subject, Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.measure.indicators.catalogue import indicators
from thap.measure.indicators.compute import PROVINCE, Computer, audience_of, may_see
from thap.measure.indicators.model import Indicator, Light, Reading, Target, light_of
from thap.measure.indicators.records import (
    Kept,
    StoredTarget,
    hourly,
    points_since,
    targets_in_force,
    values_of,
)

__all__ = ["Bounds", "Item", "Wall", "bounds_of", "may_set"]

_FRESH_US = 60 * SECOND_US
_TREND_US = 2 * DAY_US


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """A target in force; version 0 is the one the indicator comes with."""

    low: float | None
    high: float | None
    warn_low: float | None
    warn_high: float | None
    source: str
    version: int
    changed: int | None
    changed_by: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An indicator with what it says now."""

    id: str
    theme: str
    title: Mapping[str, str]
    meaning: Mapping[str, str]
    source: Mapping[str, str]
    unit: str
    digits: int
    direction: str
    domain: str
    every_s: int
    value: float | None
    rows: int
    time: int | None
    """When it was counted, µs; None where it has not been yet."""
    reason: str
    """Why there is no value: `not_yet`, `no_rows`, or what failed."""
    stale: bool
    """Whether it should have been counted again long ago."""
    light: Light
    target: Bounds
    yesterday: float | None
    """The value a day ago; None where none was kept."""
    light_yesterday: Light
    """Of that value, by today's target."""
    trend: Sequence[tuple[int, float]]
    """Of two days, a point an hour: (µs, value)."""
    may_set: bool
    """Whether this person may set its target."""


def bounds_of(indicator: Indicator, stored: StoredTarget | None, settings: Settings) -> Bounds:
    """The target in force."""
    if stored is not None:
        return Bounds(**{name: getattr(stored, name) for name in Bounds.__struct_fields__})
    own = indicator.own_target(settings)
    return Bounds(
        low=own.low,
        high=own.high,
        warn_low=own.warn_low,
        warn_high=own.warn_high,
        source=own.source,
        version=0,
        changed=None,
        changed_by="",
    )


def may_set(policy: Policy, who: Who, indicator: Indicator) -> bool:
    """Whether this person may set its target: who writes the rules of its domain in the whole province."""
    return policy.decide(who, "rule.write", Subject("indicator", ("",), indicator.domain)).allowed


class Wall:
    """Walls. The province's is kept by the responding role; that of a narrower audience is counted when somebody asks
    and nothing newer than a minute is there.

    Args:
        records, settings: of the centre.
        computer: counts.
    """

    def __init__(self, records: Records, settings: Settings, computer: Computer) -> None:
        self._records, self._settings, self.computer = records, settings, computer
        self._counted: dict[str, tuple[int, dict[str, Reading]]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def items(self, policy: Policy, who: Who, theme: str = "") -> list[Item]:
        """What this person may see, in the order of the wall; of one theme, or of all."""
        audience, now = audience_of(policy, who), now_us()
        wanted = {
            one.id: one
            for one in indicators().values()
            if (not theme or one.theme == theme) and may_see(policy, who, one)
        }
        async with self._records.read() as connection:
            kept = await values_of(connection, audience)
            trends = await points_since(connection, audience, now - _TREND_US, wanted)
            targets = await targets_in_force(connection)
        fresh: Mapping[str, Reading | Kept] = kept
        if audience != PROVINCE and any(now - kept[name].time > _FRESH_US if name in kept else True for name in wanted):
            fresh = await self._count(audience, policy, who, now)
        return [
            self._item(one, fresh.get(name), trends[name], targets.get(name), may_set(policy, who, one), now)
            for name, one in wanted.items()
        ]

    async def item(self, indicator: Indicator, policy: Policy, who: Who) -> Item:
        """One, counted now."""
        audience, now = audience_of(policy, who), now_us()
        read = await self.computer.read(indicator, policy, who)
        async with self._records.read() as connection:
            trend = (await points_since(connection, audience, now - _TREND_US, (indicator.id,)))[indicator.id]
            stored = (await targets_in_force(connection)).get(indicator.id)
        return self._item(indicator, read, trend, stored, may_set(policy, who, indicator), now)

    async def _count(self, audience: str, policy: Policy, who: Who, now: int) -> dict[str, Reading]:
        """All values of an audience, at most half a minute old; those who ask together are answered together."""
        if len(self._locks) > 500:
            self._locks.clear()
            self._counted.clear()
        async with self._locks.setdefault(audience, asyncio.Lock()):
            found = self._counted.get(audience)
            if found is None or now - found[0] > _FRESH_US // 2:
                read = await self.computer.read_all(list(indicators().values()), policy, who)
                found = self._counted[audience] = (now_us(), read)
            return found[1]

    def _item(
        self,
        one: Indicator,
        read: Reading | Kept | None,
        trend: Sequence[tuple[int, float]],
        stored: StoredTarget | None,
        settable: bool,
        now: int,
    ) -> Item:
        bounds = bounds_of(one, stored, self._settings)
        target = Target(bounds.low, bounds.high, bounds.warn_low, bounds.warn_high, bounds.source)
        before = hourly(list(trend), now - DAY_US)
        value = None if read is None or read.value is None or not math.isfinite(read.value) else read.value
        late = read is not None and now - read.time > max(3 * one.every_s * SECOND_US, 3 * _FRESH_US)
        return Item(
            id=one.id,
            theme=one.theme,
            title=one.title,
            meaning=one.meaning,
            source=one.source,
            unit=one.unit,
            digits=one.digits,
            direction=one.direction,
            domain=one.domain,
            every_s=one.every_s,
            value=value,
            rows=0 if read is None else read.rows,
            time=None if read is None else read.time,
            reason="not_yet" if read is None else read.reason,
            stale=late,
            light=light_of(value, target),
            target=bounds,
            yesterday=None if before is None else before[1],
            light_yesterday="none" if before is None else light_of(before[1], target),
            trend=[(moment, v) for moment, v in trend if now - moment <= DAY_US + HOUR_US],
            may_set=settable,
        )

"""All rules of a centre, judged together: rows and time in, changes out.

Rules are gathered into *lanes*, one for each kind of record and lateness; a lane has one `Order` and, for each
kind of rule, one `Fused`. Silence goes by the time of arrival and so stands beside the lanes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from thap.detect.areas import Fence, Resolver
from thap.detect.catalogue import Catalogue
from thap.detect.detector import Action, Change, Outcome, Severity
from thap.detect.fused import Fused, Lost, Sink
from thap.detect.geofence import Geofences
from thap.detect.order import Batch, Order, series_of
from thap.detect.rate import Rates
from thap.detect.rules import Combined, Geofence, NOfM, Rate, Rule, Silence, Threshold
from thap.detect.several import Combinations, Votes
from thap.detect.silence import Silences
from thap.detect.threshold import Samples, Thresholds
from thap.kernel.clock import MINUTE_US, SECOND_US
from thap.kernel.settings import EngineSettings
from thap.observe.kinds import Kind, Longs, ObservationBatch
from thap.observe.registry import Registry

__all__ = ["RuleSet"]

STANDSTILL_US = 5 * MINUTE_US
_STATE = 1


@dataclass(slots=True)
class _Lane:
    kind: Kind
    lateness: int
    rules: list[Rule]
    order: Order
    fused: list[Fused]


class RuleSet:
    """The rules in force with their state. Not thread-safe.

    Door times (`received`, and `now_us` of `tick`) must be those of one clock, and `tick` may only be called
    with a time up to which every row that came in was handed to `update`: a centre that catches up with its
    journal ticks at the door time of what it has read.

    Args:
        rules: enabled ones are used; names are unique.
        registry: what exists; rows of series it does not have are passed over.
        settings: for the lateness of rules that name none.
        resolve_area: gives the geometry of a place named in a geofence.
    """

    def __init__(
        self, rules: Sequence[Rule], registry: Registry, settings: EngineSettings, resolve_area: Resolver | None = None
    ) -> None:
        self._settings = settings
        self.resolve_area = resolve_area
        """Gives the geometry of named places; a new one counts from the next `rebind` on."""
        self._standstill: int | None = STANDSTILL_US
        self._build(rules, registry)

    # ---- what is in force

    @property
    def rule_count(self) -> int:
        """Rules in force."""
        return len(self._rules)

    @property
    def watched(self) -> int:
        """Pairs of a rule and a source that are watched."""
        return sum(len(fused.cell_rule) for lane in self._lanes for fused in lane.fused) + sum(
            len(silences) for silences in self._silences.values()
        )

    @property
    def problems(self) -> dict[str, str]:
        """Rules that cannot run, by name, with the reason; the others go on."""
        return dict(self._problems)

    @property
    def late(self) -> int:
        """Rows that came too late to be judged."""
        return sum(lane.order.late for lane in self._lanes)

    @property
    def duplicates(self) -> int:
        """Rows that said a time of their series again."""
        return sum(lane.order.duplicates for lane in self._lanes)

    def rule(self, name: str) -> Rule | None:
        """The rule in force that has this name."""
        return self._rules.get(name)

    @property
    def standstill_us(self) -> int | None:
        """Time between two ticks beyond which silence counts from the later one; None never. A backtest, which
        ticks only where something is due, sets None."""
        return self._standstill

    @standstill_us.setter
    def standstill_us(self, value: int | None) -> None:
        self._standstill = value
        for silences in self._silences.values():
            silences.standstill_us = value

    def rebind(self, rules: Sequence[Rule], registry: Registry) -> Outcome:
        """Take other rules, or another registry. Rules that judge as before keep their state.

        Returns:
            The clearing of conditions that were active and whose rule or source is gone or judges otherwise now.
        """
        lanes, silences = self._lanes, self._silences
        same = {
            Kind.OBSERVATION: registry.datastreams == self._registry.datastreams,
            Kind.POSITION: registry.movers == self._registry.movers,
        }
        # What neither the rules nor the registry touch goes on as it is: an admitted vessel is no reason to look
        # at ten thousand datastreams again.
        self._build(
            rules,
            registry,
            [lane for lane in lanes if same[lane.kind]],
            {kind: one for kind, one in silences.items() if same[kind]},
        )
        going_on = {id(one) for one in (*self._lanes, *self._silences.values())}
        return self._import(
            _export(
                [lane for lane in lanes if id(lane) not in going_on],
                {kind: one for kind, one in silences.items() if id(one) not in going_on},
            )
        )

    # ---- rows and time

    def update(self, batch: Batch) -> Outcome:
        """Judge a batch in journal order. See `Detector` for what comes back."""
        sink = Sink()
        kind = Kind.OBSERVATION if isinstance(batch, ObservationBatch) else Kind.POSITION
        if not len(batch):
            return Outcome()
        rows = self._usable(batch, kind, sink)
        if kind in self._silences:
            self._silences[kind].update(batch, rows, sink)
        for lane in self._lanes:
            if lane.kind is kind:
                groups = lane.order.push(batch, rows)
                if groups is not None:
                    for fused in lane.fused:
                        fused.update(groups, sink)
        return sink.outcome()

    def tick(self, now_us: int) -> Outcome:
        """Time passed, by the clock of the doors: rows that waited are judged, timers end, silence is noticed."""
        released, timed = Sink(), Sink()
        for lane in self._lanes:
            groups = lane.order.tick(now_us)
            for fused in lane.fused:
                if groups is not None:
                    fused.update(groups, released)
                fused.tick(now_us, timed)
        for silences in self._silences.values():
            silences.tick(now_us, timed)
        outcome = released.outcome()
        outcome.extend(timed.outcome())
        return outcome

    def next_tick_us(self) -> int | None:
        """The earliest door time at which `tick` would do anything, as things stand; None if nothing is due."""
        times = [silences.next_tick() for silences in self._silences.values()]
        for lane in self._lanes:
            times += [lane.order.next_tick(), *(fused.next_tick() for fused in lane.fused)]
        return min((time for time in times if time is not None), default=None)

    # ---- state

    def dump(self) -> bytes:
        """All state, to be given to `load`."""
        return msgspec.msgpack.encode(_export(self._lanes, self._silences))

    def load(self, state: bytes) -> Outcome:
        """Take the state that `dump` gave, perhaps under other rules and another registry.

        Returns:
            As `rebind`.

        Raises:
            ValueError: it is not such a state; nothing of it was taken.
        """
        try:
            body = msgspec.msgpack.decode(state)
            if body["version"] != _STATE:
                raise ValueError("another version")
            return self._import(body)
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            self._build(list(self._rules.values()), self._registry)
            raise ValueError(f"not a state of rules: {error}") from None

    # ---- inside

    def _build(
        self,
        rules: Sequence[Rule],
        registry: Registry,
        lanes: Sequence[_Lane] = (),
        silences: Mapping[Kind, Silences] = MappingProxyType({}),
    ) -> None:
        """Make lanes and silences, out of those given where they would be no different."""
        catalogue = Catalogue(registry)
        self._registry = registry
        self._problems: dict[str, str] = {}
        self._rules = {rule.name: rule for rule in rules if rule.enabled}
        sizes = {Kind.OBSERVATION: registry.max_datastream + 1, Kind.POSITION: registry.max_mover + 1}
        self._sizes = sizes
        gathered: dict[tuple[Kind, int], dict[type[Fused], list[Rule]]] = {}
        quiet: dict[Kind, list[Silence]] = {}
        fences: dict[str, Fence] = {}
        for rule in self._rules.values():
            if isinstance(rule, Silence):
                quiet.setdefault(rule.watches, []).append(rule)
                continue
            if isinstance(rule, Geofence) and not self._fence(rule, fences):
                continue
            lateness = round(self._settings.allowed_lateness_s * SECOND_US) if rule.lateness is None else rule.lateness
            gathered.setdefault((rule.watches, lateness), {}).setdefault(_fused_type(rule), []).append(rule)
        self._silences = {
            kind: silences[kind]
            if kind in silences and silences[kind].rules == some
            else Silences(some, catalogue, kind, sizes[kind])
            for kind, some in quiet.items()
        }
        self.standstill_us = self._standstill
        self._lanes: list[_Lane] = []
        before = {(lane.kind, lane.lateness): lane for lane in lanes}
        for (kind, lateness), by_type in gathered.items():
            chosen = [rule for some in by_type.values() for rule in some]
            known = before.get((kind, lateness))
            if known is not None and known.rules == chosen and not any(_named(rule) for rule in chosen):
                self._lanes.append(known)
                continue
            watched = np.zeros(sizes[kind], bool)
            order = Order(sizes[kind], watched, lateness)
            fused = [
                Geofences(some, catalogue, order, fences) if make is Geofences else make(some, catalogue, order)
                for make, some in by_type.items()
            ]
            for one in fused:
                watched[one.seat_series] = True
            self._lanes.append(_Lane(kind, lateness, chosen, order, fused))

    def _fence(self, rule: Geofence, fences: dict[str, Fence]) -> bool:
        try:
            fences[rule.name] = Fence([area.resolve(self.resolve_area) for area in rule.area], rule.hysteresis_m)
        except (LookupError, ValueError) as error:
            self._problems[rule.name] = str(error.args[0])
            return False
        return True

    def _usable(self, batch: Batch, kind: Kind, sink: Sink) -> Longs:
        """Rows of known series with numbers that can be judged; the others with bad numbers are faults."""
        series = series_of(batch)
        if isinstance(batch, ObservationBatch):
            sound = np.isfinite(batch.result)
        else:
            sound = (np.abs(batch.lon) <= 180) & (np.abs(batch.lat) <= 90)
        if not sound.all():
            for row in np.flatnonzero(~sound).tolist():
                sink.fault(
                    row,
                    "",
                    "the result is not a number" if kind is Kind.OBSERVATION else "the position is not on the globe",
                )
        elif int(series.max()) < self._sizes[kind] and int(series.min()) >= 0:
            return np.arange(len(series))
        return np.flatnonzero(sound & (series < self._sizes[kind]) & (series >= 0))

    def _import(self, state: dict[str, Any]) -> Outcome:
        lost: list[Lost] = []
        lanes = {(str(lane.kind), lane.lateness): lane for lane in self._lanes}
        for body in state["lanes"]:
            lane = lanes.get((body["kind"], body["lateness"]))
            if lane is not None:
                lane.order.load(body["order"])
            by_name = {fused.name: fused for fused in lane.fused} if lane is not None else {}
            for name, saved in body["fused"].items():
                if name in by_name:
                    lost += by_name[name].load(saved)
                else:
                    lost += [Lost(ladder[0], ladder[2], ladder[3]) for ladder in saved["ladders"]]
        silences = {str(kind): one for kind, one in self._silences.items()}
        for name, saved in state["silences"].items():
            if name in silences:
                lost += silences[name].load(saved)
            else:
                lost += [Lost(ladder[0], ladder[2], ladder[3]) for ladder in saved["ladders"]]
        return Outcome([self._forgotten(one) for one in lost if one.shown])

    def _forgotten(self, lost: Lost) -> Change:
        why = "changed" if lost.rule in self._rules else "removed"
        return Change(
            lost.source,
            lost.rule,
            Action.CLEAR,
            Severity(lost.shown),
            lost.clock,
            0,
            evidence={"by": f"rule or source {why}"},
        )


def _export(lanes: Sequence[_Lane], silences: Mapping[Kind, Silences]) -> dict[str, Any]:
    return {
        "version": _STATE,
        "lanes": [
            {
                "kind": str(lane.kind),
                "lateness": lane.lateness,
                "order": lane.order.dump(),
                "fused": {fused.name: fused.dump() for fused in lane.fused},
            }
            for lane in lanes
        ],
        "silences": {str(kind): one.dump() for kind, one in silences.items()},
    }


def _named(rule: Rule) -> bool:
    """Whether it speaks of a place by name, whose outline may have changed."""
    return isinstance(rule, Geofence) and any(area.geometry is None and area.circle is None for area in rule.area)


def _fused_type(rule: Rule) -> type[Fused]:
    if isinstance(rule, NOfM):
        return Samples if rule.m is not None else Votes
    types: dict[type[Any], type[Fused]] = {
        Threshold: Thresholds,
        Rate: Rates,
        Geofence: Geofences,
        Combined: Combinations,
    }
    return types[type(rule)]

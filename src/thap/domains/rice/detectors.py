"""Alarms of light traps by thresholds that the plant-protection office sets, version by version."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np

from thap.detect.detector import Action, Change, Detector, Outcome, Severity
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import DatastreamInfo, Registry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["CONDITION", "PlanthopperCatch"]

CONDITION = "rice.planthopper_catch"
PROPERTY = "planthopper_catch"
_SEVERITIES = (Severity.MEDIUM, Severity.HIGH)


@dataclass(slots=True)
class _Seen:
    """What is known of a trap's series."""

    time: int
    level: int
    """0 below `catch_watch`, 1 from it on, 2 from `catch_high` on."""


class PlanthopperCatch(Detector):
    """A light trap that caught very many planthoppers.

    Watches datastreams of `planthopper_catch`. Raises (medium) with a catch of at least `catch_watch` a night,
    escalates (high) from `catch_high` on, and clears with the first night below. A count older than the newest one
    judged changes nothing. Evidence: the bound that was reached, and the version of the parameters.

    Thresholds are the domain's parameters; those in force when a count arrives decide.
    Source: 500 and 1,500 a trap and night, a proposal to be tuned by the plant-protection office.
    """

    watches: ClassVar[Kind] = Kind.OBSERVATION
    condition = CONDITION

    def __init__(self) -> None:
        self._limits = (math.inf, math.inf)
        self._version = 0
        self._infos: dict[int, DatastreamInfo] = {}
        self._numbers = np.zeros(0, np.int32)
        self._seen: dict[str, _Seen] = {}

    async def refresh(self, connection: AsyncConnection) -> None:
        from thap.domains.domain import domain
        from thap.domains.parameter_records import load_parameters

        parameters = await load_parameters(connection, domain("rice"))
        self.limit(parameters["catch_watch"], parameters["catch_high"], parameters.version)

    def limit(self, watch: float, high: float, version: int = 0) -> None:
        """Judge by these from now on."""
        self._limits, self._version = (watch, max(watch, high)), version

    def bind(self, registry: Registry) -> None:
        if self._limits[0] == math.inf:  # no records were read: as shipped
            from thap.domains.domain import domain
            from thap.domains.parameters import shipped_parameters

            shipped = shipped_parameters(domain("rice"))
            self.limit(shipped["catch_watch"], shipped["catch_high"])
        self._infos = {info.id: info for info in registry.datastreams if info.property == PROPERTY}
        self._numbers = np.array(sorted(self._infos), np.int32)
        keys = {info.key for info in self._infos.values()}
        self._seen = {key: seen for key, seen in self._seen.items() if key in keys}

    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        outcome = Outcome()
        if not isinstance(batch, ObservationBatch) or not len(self._numbers):
            return outcome
        for row in np.flatnonzero(np.isin(batch.datastream, self._numbers)).tolist():
            change = self._judge(batch, row)
            if change is not None:
                outcome.changes.append(change)
        return outcome

    def _judge(self, batch: ObservationBatch, row: int) -> Change | None:
        info = self._infos[int(batch.datastream[row])]
        value, time = float(batch.result[row]), int(batch.time[row])
        before = self._seen.get(info.key)
        if not math.isfinite(value) or (before is not None and time <= before.time):
            return None
        level, was = sum(value >= limit for limit in self._limits), before.level if before else 0
        self._seen[info.key] = _Seen(time, level)
        if level == was:
            return None
        action = (
            Action.RAISE
            if not was
            else Action.CLEAR
            if not level
            else Action.ESCALATE
            if level > was
            else Action.DOWNGRADE
        )
        return Change(
            info.key,
            CONDITION,
            action,
            _SEVERITIES[max(level, 1) - 1] if level else _SEVERITIES[was - 1],
            time,
            int(batch.seq[row]),
            int(batch.received[row]),
            value,
            info.domain,
            info.lon,
            info.lat,
            info.commune,
            {"above": self._limits[max(level, 1) - 1], "parameters": self._version},
        )

    def dump(self) -> dict[str, Any]:
        return {"seen": {key: [seen.time, seen.level] for key, seen in self._seen.items()}}

    def load(self, state: dict[str, Any]) -> None:
        known = {info.key for info in self._infos.values()}
        seen = msgspec.convert(state.get("seen", {}), dict[str, tuple[int, int]])
        self._seen |= {key: _Seen(*value) for key, value in seen.items() if key in known}

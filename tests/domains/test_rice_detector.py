"""Alarms of light traps: by thresholds of the records, once a night, late counts included."""

from __future__ import annotations

import numpy as np
import pytest

from thap.detect.detector import Action, Severity
from thap.domains.domain import domain
from thap.domains.parameter_records import set_parameter
from thap.domains.rice.detectors import CONDITION, PlanthopperCatch
from thap.kernel.clock import DAY_US
from thap.kernel.records import Records
from thap.observe.kinds import ObservationBatch
from thap.observe.registry import DatastreamInfo, Registry

INFO = DatastreamInfo(7, "bd-1/planthopper_catch", "bd-1", "planthopper_catch", "planthopper_catch", "1/trap/night",
                      "rice", "light_trap", 105.6, 10.4, "29869")  # fmt: skip
OTHER = DatastreamInfo(8, "tram/level", "tram", "level", "water_level", "m", "water", "station", None, None, "")


def batch(*values: float, first: int = 0, number: int = 7) -> ObservationBatch:
    n = len(values)
    return ObservationBatch(
        np.full(n, number, np.int32),
        (np.arange(n, dtype=np.int64) + first) * DAY_US,
        np.array(values, np.float64),
        np.arange(n, dtype=np.int64),
        np.arange(n, dtype=np.int64) + 1,
    )


def ready(watch: float = 500, high: float = 1500) -> PlanthopperCatch:
    made = PlanthopperCatch()
    made.limit(watch, high)
    made.bind(Registry((INFO, OTHER)))
    return made


def test_a_catch_is_raised_escalated_and_cleared_at_the_bounds() -> None:
    changes = ready().update(batch(499, 500, 1499, 1500, 800, 100)).changes
    assert [(change.action, change.severity, change.value) for change in changes] == [
        (Action.RAISE, Severity.MEDIUM, 500),
        (Action.ESCALATE, Severity.HIGH, 1500),
        (Action.DOWNGRADE, Severity.MEDIUM, 800),
        (Action.CLEAR, Severity.MEDIUM, 100),
    ]
    assert {(change.condition, change.source, change.commune) for change in changes} == {(CONDITION, INFO.key, "29869")}


def test_how_rows_are_cut_into_batches_changes_nothing_and_state_is_kept() -> None:
    whole = ready().update(batch(600, 700, 2000, 10)).changes
    first = ready()
    parts = first.update(batch(600, 700)).changes
    second = ready()
    second.load(first.dump())
    parts += second.update(batch(2000, 10, first=2)).changes
    assert [(change.action, change.time) for change in parts] == [(change.action, change.time) for change in whole]


def test_a_late_count_and_other_series_change_nothing() -> None:
    made = ready()
    made.update(batch(100, first=5))
    assert made.update(batch(5000, first=3)).changes == []
    assert made.update(batch(5000, first=6, number=8)).changes == []
    assert made.update(batch(float("nan"), first=7)).changes == []


async def test_the_bounds_in_force_are_those_of_the_records(records: Records) -> None:
    made = PlanthopperCatch()
    async with records.write() as connection:
        await set_parameter(connection, domain("rice"), "catch_watch", 300, "QĐ 1/2026", version=0, by="bvtv", now=1)
        await made.refresh(connection)
    made.bind(Registry((INFO,)))
    (change,) = made.update(batch(320)).changes
    assert change.evidence == {"above": 300, "parameters": 1}


@pytest.mark.parametrize("value", [0.0, 499.9])
def test_an_ordinary_night_says_nothing(value: float) -> None:
    assert ready().update(batch(value)).changes == []

"""A backtest says what the engine would have said, over rows in memory and over a real lake."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_world import EVERY_KIND, REGISTRY, START, observations, rule_set, rule_text, rules_of

from thap.detect.backtest import BacktestReport, backtest, run_over_history, watched_by
from thap.detect.detector import Action, Severity
from thap.detect.ruletext import read_rules
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, to_us
from thap.kernel.errors import InputError, NotFoundError, RuleError, UnavailableError
from thap.kernel.history import TABLES, Lake
from thap.kernel.settings import Settings
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry

SELECT = 'select = { datastream = "north/level" }\n'
_LIVE = [rule for rule in read_rules(EVERY_KIND) if rule.name != "by_hours"]


def test_an_alarm_is_listed_from_raise_to_clear_with_its_steps_and_peak() -> None:
    rules = rules_of("threshold", SELECT + 'above = 3\nlevels = [{ severity = "high", above = 5 }]')
    rows = observations([(1, 0, 1), (1, 60, 4), (1, 120, 6), (1, 180, 7), (1, 240, 4), (1, 300, 1), (1, 360, 4)])
    report = backtest(rules, REGISTRY, [rows], START + 400 * SECOND_US)
    first, second = report.alarms
    assert (first.source, first.severity, first.raised, first.cleared, first.peak) == (
        "north/level",
        Severity.HIGH,
        START + MINUTE_US,
        START + 5 * MINUTE_US,
        7.0,
    )
    assert [(step.action, step.time - START) for step in first.steps] == [
        (Action.ESCALATE, 2 * MINUTE_US),
        (Action.DOWNGRADE, 4 * MINUTE_US),
    ]
    assert second.cleared is None
    body = report.as_dict()
    assert (body["count"], body["rows"], body["per_rule"]) == (2, 7, {"r": 2})
    assert body["per_day"] == {"2026-09-21": {"r": 2}}
    assert body["alarms"][1]["duration_s"] == 40.0


def test_silence_within_a_batch_is_found_at_its_own_time() -> None:
    rules = rules_of("silence", SELECT + 'no_data_for = "10m"')
    rows = observations([(1, minute * 60, 1) for minute in (0, 5, 10, 60, 65)])
    alarm = backtest(rules, REGISTRY, [rows], START + HOUR_US + 6 * MINUTE_US).alarms[0]
    assert (alarm.raised, alarm.cleared) == (START + 20 * MINUTE_US, START + HOUR_US)


def test_a_rule_that_is_out_of_force_is_tried_all_the_same() -> None:
    rules = rules_of("threshold", SELECT + "above = 3\nenabled = false")
    assert len(backtest(rules, REGISTRY, [observations([(1, 0, 4)])], START + 1).alarms) == 1


def test_rules_that_cannot_run_are_refused() -> None:
    rules = rules_of("geofence", 'select = { mover = "*" }\nmode = "inside"\narea = "Atlantis"')
    with pytest.raises(RuleError, match="Atlantis"):
        backtest(rules, REGISTRY, [], START)


def test_rows_that_cannot_be_judged_are_counted_by_reason() -> None:
    rules = rules_of("combined", 'select = { thing = "*" }\nwhen = "level / rain > 2"')
    report = backtest(rules, REGISTRY, [observations([(1, 0, 6), (2, 1, 0), (2, 2, 0)])], START + HOUR_US)
    assert list(report.faults.values()) == [2]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 9), st.sampled_from([0.0, 1.0, 2.5, 3.5, 4.5, 6.0])),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_a_backtest_raises_what_the_engine_ticking_every_second_raises(
    steps: list[tuple[int, int, float]], size: int
) -> None:
    time, rows = 0, []
    for series, gap, value in steps:
        time += gap
        rows.append((series, float(time), value))
    live = rule_set(_LIVE)
    live.standstill_us = None
    said = []
    live.tick(START + round(rows[0][1] * SECOND_US))
    for index, row in enumerate(rows):
        before = int(rows[index - 1][1]) if index else int(row[1])
        for second in range(before, int(row[1])):
            said += live.tick(START + second * SECOND_US).changes
        said += live.update(observations([row], seq=index + 1)).changes
    for second in range(time, time + 120):
        said += live.tick(START + second * SECOND_US).changes
    batches = [observations(rows[at : at + size]) for at in range(0, len(rows), size)]
    report = backtest(_LIVE, REGISTRY, batches, START + (time + 119) * SECOND_US)
    expected = sorted((c.time, c.source, c.condition) for c in said if c.action is Action.RAISE)
    assert sorted((a.raised, a.source, a.condition) for a in report.alarms) == expected


# ---- over a lake


def _table(kind: Kind, batch: ObservationBatch | PositionBatch) -> pa.Table:
    arrays = []
    for field in TABLES[kind].schema:
        column = getattr(batch, field.name)
        arrays.append(
            pa.array(column.view("datetime64[us]"), pa.timestamp("us")).cast(field.type)
            if pa.types.is_timestamp(field.type)
            else pa.array(column, field.type)
        )
    return pa.table(arrays, schema=TABLES[kind].schema)


def _write(centre: Settings, kind: Kind, batch: ObservationBatch | PositionBatch, offset: int = 1) -> None:
    lake = Lake.open(centre)
    lake.append({str(kind): _table(kind, batch)}, offset)
    lake.close()


def test_a_backtest_over_history_reads_what_its_rules_watch(settings: Settings) -> None:
    days = 20
    rows = [
        (series, float(hour * 3600), 4.0 if hour % 24 == 6 else 1.0)
        for hour in range(24 * days)
        for series in (1, 2, 4)
    ]
    _write(settings, Kind.OBSERVATION, observations(rows))
    rules = rules_of("threshold", 'select = { property = "level" }\nabove = 3') + rules_of(
        "silence", 'select = { mover = "*" }\nno_data_for = "1h"', "mover"
    )
    seen: list[int] = []
    report = run_over_history(
        settings, rules, REGISTRY, START, START + days * DAY_US, progress=lambda time, rows: seen.append(rows)
    )
    assert report.per_rule() == {"r": 2 * days}
    assert report.rows == 2 * 24 * days
    assert seen[-1] == report.rows
    assert all(alarm.cleared == alarm.raised + HOUR_US for alarm in report.alarms)
    part = run_over_history(settings, rules, REGISTRY, START + 5 * DAY_US, START + 10 * DAY_US)
    assert part.per_rule() == {"r": 10}


def test_without_history_or_sources_or_time_a_backtest_says_what_is_missing(settings: Settings) -> None:
    rules = rules_of("threshold", SELECT + "above = 3")
    with pytest.raises(UnavailableError, match="no history yet"):
        run_over_history(settings, rules, REGISTRY, START, START + 1)
    with pytest.raises(InputError, match="nothing lies between"):
        run_over_history(settings, rules, REGISTRY, START, START)
    nothing = rules_of("threshold", 'select = { property = "tide" }\nabove = 3')
    with pytest.raises(NotFoundError, match="watch nothing"):
        run_over_history(settings, nothing, REGISTRY, START, START + 1)


def test_what_a_rule_watches_is_all_a_condition_needs() -> None:
    rules = rules_of("combined", 'select = { thing = "north" }\nwhen = "level > 1 and rain > 1"')
    assert watched_by(rules, REGISTRY) == {Kind.OBSERVATION: [1, 2, 3], Kind.POSITION: []}


# ---- real input


def test_the_ais_hour_gives_the_same_alarms_in_any_batches(shared_data: Path) -> None:
    with gzip.open(shared_data / "vessels" / "danish_ais_20221101_50k.csv.gz", "rt") as file:
        rows = [
            (
                int(row["mmsi"]),
                to_us(datetime.fromisoformat(row["datetime"])),
                float(row["lon"]),
                float(row["lat"]),
                float(row["SOG"] or "nan"),
            )
            for row in csv.DictReader(file)
        ]
    rows.sort(key=lambda row: row[1])
    movers = tuple(MoverInfo(n, f"mmsi-{n}", "", "", "", {}) for n in range(1, max(r[0] for r in rows) + 1))
    registry = Registry((), movers, {}, {m.key: m.id for m in movers})
    table = np.array([row[1:] for row in rows], float)
    batch = PositionBatch(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        table[:, 1],
        table[:, 2],
        table[:, 3].astype(np.float32),
        np.full(len(rows), np.nan, np.float32),
        np.zeros(len(rows), np.int64),
        np.ones(len(rows), np.int64),
    )
    text = "".join(
        rule_text("geofence", 'select = { mover = "*" }\n' + body, name)
        for name, body in (
            ("horns_reef", 'mode = "inside"\narea = { lon = 7.95, lat = 55.6, radius_m = 25000 }'),
            ("slow", 'mode = "dwell"\ndwell = "10m"\nbelow_kn = 1\narea = { lon = 8.2, lat = 55.5, radius_m = 40000 }'),
            (
                "away",
                'mode = "outside"\nabove_kn = 5\nhysteresis_m = 500\narea = { lon = 7.5, lat = 55.9, '
                "radius_m = 90000 }",
            ),
        )
    ) + rule_text("silence", 'select = { mover = "*" }\nno_data_for = "20m"', "lost")
    rules = read_rules(text)
    end = int(batch.time[-1]) + HOUR_US

    def alarms(size: int) -> list[tuple[str, str, int, int | None]]:
        parts = [batch.take(np.arange(at, min(at + size, len(batch)))) for at in range(0, len(batch), size)]
        report: BacktestReport = backtest(rules, registry, parts, end)
        assert report.rows == len(rows)
        return sorted((a.condition, a.source, a.raised, a.cleared) for a in report.alarms)

    whole = alarms(len(batch))
    assert {condition for condition, *_ in whole} >= {"horns_reef", "away", "lost", "slow"}
    assert alarms(997) == whole


def test_a_light_trap_series_raises_at_its_peaks(shared_data: Path) -> None:
    with (shared_data / "pests" / "rice_pests_weather_1959_2006.csv").open() as file:
        weeks = sorted(
            (int(row["Observation Year"]), int(row["Standard Week"]), float(row["Pest Value"]))
            for row in csv.DictReader(file)
            if row["Location"] == "Maruteru"
            and row["PEST NAME"] == "Brownplanthopper"
            and "trap" in row["Collection Type"].lower()
        )
    assert len(weeks) > 100
    series = DatastreamInfo(
        1,
        "maruteru/planthopper_catch",
        "maruteru",
        "planthopper_catch",
        "planthopper_catch",
        "1/trap",
        "rice",
        "light_trap",
        None,
        None,
        "",
    )
    time = np.array([to_us(datetime(year, 1, 1)) + week * 7 * DAY_US for year, week, _ in weeks], np.int64)
    values = np.array([value for *_, value in weeks])
    keep = np.append(True, np.diff(time) > 0)
    time, values = time[keep], values[keep]
    batch = ObservationBatch(np.ones(len(time), np.int32), time, values, time, np.ones(len(time), np.int64))
    rules = rules_of("threshold", 'select = { property = "planthopper_catch" }\nabove = 500\ndeadband = 100')
    report = backtest(rules, Registry((series,), (), {series.key: 1}, {}), [batch], int(time[-1]))
    runs, active = 0, False
    for value in values.tolist():
        if value >= 500 and not active:
            runs, active = runs + 1, True
        elif value < 400:
            active = False
    assert len(report.alarms) == runs > 0
    assert max(alarm.peak or 0 for alarm in report.alarms) == values.max()

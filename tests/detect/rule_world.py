"""A small world to try rules on: two stations with three datastreams each, two vessels, and one rule of every kind
and mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thap.detect.rules import Rule
from thap.detect.ruleset import RuleSet
from thap.detect.ruletext import read_rules
from thap.kernel.clock import SECOND_US
from thap.kernel.settings import EngineSettings
from thap.observe.kinds import ObservationBatch, PositionBatch
from thap.observe.registry import DatastreamInfo, MoverInfo, Registry

START = 1_790_000_000 * SECOND_US  # 2026-09-21T21:13:20+07
"""A Monday evening in Việt Nam."""

_DATASTREAMS = tuple(
    DatastreamInfo(number, f"{thing}/{name}", thing, name, name, "m", "water", "station", 105.6, 10.4, "29869")
    for number, (thing, name) in enumerate(
        ((t, n) for t in ("north", "south") for n in ("level", "rain", "salt")), start=1
    )
)
_MOVERS = tuple(
    MoverInfo(number, key, key.title(), "vessel", "sand", {})
    for number, key in enumerate(("boat-a", "boat-b"), start=1)
)
REGISTRY = Registry(_DATASTREAMS, _MOVERS, {d.key: d.id for d in _DATASTREAMS}, {m.key: m.id for m in _MOVERS})


def rule_text(kind: str, body: str, name: str = "r", severity: str = "low") -> str:
    """A rule's TOML with what every rule needs."""
    return (
        f'[[rule]]\nname = "{name}"\nkind = "{kind}"\ntitle = {{ vi = "Thử", en = "Trial" }}\n'
        f'severity = "{severity}"\n{body}\n'
    )


def rules_of(kind: str, body: str, name: str = "r") -> list[Rule]:
    return read_rules(rule_text(kind, body, name))


def rule_set(rules: Sequence[Rule], **settings: float) -> RuleSet:
    return RuleSet(rules, REGISTRY, EngineSettings(**settings))  # type: ignore[arg-type]


def observations(
    rows: Sequence[tuple[int, float, float]], *, received: Sequence[float] | None = None, seq: int = 1
) -> ObservationBatch:
    """Rows of (datastream, seconds after START, result), each its own journal message, received at its own time."""
    time = np.array([START + round(row[1] * SECOND_US) for row in rows], np.int64)
    door = time if received is None else np.array([START + round(r * SECOND_US) for r in received], np.int64)
    return ObservationBatch(
        np.array([row[0] for row in rows], np.int32),
        time,
        np.array([row[2] for row in rows], float),
        door,
        np.arange(seq, seq + len(rows), dtype=np.int64),
    )


def positions(
    rows: Sequence[tuple[int, float, float, float, float]], *, seq: int = 1, received: Sequence[float] | None = None
) -> PositionBatch:
    """Rows of (mover, seconds after START, lon, lat, speed in knots)."""
    time = np.array([START + round(row[1] * SECOND_US) for row in rows], np.int64)
    door = time if received is None else np.array([START + round(r * SECOND_US) for r in received], np.int64)
    speed = np.array([row[4] for row in rows], np.float32)
    return PositionBatch(
        np.array([row[0] for row in rows], np.int32),
        time,
        np.array([row[2] for row in rows], float),
        np.array([row[3] for row in rows], float),
        speed,
        np.full(len(rows), np.nan, np.float32),
        door,
        np.arange(seq, seq + len(rows), dtype=np.int64),
    )


SQUARE = (
    'area = { type = "Polygon", name = "mine", coordinates = '
    "[[[105.60, 10.40], [105.61, 10.40], [105.61, 10.41], [105.60, 10.41], [105.60, 10.40]]] }"
)
"""About 1.1 km a side."""

EVERY_KIND = "\n".join(
    [
        rule_text(
            "threshold",
            'select = { property = "level" }\nabove = 3\ndeadband = 1\n'
            'levels = [{ severity = "high", above = 5 }, { severity = "critical", after = "20s" }]',
            "above",
        ),
        rule_text(
            "threshold",
            'select = { property = "level" }\nbelow = 3\ndeadband = 1\non_delay = "4s"\n'
            'off_delay = "3s"\nlevels = [{ severity = "high", below = 1 }]',
            "below",
        ),
        rule_text(
            "threshold",
            'select = { thing = "north" }\noutside = [2, 4]\ndeadband = 0.5\non_delay = "5s"\n'
            'levels = [{ severity = "medium", outside = [1, 5] }]',
            "outside",
        ),
        rule_text(
            "threshold",
            'select = { thing = "*" }\ninside = [2, 4]\ndeadband = 0.5\noff_delay = "5s"\n'
            'levels = [{ severity = "high", inside = [3, 3] }]'.replace("[3, 3]", "[2.9, 3.1]"),
            "inside",
        ),
        rule_text(
            "threshold",
            'select = { property = "level" }\nabove = 3\non_delay = "2s"\n'
            'schedule = { hours = ["00:00-21:13", "21:14-21:15"], weekdays = ["mon", "tue"] }',
            "by_hours",
        ),
        rule_text(
            "rate",
            'select = { property = "rain" }\nrise = 2\nwindow = "16s"\ndeadband = 1\n'
            'levels = [{ severity = "high", rise = 4 }]',
            "rise",
        ),
        rule_text("rate", 'select = { thing = "north" }\nchange = 3\nwindow = "32s"\non_delay = "3s"', "change"),
        rule_text("rate", 'select = { thing = "south" }\nfall = 3\nwindow = "8s"', "fall"),
        rule_text(
            "silence",
            'select = { thing = "*" }\nno_data_for = "20s"\noff_delay = "4s"\n'
            'levels = [{ severity = "high", no_data_for = "40s" }]',
            "silent",
        ),
        rule_text(
            "n_of_m",
            'select = { property = "salt" }\nabove = 4\nn = 2\nm = 4\nlevels = [{ severity = "high", n = 3 }]',
            "two_of_four",
        ),
        rule_text(
            "n_of_m",
            'select = { property = "level" }\nabove = 4\ndeadband = 1\nn = 2\ngroup = "all"\n'
            'max_age = "15s"\non_delay = "2s"',
            "both_stations",
        ),
        rule_text(
            "n_of_m",
            'select = { thing = "*" }\nbelow = 1\nn = 2\ngroup = "thing"\nmax_age = "30s"\n'
            'levels = [{ severity = "high", n = 3 }]',
            "within_thing",
        ),
        rule_text(
            "combined",
            'select = { thing = "*" }\nwhen = "level > 3 and rain > 3"\nmax_age = "12s"\non_delay = "2s"',
            "wet",
        ),
        rule_text(
            "combined",
            'select = { thing = "*" }\nwhen = "level - salt > 2 or rain >= 5"\n'
            'max_age = { level = "10s", rain = "20s" }\noff_delay = "3s"',
            "mixed",
        ),
        rule_text("combined", 'select = { thing = "south" }\nwhen = "rain / salt > 1"\nmax_age = "1m"', "ratio"),
    ]
)

EVERY_FENCE = "\n".join(
    [
        rule_text("geofence", f'select = {{ mover = "*" }}\nmode = "inside"\nhysteresis_m = 150\n{SQUARE}', "inside"),
        rule_text(
            "geofence",
            f'select = {{ kind = "vessel" }}\nmode = "outside"\nhysteresis_m = 300\noff_delay = "4s"\n{SQUARE}',
            "outside",
        ),
        rule_text(
            "geofence",
            f'select = {{ mover = "*" }}\nmode = "dwell"\ndwell = "10s"\nbelow_kn = 2\n{SQUARE}\n'
            'levels = [{ severity = "high", after = "10s" }]',
            "dwell",
        ),
        rule_text(
            "geofence",
            'select = { mover = "boat-a" }\nmode = "inside"\nabove_kn = 3\non_delay = "3s"\n'
            "area = { lon = 105.605, lat = 10.405, radius_m = 400 }",
            "fast",
        ),
        rule_text("silence", 'select = { mover = "*" }\nno_data_for = "15s"', "mover_silent"),
    ]
)

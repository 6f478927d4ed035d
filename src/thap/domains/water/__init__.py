"""Water, air and weather: levels and salinity on the Tiền, fine dust, squalls."""

from __future__ import annotations

from thap.domains.domain import Domain, Layer
from thap.domains.river import course
from thap.domains.water.demo import contribute
from thap.domains.water.levels import LevelAboveAlarm, LevelAboveTide, RiseAboveTide
from thap.domains.water.sensors import SensorDrift, StuckValue

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="water",
    title={"vi": "Nước, không khí và thời tiết", "en": "Water, air and weather"},
    package="thap.domains.water",
    rules="rules.toml",
    demo=contribute,
    indicators="thap.domains.water.indicators:INDICATORS",
    parameters="parameters.toml",
    tables=("thap.domains.water.records",),
    parts=("thap.domains.water.background:part",),
    api="thap.domains.water.api:router",
    detectors=(LevelAboveAlarm, LevelAboveTide, RiseAboveTide, StuckValue, SensorDrift),
    layers=(
        Layer("rivers", {"vi": "Sông Tiền", "en": "The Tiền river"}, features=course, colour="#3f8fc4"),
        Layer(
            "levels",
            {"vi": "Trạm theo mức báo động", "en": "Stations by alarm level"},
            live="thap.domains.water.api:level_layer",
            colour="#2f7fd0",
        ),
        Layer(
            "isohaline",
            {"vi": "Ranh mặn 1 và 4 g/l (nội suy)", "en": "Lines of 1 and 4 g/l (interpolated)"},
            live="thap.domains.water.api:isohaline_layer",
            colour="#c2417c",
        ),
    ),
)

"""Water, air and weather: levels and salinity on the Tiền, fine dust, squalls."""

from __future__ import annotations

from thap.domains.domain import Domain, Layer
from thap.domains.river import course
from thap.domains.water.demo import contribute

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="water",
    title={"vi": "Nước, không khí và thời tiết", "en": "Water, air and weather"},
    package="thap.domains.water",
    rules="rules.toml",
    demo=contribute,
    indicators="thap.domains.water.indicators:INDICATORS",
    layers=(Layer("rivers", {"vi": "Sông Tiền", "en": "The Tiền river"}, features=course, colour="#3f8fc4"),),
)

"""Rice: planthoppers in light traps."""

from __future__ import annotations

from thap.domains.domain import Domain
from thap.domains.rice.demo import contribute

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="rice",
    title={"vi": "Lúa và sâu bệnh", "en": "Rice and pests"},
    package="thap.domains.rice",
    rules="rules.toml",
    demo=contribute,
    indicators="thap.domains.rice.indicators:INDICATORS",
)

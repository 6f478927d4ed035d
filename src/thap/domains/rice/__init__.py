"""Rice: planthoppers in light traps."""

from __future__ import annotations

from thap.domains.domain import Domain, Layer
from thap.domains.rice.demo import contribute
from thap.domains.rice.detectors import PlanthopperCatch

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="rice",
    title={"vi": "Lúa và sâu bệnh", "en": "Rice and pests"},
    package="thap.domains.rice",
    rules="rules.toml",
    detectors=(PlanthopperCatch,),
    demo=contribute,
    indicators="thap.domains.rice.indicators:INDICATORS",
    parameters="parameters.toml",
    tables=("thap.domains.rice.records",),
    api="thap.domains.rice.api:router",
    parts=("thap.domains.rice.parts:part",),
    layers=(
        Layer(
            "risk",
            {"vi": "Nguy cơ rầy nâu", "en": "Planthopper risk"},
            live="thap.domains.rice.api:risk_layer",
            colour="#f0a848",
        ),
    ),
)
